"""Mappings of a killed run stay accessible to devices until the next run cleans up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dma_device import WORD, Fault

from xengt.recovery import journal, sweep
from xenlib_cffi.errors import GrantStatus

HOLD = Path(__file__).with_name("hold_mappings.py")


@pytest.fixture
def killed(tmp_path):
    """Maps references in a process and kills it; returns the references and the mappings."""

    def kill(state, *references):
        words = [f"{domid}:{gref}" for domid, gref in references]
        command = [sys.executable, HOLD, tmp_path / "mappings", state, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            output = holder.stdout.readline()
            holder.kill()
        return json.loads(output)

    return kill


@pytest.fixture
def clean_up(tmp_path):
    """Cleans up as the next run does at its start."""

    def clean_up():
        with journal.open_journal(tmp_path / "mappings") as opened:
            return sweep.clean_up(opened)

    return clean_up


def test_mappings_of_a_killed_run(device, granted, killed, clean_up):
    shared = granted(3)
    _, held = killed("held", *shared.to_map(), *shared.to_map(0, 0))
    addresses = [bus_addr for _, bus_addr in held]
    pages = [*shared.pages, shared.pages[0], shared.pages[0]]
    assert [device.access(*each) for each in zip(pages, addresses, strict=True)] == ["rw"] * 5
    assert clean_up().held == 5
    assert [device.access(*each) for each in zip(pages, addresses, strict=True)] == [""] * 5


def test_mappings_of_a_killed_run_with_its_own_granter(device, killed, clean_up):
    ((_, _, pattern),), ((_, address),) = killed("held")
    content = pattern.to_bytes(WORD, "little")
    assert device.read(address) == content
    done = clean_up()
    assert (done.held, len(done.domains)) == (1, 1)
    assert device.read(address) != content
    assert device.reports_faults(Fault("Read", address))


def test_mappings_without_recorded_handles(device, granted, killed, clean_up, call):
    shared = granted(3)
    (others,) = call.map_device(shared.to_map(2))
    _, mappings = killed("unsure", *shared.to_map(0, 1, 1))
    addresses = [bus_addr for _, bus_addr in mappings]
    assert clean_up().searched
    pages = [shared.pages[at] for at in (0, 1, 1)]
    assert [device.access(*each) for each in zip(pages, addresses, strict=True)] == [""] * 3
    assert device.access(shared.pages[2], others.bus_addr) == "rw"
    assert call.unmap_device([others]) == [GrantStatus.OKAY]
