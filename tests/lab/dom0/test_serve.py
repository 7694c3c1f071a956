"""The agent in a real dom0: its metrics, its end by signals, and no leaks."""

import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from agent import wait_until
from patience import patient

from xengt.recovery import domain_owner, sweep
from xengt.xen import kernel

CONFIG = """
[listen]
port = 0
[probe]
interval_s = 3
cpu_budget = 0.5
calls = 8
"""


@pytest.fixture
def agent(agents, tmp_path):
    config = tmp_path / "serve.toml"

    def start(probe=""):
        config.write_text(f"[listen]\nport = 0\n{probe}" if probe else CONFIG)
        return agents(config)

    return start


def own_domains(ctrl):
    return [domain.domid for domain in ctrl.domains() if domain_owner.is_ours(domain.uuid)]


def test_probe_and_host_metrics(agent, ctrl):
    one = agent()
    assert wait_until(lambda: one.rounds() >= 2)
    found = one.scrape()
    (domid,) = own_domains(ctrl)
    assert found["xengt_grant_frames", ("domid", str(domid))] >= 1
    for key in (("0", "Domain-0", "no"), (str(domid), f"xengt-{domid}", "yes")):
        labels = zip(("domid", "name", "own"), key, strict=True)
        assert found["xengt_domain_info", *sorted((*labels, ("dying", "no")))] == 1
    assert {value for key, value in found.items() if key[0] == "xengt_probe_errors_total"} == {0}
    latencies = {key: value for key, value in found.items() if key[0].endswith("seconds_count")}
    # All combinations of engines, two batches, two numbers of mappings and two operations. A PVH
    # dom0 has one engine, and in it gntdev maps a page once.
    engines = {"gntdev"} if kernel.is_translated() else {"gntdev", "hypercall"}
    assert {dict(labels)["engine"] for _, *labels in latencies} == engines
    assert len(latencies) == 8 * len(engines)
    for (_, *labels), count in latencies.items():
        assert count >= 2 * 8 * int(dict(labels)["batch"])
        mean = found["xengt_probe_latency_seconds_sum", *labels] / count
        # An emulated clock and eight calls per round are too imprecise to compare these values.
        assert 0 < found["xengt_probe_floor_seconds", *labels] < 10, labels
        assert 0 < mean < 10, labels
    if ("xengt_mappings", ("domid", "0"), ("record", "fast")) in found:
        assert {dict(key[1:])["path"] for key in latencies} == {"fast", "slow"}
        assert found["xengt_mappings_made_total", ("domid", "0"), ("record", "fast")] > 0
    else:
        assert {dict(key[1:])["path"] for key in latencies} == {"slow"}
        assert found["xengt_unavailable", ("figure", "maptrack_frames")] == 1
    assert found["xengt_probe_cpu_seconds_total",] > 0


def test_a_probe_that_copies(agent, ctrl):
    one = agent('[probe]\nengines = ["copy"]\ninterval_s = 1\ncpu_budget = 0.5\ncalls = 8\n')
    assert wait_until(lambda: one.rounds() >= 2)
    found = one.scrape()
    assert found["xengt_probe_up", ("engine", "copy")] == 1
    counts = {key: value for key, value in found.items() if key[0].endswith("seconds_count")}
    assert len(counts) == 2 * 2
    for (_, *labels), count in counts.items():
        assert dict(labels)["operation"] in {"copy_from", "copy_to"}
        assert count >= 2 * 8 * int(dict(labels)["batch"])
    assert {value for key, value in found.items() if key[0] == "xengt_probe_errors_total"} == {0}
    one.process.terminate()
    assert one.process.wait(timeout=patient(300)) == 0
    assert own_domains(ctrl) == []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_without_leaks(agent, ctrl, ending):
    one = agent()
    assert wait_until(lambda: one.rounds() >= 1)
    began = time.monotonic()
    one.process.send_signal(ending)
    assert one.process.wait(timeout=patient(300)) == 0
    print(f"ended after {time.monotonic() - began:.2f} s")
    assert own_domains(ctrl) == []


def test_the_next_agent_cleans_up_after_a_killed_one(agent, ctrl):
    first = agent()
    assert wait_until(lambda: first.rounds() >= 1)
    first.process.kill()
    first.process.wait()
    abandoned = set(sweep.abandoned_domains(ctrl))
    assert len(abandoned) == 1
    second = agent()
    assert wait_until(lambda: second.rounds() >= 1)
    assert wait_until(lambda: not abandoned & {domain.domid for domain in ctrl.domains()})
    second.process.terminate()
    assert second.process.wait(timeout=patient(300)) == 0
    assert own_domains(ctrl) == []


def shows_name(one, name):
    return any(key[0] == "xengt_domain_info" and ("name", name) in key for key in one.scrape())


def xenstore(verb, path):
    return subprocess.run([f"xenstore-{verb}", path], capture_output=True, text=True, check=False)


def test_domain_names_are_updated_and_the_status_is_in_xenstore(agent):
    one = agent()
    status = "/local/domain/0/data/xengt/serve"
    assert wait_until(lambda: xenstore("read", f"{status}/state").stdout == "probing\n")
    assert xenstore("read", f"{status}/address").stdout.strip() == one.address
    assert xenstore("read", f"{status}/pid").stdout.strip() == str(one.process.pid)
    assert wait_until(lambda: shows_name(one, "guest"))
    subprocess.run(["xl", "rename", "guest", "other"], check=True)
    try:
        assert wait_until(lambda: shows_name(one, "other"))
        assert not shows_name(one, "guest")
    finally:
        subprocess.run(["xl", "rename", "other", "guest"], check=True)
    one.process.kill()
    one.process.wait()
    second = agent()
    assert wait_until(
        lambda: xenstore("read", f"{status}/pid").stdout.strip() == str(second.process.pid)
    )
    second.process.terminate()
    second.process.wait(timeout=patient(300))
    assert xenstore("exists", status).returncode == 1


def test_short_lived_domains_leave_no_series(agent, ctrl):
    one = agent()
    assert wait_until(lambda: one.rounds() >= 1)
    before = {key for key in one.scrape() if key[0] == "xengt_grant_frames"}
    stop, pages = threading.Event(), []

    def scrape():
        while not stop.is_set():
            pages.append(one.scrape())

    scraping = threading.Thread(target=scrape)
    scraping.start()
    try:
        for _ in range(100):
            domid = ctrl.create_empty(b"xengt-test-storm", 4)
            ctrl.destroy(domid)
    finally:
        stop.set()
        scraping.join()
    found = one.scrape()
    assert {key for key in found if key[0] == "xengt_grant_frames"} == before
    assert found["xengt_host_read_failures_total",] == 0
    assert {value for key, value in found.items() if key[0] == "xengt_probe_errors_total"} == {0}
    observed = {key for page in pages for key in page if key[0] == "xengt_grant_frames"}
    print(f"{len(pages)} scrapes saw {len(observed - before)} of 100 domains")


def test_the_probe_stays_within_its_cpu_budget(agent):
    budget = 0.2
    one = agent(f"[probe]\ninterval_s = 0.01\ncpu_budget = {budget}\ncalls = 8\n")
    assert wait_until(lambda: one.rounds() >= 1)
    first, began = one.scrape(), time.monotonic()
    assert wait_until(lambda: one.rounds() >= first["xengt_probe_rounds_total",] + 4)
    last, ended = one.scrape(), time.monotonic()
    used = last["xengt_probe_cpu_seconds_total",] - first["xengt_probe_cpu_seconds_total",]
    print(f"{used / (ended - began):.4f} of a vCPU, of {budget}")
    # The interval spans four rounds, but does not contain the pause after the last one.
    assert used * 3 / 4 < budget * (ended - began)
    stat = Path(f"/proc/{one.process.pid}/stat").read_text().rpartition(")")[2].split()
    assert last["xengt_probe_cpu_seconds_total",] <= sum(map(int, stat[11:13])) / 100 + 0.02


def test_a_port_in_use_is_reported(agent, tmp_path):
    one = agent()
    config = tmp_path / "other.toml"
    config.write_text(f"[listen]\nport = {one.address.rpartition(':')[2]}\n")
    done = subprocess.run(
        ["xengt", "serve", "--config", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"cannot listen on {one.address}: Address already in use" in done.stderr


def test_the_probe_pauses_during_a_benchmark(agent):
    one = agent()
    assert wait_until(lambda: one.rounds() >= 1)
    # The benchmark waits for a running round; afterwards rounds are skipped until it ends.
    done = subprocess.run(
        ["xengt", "bench", "--engine", "gntdev", "--duration", "5", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: one.scrape()["xengt_probe_rounds_skipped_total",] >= 1)
    assert one.process.poll() is None
