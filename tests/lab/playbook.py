"""deploy/fleet's playbooks, run as their user runs them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.patience import patient

FLEET = Path(__file__).parents[2] / "deploy" / "fleet"
#: of the environment that these tests run in
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
_RECAP = re.compile(r"^(\S+) +: (ok=.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """What a run said, and did on each host.

    Attributes:
        code: its exit code.
        said: everything.
        hosts: host → `ok`, `changed`, `failed`, `unreachable` and so on → tasks.
    """

    code: int
    said: str
    hosts: dict[str, dict[str, int]]

    def changed(self, host: str) -> int:
        """Tasks that changed a host, in a run that went well."""
        assert self.code == 0, self.said
        return self.hosts[host]["changed"]


def play(
    playbook: Path, inventory: Path, *options: str, timeout: float = 120, **variables: object
) -> Played:
    """Run a playbook.

    Args:
        playbook: of deploy/fleet, or one of a test.
        inventory: a file.
        options: further ones of ansible-playbook.
        timeout: seconds, see patience.py.
        variables: extra ones, over all others.
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
    return Played(done.returncode, done.stdout, hosts)
