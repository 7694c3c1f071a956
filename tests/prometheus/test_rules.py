"""The rules and the configuration of deploy/prometheus, as Debian's promtool finds them."""

import re
import shutil
from pathlib import Path

import pytest

from tests.prometheus.obtained import promtool
from tests.prometheus.server import DEPLOY, RULES

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


@pytest.mark.long
@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("instead", ["vector(1) < 0", "vector(1)"], ids=["never", "always"])
def test_an_alert_that_does_not_work_is_found(beside, alert, instead):
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
