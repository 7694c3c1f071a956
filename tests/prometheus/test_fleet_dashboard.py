"""Every query of the fleet's dashboard, on a real Prometheus that scrapes hosts of three sites."""

import json
import re
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from boardlib.boards import BOARDS, FLEET, HOST
from boardlib.variables import interpolate

from tests.patience import patient
from tests.prometheus.debian_package import promtool
from tests.prometheus.server import agents_scraped, waits_until
from tests.unit.agent_fixtures import (
    fake_probes,
    host_samples,
    run_agent,
    signals_blocked,
    xen,
)

__all__ = ["fake_probes", "host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures

EVERY_S = 4
#: rule file → regular expression → replacement that shortens a time of its rules
HURRY = {
    "alerts.rules.yml": {r"(?m)^( +for: )\w+$": r"\g<1>1s"},
    "recording.rules.yml": {
        r"interval: 2m": "interval: 1s",
        r"\[5m\]": f"[{4 * EVERY_S}s]",
        # The baseline is the lowest median of the test, so that a slow host remains one.
        r"quantile_over_time\(0.5": "quantile_over_time(0",
        r"\[1d\] offset 1h": "[1h]",
        r">= 180": ">= 3",
    },
}
#: Fast buckets of the probe, whose latencies on the fake Xen are 1 µs and less.
_FAST = re.compile(r'(xengt_probe_latency_seconds_bucket\{.*le="([^"]+)".*\}) (.+)')


class SlowHost:
    """The page of an agent, changed to that of a host with every kind of problem."""

    def __init__(self, address):
        self.address = address
        self.frozen = {}
        self.slow = False
        self.scrapes = 0

    def page(self):
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=patient(10)) as got:
            lines = got.read().decode().splitlines()
        self.scrapes += 1
        changed = [self.line(line) for line in lines]
        dying = '{domid="99",dying="yes",name=""}'
        added = [
            f"xengt_domain_info{dying} 1",
            f'xengt_probe_errors_total{{status="GNTST_no_space"}} {self.scrapes}',
        ]
        return "\n".join([*changed, *added, ""]).replace('build_id="00ff', 'build_id="11ff')

    def line(self, line):
        """Return a line: once the host is slow, fast buckets count no further calls."""
        match = _FAST.fullmatch(line)
        if match is None or float(match[2]) > 1e-5:
            return line
        if not self.slow:
            self.frozen[match[1]] = match[3]
        return f"{match[1]} {self.frozen.get(match[1], match[3])}"


@contextmanager
def serving(host):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = host.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def fleet(run_agent, fake_probes, tmp_path):
    """A Prometheus of a healthy host, a slow one, and one that does not answer; and their names."""
    assert not fake_probes.created
    first = run_agent("[probe]\nengines = ['hypercall']\ninterval_s = 0.2\ncpu_budget = 1.0")
    host = SlowHost(first)
    with serving(host) as second:
        hosts = {"first": first, "second": second, "third": "127.0.0.1:1"}
        targets = [
            {"targets": [address], "labels": {"site": f"site-{name}", "instance": name}}
            for name, address in hosts.items()
        ]
        with agents_scraped(tmp_path, targets, HURRY, EVERY_S) as server:
            query = 'case:xengt_probe_latency_seconds:p50{instance="second", operation="unmap"}'
            assert waits_until(lambda: server.query(query), 60)
            host.slow = True
            yield server


def queries(board, site=".*"):
    """Yield the panel's title and the query of all queries, with variables replaced."""
    for row in board.rows.values():
        for panel in row:
            if panel.requires != "passive":
                for each in panel.queries:
                    yield panel.title, interpolate(each.expr, "second", f"{4 * EVERY_S}s", site)


def without_data(server, board):
    return [title for title, expr in queries(board) if not server.query(expr)]


def test_every_query_of_the_fleet_has_data_and_sites_can_be_selected(fleet):
    expected = {"XengtDown", "XengtLatencyRegression", "XengtLeakedGrants"}
    waits_until(lambda: not without_data(fleet, FLEET) and expected <= fleet.firing(), 120)
    assert without_data(fleet, FLEET) == []
    found = {title: fleet.query(expr) for title, expr in queries(FLEET)}
    assert found["Hosts"] == {(): 3}
    assert found["Hosts without an answer"] == {(): 1}
    assert found["Hosts with a regression"] == {(): 1}
    assert found["Hypervisor builds"] == {(): 2}
    assert found["Largest ratio of each site"][("site", "site-second"),] > 1.25
    firing = {dict(labels)["alertname"] for labels in found["Alerts that fire now"]}
    assert expected <= firing
    for title, expr in queries(FLEET, "site-first"):
        sites = {dict(labels).get("site", "site-first") for labels in fleet.query(expr)}
        assert sites <= {"site-first"}, title


def test_the_queries_of_a_host_are_those_of_the_selected_job_and_instance(fleet):
    for title, expr in queries(HOST):
        instances = {dict(labels).get("instance", "second") for labels in fleet.query(expr)}
        assert instances <= {"second"}, title
        assert fleet.query(expr.replace('job="xengt"', 'job="other"')) == {}, title


@pytest.mark.parametrize("name", BOARDS)
def test_a_changed_hypervisor_is_marked_and_a_reboot_is_not(tmp_path, name):
    (annotation,) = BOARDS[name].annotations
    expr = interpolate(annotation.expr, "box", "1m")

    def series(build, values):
        labels = f'job="xengt", instance="box", version="4.20.3", build_id="{build}"'
        return {"series": f"xengt_hypervisor_info{{{labels}}}", "values": values}

    # The host reboots into the same hypervisor at 60 min, and at 120 min into another one, which is
    # up at 124 min.
    same = "1x59 stale _x4 1x54 stale _x200"
    other = "_x124 1x100"

    def marks(minute, builds):
        samples = [
            {
                "labels": 'xengt_hypervisor_info{job="xengt", instance="box", version="4.20.3", '
                f'build_id="{build}"}}',
                "value": 1,
            }
            for build in builds
        ]
        return {"expr": expr, "eval_time": f"{minute}m", "exp_samples": samples}

    test = {
        "interval": "1m",
        "input_series": [series("one", same), series("two", other)],
        "promql_expr_test": [
            *(marks(minute, []) for minute in (1, 10, 65, 66, 70, 100, 121)),
            *(marks(minute, ["two"]) for minute in (124, 126, 128)),
            *(marks(minute, []) for minute in (129, 131, 140, 160, 200)),
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}))
    result = promtool("test", "rules", file)
    assert result.returncode == 0, result.stdout
