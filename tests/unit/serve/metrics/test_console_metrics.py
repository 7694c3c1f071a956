"""Events of Xen's console: each is counted once, whatever happens to the ring."""

import logging

import pytest

from tests.unit.exposition import samples_of
from tests.unit.fake_hypervisor import FakeCtrl, failed, xen
from xengt.serve.metrics import console_metrics
from xengt.serve.metrics.console_metrics import EVENTS, ConsoleMetrics

__all__ = ["xen"]  # a fixture

CRASH = "(XEN) Domain 7 (vcpu#0) crashed on cpu#1:\n"
#: by event, as Xen 4.20 prints them
LINES = {
    "domain_crashed": (
        CRASH,
        "(XEN) Domain 7 reported crashed by domain 0 on cpu#3:\n",
        "(XEN) [2026-11-29 03:08:32] Domain 7 (vcpu#11) crashed on cpu#1:\n",
        "(XEN) [   12.345678] Domain 7 (vcpu#0) crashed on cpu#1:\n",
    ),
    "grant_table_expanded": (
        "(XEN) common/grant_table.c:1931:d7v0 Expanding d7 grant table from 1 to 2 frames\n",
    ),
    "maptrack_exhausted": (
        "(XEN) common/grant_table.c:1064:d0v1 Failed to obtain maptrack handle\n",
    ),
}


@pytest.fixture
def counts(xen, monkeypatch):
    """A function that scrapes, and returns the counts by event, `lost` and `up`."""
    monkeypatch.setattr(console_metrics, "Ctrl", lambda: FakeCtrl(xen))
    source = ConsoleMetrics()

    def read():
        found = samples_of(source)
        counts = {event: found["xengt_console_events_total", ("event", event)] for event in EVENTS}
        lost, up = found["xengt_console_lost_bytes_total",], found["xengt_console_up",]
        return {each: count for each, count in counts.items() if count}, lost, up

    return read


def test_an_event_is_counted_once(xen, counts):
    assert set(EVENTS) == set(LINES)
    counts()
    for number, (event, lines) in enumerate(LINES.items(), 1):
        xen.console += "(XEN) something else\n" + "".join(lines)
        found, lost, up = counts()
        assert (found[event], len(found), lost, up) == (len(lines), number, 0, 1)
        assert counts()[0] == found


def test_events_before_the_first_scrape_are_not_counted(xen, counts):
    xen.console = CRASH
    assert counts() == ({}, 0, 1)
    xen.console += CRASH
    assert counts() == ({"domain_crashed": 1}, 0, 1)


def test_a_line_that_is_read_in_two_parts_counts_once(xen, counts):
    counts()
    for place in range(len(CRASH)):
        xen.console += CRASH[place : place + 1]
        counts()
    assert counts() == ({"domain_crashed": 1}, 0, 1)


def test_what_a_guest_prints_is_no_event(xen, counts):
    counts()
    xen.console += "(d7) " + CRASH + "(d7) Domain 7 (vcpu#0) crashed on cpu#1:\n"
    xen.console += "(XEN) d7 says: " + CRASH
    assert counts() == ({}, 0, 1)


def test_lost_bytes_are_counted_and_join_no_lines(xen, counts):
    counts()
    xen.console += CRASH + CRASH[:20]
    assert counts() == ({"domain_crashed": 1}, 0, 1)
    xen.console += "." * 50 + CRASH[20:] + CRASH
    xen.conring_size = len(CRASH[20:] + CRASH)
    assert counts() == ({"domain_crashed": 2}, 50, 1)


def test_a_failure_is_reported_and_nothing_is_lost(xen, counts, caplog):
    def refuse(_query):
        raise failed("xc_readconsolering", "the console ring", 13)

    counts()
    xen.console += CRASH
    xen.before = refuse
    with caplog.at_level(logging.WARNING):
        assert [counts()[2] for _ in range(3)] == [0, 0, 0]
    assert 1 <= len(caplog.records) <= 1
    xen.before = lambda _query: None
    assert counts() == ({"domain_crashed": 1}, 0, 1)
