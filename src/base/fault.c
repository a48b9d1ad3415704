/*
 * Filling of a struct fault.
 *
 * The text is made apart and then copied, so that a caller may put words in
 * front of a fault with fault_set(why, "...: %s", why->text).
 */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fault_set(struct fault *why, const char *format, ...)
{
    struct fault made;
    va_list      args;

    if (why == NULL)
        return -1;
    va_start(args, format);
    if (vsnprintf(made.text, sizeof made.text, format, args) < 0)
        made.text[0] = '\0';
    va_end(args);
    memcpy(why->text, made.text, strlen(made.text) + 1);
    return -1;
}

int fault_set_errno(struct fault *why, int err, const char *format, ...)
{
    struct fault made;
    va_list      args;
    char         reason[128];
    size_t       used;

    if (why == NULL)
        return -1;
    va_start(args, format);
    if (vsnprintf(made.text, sizeof made.text, format, args) < 0)
        made.text[0] = '\0';
    va_end(args);
    used = strlen(made.text);
    snprintf(made.text + used, sizeof made.text - used, ": %s", strerror_r(err, reason, sizeof reason));
    memcpy(why->text, made.text, strlen(made.text) + 1);
    return -1;
}
