"""The configuration of deploy/prometheus: that it is one, and that agents are scraped with it."""

import re
import shutil
import subprocess

import pytest

from tests.prometheus.obtained import promtool
from tests.prometheus.server import DEPLOY, RULES, prometheus, waits_until
from tests.unit.agent_fixtures import host_samples, run_agent, signals_blocked, xen

__all__ = ["host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures


@pytest.fixture
def installed(tmp_path):
    """Return the configuration's text as it is installed, below another directory."""
    where = tmp_path / "xengt"
    (where / "rules").mkdir(parents=True)
    (where / "tls").mkdir()
    for file in RULES:
        shutil.copy(file, where / "rules")
    (where / "boxes.json").write_text('[{"targets": ["box:9805"], "labels": {"site": "a"}}]')
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    return text.replace("/etc/prometheus/xengt", str(where))


@pytest.fixture
def checked(tmp_path):
    """Return what promtool says of a configuration."""

    def check(text):
        file = tmp_path / "checked.yml"
        file.write_text(text)
        return promtool("check", "config", file)

    return check


def with_tls(text):
    """Take the comment from its example."""
    found = re.sub(r"^( +)#(tls_config:|  \w+_file:)", r"\1\2", text, flags=re.MULTILINE)
    assert len(found) == len(text) - 4
    return found


def certificate(where):
    """Make a certificate and a key, for both sides."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", where / "prometheus.key", "-out", where / "prometheus.crt"]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    shutil.copy(where / "prometheus.crt", where / "boxes.crt")


def test_it_is_one(installed, checked):
    said = checked(installed)
    assert said.returncode == 0, said.stdout
    assert "WARNING" not in said.stdout
    assert "2 rule files found" in said.stdout


def test_so_it_is_with_tls(installed, checked, tmp_path):
    said = checked(with_tls(installed))
    assert said.returncode == 1
    assert f"{tmp_path}/xengt/tls" in said.stdout
    certificate(tmp_path / "xengt" / "tls")
    said = checked(with_tls(installed))
    assert said.returncode == 0, said.stdout


def test_an_agent_is_scraped_by_tls(installed, run_agent, tmp_path):
    tls = tmp_path / "xengt" / "tls"
    certificate(tls)
    crt, key = tls / "prometheus.crt", tls / "prometheus.key"
    box = run_agent(
        f"certificate = '{crt}'\nkey = '{key}'\nclient_ca = '{crt}'\n[probe]\nenabled = false"
    )
    listed = f'[{{"targets": ["{box}"], "labels": {{"__scheme__": "https", "site": "a"}}}}]'
    (tmp_path / "xengt" / "boxes.json").write_text(listed)
    text = with_tls(installed).replace("15s", "1s").replace("10s", "1s")
    where = tmp_path / "server"
    where.mkdir()
    with prometheus(where, text) as server:
        labels = (("__name__", "up"), ("instance", box), ("job", "xengt"), ("site", "a"))
        wanted = f'up{{instance="{box}"}}'
        assert waits_until(lambda: server.query(wanted) == {labels: 1}, 30)
        assert list(server.query(f'xengt_domains{{instance="{box}"}}').values()) == [2]
        # Of the agent that the static list has, there is none here: it is known, and down.
        assert waits_until(lambda: server.query('up{instance="127.0.0.1:9805"}'), 30)
