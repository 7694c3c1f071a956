"""Commands in the dom0 of a running lab, and complaints of its hypervisor."""

import json
import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.patience import patient

ROOT = Path(__file__).parents[2]
LAB = ROOT / "deploy" / "lab" / "lab"


@dataclass(frozen=True)
class Dom0:
    """The dom0 of a running lab, by the lab's name."""

    name: str

    def run(
        self, *words: str, timeout: float = 300, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in dom0.

        Args:
            words: one word is a shell command line, several are the exact arguments.
            timeout: in seconds on the reference machine, see patience.py.
            stdin: text for standard input; default: empty.
        """
        limit = f"{patient(timeout):.0f}"
        return subprocess.run(
            [LAB, "ssh", "--name", self.name, "--timeout", limit, "--", *words],
            capture_output=True,
            text=True,
            check=False,
            input=stdin or "",
        )

    def check_output(self, *words: str, timeout: float = 300) -> str:
        """Run a command that must exit with 0; returns its standard output."""
        done = self.run(*words, timeout=timeout)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def bench(self, *options: str, timeout: float = 300) -> dict:
        """Run `xengt bench` and return its document."""
        return json.loads(self.check_output("xengt", "bench", *options, "--json", timeout=timeout))

    def console(self) -> str | None:
        """Return the serial console's log since the lab started; None if the lab is gone."""
        labs = json.loads(subprocess.check_output([LAB, "status", "--json"]))
        paths = [Path(lab["console"]) for lab in labs if lab["name"] == self.name]
        return paths[0].read_text(errors="replace") if paths else None

    def put(self, *files: Path) -> None:
        subprocess.run([LAB, "put", "--name", self.name, *files], check=True)

    def copy_tests(self) -> None:
        """Copy the tests of tests/lab/dom0 and the shared patience.py into dom0."""
        self.put(ROOT / "tests" / "lab" / "dom0", ROOT / "tests" / "patience.py")
        self.check_output("mv /root/patience.py /usr/lib/python3/dist-packages/")


def leftovers(dom0: Dom0, within: float = 300) -> str:
    """Return domains and mappings of xengt that Xen still has, one per line; "" if there are none.

    Args:
        dom0: the lab to examine.
        within: seconds to wait for them to disappear, as Xen and Linux release some later.
    """
    # Ask Xen itself: `xl list` omits a domain that XenStore no longer knows.
    return dom0.check_output("python3", "/root/dom0/print_leftovers.py", str(within)).strip()


#: console messages about a bug, a crash or a warning of the hypervisor
COMPLAINTS = re.compile(
    r"\(XEN\).*(\bBUG\b|\bASSERT|Assertion|\bWARN\b|Xen call trace|[Pp]anic|grant_table\.c|"
    r"domain_crash|Domain \d+ .*crashed|Debugging connection|\bRCU\b.*stall|general protection)"
)

#: message of a debug build about an unmap with a wrong address, which some tests do on purpose
REFUSED = re.compile(r"arch/x86/pv/grant_table\.c:\d+:\S+ PTE \S+ for \S+ doesn't match grant")

#: message of a debug build about what is no error
EXPANDED = re.compile(r"common/grant_table\.c:\d+:\S+ Expanding d\d+ grant table")

#: messages about a domain that Xen crashes, the first one without its domid
CRASHING, CRASHED = re.compile(r"domain_crash_sync called"), re.compile(r"Domain (\d+) .*crashed")


def hypervisor_complaints(console: str, crashed: Collection[int] = ()) -> list[str]:
    """Return the distinct console lines in which Xen complains, each with the following line.

    Args:
        console: the console's log.
        crashed: domids of the domains that a test made Xen crash.
    """
    lines = console.splitlines()

    def intended(number: int) -> bool:
        if CRASHING.search(lines[number]):
            number += 1
        match = CRASHED.search(lines[number]) if number < len(lines) else None
        return bool(match and int(match[1]) in crashed)

    found = [
        "\n".join(lines[number : number + 2])
        for number, line in enumerate(lines)
        if COMPLAINTS.search(line)
        and not (REFUSED.search(line) or EXPANDED.search(line) or intended(number))
    ]
    return list(dict.fromkeys(found))
