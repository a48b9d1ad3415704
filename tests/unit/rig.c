/*
 * The rig's worker is the test's own thread: it posts, and delivers its mail while it waits.
 */
#include "rig.h"

#include "base/clock.h"
#include "head.h"
#include "http/url.h"
#include "tempdir.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATIENCE_S = 30 };

static const char *const no_names[] = { NULL };

static void config_stays(struct ref *ref)
{
    (void)ref;
    fail_msg("more references to the configuration were released than taken");
}

void rig_open(struct rig *r, api_script script, const void *context)
{
    struct store_options at = { .max_bytes = 64 * 1024 * 1024, .readers = 4 };
    struct fault         why = { "" }, note = { "" };

    memset(r, 0, sizeof *r);
    clock_start();
    r->origin = api_open(script, context);
    r->directory = tempdir_make();
    at.path = r->directory;
    r->store = store_open(&at, &why, &note);
    if (r->store == NULL)
        fail_msg("%s", why.text);
    r->box = mailbox_open();
    ref_init(&r->config, config_stays);
    snprintf(r->authority, sizeof r->authority, "127.0.0.1:%u", api_port(r->origin));
    r->options = (struct upstream_options){
        .name = "api",
        .origin.scheme = SLICE("http"),
        .limits = r->limits,
        .retry = { .attempts = 1, .backoff_ns = NS_PER_MS, .max_backoff_ns = 10 * NS_PER_MS, .share = 1.0 },
        .queue = { .max_wait_ns = 60 * NS_PER_SEC, .max_length = 1000 },
        .timeout = { .connect_ns = 30 * NS_PER_SEC,
                     .read_ns = 30 * NS_PER_SEC,
                     .write_ns = 30 * NS_PER_SEC,
                     .total_ns = 60 * NS_PER_SEC },
        .origin.max_connections = 10,
        .origin.max_idle_connections = 5,
    };
    r->policy = (struct policy_options){
        .label = "",
        .ttl = { .kind = TTL_ORIGIN },
        .stale_if_error_ns = POLICY_UNSET,
        .stale_while_revalidate_ns = POLICY_UNSET,
        .max_object_bytes = 1024 * 1024 * 1024,
        .credential_headers = no_names,
        .credential_params = no_names,
        .ignore_params = no_names,
        .match_headers = no_names,
    };
}

void rig_keep(struct rig *r)
{
    struct state_options at;
    struct fault         why, note;

    r->state_directory = tempdir_make();
    at.path = r->state_directory;
    r->state = state_open(&at, upstream_rows, &why, &note);
    if (r->state == NULL)
        fail_msg("%s", why.text);
}

void rig_start(struct rig *r)
{
    const struct upstream_start    start = { .store = r->store, .state = r->state, .match = r->match };
    const struct upstream_options *all[] = { &r->options };
    struct fault                   why;

    r->up = upstream_open(&start, &why);
    if (r->up == NULL)
        fail_msg("%s", why.text);
    upstream_configure(r->up, &r->config, all, 1);
}

void rig_limit(struct rig *r, unsigned at, const char *name, uint64_t count, int64_t window_ns)
{
    r->limits[at] = (struct limit_options){
        .name = name,
        .kind = LIMIT_SLIDING,
        .count = count,
        .window_ns = window_ns,
    };
    if (at >= r->options.limit_count)
        r->options.limit_count = at + 1;
}

static void hash_text(struct slice text, uint8_t out[KEY_HASH_BYTES])
{
    uint64_t h[2] = { UINT64_C(0xcbf29ce484222325), UINT64_C(0x9e3779b97f4a7c15) };

    for (size_t i = 0; i < text.len; i++)
        for (int k = 0; k < 2; k++)
            h[k] = (h[k] ^ (unsigned char)text.ptr[i]) * UINT64_C(0x100000001b3);
    memcpy(out, h, KEY_HASH_BYTES);
}

static struct rig *rig_of(struct fetch *f)
{
    return f->engine;
}

static void receive_final(struct mail *m)
{
    struct fetch *f = CONTAINER_OF(m, struct fetch, mail);

    *(bool *)f->owner = true;
}

static void receive_interim(struct mail *m)
{
    struct fetch_interim *i = CONTAINER_OF(m, struct fetch_interim, mail);

    rig_of(i->fetch)->interims++;
    rig_of(i->fetch)->last_interim = i->status;
    fetch_interim_free(i);
}

static void receive_gone(struct fetch *f)
{
    free(f->owner);
    rig_of(f)->open_fetches--;
}

struct fetch *rig_fetch(struct rig *r, const char *method, const char *target, const char *lines)
{
    struct fetch   *f = fetch_new();
    struct head     head = head_of(lines);
    struct slice    query;
    struct bad_wish bad;

    ref_acquire(&r->config);
    f->config = &r->config;
    f->upstream = &r->options;
    f->policy = &r->policy;
    f->request.method_name = arena_copy(&f->arena, slice_of(method));
    f->request.method = http_method_parse(f->request.method_name);
    f->request.target = arena_copy(&f->arena, slice_of(target));
    f->request.version_minor = 1;
    f->request.fields = http_fields_copy(&head.fields, &f->arena);
    head_free(&head);
    http_target_split(f->request.target, &f->path, &query);
    policy_wish(&f->request, &f->wish, &bad);
    f->has_key = f->may.store = f->request.method == HTTP_GET || f->request.method == HTTP_HEAD;
    f->key.full = arena_printf(&f->arena, "http://%s%s", r->authority, target);
    hash_text(f->key.full, f->key.hash);
    hash_text(f->path, f->key.path_tag);
    f->client.name = SLICE("test");
    f->patience.max_wait_ns = r->options.queue.max_wait_ns;
    f->authority = slice_of(r->authority);
    f->patience.timeout = &r->options.timeout;
    f->patience.read_ns = r->options.timeout.read_ns;
    f->patience.arrived_mono_ns = clock_mono_ns();
    f->seen.wall_ns = clock_wall_ns();
    f->mailbox = r->box;
    f->mail.receive = receive_final;
    f->on.interim = receive_interim;
    f->on.gone = receive_gone;
    f->engine = r;
    f->owner = mem_alloc(sizeof(bool));
    return f;
}

void rig_submit(struct rig *r, struct fetch *f)
{
    r->open_fetches++;
    fetch_submit(r->up, f);
}

void rig_until(struct rig *r, bool (*done)(void *), void *context)
{
    int64_t until = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;

    for (;;) {
        struct pollfd p = { .fd = mailbox_fd(r->box), .events = POLLIN };

        mailbox_deliver(r->box);
        if (done(context))
            return;
        if (clock_mono_ns() > until)
            fail_msg("nothing came for %d s", PATIENCE_S);
        poll(&p, 1, 100);
    }
}

static bool has_event(void *fetch)
{
    return ((struct fetch *)fetch)->event != FETCH_PENDING;
}

enum fetch_event rig_await(struct rig *r, struct fetch *f)
{
    rig_until(r, has_event, f);
    return f->event;
}

static const char *const event_names[] = { "pending", "head", "not_modified", "look_again", "refused", "failed" };

void rig_expect(struct rig *r, struct fetch *f, enum fetch_event event, unsigned status)
{
    rig_submit(r, f);
    rig_await(r, f);
    if (f->event != event)
        fail_msg("%s instead of %s (%s)", event_names[f->event], event_names[event], f->said.error);
    if (event == FETCH_HEAD)
        assert_int_equal(f->answer->head.status, status);
}

struct reading {
    struct spool_reader reader;
    struct rig         *rig;
    bool                woken;
};

static void receive_wake(struct mail *m)
{
    struct spool_reader *s = CONTAINER_OF(m, struct spool_reader, wake);

    CONTAINER_OF(s, struct reading, reader)->woken = true;
}

static bool is_woken(void *reading)
{
    return ((struct reading *)reading)->woken;
}

static bool is_idle(void *reading)
{
    return spool_reader_idle(&((struct reading *)reading)->reader);
}

enum spool_read rig_body(struct rig *r, struct fetch *f, char *out, size_t bytes, size_t *got)
{
    struct reading  reading = { .rig = r };
    char            buffer[16384];
    enum spool_read result;
    size_t          n;

    *got = 0;
    assert_non_null(f->answer->body);
    reading.reader.wake.receive = receive_wake;
    spool_reader_open(&reading.reader, f->answer->body, r->box, 0);
    for (;;) {
        reading.woken = false;
        result = spool_read(&reading.reader, buffer, sizeof buffer, &n);
        if (result == SPOOL_READ_WAIT) {
            rig_until(r, is_woken, &reading);
            continue;
        }
        if (result != SPOOL_READ_BYTES)
            break;
        for (size_t i = 0; i < n && *got + i + 1 < bytes; i++)
            out[*got + i] = buffer[i];
        *got += n;
    }
    if (bytes > 0)
        out[*got < bytes ? *got : bytes - 1] = '\0';
    spool_reader_close(&reading.reader);
    rig_until(r, is_idle, &reading);
    return result;
}

void rig_expect_body(struct rig *r, struct fetch *f, const char *text)
{
    char   body[4096];
    size_t got;

    assert_int_equal(rig_body(r, f, body, sizeof body, &got), SPOOL_READ_END);
    assert_string_equal(body, text);
}

void rig_leave(struct rig *r, struct fetch *f)
{
    fetch_leave(r->up, f);
}

static bool none_open(void *rig)
{
    return ((struct rig *)rig)->open_fetches == 0;
}

struct asked {
    struct upstream_report *report;
    bool                    done;
};
static struct asked asked; /* the test's thread alone */

static void receive_report(struct mail *m)
{
    (void)m;
    asked.done = true;
}

static bool is_told(void *context)
{
    return ((struct asked *)context)->done;
}

void rig_report(struct rig *r, struct upstream_report *report)
{
    memset(report, 0, sizeof *report);
    report->reply_to = r->box;
    report->done.receive = receive_report;
    asked = (struct asked){ report, false };
    upstream_ask(r->up, report);
    rig_until(r, is_told, &asked);
}

void rig_settle(struct rig *r)
{
    struct upstream_report report;

    rig_until(r, none_open, r);
    rig_report(r, &report); /* its answer comes after everything that was asked before */
    arena_free(&report.arena);
}

void rig_stop(struct rig *r)
{
    rig_settle(r);
    upstream_close(r->up);
    r->up = NULL;
    mailbox_deliver(r->box);
    assert_int_equal(atomic_load(&r->config.count), 1);
}

void rig_close(struct rig *r)
{
    rig_stop(r);
    store_close(r->store);
    state_close(r->state);
    if (r->state_directory != NULL)
        tempdir_remove(r->state_directory);
    mailbox_close(r->box);
    api_close(r->origin);
    tempdir_remove(r->directory);
}
