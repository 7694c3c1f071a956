"""The dashboard of deploy/grafana: the checked-in JSON matches the generator and is consistent."""

import json
import subprocess
import sys
from itertools import combinations

import pytest
from boardlib import board

from tests.prometheus.server import DEPLOY

HERE = DEPLOY / "grafana"
BOARD = json.loads((HERE / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
each_panel = pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])


def test_dashboard_json_matches_the_generator(tmp_path):
    assert (HERE / "dashboard.json").read_text(encoding="utf-8") == board.text(), (
        "run deploy/grafana/generate"
    )
    copy = tmp_path / "grafana"
    (copy / "boardlib").mkdir(parents=True)
    for file in ("generate", *(f"boardlib/{each.name}" for each in HERE.glob("boardlib/*.py"))):
        (copy / file).write_bytes((HERE / file).read_bytes())
    subprocess.run([sys.executable, copy / "generate"], check=True)
    assert (copy / "dashboard.json").read_bytes() == (HERE / "dashboard.json").read_bytes()


def test_panel_ids_are_unique():
    ids = [panel["id"] for panel in BOARD["panels"]]
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


def test_panels_do_not_overlap():
    for one, other in combinations(BOARD["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_variables_select_data_source_instance_and_case():
    variables = {each["name"]: each for each in BOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("instance", "engine", "batch", "mappings", "operation"):
        assert variables[name]["datasource"] == SOURCE
        assert variables[name]["query"]["query"].endswith(f", {name})")


@each_panel
def test_a_panel_has_title_description_unit_and_queries(panel):
    assert len(panel["title"]) > 5
    assert panel["description"].endswith(".")
    heatmap = panel["type"] == "heatmap"
    unit = panel["options"]["yAxis"] if heatmap else panel["fieldConfig"]["defaults"]
    assert unit["unit"]
    assert panel["datasource"] == SOURCE
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) >= 1
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert target["legendFormat"]
        assert '="$instance"' in target["expr"]


def test_panel_titles_are_unique():
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
