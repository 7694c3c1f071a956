"""`xengt check` in dom0: what prevents which command, and the hypervisor below Xen."""

import json

import jsonschema
import pytest

from tests.lab.lab_dom0 import ROOT, leftovers

SCHEMA = json.loads((ROOT / "xengt/documents/check.schema.json").read_text(encoding="utf-8"))
GNTDEV = "/dev/xen/gntdev"


@pytest.fixture
def without_gntdev(dom0):
    dom0.check_output("mv", GNTDEV, f"{GNTDEV}.away")
    yield dom0
    dom0.check_output("mv", f"{GNTDEV}.away", GNTDEV)


def checked(dom0, *options: str) -> tuple[int, dict[str, dict]]:
    """Return the exit code and the findings by name, after validating the document."""
    done = dom0.run("xengt", "check", "--json", *options)
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    return done.returncode, {each["name"]: each for each in document["checks"]}


def test_only_commands_that_need_a_device_fail_without_it(without_gntdev):
    dom0 = without_gntdev
    code, findings = checked(dom0)
    gntdev = findings["device gntdev"]
    assert (code, gntdev["state"], gntdev["prevents"]) == (0, "warning", ["map"])
    # What check reports is what happens.
    assert dom0.run("xengt", "bench", "--samples", "10").returncode == 0
    code, findings = checked(dom0, "--for", "map")
    assert (code, findings["device gntdev"]["state"]) == (2, "missing")
    assert dom0.run("xengt", "map", "1", "8").returncode == 2
    assert leftovers(dom0) == ""


def test_every_command_can_run(dom0):
    commands = ("bench", "map", "serve", "share", "usage")
    code, findings = checked(dom0, *(word for each in commands for word in ("--for", each)))
    assert code == 0
    assert {each["state"] for each in findings.values()} <= {"ok", "warning"}


def test_qemu_is_detected_below_xen(dom0):
    _, findings = checked(dom0)
    outer = findings["outer hypervisor"]
    assert outer["state"] == "warning"
    assert "QEMU" in outer["what"]


def test_the_grant_tables_of_hvm_guests_are_checked(dom0):
    """The lab's guest is PV."""
    _, findings = checked(dom0)
    assert findings["HVM grant tables"]["state"] == "ok"
    assert "not determined" not in findings["HVM grant tables"]["what"]
