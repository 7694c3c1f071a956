"""The hypervisor that Xen runs on, from the firmware's tables and Xen's console."""

import pytest

from xengt.check import State, hypervisor
from xengt.xen.outer_hypervisor import detect


@pytest.fixture
def firmware(tmp_path):
    """Writes the firmware's tables; the result is the root directory."""

    def write(**files):
        directory = tmp_path / "sys/class/dmi/id"
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(f"{text}\n")
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("vendor", "product", "expected"),
    [
        ("QEMU", "Standard PC (Q35 + ICH9, 2009)", "QEMU or KVM"),
        ("Red Hat", "KVM", "KVM"),
        ("VMware, Inc.", "VMware Virtual Platform", "VMware"),
        ("Microsoft Corporation", "Virtual Machine", "Hyper-V"),
        ("Microsoft Corporation", "C2030", None),
        ("innotek GmbH", "VirtualBox", "VirtualBox"),
        ("Xen", "HVM domU", "Xen"),
        ("Amazon EC2", "m5.large", "Amazon EC2"),
        ("Amazon EC2", "m5.metal", None),
        ("Google", "Google Compute Engine", "Google Compute Engine"),
        ("Dell Inc.", "PowerEdge R7525", None),
        ("Supermicro", "", None),
    ],
)
def test_the_firmware_names_the_virtual_machine(firmware, vendor, product, expected):
    root = firmware(sys_vendor=vendor, product_name=product, bios_vendor="American Megatrends")
    assert detect("", root) == expected


def test_the_bios_names_bhyve(firmware):
    assert detect("", firmware(bios_vendor="BHYVE")) == "bhyve"


def test_without_firmware_tables_nothing_is_detected(tmp_path):
    assert detect("", tmp_path) is None


@pytest.mark.parametrize("stamp", ["", "[    0.000000] "])
def test_xen_prints_whose_interfaces_it_uses(tmp_path, stamp):
    console = f"(XEN) Xen version 4.20.3\n(XEN) {stamp}Running on Hyper-V\n"
    assert detect(console, tmp_path) == "Hyper-V"
    assert detect("(d3) Running on Hyper-V\n", tmp_path) is None


def test_a_nested_xen_is_a_warning():
    assert hypervisor.nesting(None).state is State.OK
    check = hypervisor.nesting("VMware")
    assert (check.state, check.prevents) == (State.WARNING, ())
    assert "VMware" in check.what
