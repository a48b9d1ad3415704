/*
 * Who may use an upstream (setting access): by the user and the groups that the kernel
 * tells of a client on this machine, or by its address.  On an engine's worker.
 */
#ifndef WEIR_ENGINE_ADMISSION_H
#define WEIR_ENGINE_ADMISSION_H

#include "engine/engine.h"

struct groups; /* of users seen lately */

/* NULL is fine for close. */
struct groups *groups_open(void);
void           groups_close(struct groups *);
/* Is that user in that group?  Asked of the system (and may block on its directory) once in a minute for each user. */
bool groups_have(struct groups *, uint32_t uid, uint32_t gid, int64_t now_ns);

/* Whom `access` takes the client for, for people: "user ann (1000)", "127.0.0.1, whose user is not known". */
struct slice admission_who(const struct peer *, struct arena *);
/* Does `access` name users or groups at all? Else the address says it all. */
bool admission_asks_user(const struct config_upstream *);
/* Without `access` everybody may. */
bool admission_allows(const struct config_upstream *, const struct peer *, struct groups *, int64_t now_ns);

#endif
