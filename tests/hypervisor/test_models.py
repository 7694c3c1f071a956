"""Spin models of the lock-free parts of grant_table.c, and faulty variants that must fail."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.patience import patient

MODELS = Path(__file__).parent / "models"
SOUND = sorted(path.stem for path in MODELS.glob("*.pml"))


def variants(model: str) -> list[str]:
    """Return the variants of a model: macros that remove or reorder something."""
    conditions = re.findall(r"^#(?:el)?if.*", (MODELS / f"{model}.pml").read_text(), re.MULTILINE)
    return sorted(set(re.findall(r"\b[A-Z_]+\b", " ".join(conditions))))


BROKEN = [(model, variant) for model in SOUND for variant in variants(model)]


def errors(model: str, variant: str | None, into: Path) -> int:
    """Search a model exhaustively; return the number of errors found.

    Raises:
        RuntimeError: the search was incomplete, or failed other than by an assertion.
    """
    defines = [f"-D{variant}"] if variant else []
    for words in (
        ["spin", *defines, "-a", MODELS / f"{model}.pml"],
        # Variants fail early, so compile time dominates.
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
    output = done.stdout + done.stderr
    found = int(re.findall(r"errors: (\d+)", output)[0])
    if not found and re.search("Search not completed|max search depth|out of memory", output):
        raise RuntimeError(f"incomplete search: {output}")
    # The error must be a violated assertion, not a deadlock.
    if found and "assertion violated" not in output:
        raise RuntimeError(f"error other than a violated assertion: {output}")
    return found


@pytest.mark.parametrize("model", SOUND)
def test_the_model_is_sound(model, tmp_path):
    assert errors(model, None, tmp_path) == 0


@pytest.mark.parametrize(("model", "variant"), BROKEN)
def test_the_variant_fails(model, variant, tmp_path):
    assert errors(model, variant, tmp_path) > 0


@pytest.mark.parametrize("model", SOUND)
def test_variants_are_documented(model):
    comment = (MODELS / f"{model}.pml").read_text().partition("*/")[0]
    assert variants(model) == sorted(set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", comment)))
