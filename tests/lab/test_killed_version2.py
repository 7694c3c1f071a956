"""The mappings of a killed run are found in a granter's table of version 2."""

from tests.lab.lab_dom0 import leftovers
from tests.lab.mapper.mapper_scripts import on_every_hypervisor, run_mapper_script
from xenlib_cffi.errors import GrantStatus


@on_every_hypervisor
def test_mappings_of_a_version_2_granter_are_removed(labs, variant):
    (report,) = run_mapper_script(labs, variant, "killed_version2.py")
    assert report["version"] == 2
    assert len(report["before"].splitlines()) == report["searched"] == 4
    assert report["after"] == ""
    assert report["unmap"] == [GrantStatus.BAD_HANDLE]
    assert leftovers(labs.get(variant)) == ""
