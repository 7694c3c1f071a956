"""Runs scripts of mapper/dom0 in a lab's dom0; the mapper is built once and copied once per lab."""

import functools
import json
import tempfile
from pathlib import Path

import pytest

from tests.lab.lab_pool import LabPool
from tests.lab.mapper.build_mapper import build_mapper

#: the hypervisors under test; the others are compared with the first
VARIANTS = ("stock", "patched", "patched-debug")
on_every_hypervisor = pytest.mark.parametrize("variant", VARIANTS)

_installed: set[int] = set()


@functools.cache
def _built() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="xengt-mapper-")
    build_mapper(Path(made.name))
    return made


def run_mapper_script(
    labs: LabPool, variant: str, name: str, *words: str, timeout: float = 600
) -> list:
    """Run a script of mapper/dom0 in a lab; returns the JSON lines that it prints.

    Args:
        labs: the labs.
        variant: the variant to run it on.
        name: file name of the script.
        words: arguments of the script.
        timeout: in seconds on the reference machine, see patience.py.
    """
    dom0 = labs.get(variant)
    if id(dom0) not in _installed:
        dom0.put(Path(_built().name) / "mapper")
        _installed.add(id(dom0))
    output = dom0.check_output("python3", f"/root/mapper/{name}", *words, timeout=timeout)
    return [json.loads(line) for line in output.splitlines()]
