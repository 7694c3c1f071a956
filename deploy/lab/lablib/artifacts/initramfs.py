"""The initramfs: busybox, disk drivers and an init script. Debian's initramfs boots more slowly."""

import lzma
import stat
from collections.abc import Iterator
from pathlib import Path

DRIVERS = ("virtio_blk", "xen-blkfront", "ext4", "crc32c_generic", "crc32c-intel")
"""Drivers of the root disk in dom0 and in a guest, and of its file system."""


def parse_dependencies(text: str) -> dict[str, list[str]]:
    """Parse modules.dep(5): the paths of the modules that each module needs, by its path."""
    table = {}
    for line in text.splitlines():
        path, _, needs = line.partition(":")
        table[path] = needs.split()
    return table


def order(table: dict[str, list[str]], names: tuple[str, ...]) -> list[str]:
    """Return the paths of modules and of their dependencies, in the order of loading.

    Args:
        table: from `parse_dependencies`.
        names: of the modules; one that is not in the table is built into the kernel.
    """
    paths = {Path(path).name.split(".")[0].replace("-", "_"): path for path in table}
    ordered: list[str] = []
    for name in names:
        path = paths.get(name.replace("-", "_"))
        if path is None:  # built into the kernel
            continue
        for module in [*reversed(table[path]), path]:
            if module not in ordered:
                ordered.append(module)
    return ordered


def entry(number: int, name: str, mode: int, content: bytes = b"") -> bytes:
    """Return one member of a cpio archive in the `newc` format: buffer-format.rst of Linux.

    Args:
        number: its inode number.
        name: its path.
        mode: its st_mode.
        content: of a regular file.
    """
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def archive(members: list[tuple[str, int, bytes]]) -> bytes:
    """Return a cpio archive of (name, mode, content)."""
    parts = [entry(i, name, mode, content) for i, (name, mode, content) in enumerate(members, 1)]
    return b"".join(parts) + entry(0, "TRAILER!!!", 0)


def build(root: Path, script: Path) -> bytes:
    """Return the initramfs for the kernel in a root.

    Args:
        root: dom0's root, with its busybox and modules.
        script: the file that becomes /init.
    """
    modules = next((root / "usr/lib/modules").iterdir())
    return archive([*_base(root, script), *_drivers(modules)])


def build_for(modules: Path, root: Path, script: Path) -> bytes:
    """Return the initramfs for a kernel that is not the root's and has its drivers built in.

    Args:
        modules: the kernel's directory of /lib/modules; `script` copies it to the system.
        root: dom0's root, with its busybox.
        script: the file that becomes /init.
    """
    order = ("modules/order", stat.S_IFREG | 0o644, b"")
    return archive([*_base(root, script), order, *_module_lists(modules)])


def _module_lists(modules: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield the files that modprobe reads, such as modules.builtin, without any module."""
    target = f"lib/modules/{modules.name}"
    for directory in ("lib", "lib/modules", target):
        yield directory, stat.S_IFDIR | 0o755, b""
    for file in sorted(path for path in modules.iterdir() if path.is_file()):
        yield f"{target}/{file.name}", stat.S_IFREG | 0o644, file.read_bytes()


def _base(root: Path, script: Path) -> Iterator[tuple[str, int, bytes]]:
    for directory in ("bin", "dev", "proc", "root", "modules"):
        yield directory, stat.S_IFDIR | 0o755, b""
    yield "bin/busybox", stat.S_IFREG | 0o755, (root / "usr/bin/busybox").read_bytes()
    yield "init", stat.S_IFREG | 0o755, script.read_bytes()


def _drivers(modules: Path) -> Iterator[tuple[str, int, bytes]]:
    names = []
    for path in order(parse_dependencies((modules / "modules.dep").read_text()), DRIVERS):
        content = (modules / path).read_bytes()
        name = Path(path).name
        if name.endswith(".xz"):  # busybox's insmod does not load compressed modules
            content, name = lzma.decompress(content), name.removesuffix(".xz")
        names.append(name)
        yield f"modules/{name}", stat.S_IFREG | 0o644, content
    yield "modules/order", stat.S_IFREG | 0o644, "\n".join(names).encode()
