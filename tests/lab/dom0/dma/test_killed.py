"""What a killed run has mapped stays, as Linux knows nothing of it; taken back, it is gone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from reach import WORD, Fault

from xengt.recovery import journal, sweep
from xenlib_cffi.errors import GrantStatus

HOLD = Path(__file__).with_name("hold.py")


@pytest.fixture
def killed(tmp_path):
    """Has references held by a process that is killed then; what they are and their mappings."""

    def kill(how, *references):
        words = [f"{domid}:{gref}" for domid, gref in references]
        command = [sys.executable, HOLD, tmp_path / "mappings", how, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            said = holder.stdout.readline()
            holder.kill()
        return json.loads(said)

    return kill


@pytest.fixture
def clear(tmp_path):
    """What the next run does before anything else."""

    def cleared():
        with journal.open_journal(tmp_path / "mappings") as book:
            return sweep.clean_up(book)

    return cleared


def test_of_a_mapper_that_was_killed(device, granted, killed, clear):
    there = granted(3)
    _, held = killed("held", *there.wanted(), *there.wanted(0, 0))
    addresses = [bus_addr for _, bus_addr in held]
    pages = [*there.pages, there.pages[0], there.pages[0]]
    assert [device.can(*each) for each in zip(pages, addresses, strict=True)] == ["rw"] * 5
    assert clear().held == 5
    assert [device.can(*each) for each in zip(pages, addresses, strict=True)] == [""] * 5


def test_of_a_mapper_that_was_killed_with_the_granter(device, killed, clear):
    ((_, _, pattern),), ((_, address),) = killed("held")
    content = pattern.to_bytes(WORD, "little")
    assert device.reads(address) == content
    done = clear()
    assert (done.held, len(done.domains)) == (1, 1)
    assert device.reads(address) != content
    assert device.refused(Fault("Read", address))


def test_of_one_that_was_killed_before_it_knew_its_handles(device, granted, killed, clear, call):
    there = granted(3)
    (others,) = call.map_device(there.wanted(2))
    _, mappings = killed("unsure", *there.wanted(0, 1, 1))
    addresses = [bus_addr for _, bus_addr in mappings]
    assert clear().searched
    pages = [there.pages[at] for at in (0, 1, 1)]
    assert [device.can(*each) for each in zip(pages, addresses, strict=True)] == [""] * 3
    assert device.can(there.pages[2], others.bus_addr) == "rw"
    assert call.unmap_device([others]) == [GrantStatus.OKAY]
