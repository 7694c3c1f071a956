"""Measures the resources of a Prometheus server that scrapes many boxes.

The pages of one box are recorded at the scrape interval, and replayed at that pace to a new
Prometheus server, whose targets are copies of the box. The resources are read from the server's
own /metrics at the end of the recording, and from a snapshot of its head block.
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

from tests.fleet.lab_agent import agent
from tests.fleet.recording import count_series, read_pages, record
from tests.fleet.replay import replay
from tests.prometheus.debian_package import SERVER, programs

EVERY_S = 15
_VALUE = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """Resources of a Prometheus server.

    Attributes:
        boxes: number of scraped boxes.
        minutes: duration of the scraping.
        series_a_page: series of the first recorded page.
        up: boxes whose last scrape succeeded.
        series: series in the head block.
        samples_s: samples appended per second, over the second half of the time.
        memory_mib: resident memory at the end.
        memory_peak_mib: peak resident memory.
        bytes_a_series: resident memory at the end, per series.
        cpu: share of one CPU, over the second half of the time.
        rules_s: sum of the last evaluation times of all rule groups, in seconds.
        rules_failed: failed rule evaluations.
        wal_bytes_a_sample: size of the write-ahead log per sample.
        block_bytes_a_sample: size of the chunks of a block created from the head, per sample.
        index_bytes_a_series: size of that block's index per series.
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
    """A running Prometheus server.

    Attributes:
        url: base URL.
        data: data directory.
        pid: process ID.
    """

    url: str
    data: Path
    pid: int

    def peak_bytes(self) -> int:
        """Return the peak resident memory (proc(5), VmHWM)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def own_metrics(self) -> dict[str, float]:
        """Return its own metrics, each summed over all labels."""
        sums: Counter[str] = Counter()
        for name, value in _VALUE.findall(fetch(f"{self.url}/metrics")):
            sums[name] += float(value)
        return sums

    def value(self, query: str) -> float:
        """Return the first value of a query; 0 if there is none."""
        result = json.loads(fetch(f"{self.url}/api/v1/query?query={query}"))["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def block(self) -> Path:
        """Create a block from the head; return its directory."""
        response = fetch(f"{self.url}/api/v1/admin/tsdb/snapshot", data=b"")
        name = json.loads(response)["data"]["name"]
        return next(path.parent for path in (self.data / "snapshots" / name).glob("*/meta.json"))


def fetch(url: str, data: bytes | None = None) -> str:
    """Fetch a URL of a local server; send a POST request if there is data."""
    with urllib.request.urlopen(url, data, timeout=600) as answer:  # noqa: S310
        return answer.read().decode()


@contextmanager
def prometheus(boxes: int, port: int, rules: list[Path]) -> Iterator[Prometheus]:
    """Run a Prometheus server that scrapes a number of boxes, which are paths on one port.

    Args:
        boxes: number of targets.
        port: of `replay.replay`.
        rules: rule files.
    """
    with tempfile.TemporaryDirectory(prefix="xengt-cost-") as home:
        directory = Path(home)
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
        (directory / "boxes.json").write_text(json.dumps(targets))
        job = {
            "job_name": "xengt",
            "scrape_interval": f"{EVERY_S}s",
            "file_sd_configs": [{"files": [str(directory / "boxes.json")]}],
        }
        # JSON is YAML.
        config = {
            "global": {"evaluation_interval": f"{EVERY_S}s"},
            "scrape_configs": [job],
            "rule_files": [str(rule.resolve()) for rule in rules],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        command = [
            programs() / SERVER,
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address={address}",
            "--web.enable-admin-api",
            "--log.level=warn",
        ]
        with subprocess.Popen(command) as process:
            try:
                yield Prometheus(f"http://{address}", directory / "data", process.pid)
            finally:
                process.terminate()
                process.wait()


def size(path: Path) -> int:
    """Return the total bytes of the files below a directory."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def measure(pages: Path, boxes: int, rules: list[Path]) -> Cost:
    """Replay a recording as a number of boxes; return the resources of the Prometheus server.

    Args:
        pages: directory of the recording.
        boxes: number of targets.
        rules: rule files to evaluate.
    """
    count = len(list(read_pages(pages)))
    duration_s = count * EVERY_S
    with replay(pages, EVERY_S) as port, prometheus(boxes, port, rules) as server:
        time.sleep(duration_s / 2)
        half, half_time = server.own_metrics(), time.monotonic()
        time.sleep(duration_s / 2)
        end, elapsed_s = server.own_metrics(), time.monotonic() - half_time
        peak = server.peak_bytes()  # before the snapshot, which needs memory too
        up = server.value("sum(up)")
        block = server.block()
        stats = json.loads((block / "meta.json").read_text())["stats"]
        appended = "prometheus_tsdb_head_samples_appended_total"
        memory, head = end["process_resident_memory_bytes"], end["prometheus_tsdb_head_series"]
        return Cost(
            boxes=boxes,
            minutes=duration_s / 60,
            series_a_page=sum(count_series(next(iter(read_pages(pages)))).values()),
            up=round(up),
            series=round(head),
            samples_s=(end[appended] - half[appended]) / elapsed_s,
            memory_mib=memory / 2**20,
            memory_peak_mib=peak / 2**20,
            bytes_a_series=memory / head,
            cpu=(end["process_cpu_seconds_total"] - half["process_cpu_seconds_total"]) / elapsed_s,
            rules_s=end["prometheus_rule_group_last_duration_seconds"],
            rules_failed=round(end["prometheus_rule_evaluation_failures_total"]),
            wal_bytes_a_sample=size(server.data / "wal") / end[appended],
            block_bytes_a_sample=size(block / "chunks") / stats["numSamples"],
            index_bytes_a_series=(block / "index").stat().st_size / stats["numSeries"],
        )


def main() -> None:
    """Record a box unless the recording exists, replay it, and print the resources as JSON."""
    parser = argparse.ArgumentParser(
        prog="cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: tests/fleet/cost pages --boxes 1000 --rules deploy/prometheus/*.rules.yml",
    )
    parser.add_argument(
        "recording",
        type=Path,
        help="directory of the recording; if it does not exist, a lab's dom0 is recorded first",
    )
    parser.add_argument(
        "--boxes", type=int, default=1000, metavar="N", help="number of boxes (default: 1000)"
    )
    parser.add_argument(
        "--pages",
        type=int,
        default=45,
        metavar="N",
        help="number of pages to record, one every 15 s (default: 45)",
    )
    parser.add_argument(
        "--rules",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="rule files to evaluate every 15 s",
    )
    args = parser.parse_args()
    if not args.recording.exists():
        with agent() as url:
            record(url, args.recording, every_s=EVERY_S, count=args.pages)
    print(json.dumps(asdict(measure(args.recording, args.boxes, args.rules)), indent=1))


if __name__ == "__main__":
    main()
