"""deploy/fleet without a box: the target list, the configuration, and invalid variables."""

import json
import sys

import pytest
import yaml

from tests.lab.playbook import FLEET, play
from xengt.serve.config import Config, HostOptions, Listen, PassiveOptions, ProbeOptions, load

SITE = FLEET / "site.yml"
DISCOVERY = FLEET / "discovery.yml"
EXAMPLE = FLEET / "inventory.example.yml"
LOCALHOST = {
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
TARGETS = [
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
    """Return a function that runs discovery.yml and returns the run and the target file."""
    file = tmp_path / "prometheus" / "boxes.json"

    def run(boxes, *options, group="xengt"):
        inventory = tmp_path / "inventory.json"
        groups = {"prometheus": {"hosts": {"here": LOCALHOST}}, group: {"hosts": boxes}}
        inventory.write_text(json.dumps(groups))
        return play(DISCOVERY, inventory, *options, xengt_discovery_file=str(file)), file

    return run


def targets(file):
    """Return address and labels of all targets, without the instance, which equals the box."""
    entries = json.loads(file.read_text())
    assert all(each["labels"].pop("instance") == each["labels"]["box"] for each in entries)
    return [(*each["targets"], each["labels"]) for each in entries]


def test_the_playbooks_have_valid_syntax():
    done = play(SITE, EXAMPLE, "--syntax-check")
    assert done.code == 0, done.output
    assert "WARNING" not in done.output


def test_the_target_list_changes_only_with_the_inventory(discover):
    done, file = discover(BOXES)
    assert done.changed("here") == 2  # the directory, and the file
    assert targets(file) == TARGETS
    before = file.stat()
    done, file = discover(dict(reversed(BOXES.items())), "--limit", "here")
    assert done.changed("here") == 0
    assert (before.st_ino, before.st_mtime_ns) == (file.stat().st_ino, file.stat().st_mtime_ns)
    fewer = {name: box for name, box in BOXES.items() if name != "zulu"}
    done, file = discover(fewer, "--check")
    assert done.changed("here") == 1
    assert targets(file) == TARGETS
    done, file = discover(fewer)
    assert done.changed("here") == 1
    assert targets(file) == TARGETS[:-1]
    # The file is replaced atomically: Prometheus reads either the old or the new list.
    assert before.st_ino != file.stat().st_ino


def test_an_empty_group_gives_an_empty_list_and_a_missing_group_an_error(discover):
    done, file = discover({})
    assert done.changed("here") == 2
    assert targets(file) == []
    discover(BOXES)
    done, file = discover({}, group="xegnt")
    assert done.code != 0
    assert "the inventory has no group xengt" in done.output
    assert targets(file) == TARGETS


def test_the_target_list_can_have_a_thousand_boxes(discover):
    done, file = discover({f"box{number:04}": {"xengt_site": "osaka"} for number in range(1000)})
    assert done.changed("here") == 2
    assert len(targets(file)) == 1000


def role(name):
    """Return a role's documented options and its defaults."""
    directory = FLEET / "roles" / name
    options = yaml.safe_load((directory / "meta" / "argument_specs.yml").read_text())
    defaults = yaml.safe_load((directory / "defaults" / "main.yml").read_text())
    return options["argument_specs"]["main"]["options"], defaults


@pytest.mark.parametrize("name", ["xengt", "xengt_discovery"])
def test_every_variable_has_a_description_and_a_consistent_default(name):
    options, defaults = role(name)
    documented = {key: each["default"] for key, each in options.items() if "default" in each}
    assert documented == defaults
    assert set(options) - set(documented) <= {"xengt_package"}
    assert all(each["description"] for each in options.values())


@pytest.fixture
def configured(tmp_path):
    """Return a function that writes the role's serve.toml with some variables."""

    def write(**variables):
        inventory = tmp_path / "inventory.json"
        inventory.write_text(json.dumps({"boxes": {"hosts": {"here": LOCALHOST}}}))
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


def test_without_variables_the_configuration_equals_the_defaults(configured):
    assert load(configured()) == Config()


def test_the_configuration_has_the_values_of_the_variables(configured, tmp_path):
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


def test_an_invalid_variable_fails_before_the_first_task(tmp_path):
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"xengt": {"hosts": {"here": LOCALHOST}}}))
    done = play(SITE, inventory, xengt_state="removed")
    assert done.code != 0
    assert "value of xengt_state must be one of: present, absent, got: removed" in done.output
    assert done.hosts["here"]["ok"] == 0
