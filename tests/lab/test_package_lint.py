"""The Debian package as built, without a lab: contents, hardening, and lintian's findings."""

import subprocess
from pathlib import Path

import pytest
from lablib import places
from lablib.artifacts import package
from lablib.cache import Cache

from tests.lab.service import CONFIG, UNIT

pytestmark = pytest.mark.untimed


@pytest.fixture(scope="module")
def deb() -> Path:
    return package.build(Cache(places.cache_root()), 2)


def test_package_contents(deb):
    listed = subprocess.check_output(["dpkg-deb", "--contents", deb], text=True).splitlines()
    # includes the man pages and documents, which the lab's image omits
    names = {line.split()[5].removeprefix(".") for line in listed}
    assert {
        CONFIG,
        f"/usr/lib/systemd/system/{UNIT}",
        "/usr/lib/sysusers.d/xengt.conf",
        "/usr/share/man/man1/xengt.1.gz",
        "/usr/share/man/man5/xengt-serve.toml.5.gz",
        "/usr/bin/xengt",
        "/usr/share/xengt/grafana/dashboard.json",
        "/usr/share/xengt/prometheus/alerts.rules.yml",
        "/usr/share/xengt/prometheus/recording.rules.yml",
        "/usr/share/xengt/prometheus/xengt-runbook.html",
    } <= names
    documents = {Path(name).name.removesuffix(".gz") for name in names if "/share/doc/" in name}
    assert {"README.md", "METRICS.md", "prometheus.yml", "provisioning.yml"} <= documents
    control = subprocess.check_output(["dpkg-deb", "--info", deb, "conffiles"], text=True)
    assert control.split() == [CONFIG]


def test_lintian_finds_no_problem(deb):
    command = ["lintian", "--display-info", "--fail-on=error,warning", deb]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # lintian rates a lack of hardening as information.
    assert "hardening-" not in done.stdout
