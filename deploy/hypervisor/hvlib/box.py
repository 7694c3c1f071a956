"""The test box: access to its files and its programs."""

import os
import subprocess
from pathlib import Path

EXIT_USAGE = 2
EXIT_FAILED = 3

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
REQUIRED_SYSTEM = "the box must run Debian 13 and boot through GRUB"
"""Remedy when a program or a file of GRUB or dpkg is missing."""


class BoxError(Exception):
    """A command of this package failed.

    Args:
        what: one sentence that names what failed.
        remedy: one sentence that names what the user can change.
        exit_code: exit code of the command.
    """

    def __init__(self, what: str, remedy: str = "", exit_code: int = EXIT_FAILED) -> None:
        """Store the parts separately, because the command line prints them on separate lines."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.exit_code = exit_code


def refusal(what: str, remedy: str) -> BoxError:
    """Return the error of a command that has changed nothing."""
    return BoxError(what, remedy, EXIT_USAGE)


class Box:
    """The machine whose boot configuration is changed.

    Args:
        root: directory of its root file system.
        search_path: PATH of its programs.
    """

    def __init__(self, root: Path = Path("/"), search_path: str = PATH) -> None:
        """Use the local machine by default; tests pass a directory instead."""
        self.root = root
        self._environment = {**os.environ, "PATH": search_path, "LC_ALL": "C.UTF-8"}

    def path(self, name: str) -> Path:
        """Return the path of a file; its name has no leading slash."""
        return self.root / name

    def run(self, *command: str | Path, show_output: bool = False) -> str:
        """Run a program and return its stdout.

        Args:
            command: program and arguments.
            show_output: let the program write to the user's terminal, and return nothing.

        Raises:
            BoxError: the program is not installed, or failed.
        """
        words = [str(word) for word in command]
        out = None if show_output else subprocess.PIPE
        try:
            done = subprocess.run(
                words, check=False, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                text=True, env=self._environment,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise refusal(f"{words[0]} is not installed", REQUIRED_SYSTEM) from error
        if done.returncode:
            message = "" if show_output else f": {(done.stderr or done.stdout).strip()}"
            raise BoxError(f"`{' '.join(words)}` exited with {done.returncode}{message}")
        return "" if show_output else done.stdout

    def build_id(self) -> str | None:
        """Return the running hypervisor's build id as hex digits; None if Xen does not run."""
        try:
            return self.path("sys/hypervisor/properties/buildid").read_bytes().hex()
        except OSError:
            return None


def require_root() -> None:
    """Check that the user is root.

    Raises:
        BoxError: the user is not root.
    """
    if os.geteuid():
        raise refusal(
            "only root can change the boot configuration", "run the command as root or with sudo"
        )
