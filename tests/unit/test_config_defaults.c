/*
 * What somebody gets who sets nothing, and what follows from other settings where it is not set.
 */
#include "base/clock.h"
#include "conf.h"
#include "config/settings.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#ifndef WEIR_LOCALSTATEDIR
#define WEIR_LOCALSTATEDIR "/var"
#endif
#ifndef WEIR_RUNSTATEDIR
#define WEIR_RUNSTATEDIR "/run"
#endif

static void test_defaults(void **state)
{
    struct config                *c = conf_load_good(API API_END);
    const struct config_upstream *u = &c->upstreams[0];

    (void)state;
    assert_int_equal(c->listener_count, 1);
    assert_string_equal(c->listeners[0].address, "127.0.0.1:8080");
    assert_true(c->workers >= 1);
    assert_string_equal(c->admin_socket.address, "unix:" WEIR_RUNSTATEDIR "/weir/admin.sock");
    assert_int_equal(c->admin_socket.mode, 0600);
    assert_null(c->admin_listen);
    assert_string_equal(c->cache.path, WEIR_LOCALSTATEDIR "/cache/weir");
    assert_string_equal(c->state.path, WEIR_LOCALSTATEDIR "/lib/weir");
    assert_int_equal(c->cache.max_bytes, INT64_C(2) << 30);
    assert_null(c->proxy.listen);
    assert_false(c->proxy.tunnel);
    assert_true(c->proxy.required);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_int_equal(c->access_log.kind, ACCESS_STDERR);
    assert_int_equal(c->access_log.format, ACCESS_JSON);
    assert_false(c->allow_remote);
    assert_int_equal(c->upstream_count, 1);
    assert_ptr_equal(c->fetch_options[0], &u->fetch);
    assert_int_equal(u->fetch.retry.attempts, 3);
    assert_int_equal(u->fetch.retry.backoff_ns, 500 * NS_PER_MS);
    assert_int_equal(u->fetch.retry.max_backoff_ns, 30 * NS_PER_SEC);
    assert_int_equal(u->fetch.retry.status_count, 5);
    assert_int_equal(u->fetch.retry.statuses[0], 429);
    assert_true(u->fetch.retry.share > 0.19 && u->fetch.retry.share < 0.21);
    assert_int_equal(u->fetch.queue.max_wait_ns, 30 * NS_PER_SEC);
    assert_int_equal(u->fetch.queue.max_length, 5000);
    assert_int_equal(u->fetch.timeout.connect_ns, 10 * NS_PER_SEC);
    assert_int_equal(u->fetch.timeout.read_ns, 60 * NS_PER_SEC);
    assert_int_equal(u->fetch.timeout.write_ns, 60 * NS_PER_SEC);
    assert_int_equal(u->fetch.timeout.total_ns, 3600 * NS_PER_SEC);
    assert_int_equal(u->fetch.max_in_flight, 10);
    assert_int_equal(u->fetch.origin.max_connections, 10);
    assert_int_equal(u->fetch.origin.max_idle_connections, 10);
    assert_true(u->fetch.origin.tls.verify);
    assert_false(u->fetch.drop_on_abort);
    assert_int_equal(u->route.policy.ttl.kind, TTL_ORIGIN);
    assert_false(u->route.policy.shared);
    assert_int_equal(u->route.policy.stale_if_error_ns, POLICY_UNSET);
    assert_int_equal(u->route.policy.stale_while_revalidate_ns, POLICY_UNSET);
    assert_int_equal(u->route.policy.max_object_bytes, INT64_C(1) << 30);
    assert_int_equal(u->route.policy.set_cookie, SET_COOKIE_DEFAULT);
    assert_int_equal(u->route.policy.validate, VALIDATE_NONE);
    assert_int_equal(u->route.policy.invalidate, INVALIDATE_PATH);
    assert_string_equal(u->route.policy.credential_headers[3], "Private-Token");
    assert_null(u->route.policy.credential_headers[4]);
    assert_string_equal(u->route.policy.credential_params[0], "api_key");
    assert_null(u->route.policy.ignore_params[0]);
    assert_false(u->has_access);
    assert_null(u->allow_origins);
    assert_true(u->intercept);
    assert_int_equal(u->mode, MODE_LIVE);
    config_release(c);
}

/* As many requests as may be under way have a connection each, and keep it. */
static void test_connections_follow_max_in_flight(void **state)
{
    static const struct {
        const char *name, *text;
        unsigned    most, idle;
    } cases[] = {
        { "nothing_is_said", "", 10, 10 },
        { "fewer_in_flight_keep_fewer", "max_in_flight = 3;", 10, 3 },
        { "one_in_flight", "max_in_flight = 1;", 10, 1 },
        { "more_in_flight_have_more", "max_in_flight = 50;", 50, 50 },
        { "as_many_as_there_may_be", "max_in_flight = 100000;", 10000, 10000 },
        { "no_bound_in_flight", "max_in_flight = 0;", 100, 100 },
        { "connections_bound_the_idle", "max_in_flight = 50; max_connections = 4;", 4, 4 },
        { "connections_bound_the_idle_without_a_bound", "max_in_flight = 0; max_connections = 4;", 4, 4 },
        { "more_connections_keep_no_more", "max_connections = 64;", 64, 10 },
        { "idle_as_said", "max_in_flight = 50; max_idle_connections = 2;", 50, 2 },
        { "none_idle", "max_idle_connections = 0;", 10, 0 },
        { "the_order_in_the_file_is_nothing", "max_idle_connections = 7; max_in_flight = 8;", 10, 7 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char                          *text = NULL, *dump, shown[64];
        struct config                 *c;
        const struct upstream_options *o;

        assert_true(asprintf(&text, API "%s" API_END, cases[i].text) > 0);
        c = conf_load_good(text);
        o = &c->upstreams[0].fetch;
        if (o->origin.max_connections != cases[i].most || o->origin.max_idle_connections != cases[i].idle)
            fail_msg("%s: %u connections, %u idle", cases[i].name, o->origin.max_connections,
                     o->origin.max_idle_connections);
        dump = conf_dump(c);
        snprintf(shown, sizeof shown, "max_idle_connections = %u;", cases[i].idle);
        if (strstr(dump, shown) == NULL)
            fail_msg("%s: the dump does not say %s", cases[i].name, shown);
        free(dump);
        free(text);
        config_release(c);
    }
}

/* What a default must leave room for, lest somebody who sets nothing is refused what the API would have given. */
static void test_defaults_leave_room(void **state)
{
    struct config                 *c = conf_load_good(API API_END);
    const struct upstream_options *o = &c->upstreams[0].fetch;
    const struct {
        const char *name;
        int64_t     is, at_least;
    } cases[] = {
        { "connect_outlasts_a_dead_name_server", o->timeout.connect_ns, 5 * NS_PER_SEC + NS_PER_SEC },
        { "connect_outlasts_the_third_syn", o->timeout.connect_ns, 7 * NS_PER_SEC + NS_PER_SEC },
        { "read_outlasts_the_idle_time_of_load_balancers", o->timeout.read_ns, 60 * NS_PER_SEC },
        { "total_lets_a_gib_come_at_3_mbit", o->timeout.total_ns, (INT64_C(8) << 30) / 3000000 * NS_PER_SEC },
        { "the_queue_holds_a_wait_at_150_a_second", o->queue.max_length, 150 * (o->queue.max_wait_ns / NS_PER_SEC) },
        { "the_queue_holds_all_that_one_user_may_connect", o->queue.max_length, c->max_connections_per_client },
        { "the_largest_body_fits", (int64_t)c->cache.max_bytes, c->upstreams[0].route.policy.max_object_bytes },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (cases[i].is < cases[i].at_least)
            fail_msg("%s: %lld", cases[i].name, (long long)cases[i].is);
    config_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_connections_follow_max_in_flight),
        cmocka_unit_test(test_defaults_leave_room),
    };

    return cmocka_run_group_tests(tests, conf_set_up, conf_tear_down);
}
