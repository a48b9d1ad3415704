/*
 * Who a request comes from.  For classes and the log it has a name: what it says
 * itself (Weir-Client), the user that it gives to a proxy, else what the kernel says of
 * the connection, else the connection.  Turns are shared by what it cannot choose: first by
 * user (uid, else address), and only below that by the name it gives itself or
 * its executable, its process, its connection.  On the exchange's worker.
 */
#ifndef WEIR_ENGINE_CLIENT_H
#define WEIR_ENGINE_CLIENT_H

#include "engine/engine.h"
#include "policy/decide.h"

struct client {
    struct slice     name;     /* in the arena or borrowed of the input */
    bool             is_named; /* by itself, not by the kernel */
    struct queue_who who;
    bool             batch;
    unsigned         keep_permille; /* of every limit, left for others: 200 for share = "80%" */
};

/* Is there a class that may be of the process that asks, which is not known?  It has to be found first. */
bool client_asks_process(const struct config *, const struct exchange_input *, const struct request_wish *,
                         struct arena *);
/* As far as is known; asks the kernel for the user where a class does. */
struct client client_of(const struct config *, const struct exchange_input *, const struct request_wish *,
                        struct arena *);

#endif
