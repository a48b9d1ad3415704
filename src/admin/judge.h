/*
 * weir --explain: what a configuration would make of a request, without a daemon.
 */
#ifndef WEIR_ADMIN_JUDGE_H
#define WEIR_ADMIN_JUDGE_H

#include "config/config.h"

#include <stdio.h>

/* Reads a question as /explain takes it, with facts of what is stored, from `in`, and writes the answer to `out`. Opens
 * no store, no listener and no connection.  The exit status. */
int judge_run(struct config *, FILE *in, FILE *out);

#endif
