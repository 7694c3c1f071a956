"""The scrape configuration of deploy/prometheus: valid, and able to scrape an agent."""

import re
import shutil
import subprocess

import pytest

from tests.prometheus.debian_package import promtool
from tests.prometheus.server import DEPLOY, RULES, prometheus, waits_until
from tests.unit.agent_fixtures import host_samples, run_agent, signals_blocked, xen

__all__ = ["host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures


@pytest.fixture
def installed(tmp_path):
    """Return the configuration, with its files installed below a test directory."""
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
    """Return a function that checks a configuration with promtool."""

    def check(text):
        file = tmp_path / "checked.yml"
        file.write_text(text)
        return promtool("check", "config", file)

    return check


def with_tls(text):
    """Return the configuration with its tls_config example uncommented."""
    found = re.sub(r"^( +)# (tls_config:|  \w+_file:)", r"\1\2", text, flags=re.MULTILINE)
    assert len(found) == len(text) - 8
    return found


def certificate(where):
    """Make a key and a self-signed certificate that server and client share."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", where / "prometheus.key", "-out", where / "prometheus.crt"]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    shutil.copy(where / "prometheus.crt", where / "boxes.crt")


def test_promtool_accepts_the_configuration(installed, checked):
    result = checked(installed)
    assert result.returncode == 0, result.stdout
    assert "WARNING" not in result.stdout
    assert "2 rule files found" in result.stdout


def test_promtool_accepts_the_configuration_with_tls(installed, checked, tmp_path):
    result = checked(with_tls(installed))
    assert result.returncode == 1
    assert f"{tmp_path}/xengt/tls" in result.stdout
    certificate(tmp_path / "xengt" / "tls")
    result = checked(with_tls(installed))
    assert result.returncode == 0, result.stdout


def test_an_agent_is_scraped_by_tls(installed, run_agent, tmp_path):
    tls = tmp_path / "xengt" / "tls"
    certificate(tls)
    crt, key = tls / "prometheus.crt", tls / "prometheus.key"
    instance = run_agent(
        f"certificate = '{crt}'\nkey = '{key}'\nclient_ca = '{crt}'\n[probe]\nenabled = false"
    )
    targets = f'[{{"targets": ["{instance}"], "labels": {{"__scheme__": "https", "site": "a"}}}}]'
    (tmp_path / "xengt" / "boxes.json").write_text(targets)
    text = with_tls(installed).replace("15s", "1s").replace("10s", "1s")
    where = tmp_path / "server"
    where.mkdir()
    with prometheus(where, text) as server:
        labels = (("__name__", "up"), ("instance", instance), ("job", "xengt"), ("site", "a"))
        query = f'up{{instance="{instance}"}}'
        assert waits_until(lambda: server.query(query) == {labels: 1}, 30)
        assert list(server.query(f'xengt_domains{{instance="{instance}"}}').values()) == [2]
        # No agent listens at the address of static_configs, so that target is down.
        assert waits_until(lambda: server.query('up{instance="127.0.0.1:9805"}'), 30)
