/*
 * The thread that reads configurations: in order, whatever is wrong with
 * them, and that it frees them, whoever lets go of them last.
 */
#include "config/keeper.h"

#include "tempdir.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { ORDERS = 4 };

struct rig {
    char               *directory, *file;
    struct mailbox     *mailbox;
    struct keeper      *keeper;
    struct reload_order orders[ORDERS];
    unsigned            told[ORDERS], told_count; /* which order came when */
};

static void receive(struct mail *m)
{
    struct reload_order *o = CONTAINER_OF(m, struct reload_order, mail);
    struct rig          *rig = o->context;

    rig->told[rig->told_count++] = (unsigned)(o - rig->orders);
}

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void write_config(struct rig *rig, const char *match)
{
    char text[1024];

    snprintf(text, sizeof text,
             "upstreams = ( { name = \"a\"; url = \"https://a.example.org\"; rules = ( { match = \"%s\"; } ); } );",
             match);
    write_text(rig->file, text);
}

static struct rig *rig_open(void)
{
    struct rig    *rig = calloc(1, sizeof *rig);
    struct fault   why = { "" };
    struct config *first;
    char           path[4096];

    rig->directory = tempdir_make();
    snprintf(path, sizeof path, "%s/weir.conf", rig->directory);
    rig->file = strdup(path);
    rig->mailbox = mailbox_open();
    write_config(rig, "/first");
    first = config_load(rig->file, NULL);
    assert_non_null(first);
    rig->keeper = keeper_start(rig->file, first, rig->mailbox, &why);
    assert_non_null(rig->keeper);
    config_release(first); /* the keeper's own reference stays */
    return rig;
}

static void order(struct rig *rig, unsigned i)
{
    rig->orders[i].mail.receive = receive;
    rig->orders[i].context = rig;
    keeper_reload(rig->keeper, &rig->orders[i]);
}

static void await(struct rig *rig, unsigned count)
{
    while (rig->told_count < count) {
        struct pollfd fd = { .fd = mailbox_fd(rig->mailbox), .events = POLLIN };

        poll(&fd, 1, -1);
        mailbox_deliver(rig->mailbox);
    }
}

/* The keeper has stopped. */
static void rig_close(struct rig *rig)
{
    assert_false(keeper_left_behind(rig->keeper));
    for (unsigned i = 0; i < ORDERS; i++) {
        config_release(rig->orders[i].fresh);
        free(rig->orders[i].text);
    }
    keeper_close(rig->keeper);
    mailbox_close(rig->mailbox);
    tempdir_remove(rig->directory);
    free(rig->file);
    free(rig);
}

static void test_orders_are_carried_out_in_order(void **state)
{
    struct rig *rig = rig_open();

    (void)state;
    for (unsigned i = 0; i < ORDERS; i++)
        order(rig, i);
    await(rig, ORDERS);
    for (unsigned i = 0; i < ORDERS; i++) {
        assert_int_equal(rig->told[i], i);
        assert_non_null(rig->orders[i].fresh);
        assert_string_equal(rig->orders[i].text, "");
    }
    keeper_stop(rig->keeper);
    rig_close(rig);
}

static void test_an_error_is_told_and_the_next_order_carried_out(void **state)
{
    struct rig *rig = rig_open();

    (void)state;
    write_config(rig, "no slash");
    order(rig, 0);
    await(rig, 1);
    assert_null(rig->orders[0].fresh);
    assert_non_null(strstr(rig->orders[0].text, "no slash"));
    write_config(rig, "/second");
    order(rig, 1);
    await(rig, 2);
    assert_non_null(rig->orders[1].fresh);
    assert_string_equal(pattern_text(rig->orders[1].fresh->upstreams[0].route.rules[0].pattern).ptr, "/second");
    keeper_stop(rig->keeper);
    rig_close(rig);
}

static void test_the_keeper_frees_what_others_let_go(void **state)
{
    struct rig *rig = rig_open();

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        order(rig, i);
    await(rig, 2);
    config_release(rig->orders[0].fresh);
    rig->orders[0].fresh = NULL;
    order(rig, 2); /* what is dead is freed between two orders, or before it sleeps */
    await(rig, 3);
    while (keeper_freed(rig->keeper) < 1)
        sched_yield();
    assert_int_equal(keeper_freed(rig->keeper), 1);
    keeper_stop(rig->keeper);
    rig_close(rig);
}

/* A file that is a pipe nobody writes to: opening it blocks. */
static void test_a_stop_ends_what_blocks(void **state)
{
    struct rig *rig = rig_open();
    char        path[4096];
    int         end;

    (void)state;
    snprintf(path, sizeof path, "%s/conf.d", rig->directory);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/conf.d/1.conf", rig->directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    for (unsigned i = 0; i < 3; i++)
        order(rig, i);
    while ((end = open(path, O_WRONLY | O_NONBLOCK)) < 0) /* the keeper reads */
        sched_yield();
    keeper_stop(rig->keeper);
    close(end);
    order(rig, 3); /* too late */
    await(rig, ORDERS);
    for (unsigned i = 0; i < ORDERS; i++)
        assert_null(rig->orders[i].fresh);
    for (unsigned i = 0; i < ORDERS; i++)
        assert_non_null(strstr(rig->orders[i].text, "about to stop"));
    rig_close(rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders_are_carried_out_in_order),
        cmocka_unit_test(test_an_error_is_told_and_the_next_order_carried_out),
        cmocka_unit_test(test_the_keeper_frees_what_others_let_go),
        cmocka_unit_test(test_a_stop_ends_what_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
