/* xentoollog.h, and csrc/kept_log.h: every library is opened with the kept log. */
typedef struct xentoollog_logger xentoollog_logger;

xentoollog_logger *kept_log(void);
const char *kept_log_take(void);
