"""The version of the agent."""

from collections.abc import Iterator

import xengt
from xengt.serve.metrics.definitions import BUILD_INFO
from xengt.serve.metrics.metric_families import MetricFamily, family


class BuildMetrics:
    """Source of `xengt_build_info`."""

    def families(self) -> Iterator[MetricFamily]:
        """Yield the version as a label."""
        yield family(BUILD_INFO, [((xengt.__version__,), 1)])
