/* The two hypervisors, each a build of ../harness/hypervisor.c. */
#include "../harness/hypervisor.h"

extern const struct hypervisor stock, patched;
