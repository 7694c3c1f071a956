"""The checks of Linux: devices, modules, privileges, XenStore."""

import errno
import shutil

import pytest

from tests.unit.xenstored import FakeXenstored
from xengt.check import Command, State, linux
from xenlib_cffi.errors import MissingLibraryError

#: devices, and the commands that cannot run without them
DEVICES = {
    "privcmd": ("bench", "serve", "usage"),
    "hypercall": (),
    "gntdev": ("map",),
    "gntalloc": ("share",),
    "xenbus": (),
}


@pytest.fixture
def dom0(tmp_path, monkeypatch):
    """A root directory with all files of a dom0 that are checked."""
    root = tmp_path / "root"
    files = {
        "sys/hypervisor/type": "xen\n",
        "sys/hypervisor/guest_type": "PV\n",
        "proc/xen/capabilities": "control_d\n",
        "sys/module/xen_gntalloc/parameters/limit": "1024\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    } | {f"dev/xen/{device}": "" for device in DEVICES}
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    daemon = FakeXenstored(tmp_path / "socket")
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (daemon.path,))
    monkeypatch.setattr(linux, "load", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    yield root
    daemon.stop()


def found(root):
    return {check.name: check for check in linux.run(root)}


def test_in_a_complete_dom0_all_checks_are_ok(dom0):
    assert {check.state for check in found(dom0).values()} == {State.OK}
    assert found(dom0)["XenStore"].what == "XenStore answers; this is domain 0"
    assert found(dom0)["gntalloc limit"].what.startswith("1024 pages")


def test_another_clock_source_than_the_tsc_is_a_warning(dom0):
    (dom0 / "sys/devices/system/clocksource/clocksource0/current_clocksource").write_text("xen\n")
    check = found(dom0)["clock"]
    assert check.state is State.WARNING
    assert "is xen, which" in check.what
    assert "clocksource=tsc" in check.remedy


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_that_does_not_exist_names_its_module(dom0, device):
    (dom0 / "dev/xen" / device).unlink()
    check = found(dom0)[f"device {device}"]
    assert check.state is (State.MISSING if DEVICES[device] else State.WARNING)
    assert check.prevents == DEVICES[device]
    assert f"/dev/xen/{device} does not exist" in check.what
    assert "modprobe xen" in check.remedy
    assert [c.name for c in found(dom0).values() if c.state is not State.OK] == [check.name]


def test_without_gntalloc_the_commands_that_use_it_are_named(dom0):
    (dom0 / "dev/xen/gntalloc").unlink()
    what = found(dom0)["device gntalloc"].what
    assert what.endswith(
        "used only by `xengt share`, `xengt bench --granter self` and the engine copy"
    )


def test_a_pvh_dom0_cannot_measure_without_gntdev(dom0):
    (dom0 / "dev/xen/gntdev").unlink()
    (dom0 / "sys/hypervisor/guest_type").write_text("PVH\n")
    assert found(dom0)["device gntdev"].prevents == ("bench", "map")


def test_no_command_uses_event_channels(dom0):
    assert not (dom0 / "dev/xen/evtchn").exists()
    assert "device evtchn" not in found(dom0)


@pytest.mark.parametrize(("device", "state"), [("gntdev", "missing"), ("xenbus", "warning")])
def test_a_device_of_another_user_is_as_bad_as_none(dom0, monkeypatch, device, state):
    def refuse(path):
        return OSError(errno.EACCES, "Permission denied") if path.name == device else None

    monkeypatch.setattr(linux, "open_error", refuse)
    check = found(dom0)[f"device {device}"]
    assert check.state == state
    assert f"/dev/xen/{device} cannot be opened: Permission denied" in check.what


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "root"), (errno.EPERM, "root"), (errno.ENXIO, "dmesg")]
)
def test_a_device_that_cannot_be_opened_has_a_remedy(dom0, monkeypatch, number, remedy):
    def refuse(path):
        return OSError(number, "") if path.name == "gntdev" else None

    monkeypatch.setattr(linux, "open_error", refuse)
    assert found(dom0)["device gntdev"].state is State.MISSING
    assert remedy in found(dom0)["device gntdev"].remedy


def test_without_xen_devices_are_not_checked(tmp_path):
    checks = found(tmp_path)
    assert (checks["Xen"].state, checks["Xen"].prevents) == (State.MISSING, tuple(Command))
    assert "lab" in checks["Xen"].remedy
    assert not [name for name in checks if name.startswith(("device", "XenStore", "gntalloc"))]


@pytest.mark.parametrize(
    ("capabilities", "what", "remedy"),
    [
        ("", "guest", "xengt share --to 0"),
        (None, "/proc/xen/capabilities does not exist", "mount -t xenfs"),
    ],
)
def test_a_guest_differs_from_a_dom0(dom0, capabilities, what, remedy):
    file = dom0 / "proc/xen/capabilities"
    if capabilities is None:
        file.unlink()
    else:
        file.write_text(capabilities)
    check = found(dom0)["dom0"]
    assert (check.state, check.prevents) == (State.MISSING, ("bench", "serve", "usage"))
    assert what in check.what
    assert remedy in check.remedy


def test_a_dom0_without_xenfs_is_recognized_and_told_to_mount_it(dom0):
    (dom0 / "proc/xen/capabilities").unlink()
    features = dom0 / "sys/hypervisor/properties/features"
    features.parent.mkdir()
    features.write_text("00000c31\n")
    check = found(dom0)["dom0"]
    assert check.state is State.WARNING
    assert "this is the control domain, but /proc/xen is not mounted" in check.what
    assert "mount -t xenfs" in check.remedy


def test_a_kernel_without_sys_hypervisor_is_named(dom0):
    shutil.rmtree(dom0 / "sys/hypervisor")
    checks = found(dom0)
    assert checks["Xen"].state is State.WARNING
    assert "this kernel has no /sys/hypervisor" in checks["Xen"].what
    assert "CONFIG_XEN_SYS_HYPERVISOR" in checks["Xen"].remedy
    assert checks["dom0"].state is State.OK
    assert checks["device gntdev"].state is State.OK


def test_privileges_depend_on_access_to_the_devices(dom0, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert found(dom0)["privileges"].state is State.OK
    monkeypatch.setattr(linux, "open_error", lambda _path: OSError(errno.EACCES, ""))
    assert found(dom0)["privileges"].state is State.MISSING


def test_missing_libraries_come_with_a_remedy(dom0, monkeypatch):
    def refuse():
        raise MissingLibraryError("Xen's C libraries cannot be used: no _xen", "on Debian: apt")

    monkeypatch.setattr(linux, "load", refuse)
    check = found(dom0)["libraries"]
    assert check.state is State.MISSING
    assert check.what == "Xen's C libraries cannot be used: no _xen"
    assert check.remedy == "On Debian: apt."


def test_without_xenstored_xenstore_is_missing(dom0, monkeypatch, tmp_path):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none",))
    check = found(dom0)["XenStore"]
    assert (check.state, check.prevents) == (State.MISSING, ("share",))
    assert check.remedy


def test_a_gntalloc_without_its_module_has_no_limit(dom0):
    (dom0 / "sys/module/xen_gntalloc/parameters/limit").unlink()
    assert "gntalloc limit" not in found(dom0)
