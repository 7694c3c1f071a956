"""What one box answers, scrape after scrape: recorded, counted, and played again."""

import gzip
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

#: what a Prometheus asks for, so that a box answers it with the same
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
_NAME = re.compile(r"[^#{ ][^{ ]*")


def scrape(url: str) -> tuple[str, str]:
    """Fetch a page as a Prometheus does; its content type, and its text."""
    headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        body = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return answer.headers["Content-Type"], body.decode()


def series(page: str) -> Counter[str]:
    """How many series a page has, by the name of the metric."""
    return Counter(found[0] for line in page.splitlines() if (found := _NAME.match(line)))


def record(url: str, into: Path, *, every_s: float, count: int) -> None:
    """Write pages, `every_s` apart, and the content type beside them."""
    into.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number * every_s - time.monotonic()))
        kind, page = scrape(url)
        (into / f"{number:04}.txt").write_text(page)
        (into / "type").write_text(kind)


def recorded(where: Path) -> Iterable[str]:
    """The pages of a recording, in order."""
    return (path.read_text() for path in sorted(where.glob("*.txt")))
