"""Events of Xen's console that the agent counts, provoked by a guest."""

from tests.lab.lab_dom0 import leftovers
from tests.lab.mapper.mapper_scripts import on_every_hypervisor, run_mapper_script


@on_every_hypervisor
def test_a_crash_and_an_expansion_are_counted_once(labs, variant):
    ((domid, events),) = run_mapper_script(labs, variant, "console_events.py")
    labs.expect_crash(variant, domid)
    # A release build of Xen does not print that it expands a grant table.
    expanded = int(variant == "patched-debug")
    assert events == {
        "domain_crashed": 1,
        "grant_table_expanded": expanded,
        "maptrack_exhausted": 0,
        "lost": 0,
    }
    assert leftovers(labs.get(variant)) == ""
