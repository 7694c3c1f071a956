"""Measures the duration of scrapes of the agent, and the agent's memory.

arguments: number of additional empty domains; number of scrapes; number of probe rounds to wait
for; the profile, `full` or `lean`. Prints a JSON line: `took_s`, seconds of each gzip-compressed
scrape, including the client; `after_round_s`, of scrapes with a probe round before, which changes
most of the page, unless there are many rounds; `page`, bytes of the last one, uncompressed; `rss`,
bytes after a tenth of the run and at its end; `rounds`; `errors`.
"""

import gzip
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from patience import patient

from xengt.bench.granters.empty_domains import EmptyDomains

#: Many rounds are as small as possible, because a leak would grow with their number.
CONFIG = """
[listen]
port = 0
[probe]
interval_s = {interval_s}
cpu_budget = 1.0
calls = 1
batches = [{batches}]
mappings = [{mappings}]
[host]
profile = "{profile}"
"""
#: time between two rounds of the probe in seconds, unless there are many
INTERVAL_S = 5
#: time in which there is a round, in seconds; not a multiple, so that few scrapes meet a round
PAUSE_S = 6.5


def resident_bytes(pid: int) -> int:
    """Return the resident set size of a process in bytes."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(text.split("VmRSS:")[1].split()[0])


def scrape(address: str) -> tuple[float, bytes]:
    request = urllib.request.Request(f"http://{address}/metrics")
    request.add_header("Accept-Encoding", "gzip")
    limit = patient(60)  # before the timed part: now and then it measures the machine's speed
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=limit) as answer:  # noqa: S310 (our own)
        packed = answer.read()
    return time.monotonic() - began, gzip.decompress(packed)


def metric(page: bytes, name: str) -> float:
    (value,) = re.findall(rb"^%b (\S+)$" % re.escape(name.encode()), page, re.MULTILINE)
    return float(value)


def rounds_of(page: bytes) -> float:
    return metric(page, "xengt_probe_rounds_total")


def scrape_after_round(address: str, done: float) -> float:
    """Wait for at least one round, and return the duration of the first scrape after it."""
    time.sleep(PAUSE_S)
    seconds, page = scrape(address)
    if rounds_of(page) <= done:
        raise RuntimeError(f"no round of the probe within {PAUSE_S} s")
    return seconds


def scrape_agent(process: subprocess.Popen, scrapes: int, rounds: int) -> dict:
    address = json.loads(process.stdout.readline())["address"]
    took, after_round, rss, done = [], [], [], 0.0
    while len(took) < scrapes or done < rounds:
        if not are_many(rounds):
            after_round.append(scrape_after_round(address, done))
        seconds, page = scrape(address)
        took.append(seconds)
        done = rounds_of(page)
        if not rss and len(took) >= scrapes / 10 and done >= rounds / 10:
            rss.append(resident_bytes(process.pid))
    return {
        "took_s": took,
        "after_round_s": after_round,
        "page": len(page),
        "rss": [*rss, resident_bytes(process.pid)],
        "rounds": done,
        "errors": metric(page, 'xengt_probe_errors_total{status="none"}'),
    }


def are_many(rounds: int) -> bool:
    return rounds > 100


def main(domains: int, scrapes: int, rounds: int, profile: str) -> dict:
    many = are_many(rounds)
    config = Path("/tmp/scrape_cost.toml")
    config.write_text(
        CONFIG.format(
            interval_s=0.001 if many else INTERVAL_S,
            batches="1" if many else "1, 32",
            mappings="1" if many else "1, 3",
            profile=profile,
        ),
        encoding="ascii",
    )
    words = ["xengt", "serve", "--json", "--config", str(config)]
    with EmptyDomains(max(domains, 1)) as granter:
        if domains:
            granter.references(domains)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                return scrape_agent(process, scrapes, rounds)
            finally:
                process.terminate()


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:4]), sys.argv[4])))
