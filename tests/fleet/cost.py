"""What many boxes cost a Prometheus: a real one, that scrapes one box's recorded pages many times.

A recording is of pages fetched as a Prometheus fetches them, as far apart as it would. They are
played at that pace to a new Prometheus, whose targets are copies of the box. What it costs is read
from the Prometheus's own /metrics at the end of the recording, and from a snapshot of its head.
"""

import argparse
import json
import re
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fleet.box import agent
from tests.fleet.copies import served
from tests.fleet.pages import record, recorded, series
from tests.prometheus.debian_package import SERVER, programs

EVERY_S = 15
_VALUE = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """What a Prometheus took.

    Attributes:
        boxes: scraped.
        minutes: for how long.
        series_a_page: of one box's page, the first.
        up: boxes whose last scrape went well.
        series: in the head.
        samples_s: appended a second, over the last half of the time.
        memory_mib: resident, at the end.
        memory_peak_mib: the most that it ever was.
        bytes_a_series: of the memory at the end.
        cpu: of one CPU, over the last half of the time.
        rules_s: that the last evaluation of each group of rules took, together.
        rules_failed: evaluations that did not end well.
        wal_bytes_a_sample: of the write-ahead log.
        block_bytes_a_sample: of the chunks of a block made of the head.
        index_bytes_a_series: of that block.
    """

    boxes: int
    minutes: float
    series_a_page: int
    up: int
    series: int
    samples_s: float
    memory_mib: float
    memory_peak_mib: float
    bytes_a_series: float
    cpu: float
    rules_s: float
    rules_failed: int
    wal_bytes_a_sample: float
    block_bytes_a_sample: float
    index_bytes_a_series: float


@dataclass(frozen=True)
class Prometheus:
    """One that runs.

    Attributes:
        url: where it listens.
        data: its directory.
        pid: its process.
    """

    url: str
    data: Path
    pid: int

    def peak_bytes(self) -> int:
        """Memory that was resident at most (proc(5), VmHWM)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def own(self) -> dict[str, float]:
        """Its own metrics, the sum of each over its labels."""
        found: Counter[str] = Counter()
        for name, value in _VALUE.findall(fetched(f"{self.url}/metrics")):
            found[name] += float(value)
        return found

    def value(self, query: str) -> float:
        """Return the one value of a query."""
        found = json.loads(fetched(f"{self.url}/api/v1/query?query={query}"))["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def block(self) -> Path:
        """Make a block of what is in its head."""
        made = fetched(f"{self.url}/api/v1/admin/tsdb/snapshot", data=b"")
        name = json.loads(made)["data"]["name"]
        return next(path.parent for path in (self.data / "snapshots" / name).glob("*/meta.json"))


def fetched(url: str, data: bytes | None = None) -> str:
    """Fetch from one of this machine's own servers; with data it is a POST."""
    with urllib.request.urlopen(url, data, timeout=600) as answer:  # noqa: S310
        return answer.read().decode()


@contextmanager
def prometheus(boxes: int, port: int, rules: list[Path]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes so many boxes, which are paths of one port."""
    with tempfile.TemporaryDirectory(prefix="xengt-cost-") as home:
        where = Path(home)
        targets = [
            {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {
                    "box": f"box{number:04}.example.org",
                    "instance": f"box{number:04}.example.org",
                    "site": f"site{number % 10}",
                    "__metrics_path__": f"/{number}/metrics",
                },
            }
            for number in range(boxes)
        ]
        (where / "boxes.json").write_text(json.dumps(targets))
        job = {
            "job_name": "xengt",
            "scrape_interval": f"{EVERY_S}s",
            "file_sd_configs": [{"files": [str(where / "boxes.json")]}],
        }
        # JSON is YAML.
        config = {
            "global": {"evaluation_interval": f"{EVERY_S}s"},
            "scrape_configs": [job],
            "rule_files": [str(rule.resolve()) for rule in rules],
        }
        (where / "prometheus.yml").write_text(json.dumps(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            listens = f"127.0.0.1:{free.getsockname()[1]}"
        words = [
            programs() / SERVER,
            f"--config.file={where}/prometheus.yml",
            f"--storage.tsdb.path={where}/data",
            f"--web.listen-address={listens}",
            "--web.enable-admin-api",
            "--log.level=warn",
        ]
        with subprocess.Popen(words) as process:
            try:
                yield Prometheus(f"http://{listens}", where / "data", process.pid)
            finally:
                process.terminate()
                process.wait()


def size(path: Path) -> int:
    """Bytes of the files below a directory."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def measure(pages: Path, boxes: int, rules: list[Path]) -> Cost:
    """Play a recording to a Prometheus as many boxes, and see what it takes."""
    count = len(list(recorded(pages)))
    took_s = count * EVERY_S
    with served(pages, EVERY_S) as port, prometheus(boxes, port, rules) as running:
        time.sleep(took_s / 2)
        half, then = running.own(), time.monotonic()
        time.sleep(took_s / 2)
        end, passed = running.own(), time.monotonic() - then
        peak = running.peak_bytes()  # before the snapshot, which takes memory as well
        up = running.value("sum(up)")
        block = running.block()
        stats = json.loads((block / "meta.json").read_text())["stats"]
        appended = "prometheus_tsdb_head_samples_appended_total"
        memory, head = end["process_resident_memory_bytes"], end["prometheus_tsdb_head_series"]
        return Cost(
            boxes=boxes,
            minutes=took_s / 60,
            series_a_page=sum(series(next(iter(recorded(pages)))).values()),
            up=round(up),
            series=round(head),
            samples_s=(end[appended] - half[appended]) / passed,
            memory_mib=memory / 2**20,
            memory_peak_mib=peak / 2**20,
            bytes_a_series=memory / head,
            cpu=(end["process_cpu_seconds_total"] - half["process_cpu_seconds_total"]) / passed,
            rules_s=end["prometheus_rule_group_last_duration_seconds"],
            rules_failed=round(end["prometheus_rule_evaluation_failures_total"]),
            wal_bytes_a_sample=size(running.data / "wal") / end[appended],
            block_bytes_a_sample=size(block / "chunks") / stats["numSamples"],
            index_bytes_a_series=(block / "index").stat().st_size / stats["numSeries"],
        )


def main() -> None:
    """Record a box if there is no recording yet, and play it."""
    parser = argparse.ArgumentParser(
        prog="cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: tests/fleet/cost pages --boxes 1000 --rules deploy/prometheus/*.rules.yml",
    )
    parser.add_argument(
        "recording",
        type=Path,
        help="a directory; if it is not there, the lab's dom0 is recorded into it first",
    )
    parser.add_argument("--boxes", type=int, default=1000, metavar="N", help="how many (1000)")
    parser.add_argument(
        "--pages", type=int, default=45, metavar="N", help="to record, 15 s apart (45)"
    )
    parser.add_argument(
        "--rules", type=Path, nargs="+", default=[], metavar="FILE", help="to evaluate every 15 s"
    )
    args = parser.parse_args()
    if not args.recording.exists():
        with agent() as url:
            record(url, args.recording, every_s=EVERY_S, count=args.pages)
    print(json.dumps(asdict(measure(args.recording, args.boxes, args.rules)), indent=1))


if __name__ == "__main__":
    main()
