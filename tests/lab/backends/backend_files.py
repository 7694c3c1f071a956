"""Files for a guest that transfers data: its initramfs (busybox, drivers, `init`), and programs."""

import lzma
import shutil
import stat
from pathlib import Path

from lablib import places
from lablib.artifacts import initramfs, roots
from lablib.cache import Cache

HERE = Path(__file__).parent
DRIVERS = ("xen-blkfront", "xen-netfront")
#: run in dom0
PROGRAMS = (
    "traffic.py",
    "timed_traffic.py",
    "endless_load.py",
    "nvme_traffic.py",
    "direct_reads.py",
    "large_pings.py",
    "unmapped_batches.py",
    "user_space_io.py",
)


def build_initramfs() -> bytes:
    """Return the initramfs, with the drivers of the lab's dom0 kernel."""
    root = roots.dom0_root(Cache(places.cache_root()))
    modules = next((root / "usr/lib/modules").iterdir())
    members = [
        (name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "proc", "sys", "modules")
    ]
    members.append(("bin/busybox", stat.S_IFREG | 0o755, (root / "usr/bin/busybox").read_bytes()))
    members.append(("init", stat.S_IFREG | 0o755, (HERE / "init").read_bytes()))
    names = []
    table = initramfs.parse_dependencies((modules / "modules.dep").read_text())
    for path in initramfs.order(table, DRIVERS):
        names.append(Path(path).name.removesuffix(".xz"))
        content = lzma.decompress((modules / path).read_bytes())
        members.append((f"modules/{names[-1]}", stat.S_IFREG | 0o644, content))
    members.append(("modules/order", stat.S_IFREG | 0o644, "\n".join(names).encode()))
    return initramfs.archive(members)


def make_directory(parent: Path) -> Path:
    """Create and return `parent`/backends with all files for dom0."""
    made = parent / "backends"
    made.mkdir()
    (made / "initramfs").write_bytes(build_initramfs())
    for name in (*PROGRAMS, "vbd", "vif"):
        shutil.copy(HERE / name, made)  # with its mode
    return made
