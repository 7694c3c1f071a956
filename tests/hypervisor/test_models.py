"""Models of what grant_table.c does without locks, searched whole; and broken, to see each fail."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.patience import patient

MODELS = Path(__file__).parent / "models"
SOUND = sorted(path.stem for path in MODELS.glob("*.pml"))


def variants(model: str) -> list[str]:
    """What may be defined for a model: each takes something away, or puts it in another order."""
    conditions = re.findall(r"^#(?:el)?if.*", (MODELS / f"{model}.pml").read_text(), re.MULTILINE)
    return sorted(set(re.findall(r"\b[A-Z_]+\b", " ".join(conditions))))


BROKEN = [(model, variant) for model in SOUND for variant in variants(model)]


def errors(model: str, variant: str | None, into: Path) -> int:
    """Search all there is to a model, and return how many errors were found."""
    defines = [f"-D{variant}"] if variant else []
    for words in (
        ["spin", *defines, "-a", MODELS / f"{model}.pml"],
        # An error is found soon: compiling is what takes time then.
        [
            "cc",
            "-O0" if variant else "-O1",
            "-w",
            "-DSAFETY",
            "-DMEMLIM=1000",
            "-o",
            "pan",
            "pan.c",
        ],
    ):
        subprocess.run(words, cwd=into, check=True)
    done = subprocess.run(
        ["./pan", "-m100000"],
        cwd=into,
        capture_output=True,
        text=True,
        timeout=patient(900),
        check=False,
    )
    said = done.stdout + done.stderr
    found = int(re.findall(r"errors: (\d+)", said)[0])
    if not found and re.search("Search not completed|max search depth|out of memory", said):
        raise RuntimeError(f"not all was searched: {said}")
    # What is wrong is to be what the model says must hold, not that it got stuck.
    if found and "assertion violated" not in said:
        raise RuntimeError(f"wrong otherwise than is asserted: {said}")
    return found


@pytest.mark.parametrize("model", SOUND)
def test_sound(model, tmp_path):
    assert errors(model, None, tmp_path) == 0


@pytest.mark.parametrize(("model", "variant"), BROKEN)
def test_broken(model, variant, tmp_path):
    assert errors(model, variant, tmp_path) > 0


@pytest.mark.parametrize("model", SOUND)
def test_variants_are_described(model):
    comment = (MODELS / f"{model}.pml").read_text().partition("*/")[0]
    assert variants(model) == sorted(set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", comment)))
