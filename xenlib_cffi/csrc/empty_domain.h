/* A domain with no vCPU and no guest OS: memory and a grant table. */
#ifndef XENLIB_EMPTY_DOMAIN_H
#define XENLIB_EMPTY_DOMAIN_H

#include <stdint.h>

#include <xenctrl.h>

/*
 * xc_domain_create of a PV domain, paused and never run. The createdomain
 * structure differs by Xen version; filling it in here leaves that to the compiler.
 * 0, or -1 with errno.
 */
int empty_domain_create(xc_interface *xch, const uint8_t uuid[16], uint32_t max_grant_frames,
                        uint32_t *domid);

#endif
