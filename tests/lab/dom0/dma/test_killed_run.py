"""What a killed run has mapped stays, as Linux knows nothing of it; taken back, it is gone."""

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
    """Has references held by a process that is killed then; what they are and their mappings."""

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
    """What the next run does before anything else."""

    def clean_up():
        with journal.open_journal(tmp_path / "mappings") as opened:
            return sweep.clean_up(opened)

    return clean_up


def test_of_a_mapper_that_was_killed(device, granted, killed, clean_up):
    shared = granted(3)
    _, held = killed("held", *shared.to_map(), *shared.to_map(0, 0))
    addresses = [bus_addr for _, bus_addr in held]
    pages = [*shared.pages, shared.pages[0], shared.pages[0]]
    assert [device.access(*each) for each in zip(pages, addresses, strict=True)] == ["rw"] * 5
    assert clean_up().held == 5
    assert [device.access(*each) for each in zip(pages, addresses, strict=True)] == [""] * 5


def test_of_a_mapper_that_was_killed_with_the_granter(device, killed, clean_up):
    ((_, _, pattern),), ((_, address),) = killed("held")
    content = pattern.to_bytes(WORD, "little")
    assert device.read(address) == content
    done = clean_up()
    assert (done.held, len(done.domains)) == (1, 1)
    assert device.read(address) != content
    assert device.reports_faults(Fault("Read", address))


def test_of_one_that_was_killed_before_it_knew_its_handles(device, granted, killed, clean_up, call):
    shared = granted(3)
    (others,) = call.map_device(shared.to_map(2))
    _, mappings = killed("unsure", *shared.to_map(0, 1, 1))
    addresses = [bus_addr for _, bus_addr in mappings]
    assert clean_up().searched
    pages = [shared.pages[at] for at in (0, 1, 1)]
    assert [device.access(*each) for each in zip(pages, addresses, strict=True)] == [""] * 3
    assert device.access(shared.pages[2], others.bus_addr) == "rw"
    assert call.unmap_device([others]) == [GrantStatus.OKAY]
