"""The test box: its files, and the programs that are run on it."""

import os
import subprocess
from pathlib import Path

EXIT_USAGE = 2
EXIT_FAILED = 3

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class BoxError(Exception):
    """What failed, and what to do about it.

    Args:
        what: one sentence, with the thing that failed.
        remedy: one sentence: what the user can change.
        exit_code: what the command exits with.
    """

    def __init__(self, what: str, remedy: str = "", exit_code: int = EXIT_FAILED) -> None:
        """Keep the parts apart, so that they can be shown apart."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.exit_code = exit_code


def refusal(what: str, remedy: str) -> BoxError:
    """Return the error of a command that has changed nothing."""
    return BoxError(what, remedy, EXIT_USAGE)


class Box:
    """A machine whose boot is changed.

    Args:
        root: where its files are.
        search: where its programs are.
    """

    def __init__(self, root: Path = Path("/"), search: str = PATH) -> None:
        """Take the machine this runs on, or one made for a test."""
        self.root = root
        self._environment = {**os.environ, "PATH": search, "LC_ALL": "C.UTF-8"}

    def path(self, name: str) -> Path:
        """Return where a file of the box is; its name has no leading slash."""
        return self.root / name

    def run(self, *command: str | Path, told: bool = False) -> str:
        """Run a program and return what it printed.

        Args:
            command: program and arguments.
            told: show the user what it prints, instead of returning it.

        Raises:
            BoxError: it is not there, or it failed.
        """
        words = [str(word) for word in command]
        out = None if told else subprocess.PIPE
        try:
            done = subprocess.run(
                words, check=False, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                text=True, env=self._environment,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise refusal(
                f"{words[0]} is not installed", "this needs Debian 13 that boots through GRUB"
            ) from error
        if done.returncode:
            said = "" if told else f": {(done.stderr or done.stdout).strip()}"
            raise BoxError(f"`{' '.join(words)}` exited with {done.returncode}{said}")
        return "" if told else done.stdout

    def build_id(self) -> str | None:
        """Return the build id of the hypervisor this runs on; none when there is none."""
        try:
            return self.path("sys/hypervisor/properties/buildid").read_bytes().hex()
        except OSError:
            return None


def require_root() -> None:
    """Refuse to go on as anybody but root.

    Raises:
        BoxError: the user is somebody else.
    """
    if os.geteuid():
        raise refusal("only root can change what the box boots", "run it as root, or with sudo")
