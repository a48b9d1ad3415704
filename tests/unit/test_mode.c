/*
 * Modes: their names, and which of two holds.
 */
#include "config/mode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_names_lead_back(void **state)
{
    enum upstream_mode found;

    (void)state;
    for (enum upstream_mode m = MODE_LIVE; m < MODE_COUNT; m++) {
        assert_true(config_mode_parse(slice_of(config_mode_name(m)), &found));
        assert_int_equal(found, m);
        assert_non_null(strstr(MODE_NAMES, config_mode_name(m)));
        assert_true((config_mode_detail(m) == NULL) == (m == MODE_LIVE));
    }
    assert_false(config_mode_parse(SLICE("dry-run"), &found));
    assert_false(config_mode_parse(SLICE(""), &found));
}

static const struct {
    const char        *name;
    enum upstream_mode upstreams, own, holds;
} pairs[] = {
    { "own_where_it_is_live", MODE_LIVE, MODE_DRY_RUN, MODE_DRY_RUN },
    { "own_record_where_it_is_live", MODE_LIVE, MODE_RECORD, MODE_RECORD },
    { "live_opens_nothing", MODE_DRY_RUN, MODE_LIVE, MODE_DRY_RUN },
    { "record_opens_no_dry_run", MODE_DRY_RUN, MODE_RECORD, MODE_DRY_RUN },
    { "record_opens_no_read_only", MODE_READ_ONLY, MODE_RECORD, MODE_READ_ONLY },
    { "writes_alone_opens_no_offline", MODE_OFFLINE, MODE_DRY_RUN_WRITES, MODE_OFFLINE },
    { "writes_alone_opens_no_dry_run", MODE_DRY_RUN, MODE_DRY_RUN_WRITES, MODE_DRY_RUN },
    { "dry_rather_than_refused", MODE_READ_ONLY, MODE_DRY_RUN_WRITES, MODE_DRY_RUN_WRITES },
    { "dry_rather_than_offline", MODE_OFFLINE, MODE_DRY_RUN, MODE_DRY_RUN },
    { "replay_rather_than_dry", MODE_DRY_RUN, MODE_REPLAY, MODE_REPLAY },
    { "offline_rather_than_replay", MODE_REPLAY, MODE_OFFLINE, MODE_OFFLINE },
};

static void test_which_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (config_mode_together(pairs[i].upstreams, pairs[i].own) != pairs[i].holds)
            fail_msg("%s: %s", pairs[i].name, config_mode_name(config_mode_together(pairs[i].upstreams, pairs[i].own)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_lead_back),
        cmocka_unit_test(test_which_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
