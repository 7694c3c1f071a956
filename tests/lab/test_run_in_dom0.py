"""Runs the tests of tests/lab/dom0 inside dom0, with dom0's own pytest."""

from pathlib import Path

import pytest

from tests.lab.lab_dom0 import leftovers

FILES = sorted((Path(__file__).parent / "dom0").glob("test_*.py"))


#: These take minutes on a slow machine. test_service.py tests the agent in every run.
LONG = {"test_passive.py", "test_serve.py", "test_toolstack.py"}


def each(variant: str):
    """Yield the test files for one hypervisor."""
    for file in FILES:
        marks = pytest.mark.long if file.name in LONG else ()
        yield pytest.param(file.name, variant, marks=marks)


@pytest.mark.parametrize(("name", "variant"), [*each("stock"), *each("patched")])
def test_in_dom0(labs, name, variant):
    dom0 = labs.get(variant)
    done = dom0.run("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"/root/dom0/{name}")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert leftovers(dom0) == ""
