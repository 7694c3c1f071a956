#include <string.h>

#include "empty_domain.h"

int empty_domain_create(xc_interface *xch, const uint8_t uuid[16], uint32_t max_grant_frames,
                        uint32_t *domid)
{
    struct xen_domctl_createdomain config = {
        .max_vcpus = 1,
        .max_evtchn_port = -1,
        .max_grant_frames = (int32_t)max_grant_frames,
        .max_maptrack_frames = 0, /* the domain grants pages and never maps any */
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };

    memcpy(config.handle, uuid, sizeof(config.handle));
    *domid = 0; /* 0 makes Xen choose the first free domid */
    return xc_domain_create(xch, domid, &config);
}
