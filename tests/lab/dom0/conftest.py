"""Fixtures of the tests that run in dom0: open handles, agents, and domains without a guest OS."""

import contextlib

import pytest
from agent import Agent
from patience import patient
from pv_only import REASON

from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.xen import kernel
from xenlib_cffi.call import Call
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.foreignmemory import ForeignMemory


@pytest.fixture
def ctrl():
    with Ctrl() as opened:
        yield opened


@pytest.fixture
def agents():
    """Starts agents with a configuration file; terminates them after the test."""
    started = []

    def start(config):
        started.append(Agent(config))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        each.process.wait(timeout=patient(300))


@pytest.fixture
def call():
    """Hypercalls, for device maps."""
    if kernel.is_translated():
        pytest.skip(REASON)
    with Call() as opened:
        yield opened


@pytest.fixture
def memory():
    with ForeignMemory() as opened:
        yield opened


@pytest.fixture
def empty():
    """64 references of one empty domain."""
    with EmptyDomains(1) as domains:
        yield domains.references(64)


@pytest.fixture
def raw_domain(ctrl):
    """A domain with 4 pages and no entry in its grant table: (domid, mfns)."""
    domid = ctrl.create_empty(b"xengt-test-12345", 4)
    try:
        yield domid, ctrl.populate(domid, 4)
    finally:
        with contextlib.suppress(OSError):
            ctrl.destroy(domid)
