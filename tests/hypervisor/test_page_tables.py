"""IOMMU page tables: what the drivers make of mappings that come and go."""

import re
import subprocess
from pathlib import Path

import pytest
from changes import Change, changed
from lablib import places
from lablib.cache import Cache
from lablib.series import patches
from userspace import linked, prepared

HERE = Path(__file__).parent / "pagetables"
SEEDS, BATCHES, LONG_BATCHES = 2, 20_000, 400_000
FLAGS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-sign-compare")
FILES = {
    "xen/arch/x86/include/asm/pt-contig-markers.h": "markers.h",
    "xen/drivers/passthrough/x86/iommu.c": "iommu.c",
    "xen/drivers/passthrough/vtd/iommu.h": "vtd-iommu.h",
    "xen/drivers/passthrough/vtd/iommu.c": "vtd-iommu.c",
    "xen/drivers/passthrough/amd/iommu-defs.h": "amd-iommu-defs.h",
    "xen/drivers/passthrough/amd/iommu_map.c": "amd-iommu_map.c",
}


def function(text: str, name: str) -> str:
    """A function of a file, from what its definition begins with."""
    head = rf"^(?:[a-z_][^\n;()]*[\s*])?{name}\([^;{{]*?\)\n{{\n"
    (found,) = re.finditer(head, text, re.MULTILINE)
    begin, end = found.start(), text.index("\n}\n", found.end()) + 3
    return "static " + text[begin:end].removeprefix("static ")


def part(text: str, begin: str, end: str) -> str:
    """What is between two lines, the first included."""
    begins = text.index(begin)
    return text[begins : text.index(end, begins)]


def common(sources: Path) -> list[str]:
    markers = (sources / "xen/markers.h").read_text()
    iommu = (sources / "xen/iommu.c").read_text()
    shift = re.search(r"^#define KEPT_PGTABLES_SHIFT .*$", iommu, re.MULTILINE)
    names = (
        *("iommu_alloc_pgtable", "iommu_queue_free_pgtable", "iommu_keep_pgtable"),
        *("iommu_last_pgtable", "iommu_set_last_pgtable"),
    )
    return [markers, shift[0], *(function(iommu, name) for name in names)]


def vtd(sources: Path) -> str:
    header = (sources / "xen/vtd-iommu.h").read_text()
    driver = (sources / "xen/vtd-iommu.c").read_text()
    names = (
        *("addr_to_dma_page_maddr", "transient_page_maddr", "queue_free_pt"),
        "intel_iommu_map_page",
    )
    return "\n".join(
        [
            part(header, "/* page table handling */", "/* interrupt remap entry */"),
            "#define CONTIG_MASK DMA_PTE_CONTIG_MASK",
            *common(sources),
            *(function(driver, name) for name in (*names, "intel_iommu_unmap_page")),
        ]
    )


def amd(sources: Path) -> str:
    header = (sources / "xen/amd-iommu-defs.h").read_text()
    driver = (sources / "xen/amd-iommu_map.c").read_text()
    names = (
        *("pfn_to_pde_idx", "clear_iommu_pte_present", "set_iommu_pde_present"),
        *("set_iommu_pte_present", "set_iommu_ptes_present", "iommu_pde_from_dfn"),
        *("transient_pde_from_dfn", "queue_free_pt", "amd_iommu_map_page", "amd_iommu_unmap_page"),
    )
    root = """
static int amd_iommu_alloc_root(struct domain *d)
{
    struct domain_iommu *hd = dom_iommu(d);

    if ( !hd->arch.amd.root_table )
        hd->arch.amd.root_table = iommu_alloc_pgtable(hd, 0);
    return hd->arch.amd.root_table ? 0 : -ENOMEM;
}
"""
    return "\n".join(
        [
            part(header, "#define PTE_PER_TABLE_SHIFT", "#define PTE_PER_TABLE_ALLOC"),
            part(header, "#define IOMMU_PTE_CONTIG_MASK", "/* Paging modes */"),
            "#define CONTIG_MASK IOMMU_PTE_CONTIG_MASK",
            *common(sources),
            root,
            *(function(driver, name) for name in names),
        ]
    )


DRIVERS = {"vtd": vtd, "amd": amd}


@pytest.fixture(scope="session")
def driver_sources() -> Path:
    return prepared(Cache(places.cache_root()), patches(), FILES)


def built(driver: str, sources: Path, into: Path, flags=FLAGS) -> Path:
    (into / f"{driver}.h").write_text(DRIVERS[driver](sources))
    parts = ["pagetables/main.c", f"pagetables/{driver}.c"]
    return linked(into / driver, parts, sources, (*flags, f"-I{into}", f"-I{HERE}"), shared=False)


def play(program: Path, seed: int, batches: int) -> subprocess.CompletedProcess[str]:
    words = ["prlimit", "--core=0", program, str(seed), str(batches)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("driver", DRIVERS)
def test_random_mappings(driver, driver_sources, tmp_path, request):
    long = request.config.getoption("--long", default=False)
    program = built(driver, driver_sources, tmp_path)
    for seed in range(SEEDS):
        done = play(program, seed, LONG_BATCHES if long else BATCHES)
        assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
        print(driver, seed, done.stdout)


#: what is broken, in which driver, and how
FAULTS = [
    ("all tables are kept", "vtd", "iommu.c", "    return old ? _dfn(", "    return 0 ? _dfn("),
    ("what is kept is not known", "vtd", "iommu.c", "    *place = table;", ""),
    (
        *("a table in use is freed", "vtd", "vtd-iommu.c"),
        *("            empty = pt_is_empty(&page->val);", "            empty = true;"),
    ),
    (
        *("superpages of transient mappings", "vtd", "vtd-iommu.c"),
        *("                                     !(flags & IOMMUF_transient) &&", "    true &&"),
    ),
    (
        "a table that is gone is used",
        "vtd",
        "iommu.c",
        "if ( hd->arch.last_pgtable == pg )",
        "if ( 0 )",
    ),
    (
        *("another's table is used", "amd", "iommu.c"),
        *(
            "    return (hd->arch.last_pgtable_dfn ^ dfn_x(dfn)) >> CONTIG_LEVEL_SHIFT",
            "    return 0",
        ),
    ),
    (
        *("a table in use is freed", "amd", "amd-iommu_map.c"),
        *("                free = pt_is_empty(&table->raw);", "                free = true;"),
    ),
    (
        *("superpages of transient mappings", "amd", "amd-iommu_map.c"),
        *("                                flags & IOMMUF_transient ? PTE_kind_table", "0 ? 0"),
    ),
    (
        *("the table that is kept is freed", "amd", "amd-iommu_map.c"),
        *("            free = false;\n\n            /* Keep", "            /* Keep"),
    ),
]


@pytest.mark.parametrize(("why", "driver", "file", "old", "new"), FAULTS)
def test_faults_are_seen(why, driver, file, old, new, driver_sources, tmp_path):
    sources = changed(driver_sources, tmp_path / "sources", [Change(old, new, file)])
    program = built(driver, sources, tmp_path, (*FLAGS, "-w"))
    assert any(play(program, seed, BATCHES).returncode for seed in range(SEEDS)), why
