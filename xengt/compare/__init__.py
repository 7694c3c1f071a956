"""Comparison of two sets of benchmark runs: ratios with confidence intervals."""

from xengt.compare.comparison import Comparison, compare_runs
from xengt.compare.figures import Metric
from xengt.compare.row import Row

__all__ = ["Comparison", "Metric", "Row", "compare_runs"]
