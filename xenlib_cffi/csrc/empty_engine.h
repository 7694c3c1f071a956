/* Steps of an engine that do nothing. */
#ifndef XENLIB_EMPTY_ENGINE_H
#define XENLIB_EMPTY_ENGINE_H

#include "loop.h"

bool empty_step(struct worker *w);
void empty_touch(struct worker *w);

#endif
