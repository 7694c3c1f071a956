"""The tests that need to be in dom0, run there by dom0's own pytest."""

from pathlib import Path

import pytest
from reach import left_behind

FILES = sorted((Path(__file__).parent / "dom0").glob("test_*.py"))


@pytest.mark.parametrize("variant", ["stock", "patched"])
@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_in_dom0(labs, name, variant):
    dom0 = labs.get(variant)
    done = dom0.run("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"/root/dom0/{name}")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_behind(dom0) == ""
