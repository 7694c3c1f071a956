"""Debian roots: directories with Debian packages, to compile in or to make dom0's disk from.

They are of Debian 13, except those that `release_root` makes for tests of the package.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from lablib import places
from lablib.build_process import as_root, run
from lablib.cache import Cache, key, remove
from lablib.output import step
from lablib.source import apt

BUILD_PACKAGES = (
    "build-essential", "libxen-dev", "pkgconf",
    "debhelper", "dh-python", "pybuild-plugin-pyproject", "python3-all-dev", "python3-cffi",
    "python3-setuptools", "python3-typer",
    "bison", "flex", "bc", "python3",
)  # fmt: skip
"""Packages of the build root, in which xengt, C programs that use Xen's libraries and the
hypervisor are built."""

KERNEL_PACKAGES = ("build-essential", "bc", "bison", "flex", "kmod", "libelf-dev", "zstd")
"""Packages of the root that kernels are built in."""

DOM0_PACKAGES = (
    "linux-image-amd64", "xen-hypervisor-4.20-amd64", "xen-utils-4.20", "systemd-sysv",
    "udev", "kmod", "passwd", "iproute2", "busybox-static", "dropbear", "ca-certificates",
    "python3-cffi", "python3-typer", "python3-prometheus-client", "python3-pyxs", "python3-rich",
    "python3-bcrypt", "python3-yaml", "python3-pytest",
)  # fmt: skip
"""Packages of dom0: Debian's kernel, hypervisor and toolstack, and the libraries of xengt, with
those of its web configuration."""

SLIM = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
)

_SLIM = tuple(f"--dpkgopt={line}" for line in SLIM)

ENVIRONMENT = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8")


def build_root(cache: Cache) -> Path:
    """Return the directory of the root with compilers and Xen's development files."""
    return _compilers(cache, "build", BUILD_PACKAGES, "Xen and xengt")


def kernel_root(cache: Cache) -> Path:
    """Return the directory of the root that kernels are built in."""
    return _compilers(cache, "kernel-build", KERNEL_PACKAGES, "Linux")


def _compilers(cache: Cache, kind: str, packages: Sequence[str], product: str) -> Path:
    name = key(word.encode() for word in (apt.SUITE, *packages, *SLIM))

    def make(entry: Path) -> None:
        with step(f"making a Debian root to compile {product} in (once)"):
            _debootstrap(entry, apt.SUITE, packages, cache.log(kind), *_SLIM)

    return cache.entry(kind, name, make) / "root"


def release_root(cache: Cache, suite: str, packages: Sequence[str]) -> Path:
    """Return the directory of a root with documentation, to install xengt in a copy of it.

    Args:
        cache: the cache.
        suite: codename of the Debian release.
        packages: Debian packages besides the essential ones and apt.
    """
    kind = f"root-{suite}"

    def make(entry: Path) -> None:
        with step(f"making a Debian root of {suite} (once)"):
            _debootstrap(entry, suite, packages, cache.log(kind))

    return cache.entry(kind, key(word.encode() for word in (suite, *packages)), make) / "root"


def dom0_root(cache: Cache, kind: str = "dom0", more: Sequence[str] = ()) -> Path:
    """Return the directory of the root that dom0's disk is made from.

    Args:
        cache: the cache.
        kind: the kind of the cache entry.
        more: Debian packages in addition to DOM0_PACKAGES.
    """
    slim = places.LAB / "dom0/slim"
    # BUILD_PACKAGES are in the key so that dom0 is never older than the build root: programs need
    # libraries at least as new as those they are compiled with.
    packages = (*BUILD_PACKAGES, *DOM0_PACKAGES, *more)
    words = [word.encode() for word in (apt.SUITE, *packages, *SLIM)]
    name = key([*words, slim.read_bytes()])

    def make(entry: Path) -> None:
        with step("making the Debian root of dom0 (once)"):
            hook = f"--customize-hook={slim}"
            packages = (*DOM0_PACKAGES, *more)
            _debootstrap(entry, apt.SUITE, packages, cache.log(kind), *_SLIM, hook)

    return cache.entry(kind, name, make) / "root"


def _debootstrap(
    entry: Path, suite: str, packages: Sequence[str], log: Path, *options: str
) -> None:
    sources = entry / "sources.list"
    sources.write_text("\n".join(apt.mirrors().lines(suite)) + "\n")
    command = [
        "env", "INITRD=No",  # the lab makes its own initramfs
        "mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"',
        *(f"--aptopt={line.rstrip(';')}" for line in apt.proxies()),
        *options, suite, str(entry / "root"), str(sources),
    ]  # fmt: skip
    run(as_root(command), log)


def run_in_root(root: Path, script: str, log: Path, *arguments: str) -> None:
    """Run a shell script in a root with chroot, as root and without mounts.

    Args:
        root: from `build_root`, or a copy of `dom0_root`.
        script: for `sh -eu`.
        log: the file for its output.
        arguments: $1 and the following arguments of the script.

    Raises:
        LabError: the script failed.
    """
    run(
        as_root(["chroot", root, *ENVIRONMENT, "sh", "-euc", script, "sh", *arguments]),
        log,
    )


class Workbench:
    """A temporary directory in a root to compile in.

    Args:
        root: from `build_root`.
        name: of the directory; workbenches of the same name must not be used at the same time.

    Attributes:
        inner: its path in the root.
        outer: its path on this machine.
    """

    def __init__(self, root: Path, name: str) -> None:
        """Set the paths; entering the context makes the directory."""
        self.root = root
        self.inner = f"/bench/{name}"
        self.outer = root / "bench" / name

    def __enter__(self) -> Self:
        """Make the directory, empty."""
        remove(self.outer)
        run(as_root(["mkdir", "-p", self.outer]), self.root.parent / "workbench.log")
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the directory."""
        remove(self.outer)

    def bring(self, source: Path, log: Path) -> None:
        """Copy the content of a directory into the workbench."""
        run(as_root(["cp", "-r", "--no-preserve=ownership", f"{source}/.", self.outer]), log)

    def do(self, script: str, log: Path, *arguments: str) -> None:
        """Run a shell script in the workbench; see `run_in_root`."""
        run_in_root(self.root, f"cd {self.inner}\n{script}", log, *arguments)

    def take(self, names: Sequence[str], target: Path) -> None:
        """Copy files out of the workbench, owned by the user of this process.

        Args:
            names: paths relative to the workbench.
            target: the directory for the copies.
        """
        for name in names:
            (target / Path(name).name).write_bytes((self.outer / name).read_bytes())
