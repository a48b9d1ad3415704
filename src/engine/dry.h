/*
 * What is answered in an API's place: in a dry run whatever would be sent, and in any mode what a mock's share injects.
 * For the engine's steps alone.
 */
#ifndef WEIR_ENGINE_DRY_H
#define WEIR_ENGINE_DRY_H

#include "http/fields.h"

struct exchange;

/* Once, when mode, rule and wish are known: may anything be answered so? Else x->mode.stand_in stays NULL. */
void dry_begin(struct exchange *);
/* Nothing of it may be sent. */
bool dry_is(const struct exchange *);
/* STEP_DRY answers, or has. */
bool dry_answers(const struct exchange *);
/* With x->mode.stand_in, when it is decided what would become of it: does STEP_DRY answer it instead? */
bool dry_takes(struct exchange *);
/* With x->mode.stand_in: what the reply says of it. */
void dry_finish(struct exchange *);
/* Bytes of the body: all are taken. */
size_t dry_upload(struct exchange *, const void *bytes, size_t count);
void   dry_close(struct exchange *);

/* Does Accept take JSON? */
bool dry_accepts_json(const struct http_fields *, struct arena *);

#endif
