/*
 * weirctl status: what the daemon is, has stored and has done.
 */
#include "ctl/ctl.h"

#include <string.h>

static void print_cache(const json_t *cache)
{
    printf("cache      %lld responses, %s of %s, %lld of them in files%s\n", ctl_number(cache, "records"),
           ctl_size((double)ctl_number(cache, "bytes")), ctl_size((double)ctl_number(cache, "max_bytes")),
           ctl_number(cache, "body_files"),
           json_is_true(json_object_get(cache, "broken")) ? ", BROKEN: nothing is read or stored" : "");
}

static void print_jobs(const json_t *jobs)
{
    const long long ended = ctl_number(jobs, "done") + ctl_number(jobs, "failed") + ctl_number(jobs, "cancelled");

    if (ctl_number(jobs, "queued") + ctl_number(jobs, "running") + ended > 0)
        printf("jobs       %lld queued, %lld running, %lld ended, %lld of them failed\n", ctl_number(jobs, "queued"),
               ctl_number(jobs, "running"), ended, ctl_number(jobs, "failed"));
}

static void print_counters(const json_t *n)
{
    printf("requests   %lld: %lld hits, %lld stale, %lld revalidated, %lld misses, %lld passed, %lld refused, "
           "%lld failed, %lld other\n",
           ctl_number(n, "requests"), ctl_number(n, "hits"), ctl_number(n, "stale_hits"), ctl_number(n, "revalidated"),
           ctl_number(n, "misses"), ctl_number(n, "passed"),
           ctl_number(n, "client_errors") + ctl_number(n, "budget_refused"), ctl_number(n, "failed"),
           ctl_number(n, "own") + ctl_number(n, "unavailable") + ctl_number(n, "unanswered"));
    printf("upstreams  %lld attempts, %lld of them retries, %lld of them failed; %lld never sent, %lld answers "
           "shared\n",
           ctl_number(n, "upstream_attempts"), ctl_number(n, "upstream_retries"), ctl_number(n, "upstream_failures"),
           ctl_number(n, "upstream_unsent"), ctl_number(n, "collapsed"));
    if (ctl_number(n, "prefetches") > 0)
        printf("ahead      %lld prefetched, %lld of them used, %lld wasted\n", ctl_number(n, "prefetches"),
               ctl_number(n, "prefetches_used"), ctl_number(n, "prefetches_wasted"));
    if (ctl_number(n, "access_lines_lost") + ctl_number(n, "log_lines_lost") > 0)
        printf("LOST       %lld lines of the access log and %lld of the event log could not be written\n",
               ctl_number(n, "access_lines_lost"), ctl_number(n, "log_lines_lost"));
}

/* How long a newcomer would wait. */
static const char *wait_text(const json_t *upstream, char *out, size_t bytes)
{
    double wait = json_number_value(json_object_get(upstream, "predicted_wait_s"));

    snprintf(out, bytes, ", the next waits %s", ctl_duration(wait));
    return wait > 0 ? out : "";
}

static const char *mode_text(const json_t *upstream, char *out, size_t bytes)
{
    const char *mode = json_string_value(json_object_get(upstream, "mode"));

    snprintf(out, bytes, ", %s", mode != NULL ? mode : "");
    return mode != NULL && strcmp(mode, "live") != 0 ? out : "";
}

static int run(const struct ctl *c)
{
    json_t *answer = ctl_ask(c, "GET", "/status", NULL), *upstream;
    size_t  i;
    char    wait[80], mode[40];

    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer)) {
        printf("weir %s, pid %lld, up %s, %lld workers, %s\n", json_string_value(json_object_get(answer, "version")),
               ctl_number(answer, "pid"), ctl_duration(json_number_value(json_object_get(answer, "uptime_s"))),
               ctl_number(answer, "workers"), json_string_value(json_object_get(answer, "config")));
        print_cache(json_object_get(answer, "cache"));
        print_jobs(json_object_get(answer, "jobs"));
        print_counters(json_object_get(answer, "counters"));
        json_array_foreach(json_object_get(answer, "upstreams"), i, upstream)
            printf("%-10s %lld in flight, %lld waiting, %lld requests, %lld attempts, %lld retries, "
                   "%lld failures, %lld never sent%s%s%s\n",
                   json_string_value(json_object_get(upstream, "name")), ctl_number(upstream, "in_flight"),
                   ctl_number(upstream, "waiting"), ctl_number(upstream, "requests"), ctl_number(upstream, "attempts"),
                   ctl_number(upstream, "retries"), ctl_number(upstream, "failures"), ctl_number(upstream, "unsent"),
                   json_is_true(json_object_get(upstream, "breaker_open")) ? ", not asked: it fails" : "",
                   mode_text(upstream, mode, sizeof mode), wait_text(upstream, wait, sizeof wait));
    }
    json_decref(answer);
    return 0;
}

const struct command command_status = {
    "status", "", "what the daemon is, has stored and has done", 0, 0, run, 0, NULL
};
