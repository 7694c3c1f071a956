"""deploy/fleet without a box: the list for the Prometheus, the configuration, wrong variables."""

import json
import sys

import pytest
import yaml

from tests.lab.playbook import FLEET, play
from xengt.serve.config import Config, HostOptions, Listen, PassiveOptions, ProbeOptions, load

SITE = FLEET / "site.yml"
DISCOVERY = FLEET / "discovery.yml"
EXAMPLE = FLEET / "inventory.example.yml"
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
}
BOXES = {
    "zulu": {"ansible_host": "192.0.2.7", "xengt_site": "frankfurt"},
    "alpha.example.org": {},
    "six": {"ansible_host": "2001:db8::6", "xengt_listen_port": 19805},
    "patched": {"xengt_hypervisor": "patched", "xengt_certificate": "a.crt"},
    "tunnelled": {"xengt_scrape_address": "127.0.0.1", "xengt_scrape_port": 1024},
    "gone": {"xengt_state": "absent"},
}
LISTED = [
    ("alpha.example.org:9805", {"box": "alpha.example.org"}),
    (
        "patched:9805",
        {"box": "patched", "hypervisor": "patched", "__scheme__": "https"},
    ),
    ("[2001:db8::6]:19805", {"box": "six"}),
    ("127.0.0.1:1024", {"box": "tunnelled"}),
    ("192.0.2.7:9805", {"box": "zulu", "site": "frankfurt"}),
]


@pytest.fixture
def discover(tmp_path):
    """Run discovery.yml over some boxes; what it did, and the file."""
    file = tmp_path / "prometheus" / "boxes.json"

    def run(boxes, *options, group="xengt"):
        inventory = tmp_path / "inventory.json"
        groups = {"prometheus": {"hosts": {"here": HERE}}, group: {"hosts": boxes}}
        inventory.write_text(json.dumps(groups))
        return play(DISCOVERY, inventory, *options, xengt_discovery_file=str(file)), file

    return run


def listed(file):
    """The targets and their labels; the instance is the box, whatever its address."""
    found = json.loads(file.read_text())
    assert all(each["labels"].pop("instance") == each["labels"]["box"] for each in found)
    return [(*each["targets"], each["labels"]) for each in found]


def test_the_playbooks_are_well_formed():
    done = play(SITE, EXAMPLE, "--syntax-check")
    assert done.code == 0, done.output
    assert "WARNING" not in done.output


def test_the_list_is_of_the_inventory_and_stays_until_that_changes(discover):
    done, file = discover(BOXES)
    assert done.changed("here") == 2  # the directory, and the file
    assert listed(file) == LISTED
    before = file.stat()
    done, file = discover(dict(reversed(BOXES.items())), "--limit", "here")
    assert done.changed("here") == 0
    assert (before.st_ino, before.st_mtime_ns) == (file.stat().st_ino, file.stat().st_mtime_ns)
    fewer = {name: box for name, box in BOXES.items() if name != "zulu"}
    done, file = discover(fewer, "--check")
    assert done.changed("here") == 1
    assert listed(file) == LISTED
    done, file = discover(fewer)
    assert done.changed("here") == 1
    assert listed(file) == LISTED[:-1]
    # Replaced, not written into: a Prometheus that reads it meanwhile sees one of the two.
    assert before.st_ino != file.stat().st_ino


def test_no_boxes_are_an_empty_list_but_no_group_is_an_error(discover):
    done, file = discover({})
    assert done.changed("here") == 2
    assert listed(file) == []
    discover(BOXES)
    done, file = discover({}, group="xegnt")
    assert done.code != 0
    assert "the inventory has no group xengt" in done.output
    assert listed(file) == LISTED


def test_a_thousand_boxes_are_listed(discover):
    done, file = discover({f"box{number:04}": {"xengt_site": "osaka"} for number in range(1000)})
    assert done.changed("here") == 2
    assert len(listed(file)) == 1000


def role(name):
    """A role's documented options, and its defaults."""
    where = FLEET / "roles" / name
    options = yaml.safe_load((where / "meta" / "argument_specs.yml").read_text())
    defaults = yaml.safe_load((where / "defaults" / "main.yml").read_text())
    return options["argument_specs"]["main"]["options"], defaults


@pytest.mark.parametrize("name", ["xengt", "xengt_discovery"])
def test_every_variable_has_one_default_and_a_meaning(name):
    options, defaults = role(name)
    stated = {key: each["default"] for key, each in options.items() if "default" in each}
    assert stated == defaults
    assert set(options) - set(stated) <= {"xengt_package"}
    assert all(each["description"] for each in options.values())


@pytest.fixture
def configured(tmp_path):
    """Write a configuration from the role's template and variables; its file."""

    def write(**variables):
        inventory = tmp_path / "inventory.json"
        inventory.write_text(json.dumps({"boxes": {"hosts": {"here": HERE}}}))
        template = {
            "src": str(FLEET / "roles" / "xengt" / "templates" / "serve.toml.j2"),
            "dest": str(tmp_path / "serve.toml"),
        }
        plays = [
            {
                "hosts": "boxes",
                "gather_facts": False,
                "vars_files": [str(FLEET / "roles" / "xengt" / "defaults" / "main.yml")],
                "tasks": [{"ansible.builtin.template": template}],
            }
        ]
        playbook = tmp_path / "configure.yml"
        playbook.write_text(yaml.safe_dump(plays))
        done = play(playbook, inventory, **variables)
        assert done.code == 0, done.output
        return tmp_path / "serve.toml"

    return write


def test_without_variables_the_agent_is_configured_as_without_a_file(configured):
    assert load(configured()) == Config()


def test_what_is_configured_is_what_the_variables_say(configured, tmp_path):
    file = configured(
        xengt_listen_address="::",
        xengt_listen_port=1234,
        xengt_certificate="a",
        xengt_key="b",
        xengt_client_ca="c",
        xengt_config={
            "host": {"domains": 3},
            "passive": {"enabled": True},
            "probe": {"enabled": False, "cpu_budget": 1e-5, "engines": ["gntdev"], "calls": 7},
        },
    )
    text = file.read_text()
    names = [tmp_path / name for name in ("tls.crt", "tls.key", "clients.crt")]
    for name in names:
        name.write_text("")
    file.write_text(text.replace("/etc/xengt/", f"{tmp_path}/"))
    assert load(file) == Config(
        listen=Listen("::", 1234, *map(str, names)),
        probe=ProbeOptions(enabled=False, cpu_budget=1e-5, engines=("gntdev",), calls=7),
        passive=PassiveOptions(enabled=True),
        host=HostOptions(3),
    )


def test_a_wrong_variable_is_refused_before_anything_is_done(tmp_path):
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"xengt": {"hosts": {"here": HERE}}}))
    done = play(SITE, inventory, xengt_state="removed")
    assert done.code != 0
    assert "value of xengt_state must be one of: present, absent, got: removed" in done.output
    assert done.hosts["here"]["ok"] == 0
