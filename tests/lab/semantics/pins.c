#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "granter.h"
#include "pins.h"

#define DONE "gnttab_usage_print_all ] done"

/* Returns the output of debug key g, in a static buffer. */
static char *debug_key_output(void)
{
    static char text[1 << 20];
    const struct timespec step = { .tv_nsec = 5 * 1000 * 1000 };
    unsigned int length = sizeof(text) - 1;

    if (xc_readconsolering(xch, text, &length, 1, 0, NULL) || xc_send_debug_keys(xch, "g"))
        err(3, "cannot send debug key g to Xen");
    for (int tries = 0; tries < 1000; tries++) {
        length = sizeof(text) - 1;
        if (xc_readconsolering(xch, text, &length, 0, 0, NULL))
            err(3, "cannot read Xen's console ring");
        text[length] = 0;
        if (strstr(text, DONE))
            return text;
        nanosleep(&step, NULL);
    }
    errx(3, "the output of Xen's debug key g does not end");
}

static const struct granter *of_domain(uint32_t domid)
{
    const struct granter *granter;

    for (unsigned int i = 0; (granter = granter_at(i)); i++)
        if (granter->domid == domid && !granter->destroyed)
            return granter;
    return NULL;
}

void pins_print(void)
{
    const struct granter *granter = NULL;
    unsigned int domid, gref, mapper, pin, flags;

    for (char *line = strtok(debug_key_output(), "\n"); line; line = strtok(NULL, "\n")) {
        if (!strncmp(line, "(XEN) ", 6))
            line += 6;
        if (sscanf(line, "grant-table for remote d%u ", &domid) == 1)
            granter = of_domain(domid);
        else if (granter && sscanf(line, "[0x%x] %u 0x%*x 0x%x %*u 0x%*x 0x%x", &gref, &mapper,
                                   &pin, &flags) == 4)
            printf("  %s %u mapper %u pin %08x flags %x\n", granter->name, gref, mapper, pin,
                   flags);
    }
}
