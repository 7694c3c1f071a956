"""The dashboards of deploy/grafana: the checked-in JSON matches the generator and is consistent."""

import json
import re
import subprocess
import sys
from itertools import combinations

import pytest
from boardlib.boards import BOARDS
from boardlib.panels import OPERATIONS

from tests.prometheus.server import DEPLOY
from xengt.serve import probe
from xengt.serve.config import PROBE_ENGINES

HERE = DEPLOY / "grafana"
MODELS = {name: json.loads((HERE / name).read_text(encoding="utf-8")) for name in BOARDS}
PANELS = [
    (name, panel)
    for name, model in MODELS.items()
    for panel in model["panels"]
    if panel["type"] != "row"
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTORS = {
    "dashboard.json": 'job="$job", instance="$instance"',
    "fleet.json": 'job="$job", site=~"$site"',
}
each_panel = pytest.mark.parametrize(
    ("name", "panel"), PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS]
)
each_board = pytest.mark.parametrize("name", BOARDS)


def test_the_files_match_the_generator(tmp_path):
    copy = tmp_path / "grafana"
    (copy / "boardlib").mkdir(parents=True)
    for file in ("generate", *(f"boardlib/{each.name}" for each in HERE.glob("boardlib/*.py"))):
        (copy / file).write_bytes((HERE / file).read_bytes())
    subprocess.run([sys.executable, copy / "generate"], check=True)
    for name in BOARDS:
        expected = (copy / name).read_bytes()
        assert (HERE / name).read_bytes() == expected, "run deploy/grafana/generate"


@each_board
def test_panel_ids_are_unique(name):
    ids = [panel["id"] for panel in MODELS[name]["panels"]]
    assert len(set(ids)) == len(ids) > 20


def cells(panel):
    place = panel["gridPos"]
    assert place["w"] > 0 < place["h"]
    assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


@each_board
def test_panels_do_not_overlap(name):
    for one, other in combinations(MODELS[name]["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


@each_board
def test_variables_select_data_source_job_site_and_case(name):
    variables = {each["name"]: each for each in MODELS[name]["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    selected = {"job", "site", "engine", "batch", "mappings", "operation"}
    if name == "dashboard.json":
        selected.add("instance")
    assert set(variables) == {"datasource", *selected}
    for each in selected:
        assert variables[each]["datasource"] == SOURCE
        assert variables[each]["query"]["query"].endswith(f", {each})")


@each_panel
def test_a_panel_has_title_description_unit_and_queries(name, panel):
    assert len(panel["title"]) > 4
    assert panel["description"].endswith(".")
    heatmap = panel["type"] == "heatmap"
    unit = panel["options"]["yAxis"] if heatmap else panel["fieldConfig"]["defaults"]
    assert unit["unit"]
    assert panel["datasource"] == SOURCE
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) >= 1
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert target["legendFormat"]
        assert SELECTORS[name] in target["expr"]
        assert "xengt" not in re.findall(r'job="([^"]*)"', target["expr"])


@each_board
def test_changes_of_the_hypervisor_are_marked(name):
    (annotation,) = MODELS[name]["annotations"]["list"]
    assert annotation["datasource"] == SOURCE
    assert annotation["expr"].count(f"xengt_hypervisor_info{{{SELECTORS[name]}}}") == 3


@each_board
def test_panel_titles_are_unique(name):
    titles = [panel["title"] for panel in MODELS[name]["panels"]]
    assert len(set(titles)) == len(titles)


def test_tables_of_hosts_lead_to_the_dashboard_of_the_host():
    assert MODELS["fleet.json"]["uid"] != MODELS["dashboard.json"]["uid"]
    links = [
        link["url"]
        for name, panel in PANELS
        if (name, panel["type"]) == ("fleet.json", "table")
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        for link in each["value"]
    ]
    assert len(links) > 5
    assert all(f"/d/{MODELS['dashboard.json']['uid']}?var-job=" in link for link in links)


def test_the_dashboard_has_every_engine_of_the_probe():
    assert set(OPERATIONS) == set(PROBE_ENGINES)
    assert OPERATIONS == probe.OPERATIONS
