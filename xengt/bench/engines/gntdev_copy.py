"""Engine `gntdev-copy`: xengnttab_grant_copy, as user-space backends copy that do not map."""

from pathlib import Path

from xengt.bench.engines.copying import CopyingEngine
from xengt.xen import preflight
from xenlib_cffi import device_paths
from xenlib_cffi.loop import LoopEngine


class GntdevCopyEngine(CopyingEngine):
    """Copies through Linux, from and to memory of this process."""

    loop = LoopEngine.GNTDEV_COPY
    overhead_loop = LoopEngine.REFUSED_GNTDEV_COPY

    @staticmethod
    def require() -> None:
        """Check that gntdev can be opened."""
        preflight.require_device(Path(device_paths.GNTDEV), "xen-gntdev")
