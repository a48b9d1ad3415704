/*
 * Where an ordinary user's files go.
 */
#include "base/paths.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef int paths_function(char *out, size_t bytes);

static void set_or_clear(const char *variable, const char *value)
{
    if (value != NULL)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
}

static void test_variable_else_home(void **state)
{
    static const struct {
        const char     *name;
        paths_function *path;
        const char     *variable, *value, *home, *expected;
    } rows[] = {
        { "config", paths_user_config, "XDG_CONFIG_HOME", "/c", "/h", "/c/weir/weir.conf" },
        { "config_default", paths_user_config, "XDG_CONFIG_HOME", NULL, "/h", "/h/.config/weir/weir.conf" },
        { "cache", paths_user_cache, "XDG_CACHE_HOME", "/c", NULL, "/c/weir" },
        { "cache_default", paths_user_cache, "XDG_CACHE_HOME", NULL, "/h", "/h/.cache/weir" },
        { "state", paths_user_state, "XDG_STATE_HOME", "/s", "/h", "/s/weir" },
        { "state_default", paths_user_state, "XDG_STATE_HOME", NULL, "/h", "/h/.local/state/weir" },
        { "runtime", paths_user_runtime, "XDG_RUNTIME_DIR", "/run/user/1", "/h", "/run/user/1/weir" },
        { "runtime_default", paths_user_runtime, "XDG_RUNTIME_DIR", NULL, "/h", "/h/.local/state/weir/run" },
        { "relative_is_passed_over", paths_user_cache, "XDG_CACHE_HOME", "c", "/h", "/h/.cache/weir" },
        { "empty_is_passed_over", paths_user_cache, "XDG_CACHE_HOME", "", "/h", "/h/.cache/weir" },
        { "no_home", paths_user_cache, "XDG_CACHE_HOME", NULL, NULL, NULL },
        { "relative_home", paths_user_cache, "XDG_CACHE_HOME", NULL, "h", NULL },
    };

    (void)state;
    unsetenv("XDG_STATE_HOME");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[256] = "";
        int  result;

        set_or_clear(rows[i].variable, rows[i].value);
        set_or_clear("HOME", rows[i].home);
        result = rows[i].path(out, sizeof out);
        if (rows[i].expected == NULL ? result != -1 : result != 0 || strcmp(out, rows[i].expected) != 0)
            fail_msg("%s: %s", rows[i].name, out);
        unsetenv(rows[i].variable);
    }
}

static void test_what_does_not_fit_is_said(void **state)
{
    char out[64];

    (void)state;
    setenv("HOME", "/h", 1);
    unsetenv("XDG_CACHE_HOME");
    assert_int_equal(paths_user_cache(out, strlen("/h/.cache/weir")), -1);
    assert_int_equal(paths_user_cache(out, strlen("/h/.cache/weir") + 1), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variable_else_home),
        cmocka_unit_test(test_what_does_not_fit_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
