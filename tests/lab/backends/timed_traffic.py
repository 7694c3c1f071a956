"""Traffic of a guest, and the agent's kernel metrics about it.

argument: path of the agent's configuration, which is written. Prints a JSON line: by caller and
operation, the calls and references that the kernel counted.
"""

import json
import sys
from pathlib import Path

import traffic
from agent import Agent

FIGURES = {"calls": "seconds_count", "references": "references_total"}


def grant_counts(agent: Agent) -> dict[str, dict[str, float]]:
    found = agent.scrape()
    return {
        f"{caller} {operation}": {
            name: found[f"xengt_kernel_grant_{key}", ("caller", caller), ("operation", operation)]
            for name, key in FIGURES.items()
        }
        for caller in ("blkback", "netback", "other")
        for operation in ("map", "unmap")
    }


def main(config: Path) -> dict:
    config.write_text("[listen]\nport = 0\n[probe]\nenabled = false\n[passive]\nenabled = true\n")
    agent = Agent(config)
    try:
        before = grant_counts(agent)
        pages = traffic.main("0")["pages"]
        after = grant_counts(agent)
    finally:
        agent.process.terminate()
        agent.process.wait()
    grown = {
        key: {name: after[key][name] - before[key][name] for name in FIGURES} for key in before
    }
    return {"pages": pages, **grown}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
