"""Interrupts by which Xen has the CPU of a mapper's other vCPU flush its TLB, counted by QEMU."""

import re

import pytest

from tests.lab.lab_dom0 import leftovers
from tests.lab.lab_pool import LabPool
from tests.lab.mapper.mapper_scripts import run_mapper_script
from tests.lab.qemu_events import qemu_events

pytestmark = pytest.mark.long

#: QEMU's trace events for a write to the local APIC, of QEMU 7.2 and 10.0
WRITES = ("apic_mem_writel", "apic_register_write")
#: a write to the interrupt command register with Xen's INVALIDATE_TLB_VECTOR (irq-vectors.h)
FLUSH = re.compile(
    r"(?:apic_mem_writel 0x300|apic_register_write register (?:0x)?30) = (?:0x)?[0-9a-f]*fd\b"
)
#: map and unmap hypercalls of two runs, whose difference excludes most of what starts and ends a
#: mapper
FEW, MORE = 100, 4100
#: flushes by dom0 and its kernel during a run, relative to the hypercalls
OTHERS = 0.1
#: least part of the flushes that interrupt a CPU: while dom0 runs on that of the second vCPU, its
#: TLB has nothing of the mapper
SHARE = 0.6


def interrupts(labs: LabPool, variant: str, kind: str, vcpus: int, batch: int) -> float:
    """Return the number of interrupts per unmap hypercall."""
    counted = []
    for calls in (FEW, MORE):
        # The script runs a warm-up and a sample, each of half of the calls.
        words = (kind, str(vcpus), str(batch), str(calls // 2), "1")
        with qemu_events(labs.get(variant), *WRITES) as events:
            run_mapper_script(labs, variant, "pair_rate.py", *words)
        counted.append(sum(FLUSH.search(event) is not None for event in events))
    return (counted[1] - counted[0]) / (MORE - FEW)


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("kind", ["pv", "pvh"])
@pytest.mark.parametrize("variant", ["stock", "patched"])
def test_interrupts_of_an_unmap_hypercall(labs: LabPool, variant, kind, batch):
    flushes = batch if (variant, kind) == ("stock", "pvh") else 1
    counted = {vcpus: interrupts(labs, variant, kind, vcpus, batch) for vcpus in (1, 2)}
    print(f"{variant}, {kind}, batch {batch}: {counted} interrupts per unmap hypercall, by vCPUs")
    assert abs(counted[1]) <= OTHERS
    assert SHARE * flushes <= counted[2] <= flushes + OTHERS
    assert leftovers(labs.get(variant)) == ""
