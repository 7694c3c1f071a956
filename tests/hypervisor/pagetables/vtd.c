/* VT-d page tables; test_page_tables.py extracts vtd.h from Xen. */
#include "machine.h"

#include "vtd.h"
#include "hooks.h"

int map_page(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned int flags, unsigned int *flush_flags)
{
    return intel_iommu_map_page(d, dfn, mfn, flags, flush_flags);
}

int unmap_page(struct domain *d, dfn_t dfn, unsigned int order, unsigned int *flush_flags)
{
    return intel_iommu_unmap_page(d, dfn, order, flush_flags);
}

static void clear_root(struct domain *d)
{
    d->iommu.arch.vtd.pgd_maddr = 0;
}

const bool coherent = false;

void begin_tables(struct domain *d)
{
    set_up();
    iommu_ops.clear_root_pgtable = clear_root;
    d->iommu.arch.vtd.agaw = width_to_agaw(48);
}

bool entry_used(uint64_t entry)
{
    return dma_pte_present((struct dma_pte){ entry });
}

struct page_info *entry_table(uint64_t entry, unsigned int level)
{
    struct dma_pte pte = { entry };

    return level > 1 && !dma_pte_superpage(pte) ? maddr_to_page(dma_pte_addr(pte)) : NULL;
}

mfn_t entry_frame(uint64_t entry, unsigned int *flags)
{
    struct dma_pte pte = { entry };

    *flags = (dma_pte_read(pte) ? IOMMUF_readable : 0) | (dma_pte_write(pte) ? IOMMUF_writable : 0);
    return maddr_to_mfn(dma_pte_addr(pte));
}

struct page_info *root_table(const struct domain *d)
{
    return d->iommu.arch.vtd.pgd_maddr ? maddr_to_page(d->iommu.arch.vtd.pgd_maddr) : NULL;
}
