"""The agent's domain and the toolstack: xl, xentop and xendomains see it, and can end it."""

import json
import subprocess
import time

import pytest
from agent import wait_until
from patience import patient

from xengt.recovery import domain_nodes, domain_owner
from xengt.xen.xenstore import XenStore

CONFIG = """
[listen]
port = 0
[probe]
interval_s = 0.1
cpu_budget = 1.0
calls = 8
"""
#: seconds that libxl waits for a domain that does not acknowledge a request
LIBXL_TIMEOUT_S = 60


def xl(*words, timeout=300, check=True):
    return subprocess.run(
        ["xl", *words], capture_output=True, text=True, check=check, timeout=patient(timeout)
    )


def own_domids(ctrl):
    return [domain.domid for domain in ctrl.domains() if domain_owner.is_ours(domain.uuid)]


@pytest.fixture
def agent(agents, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text(CONFIG)
    one = agents(config)
    assert wait_until(lambda: one.rounds() >= 1)
    return one


@pytest.fixture
def domid(agent, ctrl):
    """The domid of the agent's domain, once it has its name."""
    assert agent.rounds() >= 1
    (found,) = own_domids(ctrl)
    with XenStore() as store:
        assert wait_until(lambda: store.name_of(found) == domain_nodes.name(found))
    return found


def nodes(domid):
    with XenStore() as store:
        return store.children(f"/local/domain/{domid}")


def errors(agent):
    return sum(n for key, n in agent.scrape().items() if key[0] == "xengt_probe_errors_total")


def test_xl_and_xentop_show_a_name_and_no_error(domid):
    name = domain_nodes.name(domid)
    for words in (("list",), ("vcpu-list",), ("list", "-v")):
        done = xl(*words)
        assert done.stderr == ""
        assert "(null)" not in done.stdout
    assert name in xl("list").stdout
    assert xl("domid", name).stdout.strip() == str(domid)
    # `xl list -l` leaves out domains without a configuration, and must still print the others.
    assert all("name" in each["config"]["c_info"] for each in json.loads(xl("list", "-l").stdout))
    # Debian's xendomains saves and shuts down the domains of this list.
    listed = subprocess.check_output(["/usr/lib/xen-common/bin/xen-init-list"], text=True)
    assert [line.split()[1] for line in listed.splitlines()] == ["guest"]
    top = subprocess.run(["xentop", "-b", "-i", "2"], capture_output=True, text=True, check=True)
    assert name in top.stdout
    assert "guest" in top.stdout


@pytest.mark.parametrize("verb", ["shutdown", "reboot"])
def test_the_domain_goes_away_at_once_when_xl_shuts_it_down(agent, ctrl, domid, verb):
    began = time.monotonic()
    xl(verb, "--wait", domain_nodes.name(domid))
    assert time.monotonic() - began < min(patient(10), LIBXL_TIMEOUT_S)
    assert domid not in own_domids(ctrl)
    assert nodes(domid) == []
    # It is not replaced at once, as the host may be shutting down.
    assert own_domids(ctrl) == []
    before = agent.rounds()
    assert wait_until(lambda: agent.rounds() > before)
    assert len(own_domids(ctrl)) == 1
    assert errors(agent) == 0


@pytest.mark.parametrize("repetition", range(3))  # in different phases of a round
def test_xl_destroy_during_a_round_is_no_error(agent, ctrl, domid, repetition):
    time.sleep(0.03 * repetition)
    done = xl("destroy", str(domid))
    assert done.stderr == ""
    assert wait_until(lambda: domid not in {each.domid for each in ctrl.domains()})
    assert nodes(domid) == []
    before = agent.rounds()
    assert wait_until(lambda: agent.rounds() > before)
    assert errors(agent) == 0


def test_the_name_goes_with_the_agent(agent, ctrl, domid):
    agent.process.terminate()
    assert agent.process.wait(timeout=patient(300)) == 0
    assert own_domids(ctrl) == []
    assert nodes(domid) == []


def test_the_name_of_a_killed_agents_domain_is_removed_by_the_next_one(
    agent, agents, ctrl, domid, tmp_path
):
    agent.process.kill()
    agent.process.wait()
    assert nodes(domid) == ["name"]
    second = agents(tmp_path / "serve.toml")
    assert wait_until(lambda: second.rounds() >= 1)
    assert domid not in own_domids(ctrl)
    assert nodes(domid) == []


def test_a_benchmark_ends_when_its_domains_are_shut_down(ctrl):
    words = ["xengt", "bench", "--granters", "2", "--references", "64", "--duration", "600"]
    bench = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert wait_until(lambda: len(own_domids(ctrl)) == 2)
        first, second = own_domids(ctrl)
        with XenStore() as store:
            assert wait_until(lambda: store.name_of(second) == domain_nodes.name(second))
        began = time.monotonic()
        xl("shutdown", "--wait", str(first))
        assert time.monotonic() - began < min(patient(10), LIBXL_TIMEOUT_S)
    finally:
        bench.terminate()
        bench.wait(timeout=patient(300))
    assert own_domids(ctrl) == []
    assert nodes(first) == nodes(second) == []
