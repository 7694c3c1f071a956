"""`xengt check`: its checks of Linux, the hypervisor and leftovers, and the command."""

import errno
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.patience import patient
from tests.unit import stand_in
from tests.unit.xenstored import FakeXenstored
from xengt import cli
from xengt.check import Command, State, hypervisor, linux, recovery, service
from xengt.check.outcome import missing, ok, warning
from xengt.cli import check as check_command
from xengt.documents.schemas import load
from xengt.xen import limits, maptrack, outer_hypervisor
from xengt.xen.kernel import is_control_domain
from xenlib_cffi.ctrl_results import DomainInfo, PhysInfo, XenVersion
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

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


@pytest.mark.parametrize(
    ("domids", "mapped", "message"),
    [
        ([], False, None),
        ([3, 5], False, "empty domain 3, empty domain 5"),
        ([], True, "left mappings"),
        ([3], True, "empty domain 3, mappings"),
    ],
)
def test_leftovers_of_a_killed_run_are_a_warning(domids, mapped, message):
    check = recovery.benchmark_leftovers(domids, mapped)
    assert check.state is (State.WARNING if message else State.OK)
    assert (message or "no killed benchmark") in check.what


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
    assert what.endswith("used only by `xengt share` and `xengt bench --granter self`")


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


def test_a_xen_without_pv_and_a_foreign_feature_bit_are_named():
    assert hypervisor.pv_domains(supported=True).state is State.OK
    check = hypervisor.pv_domains(supported=False)
    assert check.state is State.WARNING
    assert "without support for PV domains" in check.what
    assert "CONFIG_PV" in check.remedy
    assert "sets feature bit 21 without the patches" in hypervisor.foreign_feature().what


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


def domain(domid, **changed):
    facts = {"dying": False, "shutdown": False, "paused": False, "hvm": False, "pages": 1}
    return DomainInfo(domid=domid, uuid=bytes(16), **({"vcpus": 2} | facts | changed))


def hypervisor_state(*, grants=None, commandline="", directio=False):
    return hypervisor.HypervisorState(
        version=XenVersion(4, 20, ".3", "", "ab12", commandline, "", "", ""),
        machine=PhysInfo(4, 1, 1, 1, 1, 0, hvm=True, pv=True, directio=directio),
        console="",
        domains=(domain(0),),
        grants=grants or {0: (1, 64)},
    )


def test_version_and_build_id_are_reported():
    assert hypervisor.version(hypervisor_state()).what == "Xen 4.20.3, build ID ab12"


@pytest.mark.parametrize(
    ("library", "state"),
    [("4.20.0", State.OK), ("4.20", State.OK), (None, State.OK), ("4.17.0", State.WARNING),
     ("4.2.0", State.WARNING)],
)  # fmt: skip
def test_a_libxenctrl_of_another_version_is_a_warning(library, state):
    check = hypervisor.bound_library(hypervisor_state(), library)
    assert check.state is state
    assert ("libxenmisc4.20" in check.remedy) == (state is State.WARNING)


@pytest.mark.parametrize(("kind", "state"), [("PV", "ok"), ("PVH", "warning"), (None, "warning")])
def test_the_hypercall_engine_needs_a_pv_dom0(kind, state):
    assert hypervisor.dom0(kind).state == state


def test_the_mode_of_the_iommu_is_reported():
    strict = hypervisor_state(directio=True, commandline="dom0-iommu=strict")
    what = hypervisor.iommu(strict, "PV", bus_addresses=False).what
    assert what == "strict: each map and unmap of a grant updates the IOMMU"
    assert "address of its own" in hypervisor.iommu(strict, "PV", bus_addresses=True).what
    assert (
        hypervisor.iommu(hypervisor_state(), "PV", bus_addresses=False).what == "Xen uses no IOMMU"
    )


@pytest.mark.parametrize(("frames", "state"), [(57, State.OK), (58, State.WARNING)])
def test_a_grant_table_that_is_nearly_full_is_a_warning(frames, state):
    check = hypervisor.grant_frames(hypervisor_state(grants={0: (1, 64), 7: (frames, 64)}))
    assert check.state is state
    assert f"domain 7: {frames} of 64" in check.what
    assert ("domain 0" in check.what) == (state is State.OK)


@pytest.mark.parametrize(
    ("domains", "cpus", "own", "state"),
    [
        ((domain(0),), 2, 2, State.OK),
        ((domain(0),), 2, 3, State.WARNING),
        ((domain(0), domain(1)), 3, 2, State.WARNING),
        ((domain(0), domain(1)), 4, 2, State.OK),
        ((domain(0), domain(1, paused=True), domain(2, dying=True)), 2, 2, State.OK),
    ],
)
def test_more_vcpus_than_pcpus_are_a_warning(domains, cpus, own, state):
    assert hypervisor.vcpus(cpus, domains, own).state is state


def test_debug_builds_emulated_cpus_and_synchronous_consoles_are_warnings():
    assert hypervisor.build(True).state is State.WARNING
    assert hypervisor.build(None).state is State.WARNING
    assert hypervisor.build(False).state is State.OK
    assert hypervisor.cpu("QEMU TCG CPU version 2.5+").state is State.WARNING
    assert hypervisor.cpu("AMD EPYC 7302P 16-Core Processor").state is State.OK
    assert hypervisor.console("console=com1 sync_console").state is State.WARNING
    assert hypervisor.console("console=com1").state is State.OK


@pytest.mark.parametrize(
    ("hypfs", "commandline", "expected"),
    [
        ("1024", "", "1024 frames, 262144 mappings per domain (hypfs)"),
        ("9", "gnttab_max_maptrack_frames=2048",
         ("dom0 has 2048 frames, 524288 mappings (Xen's command line); "
          "each domain that is created now has 9 frames, 2304 mappings (hypfs)")),
        (XenLibraryError("xenhypfs_read", "x", 2), "gnttab_max_maptrack_frames=9 console=com1",
         "9 frames, 2304 mappings per domain (Xen's command line)"),
        (MissingLibraryError(), "", "1024 frames, 262144 mappings per domain (Xen's default)"),
    ],
)  # fmt: skip
def test_a_limit_is_reported_in_frames_and_in_mappings(monkeypatch, hypfs, commandline, expected):
    monkeypatch.setattr(limits, "HypFs", stand_in.Limits(hypfs))
    check = hypervisor.limit("gnttab_max_maptrack_frames", commandline, 256, "mappings")
    assert check.what == expected


@pytest.mark.parametrize(
    ("call", "number"),
    [("xc_physinfo", errno.EPERM), ("xc_interface_open", errno.EACCES)],
)
def test_a_hypervisor_that_cannot_be_queried_is_missing(monkeypatch, call, number):
    def refuse():
        raise XenLibraryError(call, "the hypervisor", number)

    monkeypatch.setattr(hypervisor, "Ctrl", refuse)
    monkeypatch.setattr(hypervisor.kernel, "is_control_domain", lambda: True)
    (check,) = hypervisor.run()
    assert check.state is State.MISSING
    assert "root" in check.remedy


@pytest.fixture
def xen(monkeypatch):
    """A complete hypervisor; tests replace functions of libxenctrl."""

    class Ctrl(stand_in.Handle, SimpleNamespace):
        pass

    state = hypervisor_state()
    queried = []
    ctrl = Ctrl(
        domains=lambda: iter([domain(0), domain(3, dying=True)]),
        version=lambda: state.version,
        physinfo=lambda: state.machine,
        console=lambda: "(XEN) Xen version 4.20.3 (x) debug=n Sun\n",
        grant_size=lambda domid: queried.append(domid) or (1, 64),
        queried=queried,
    )
    monkeypatch.setattr(hypervisor, "Ctrl", lambda: ctrl)
    monkeypatch.setattr(limits, "Ctrl", lambda: ctrl)
    monkeypatch.setattr(hypervisor.kernel, "is_control_domain", lambda: True)
    monkeypatch.setattr(hypervisor.kernel, "dom0_kind", lambda: "PV")
    monkeypatch.setattr(limits, "HypFs", stand_in.Limits(MissingLibraryError()))
    monkeypatch.setattr(maptrack, "detect", lambda words: {"": "fast"}[words])
    monkeypatch.setattr(outer_hypervisor, "detect", lambda _console: None)
    return ctrl


def of_another_version(call):
    """Return a function of libxenctrl that Xen rejects because of its version."""

    def reject(*_):
        raise XenLibraryError(call, "the hypervisor", errno.EACCES)

    return reject


@pytest.mark.parametrize("domctl", [True, False])
@pytest.mark.parametrize("sysctl", [True, False])
def test_what_a_xen_of_another_version_rejects_is_reported(xen, domctl, sysctl):
    if domctl:
        xen.domains = of_another_version("xc_domain_getinfolist")
    if sysctl:
        xen.physinfo = of_another_version("xc_physinfo")
        xen.console = of_another_version("xc_readconsolering")
    checks = {check.name: check for check in hypervisor.run()}
    library = checks["libxenctrl"]
    assert ("domctl" in library.what, "sysctl" in library.what) == (domctl, sysctl)
    if domctl or sysctl:
        assert (library.state, library.prevents) == (State.MISSING, ("serve", "usage"))
        assert "libxenmisc4.20" in library.remedy
    assert ("vCPUs" in checks, "PV domains" in checks) == (not (domctl or sysctl), not sysctl)
    assert ("does not report" in checks["IOMMU"].what) == sysctl
    assert checks["grant frames"].what == "frames of grant tables: domain 0: 1 of 64"


def test_a_complete_hypervisor_has_all_checks(xen):
    checks = list(hypervisor.run())
    assert len({check.name for check in checks}) == len(checks) == 15
    (check,) = (check for check in checks if check.name == "maptrack")
    assert (check.state, check.what) == (State.OK, maptrack.DESCRIPTIONS["fast"])
    # a dying domain has no grant table
    assert set(xen.queried) == {0}


CHECKS = (
    ok("Xen", "Linux runs on Xen (PV)"),
    warning("CPU", "emulated " * 20 + "so", "Measure on a real host. " * 8),
    missing("device gntdev", "it is not there", "modprobe xen-gntdev", (Command.MAP,)),
)


def test_in_a_pipe_columns_are_aligned_and_lines_are_not_wrapped(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(CHECKS))
    result = CliRunner().invoke(cli.app, ["check"])
    lines = result.output.splitlines()
    assert result.exit_code == 2
    assert [line.split()[0] for line in lines[:2]] == ["ok", "warning"]
    column = lines[0].index("Linux")
    assert lines[1].index("emulated") == lines[2].index("Measure") == column
    assert lines[3].index("it is not") == lines[4].index("modprobe") == column
    assert lines[-1] == "1 ok, 1 warning, 1 missing"
    assert len(lines) == 7
    assert "\x1b" not in result.output


def test_on_a_terminal_there_are_colours_and_lines_are_wrapped(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(CHECKS))
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(cli.app, ["check"], color=True)
    assert "\x1b[32mok" in result.output
    plain = "".join(part.partition("m")[2] if i else part
                    for i, part in enumerate(result.output.split("\x1b[")))  # fmt: skip
    assert max(map(len, plain.splitlines())) <= 80


@pytest.mark.parametrize(("checks", "code"), [(CHECKS, 2), (CHECKS[:2], 0)])
def test_the_exit_code_is_2_if_something_is_missing(monkeypatch, checks, code):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(checks))
    result = CliRunner().invoke(cli.app, ["check", "--json"])
    assert result.exit_code == code
    jsonschema.validate(json.loads(result.output), load("check"))
    first = json.loads(result.output)["checks"][0]
    assert first == {
        "name": "Xen",
        "state": "ok",
        "what": "Linux runs on Xen (PV)",
        "remedy": "",
        "prevents": [],
    }


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ((), "warning"),
        (("--for", "serve"), "warning"),
        (("--for", "map"), "missing"),
        (("--for", "serve", "--for", "map"), "missing"),
    ],
)
def test_only_what_prevents_a_wanted_command_is_missing(monkeypatch, options, state):
    for module in (hypervisor, recovery, service):
        monkeypatch.setattr(module, "run", lambda: iter(()))
    monkeypatch.setattr(linux, "run", lambda: iter(CHECKS))
    result = CliRunner().invoke(cli.app, ["check", "--json", *options])
    assert result.exit_code == (2 if state == "missing" else 0)
    document = json.loads(result.output)
    jsonschema.validate(document, load("check"))
    assert document["for"] == (list(options[1::2]) or ["bench", "serve", "usage"])
    assert [each["state"] for each in document["checks"]] == ["ok", "warning", state]
    assert document["checks"][2]["prevents"] == ["map"]


def test_a_finding_names_the_commands_that_it_prevents(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(CHECKS))
    result = CliRunner().invoke(cli.app, ["check"])
    assert "it is not there; this prevents `xengt map`\n" in result.output


def test_the_command_runs_on_this_machine():
    command = [sys.executable, "-m", "xengt", "check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(60))
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.stderr == ""
    assert done.returncode == (2 if any(c["state"] == "missing" for c in found.values()) else 0)
    assert ("hypervisor" in found) == is_control_domain()
    assert all(check["remedy"] for check in found.values() if check["state"] != "ok")
