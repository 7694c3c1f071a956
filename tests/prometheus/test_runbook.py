"""The runbook of deploy/prometheus: one section per alert, which the alert's URL leads to."""

import html
import re
import urllib.request

import pytest
from typer.main import get_command

from tests.patience import patient
from tests.prometheus.server import DEPLOY, agents_scraped, waits_until
from xengt.cli import app

RUNBOOK = DEPLOY / "prometheus" / "xengt-runbook.html"
TEXT = RUNBOOK.read_text(encoding="utf-8")
ALERT_RULES = (DEPLOY / "prometheus" / "alerts.rules.yml").read_text()
ALERTS = re.findall(r"- alert: (\w+)", ALERT_RULES)
SECTIONS = dict(re.findall(r'<section id="(\w+)">\n(.*?)</section>', TEXT, re.DOTALL))


def test_every_alert_has_a_section_and_every_section_an_alert():
    assert list(SECTIONS) == ALERTS


@pytest.mark.parametrize("alert", ALERTS)
def test_a_section_says_what_it_means_how_to_examine_and_what_to_change(alert):
    assert re.findall(r"<h2>(.*)</h2>", SECTIONS[alert]) == [alert]
    _, *parts = re.split(r"<h3>(.*)</h3>\n", SECTIONS[alert])
    assert parts[::2] == ["Meaning", "Examine", "Change"]
    assert all(len(re.sub("<[^>]*>", "", part)) > 10 for part in parts[1::2])
    assert "xengt " in SECTIONS[alert] or alert == "XengtXenstoreDown"


def test_the_commands_of_the_runbook_exist():
    program = get_command(app)
    lines = re.findall(r"(?:<pre>|<code>|^)xengt ([^<\n]+)", html.unescape(TEXT), re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        name, *words = (word.partition("=")[0] for word in line.split())
        options = [option for each in program.commands[name].params for option in each.opts]
        assert [word for word in words if len(word) > 2 and word.startswith("--")] == [
            word for word in words if word in options
        ], line


def test_links_within_the_runbook_lead_to_sections():
    assert set(re.findall(r'href="#(\w+)"', TEXT)) <= set(SECTIONS)
    assert "{{" not in TEXT  # Prometheus expands it as a template


def test_a_prometheus_serves_the_runbook_at_the_url_of_a_firing_alert(tmp_path):
    changes = {"alerts.rules.yml": {r"(?m)^( +for: )\w+$": r"\g<1>1s"}}
    targets = [{"targets": ["127.0.0.1:1"]}]
    consoles = [f"--web.console.templates={RUNBOOK.parent}"]
    with agents_scraped(tmp_path, targets, changes, 1, "/below", consoles) as server:
        assert waits_until(lambda: "XengtDown" in server.firing(), 60)
        (alert,) = server.api_get("alerts")["alerts"]
        url, _, fragment = alert["annotations"]["runbook_url"].partition("#")
        assert fragment == "XengtDown"
        with urllib.request.urlopen(url, timeout=patient(10)) as answer:
            assert answer.headers.get_content_type() == "text/html"
            assert answer.read().decode() == TEXT
