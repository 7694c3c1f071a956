"""Models of what grant_table.c does without locks, searched whole; and broken, to see each fail."""

import re
import subprocess
from pathlib import Path

import pytest

MODELS = Path(__file__).parent / "models"
#: model, what is defined for it; nothing wrong is to be found
SOUND = [("version_switch", "")]
#: the same with something taken away or in another order, which is to be noticed
BROKEN = [
    ("version_switch", "WAIT_FIRST"),
    ("version_switch", "NO_LOCK"),
    ("version_switch", "NO_FLAG"),
    ("version_switch", "FLAG_BEFORE_LOCK"),
    ("version_switch", "CLEARED_EARLY"),
    ("version_switch", "STATUS_UNLOCKED"),
]


def errors(model: str, defined: str, into: Path) -> int:
    """Search all there is to a model, and return how many errors were found."""
    defines = [f"-D{word}" for word in defined.split()]
    for words in (
        ["spin", *defines, "-a", MODELS / f"{model}.pml"],
        ["cc", "-O1", "-w", "-DSAFETY", "-DMEMLIM=1000", "-o", "pan", "pan.c"],
    ):
        subprocess.run(words, cwd=into, check=True)
    done = subprocess.run(
        ["./pan", "-m100000"], cwd=into, capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout + done.stderr
    found = int(re.findall(r"errors: (\d+)", said)[0])
    if not found and re.search("Search not completed|max search depth|out of memory", said):
        raise RuntimeError(f"not all was searched: {said}")
    # What is wrong is to be what the model says must hold, not that it got stuck.
    if found and "assertion violated" not in said:
        raise RuntimeError(f"wrong otherwise than is asserted: {said}")
    return found


@pytest.mark.parametrize(("model", "defined"), SOUND)
def test_sound(model, defined, tmp_path):
    assert errors(model, defined, tmp_path) == 0


@pytest.mark.parametrize(("model", "defined"), BROKEN)
def test_broken(model, defined, tmp_path):
    assert errors(model, defined, tmp_path) > 0
