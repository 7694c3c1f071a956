"""The rules and the configuration of deploy/prometheus, as Debian's promtool finds them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from obtained import promtool
from server import DEPLOY, RULES

HERE = Path(__file__).parent
TESTS = sorted(HERE.glob("*.yml"))
ALERTS = re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus" / "alerts.rules.yml").read_text())


@pytest.fixture
def beside(tmp_path):
    """The rules and promtool's tests of them in one directory."""
    for file in (*RULES, *TESTS):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_rules_are_rules():
    said = promtool("check", "rules", *RULES)
    assert said.returncode == 0, said.stdout
    assert said.stdout.count("SUCCESS") == len(RULES) == 2


@pytest.mark.parametrize("name", [file.name for file in TESTS])
def test_they_say_what_they_should(beside, name):
    said = promtool("test", "rules", beside / name)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("instead", ["vector(1) < 0", "vector(1)"], ids=["never", "always"])
def test_an_alert_that_does_not_work_is_found(request, beside, alert, instead):
    if not request.config.getoption("--long"):
        pytest.skip("takes long: ./tests/run long")
    file = beside / "alerts.rules.yml"
    expression = re.compile(rf"(- alert: {alert}\n +expr: )(.*?)(?=\n +for:)", re.DOTALL)
    text, found = expression.subn(rf"\g<1>{instead}", file.read_text())
    assert found == 1
    file.write_text(text)
    (tests,) = [each.name for each in TESTS if f"- alertname: {alert}\n" in each.read_text()]
    said = promtool("test", "rules", beside / tests)
    assert said.returncode == 1
    assert alert in said.stdout
    assert "FAILED" in said.stdout


def test_every_alert_says_what_it_is_and_what_to_do():
    each = re.split(r"- alert: ", (DEPLOY / "prometheus" / "alerts.rules.yml").read_text())[1:]
    assert len(each) == len(set(ALERTS)) == 9
    for text in each:
        for key in ("expr:", "for:", "severity:", "summary:", "description:"):
            assert text.count(key) == 1, text


@pytest.fixture
def config(tmp_path):
    """The configuration as it is installed, below another directory."""
    where = tmp_path / "xengt"
    (where / "rules").mkdir(parents=True)
    (where / "tls").mkdir()
    for file in RULES:
        shutil.copy(file, where / "rules")
    (where / "boxes.json").write_text('[{"targets": ["box:9805"], "labels": {"site": "a"}}]')

    def made(change=lambda text: text):
        text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        file = tmp_path / "prometheus.yml"
        file.write_text(change(text).replace("/etc/prometheus/xengt", str(where)))
        return promtool("check", "config", file)

    made.where = where
    return made


def with_tls(text):
    """Take the comment from its example."""
    found = re.sub(r"^( +)#(tls_config:|  \w+_file:)", r"\1\2", text, flags=re.MULTILINE)
    assert len(found) == len(text) - 4
    return found


def test_the_configuration_is_one(config):
    said = config()
    assert said.returncode == 0, said.stdout
    assert "WARNING" not in said.stdout
    assert "2 rule files found" in said.stdout


def test_so_is_the_one_with_tls(config):
    said = config(with_tls)
    assert said.returncode == 1
    assert f"{config.where}/tls" in said.stdout
    certificates(config.where / "tls")
    said = config(with_tls)
    assert said.returncode == 0, said.stdout


def certificates(where):
    """Make a certificate and a key, for both sides."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", where / "prometheus.key", "-out", where / "prometheus.crt"]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    shutil.copy(where / "prometheus.crt", where / "boxes.crt")
