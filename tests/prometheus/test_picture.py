"""The dashboard's picture, from a real Prometheus that scrapes an agent on simulated Xen."""

import time

import pytest
from boardlib import __main__ as program
from boardlib.page import render_page
from boardlib.prometheus_api import instances

from tests.prometheus.server import agents_scraped, waits_until
from tests.unit.agent_fixtures import (
    fake_probes,
    host_samples,
    run_agent,
    signals_blocked,
    xen,
)
from tests.unit.browser import needs_chromium, render_in_browser

__all__ = ["fake_probes", "host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures


@pytest.fixture
def page(run_agent, fake_probes, tmp_path):
    """One of some seconds, without a baseline and without a kernel's calls."""
    assert not fake_probes.created
    instance = run_agent("[probe]\nengines = ['hypercall']\ninterval_s = 0.2\ncpu_budget = 1.0")
    changes = {"recording.rules.yml": {"interval: 2m": "interval: 1s"}}
    where = tmp_path / "server"
    where.mkdir()
    with agents_scraped(where, [{"targets": [instance]}], changes, 1) as server:
        query = 'case:xengt_probe_latency_seconds:p50{operation="unmap"}'
        assert waits_until(lambda: server.query(query), 30)
        time.sleep(3)
        assert instances(server.url) == [instance]
        end = time.time()
        yield render_page(server.url, instance, end - 10, end)


@needs_chromium
def test_panels_with_data_are_drawn(page, tmp_path):
    rendering = render_in_browser(page, tmp_path, width=1600)
    titles = {picture["title"] for picture in rendering.probe["charts"]}
    assert {
        "map with hypercall: median latency",
        "map with hypercall, batch 32, mapping 1: distribution",
    } <= titles
    assert {
        "Outstanding mappings",
        "Maptrack entries in use",
        "Scrape duration",
        "Domains",
    } <= titles
    assert not [title for title in titles if "gntdev" in title or "kernel" in title]
    for picture in rendering.probe["charts"]:
        assert any(mark["painted"] for mark in picture["marks"]), picture["title"]
        assert picture["overflowing"] == [], picture["title"]
        assert picture["labelled"]
    assert (rendering.console, rendering.probe["loaded"]) == ([], [])
    assert rendering.probe["overflow_width"] <= 0
    assert "4.20.3, 00ff" in rendering.probe["text"]


@needs_chromium
def test_the_picture_contains_the_whole_page(page, tmp_path):
    file = tmp_path / "board.png"
    program.write_png(page, file)
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    assert width == 1600
    assert height > 900
