/* AMD-Vi page tables; test_page_tables.py extracts amd.h from Xen. */
#include "machine.h"

static int amd_iommu_alloc_root(struct domain *d);

#include "amd.h"
#include "hooks.h"

int map_page(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned int flags, unsigned int *flush_flags)
{
    return amd_iommu_map_page(d, dfn, mfn, flags, flush_flags);
}

int unmap_page(struct domain *d, dfn_t dfn, unsigned int order, unsigned int *flush_flags)
{
    return amd_iommu_unmap_page(d, dfn, order, flush_flags);
}

static void clear_root(struct domain *d)
{
    d->iommu.arch.amd.root_table = NULL;
}

const bool coherent = true;

void begin_tables(struct domain *d)
{
    set_up();
    iommu_ops.clear_root_pgtable = clear_root;
    d->iommu.arch.amd.paging_mode = LEVELS;
}

bool entry_used(uint64_t entry)
{
    return ((union amd_iommu_pte){ entry }).pr;
}

struct page_info *entry_table(uint64_t entry, unsigned int level)
{
    union amd_iommu_pte pte = { entry };

    BUG_ON(pte.next_level && pte.next_level != level - 1);
    return pte.next_level ? mfn_to_page(_mfn(pte.mfn)) : NULL;
}

mfn_t entry_frame(uint64_t entry, unsigned int *flags)
{
    union amd_iommu_pte pte = { entry };

    *flags = (pte.ir ? IOMMUF_readable : 0) | (pte.iw ? IOMMUF_writable : 0);
    return _mfn(pte.mfn);
}

struct page_info *root_table(const struct domain *d)
{
    return d->iommu.arch.amd.root_table;
}
