/*
 * An API's connections as a whole: a multi handle of libcurl's each, for pools apart.
 */
#include "origin/internal.h"

#include "base/ref.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void curl_begin(void)
{
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, mem_calloc);
}

struct origins *origins_open(const struct origins_start *start)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct origins       *all = mem_alloc(sizeof *all);

    pthread_once(&once, curl_begin);
    all->start = *start;
    return all;
}

void origins_close(struct origins *all)
{
    if (all == NULL)
        return;
    transfers_free_idle(all);
    arena_free(&all->scratch);
    free(all->watches);
    free(all->gathered);
    free(all);
}

static void fire_curl_timer(struct timer *t)
{
    loop_act(CONTAINER_OF(t, struct origin, curl_timer), CURL_SOCKET_TIMEOUT, 0);
}

struct origin *origin_open(struct origins *all, const char *name, const unsigned *waiting)
{
    struct origin *o = mem_alloc(sizeof *o);

    o->all = all;
    o->name = name;
    o->waiting = waiting;
    o->multi = curl_multi_init();
    o->sessions = curl_share_init();
    if (o->multi == NULL || o->sessions == NULL)
        abort(); /* only for want of memory */
    curl_share_setopt(o->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(o->multi, CURLMOPT_SOCKETFUNCTION, loop_socket);
    curl_multi_setopt(o->multi, CURLMOPT_SOCKETDATA, o);
    curl_multi_setopt(o->multi, CURLMOPT_TIMERFUNCTION, loop_timer);
    curl_multi_setopt(o->multi, CURLMOPT_TIMERDATA, o);
    curl_multi_setopt(o->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)STREAMS_PER_CONNECTION);
    o->known.streams = o->streams_told = STREAMS_PER_CONNECTION;
    o->curl_timer.fire = fire_curl_timer;
    LIST_INSERT_HEAD(&all->origins, o, entry);
    return o;
}

void origin_configure(struct origin *o, const struct origin_options *options)
{
    o->options = options;
    o->options_number = ++o->all->numbers;
    o->http1 = false;
    curl_multi_setopt(o->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)options->max_connections);
}

void origin_close(struct origin *o)
{
    LIST_REMOVE(o, entry);
    curl_multi_cleanup(o->multi);
    connection_forget_all(o);
    curl_share_cleanup(o->sessions);
    watch_forget_all(o);
    timers_clear(o->all->start.timers, &o->curl_timer);
    LIST_TAKE(o, reap);
    free(o);
}

struct origin_known origin_known(const struct origin *o)
{
    struct origin_known known = o->known;

    known.connections -= o->dead;
    return known;
}
