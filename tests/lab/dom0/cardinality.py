"""Counts the series of a host: its own, those per domain, and those per probed operation.

Prints a JSON object. Runs in dom0 and starts its own agents, in addition to the service.
"""

import json
import re
import subprocess
import sys
import tempfile
import urllib.request

from xengt.bench.granters.empty_domains import EmptyDomains

#: configuration → number of probed operations: a map and an unmap per case
CONFIGURATIONS = {
    "probe.enabled = false": 0,
    "probe = {batches = [1], mappings = [1]}": 4,
    "probe.batches = [1, 32]": 16,
}
MORE = 10


def scrape(configuration: str) -> str:
    """Return one scrape of an agent with a configuration."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(f"listen.port = 0\n{configuration}\n")
        file.flush()
        words = ["xengt", "serve", "--json", "--config", file.name]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as agent:
            try:
                address = json.loads(agent.stdout.readline())["address"]
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=120) as answer:
                    return answer.read().decode()
            finally:
                agent.terminate()


def count_series(text: str) -> tuple[int, int]:
    """Return the number of series of a scrape, and of its domains."""
    series = re.findall(r"^[^#\n].*$", text, re.MULTILINE)
    (domains,) = re.findall(r"^xengt_domains (\S+)$", text, re.MULTILINE)
    return len(series), int(float(domains))


def main() -> None:
    """Count the series of several configurations, and print the numbers per kind."""
    found = {operations: count_series(scrape(each)) for each, operations in CONFIGURATIONS.items()}
    default = next(reversed(CONFIGURATIONS))
    with EmptyDomains(MORE) as domains:
        domains.references(MORE)
        more = count_series(scrape(default))
    passive = count_series(scrape("probe.enabled = false\npassive.enabled = true"))
    whole = found[CONFIGURATIONS[default]]
    domain = (more[0] - whole[0]) / (more[1] - whole[1])
    without = {
        number: count - shown_domains * domain for number, (count, shown_domains) in found.items()
    }
    operation = (without[16] - without[4]) / 12
    probe = without[4] - 4 * operation - without[0]
    json.dump(
        {
            "box": without[0],
            "probe": probe,
            "operation": operation,
            "passive": passive[0] - passive[1] * domain - without[0],
            "domain": domain,
            "default": whole[0],
            "domains": whole[1],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
