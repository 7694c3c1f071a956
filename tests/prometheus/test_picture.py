"""The dashboard's picture, from a real Prometheus that scrapes an agent on simulated Xen."""

import time

import pytest
from boardlib import __main__ as program
from boardlib.page import render_page
from boardlib.prometheus_api import instances

from tests.prometheus.server import RULES, config, prometheus, waits_until
from tests.unit.browser import look, needs_chromium
from tests.unit.serving import blocked, probing, running, told, xen

__all__ = ["blocked", "probing", "running", "told", "xen"]  # fixtures


@pytest.fixture
def page(running, probing, tmp_path):
    """The page of some seconds, without a baseline and without kernel metrics."""
    assert not probing.made
    instance = running("[probe]\nengines = ['hypercall']\ninterval_s = 0.2\ncpu_budget = 1.0")
    job = {"job_name": "xengt", "static_configs": [{"targets": [instance]}]}
    rules = {rule.name: rule.read_text().replace("interval: 2m", "interval: 1s") for rule in RULES}
    where = tmp_path / "server"
    where.mkdir()
    with prometheus(where, config(job, rules, 1), rules) as server:
        query = 'case:xengt_probe_latency_seconds:p50{operation="unmap"}'
        assert waits_until(lambda: server.query(query), 30)
        time.sleep(3)
        assert instances(server.url) == [instance]
        end = time.time()
        yield render_page(server.url, instance, end - 10, end)


@needs_chromium
def test_panels_with_data_are_drawn(page, tmp_path):
    seen = look(page, tmp_path, width=1600)
    titles = {picture["title"] for picture in seen.found["pictures"]}
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
    for picture in seen.found["pictures"]:
        assert any(mark["painted"] for mark in picture["marks"]), picture["title"]
        assert picture["spilling"] == [], picture["title"]
        assert picture["labelled"]
    assert (seen.console, seen.found["loaded"]) == ([], [])
    assert seen.found["wide"] <= 0
    assert "4.20.3, 00ff" in seen.found["text"]


@needs_chromium
def test_the_picture_contains_the_whole_page(page, tmp_path):
    file = tmp_path / "board.png"
    program.write_png(page, file)
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    assert width == 1600
    assert height > 900
