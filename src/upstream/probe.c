/*
 * An origin is looked at on a thread of its own, since that blocks: its result comes by mail.
 */
#include "upstream/probe.h"

#include <pthread.h>

enum { STACK_BYTES = 512 * 1024 };

static void *run(void *context)
{
    struct upstream_probe *p = context;

    pthread_setname_np(pthread_self(), "probe");
    origin_probe(p->options, p->authority, p->limit_ns, &p->result);
    mailbox_post(p->reply_to, &p->done); /* it is the asker's again */
    return NULL;
}

bool upstream_probe_start(struct upstream_probe *p)
{
    pthread_attr_t attributes;
    pthread_t      thread;
    int            rc;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    rc = pthread_create(&thread, &attributes, run, p);
    pthread_attr_destroy(&attributes);
    return rc == 0;
}
