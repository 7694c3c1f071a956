"""A PVH dom0: the bindings, the granters, the agent, and what `xengt check` reports."""

import json

import pytest

from tests.lab.lab_dom0 import leftovers

#: tests of dom0/ that do not depend on what Xen permits in a PV dom0 only; these skip what does
DOM0_TESTS = tuple(f"test_{name}.py" for name in ("bindings", "granters", "map", "serve", "usage"))


@pytest.mark.parametrize("variant", ["pvh"])
@pytest.mark.parametrize("name", DOM0_TESTS)
def test_in_a_pvh_dom0(labs, variant, name):
    dom0 = labs.get(variant)
    done = dom0.run("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"/root/dom0/{name}")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert leftovers(dom0) == ""


@pytest.mark.parametrize("variant", ["pvh"])
def test_all_engines_but_hypercall_run_in_a_pvh_dom0(labs, variant):
    dom0 = labs.get(variant)
    engines = "copy,gntdev-copy,persistent,gntdev,foreign"
    plan = ("--granter", "empty,guest", "--touch", "none,copy", "--bytes", "1500")
    results = dom0.bench("--engine", engines, *plan, "--samples", "50", timeout=900)["results"]
    assert len(results) == 2 * 2 * (3 * 2 + 2 * (2 + 3))
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
