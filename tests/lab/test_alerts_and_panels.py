"""Alerts and dashboard queries of a Prometheus that scrapes the agent in dom0."""

import pytest

from tests.lab.agent_scraping import background_unit, queries_without_data, scraped_agent
from tests.lab.lab_dom0 import leftovers
from tests.prometheus.server import waits_until

OPTIONS = """
[probe]
engines = ["hypercall", "gntdev", "copy"]
interval_s = 2
cpu_budget = 0.5
calls = 8
"""
ALERT = "XengtMaptrackNearlyFull"
#: entries to fill: 92 % of the 16,384 that MAPTRACK of lab_pool.py allows dom0
MANY = "15000"
FILLER = ("python3", "/root/dom0/fill_maptrack.py", MANY)


@pytest.mark.long
def test_panels_have_data_and_an_alert_fires_and_resolves(patched, tmp_path):
    with scraped_agent(patched, tmp_path, OPTIONS) as server:
        needs = {None, "patched", "copy"}
        waits_until(lambda: not queries_without_data(server, needs), 600)
        assert queries_without_data(server, needs) == []
        assert ALERT not in server.firing()
        with background_unit(patched, "filler", *FILLER, ready_text="full"):
            assert waits_until(lambda: ALERT in server.firing(), 600)
        assert waits_until(lambda: ALERT not in server.firing(), 600)
    assert leftovers(patched) == ""
