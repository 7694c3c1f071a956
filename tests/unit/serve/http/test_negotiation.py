"""What a client accepts."""

import pytest

from xengt.serve.http.negotiation import prefers_gzip, prefers_openmetrics

#: of Prometheus 3
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("deflate", False),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0, *;q=1", False),
        ("*;q=0", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=1.0", True),
        ("gzip;q=nonsense", False),
        ("gzip;q=nan", False),
        ("not-gzip", False),
        ("a;q=1;gzip", False),
    ],
)
def test_gzip_is_used_if_the_client_accepts_it(header, expected):
    assert prefers_gzip(header) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("*/*", False),
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ('application/openmetrics-text; version="1.0.0"', True),
        ("application/openmetrics-text;version=0.0.1", True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;q=0.1", True),
        ("application/openmetrics-text;q=0,text/plain;q=0.1", False),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.5,*/*;q=0.1", True),
        ("text/plain,application/openmetrics-text", False),
        ("text/html", False),
    ],
)
def test_openmetrics_is_used_if_the_client_prefers_it(header, expected):
    assert prefers_openmetrics(header) is expected
