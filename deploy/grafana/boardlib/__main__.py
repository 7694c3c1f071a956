"""Writes the picture: URL FILE.png [MINUTES]."""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from boardlib.asking import boxes
from boardlib.page import drawn_page

_WIDTH = 1600
_CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--blink-settings=preferredColorScheme=1",
)
#: so that the page says how high it is
_HEIGHT = "<script>document.title = document.documentElement.offsetHeight;</script></body>"


def write(page: str, file: Path) -> None:
    """Have a browser draw a page, all of it."""
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / "page.html"
        copy.write_text(page.replace("</body>", _HEIGHT), encoding="utf-8")
        common = (*_CHROMIUM, f"--user-data-dir={home}/profile")
        dumped = subprocess.run(
            [*common, f"--window-size={_WIDTH},800", "--dump-dom", copy.as_uri()],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = re.search(r"<title>(\d+)</title>", dumped)
        size = f"--window-size={_WIDTH},{found[1] if found else 2000}"
        shot = f"--screenshot={file.resolve()}"
        subprocess.run([*common, size, shot, copy.as_uri()], check=True, capture_output=True)


def main(url: str, file: str, minutes: str = "10") -> None:
    """Ask, draw and write."""
    end = time.time()
    if not (found := boxes(url)):
        sys.exit(f"{url} scrapes no agent: see its page /targets, and deploy/prometheus")
    write(drawn_page(url, found[0], end - 60 * float(minutes), end), Path(file))


if __name__ == "__main__":
    if len(sys.argv) not in {3, 4}:
        sys.exit("usage: picture URL FILE.png [MINUTES]")
    main(*sys.argv[1:])
