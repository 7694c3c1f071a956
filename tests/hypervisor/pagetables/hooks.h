/* Functions that both drivers share, also extracted from Xen. */
int map_transient(struct domain *d, dfn_t dfn, mfn_t mfn, bool writable)
{
    return iommu_map_transient(d, dfn, mfn, writable);
}

unsigned int unmap_transient(struct domain *d, const dfn_t *dfns, unsigned int nr)
{
    return iommu_unmap_transient(d, dfns, nr);
}

int free_tables(struct domain *d)
{
    return iommu_free_pgtables(d);
}
