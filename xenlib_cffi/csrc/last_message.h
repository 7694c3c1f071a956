/*
 * A xentoollog logger that stores the last warning or error of each thread.
 *
 * By default, Xen's libraries print their messages to stderr. The bindings open every library with
 * this logger, so that the message becomes part of the exception.
 */
#ifndef XENLIB_LAST_MESSAGE_H
#define XENLIB_LAST_MESSAGE_H

#include <xentoollog.h>

/* The logger; one for the whole process. */
xentoollog_logger *last_message_logger(void);

/*
 * Returns and clears the last message of the calling thread; "" if there is none. The text is valid
 * until the thread calls last_message_take() again.
 */
const char *last_message_take(void);

#endif
