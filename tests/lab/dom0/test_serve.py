"""The agent in a real dom0: what it shows, and that nothing of it stays, whatever ends it."""

import json
import signal
import subprocess
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from xengt import leftovers, owner

CONFIG = """
[listen]
port = 0
[probe]
interval_s = 3
cpu_budget = 0.5
calls = 8
"""


def waits_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


class Agent:
    """One that runs."""

    def __init__(self, config):
        words = ["xengt", "serve", "--json", "--config", str(config)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.address = json.loads(self.process.stdout.readline())["address"]

    def scraped(self):
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def rounds(self):
        return self.scraped()["xengt_probe_rounds_total",]


@pytest.fixture
def agent(tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text(CONFIG)
    started = []

    def start():
        started.append(Agent(config))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        each.process.wait(timeout=60)


def ours(ctrl):
    return [domain.domid for domain in ctrl.domains() if owner.is_ours(domain.uuid)]


def test_a_probe_measures_and_the_host_is_told(agent, ctrl):
    one = agent()
    assert waits_until(lambda: one.rounds() >= 2)
    found = one.scraped()
    (domid,) = ours(ctrl)
    assert found["xengt_grant_frames", ("domid", str(domid))] >= 1
    assert found["xengt_domain_info", ("domid", "0"), ("dying", "no"), ("name", "Domain-0")] == 1
    assert {value for key, value in found.items() if key[0] == "xengt_probe_errors_total"} == {0}
    latencies = {key: value for key, value in found.items() if key[0].endswith("seconds_count")}
    assert len(latencies) == 16  # two engines, batches, numbers of mappings and operations
    for (_, *labels), count in latencies.items():
        assert count >= 2 * 8 * int(dict(labels)["batch"])
        mean = found["xengt_probe_latency_seconds_sum", *labels] / count
        # How they compare is not for a clock that is emulated, with eight calls a round.
        assert 0 < found["xengt_probe_floor_seconds", *labels] < 10, labels
        assert 0 < mean < 10, labels
    if ("xengt_mappings", ("domid", "0"), ("record", "fast")) in found:
        assert {dict(key[1:])["path"] for key in latencies} == {"fast", "slow"}
        assert found["xengt_mappings_made_total", ("domid", "0"), ("record", "fast")] > 0
    else:
        assert {dict(key[1:])["path"] for key in latencies} == {"slow"}
        assert found["xengt_unavailable", ("figure", "maptrack_frames")] == 1
    assert found["xengt_probe_cpu_seconds_total",] > 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_soon_and_leaves_nothing(agent, ctrl, ending):
    one = agent()
    assert waits_until(lambda: one.rounds() >= 1)
    began = time.monotonic()
    one.process.send_signal(ending)
    assert one.process.wait(timeout=60) == 0
    print("ended after", time.monotonic() - began)
    assert ours(ctrl) == []


def test_what_a_killed_one_left_the_next_one_takes_back(agent, ctrl):
    first = agent()
    assert waits_until(lambda: first.rounds() >= 1)
    first.process.kill()
    first.process.wait()
    left = set(leftovers.domains(ctrl))
    assert len(left) == 1
    second = agent()
    assert waits_until(lambda: second.rounds() >= 1)
    assert waits_until(lambda: not left & {domain.domid for domain in ctrl.domains()})
    second.process.terminate()
    assert second.process.wait(timeout=60) == 0
    assert ours(ctrl) == []


def test_a_benchmark_beside_it_is_not_disturbed(agent):
    one = agent()
    assert waits_until(lambda: one.rounds() >= 1)
    # It waits for a round that is being taken; then rounds wait for it.
    done = subprocess.run(
        ["xengt", "bench", "--duration", "5", "--json", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert waits_until(lambda: one.scraped()["xengt_probe_rounds_skipped_total",] >= 1)
    assert one.process.poll() is None
