"""Whether an agent has passed a soak."""

from collections.abc import Iterator

from tests.soak.growth import growth
from tests.soak.load import CLIENTS, Soak
from tests.soak.report import Report


def problems(soak: Soak, report: Report) -> list[str]:
    """Return what is wrong, one sentence each."""
    return [*report.failures, *_missing(soak, report), *_process(report), *_growth(soak, report)]


def _missing(soak: Soak, report: Report) -> Iterator[str]:
    """The load itself must not have stopped early."""
    hour = soak.hour
    slow = sum(client.slow for client in CLIENTS)
    expected = {
        "scrapes": slow * hour.slow_scrapes + (len(CLIENTS) - slow) * hour.scrapes,
        "domains": hour.domains,
        "reloads": 2 * hour.reloads + 2,
        "restarts": hour.restarts,
        "scans": hour.scans,
    }
    for name, number in expected.items():
        if getattr(report, name) < soak.hours * number:
            yield f"{getattr(report, name)} {name} instead of {soak.hours * number}"
    if report.rounds < soak.hours * hour.rounds:
        yield f"{report.rounds} rounds of the probe instead of {soak.hours * hour.rounds}"


def _process(report: Report) -> Iterator[str]:
    if len(report.pids) != 1:
        yield f"the agent was restarted: {report.pids}"


def _growth(soak: Soak, report: Report) -> Iterator[str]:
    half = report.states[-(soak.hours // 2) :]
    if (grown := growth([each.memory for each in half])) > soak.leak:
        yield f"memory grows by {grown} bytes in the second half"
    # At rest these are exact: nothing but the agent's own threads and their files is left.
    first = report.states[1]
    for number, each in enumerate(report.states[2:], 2):
        for name in ("descriptors", "threads"):
            if getattr(each, name) != getattr(first, name):
                yield (
                    f"{getattr(each, name)} {name} after hour {number}, "
                    f"{getattr(first, name)} after the first"
                )
