"""The initramfs of the guest that moves data: busybox, its drivers, and `init`."""

import lzma
import stat
from pathlib import Path

from lablib import initramfs, places, roots
from lablib.cache import Cache

HERE = Path(__file__).parent
DRIVERS = ("xen-blkfront", "xen-netfront")


def build() -> bytes:
    """Return it, for the kernel of the lab's dom0."""
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
