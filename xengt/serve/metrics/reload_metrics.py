"""Whether and when the agent has loaded its configuration."""

import time
from collections.abc import Iterator

from xengt.serve.metrics.definitions import (
    CONFIG_LAST_RELOAD_SUCCESS,
    CONFIG_LAST_RELOAD_SUCCESSFUL,
)
from xengt.serve.metrics.metric_families import MetricFamily, single


class ReloadMetrics:
    """Source of `xengt_config_last_reload_*`; the agent's start counts as a successful reload."""

    def __init__(self) -> None:
        """Record the success of the start."""
        self._successful = True
        self._last_success = time.time()

    def record(self, *, successful: bool) -> None:
        """Record a reload that has just ended."""
        self._successful = successful
        if successful:
            self._last_success = time.time()

    def families(self) -> Iterator[MetricFamily]:
        """Yield the result of the last reload, and the time of the last successful one."""
        yield single(CONFIG_LAST_RELOAD_SUCCESSFUL, int(self._successful))
        yield single(CONFIG_LAST_RELOAD_SUCCESS, self._last_success)
