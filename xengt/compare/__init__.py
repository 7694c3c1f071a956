"""Comparison of two sets of benchmark runs: ratios with confidence intervals."""

from xengt.compare.document import Comparison, compare_runs
from xengt.compare.figures import Metric
from xengt.compare.row import RatioRow

__all__ = ["Comparison", "Metric", "RatioRow", "compare_runs"]
