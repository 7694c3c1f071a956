/*
 * A xentoollog logger that keeps the last warning or error of each thread.
 *
 * The libraries otherwise print to stderr, beside the error that this package
 * raises: their words belong into it.
 */
#ifndef XENLIB_KEPT_LOG_H
#define XENLIB_KEPT_LOG_H

#include <xentoollog.h>

xentoollog_logger *kept_log(void);

/* The calling thread's last message, "" when there is none; forgets it. */
const char *kept_log_take(void);

#endif
