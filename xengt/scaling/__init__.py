"""Scaling: throughput over threads, described by the universal scalability law."""

from xengt.scaling.document import ScalingDocument, ScalingRow, find_laws, fit_runs
from xengt.scaling.law import Coefficient, ScalingLaw, fit_law

__all__ = [
    "Coefficient",
    "ScalingDocument",
    "ScalingLaw",
    "ScalingRow",
    "find_laws",
    "fit_law",
    "fit_runs",
]
