"""The picture of the dashboard: of a real Prometheus that scrapes an agent of stand-ins."""

import time

import pytest
from boardlib import __main__ as program
from boardlib.asking import boxes
from boardlib.page import drawn_page

from tests.prometheus.server import RULES, config, prometheus, waits_until
from tests.unit.agent_fixtures import (
    fake_probes,
    host_samples,
    run_agent,
    signals_blocked,
    xen,
)
from tests.unit.browser import look, needs_chromium

__all__ = ["fake_probes", "host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures


@pytest.fixture
def page(run_agent, fake_probes, tmp_path):
    """One of some seconds, without a baseline and without a kernel's calls."""
    assert not fake_probes.created
    box = run_agent("[probe]\nengines = ['hypercall']\ninterval_s = 0.2\ncpu_budget = 1.0")
    job = {"job_name": "xengt", "static_configs": [{"targets": [box]}]}
    rules = {rule.name: rule.read_text().replace("interval: 2m", "interval: 1s") for rule in RULES}
    where = tmp_path / "server"
    where.mkdir()
    with prometheus(where, config(job, rules, 1), rules) as server:
        wanted = 'case:xengt_probe_latency_seconds:p50{operation="unmap"}'
        assert waits_until(lambda: server.query(wanted), 30)
        time.sleep(3)
        assert boxes(server.url) == [box]
        end = time.time()
        yield drawn_page(server.url, box, end - 10, end)


@needs_chromium
def test_panels_with_data_are_drawn(page, tmp_path):
    seen = look(page, tmp_path, width=1600)
    titles = {picture["title"] for picture in seen.found["pictures"]}
    assert {"map by hypercall: median", "map by hypercall, batch 32, mapping 1"} <= titles
    assert {"Mappings", "Maptrack entries used", "A scrape", "Domains"} <= titles
    assert not [title for title in titles if "gntdev" in title or "kernel" in title]
    for picture in seen.found["pictures"]:
        assert any(mark["painted"] for mark in picture["marks"]), picture["title"]
        assert picture["spilling"] == [], picture["title"]
        assert picture["labelled"]
    assert (seen.console, seen.found["loaded"]) == ([], [])
    assert seen.found["wide"] <= 0
    assert "4.20.3, 00ff" in seen.found["text"]


@needs_chromium
def test_all_of_it_is_in_the_file(page, tmp_path):
    file = tmp_path / "board.png"
    program.write(page, file)
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    assert width == 1600
    assert height > 900
