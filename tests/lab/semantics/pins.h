/* Xen's active grant entries, from its debug key g. */
#ifndef SEMANTICS_PINS_H
#define SEMANTICS_PINS_H

/* Prints a line for each active entry of each granter of this program. */
void pins_print(void);

#endif
