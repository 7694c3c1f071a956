"""IOMMU page tables: what the drivers make of mappings that come and go."""

import re
import subprocess
from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.source.series import patches

from tests.hypervisor.changes import Change, changed
from tests.hypervisor.userspace import linked, prepared
from tests.patience import patient

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
    "xen/drivers/passthrough/amd/pci_amd_iommu.c": "pci_amd_iommu.c",
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


def tables(sources: Path) -> list[str]:
    """What both drivers call."""
    markers = (sources / "xen/markers.h").read_text()
    iommu = (sources / "xen/iommu.c").read_text()
    names = ("iommu_free_pgtables", "iommu_alloc_pgtable", "iommu_queue_free_pgtable")
    return [markers, *(function(iommu, name) for name in names)]


def transient(sources: Path, hooks: str, setup: str) -> list[str]:
    """What calls both drivers, given what they have it call and what they set up."""
    iommu = (sources / "xen/iommu.c").read_text()
    numbers = re.findall(r"^#define (?:KEPT_TABLES_SHIFT|SYNC_PTES) .*$", iommu, re.MULTILINE)
    names = (
        *("keep_leaf_table", "find_leaf_table", "last_leaf_table"),
        *("iommu_map_transient", "iommu_unmap_transient"),
    )
    return [
        "struct iommu_ops iommu_ops = { .page_sizes = PAGE_SIZE_4K | PAGE_SIZE_2M,",
        f"{hooks} }};",
        f"static void set_up(void)\n{{\n{setup}}}",
        *numbers,
        *(function(iommu, name) for name in names),
    ]


def vtd(sources: Path) -> str:
    header = (sources / "xen/vtd-iommu.h").read_text()
    driver = (sources / "xen/vtd-iommu.c").read_text()
    names = (
        *("addr_to_dma_page_maddr", "queue_free_pt", "intel_iommu_map_page"),
        *("intel_iommu_get_leaf_table", "intel_iommu_free_pgtable", "intel_iommu_unmap_page"),
    )
    hooks = part(driver, "    .leaf_pte = ", "    .lookup_page")
    setup = part(driver, "    if ( iommu_snoop )\n        iommu_ops", "\n    register_keyhandler")
    return "\n".join(
        [
            part(header, "/* page table handling */", "/* interrupt remap entry */"),
            "#define CONTIG_MASK DMA_PTE_CONTIG_MASK",
            *tables(sources),
            *(function(driver, name) for name in names),
            *transient(sources, hooks, setup),
        ]
    )


def amd(sources: Path) -> str:
    header = (sources / "xen/amd-iommu-defs.h").read_text()
    driver = (sources / "xen/amd-iommu_map.c").read_text()
    names = (
        *("pfn_to_pde_idx", "clear_iommu_pte_present", "set_iommu_pde_present"),
        *("set_iommu_pte_present", "set_iommu_ptes_present", "iommu_pde_from_dfn"),
        *("amd_iommu_get_leaf_table", "amd_iommu_free_pgtable", "queue_free_pt"),
        *("amd_iommu_map_page", "amd_iommu_unmap_page"),
    )
    ops = (sources / "xen/pci_amd_iommu.c").read_text()
    hooks = part(ops, "    .get_leaf_table = ", "    .iotlb_flush")
    setup = part(ops, "    iommu_ops.leaf_pte = ", "\n    if ( !amd_iommu_perdev_intremap")
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
            *tables(sources),
            root,
            *(function(driver, name) for name in names),
            *transient(sources, hooks, setup),
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
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=patient(600))


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
    (
        *("all tables are kept", "vtd", "iommu.c"),
        *("!old || old->u.leaf_table.used )", "old )"),
    ),
    ("what is kept is not known", "vtd", "iommu.c", "        *place = pg;", ""),
    (
        *("a table in use is freed", "vtd", "iommu.c"),
        *("!old || old->u.leaf_table.used )", "!old )"),
    ),
    ("a table is freed at once", "vtd", "iommu.c", "likely(old == pg) || ", ""),
    (
        *("a table without a place is not freed", "vtd", "iommu.c"),
        *("    if ( likely(hd->arch.kept_tables) )", "    if ( !hd->arch.kept_tables ) return;"),
    ),
    (
        *("a mapping counts twice", "vtd", "iommu.c"),
        *("if ( unlikely(old & iommu_ops.leaf_pte) )", "if ( 0 )"),
    ),
    (
        *("what is not mapped counts", "vtd", "iommu.c"),
        *(
            "if ( (old & iommu_ops.leaf_pte) && !--pg->u.leaf_table.used )",
            "if ( !--pg->u.leaf_table.used )",
        ),
    ),
    (
        *("what is mapped is not written back", "vtd", "iommu.c"),
        *("            iommu_sync_cache(entry, sizeof(*entry));", ""),
    ),
    (
        *("neighbours only are written back", "vtd", "iommu.c"),
        *("dfn_x(dfns[i]) / SYNC_PTES != dfn_x(dfns[i + 1]) / SYNC_PTES", "0"),
    ),
    (
        *("what is unmapped is not written back", "vtd", "iommu.c"),
        *("SYNC_PTES * sizeof(*table)", "0"),
    ),
    (
        *("a table that is gone is used", "vtd", "iommu.c"),
        *("    if ( hd->arch.last_table == pg )", "    if ( 0 )"),
    ),
    (
        *("another's table is used", "amd", "iommu.c"),
        *("likely(pg->u.leaf_table.nr == dfn_x(dfn) >> CONTIG_LEVEL_SHIFT)", "true"),
    ),
    (
        *("what is unmapped is in the table before", "vtd", "iommu.c"),
        *("        if ( pg != mapped )", "        if ( pg && !mapped )"),
    ),
    (
        *("the tables above are not freed", "amd", "amd-iommu_map.c"),
        *(
            "        clear_iommu_pte_present(pt_mfn, dfn_x(dfn), level, &free);\n        *flush",
            "free = false; *flush",
        ),
    ),
    (
        *("IOMMUs are not told of what was not there", "vtd", "iommu.c"),
        *("                if ( iommu_ops.flush_non_present )", "                if ( 0 )"),
    ),
    (
        *("IOMMUs are not told of what is there no more", "amd", "iommu.c"),
        *("flush_flags = IOMMU_FLUSHF_added | IOMMU_FLUSHF_modified;", "{}"),
    ),
    (
        *("IOMMUs keep what a table had", "vtd", "vtd-iommu.c"),
        *("        *flush_flags |= IOMMU_FLUSHF_all;\n        iommu_queue", "        iommu_queue"),
    ),
    (
        *("IOMMUs keep what a table had", "amd", "amd-iommu_map.c"),
        *("        *flush_flags |= IOMMU_FLUSHF_all;\n        iommu_queue", "        iommu_queue"),
    ),
    (
        *("a dead domain's table is used", "vtd", "iommu.c"),
        *("    hd->arch.last_table = NULL;\n    XFREE", "    XFREE"),
    ),
    (
        *("a dying domain gets tables", "amd", "iommu.c"),
        *("    if ( likely(!d->is_dying) )", "    if ( true )"),
    ),
    (
        *("no mapping is writable", "amd", "pci_amd_iommu.c"),
        *("{ .iw = true }", "{ }"),
    ),
    (
        *("each mapping is writable", "vtd", "vtd-iommu.c"),
        *("    .leaf_pte = DMA_PTE_READ,", "    .leaf_pte = DMA_PTE_PROT,"),
    ),
]


@pytest.mark.parametrize(("why", "driver", "file", "old", "new"), FAULTS)
def test_faults_are_seen(why, driver, file, old, new, driver_sources, tmp_path):
    sources = changed(driver_sources, tmp_path / "sources", [Change(old, new, file)])
    program = built(driver, sources, tmp_path, (*FLAGS, "-w"))
    assert any(play(program, seed, BATCHES).returncode for seed in range(SEEDS)), why
