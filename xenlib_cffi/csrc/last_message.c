#include <stdarg.h>
#include <stdio.h>

#include "last_message.h"

static _Thread_local char message[512];
static _Thread_local char taken[sizeof(message)];

static void store_message(xentoollog_logger *logger, xentoollog_level level, int errnoval,
                          const char *context, const char *format, va_list al)
{
    int length = 0;

    (void)logger;
    (void)errnoval; /* the caller of the library reads errno itself */
    if (level < XTL_WARN)
        return;
    if (context)
        length = snprintf(message, sizeof(message), "%s: ", context);
    if (length >= 0 && (size_t)length < sizeof(message))
        vsnprintf(message + length, sizeof(message) - (size_t)length, format, al);
}

static void ignore_progress(xentoollog_logger *logger, const char *context, const char *doing_what,
                            int percent, unsigned long done, unsigned long total)
{
    (void)logger;
    (void)context;
    (void)doing_what;
    (void)percent;
    (void)done;
    (void)total;
}

/* The logger is static: there is nothing to free. */
static void ignore_destroy(xentoollog_logger *logger)
{
    (void)logger;
}

xentoollog_logger *last_message_logger(void)
{
    static xentoollog_logger logger = {
        .vmessage = store_message,
        .progress = ignore_progress,
        .destroy = ignore_destroy,
    };

    return &logger;
}

const char *last_message_take(void)
{
    snprintf(taken, sizeof(taken), "%s", message);
    message[0] = '\0';
    return taken;
}
