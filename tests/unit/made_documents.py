"""Bench documents as a run makes them, of samples drawn instead of measured.

The samples go through the same histogram and the same folding as measured
ones; only the clock is missing.
"""

from itertools import product
from random import Random
from typing import Any

from xengt.bench.case import Case
from xengt.bench.document import BenchDocument, build
from xengt.bench.engines.names import EngineName
from xengt.bench.result import Result, summarise
from xenlib_cffi.histogram import Histogram

HOST: dict[str, Any] = {
    "xen_version": "4.20.3",
    "xen_build_id": "a1b2c3d4",
    "xen_commandline": "placeholder com1=115200,8n1 console=com1 dom0_mem=1024M,max:1024M",
    "xen_debug": False,
    "kernel": "6.12.48+deb13-amd64",
    "dom0": "PV",
    "dom0_vcpus": 2,
    "pcpus": 2,
    "cpu": "QEMU TCG CPU version 2.5+",
    "emulated": True,
    "iommu": "none",
    "boot_id": "5f0c1d2e-0000-4000-8000-000000000001",
    "maptrack": "stock",
}
# ns of a call: what entering costs, what an operation adds; floors likewise.
_COST = {
    ("hypercall", "map"): (1_800, 560),
    ("hypercall", "unmap"): (1_950, 530),
    ("gntdev", "map"): (21_000, 2_300),
    ("gntdev", "unmap (asynchronous)"): (16_500, 900),
}
_FLOOR = (1_850, 165)


def drawn(case: Case, random: Random, samples: int, scale: float) -> tuple[Histogram, int]:
    """Draw the times of one operation's calls, and their sum in ns."""
    enter, each = _COST[case.engine, case.operation]
    calls = Histogram()
    typical = (enter + each * case.batch * scale) * (1 + 0.22 * (case.threads - 1))
    for _ in range(samples):
        value = typical * random.lognormvariate(0, 0.025)
        if random.random() < 0.004:
            value += random.expovariate(1 / 45_000)
        calls.record(round(value))
    return calls, calls.sum


def loop_results(cases: list[Case], random: Random, samples: int, scale: float) -> list[Result]:
    """Draw what one loop measures, whose operations take turns and share its time."""
    timed = [drawn(case, random, samples, scale) for case in cases]
    elapsed_ns = sum(ns for _, ns in timed) / cases[0].threads
    batch = cases[0].batch
    floor = (_FLOOR[0] + _FLOOR[1] * batch) / batch if cases[0].engine == "hypercall" else None
    return [
        summarise(case, calls, samples=samples, elapsed_s=elapsed_ns / 1e9, floor_ns=floor)
        for case, (calls, _) in zip(cases, timed, strict=True)
    ]


def document(
    *,
    seed: int = 1,
    engines: tuple[str, ...] = ("hypercall", "gntdev"),
    granters: tuple[str, ...] = ("empty",),
    batches: tuple[int, ...] = (1, 8, 32),
    threads: tuple[int, ...] = (1, 2),
    samples: int = 2_000,
    scale: float = 1.0,
    **host: object,
) -> BenchDocument:
    """Make a run's document.

    Args:
        seed: of the samples.
        engines: as the plan's.
        granters: as the plan's.
        batches: as the plan's.
        threads: as the plan's.
        samples: calls of each case.
        scale: what each operation costs, against the usual.
        host: facts that differ from `HOST`.
    """
    random = Random(seed)  # noqa: S311 (samples, not secrets)
    typical = random.lognormvariate(0, 0.004) * scale
    loops = [
        [
            Case(EngineName(engine), granter, batch, thread, references=256, operation=operation)
            for of, operation in _COST
            if of == engine
        ]
        for engine, granter, batch, thread in product(engines, granters, batches, threads)
    ]
    plan = {
        "engine": list(engines),
        "granter": list(granters),
        "granters": [1],
        "references": [256],
        "batch": list(batches),
        "threads": list(threads),
        "mappings": [1],
        "readonly": [False],
        "hold": [0],
        "rate": [None],
        "samples": samples,
        "duration_s": None,
        "digits": 3,
    }
    results = [
        result for cases in loops for result in loop_results(cases, random, samples, typical)
    ]
    return build({**HOST, **host}, plan, results)
