/*
 * The thread is detached, since a name server that does not answer must not
 * hold up the daemon's end.  Thread and worker each hold a reference; the last one frees.
 */
#include "front/net/resolve.h"

#include "base/arena.h"
#include "base/ref.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STACK_BYTES = 1024 * 1024 }; /* some name services want much of it */

struct resolution {
    struct ref       ref;
    int              done_fd; /* written by the thread after the two below */
    char             host[256], port[8];
    struct addrinfo *found;
    int              error;
};

static void destroy(struct ref *ref)
{
    struct resolution *r = CONTAINER_OF(ref, struct resolution, ref);

    if (r->found != NULL)
        freeaddrinfo(r->found);
    if (r->done_fd >= 0)
        close(r->done_fd);
    free(r);
}

static void *look_up(void *context)
{
    struct resolution    *r = context;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };

    pthread_setname_np(pthread_self(), "resolver");
    r->error = getaddrinfo(r->host, r->port, &hints, &r->found);
    eventfd_write(r->done_fd, 1);
    ref_release(&r->ref);
    return NULL;
}

static int start_thread(struct resolution *r)
{
    pthread_attr_t attributes;
    pthread_t      thread;
    int            rc;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    ref_acquire(&r->ref);
    rc = pthread_create(&thread, &attributes, look_up, r);
    if (rc != 0)
        ref_release(&r->ref);
    pthread_attr_destroy(&attributes);
    return rc;
}

struct resolution *resolve_start(const char *host, unsigned port)
{
    struct resolution *r = mem_alloc(sizeof *r);
    int                rc = 0;

    ref_init(&r->ref, destroy);
    snprintf(r->host, sizeof r->host, "%s", host);
    snprintf(r->port, sizeof r->port, "%u", port);
    r->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->done_fd < 0)
        rc = errno;
    if (rc == 0)
        rc = start_thread(r);
    if (rc == 0)
        return r;
    ref_release(&r->ref);
    errno = rc;
    return NULL;
}

int resolve_fd(const struct resolution *r)
{
    return r->done_fd;
}

struct addrinfo *resolve_take(struct resolution *r, int *error)
{
    struct addrinfo *found;
    eventfd_t        one;

    eventfd_read(r->done_fd, &one);
    found = r->found;
    *error = r->error;
    r->found = NULL;
    return found;
}

void resolve_release(struct resolution *r)
{
    if (r != NULL)
        ref_release(&r->ref);
}
