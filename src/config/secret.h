/*
 * Values that stand outside of the configuration: in a file, in systemd's
 * credential directory, or in the environment.  Read when the daemon starts and
 * at each reload, never by --check, which anybody may run and which only looks whether they are there.
 */
#ifndef WEIR_CONFIG_SECRET_H
#define WEIR_CONFIG_SECRET_H

#include "base/arena.h"
#include "base/fault.h"

enum { SECRET_BYTES = 16 * 1024 };

/* `source`: the path of a file, "credential:NAME" or "env:NAME" (see check_value_source()).  The value, without white
 * space around it, in the arena; ptr NULL: *why says why not, and never what was read. */
struct slice secret_read(const char *source, struct arena *a, struct fault *why);
/* Of what a file or a command has said: the value; ptr NULL where it is none that a field could carry. */
struct slice secret_value(struct slice text, struct fault *why);

#endif
