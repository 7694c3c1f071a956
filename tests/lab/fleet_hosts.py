"""The hosts of a fleet, which are labs, and the playbooks of deploy/fleet run on them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from lablib import record

from tests.lab.lab_dom0 import Dom0
from tests.lab.playbook import FLEET, PlaybookRun, play

SITE = FLEET / "playbooks" / "site.yml"
DISCOVERY = FLEET / "playbooks" / "discovery.yml"
MONITORING = FLEET / "playbooks" / "monitoring.yml"


@dataclass(frozen=True)
class Box(Dom0):
    """A lab that Ansible manages and whose agent a port of this machine is forwarded to.

    Attributes:
        port: the port on 127.0.0.1 that reaches the agent in dom0.
    """

    port: int

    def variables(self) -> dict[str, object]:
        """Return the inventory variables with which Ansible and Prometheus reach the host."""
        lab = record.load(self.name)
        assert lab is not None
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": lab.port,
            "ansible_ssh_private_key_file": str(lab.directory / "key"),
            "xengt_scrape_port": self.port,
        }


class Fleet:
    """An inventory of two hosts, and the playbooks run on it."""

    def __init__(self, where: Path, boxes: list[Box], deb: Path) -> None:
        self.prometheus = where / "prometheus"
        self.list = self.prometheus / "xengt" / "boxes.json"
        self.grafana = where / "grafana"
        self.file = where / "inventory.json"
        self.boxes = {"first": boxes[0].variables(), "second": boxes[1].variables()}
        self.boxes["first"] |= {"xengt_site": "here"}
        self.boxes["second"] |= {"xengt_hypervisor": "patched"}
        self.common = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_pipelining": True,
            "ansible_ssh_transfer_method": "piped",  # dropbear has no sftp
            "ansible_ssh_common_args": "-F none -o IdentitiesOnly=yes"
            " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            "xengt_package": str(deb),
        }

    def play(self, *options: str, playbook: Path = SITE, **variables: object) -> PlaybookRun:
        here = {"ansible_connection": "local", "ansible_become": False}
        here["ansible_python_interpreter"] = shutil.which("python3", path="/usr/bin")
        groups = {
            "prometheus": {"hosts": {"here": here}},
            "grafana": {"hosts": {"here": here}},
            "xengt": {"hosts": self.boxes, "vars": self.common},
        }
        self.file.write_text(json.dumps(groups))
        done = play(
            playbook,
            self.file,
            *options,
            timeout=3000,
            xengt_serial=len(self.boxes),
            xengt_discovery_file=str(self.list),
            xengt_prometheus_directory=str(self.prometheus),
            xengt_prometheus_service="",
            xengt_grafana_dashboards=str(self.grafana / "dashboards"),
            xengt_grafana_provisioning=str(self.grafana / "provisioning"),
            xengt_grafana_service="",
            **variables,
        )
        print(done.output)
        return done

    def changes(self, *options: str, **variables: object) -> tuple[int, int]:
        """Return how many tasks changed the first and the second host."""
        done = self.play(*options, **variables)
        return done.changed("first"), done.changed("second")

    def discovery_entries(self) -> dict[str, dict[str, str]]:
        """Return the labels of the hosts in the discovery file, by host."""
        entries = json.loads(self.list.read_text())
        return {each["labels"]["box"]: each["labels"] for each in entries}
