"""What a client accepts, by the Accept and Accept-Encoding headers of its request (RFC 9110).

prometheus_client's own choice (choose_encoder, gzip_accepted) ignores the weights `q`.
"""

from collections.abc import Iterator

#: content type of OpenMetrics, without its parameters
OPENMETRICS = "application/openmetrics-text"
_OPENMETRICS_VERSIONS = {"", "0.0.1", "1.0.0"}
_TEXT = {"text/plain", "text/*", "*/*"}


def prefers_openmetrics(accept: str) -> bool:
    """Return whether a client prefers OpenMetrics 1.0 to Prometheus' text format.

    Args:
        accept: the Accept header; text is the default.
    """
    best, openmetrics = 0.0, False
    for value, parameters, weight in _items(accept):
        is_openmetrics = (
            value == OPENMETRICS and parameters.get("version", "") in _OPENMETRICS_VERSIONS
        )
        if weight > best and (is_openmetrics or value in _TEXT):
            best, openmetrics = weight, is_openmetrics
    return openmetrics


def prefers_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip, and does not prefer uncompressed content.

    Args:
        accept_encoding: the Accept-Encoding header.
    """
    weights = {value: weight for value, _, weight in _items(accept_encoding)}
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _items(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield value, parameters and weight of each item; an invalid weight is 0."""
    for item in header.lower().split(","):
        value, *rest = (part.strip() for part in item.split(";"))
        parameters = {
            name.strip(): text.strip().strip('"')
            for name, _, text in (part.partition("=") for part in rest)
        }
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        yield value, parameters, weight if 0 <= weight <= 1 else 0.0
