"""The UUIDs of empty domains: which process created a domain, and whether it still runs."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from xengt.recovery import domain_owner
from xenlib_cffi.ctrl_results import DomainInfo

MAKE = """
import sys
from xengt.recovery import domain_owner
sys.stdout.buffer.write(domain_owner.uuid())
"""


@pytest.fixture
def child():
    """A process that wrote its UUID and waits for its input to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{MAKE}\nsys.stdout.flush()\nsys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_owner_of_this_process_uuid_is_alive():
    assert len(domain_owner.uuid()) == 16
    assert domain_owner.uuid() == domain_owner.uuid()
    assert domain_owner.is_ours(domain_owner.uuid())
    assert domain_owner.is_alive(domain_owner.uuid())


@pytest.mark.parametrize("uuid", [bytes(16), b"xengt" * 4, os.urandom(16), b"\xff" * 16])
def test_uuids_of_other_domains_are_not_ours(uuid):
    assert not domain_owner.is_ours(uuid[:16])


def test_another_owner_is_alive_until_it_ends(child):
    uuid = child.stdout.read(16)
    assert domain_owner.is_ours(uuid)
    assert uuid != domain_owner.uuid()
    assert domain_owner.is_alive(uuid)
    child.stdin.close()
    child.wait()
    assert not domain_owner.is_alive(uuid)


def test_a_zombie_is_not_alive(child):
    uuid = child.stdout.read(16)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not domain_owner.is_alive(uuid)


def test_a_reused_pid_is_another_process():
    fields = struct.Struct("<6sIHI")
    mark, pid, high, low = fields.unpack(domain_owner.uuid())
    assert pid == os.getpid()
    assert not domain_owner.is_alive(fields.pack(mark, pid, high, low - 1))
    assert not domain_owner.is_alive(fields.pack(mark, pid, high + 1, low))


def test_parentheses_in_a_command_name_do_not_change_the_uuid():
    comm = Path("/proc/self/comm")
    called, uuid = comm.read_text(), domain_owner.uuid()
    try:
        comm.write_text("a) S 1 (b")
        assert domain_owner.uuid() == uuid
        assert domain_owner.is_alive(uuid)
    finally:
        comm.write_text(called)


def test_a_domain_is_identified_by_its_uuid_not_by_its_domid():
    class Xen:
        def domains(self):
            for domid, uuid, dying in (
                (5, domain_owner.uuid(), False),
                (6, b"6" * 16, False),  # ours was destroyed, and another domain has its domid
                (7, domain_owner.uuid(), True),
                (8, domain_owner.uuid(), False),
            ):
                yield DomainInfo(domid, dying, False, True, False, 1, 0, uuid)

    assert domain_owner.existing(Xen(), [5, 6, 7, 9]) == [5]
