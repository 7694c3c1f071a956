"""deploy/prometheus/METRICS.md: up to date, and complete for the page of a real agent."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.agent_fixtures import fake_probes, host_samples, run_agent, scrape, signals_blocked
from tests.unit.fake_hypervisor import xen
from tests.unit.fake_tracefs import captured_histogram, fake_tracefs, guard_output
from tests.unit.waiting import wait_until
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.serve.page import Page
from xengt.serve.passive import tracefs

__all__ = [  # fixtures
    "fake_probes",
    "fake_tracefs",
    "guard_output",
    "host_samples",
    "run_agent",
    "signals_blocked",
    "xen",
]

ROOT = Path(__file__).parents[4]
SCRIPT = ROOT / "deploy/prometheus/metrics_reference"
REFERENCE = SCRIPT.with_name("METRICS.md")
_ROW = re.compile(
    r"^\| `(?P<name>xengt_\w+)` \| (?P<type>\w+) \| (?P<unit>[^|]+) \| (?P<labels>[^|]*) \| "
    r"(?P<help>[^|]+) \|$",
    re.MULTILINE,
)


class Entry(NamedTuple):
    """What the reference says of a metric, or a page shows of it."""

    type: str
    help: str
    labels: frozenset[str]


def entries_of_reference() -> dict[str, Entry]:
    rows = list(_ROW.finditer(REFERENCE.read_text(encoding="utf-8")))
    entries = {
        row["name"]: Entry(
            row["type"], row["help"], frozenset(re.findall(r"`(\w+)`", row["labels"]))
        )
        for row in rows
    }
    assert len(entries) == len(rows), "a metric has two rows"
    return entries


def entries_of_pages(*pages: str) -> dict[str, Entry]:
    """Return the families of pages; label names are those of all their series together."""
    entries: dict[str, Entry] = {}
    for family in (each for page in pages for each in text_string_to_metric_families(page)):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        before = entries.get(name)
        entry = Entry(family.type, family.documentation, frozenset(labels))
        if before is not None:
            assert before[:2] == entry[:2]
            entry = entry._replace(labels=entry.labels | before.labels)
        entries[name] = entry
    return entries


@pytest.fixture
def pages(run_agent, fake_probes, fake_tracefs, guard_output, xen):
    """Pages of an agent with all sources, on the patched hypervisor and on stock Xen."""
    assert not fake_probes.created
    assert not guard_output.exists()
    address = run_agent(
        '[probe]\ninterval_s = 0.05\n[passive]\nenabled = true\n[host]\nprofile = "lean"'
    )
    assert fake_tracefs.triggers()
    for operation in tracefs.OPERATIONS:
        tracefs.histogram_file(operation).write_text(captured_histogram(operation))
    assert wait_until(lambda: "xengt_probe_rounds_total 0\n" not in scrape(address))
    assert wait_until(lambda: "xengt_xenstore_up 1\n" in scrape(address))
    patched = scrape(address)
    xen.tables = None
    return patched, Page([HostMetrics(1000, str)]).text().decode()


def test_the_reference_is_up_to_date(tmp_path):
    copy = tmp_path / "deploy/prometheus" / SCRIPT.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(SCRIPT.read_bytes())
    (tmp_path / "xengt").symlink_to(ROOT / "xengt")
    subprocess.run([sys.executable, copy], check=True)
    expected = copy.with_name(REFERENCE.name).read_text(encoding="utf-8")
    assert REFERENCE.read_text(encoding="utf-8") == expected, f"run {SCRIPT.relative_to(ROOT)}"


def test_the_reference_has_exactly_the_metrics_of_a_page(pages):
    found = entries_of_pages(*pages)
    of_library = {name for name in found if not name.startswith("xengt_")}
    assert of_library
    assert all(name.startswith("process_") for name in of_library)
    assert "`process_*`" in REFERENCE.read_text(encoding="utf-8")
    assert entries_of_reference() == {
        name: entry for name, entry in found.items() if name not in of_library
    }


def test_help_texts_are_sentences_and_name_the_unit_of_time():
    for name, entry in entries_of_reference().items():
        assert re.fullmatch(r"[A-Z].*[^.]\.", entry.help), name
        if "seconds" in name:
            assert "seconds" in entry.help, name
