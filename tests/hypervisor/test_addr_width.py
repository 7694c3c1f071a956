"""Width of the addresses that IOMMUs translate for all devices (patch 19).

Without a width, Xen gives mappings no bus addresses. Xen's functions are extracted from the drivers
and compiled with addrwidth/.
"""

import re
import subprocess
from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.source.series import patches

from tests.hypervisor.changes import Change, apply_changes
from tests.hypervisor.test_page_tables import FILES, function, part
from tests.hypervisor.userspace import link, prepare

HERE = Path(__file__).parent / "addrwidth"
FLAGS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-sign-compare")
# types of PCI devices (addrwidth/devices.h)
ENDPOINT, BRIDGE, HOST_BRIDGE, CONVENTIONAL = 1, 2, 6, 7


def vtd(sources: Path) -> str:
    """Return the C code of the VT-d driver."""
    header = (sources / "xen/vtd-iommu.h").read_text()
    driver = (sources / "xen/vtd-iommu.c").read_text()
    names = ("translation_wanted", "check_translated", "translated_width")
    macros = r"^#define (?:LEVEL_STRIDE|agaw_to_width|level_to_agaw|cap_mgaw)\b.*$"
    return "\n".join(
        [
            *re.findall(macros, header, re.MULTILINE),
            *(function(driver, name) for name in names),
        ]
    )


def amd(sources: Path) -> str:
    """Return the C code of the AMD-Vi driver."""
    header = (sources / "xen/amd-iommu-defs.h").read_text()
    driver = (sources / "xen/pci_amd_iommu.c").read_text()
    return "\n".join(
        [
            part(header, "#define PTE_PER_TABLE_SHIFT", "\n"),
            *(function(driver, name) for name in ("check_translated", "translated_width")),
        ]
    )


DRIVERS = {"vtd": vtd, "amd": amd}


@pytest.fixture(scope="session")
def driver_sources() -> Path:
    return prepare(Cache(places.cache_root()), patches(), FILES)


def build(driver: str, sources: Path, into: Path) -> Path:
    (into / f"{driver}.h").write_text(DRIVERS[driver](sources))
    flags = (*FLAGS, f"-I{into}", f"-I{HERE}")
    return link(into / driver, [f"addrwidth/{driver}.c"], sources, flags, shared=False)


@pytest.fixture(scope="session")
def programs(driver_sources, tmp_path_factory) -> dict[str, Path]:
    into = tmp_path_factory.mktemp("addrwidth")
    return {driver: build(driver, driver_sources, into) for driver in DRIVERS}


def width(program: Path, *words: object) -> int:
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def vtd_width(program: Path, units, devices=(), *, igfx: bool = True, igd: bool = True) -> int:
    """Return the width on a host with VT-d.

    Args:
        program: from `build`.
        units: (MGAW, levels of page tables, for graphics only, no quirk for the sound device) of
            each IOMMU.
        devices: (type, whether it is behind an IOMMU).
        igfx: `iommu=igfx`, the default.
        igd: whether firmware enabled translation for graphics.
    """
    unit_words = [",".join(str(int(n)) for n in unit) for unit in units]
    device_words = [f"{kind},{int(has_iommu)},1" for kind, has_iommu in devices]
    return width(program, int(igfx), int(igd), *unit_words, "--", *device_words)


ALL, GRAPHICS = (48, 4, False, True), (39, 3, True, True)


def test_the_width_is_that_of_the_narrowest_unit(programs):
    program = programs["vtd"]
    assert vtd_width(program, [ALL]) == 48
    assert vtd_width(program, [(57, 4, False, True)]) == 48
    assert vtd_width(program, [(48, 3, False, True)]) == 39
    assert vtd_width(program, [ALL, GRAPHICS, ALL]) == 39
    assert width(programs["amd"], 3) == 39
    assert width(programs["amd"], 6) == 64


@pytest.mark.parametrize(
    ("units", "options"),
    [
        ([GRAPHICS, ALL], {"igfx": False}),  # iommu=no-igfx
        ([GRAPHICS, ALL], {"igd": False}),  # Xen disables the unit: quirk of the graphics device
        ([ALL, (48, 4, False, False)], {}),  # Xen disables the unit: quirk of the sound device
    ],
)
def test_there_is_no_width_if_a_unit_stays_disabled(units, options, programs):
    assert vtd_width(programs["vtd"], units, **options) == 0


def test_only_a_graphics_unit_is_disabled_with_graphics(programs):
    assert vtd_width(programs["vtd"], [ALL], igfx=False, igd=False) == 48


def test_there_is_no_width_if_a_device_has_no_iommu(programs):
    program = programs["vtd"]
    assert vtd_width(program, [ALL], [(ENDPOINT, True), (CONVENTIONAL, True)]) == 48
    for kind in (ENDPOINT, CONVENTIONAL):
        assert vtd_width(program, [ALL], [(ENDPOINT, True), (kind, False), (ENDPOINT, True)]) == 0
    assert vtd_width(program, [ALL], [(BRIDGE, False), (HOST_BRIDGE, False)]) == 48


def test_amd_devices_need_a_valid_entry(programs):
    program, iommu = programs["amd"], f"{ENDPOINT},0,0"
    assert width(program, 4, iommu, f"{HOST_BRIDGE},0,0", f"{ENDPOINT},1,1") == 48
    assert width(program, 4, iommu, f"{ENDPOINT},0,1") == 0
    assert width(program, 4, iommu, f"{ENDPOINT},1,0") == 0


@pytest.mark.parametrize(
    ("driver", "file", "old", "new"),
    [
        ("vtd", "vtd-iommu.c", "!iommu_igfx || !is_igd", "!is_igd"),
        ("vtd", "vtd-iommu.c", "!iommu_igfx || !is_igd_vt_enabled_quirk()", "!iommu_igfx"),
        ("vtd", "vtd-iommu.c", "    return is_azalia_tlb_enabled(drhd);", "    return true;"),
        ("vtd", "vtd-iommu.c", "acpi_find_matched_drhd_unit(pdev) ? 0 : -ENODEV", "0"),
        (
            "amd",
            "pci_amd_iommu.c",
            "return -ENODEV;\n\n    ivrs",
            "return 0;\n\n    ivrs",
        ),
    ],
)
def test_a_planted_fault_changes_the_width(driver, file, old, new, driver_sources, tmp_path):
    sources = apply_changes(driver_sources, tmp_path / "sources", [Change(old, new, file)])
    program = build(driver, sources, tmp_path)
    if driver == "amd":
        assert width(program, 4, f"{ENDPOINT},0,0", f"{ENDPOINT},0,1")
    else:
        assert any(
            vtd_width(program, units, [(ENDPOINT, has_iommu)], **options)
            for units, has_iommu, options in [
                ([GRAPHICS, ALL], True, {"igfx": False}),
                ([GRAPHICS, ALL], True, {"igd": False}),
                ([ALL, (48, 4, False, False)], True, {}),
                ([ALL], False, {}),
            ]
        )
