"""`xengt check`: what is there, what is missing, and what it says to do."""

import errno
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.patience import patient
from tests.unit import stand_in
from tests.unit.xenstored import FakeXenstored
from xengt import cli
from xengt.check import State, hypervisor, linux, recovery
from xengt.check.outcome import missing, ok, warning
from xengt.cli import check as check_command
from xengt.xen import limits, maptrack
from xengt.xen.kernel import is_control_domain
from xenlib_cffi.ctrl import DomainInfo, PhysInfo, XenVersion
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

DEVICES = ("privcmd", "hypercall", "gntdev", "gntalloc", "evtchn", "xenbus")


@pytest.fixture
def dom0(tmp_path, monkeypatch):
    """A root directory with everything that Linux shows in a dom0."""
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
    monkeypatch.setattr("xengt.xen.xenstore.PLACES", (daemon.place,))
    monkeypatch.setattr(linux, "load", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    yield root
    daemon.stop()


def found(root):
    return {check.name: check for check in linux.run(root)}


def test_in_a_whole_dom0_nothing_is_missing(dom0):
    assert {check.state for check in found(dom0).values()} == {State.OK}
    assert found(dom0)["XenStore"].what == "it answers: this is domain 0"
    assert found(dom0)["gntalloc limit"].what.startswith("1024 pages")


def test_another_clock_than_the_tsc(dom0):
    (dom0 / "sys/devices/system/clocksource/clocksource0/current_clocksource").write_text("xen\n")
    check = found(dom0)["clock"]
    assert check.state is State.WARNING
    assert "from xen:" in check.what
    assert "clocksource=tsc" in check.remedy


@pytest.mark.parametrize(
    ("domids", "mapped", "said"),
    [
        ([], False, None),
        ([3, 5], False, "empty domain 3, empty domain 5"),
        ([], True, "left mappings"),
        ([3], True, "empty domain 3, mappings"),
    ],
)
def test_what_a_killed_run_left(domids, mapped, said):
    check = recovery.found(domids, mapped)
    assert check.state is (State.WARNING if said else State.OK)
    assert (said or "no killed benchmark") in check.what


@pytest.mark.parametrize("device", DEVICES)
def test_a_missing_device_names_its_module(dom0, device):
    (dom0 / "dev/xen" / device).unlink()
    check = found(dom0)[f"device {device}"]
    assert check.state is State.MISSING
    assert f"/dev/xen/{device} is not there" in check.what
    assert "modprobe xen" in check.remedy
    assert [c.name for c in found(dom0).values() if c.state is not State.OK] == [check.name]


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "root"), (errno.EPERM, "root"), (errno.ENXIO, "dmesg")]
)
def test_a_device_that_does_not_open_says_why(dom0, monkeypatch, number, remedy):
    def refuse(path):
        return OSError(number, "") if path.name == "gntdev" else None

    monkeypatch.setattr(linux, "refusal", refuse)
    assert found(dom0)["device gntdev"].state is State.MISSING
    assert remedy in found(dom0)["device gntdev"].remedy


def test_without_xen_one_line_says_so_and_no_device_is_asked_for(tmp_path):
    lines = found(tmp_path)
    assert lines["Xen"].state is State.MISSING
    assert "lab" in lines["Xen"].remedy
    assert not [name for name in lines if name.startswith(("device", "XenStore", "gntalloc"))]


@pytest.mark.parametrize(
    ("capabilities", "what", "remedy"),
    [("", "guest", "xengt share --to 0"), (None, "/proc/xen is not there", "mount -t xenfs")],
)
def test_a_guest_is_told_from_a_dom0(dom0, capabilities, what, remedy):
    file = dom0 / "proc/xen/capabilities"
    if capabilities is None:
        file.unlink()
    else:
        file.write_text(capabilities)
    check = found(dom0)["dom0"]
    assert check.state is State.MISSING
    assert what in check.what
    assert remedy in check.remedy


def test_who_may_not_open_the_devices_is_told(dom0, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert found(dom0)["privileges"].state is State.OK
    monkeypatch.setattr(linux, "refusal", lambda _path: OSError(errno.EACCES, ""))
    assert found(dom0)["privileges"].state is State.MISSING


def test_missing_libraries_say_how_to_get_them(dom0, monkeypatch):
    def refuse():
        raise MissingLibraryError("Xen's C libraries cannot be used: no _xen", "on Debian: apt")

    monkeypatch.setattr(linux, "load", refuse)
    check = found(dom0)["libraries"]
    assert check.state is State.MISSING
    assert check.what == "Xen's C libraries cannot be used: no _xen"
    assert check.remedy == "On Debian: apt."


def test_a_xenstore_that_is_not_there_is_missing(dom0, monkeypatch, tmp_path):
    monkeypatch.setattr("xengt.xen.xenstore.PLACES", (tmp_path / "none",))
    check = found(dom0)["XenStore"]
    assert check.state is State.MISSING
    assert check.remedy


def test_a_gntalloc_without_its_module_has_no_limit(dom0):
    (dom0 / "sys/module/xen_gntalloc/parameters/limit").unlink()
    assert "gntalloc limit" not in found(dom0)


def domain(domid, **changed):
    facts = {"dying": False, "shutdown": False, "paused": False, "hvm": False, "pages": 1}
    return DomainInfo(domid=domid, uuid=bytes(16), **({"vcpus": 2} | facts | changed))


def answers(*, domains=(), grants=None, cpus=4, commandline="", directio=False):
    return hypervisor.Answers(
        version=XenVersion(4, 20, ".3", "", "ab12", commandline, "", "", ""),
        machine=PhysInfo(cpus, 1, 1, 1, 1, 0, hvm=True, pv=True, directio=directio),
        console="",
        domains=domains or (domain(0),),
        grants=grants or {0: (1, 64)},
    )


def test_the_version_and_build_id_are_told():
    assert hypervisor.version(answers()).what == "Xen 4.20.3, build id ab12"


@pytest.mark.parametrize(
    ("library", "state"),
    [("4.20.0", State.OK), ("4.20", State.OK), (None, State.OK), ("4.17.0", State.WARNING),
     ("4.2.0", State.WARNING)],
)  # fmt: skip
def test_a_libxenctrl_of_another_xen_is_told(library, state):
    check = hypervisor.bound_library(answers().version, library)
    assert check.state is state
    assert ("libxenmisc4.20" in check.remedy) == (state is State.WARNING)


@pytest.mark.parametrize(("kind", "state"), [("PV", "ok"), ("PVH", "warning"), (None, "warning")])
def test_only_a_pv_dom0_makes_device_maps(kind, state):
    assert hypervisor.dom0(kind).state == state


def test_the_iommu_is_told_with_what_it_costs():
    strict = answers(directio=True, commandline="dom0-iommu=strict")
    told = hypervisor.iommu(strict, "PV", bus_addresses=False).what
    assert told == "strict: each map and unmap of a grant updates it"
    assert "address of its own" in hypervisor.iommu(strict, "PV", bus_addresses=True).what
    assert hypervisor.iommu(answers(), "PV", bus_addresses=False).what == "not in use"


@pytest.mark.parametrize(("frames", "state"), [(57, State.OK), (58, State.WARNING)])
def test_a_grant_table_that_is_nearly_full_is_named(frames, state):
    check = hypervisor.grant_frames(answers(grants={0: (1, 64), 7: (frames, 64)}))
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
def test_more_vcpus_than_pcpus_are_noise(domains, cpus, own, state):
    assert hypervisor.vcpus(answers(domains=domains, cpus=cpus), own).state is state


def test_what_else_makes_noise_is_a_warning():
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
        ("2048", "", "2048 frames, 524288 mappings a domain (as hypfs says)"),
        (XenLibraryError("xenhypfs_read", "x", 2), "gnttab_max_maptrack_frames=9 console=com1",
         "9 frames, 2304 mappings a domain (from Xen's command line)"),
        (MissingLibraryError(), "", "1024 frames, 262144 mappings a domain (Xen's default)"),
    ],
)  # fmt: skip
def test_a_limit_is_told_in_frames_and_in_mappings(monkeypatch, hypfs, commandline, expected):
    monkeypatch.setattr(limits, "HypFs", stand_in.Limits(hypfs))
    check = hypervisor.limit("gnttab_max_maptrack_frames", commandline, 256, "mappings")
    assert check.what == expected


@pytest.mark.parametrize(
    ("call", "number", "remedy"),
    [
        ("xc_physinfo", errno.EACCES, "one version"),
        ("xc_physinfo", errno.EPERM, "root"),
        ("xc_interface_open", errno.EACCES, "root"),
    ],
)
def test_a_xen_that_refuses_is_missing(monkeypatch, call, number, remedy):
    def refuse():
        raise XenLibraryError(call, "the hypervisor", number)

    monkeypatch.setattr(hypervisor, "Ctrl", refuse)
    monkeypatch.setattr(hypervisor.kernel, "is_control_domain", lambda: True)
    (check,) = hypervisor.run()
    assert check.state is State.MISSING
    assert remedy in check.remedy


def test_a_whole_hypervisor_is_checked_line_by_line(monkeypatch):
    class Ctrl(stand_in.Handle, SimpleNamespace):
        pass

    gone = answers()
    asked = []
    ctrl = Ctrl(
        domains=lambda: iter([domain(0), domain(3, dying=True)]),
        version=lambda: gone.version,
        physinfo=lambda: gone.machine,
        console=lambda: "(XEN) Xen version 4.20.3 (x) debug=n Sun\n",
        grant_size=lambda domid: asked.append(domid) or (1, 64),
    )
    monkeypatch.setattr(hypervisor, "Ctrl", lambda: ctrl)
    monkeypatch.setattr(hypervisor.kernel, "is_control_domain", lambda: True)
    monkeypatch.setattr(hypervisor.kernel, "dom0_kind", lambda: "PV")
    monkeypatch.setattr(limits, "HypFs", stand_in.Limits(MissingLibraryError()))
    monkeypatch.setattr(maptrack, "running", lambda words: {"": "fast"}[words])
    lines = list(hypervisor.run())
    assert len({line.name for line in lines}) == len(lines) == 12
    (found,) = (line for line in lines if line.name == "maptrack")
    assert (found.state, found.what) == (State.OK, maptrack.WORDS["fast"])
    # a dying domain has no grant table to ask for
    assert asked == [0]


SEVERAL = (
    ok("Xen", "Linux runs on Xen (PV)"),
    warning("CPU", "emulated " * 20 + "so", "Measure on a real host. " * 8),
    missing("device gntdev", "it is not there", "modprobe xen-gntdev"),
)


def test_the_lines_are_aligned_and_never_folded_in_a_pipe(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda: iter(SEVERAL))
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


def test_a_terminal_gets_colours_and_folded_lines(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda: iter(SEVERAL))
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


@pytest.mark.parametrize(("found", "code"), [(SEVERAL, 2), (SEVERAL[:2], 0)])
def test_what_is_missing_is_the_exit_code(monkeypatch, found, code):
    monkeypatch.setattr(check_command, "run_all", lambda: iter(found))
    result = CliRunner().invoke(cli.app, ["check", "--json"])
    assert result.exit_code == code
    assert json.loads(result.output)["schema"] == "xengt.check/1"
    first = json.loads(result.output)["checks"][0]
    assert first == {"name": "Xen", "state": "ok", "what": "Linux runs on Xen (PV)", "remedy": ""}


def test_it_runs_on_this_machine_whatever_it_is():
    command = [sys.executable, "-m", "xengt", "check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(60))
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.stderr == ""
    assert done.returncode == (2 if any(c["state"] == "missing" for c in found.values()) else 0)
    assert ("hypervisor" in found) == is_control_domain()
    assert all(check["remedy"] for check in found.values() if check["state"] != "ok")
