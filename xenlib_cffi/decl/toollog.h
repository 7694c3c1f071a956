/* xentoollog.h, and csrc/last_message.h: every library is opened with its logger. */
typedef struct xentoollog_logger xentoollog_logger;

xentoollog_logger *last_message_logger(void);
const char *last_message_take(void);
