/*
 * The event log: one line an event, a stable name and then key=value.
 *
 * `error` means that an operator must act.  Never a credential or a body.
 * Lines go to standard error (or the journal), whole, from any thread.
 * The access log is not this: see engine/access.h.
 */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* "error" "warning" "info" "debug"; -1 for anything else. */
int  log_level_parse(const char *name);
void log_set_level(enum log_level level);
/* `event` is lower_case_with_underscores; the rest is printf of " key=value" pairs.
 * A value with a space, quote or control byte: use %s with log_quote(). */
void log_event(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* `text` quoted and escaped in a per-thread buffer (8 of them take turns, 512 bytes each). */
const char *log_quote(const char *text);

#define log_error(event, ...)   log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warning(event, ...) log_event(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_info(event, ...)    log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)   log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

#endif
