"""Engine `gntdev-copy`: xengnttab_grant_copy, as user-space backends copy that do not map."""

from xengt.bench.engines.copying import CopyingEngine
from xenlib_cffi.loop import LoopEngine


class GntdevCopyEngine(CopyingEngine):
    """Copies through Linux, from and to memory of this process."""

    loop = LoopEngine.GNTDEV_COPY
    overhead_loop = LoopEngine.REFUSED_GNTDEV_COPY
