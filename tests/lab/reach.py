"""The lab of these tests, and what its dom0 is asked to do."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.patience import patient

ROOT = Path(__file__).parents[2]
LAB = ROOT / "deploy" / "lab" / "lab"


@dataclass(frozen=True)
class Dom0:
    """A lab that is up."""

    name: str

    def run(
        self, *words: str, timeout: float = 300, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in dom0: several words are exact arguments, one is a line of shell.

        Args:
            words: the command.
            timeout: seconds, see patience.py.
            given: its standard input.
        """
        limit = f"{patient(timeout):.0f}"
        return subprocess.run(
            [LAB, "ssh", "--name", self.name, "--timeout", limit, "--", *words],
            capture_output=True,
            text=True,
            check=False,
            input=given or "",
        )

    def succeeds(self, *words: str, timeout: float = 300) -> str:
        """Run a command that must end well; what it printed."""
        done = self.run(*words, timeout=timeout)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def bench(self, *options: str, timeout: float = 300) -> dict:
        """Run `xengt bench` and return its document."""
        return json.loads(self.succeeds("xengt", "bench", *options, "--json", "-", timeout=timeout))

    def console(self) -> str | None:
        """All that the serial console has shown since the lab was started; None: it is gone."""
        labs = json.loads(subprocess.check_output([LAB, "status", "--json"]))
        paths = [Path(lab["console"]) for lab in labs if lab["name"] == self.name]
        return paths[0].read_text(errors="replace") if paths else None

    def put(self, *files: Path) -> None:
        subprocess.run([LAB, "put", "--name", self.name, *files], check=True)

    def brings_tests(self) -> None:
        """Put the tests that run in dom0 there, with what they share with those here."""
        self.put(ROOT / "tests" / "lab" / "dom0", ROOT / "tests" / "patience.py")
        self.succeeds("mv /root/patience.py /usr/lib/python3/dist-packages/")


def left_behind(dom0: Dom0, within: float = 300) -> str:
    """Whatever of ours is still there, by Xen's own account; empty when there is nothing.

    Args:
        dom0: where to look.
        within: seconds to wait for it to go: Xen and Linux take some time to give it back.
    """
    # Gone means gone from Xen: `xl list` would hide a domain that only XenStore has forgotten.
    return dom0.succeeds("python3", "/root/dom0/left_behind.py", str(within)).strip()


#: what no hypervisor should say: it is broken, or gives up a domain, or warns
COMPLAINTS = re.compile(
    r"\(XEN\).*(\bBUG\b|\bASSERT|Assertion|\bWARN\b|Xen call trace|[Pp]anic|grant_table\.c|"
    r"domain_crash|Domain \d+ .*crashed|Debugging connection|\bRCU\b.*stall|general protection)"
)

#: what a debug build says of an unmap that these tests give a wrong address, on purpose
REFUSED = re.compile(r"arch/x86/pv/grant_table\.c:\d+:\S+ PTE \S+ for \S+ doesn't match grant")


def troubles(console: str) -> list[str]:
    """The lines of a serial console in which Xen complains, each once, with the line after it."""
    lines = console.splitlines()
    found = [
        "\n".join(lines[number : number + 2])
        for number, line in enumerate(lines)
        if COMPLAINTS.search(line) and not REFUSED.search(line)
    ]
    return list(dict.fromkeys(found))
