"""What the agent shows of its own tests' stand-ins: good metrics, and all that is asked for."""

import json
import re
import urllib.request

import pytest
from boardlib.board import filled

from tests.patience import patient
from tests.prometheus.obtained import promtool
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

#: of the Prometheus itself
SCRAPED = {"up", "scrape_duration_seconds"}
#: only where a kernel is traced
ELSEWHERE = {
    "xengt_kernel_grant_seconds_bucket",
    "xengt_kernel_grant_seconds_count",
}
_NAME = re.compile(r"\b(?:(?:xengt|process|scrape|case:|domain:)[\w:]+|up\b)")


@pytest.fixture
def page(run_agent, fake_probes):
    """One with latencies."""
    assert not fake_probes.created
    address = run_agent("[probe]\ninterval_s = 0.05")

    def fetched():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=patient(10)) as answer:
            return answer.read().decode()

    assert wait_until(lambda: "xengt_probe_rounds_total 0.0" not in fetched())
    return fetched()


def test_promtool_has_nothing_to_say_of_it(page):
    said = promtool("check", "metrics", given=page)
    assert (said.returncode, said.stdout) == (0, "")


def test_promtool_would_say_so(page):
    said = promtool("check", "metrics", given=page.replace("made_total", "made"))
    assert said.returncode != 0
    assert "xengt_mappings_made" in said.stdout


def recorded():
    return {name for file in RULES for name in re.findall(r"record: (\S+)", file.read_text())}


def asked(expr):
    """The metrics that an expression names, which no text in it does."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', "", expr)))


def expressions():
    for file in RULES:
        # to the key after it, the next rule or the next comment
        yield from re.findall(r"expr: (.+?)\n *(?:for:|-|#|$)", file.read_text(), re.DOTALL)
    board = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield filled(target["expr"], "box", "1m")


def test_all_that_is_asked_for_is_there(page):
    shown = set(re.findall(r"^([a-z_]+)", page, re.MULTILINE))
    names = set().union(*map(asked, expressions()))
    print(sorted(names))
    assert {"xengt_mappings", "up", "case:xengt_probe_latency_seconds:p50"} <= names
    assert names - shown - recorded() - SCRAPED - ELSEWHERE == set()
