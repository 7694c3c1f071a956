"""The agent's metrics on simulated Xen: valid, and complete for the rules and the dashboard."""

import json
import re
import urllib.request

import pytest
from boardlib.boards import BOARDS
from boardlib.variables import interpolate

from tests.patience import patient
from tests.prometheus.debian_package import promtool
from tests.prometheus.server import DEPLOY, RULES
from tests.unit.agent_fixtures import (
    fake_probes,
    host_samples,
    run_agent,
    signals_blocked,
    xen,
)
from tests.unit.waiting import wait_until

__all__ = ["fake_probes", "host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures

#: Metrics that Prometheus itself adds.
SCRAPED = {"up", "scrape_duration_seconds"}
#: Metrics that need a traced kernel.
TRACED = {
    "xengt_kernel_grant_seconds_bucket",
    "xengt_kernel_grant_seconds_count",
}
_NAME = re.compile(r"\b(?:(?:xengt|process|scrape|case:|domain:)[\w:]+|up\b)")


@pytest.fixture
def page(run_agent, fake_probes):
    """One with latencies, of the lean profile, which has a metric more."""
    assert not fake_probes.created
    address = run_agent("[probe]\ninterval_s = 0.05\n[host]\nprofile = 'lean'")

    def fetch():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=patient(10)) as answer:
            return answer.read().decode()

    assert wait_until(lambda: "xengt_probe_rounds_total 0\n" not in fetch())
    return fetch()


def test_promtool_finds_no_problem_in_the_metrics(page):
    result = promtool("check", "metrics", stdin=page)
    assert (result.returncode, result.stdout) == (0, "")


def test_promtool_finds_a_badly_named_metric(page):
    result = promtool("check", "metrics", stdin=page.replace("made_total", "made"))
    assert result.returncode != 0
    assert "xengt_mappings_made" in result.stdout


def recorded_names():
    return {name for file in RULES for name in re.findall(r"record: (\S+)", file.read_text())}


def metric_names(expr):
    """Return the metrics that an expression names, except in its string literals."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', "", expr)))


def expressions():
    for file in RULES:
        # An expression ends before the next key, rule or comment.
        yield from re.findall(r"expr: (.+?)\n *(?:for:|-|#|$)", file.read_text(), re.DOTALL)
    for name in BOARDS:
        board = json.loads((DEPLOY / "grafana" / name).read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield interpolate(target["expr"], "box", "1m")


def test_the_agent_has_every_metric_that_rules_and_dashboard_use(page):
    exported = set(re.findall(r"^([a-z_]+)", page, re.MULTILINE))
    names = set().union(*map(metric_names, expressions()))
    print(sorted(names))
    assert {"xengt_mappings", "up", "case:xengt_probe_latency_seconds:p50"} <= names
    assert names - exported - recorded_names() - SCRAPED - TRACED == set()
