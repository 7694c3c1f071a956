"""Compressed pages in parts, as a real Prometheus reads them."""

import pytest

from tests.prometheus.server import config, prometheus, waits_until
from tests.unit.http_fixtures import serving
from xengt.serve.http import compression
from xengt.serve.http.compression import Part

SERIES = 2_000
CONTENT_TYPES = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "OpenMetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}


@pytest.mark.parametrize("format_", CONTENT_TYPES)
def test_prometheus_reads_every_part_of_every_page(tmp_path, monkeypatch, format_):
    """Of which one is longer than a stream, one is the same on all pages, and the others change."""
    compressed = []
    compress = compression.compress
    monkeypatch.setattr(
        compression, "compress", lambda parts: compressed.append(1) or compress(parts)
    )
    long = "".join(
        f'a_number_with_a_long_name{{place="{each}"}} {each}\n' for each in range(SERIES)
    )
    assert len(long) > 60_000
    kept = Part(f"# TYPE a_number_with_a_long_name gauge\n{long}".encode())
    end = [Part(b"# EOF\n")] if format_ == "OpenMetrics" else []
    pages = 0

    def render(_accept):
        nonlocal pages
        pages += 1
        before, after = (Part(f"# TYPE {name} gauge\n{name} {pages}\n".encode()) for name in "bc")
        return [before, kept, after, *end], CONTENT_TYPES[format_]

    with serving(render=render) as address:
        job = {"job_name": "xengt", "static_configs": [{"targets": [address]}]}
        with prometheus(tmp_path, config(job, {}, 1)) as server:
            assert waits_until(lambda: max(server.query("b").values(), default=0) >= 3, 60)
            assert server.up()
            assert set(server.query("scrape_samples_scraped").values()) == {SERIES + 2}
            assert set(server.query("sum(a_number_with_a_long_name)").values()) == {
                sum(range(SERIES))
            }
            assert server.query("b == on(instance) c")
    assert len(compressed) >= 3
