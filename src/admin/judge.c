/*
 * An admin desk, an engine and an upstream thread with nothing but a configuration: no store, no state, no listener, no
 * connection to anywhere.  They answer one call of /explain, whose question brings the facts of what is stored.
 *
 * weirctl explain --config runs it with the rights of who asks, so that no daemon opens a path that a client names.
 */
#include "admin/judge.h"

#include "admin/internal.h"
#include "base/log.h"
#include "base/wait.h"
#include "engine/explain.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { QUESTION_MOST = 4 * 1024 * 1024 };

struct judge {
    struct upstream       *upstream;
    struct engine         *engine;
    struct admin          *desk;
    struct mailbox        *box;
    struct explain_self   *self;
    struct exchange_input  asker;
    struct engine_services services;
    struct admin_services  admin;
};

static void wake(void *owner)
{
    (void)owner;
}

static void wait_for_mail(struct judge *j)
{
    struct pollfd watch = { .fd = mailbox_fd(j->box), .events = POLLIN };

    wait_poll(&watch, 1, WAIT_FOR_EVER);
    mailbox_deliver(j->box);
}

static bool open_judge(struct judge *j, struct config *config, struct fault *why)
{
    j->box = mailbox_open();
    j->self = explain_self_open(&j->asker);
    if (j->box == NULL || j->self == NULL) {
        fault_set(why, "there is no descriptor left");
        return false;
    }
    j->upstream = upstream_open(&(struct upstream_start){ .match = explain_self_match }, why);
    if (j->upstream == NULL)
        return false;
    upstream_configure(j->upstream, &config->ref, config->fetch_options, config->upstream_count);
    j->services.upstream = j->admin.upstream = j->upstream;
    j->engine = engine_open(&j->services, j->box, config, NULL, 0, 1);
    j->desk = admin_open(&j->admin, j->box, NULL);
    return true;
}

static void close_judge(struct judge *j)
{
    while (j->desk != NULL && (!admin_is_idle(j->desk) || !engine_is_idle(j->engine)))
        wait_for_mail(j);
    admin_close(j->desk);
    engine_close(j->engine);
    upstream_close(j->upstream);
    explain_self_close(j->self);
    if (j->box != NULL)
        mailbox_close(j->box);
}

static int ask(struct judge *j, struct config *config, struct slice question, FILE *out)
{
    const struct http_request request = { .method = HTTP_POST,
                                          .method_name = SLICE("POST"),
                                          .target = SLICE("/explain"),
                                          .version_minor = 1 };
    const struct admin_rights rights = { .may_change = true,
                                         .uid = -1,
                                         .engine = j->engine,
                                         .asker = &j->asker,
                                         .brings_facts = true };
    struct admin_call        *call = admin_begin(j->desk, config, &request, question, rights, wake, j);
    const struct reply       *r;
    int                       status;

    while (!admin_is_done(call))
        wait_for_mail(j);
    r = admin_reply(call);
    fwrite(r->bytes.ptr, 1, r->bytes.len, out);
    fputc('\n', out);
    status = fflush(out) == 0 && r->status == 200 ? 0 : 1;
    admin_end(call);
    return status;
}

int judge_run(struct config *config, FILE *in, FILE *out)
{
    struct judge j = { .box = NULL };
    struct fault why = { "" };
    char        *question = mem_alloc_raw(QUESTION_MOST);
    size_t       bytes = fread(question, 1, QUESTION_MOST, in);
    int          status = 1;

    log_set_level(LOG_LEVEL_ERROR);
    if (bytes == QUESTION_MOST)
        fprintf(stderr, "weir: --explain reads a question of weirctl's on its standard input; this is too long\n");
    else if (!open_judge(&j, config, &why))
        fprintf(stderr, "weir: %s\n", why.text);
    else
        status = ask(&j, config, (struct slice){ question, bytes }, out);
    close_judge(&j);
    free(question);
    return status;
}
