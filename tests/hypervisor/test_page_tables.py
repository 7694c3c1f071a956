"""IOMMU page tables of VT-d and AMD-Vi with transient mappings (patches 21 and 22).

Xen's page table functions are extracted from their files and compiled with pagetables/.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.source.series import patches

from tests.hypervisor.changes import Change, apply_changes
from tests.hypervisor.userspace import link, prepare
from tests.patience import patient

HERE = Path(__file__).parent / "pagetables"
SEEDS, BATCHES, LONG_BATCHES = 2, 20_000, 400_000
#: tables without mappings that a domain keeps, as Xen defines it, and operations to count
KEPT_TABLES, OPERATIONS = 256, 2000
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
    """Return the definition of a function in a C file, made static."""
    head = rf"^(?:[a-z_][^\n;()]*[\s*])?{name}\([^;{{]*?\)\n{{\n"
    (found,) = re.finditer(head, text, re.MULTILINE)
    begin, end = found.start(), text.index("\n}\n", found.end()) + 3
    return "static " + text[begin:end].removeprefix("static ")


def part(text: str, begin: str, end: str) -> str:
    """Return the text from `begin`, inclusive, to `end`, exclusive."""
    begins = text.index(begin)
    return text[begins : text.index(end, begins)]


def tables(sources: Path) -> list[str]:
    """Return the definitions that both drivers call."""
    markers = (sources / "xen/markers.h").read_text()
    iommu = (sources / "xen/iommu.c").read_text()
    names = ("iommu_free_pgtables", "iommu_alloc_pgtable", "iommu_queue_free_pgtable")
    return [markers, *(function(iommu, name) for name in names)]


def transient(sources: Path, hooks: str, setup: str) -> list[str]:
    """Return the code for transient mappings, which calls a driver.

    Args:
        sources: directory from `userspace.prepare`.
        hooks: the driver's initialisers of iommu_ops.
        setup: the driver's statements that initialise iommu_ops at boot.
    """
    iommu = (sources / "xen/iommu.c").read_text()
    numbers = re.findall(r"^#define (?:KEPT_TABLES|SYNC_PTES) .*$", iommu, re.MULTILINE)
    names = (
        *("free_leaf_table", "free_kept_tables", "keep_leaf_table"),
        *("find_leaf_table", "last_leaf_table"),
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
    """Return the C code of the VT-d driver."""
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
    """Return the C code of the AMD-Vi driver."""
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
    return prepare(Cache(places.cache_root()), patches(), FILES)


def build(driver: str, sources: Path, into: Path, flags=FLAGS, main: str = "main") -> Path:
    (into / f"{driver}.h").write_text(DRIVERS[driver](sources))
    parts = [f"pagetables/{main}.c", "pagetables/frames.c", f"pagetables/{driver}.c"]
    return link(into / driver, parts, sources, (*flags, f"-I{into}", f"-I{HERE}"), shared=False)


def run(program: Path, seed: int, batches: int) -> subprocess.CompletedProcess[str]:
    words = ["prlimit", "--core=0", program, str(seed), str(batches)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=patient(600))


@pytest.mark.parametrize("driver", DRIVERS)
def test_random_mappings_keep_the_page_tables_consistent(driver, driver_sources, tmp_path, request):
    long = request.config.getoption("--long", default=False)
    program = build(driver, driver_sources, tmp_path)
    for seed in range(SEEDS):
        done = run(program, seed, LONG_BATCHES if long else BATCHES)
        assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
        print(driver, seed, done.stdout)


#: planted faults: description, driver, file, and text to replace
FAULTS = [
    (
        *("empty tables are never freed", "vtd", "iommu.c"),
        *("        if ( !pg->u.leaf_table.used )", "        if ( 0 )"),
    ),
    (
        *("kept tables are not recorded", "vtd", "iommu.c"),
        *("hd->arch.kept_tables[hd->arch.nr_kept_tables++] = pg;", ""),
    ),
    (
        *("a table that was kept is never kept again", "vtd", "iommu.c"),
        *("        pg->u.leaf_table.kept = false;", ""),
    ),
    (
        *("a table is kept twice", "vtd", "iommu.c"),
        *("    pg->u.leaf_table.kept = true;", ""),
    ),
    (
        *("a table in use is freed", "vtd", "iommu.c"),
        *("        if ( !pg->u.leaf_table.used )", "        if ( 1 )"),
    ),
    (
        *("an empty table is not freed without an array of kept tables", "vtd", "iommu.c"),
        *("            free_leaf_table(d, pg, flush_flags);\n            return;", "return;"),
    ),
    *(
        (
            *("freed tables are flushed after another CPU may use their places", driver, "iommu.c"),
            *("flush_flags & IOMMU_FLUSHF_all", "0"),
        )
        for driver in ("vtd", "amd")
    ),
    (
        *("replacing a mapping increments the count", "vtd", "iommu.c"),
        *("if ( unlikely(old & iommu_ops.leaf_pte) )", "if ( 0 )"),
    ),
    (
        *("unmapping a non-present entry decrements the count", "vtd", "iommu.c"),
        *(
            "if ( (old & iommu_ops.leaf_pte) && !--pg->u.leaf_table.used )",
            "if ( !--pg->u.leaf_table.used )",
        ),
    ),
    (
        *("new entries are not written back", "vtd", "iommu.c"),
        *("            iommu_sync_cache(entry, sizeof(*entry));", ""),
    ),
    (
        *("entries of other cache lines are not written back", "vtd", "iommu.c"),
        *("dfn_x(dfns[i]) / SYNC_PTES != dfn_x(dfns[i + 1]) / SYNC_PTES", "0"),
    ),
    (
        *("cleared entries are not written back", "vtd", "iommu.c"),
        *("SYNC_PTES * sizeof(*table)", "0"),
    ),
    (
        *("a freed table stays the last table", "vtd", "iommu.c"),
        *("    if ( hd->arch.last_table == pg )", "    if ( 0 )"),
    ),
    (
        *("the last table is used for any address", "amd", "iommu.c"),
        *("likely(pg->u.leaf_table.nr == dfn_x(dfn) >> CONTIG_LEVEL_SHIFT)", "true"),
    ),
    (
        *("all entries of a batch are cleared in the first table", "vtd", "iommu.c"),
        *("        if ( pg != mapped )", "        if ( pg && !mapped )"),
    ),
    (
        *("upper-level tables are not freed", "amd", "amd-iommu_map.c"),
        *(
            "        clear_iommu_pte_present(pt_mfn, dfn_x(dfn), level, &free);\n        *flush",
            "free = false; *flush",
        ),
    ),
    (
        *("new mappings are not flushed where required", "vtd", "iommu.c"),
        *("                if ( iommu_ops.flush_non_present )", "                if ( 0 )"),
    ),
    (
        *("replaced mappings are not flushed", "amd", "iommu.c"),
        *("flush_flags = IOMMU_FLUSHF_added | IOMMU_FLUSHF_modified;", "{}"),
    ),
    (
        *("freeing a table does not request a full flush", "vtd", "vtd-iommu.c"),
        *("        *flush_flags |= IOMMU_FLUSHF_all;\n        iommu_queue", "        iommu_queue"),
    ),
    (
        *("freeing a table does not request a full flush", "amd", "amd-iommu_map.c"),
        *("        *flush_flags |= IOMMU_FLUSHF_all;\n        iommu_queue", "        iommu_queue"),
    ),
    (
        *("a destroyed domain keeps its last table", "vtd", "iommu.c"),
        *("    hd->arch.last_table = NULL;\n    hd", "    hd"),
    ),
    (
        *("a dying domain gets new tables", "amd", "iommu.c"),
        *("    if ( likely(!d->is_dying) )", "    if ( true )"),
    ),
    (
        *("no mapping is writable", "amd", "pci_amd_iommu.c"),
        *("{ .iw = true }", "{ }"),
    ),
    (
        *("every mapping is writable", "vtd", "vtd-iommu.c"),
        *("    .leaf_pte = DMA_PTE_READ,", "    .leaf_pte = DMA_PTE_PROT,"),
    ),
]


def count_flushes(program: Path, mode: str, tables: int) -> dict[str, int]:
    """Return what pagetables/flushes.c counts for OPERATIONS operations."""
    words = ["prlimit", "--core=0", program, mode, str(tables), str(OPERATIONS)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="session", params=DRIVERS)
def flushes(request, driver_sources, tmp_path_factory) -> Path:
    into = tmp_path_factory.mktemp("flushes")
    return build(request.param, driver_sources, into, main="flushes")


@pytest.mark.parametrize(
    ("mode", "tables", "full_flushes"),
    [
        # Chosen so that a hash of their addresses is the same; a working set; and its maximum.
        *(("hash", 2, 0), ("near", 100, 0), ("near", KEPT_TABLES, 0)),
        # Whatever is chosen, one of KEPT_TABLES unmappings that empty a table causes one.
        *(("near", 1000, (OPERATIONS - 1) // KEPT_TABLES), ("hash", 300, 7), ("far", 1000, 7)),
    ],
)
def test_full_flushes_are_rare(mode, tables, full_flushes, flushes):
    assert count_flushes(flushes, mode, tables)["full_flushes"] == full_flushes


def test_the_memory_of_kept_tables_is_limited(flushes):
    """A table of each level above, of which a third-level one covers 2^27 frames."""
    kept = count_flushes(flushes, "far", KEPT_TABLES)["tables"]
    assert kept == 2 * KEPT_TABLES + 48 + 1
    assert 2.1 < kept * 4096 / 2**20 < 2.2
    # One more, which is allocated before the others are freed.
    assert count_flushes(flushes, "far", 1000)["tables"] <= kept + 2


def test_messages_about_failed_allocations_are_limited(flushes):
    counted = count_flushes(flushes, "near", 1)
    assert counted["failed"] == OPERATIONS
    assert counted["messages"] <= 10


@pytest.mark.parametrize(("fault", "driver", "file", "old", "new"), FAULTS)
def test_a_planted_fault_is_detected(fault, driver, file, old, new, driver_sources, tmp_path):
    sources = apply_changes(driver_sources, tmp_path / "sources", [Change(old, new, file)])
    program = build(driver, sources, tmp_path, (*FLAGS, "-w"))
    assert any(run(program, seed, BATCHES).returncode for seed in range(SEEDS)), fault
