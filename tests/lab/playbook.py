"""Runs the playbooks of deploy/fleet with ansible-playbook."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.lab.lab_dom0 import ROOT
from tests.patience import patient

FLEET = ROOT / "deploy" / "fleet"
#: in the virtual environment of these tests
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
_RECAP = re.compile(r"^(\S+) +: (ok=.*)$", re.MULTILINE)


@dataclass(frozen=True)
class PlaybookRun:
    """The result of a playbook run.

    Attributes:
        code: exit code of ansible-playbook.
        output: its stdout and stderr.
        hosts: host → `ok`, `changed`, `failed`, `unreachable` and so on → number of tasks.
    """

    code: int
    output: str
    hosts: dict[str, dict[str, int]]

    def changed(self, host: str) -> int:
        """Return how many tasks changed a host; the run must have succeeded."""
        assert self.code == 0, self.output
        return self.hosts[host]["changed"]


def play(
    playbook: Path, inventory: Path, *options: str, timeout: float = 120, **variables: object
) -> PlaybookRun:
    """Run a playbook.

    Args:
        playbook: path of the playbook.
        inventory: path of the inventory.
        options: further options of ansible-playbook.
        timeout: in seconds on the reference machine, see patience.py.
        variables: extra variables, which override all others.
    """
    words = [ANSIBLE, "--inventory", inventory, "--extra-vars", json.dumps(variables), *options]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_ROLES_PATH": str(FLEET / "roles"),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [*words, playbook],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=patient(timeout),
        env=environment,
    )
    hosts = {
        host: {name: int(count) for name, _, count in (each.partition("=") for each in counts)}
        for host, counts in ((host, text.split()) for host, text in _RECAP.findall(done.stdout))
    }
    return PlaybookRun(done.returncode, done.stdout, hosts)
