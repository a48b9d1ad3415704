/*
 * /import: one recorded exchange becomes a stored response, as if its API had answered so at that time.
 *
 * Where it belongs the engine says, by a dry run of the request (engine/import.h); weirctl import asks once for each.
 * A body stands in the question, or comes after it and goes into a spool as it comes.
 */
#include "admin/asked.h"
#include "admin/internal.h"

#include "base/clock.h"
#include "engine/import.h"
#include "store/spool.h"

#include <sodium.h>

#include <stdlib.h>

struct importing {
    struct admin_call *call;
    json_t            *question;
    struct explain    *explain;
    struct import_item item;
    struct slice       body; /* that stands in the question */
};

/* -- storing -- */

static void importing_free(void *state)
{
    struct importing *n = state;

    spool_release(n->call->change.body);
    n->call->change.body = NULL;
    explain_close(n->explain);
    json_decref(n->question);
    free(n);
}

static void committed(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);

    if (admin_has_changed(call, PROBLEM_CACHE_UNCHANGED, "The disk or the database refused; the log says why."))
        admin_answer_json(call, 200,
                          json_pack("{s:b, s:s}", "stored", call->change.changed > 0, "why",
                                    call->change.changed > 0 ? "stored" : "no-room"));
}

/* The body as one that has come. */
static bool make_body(struct importing *n, struct fault *why)
{
    struct store *store = n->call->admin->services->store;
    struct spool *s;

    if (n->item.body_bytes == 0)
        return true;
    if (n->call->rights.rest != NULL) {
        n->call->change.body = admin_rest_spool(n->call->rights.rest);
        spool_acquire(n->call->change.body);
        spool_finish(n->call->change.body, SPOOL_WHOLE);
        return true;
    }
    s = n->call->change.body = spool_new(store_directory(store));
    if (spool_write(s, n->body.ptr, n->body.len, why) != 0)
        return false;
    spool_finish(s, SPOOL_WHOLE);
    return true;
}

static void finish(struct importing *n)
{
    struct admin_call  *call = n->call;
    struct store_change change;
    struct fault        why = { "" };
    enum import_end     end = import_change(n->explain, &n->item, &change, &call->arena, &why);

    if (end != IMPORT_STORES) {
        admin_answer_json(call, 200,
                          json_pack("{s:b, s:s, s:s}", "stored", 0, "why", import_end_name(end), "detail", why.text));
        return;
    }
    call->change = change;
    if (!make_body(n, &why)) {
        admin_answer_problem(call, PROBLEM_CACHE_UNCHANGED, "The disk refused the body; the log says why.");
        return;
    }
    call->change.reply_to = call->admin->mailbox;
    call->change.done.receive = committed;
    call->awaits_mail = true;
    store_submit(call->admin->services->store, &call->change);
    store_hurry(call->admin->services->store);
}

static void foretold(struct mail *m)
{
    void             *owner;
    struct explain   *e = explain_of_mail(m, &owner);
    struct importing *n = owner;

    if (!admin_resume(n->call))
        return;
    explain_go_on(e);
    finish(n);
}

/* -- the question -- */

/* No credential of the request goes along: what is stored is nobody's, or the upstream's own. */
static void drop_credentials(struct importing *n, struct http_fields *f)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < f->count; i++) {
        if (entry_tells_who(n->call->config, f->items[i].name))
            n->item.had_credential = true;
        else
            f->items[kept++] = f->items[i];
    }
    f->count = kept;
}

static bool read_body(struct importing *n, struct slice coded)
{
    char  *body = arena_alloc_raw(&n->call->arena, coded.len + 1);
    size_t bytes;

    if (n->call->rights.rest != NULL) {
        n->item.body_bytes = spool_length(admin_rest_spool(n->call->rights.rest));
        return coded.ptr == NULL;
    }
    if (coded.ptr == NULL || sodium_base642bin((unsigned char *)body, coded.len + 1, coded.ptr, coded.len, NULL, &bytes,
                                               NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    n->body = (struct slice){ body, bytes };
    n->item.body_bytes = (int64_t)bytes;
    return true;
}

static bool read_question(struct importing *n, struct explain_question *q)
{
    const json_t *o = n->question;
    int64_t       time_ms = json_integer_value(json_object_get(o, "time")),
            took_ms = json_integer_value(json_object_get(o, "took"));

    /* Nothing of what is stored has a say. */
    *q = (struct explain_question){ .method = asked_text(o, "method"),
                                    .url = asked_text(o, "url"),
                                    .knows_all = true,
                                    .has_facts = true };
    n->item.status = (unsigned)json_integer_value(json_object_get(o, "status"));
    n->item.had_credential = json_is_true(json_object_get(o, "private"));
    n->item.as = asked_text(o, "as");
    if (q->method.ptr == NULL || q->url.ptr == NULL || n->item.status < 200 || n->item.status > 999 || time_ms < 0 ||
        took_ms < 0 || time_ms > INT64_MAX / NS_PER_MS / 2 || took_ms > INT64_MAX / NS_PER_MS / 2)
        return false;
    n->item.requested_wall_ns = time_ms * NS_PER_MS;
    n->item.received_wall_ns = n->item.requested_wall_ns + took_ms * NS_PER_MS;
    if (!asked_fields(json_object_get(o, "request"), HTTP_HOP_BY_HOP | HTTP_WEIR, &q->fields, &n->call->arena) ||
        !asked_fields(json_object_get(o, "fields"), HTTP_HOP_BY_HOP | HTTP_WEIR, &n->item.fields, &n->call->arena))
        return false;
    drop_credentials(n, &q->fields);
    return read_body(n, asked_text(o, "body"));
}

static void run(struct admin_call *call)
{
    struct importing       *n = mem_alloc(sizeof *n);
    struct explain_question q;
    struct fault            why = { "" };

    n->call = call;
    call->own = (struct admin_own){ n, importing_free, NULL };
    n->question = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    if (n->question == NULL || !json_is_object(n->question) || !read_question(n, &q)) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD,
                             "Send an exchange as /export gives it: method, url, time and took in milliseconds, "
                             "status, "
                             "request and fields as lists of [\"Name\", \"value\"], private, body in base64; and where "
                             "wanted \"as\".  To /import?body=after it is one line, and the body comes after that.");
        return;
    }
    n->explain = explain_open(call->rights.engine, call->rights.asker, &q, &why);
    if (n->explain == NULL) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, arena_copy(&call->arena, slice_of(why.text)).ptr);
    } else if (!explain_waits(n->explain)) {
        finish(n);
    } else {
        call->awaits_mail = true;
        explain_ask(n->explain, call->admin->mailbox, foretold, n);
    }
}

const struct endpoint endpoint_import = { "/import", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };
