"""Measures how many host mappings a mapper makes and removes per second.

arguments: kind of the mapper, its vCPUs, references per hypercall, rounds of a sample, samples. The
second vCPU of a mapper only occupies a CPU, whose TLB is flushed as well. Before the samples, there
is one more to warm up. Prints a JSON line: pairs per second of each sample.
"""

import json
import sys
import time

from granters import FIRST, Granters
from mapper import HOST, Mapper
from mapper_mailbox import MAP_LOOP, Step

POLL_S = 0.02


def rates(kind: str, vcpus: int, batch: int, rounds: int, samples: int) -> list[float]:
    """Return the pairs per second of each sample."""
    found = []
    with Granters(1, batch, batch) as granters, Mapper(kind, vcpus=vcpus) as mapper:
        granters.grant(mapper.domid)
        step = Step(
            MAP_LOOP, (*granters.domids(), FIRST, batch, HOST, mapper.window(batch), rounds)
        )
        mapper.do([step])
        for _ in range(samples):
            began = time.monotonic()
            mapper.mailbox.begin([step])
            # dom0 sleeps meanwhile, as it needs a CPU of the mapper otherwise. So a sample has to
            # take much longer than this.
            while mapper.mailbox.counters()["rounds"] < rounds:
                time.sleep(POLL_S)
            found.append(rounds * batch / (time.monotonic() - began))
            counters = mapper.mailbox.counters()
            assert counters["mapped"] == counters["unmapped"] == rounds * batch, counters
            assert counters["wrong_page"] == 0, counters
            mapper.mailbox.results()
    return found


if __name__ == "__main__":
    print(json.dumps(rates(sys.argv[1], *map(int, sys.argv[2:]))))
