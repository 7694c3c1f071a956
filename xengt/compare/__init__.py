"""Two sets of runs against each other: ratios, and how sure they are."""

from xengt.compare.comparison import Comparison, Metric, Row, compare_runs

__all__ = ["Comparison", "Metric", "Row", "compare_runs"]
