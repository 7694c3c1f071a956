"""Renders a page in headless Chromium and returns its layout, resources and console messages."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.patience import patient

_CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(not _CHROMIUM, reason="needs chromium: apt install chromium")

# A script added to a copy of the page: it measures the charts and appends the findings as JSON.
_PROBE = """<script>
addEventListener("load", () => {
  const painted = (e) => {
    const s = getComputedStyle(e);
    return [s.fill, s.stroke].some((c) => c !== "none" && c !== "rgba(0, 0, 0, 0)");
  };
  const extent = (e) => { const b = e.getBBox(); return [b.width, b.height]; };
  const charts = [...document.querySelectorAll("svg[role=img]")].map((svg) => ({
    title: svg.querySelector("title").textContent,
    labelled: svg.getAttribute("aria-labelledby").split(" ").every((id) =>
      document.getElementById(id)?.textContent),
    size: extent(svg),
    marks: [...svg.querySelectorAll(".mark path, .mark line, .mark rect, .mark circle")].map(
      (e) => ({ tag: e.tagName, size: extent(e), painted: painted(e) })),
    overflowing: [...svg.querySelectorAll("text")].filter((e) => {
      const [t, s] = [e.getBoundingClientRect(), svg.getBoundingClientRect()];
      return t.left < s.left - 1 || t.right > s.right + 1;
    }).map((e) => e.textContent),
  }));
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({
    charts,
    ids: [...document.querySelectorAll("[id]")].map((e) => e.id),
    overflow_width: document.documentElement.scrollWidth - innerWidth,
    loaded: performance.getEntriesByType("resource").map((e) => e.name),
    paper: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    title: document.title,
    text: document.querySelector("main").innerText,
  });
  document.body.append(out);
});
</script>"""


@dataclass(frozen=True)
class Rendering:
    """A rendered page.

    Args:
        probe: the findings of the probe script.
        console: the messages on the browser's console.
    """

    probe: dict[str, Any]
    console: list[str]


def render_in_browser(
    page: str, directory: Path, *, dark: bool = False, width: int = 1280
) -> Rendering:
    """Render a page with the probe script.

    Args:
        page: the page as HTML.
        directory: a directory for the copy of the page and the browser's profile.
        dark: whether the browser prefers the dark colour scheme.
        width: the width of the window in pixels.
    """
    copy = directory / "page.html"
    copy.write_text(page.replace("</body>", _PROBE + "</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            str(_CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={directory / 'profile'}",
            f"--window-size={width},1000",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            *("--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"),
            copy.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=patient(120),
        check=True,
    )
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert probe, f"the page did not finish loading: {done.stdout[:500]} {done.stderr[-500:]}"
    findings = json.loads(probe[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return Rendering(findings, [line for line in done.stderr.splitlines() if "CONSOLE" in line])
