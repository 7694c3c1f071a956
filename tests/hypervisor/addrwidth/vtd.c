/* width IGFX IGD MGAW,LEVELS,GFX_ONLY,AZALIA... -- TYPE,HAS_IOMMU,VALID... */
#include <string.h>

#include "devices.h"

struct pci_dev devices[16];
unsigned int nr_devices;

struct vtd_iommu {
    uint64_t cap;
    unsigned int nr_pt_levels;
};

struct acpi_drhd_unit {
    struct vtd_iommu *iommu;
    bool gfx_only, azalia;
};

static struct vtd_iommu iommus[8];
static struct acpi_drhd_unit units[8];
static unsigned int nr_units;
static bool iommu_igfx;
static int igd_enabled;

#define DEFAULT_DOMAIN_ADDRESS_WIDTH 48
#define for_each_drhd_unit(drhd) for ( drhd = units; drhd < units + nr_units; drhd++ )
#define is_igd_vt_enabled_quirk() igd_enabled
#define is_azalia_tlb_enabled(drhd) ((drhd)->azalia)
#define acpi_find_matched_drhd_unit(pdev) ((pdev)->has_iommu)

#include "vtd.h"

static void add_unit(const char *text)
{
    unsigned int mgaw, levels, gfx_only, azalia;

    if ( sscanf(text, "%u,%u,%u,%u", &mgaw, &levels, &gfx_only, &azalia) != 4 )
        exit(2);
    iommus[nr_units] = (struct vtd_iommu){ (uint64_t)(mgaw - 1) << 16, levels };
    units[nr_units] = (struct acpi_drhd_unit){ &iommus[nr_units], gfx_only, azalia };
    nr_units++;
}

int main(int argc, char **argv)
{
    int i = 3;

    iommu_igfx = atoi(argv[1]);
    igd_enabled = atoi(argv[2]);
    for ( ; i < argc && strcmp(argv[i], "--"); i++ )
        add_unit(argv[i]);
    for ( i++; i < argc; i++ )
        add_device(argv[i]);
    printf("%u\n", translated_width());
    return 0;
}
