"""Bench documents with chosen costs of mapping and copying."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from tests.unit.made_documents import HOST
from xengt.bench.case import Case, Setup
from xengt.bench.document import build
from xengt.bench.engines.names import COPYING, TOUCHING, EngineName
from xengt.bench.plan import BenchPlan, with_defaults
from xengt.bench.result import Result, summarise
from xengt.documents.write import write_json
from xenlib_cffi.histogram import Histogram

SIZES = (64, 512, 1500, 4096)
OVERHEAD_NS = 300
#: ns of a map and of an unmap
MAPPING = {EngineName.HYPERCALL: (600, 400), EngineName.GNTDEV: (6_000, 4_000)}
#: ns of a copy of no bytes, and of each further byte
COPYING_NS = {
    EngineName.COPY: (500, 0.5),
    EngineName.GNTDEV_COPY: (2_000, 4.0),
    EngineName.PERSISTENT: (20, 0.1),
}
#: ns of the touch of each byte
TOUCH = {"none": 0.0, "read": 0.05, "write": 0.05, "copy": 0.1}


def operations(setup: Setup) -> Iterator[tuple[str, float]]:
    """Yield the name and the net cost of each operation, in ns."""
    if setup.engine in COPYING:
        fixed, per_byte = COPYING_NS[setup.engine]
        # Copies to the granter cost 10 % more.
        yield "copy from granter", fixed + per_byte * setup.bytes
        yield "copy to granter", 1.1 * (fixed + per_byte * setup.bytes)
        return
    first, last = MAPPING[setup.engine]
    yield "map", first
    if setup.touch != "none":
        yield "touch", TOUCH[setup.touch] * setup.bytes
    yield "unmap (asynchronous)" if setup.engine in TOUCHING else "unmap", last


def result(case: Case, net_ns: float) -> Result:
    """Return a result whose calls all take the same time."""
    calls = Histogram()
    calls.record(round((net_ns + OVERHEAD_NS) * case.batch), 100)
    return summarise(case, calls, samples=100, elapsed_s=1.0, floor_ns=OVERHEAD_NS)


def write_run(
    path: Path,
    *,
    seed: int = 0,
    noise: float = 0.0,
    engines: Sequence[str] = ("hypercall", "gntdev", "copy", "gntdev-copy", "persistent"),
    touches: Sequence[str] = ("none", "copy"),
    sizes: Sequence[int] = SIZES,
    **host: object,
) -> str:
    """Write the document of a simulated run, and return its path.

    Args:
        path: the file to write.
        seed: the seed of the noise.
        noise: the standard deviation of the logarithm of each cost.
        engines: the engines of the plan.
        touches: the touches of the plan.
        sizes: the numbers of bytes of the plan.
        host: host facts that differ from those of `made_documents`.
    """
    random = Random(seed)  # noqa: S311 (noise, not a secret)
    values = {"engine": list(map(EngineName, engines)), "touch": touches, "bytes": sizes}
    plan = BenchPlan(with_defaults({**values, "batch": [1]}), 100, None, 3)
    results = [
        result(setup.case(name), cost * random.lognormvariate(0, noise))
        for setup in plan.setups()
        for name, cost in operations(setup)
    ]
    facts = {**HOST, "boot_id": f"boot {path.name}", **host}
    write_json(build(facts, plan.to_json(), results).to_json(), str(path))
    return str(path)
