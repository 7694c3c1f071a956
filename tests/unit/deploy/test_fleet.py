"""deploy/fleet without a box: the target list, the configuration, and invalid variables."""

import json
import os
import shlex
import ssl
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.lab.playbook import FLEET, play
from tests.prometheus.debian_package import programs
from tests.prometheus.server import DEPLOY, RULES
from xengt import __version__
from xengt.serve.config import (
    Config,
    HostOptions,
    Listen,
    PassiveOptions,
    ProbeOptions,
    deprecations,
    load,
)
from xengt.serve.http import web_config

SITE = FLEET / "playbooks" / "site.yml"
DISCOVERY = FLEET / "playbooks" / "discovery.yml"
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


@pytest.mark.parametrize("name", [path.name for path in (FLEET / "roles").iterdir()])
def test_every_variable_has_a_description_and_a_consistent_default(name):
    options, defaults = role(name)
    documented = {key: each["default"] for key, each in options.items() if "default" in each}
    assert documented == defaults
    assert set(options) - set(documented) <= {"xengt_package"}
    assert all(each["description"] for each in options.values())


@pytest.fixture
def configured(tmp_path):
    """Return a function that writes the role's serve.toml and web.yml with some variables."""
    role = FLEET / "roles" / "xengt"

    def write(**variables):
        inventory = tmp_path / "inventory.json"
        inventory.write_text(json.dumps({"boxes": {"hosts": {"here": LOCALHOST}}}))
        templates = [
            {"src": str(role / "templates" / f"{name}.j2"), "dest": str(tmp_path / name)}
            for name in ("serve.toml", "web.yml")
        ]
        plays = [
            {
                "hosts": "boxes",
                "gather_facts": False,
                "vars_files": [str(role / name / "main.yml") for name in ("defaults", "vars")],
                "tasks": [{"ansible.builtin.template": template} for template in templates],
            }
        ]
        playbook = tmp_path / "configure.yml"
        playbook.write_text(yaml.safe_dump(plays))
        done = play(playbook, inventory, **variables)
        assert done.code == 0, done.output
        for template in templates:
            file = Path(template["dest"])
            file.write_text(file.read_text().replace("/etc/xengt/", f"{tmp_path}/"))
        return tmp_path / "serve.toml"

    return write


def test_without_variables_the_configuration_equals_the_defaults(configured):
    assert load(configured()) == Config()


def test_the_configuration_has_the_values_of_the_variables(configured):
    file = configured(
        xengt_listen_address="::",
        xengt_listen_port=1234,
        xengt_config={
            "host": {"domains": 3},
            "passive": {"enabled": True},
            "probe": {"enabled": False, "cpu_budget": 1e-5, "engines": ["gntdev"], "calls": 7},
        },
    )
    assert load(file) == Config(
        listen=Listen("::", 1234),
        probe=ProbeOptions(enabled=False, cpu_budget=1e-5, engines=("gntdev",), calls=7),
        passive=PassiveOptions(enabled=True),
        host=HostOptions(3),
    )


CERTIFICATE = {"xengt_certificate": "a", "xengt_key": "b"}
USERS = {"prometheus": "$2y$10$" + 53 * "a", 'with "quotes"': "$2b$04$" + 53 * "."}


@pytest.mark.parametrize(
    ("variables", "files", "verified"),
    [
        (CERTIFICATE, ("tls.crt", "tls.key"), ssl.CERT_NONE),
        (
            CERTIFICATE | {"xengt_client_ca": "c"},
            ("tls.crt", "tls.key", "clients.crt"),
            ssl.CERT_REQUIRED,
        ),
        (CERTIFICATE | {"xengt_users": USERS}, ("tls.crt", "tls.key"), ssl.CERT_NONE),
        ({"xengt_users": USERS}, (), None),
    ],
    ids=["certificate", "client-ca", "certificate-users", "users"],
)
def test_certificates_and_users_are_in_the_web_configuration(
    configured, tmp_path, variables, files, verified
):
    config = load(configured(**variables))
    assert deprecations(config) == []
    assert config.listen.web_config == str(tmp_path / "web.yml")
    web = web_config.load(tmp_path / "web.yml")
    assert web.users == variables.get("xengt_users", {})
    if verified is None:
        assert web.tls is None
    else:
        expected = [tmp_path / name for name in files]
        found = [web.tls.certificate, web.tls.key, web.tls.client_ca]
        assert [path for path in found if path] == expected
        assert web.tls.verify_clients == verified


@pytest.mark.parametrize(
    ("users", "code", "message"),
    [
        (USERS, 0, ""),
        ({"prometheus": "plain"}, 2, "password of 'prometheus' must be a bcrypt hash"),
    ],
    ids=["valid", "no-hash"],
)
def test_a_web_configuration_is_validated_before_it_is_installed(
    configured, tmp_path, monkeypatch, users, code, message
):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    configured(xengt_users=users)
    tasks = yaml.safe_load((FLEET / "roles/xengt/tasks/configure.yml").read_text())
    (validate,) = [
        task["ansible.builtin.template"]["validate"]
        for task in tasks
        if task.get("ansible.builtin.template", {}).get("src") == "web.yml.j2"
    ]
    # Ansible splits the command into words, and runs it without a shell.
    words = shlex.split(validate % (tmp_path / "web.yml"))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())


def test_an_invalid_variable_fails_before_the_first_task(tmp_path):
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"xengt": {"hosts": {"here": LOCALHOST}}}))
    done = play(SITE, inventory, xengt_state="removed")
    assert done.code != 0
    assert "value of xengt_state must be one of: present, absent, got: removed" in done.output
    assert done.hosts["here"]["ok"] == 0


PROMETHEUS_YML = """\
# the administrator's
global: {scrape_interval: 1m}
rule_files:
  - other.yml
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["127.0.0.1:9100"]}]
"""


@pytest.fixture
def monitoring(tmp_path, monkeypatch):
    """Return a function that runs monitoring.yml on directories of this machine."""
    monkeypatch.setenv("PATH", f"{programs()}:{os.environ['PATH']}")
    etc = tmp_path / "prometheus"
    etc.mkdir()
    (etc / "prometheus.yml").write_text(PROMETHEUS_YML)
    inventory = tmp_path / "inventory.json"
    here = {"hosts": {"here": LOCALHOST}}
    inventory.write_text(json.dumps({"prometheus": here, "grafana": here}))

    def run(*options, **variables):
        return play(
            FLEET / "playbooks" / "monitoring.yml",
            inventory,
            *options,
            xengt_prometheus_directory=str(etc),
            xengt_prometheus_service="",
            xengt_grafana_dashboards=str(tmp_path / "dashboards"),
            xengt_grafana_provisioning=str(tmp_path / "provisioning"),
            xengt_grafana_service="",
            **variables,
        )

    return run, tmp_path


def test_rules_scrape_job_and_dashboards_are_added_once(monitoring):
    run, where = monitoring
    etc = where / "prometheus"
    done = run(xengt_prometheus_job={"scrape_interval": "30s"})
    assert done.changed("here") > 0
    merged = yaml.safe_load((etc / "prometheus.yml").read_text())
    assert merged == {
        "global": {"scrape_interval": "1m"},
        "rule_files": ["other.yml", f"{etc}/xengt/rules/*.rules.yml"],
        "scrape_configs": [
            *yaml.safe_load(PROMETHEUS_YML)["scrape_configs"],
            {
                "job_name": "xengt",
                "file_sd_configs": [{"files": [f"{etc}/xengt/*.json"]}],
                "scrape_interval": "30s",
            },
        ],
    }
    (backup,) = etc.glob("prometheus.yml.*")
    assert backup.read_text() == PROMETHEUS_YML
    for file in (*RULES, DEPLOY / "prometheus" / "xengt-runbook.html"):
        where_to = etc / ("consoles" if file.suffix == ".html" else "xengt/rules")
        assert (where_to / file.name).read_bytes() == file.read_bytes()
    for file in (DEPLOY / "grafana").glob("*.json"):
        assert (where / "dashboards" / file.name).read_bytes() == file.read_bytes()
    (provider,) = yaml.safe_load((where / "provisioning/dashboards/xengt.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == str(where / "dashboards")
    # A job that the administrator adds below ours does not matter.
    with (etc / "prometheus.yml").open("a") as file:
        file.write("- job_name: later\n")
    kept = (etc / "prometheus.yml").read_text()
    assert yaml.safe_load(kept)["scrape_configs"][-1] == {"job_name": "later"}
    assert run(xengt_prometheus_job={"scrape_interval": "30s"}).changed("here") == 0
    assert (etc / "prometheus.yml").read_text() == kept


def test_a_scrape_job_that_prometheus_rejects_changes_nothing(monitoring):
    run, where = monitoring
    done = run("--tags", "prometheus", xengt_prometheus_job={"scrape_intervall": "30s"})
    assert done.code != 0
    assert "field scrape_intervall not found" in done.output
    assert (where / "prometheus" / "prometheus.yml").read_text() == PROMETHEUS_YML


def test_the_collection_has_the_version_of_the_program_and_all_files(tmp_path):
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    command = [galaxy, "collection", "build", "--output-path", tmp_path]
    subprocess.run(command, cwd=FLEET, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(tmp_path / f"xengt-fleet-{__version__}.tar.gz") as archive:
        members = {member.name: member for member in archive.getmembers()}
        for role in (FLEET / "roles").iterdir():
            for file in role.rglob("*"):
                if file.is_file():
                    name = str(file.relative_to(FLEET))
                    assert members[name].isfile(), name  # a link would lead out of the collection
                    assert archive.extractfile(name).read() == file.read_bytes()
    assert {"playbooks/site.yml", "playbooks/monitoring.yml", "meta/runtime.yml"} <= set(members)


def test_ansible_lint_finds_no_problem():
    lint = Path(sys.executable).with_name("ansible-lint")
    environment = {**os.environ, "PATH": f"{lint.parent}:{os.environ['PATH']}"}
    command = [lint, "--nocolor", "-q"]
    done = subprocess.run(
        command, cwd=FLEET, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
