"""A PVH dom0: the bindings, and what `xengt check` reports."""

import json

import pytest

from tests.lab.lab_dom0 import leftovers


@pytest.mark.parametrize("variant", ["pvh"])
def test_the_bindings_work(labs, variant):
    dom0 = labs.get(variant)
    done = dom0.run(
        *("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "/root/dom0/test_bindings.py")
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert leftovers(dom0) == ""


@pytest.mark.parametrize("variant", ["pvh"])
def test_check_names_what_a_pvh_dom0_lacks(labs, variant):
    done = labs.get(variant).run("xengt", "check", "--json")
    findings = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0
    assert "PVH" in findings["Xen"]["what"]
    assert findings["dom0 kind"]["state"] == "warning"
    assert "--engine gntdev" in findings["dom0 kind"]["remedy"]
    assert findings["IOMMU"]["what"].startswith("strict")
