"""Number of series and size of a page, as deploy/fleet/README.md states them."""

import re
from pathlib import Path

import pytest
from prometheus_client import ProcessCollector

from tests.unit.agent_fixtures import FIGURES
from tests.unit.fake_hypervisor import FakeCtrl, xen
from tests.unit.fake_tracefs import captured_histogram, fake_tracefs
from xengt.serve.config import ProbeOptions
from xengt.serve.domain_names import DomainNames
from xengt.serve.metrics import console_metrics
from xengt.serve.metrics.build_metrics import BuildMetrics
from xengt.serve.metrics.console_metrics import ConsoleMetrics
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.serve.metrics.probe_metrics import ProbeMetrics
from xengt.serve.metrics.reload_metrics import ReloadMetrics
from xengt.serve.page import Page
from xengt.serve.passive import tracefs
from xengt.serve.passive.kernel_metrics import KernelMetrics
from xengt.serve.probe import Probe

__all__ = ["fake_tracefs", "xen"]  # fixtures

README = (Path(__file__).parents[3] / "deploy/fleet/README.md").read_text(encoding="utf-8")
DOMAINS = 64
KIB = 1 << 10


def count(page):
    return sum(not line.startswith("#") for line in page.text().decode().splitlines())


def documented(row):
    """Return the numbers in the columns stock Xen, patched Xen, and both with the lean profile."""
    (cells,) = re.findall(rf"^\| {row} \| (.*) \|$", README, re.MULTILINE)
    return [[*map(int, re.findall(r"\d+", cell))] for cell in cells.split(" | ")]


@pytest.fixture(params=["stock", "patched"])
def agent(request, xen, monkeypatch):
    """A function that returns the sources of an agent on a host with some domains."""

    def create(domains):
        xen.tables = {}
        for domid in range(domains):
            xen.have(domid, *FIGURES)
        if request.param == "stock":
            xen.tables = None
        names = "guest-{}.example.org".format
        host = HostMetrics(1000, names)
        return [BuildMetrics(), ReloadMetrics(), host, ConsoleMetrics(), DomainNames(dict)]

    monkeypatch.setattr(console_metrics, "Ctrl", lambda: FakeCtrl(xen))
    create.column = ["stock", "patched"].index(request.param)
    return create


@pytest.fixture
def default_probe():
    """A probe with the default configuration, as after a round."""
    options = ProbeOptions()
    probe = Probe(options, dict.fromkeys(options.engines, True), fast=True, gntdev_entries=2)
    assert len(probe.latencies) == 8
    for each in probe.latencies.values():
        each.medians_s = dict.fromkeys(each.medians_s, 1.23456789e-6)
    return probe


def test_series_of_the_agent_and_of_each_domain(agent):
    one, more = (
        count(Page(agent(domains), [ProcessCollector(registry=None)])) for domains in (1, DOMAINS)
    )
    rows = ("each domain", "each domain that has mapped grants")  # all of these have
    domain = sum(documented(row)[agent.column][0] for row in rows)
    assert (more - one) == (DOMAINS - 1) * domain
    assert documented("agent")[agent.column] == [one - domain]


@pytest.mark.parametrize("lean", [False, True])
def test_series_of_the_probe_and_of_each_operation(default_probe, lean):
    own, operation = documented(r"probe, and each operation [^|]*")[2 if lean else 0]
    operations = 2 * len(default_probe.latencies)
    found = count(Page([ProbeMetrics(default_probe, lean=lean)]))
    assert found == own + operations * operation


@pytest.mark.parametrize("lean", [False, True])
def test_series_of_passive_latencies(fake_tracefs, lean):
    tracefs.install()
    assert fake_tracefs.triggers()
    for operation in tracefs.OPERATIONS:
        tracefs.histogram_file(operation).write_text(captured_histogram(operation))
    found = count(Page([KernelMetrics(up=True, lean=lean)]))
    assert documented("`passive.enabled`")[2 if lean else 0] == [found]


def test_the_lean_page_of_64_domains_has_at_most_64_kib(agent, default_probe):
    process = ProcessCollector(registry=None)
    lean = Page([*agent(DOMAINS), ProbeMetrics(default_probe, lean=True)], [process])
    assert len(lean.text()) <= 64 * KIB


@pytest.mark.parametrize("agent", ["stock"], indirect=True)
def test_the_series_of_the_example_add_up(agent, default_probe):
    process = ProcessCollector(registry=None)
    sources = agent(3)
    stated = [int(each.replace(",", "")) for each in re.findall(r" = ([\d,]+) series", README)]
    assert stated == [
        count(Page([*sources, ProbeMetrics(default_probe, lean=lean)], [process]))
        for lean in (False, True)
    ]
