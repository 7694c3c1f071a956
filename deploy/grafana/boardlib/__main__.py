"""Renders the dashboard's panels to a PNG file: URL FILE.png [MINUTES]."""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from boardlib.page import render_page
from boardlib.prometheus_api import instances

_WIDTH = 1600
_CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--blink-settings=preferredColorScheme=1",
)
#: The page reports its height in its title.
_REPORT_HEIGHT = "<script>document.title = document.documentElement.offsetHeight;</script></body>"


def write_png(page: str, file: Path) -> None:
    """Take a screenshot of a whole page with headless Chromium.

    Args:
        page: HTML.
        file: the PNG to write.

    Raises:
        subprocess.CalledProcessError: Chromium failed.
    """
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / "page.html"
        copy.write_text(page.replace("</body>", _REPORT_HEIGHT), encoding="utf-8")
        common = (*_CHROMIUM, f"--user-data-dir={home}/profile")
        dumped = subprocess.run(
            [*common, f"--window-size={_WIDTH},800", "--dump-dom", copy.as_uri()],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        height = re.search(r"<title>(\d+)</title>", dumped)
        size = f"--window-size={_WIDTH},{height[1] if height else 2000}"
        screenshot = f"--screenshot={file.resolve()}"
        subprocess.run([*common, size, screenshot, copy.as_uri()], check=True, capture_output=True)


def main(url: str, file: str, minutes: str = "10") -> None:
    """Query a Prometheus for the last minutes of its first instance and write the picture."""
    end = time.time()
    if not (found := instances(url)):
        sys.exit(
            f'{url} has no target with job="xengt": check its /targets page and the scrape job in'
            " deploy/prometheus/prometheus.yml"
        )
    write_png(render_page(url, found[0], end - 60 * float(minutes), end), Path(file))


if __name__ == "__main__":
    if len(sys.argv) not in {3, 4}:
        sys.exit("usage: picture URL FILE.png [MINUTES]")
    main(*sys.argv[1:])
