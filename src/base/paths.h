/*
 * Where an ordinary user's files go (XDG base directories), shared by the
 * daemon that makes them and weirctl that looks for them.  Any thread.
 */
#ifndef WEIR_BASE_PATHS_H
#define WEIR_BASE_PATHS_H

#include <stddef.h>

/* Each fills `out` with an absolute path and returns 0, or -1 where it cannot be told (no HOME)
 * or does not fit.  Nothing is created. */
int paths_user_config(char *out, size_t bytes); /* $XDG_CONFIG_HOME/weir/weir.conf */
int paths_user_cache(char *out, size_t bytes);  /* $XDG_CACHE_HOME/weir */
int paths_user_state(char *out, size_t bytes);  /* $XDG_STATE_HOME/weir */
/* $XDG_RUNTIME_DIR/weir, else the state directory's "run": private to the user either way. */
int paths_user_runtime(char *out, size_t bytes);

#endif
