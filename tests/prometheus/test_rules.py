"""The rules of deploy/prometheus, checked and tested with Debian's promtool."""

import re
import shutil
from pathlib import Path

import pytest

from tests.prometheus.debian_package import promtool
from tests.prometheus.server import DEPLOY, RULES

HERE = Path(__file__).parent
TESTS = sorted(HERE.glob("*.yml"))
ALERTS = re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus" / "alerts.rules.yml").read_text())


@pytest.fixture
def rules_directory(tmp_path):
    """Return a directory with the rules and promtool's tests of them."""
    for file in (*RULES, *TESTS):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_promtool_accepts_the_rules():
    result = promtool("check", "rules", *RULES)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("SUCCESS") == len(RULES) == 2


@pytest.mark.parametrize("name", [file.name for file in TESTS])
def test_the_rules_record_and_alert_as_expected(rules_directory, name):
    result = promtool("test", "rules", rules_directory / name)
    assert result.returncode == 0, result.stdout


@pytest.mark.long
@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("replacement", ["vector(1) < 0", "vector(1)"], ids=["never", "always"])
def test_the_tests_detect_an_alert_with_a_wrong_expression(rules_directory, alert, replacement):
    file = rules_directory / "alerts.rules.yml"
    expression = re.compile(rf"(- alert: {alert}\n +expr: )(.*?)(?=\n +for:)", re.DOTALL)
    text, found = expression.subn(rf"\g<1>{replacement}", file.read_text())
    assert found == 1
    file.write_text(text)
    (tests,) = [each.name for each in TESTS if f"- alertname: {alert}\n" in each.read_text()]
    result = promtool("test", "rules", rules_directory / tests)
    assert result.returncode == 1
    assert alert in result.stdout
    assert "FAILED" in result.stdout


def test_every_alert_has_all_fields():
    each = re.split(r"- alert: ", (DEPLOY / "prometheus" / "alerts.rules.yml").read_text())[1:]
    assert len(each) == len(set(ALERTS)) == 12
    for text in each:
        for key in ("expr:", "for:", "severity:", "runbook_url:", "summary:", "description:"):
            assert text.count(key) == 1, text
