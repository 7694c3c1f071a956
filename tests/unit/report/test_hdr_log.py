"""The HdrHistogram log, read by the hdrhistogram package."""

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from tests.unit.made_documents import document
from xengt.report import hdr_log


def test_the_log_is_readable_by_hdrhistogram(tmp_path):
    made = document()
    path = tmp_path / "run.hlog"
    path.write_text(hdr_log.render(made), encoding="utf-8")
    reader = HistogramLogReader(str(path), HdrHistogram(1, 3_600_000_000_000, 3))
    for result in made.results:
        interval = reader.get_next_interval_histogram()
        assert interval.get_total_count() == result.samples
        per_operation = interval.get_value_at_percentile(50) / result.case.batch
        assert per_operation == pytest.approx(result.latency_ns.p50, rel=0.01)
    assert reader.get_next_interval_histogram() is None
