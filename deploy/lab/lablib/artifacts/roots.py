"""The two Debian 13 roots: one to compile in, one that becomes dom0."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from lablib import places
from lablib.cache import Cache, key, remove
from lablib.commands import as_root, run
from lablib.output import step
from lablib.source import apt

BUILD_PACKAGES = (
    "build-essential", "libxen-dev", "pkgconf",
    "debhelper", "dh-python", "pybuild-plugin-pyproject", "python3-all-dev", "python3-cffi",
    "python3-setuptools",
    "bison", "flex", "bc", "python3",
)  # fmt: skip
"""What compiles C against Xen's libraries, the Debian package of this tree, and a hypervisor."""

KERNEL_PACKAGES = ("build-essential", "bc", "bison", "flex", "kmod", "libelf-dev", "zstd")
"""What compiles a kernel."""

DOM0_PACKAGES = (
    "linux-image-amd64", "xen-hypervisor-4.20-amd64", "xen-utils-4.20", "systemd-sysv",
    "udev", "kmod", "passwd", "iproute2", "busybox-static", "dropbear", "ca-certificates",
    "python3-cffi", "python3-typer", "python3-prometheus-client", "python3-pyxs", "python3-rich",
    "python3-pytest",
)  # fmt: skip
"""What dom0 runs: Debian's own kernel, hypervisor, toolstack and Python libraries."""

SLIM = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
)

ENVIRONMENT = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8")


def build_root(cache: Cache) -> Path:
    """Return the directory with compilers and Xen's development files."""
    return _compilers(cache, "build", BUILD_PACKAGES, "everything")


def kernel_root(cache: Cache) -> Path:
    """Return the directory with what a kernel is compiled with."""
    return _compilers(cache, "kernel-build", KERNEL_PACKAGES, "a kernel")


def _compilers(cache: Cache, kind: str, packages: Sequence[str], what: str) -> Path:
    name = key(word.encode() for word in (apt.SUITE, *packages, *SLIM))

    def make(entry: Path) -> None:
        with step(f"making the root that {what} is compiled in (once)"):
            _debootstrap(entry, packages, cache.log(kind))

    return cache.entry(kind, name, make) / "root"


def dom0_root(cache: Cache, kind: str = "dom0", more: Sequence[str] = ()) -> Path:
    """Return the directory with the Debian packages that dom0 is made of.

    Args:
        cache: where it is kept.
        kind: what it is kept as.
        more: Debian packages beyond those every dom0 has.
    """
    slim = places.LAB / "dom0/slim"
    # Never older than the build root: what is compiled there asks for libraries as new as its own.
    packages = (*BUILD_PACKAGES, *DOM0_PACKAGES, *more)
    words = [word.encode() for word in (apt.SUITE, *packages, *SLIM)]
    name = key([*words, slim.read_bytes()])

    def make(entry: Path) -> None:
        wanted = (*DOM0_PACKAGES, *more)
        with step("making the Debian root of dom0 (once)"):
            _debootstrap(entry, wanted, cache.log(kind), f"--customize-hook={slim}")

    return cache.entry(kind, name, make) / "root"


def _debootstrap(entry: Path, packages: Sequence[str], log: Path, *options: str) -> None:
    sources = entry / "sources.list"
    sources.write_text("\n".join(apt.mirrors().lines()) + "\n")
    command = [
        "env", "INITRD=No",  # the lab makes its own initramfs
        "mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"',
        *(f"--aptopt={line.rstrip(';')}" for line in apt.proxies()),
        *(f"--dpkgopt={line}" for line in SLIM),
        *options, apt.SUITE, str(entry / "root"), str(sources),
    ]  # fmt: skip
    run(as_root(command), log)


def inside(root: Path, script: str, log: Path, *arguments: str) -> None:
    """Run a shell script in a root, as its root user, without any mount.

    Args:
        root: from `build_root`, or a copy of `dom0_root`.
        script: for `sh -eu`.
        log: takes its output.
        arguments: the script's $1 and on.

    Raises:
        LabError: the script failed.
    """
    run(
        as_root(["chroot", root, *ENVIRONMENT, "sh", "-euc", script, "sh", *arguments]),
        log,
    )


class Workbench:
    """A directory inside the build root that is gone afterwards.

    Args:
        root: from `build_root`.
        name: of the directory; two workbenches of one name must not be used at once.
    """

    def __init__(self, root: Path, name: str) -> None:
        """Name the directory; entering the context makes it."""
        self.root = root
        self.inner = f"/bench/{name}"
        self.outer = root / "bench" / name

    def __enter__(self) -> Self:
        """Make the directory, empty."""
        remove(self.outer)
        run(as_root(["mkdir", "-p", self.outer]), self.root.parent / "workbench.log")
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it with everything made in it."""
        remove(self.outer)

    def bring(self, source: Path, log: Path) -> None:
        """Copy a directory's content in."""
        run(as_root(["cp", "-r", "--no-preserve=ownership", f"{source}/.", self.outer]), log)

    def do(self, script: str, log: Path, *arguments: str) -> None:
        """Run a shell script in the directory; see `inside`."""
        inside(self.root, f"cd {self.inner}\n{script}", log, *arguments)

    def take(self, names: Sequence[str], target: Path) -> None:
        """Copy results out, owned by the caller."""
        for name in names:
            (target / Path(name).name).write_bytes((self.outer / name).read_bytes())
