"""Bench documents of simulated runs.

The samples are random instead of measured. They are recorded and summarised in the same way as
those of a run.
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
# Duration of a call in ns: a fixed part, and a part per operation.
_DURATION = {
    ("hypercall", "map"): (1_800, 560),
    ("hypercall", "unmap"): (1_950, 530),
    ("gntdev", "map"): (21_000, 2_300),
    ("gntdev", "unmap (asynchronous)"): (16_500, 900),
}
_OVERHEAD = (1_850, 165)


def simulate_calls(case: Case, random: Random, samples: int, scale: float) -> tuple[Histogram, int]:
    """Return the durations of one operation's calls, and their sum in ns."""
    fixed, per_operation = _DURATION[case.engine, case.operation]
    calls = Histogram()
    typical = (fixed + per_operation * case.batch * scale) * (1 + 0.22 * (case.threads - 1))
    for _ in range(samples):
        ns = typical * random.lognormvariate(0, 0.025)
        if random.random() < 0.004:
            ns += random.expovariate(1 / 45_000)
        calls.record(round(ns))
    return calls, calls.sum


def simulate_loop(cases: list[Case], random: Random, samples: int, scale: float) -> list[Result]:
    """Return the results of one loop, whose operations alternate and share its elapsed time."""
    timed = [simulate_calls(case, random, samples, scale) for case in cases]
    elapsed_ns = sum(ns for _, ns in timed) / cases[0].threads
    batch = cases[0].batch
    fixed, per_operation = _OVERHEAD
    overhead = (fixed + per_operation * batch) / batch
    floor_ns = overhead if cases[0].engine == "hypercall" else None
    return [
        summarise(case, calls, samples=samples, elapsed_s=elapsed_ns / 1e9, floor_ns=floor_ns)
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
    """Return the document of a simulated run.

    Args:
        seed: the seed of the random samples.
        engines: the engines of the plan.
        granters: the granters of the plan.
        batches: the batch sizes of the plan.
        threads: the numbers of threads of the plan.
        samples: the number of calls of each case and operation.
        scale: the factor by which the duration of an operation differs from the default.
        host: host facts that differ from `HOST`.
    """
    random = Random(seed)  # noqa: S311 (samples, not secrets)
    typical = random.lognormvariate(0, 0.004) * scale
    loops = [
        [
            Case(EngineName(engine), granter, batch, thread, references=256, operation=operation)
            for engine_of_operation, operation in _DURATION
            if engine_of_operation == engine
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
        result for cases in loops for result in simulate_loop(cases, random, samples, typical)
    ]
    return build({**HOST, **host}, plan, results)
