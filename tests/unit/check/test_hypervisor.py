"""The checks of the hypervisor and of what killed benchmarks left."""

import errno
from types import SimpleNamespace

import pytest

from tests.unit import stand_in
from xengt.check import State, hypervisor, recovery
from xengt.xen import limits, maptrack, outer_hypervisor
from xenlib_cffi.ctrl_results import DomainInfo, PhysInfo, XenVersion
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError


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


def test_a_xen_without_pv_and_a_foreign_feature_bit_are_named():
    assert hypervisor.pv_domains(supported=True).state is State.OK
    check = hypervisor.pv_domains(supported=False)
    assert check.state is State.WARNING
    assert "without support for PV domains" in check.what
    assert "CONFIG_PV" in check.remedy
    assert "sets feature bit 21 without the patches" in hypervisor.foreign_feature().what


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
