/* Creation of a domain with a grant table, but without memory, a running vCPU or a guest OS. */
#ifndef XENLIB_EMPTY_DOMAIN_H
#define XENLIB_EMPTY_DOMAIN_H

#include <stdint.h>

#include <xenctrl.h>

/*
 * Creates a paused PV domain with xc_domain_create() and stores its domid in *domid. The
 * createdomain structure differs between versions of Xen; filling it in here lets the compiler
 * check it. Returns 0, or -1 with errno set.
 */
int empty_domain_create(xc_interface *xch, const uint8_t uuid[16], uint32_t max_grant_frames,
                        uint32_t *domid);

#endif
