"""Version, hardware and state of the host, as Linux and Xen report them."""

import errno
import io

import jsonschema
import pytest
from rich.console import Console

from tests.unit import made_documents, stand_in
from xengt.bench import document
from xengt.bench.schema import bench_schema
from xengt.errors import Exit, UnmetError
from xengt.report.terminal import bench_table
from xengt.xen import bus_addresses, command_line, host, kernel, maptrack, preflight
from xenlib_cffi.ctrl_results import PhysInfo, XenVersion
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

BOOTED = """\
(XEN) Xen version 4.20.3 (Debian 4.20.3-1) (x86_64-linux-gnu-gcc (Debian 14.2.0) 14.2.0) debug={debug} Sun Nov 22
(XEN) Latest ChangeSet:
(XEN) I/O virtualisation enabled
(XEN)  - Dom0 mode: {mode}
(XEN) Interrupt remapping enabled
"""  # noqa: E501 - as Xen prints it


def write_file(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("kind", ["PV", "PVH", "HVM"])
def test_dom0_kind_is_read_from_guest_type(tmp_path, kind):
    write_file(tmp_path, "sys/hypervisor/guest_type", f"{kind}\n")
    assert kernel.dom0_kind(tmp_path) == kind


def test_an_unknown_or_missing_guest_type_is_none(tmp_path):
    assert kernel.dom0_kind(tmp_path) is None
    write_file(tmp_path, "sys/hypervisor/guest_type", "Xenner\n")
    assert kernel.dom0_kind(tmp_path) is None


@pytest.mark.parametrize(
    ("patched", "commandline", "expected"),
    [
        (True, "", "own"),
        (False, "gnttab=bus-region", "foreign"),  # stock Xen ignores the option
        (None, "gnttab=bus-region", "own"),
        (None, "gnttab=no-bus-region", "foreign"),
        (None, "", "foreign"),
    ],
)
def test_the_feature_bit_of_another_xen_is_not_ours(monkeypatch, patched, commandline, expected):
    class Ctrl(stand_in.Handle):
        def version(self):
            return XenVersion(4, 25, ".0", "", "", commandline, "", "", "")

    monkeypatch.setattr(command_line, "Ctrl", Ctrl)
    monkeypatch.setattr(maptrack, "is_patched", lambda: patched)
    monkeypatch.setattr(kernel, "has_bus_address_bit", lambda: True)
    assert bus_addresses.detect() == expected
    assert bus_addresses.has_bus_addresses() is (expected == "own")
    monkeypatch.setattr(kernel, "has_bus_address_bit", lambda: False)
    assert bus_addresses.detect() == "none"


@pytest.mark.parametrize(("features", "expected"), [("00000c31", True), ("00000431", False)])
def test_without_xenfs_the_control_domain_is_known_by_its_features(tmp_path, features, expected):
    write_file(tmp_path, "sys/hypervisor/properties/features", f"{features}\n")
    assert kernel.is_control_domain(tmp_path) is expected
    # A guest that has mounted xenfs is a guest.
    write_file(tmp_path, "proc/xen/capabilities", "")
    assert not kernel.is_control_domain(tmp_path)


def test_linux_runs_on_xen_without_sys_hypervisor(tmp_path):
    assert not kernel.is_on_xen(tmp_path)
    (tmp_path / "proc/xen").mkdir(parents=True)  # an empty directory, to mount xenfs there
    assert kernel.is_on_xen(tmp_path)


@pytest.mark.parametrize(
    ("files", "what", "remedy"),
    [
        ({}, "Linux does not run on Xen", "run xengt in a dom0"),
        (
            {"sys/hypervisor/type": "xen\n"},
            "/proc/xen/capabilities cannot be read",
            "mount -t xenfs",
        ),
        ({"proc/xen/capabilities": ""}, "it is a guest", "run this command in dom0"),
    ],
)
def test_the_reason_why_this_is_not_known_to_be_a_dom0_is_given(
    tmp_path, monkeypatch, files, what, remedy
):
    for path, text in files.items():
        write_file(tmp_path, path, text)
    for name in ("is_on_xen", "capabilities", "is_control_domain"):
        function = getattr(kernel, name)
        monkeypatch.setattr(kernel, name, lambda root=tmp_path, function=function: function(root))
    with pytest.raises(UnmetError) as caught:
        preflight.require_control_domain()
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_the_control_domain_is_distinguished_from_a_guest(tmp_path):
    assert not kernel.is_control_domain(tmp_path)
    write_file(tmp_path, "proc/xen/capabilities", "")
    assert not kernel.is_control_domain(tmp_path)
    write_file(tmp_path, "proc/xen/capabilities", "control_d\n")
    assert kernel.is_control_domain(tmp_path)


@pytest.mark.parametrize(
    ("model", "emulated"),
    [
        ("QEMU TCG CPU version 2.5+", True),
        ("QEMU Virtual CPU version 2.5+", True),
        ("AMD EPYC 7302P 16-Core Processor", False),
    ],
)
def test_an_emulated_cpu_is_recognized_by_its_model_name(tmp_path, model, emulated):
    write_file(tmp_path, "proc/cpuinfo", f"processor\t: 0\nmodel name\t: {model}\nflags\t\t: fpu\n")
    assert kernel.cpu_model(tmp_path) == model
    assert kernel.is_emulated(model) is emulated


def test_a_cpu_without_a_model_name_is_unknown(tmp_path):
    assert kernel.cpu_model(tmp_path) == "unknown"


@pytest.mark.parametrize(
    ("features", "expected"),
    # Debian 13's dom0 under stock Xen, and under the patched one with bus addresses enabled
    [("00008405\n", False), ("00208405\n", True), ("ffdfffff\n", False), (None, False)],
)
def test_bus_addresses_are_read_from_the_feature_bits(tmp_path, features, expected):
    if features:
        file = tmp_path / "sys/hypervisor/properties/features"
        file.parent.mkdir(parents=True)
        file.write_text(features)
    assert kernel.has_bus_address_bit(tmp_path) is expected


@pytest.mark.parametrize(("debug", "expected"), [("y", True), ("n", False)])
def test_a_debug_build_is_recognized_by_its_banner(debug, expected):
    console = "(XEN) [2026-11-22 21:00:00] " + BOOTED.format(debug=debug, mode="Strict")[6:]
    assert host.is_debug(BOOTED.format(debug=debug, mode="Strict")) is expected
    assert host.is_debug(console) is expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("CONFIG_X86=y\nCONFIG_DEBUG=y\nCONFIG_HYPFS=y\n", True),
        ("CONFIG_X86=y\n# CONFIG_DEBUG is not set\nCONFIG_DEBUG_INFO=y\n", False),
        (XenLibraryError("xenhypfs_read", "/buildinfo/config", 2), None),
        (MissingLibraryError("none"), None),
    ],
)
def test_without_a_banner_the_build_configuration_is_read_from_hypfs(monkeypatch, config, expected):
    class HypFs(stand_in.Handle):
        def read(self, path):
            assert path == "/buildinfo/config"
            if isinstance(config, Exception):
                raise config
            return config

    monkeypatch.setattr(host, "HypFs", HypFs)
    assert host.is_debug("(d1) (XEN) Xen version 4.20.3, says a guest, debug=y\n") is expected


@pytest.mark.parametrize("mode", ["Passthrough", "Strict", "Relaxed"])
def test_the_iommu_mode_is_the_one_xen_printed_at_boot(mode):
    console = BOOTED.format(debug="n", mode=mode)
    assert host.iommu_mode(True, "PV", "dom0-iommu=strict", console) == mode.lower()


@pytest.mark.parametrize(
    ("commandline", "mode"),
    [
        ("", "relaxed"),
        ("dom0_mem=1024M dom0-iommu=strict", "strict"),
        ("dom0-iommu=passthrough", "passthrough"),
        ("dom0-iommu=map-inclusive,strict", "strict"),
        ("dom0-iommu=strict=0", "relaxed"),
        ("dom0-iommu=strict=yes", "strict"),
        ("dom0-iommu=strict dom0-iommu=no-strict", "relaxed"),
        ("iommu=verbose,dom0-strict", "strict"),
        ("iommu=no-dom0-strict,dom0-passthrough", "passthrough"),
        ("iommu=strict", "relaxed"),
        ("strict passthrough", "relaxed"),
    ],
)
def test_without_the_boot_message_the_iommu_mode_is_from_the_command_line(commandline, mode):
    assert host.iommu_mode(True, "PV", commandline, "") == mode


def test_the_iommu_mode_without_iommu_and_of_a_translated_dom0_is_fixed():
    assert host.iommu_mode(False, "PV", "dom0-iommu=strict", "") == "none"
    relaxed = BOOTED.format(debug="n", mode="Relaxed")
    assert host.iommu_mode(True, "PVH", "", relaxed) == "strict"
    assert host.iommu_mode(True, None, "", "") == "unknown"


@pytest.mark.parametrize(
    "failure",
    [
        MissingLibraryError("Xen's C libraries cannot be used"),
        XenLibraryError("xc_interface_open", "/dev/xen/privcmd", 2),
    ],
)
def test_gathering_facts_fails_without_xen(monkeypatch, failure):
    def refuse():
        raise failure

    monkeypatch.setattr(host, "Ctrl", refuse)
    with pytest.raises(UnmetError, match=r"Xen|xc_interface_open") as caught:
        host.gather_host()
    assert caught.value.exit_code == Exit.UNMET


@pytest.mark.parametrize(
    ("root", "words", "expected"),
    [
        ({"params": True}, "gnttab=no-fast-maptrack", "stock"),
        ({"params": True, "gnttab": True}, "", "fast"),
        ({"params": True, "gnttab": True}, "gnttab=fast-maptrack", "fast"),
        ({"params": True, "gnttab": True}, "gnttab=no-fast-maptrack", "no-fast"),
        (XenLibraryError("xenhypfs_open", "hypfs", 95), "gnttab=fast-maptrack", "unknown"),
        (MissingLibraryError("none"), "", "unknown"),
    ],
)
def test_the_maptrack_is_detected_by_directories_of_hypfs(monkeypatch, root, words, expected):
    class HypFs(stand_in.Handle):
        def list(self, path):
            assert path == "/"
            if isinstance(root, Exception):
                raise root
            return root

    monkeypatch.setattr(maptrack, "HypFs", HypFs)
    assert maptrack.detect(words) == expected


class Ctrl(stand_in.Handle):
    """A patched Xen without an IOMMU."""

    def version(self):
        return XenVersion(4, 20, ".3", "", "ab12", "gnttab=no-fast-maptrack", "", "", "")

    def physinfo(self):
        return PhysInfo(4, 1, 1, 1, 1, 0, hvm=True, pv=True, directio=False)

    def console(self):
        return BOOTED.format(debug="n", mode="Strict")


class OtherCtrl(Ctrl):
    """A Xen whose sysctl interface has another version than that of libxenctrl."""

    def physinfo(self):
        raise XenLibraryError("xc_physinfo", "the hypervisor", errno.EACCES)

    def console(self):
        raise XenLibraryError("xc_readconsolering", "the console ring", errno.EACCES)


def test_of_a_xen_of_another_version_the_stable_facts_are_gathered(monkeypatch):
    monkeypatch.setattr(host, "Ctrl", OtherCtrl)
    made = document.build(host.gather_host(), dict(made_documents.document(samples=1).plan), ())
    assert "pcpus" not in made.host
    assert (made.host["xen_version"], made.host["iommu"]) == ("4.20.3", "unknown")
    jsonschema.validate(made.to_json(), bench_schema())
    console = Console(file=io.StringIO(), width=200)
    bench_table.show(made, console)
    assert "pCPU" not in console.file.getvalue()


def test_gathered_facts_form_the_host_of_a_document(monkeypatch):
    monkeypatch.setattr(host, "Ctrl", Ctrl)
    monkeypatch.setattr(
        maptrack, "detect", lambda words: {"gnttab=no-fast-maptrack": "no-fast"}[words]
    )
    made = document.build(host.gather_host(), dict(made_documents.document(samples=1).plan), ())
    assert made.host["maptrack"] == "no-fast"
    assert (made.host["xen_version"], made.host["pcpus"]) == ("4.20.3", 4)


@pytest.mark.parametrize(
    ("changed", "fast"),
    [
        ({}, True),
        ({"maptrack": "no-fast"}, False),
        ({"maptrack": "stock"}, False),
        ({"maptrack": "unknown"}, None),
        ({"iommu": "strict"}, False),
        ({"iommu": "strict", "bus_addresses": True}, True),
        ({"iommu": "strict", "dom0": "PVH"}, True),
        ({"iommu": "strict", "maptrack": "stock", "bus_addresses": True}, False),
    ],
)
def test_mappings_at_machine_addresses_in_the_iommu_are_not_fast(changed, fast):
    facts = {"maptrack": "fast", "dom0": "PV", "iommu": "none", "bus_addresses": False}
    assert host.has_fast_mappings(facts | changed) is fast


@pytest.mark.parametrize(
    ("console", "expected"),
    [
        (
            (
                "(XEN) Speculative mitigation facilities:\n"
                "(XEN)   Xen settings: BTI-Thunk: RETPOLINE, SPEC_CTRL: No, Other: BRANCH_HARDEN\n"
                "(XEN)   Support for HVM VMs: RSB\n"
            ),
            "BTI-Thunk: RETPOLINE, SPEC_CTRL: No, Other: BRANCH_HARDEN",
        ),
        (
            "(XEN) [00000012a4f8] [    2.101]   Xen settings: BTI-Thunk: JMP, SPEC_CTRL: IBRS+ \n",
            "BTI-Thunk: JMP, SPEC_CTRL: IBRS+",
        ),
        ("(d1) (XEN) Xen settings: a guest's\n", None),
        ("", None),
    ],
)
def test_mitigations_are_those_that_xen_prints(console, expected):
    assert host.read_mitigations(console) == expected


@pytest.mark.parametrize(
    ("effective", "sees"),
    [("000001ffffffffff", True), ("0000000000200000", True), ("0000000000000002", False)],
)
def test_linux_shows_frames_to_cap_sys_admin(tmp_path, effective, sees):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text(f"Name:\txengt\nCapEff:\t{effective}\n")
    assert kernel.sees_page_frames(tmp_path) is sees
    assert not kernel.sees_page_frames(tmp_path / "proc")
