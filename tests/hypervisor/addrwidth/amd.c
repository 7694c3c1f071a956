/* width LEVELS TYPE,HAS_IOMMU,VALID...: the first device is the IOMMU itself */
#include "devices.h"

struct pci_dev devices[16];
unsigned int nr_devices;

struct amd_iommu {
    uint16_t seg, bdf;
};

struct ivrs_mappings {
    uint16_t dte_requestor_id;
    bool valid;
};

static struct amd_iommu the_iommu;
static struct ivrs_mappings mappings[16];
static int amd_iommu_max_paging_mode;

#define for_each_amd_iommu(iommu) for ( iommu = &the_iommu; iommu; iommu = NULL )
#define find_iommu_for_device(seg, bdf) (devices[bdf].has_iommu)
#define get_ivrs_mappings(seg) mappings

#include "amd.h"

int main(int argc, char **argv)
{
    amd_iommu_max_paging_mode = atoi(argv[1]);
    for ( int i = 2; i < argc; i++ )
    {
        add_device(argv[i]);
        mappings[i - 2] = (struct ivrs_mappings){ i - 2, devices[i - 2].valid };
    }
    printf("%u\n", translated_width());
    return 0;
}
