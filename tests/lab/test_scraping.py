"""A real Prometheus that scrapes the agent in dom0, its alerts, and the dashboard's queries."""

import pytest

from tests.lab.agents import empty, scraped, serving
from tests.lab.reach import left_behind
from tests.prometheus.server import waits_until

OPTIONS = """
[probe]
interval_s = 2
cpu_budget = 0.5
calls = 8
"""
ALERT = "XengtMaptrackNearlyFull"
#: entries of the 16,384 that MAPTRACK leaves dom0: 92 %
MANY = "15000"
FILLER = ("python3", "/root/dom0/fill_maptrack.py", MANY)


@pytest.mark.long
def test_panels_show_something_and_an_alert_comes_and_goes(patched, tmp_path):
    with scraped(patched, tmp_path, OPTIONS) as server:
        waits_until(lambda: not empty(server, {None, "patched"}), 600)
        assert empty(server, {None, "patched"}) == []
        assert ALERT not in server.firing()
        with serving(patched, "filler", *FILLER, says="full"):
            assert waits_until(lambda: ALERT in server.firing(), 600)
        assert waits_until(lambda: ALERT not in server.firing(), 600)
    assert left_behind(patched) == ""
