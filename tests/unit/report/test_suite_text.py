"""The text of a suite, for a mail or an issue."""

from dataclasses import replace

import pytest

from tests.unit.bench.simulated_suite import results
from tests.unit.made_documents import HOST
from xengt.bench import document
from xengt.bench.engines.names import EngineName
from xengt.bench.suite import plan_suite
from xengt.report import suite_text

ALL = list(EngineName)


@pytest.fixture(autouse=True)
def many_vcpus(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)


def test_the_text_has_the_width_of_a_mail():
    plan = plan_suite(ALL, 64, copy_pages=1024)
    facts = {
        "noise_ratio": 0.012,
        "numa_nodes": 2,
        "mitigations": "BTI-Thunk: RETPOLINE, SPEC_CTRL: IBRS+ STIBP+ SSBD-, Other: L1D_FLUSH VERW",
        "cpu": "AMD EPYC 9654 96-Core Processor",
    }
    text = suite_text.render(document.build({**HOST, **facts}, plan.to_json(), results(plan)))
    assert max(len(line) for line in text.splitlines()) <= 72
    for part in ("Mapping, per page", "Copying, per page", "Scaling over threads", "2 NUMA nodes"):
        assert part in text
    assert "noise: medians of 5 repeated measurements differ by up to 1.2 %" in text
    # A copy of 2,300 bytes costs 2,600 ns, as much as a map and an unmap of 1,300 ns each.
    rows = [line.split() for line in text.splitlines()]
    assert ["hypercall", "copy", "1", "none", "2,300", "B", "2,300", "B"] in rows


def test_the_text_explains_negative_latencies():
    """As measured with the patched Xen on two vCPUs, where the rejected unmap flushes TLBs."""
    plan = plan_suite(ALL, 2, copy_pages=1024)
    made = results(plan)
    flushed = [
        replace(each, floor_ns=each.latency_ns.p50 + 2000)
        if (each.case.engine, each.case.operation) == ("hypercall", "unmap")
        else each
        for each in made
    ]
    texts = [
        suite_text.render(document.build(HOST, plan.to_json(), each)) for each in (made, flushed)
    ]
    assert ["A negative latency" in text for text in texts] == [False, True]
    rows = [line.split() for line in texts[1].splitlines()]
    assert ["hypercall", "copy", "1", "none", "-", "-"] in rows


def test_instruction_counts_have_no_scaling():
    plan = plan_suite(ALL, 2, copy_pages=1024)
    host = {**HOST, "clock": "instructions"}
    text = suite_text.render(document.build(host, plan.to_json(), results(plan)))
    assert "Scaling" not in text
    assert "instr" in text
