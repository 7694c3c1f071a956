"""The helpers of these tests: complaints of the hypervisor, and the image of a lab."""

import pytest

from tests.lab.lab_dom0 import hypervisor_complaints
from tests.lab.lab_pool import LabPool

BOOT = """(XEN) Xen version 4.20.4-pre (lab@xengt) debug=n
(XEN) WARNING: SPECULATIVE something
(XEN) grant-table for remote d1 (v1)
[    2.1] dom0 kernel: BUG of its own
(XEN) common/memory.c:246:d0v0 Could not allocate
"""
CRASH = """(XEN) d0v0 fine
(XEN) Xen BUG at common/grant_table.c:1580
(XEN) ----[ Xen-4.20 ]----
(XEN) Panic on CPU 0:
(XEN) Assertion 'act->pin' failed at common/grant_table.c:1643
"""


def test_complaints_are_found():
    complaints = hypervisor_complaints(BOOT + CRASH)
    assert [line.splitlines()[0][6:14] for line in complaints] == [
        "Xen BUG ",
        "Panic on",
        "Assertio",
    ]


@pytest.mark.parametrize(
    "line", ["(XEN) Xen WARN at common/grant_table.c:1", "(XEN) Xen call trace:"]
)
def test_each_complaint_is_found_once(line):
    assert len(hypervisor_complaints(f"{BOOT}{line}\nmore\n{line}\nmore\n")) == 1


def test_an_intentionally_refused_unmap_is_no_complaint():
    refused = (
        "(XEN) arch/x86/pv/grant_table.c:262:d0v1 PTE 80123 for 7f0000 doesn't match grant (8)"
    )
    assert hypervisor_complaints(refused) == []
    assert hypervisor_complaints(refused.replace("doesn't match", "has no")) == [
        refused.replace("doesn't match", "has no")
    ]


def test_an_intended_crash_of_a_domain_is_no_complaint():
    console = (
        "(XEN) domain_crash_sync called from entry.S: fault at ffff82d040216147\n"
        "(XEN) Domain 96 (vcpu#0) crashed on cpu#1:\n"
        "(XEN) ----[ Xen-4.20.4-pre ]----\n"
    )
    assert hypervisor_complaints(console, {96}) == []
    assert len(hypervisor_complaints(console)) == len(hypervisor_complaints(console, {9})) == 2
    assert hypervisor_complaints(console + CRASH, {96}) == hypervisor_complaints(CRASH)


def test_a_normal_boot_has_no_complaints():
    assert hypervisor_complaints(BOOT) == []


def test_a_given_image_replaces_only_the_patched_hypervisor(tmp_path):
    labs = LabPool(keep_running=True, patched=tmp_path)
    assert labs.with_image(("--guest", "--hypervisor", "patched", "--exact")) == (
        *("--guest", "--xen", str(tmp_path)),
        "--exact",
    )
    debug = ("--hypervisor", "patched-debug")
    assert labs.with_image(debug) == debug


def test_no_exact_lab_starts_beside_labs_with_a_wall_clock():
    labs = LabPool(keep_running=True, exact=False)
    with pytest.raises(LookupError, match="the lab patched-exact is exact: get it from a fixture"):
        labs.get("patched-exact")
    assert not labs.up
