"""A Debian release in a chroot on this machine, to install xengt in."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lablib import places
from lablib.artifacts.roots import ENVIRONMENT, release_root
from lablib.build_process import as_root
from lablib.cache import Cache, remove

from tests.patience import patient

#: Packages of every host, and those that use what is installed for them.
PACKAGES = ("passwd", "bash-completion", "man-db", "systemd-sysv")
#: Installs recommended packages, as on a host, and does not wait until files are on the disk.
APT = """APT::Get::Assume-Yes "true";
APT::Install-Recommends "true";
DPkg::Options { "--force-unsafe-io"; };
"""
#: as of a login shell of root
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: mounts in a namespace that ends with the script
_ENTER = """
mount --bind /proc "$1/proc"
exec chroot "$@"
"""


@dataclass(frozen=True)
class Chroot:
    """A copy of a release's root.

    Attributes:
        root: its directory on this machine.
    """

    root: Path

    def run(
        self, script: str, timeout: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root in /root; its output is text.

        Args:
            script: for `bash -eu`.
            timeout: in seconds on the reference machine, see patience.py.
            environment: more variables.
        """
        variables = (f"{name}={value}" for name, value in environment.items())
        inner = (*ENVIRONMENT, _PATH, *variables, "bash", "-euc", f"cd /root\n{script}")
        command = ["unshare", "--mount", "sh", "-euc", _ENTER, "sh", self.root, *inner]
        return subprocess.run(
            as_root(command),
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=patient(timeout),
        )

    def check_output(self, script: str, timeout: float = 300, **environment: str) -> str:
        """Run a script that must succeed; return its stdout."""
        done = self.run(script, timeout, **environment)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def put(self, *paths: Path) -> None:
        """Copy files and directories to /root."""
        command = ["cp", "-r", "--no-preserve=ownership", *paths, self.root / "root"]
        subprocess.run(as_root(command), check=True)


@contextmanager
def chroot(suite: str, directory: Path) -> Iterator[Chroot]:
    """Copy the root of a release to a directory, and remove the copy afterwards.

    Args:
        suite: codename of the release.
        directory: holds the copy.
    """
    root = directory / suite
    cached = release_root(Cache(places.cache_root()), suite, PACKAGES)
    try:
        subprocess.run(as_root(["cp", "-a", "--reflink=auto", cached, root]), check=True)
        found = Chroot(root)
        for name in ("hosts", "resolv.conf"):  # apt downloads from the archive of this machine
            subprocess.run(as_root(["cp", f"/etc/{name}", root / "etc"]), check=True)
        (directory / "zz-tests").write_text(APT)
        subprocess.run(
            as_root(["cp", directory / "zz-tests", root / "etc/apt/apt.conf.d"]), check=True
        )
        found.check_output("apt-get -q update")
        yield found
    finally:
        remove(root)
