/* Xen's own account of what is mapped: its debug key g. */
#ifndef SEMANTICS_PINS_H
#define SEMANTICS_PINS_H

/* Prints a line for each active entry of each granter that was made here. */
void pins_print(void);

#endif
