"""A granter changes the version of its grant table while others map and unmap what it grants."""

import pytest

from tests.lab.mapper.put import everywhere, script
from tests.lab.reach import left_behind

pytestmark = pytest.mark.long

SECONDS = 12


@everywhere
def test_versions_taken_by_turns_while_others_map(labs, variant):
    (told,) = script(labs, variant, "versions.py", str(SECONDS))
    print(f"{variant}: {told}")
    assert told["granter"]["switched"] > 100
    assert told["dom0"]["mapped"] > 10
    assert told["dom0"]["unmap_refused"] == 0
    for mapper in told["mapper"]:
        assert mapper["mapped"] > 100
        assert mapper["unmapped"] == mapper["mapped"]
        assert mapper["wrong_page"] == 0
    assert told["last_switch"] == 0
    assert told["marks_left"] == []
    assert told["pins_left"] == ""
    if variant != "stock":
        assert told["usage"]["fast-maps"] > 0
        assert told["usage"]["slow-maps"] > 0
        assert told["usage"]["fast-live"] == told["usage"]["slow-live"] == 0
    assert left_behind(labs.get(variant)) == ""
