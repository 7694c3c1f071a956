"""Recordings of the pages that one box returns to successive scrapes."""

import gzip
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

#: The Accept header of Prometheus, so that the agent chooses the same format.
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
_NAME = re.compile(r"[^#{ ][^{ ]*")


def scrape(url: str) -> tuple[str, str]:
    """Fetch a page with the headers of Prometheus; return its content type and text."""
    headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        body = response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return response.headers["Content-Type"], body.decode()


def count_series(page: str) -> Counter[str]:
    """Return the number of series of a page by metric name."""
    return Counter(found[0] for line in page.splitlines() if (found := _NAME.match(line)))


def record(url: str, into: Path, *, every_s: float, count: int) -> None:
    """Scrape a box several times and write the pages and their content type.

    Args:
        url: of the metrics.
        into: directory, created if necessary.
        every_s: scrape interval in seconds.
        count: number of pages.
    """
    into.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number * every_s - time.monotonic()))
        content_type, page = scrape(url)
        (into / f"{number:04}.txt").write_text(page)
        (into / "type").write_text(content_type)


def read_pages(recording: Path) -> Iterable[str]:
    """Return the pages of a recording in order."""
    return (path.read_text() for path in sorted(recording.glob("*.txt")))
