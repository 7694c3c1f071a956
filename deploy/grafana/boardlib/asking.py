"""A Prometheus, asked for what the panels show."""

import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Series:
    """One line of a panel.

    Attributes:
        labels: of it.
        points: seconds since the epoch, and a value each; what is not a number is left out.
    """

    labels: dict[str, str]
    points: list[tuple[float, float]]


def _asked(url: str, path: str, **words: object) -> Any:  # noqa: ANN401 (of many kinds)
    with urllib.request.urlopen(  # noqa: S310 (the user's own)
        f"{url}/api/v1/{path}?{urllib.parse.urlencode(words)}", timeout=60
    ) as answer:
        return json.load(answer)["data"]


def boxes(url: str) -> list[str]:
    """Return the agents that this Prometheus scrapes."""
    found = _asked(url, "query", query='up{job="xengt"}')["result"]
    return sorted(each["metric"]["instance"] for each in found)


def ranged(url: str, expr: str, times: tuple[float, float, float]) -> list[Series]:
    """Return what a query has returned, and when.

    Args:
        url: of the Prometheus.
        expr: PromQL.
        times: begin and end, in seconds since the epoch, and the step between.
    """
    begin, end, step = times
    found = _asked(url, "query_range", query=expr, start=begin, end=end, step=step)["result"]
    shown = (
        Series(
            each["metric"],
            [(float(at), float(value)) for at, value in each["values"] if value != "NaN"],
        )
        for each in found
    )
    return [each for each in shown if each.points]
