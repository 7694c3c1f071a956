"""`lab trace`: instructions and locks of an operation, on stock and patched Xen."""

import json
import subprocess
from collections import Counter

import pytest

from tests.lab.lab_dom0 import LAB, Dom0, leftovers

pytestmark = pytest.mark.long

BATCH = 32
#: bound on the instructions of a hypercall through privcmd outside Xen, per operation
OUTSIDE_XEN = 2500 / BATCH

#: upper bound on the domain-wide locks that a map and an unmap take together
DOMAIN_WIDE_LOCKS = {"exact": 5, "patched-exact": 0}


def trace(lab: Dom0, *options: str) -> dict:
    """Return the document of `lab trace` for a running lab."""
    words = [LAB, "trace", "--name", lab.name, *options]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parts(document: dict) -> list[dict]:
    return [part for each in document["hypercalls"] for part in each["parts"]]


def locks(document: dict) -> Counter[str]:
    return Counter(
        point["lock"] for part in parts(document) for point in part["points"] if point["lock"]
    )


def domain_wide_locks(document: dict) -> int:
    return sum(point["domain_wide"] for part in parts(document) for point in part["points"])


@pytest.mark.parametrize("variant", DOMAIN_WIDE_LOCKS)
def test_locks_and_fences_of_a_pair(labs, variant):
    lab = labs.get(variant)
    document = trace(lab, "--batch", str(BATCH))
    kinds = sum((Counter(part["serialising"]) for part in parts(document)), Counter())
    for part in parts(document):
        print(f"{variant}: {part['name']}: {part['instructions']} instructions")
        print("   ", *(f"{name} {count}," for name, count in part["by_symbol"].items()))
    print(f"{variant}: a pair: {dict(kinds)}, locks {dict(locks(document))}")
    assert domain_wide_locks(document) <= DOMAIN_WIDE_LOCKS[variant]
    if variant == "exact":
        assert locks(document) == {
            "maptrack free list": 2,
            "grant table, read": 3,
            "entry": 3,
        }
        assert kinds["locked"] == 14
    else:
        assert locks(document)["entry"] <= 3
    assert leftovers(lab) == ""


@pytest.mark.parametrize("variant", DOMAIN_WIDE_LOCKS)
def test_trace_and_instruction_clock_agree(labs, variant):
    """The trace logs the instructions in Xen; the clock counts all instructions."""
    lab = labs.get(variant)
    calls = {each["operation"]: each for each in trace(lab)["hypercalls"]}
    results = lab.bench("--granter", "guest", "--batch", str(BATCH), "--samples", "1000")
    for result in results["results"]:
        call = calls[result["operation"]]
        assert call["the_same"] > call["seen"] / 2  # an interrupt disturbed the others
        counted = call["instructions"] / BATCH
        outside = result["latency_ns"]["p50"] - counted
        print(f"{variant}: {result['operation']}: {counted:.1f} in Xen, {outside:.1f} outside")
        assert 0 < outside < OUTSIDE_XEN


#: TLB flushes of a hypercall that unmaps BATCH host mappings, by hypervisor and kind of mapper
FLUSHES = {
    ("exact", "pv"): 1,
    ("exact", "pvh"): BATCH,
    ("patched-exact", "pv"): 1,
    ("patched-exact", "pvh"): 1,
}


@pytest.mark.parametrize(("variant", "mapper"), FLUSHES)
def test_flushes_of_a_guest_that_maps(labs, variant, mapper):
    lab = labs.get(variant)
    document = trace(lab, "--mapper", mapper, "--batch", str(BATCH))
    assert (document["mapper"], document["granter"], document["engine"]) == (mapper, "empty", None)
    calls = {each["operation"]: each for each in document["hypercalls"]}
    for name, call in calls.items():
        each = call["instructions"] / BATCH
        print(
            f"{variant}, {mapper}: {name}: {each:.1f} instructions, {call['flush_rounds']} flushes"
        )
        assert call["the_same"] > call["seen"] / 2
    assert calls["unmap"]["flush_rounds"] == FLUSHES[variant, mapper]
    assert calls["map"]["flush_rounds"] == 0
    assert leftovers(lab) == ""


def test_a_trace_destroys_the_mapper_of_a_killed_load(patched_exact):
    lab = patched_exact
    trace(lab, "--mapper", "pvh")  # copies the load into dom0
    lab.check_output("python3", "/root/dom0/kill_trace_load.py")
    assert leftovers(lab, within=0).count("domain ") == 2  # the mapper and its granter
    calls = {each["operation"]: each for each in trace(lab, "--mapper", "pvh")["hypercalls"]}
    assert calls["unmap"]["flush_rounds"] == FLUSHES["patched-exact", "pvh"]
    assert leftovers(lab) == ""


def test_a_lab_with_two_vcpus_cannot_be_traced(dom0):
    done = subprocess.run(
        [LAB, "trace", "--name", dom0.name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "two vCPUs" in done.stderr
    assert "--exact" in done.stderr
