"""A granter changes its grant table version while others map and unmap its references."""

import pytest

from tests.lab.lab_dom0 import leftovers
from tests.lab.mapper.mapper_scripts import on_every_hypervisor, run_mapper_script

pytestmark = pytest.mark.long

SECONDS = 12


@on_every_hypervisor
def test_version_changes_while_others_map(labs, variant):
    (report,) = run_mapper_script(labs, variant, "version_race.py", str(SECONDS))
    print(f"{variant}: {report}")
    assert report["granter"]["switched"] > 100
    assert report["dom0"]["mapped"] > 10
    assert report["dom0"]["unmap_refused"] == 0
    for mapper in report["mapper"]:
        assert mapper["mapped"] > 100
        assert mapper["unmapped"] == mapper["mapped"]
        assert mapper["wrong_page"] == 0
    assert report["last_switch"] == 0
    assert report["marks_left"] == []
    assert report["pins_left"] == ""
    if variant != "stock":
        assert report["usage"]["fast-maps"] > 0
        assert report["usage"]["slow-maps"] > 0
        assert report["usage"]["fast-live"] == report["usage"]["slow-live"] == 0
    assert leftovers(labs.get(variant)) == ""
