#include <stdarg.h>
#include <stdio.h>

#include "kept_log.h"

static _Thread_local char message[512];
static _Thread_local char taken[sizeof(message)];

static void keep(xentoollog_logger *logger, xentoollog_level level, int errnoval,
                 const char *context, const char *format, va_list al)
{
    int length = 0;

    (void)logger;
    (void)errnoval; /* captured by the caller, for every call alike */
    if (level < XTL_WARN)
        return;
    if (context)
        length = snprintf(message, sizeof(message), "%s: ", context);
    if (length >= 0 && (size_t)length < sizeof(message))
        vsnprintf(message + length, sizeof(message) - (size_t)length, format, al);
}

static void no_progress(xentoollog_logger *logger, const char *context, const char *doing_what,
                        int percent, unsigned long done, unsigned long total)
{
    (void)logger;
    (void)context;
    (void)doing_what;
    (void)percent;
    (void)done;
    (void)total;
}

static void stays(xentoollog_logger *logger)
{
    (void)logger;
}

xentoollog_logger *kept_log(void)
{
    static xentoollog_logger logger = {
        .vmessage = keep,
        .progress = no_progress,
        .destroy = stays,
    };

    return &logger;
}

const char *kept_log_take(void)
{
    snprintf(taken, sizeof(taken), "%s", message);
    message[0] = '\0';
    return taken;
}
