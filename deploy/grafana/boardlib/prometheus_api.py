"""Queries to the HTTP API of a Prometheus."""

import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Series:
    """One series of a query result.

    Attributes:
        labels: name → value.
        points: seconds since the epoch and value, in order of time; NaN values are left out.
    """

    labels: dict[str, str]
    points: list[tuple[float, float]]


def _get(url: str, endpoint: str, **parameters: object) -> Any:  # noqa: ANN401 (JSON of any type)
    with urllib.request.urlopen(  # noqa: S310 (the user's own Prometheus)
        f"{url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}", timeout=60
    ) as response:
        return json.load(response)["data"]


def instances(url: str) -> list[str]:
    """Return the instances of the xengt scrape job, sorted.

    Args:
        url: base URL of the Prometheus.

    Raises:
        OSError: it cannot be reached, or rejects the query.
    """
    result = _get(url, "query", query='up{job="xengt"}')["result"]
    return sorted(each["metric"]["instance"] for each in result)


def query_range(url: str, expr: str, times: tuple[float, float, float]) -> list[Series]:
    """Evaluate a query over a time range; series without a number are left out.

    Args:
        url: base URL of the Prometheus.
        expr: PromQL.
        times: begin and end, in seconds since the epoch, and the step in seconds.

    Raises:
        OSError: the Prometheus cannot be reached, or rejects the query.
    """
    begin, end, step = times
    result = _get(url, "query_range", query=expr, start=begin, end=end, step=step)["result"]
    series = (
        Series(
            each["metric"],
            [(float(at), float(value)) for at, value in each["values"] if value != "NaN"],
        )
        for each in result
    )
    return [each for each in series if each.points]
