/* PCI devices and IOMMUs of a host, for the drivers' translated_width(). */
#ifndef DEVICES_H
#define DEVICES_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define __init
#define cf_check
#define PAGE_SHIFT 12
#define min(a, b) ((a) < (b) ? (a) : (b))
#define min_t(type, a, b) min((type)(a), (type)(b))

enum {
    DEV_TYPE_PCI_UNKNOWN,
    DEV_TYPE_PCIe_ENDPOINT,
    DEV_TYPE_PCIe_BRIDGE,
    DEV_TYPE_PCIe2PCI_BRIDGE,
    DEV_TYPE_PCI2PCIe_BRIDGE,
    DEV_TYPE_LEGACY_PCI_BRIDGE,
    DEV_TYPE_PCI_HOST_BRIDGE,
    DEV_TYPE_PCI,
};

/* A device's bdf is its index. */
struct pci_dev {
    int type;
    uint16_t seg;
    struct {
        uint16_t bdf;
    } sbdf;
    bool has_iommu; /* according to the firmware's tables */
    bool valid;     /* AMD: its entry in these is */
};

extern struct pci_dev devices[16];
extern unsigned int nr_devices;

static inline int pci_iterate_devices(int (*handler)(struct pci_dev *pdev, void *arg), void *arg)
{
    int rc = 0;

    for ( unsigned int i = 0; i < nr_devices; i++ )
        rc = rc ?: handler(&devices[i], arg);
    return rc;
}

/* Read "TYPE,HAS_IOMMU,VALID". */
static inline void add_device(const char *text)
{
    struct pci_dev *device = &devices[nr_devices];
    unsigned int has_iommu, valid;

    if ( sscanf(text, "%d,%u,%u", &device->type, &has_iommu, &valid) != 3 )
        exit(2);
    device->sbdf.bdf = nr_devices++;
    device->has_iommu = has_iommu;
    device->valid = valid;
}

#endif
