/*
 * What a configuration is refused or remarked on for, and in which words.
 */
#include "conf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* -- what is refused -- */

struct problem_row {
    const char *name, *text;
    const char *says; /* "LINE: setting: part" */
};

static const struct problem_row errors[] = {
    { "value_without_quotes", "log = {\n level = info; };", "2: log.level: info is no value; text stands in" },
    { "duration_without_quotes", API "\nttl = 30m; } );", "2: upstreams[0].ttl: 30m is no value" },
    { "equals_missing", "workers 2;", "1: workers: syntax error at '2'; '=' after the name is wanted" },
    { "name_begins_with_a_digit", "5xx = 2;", "1: syntax error at '5xx'; the name of a setting is wanted" },
    { "two_semicolons", "workers = 2;;", "1: syntax error at ';'; one ';' after a setting is wanted" },
    { "value_missing", "workers = ;", "1: workers: a value is missing before ';'" },
    { "list_not_closed", "\nlisten = ( \"127.0.0.1:1\";", "2: listen: syntax error at ';'; a comma between two" },
    { "list_not_closed_at_the_end", "\nlisten = ( \"127.0.0.1:1\"", "2: listen: the '(' on this line has no ')'" },
    { "wrong_bracket", "cache = {\n path = \"/x\" );", "2: cache: ')' where the '{' of line 1 wants its '}'" },
    { "bracket_too_many", "workers = 1; }", "1: syntax error at '}'" },
    { "comment_not_closed", "workers = 1; \n/* x", "2: the comment that begins here has no end" },
    { "text_not_closed", "\nlog = { access = \"off; };\n", "2: log.access: the text that begins here has no end" },
    { "texts_without_a_comma", "listen = ( \"127.0.0.1:1\"\n\"127.0.0.1:2\" );",
      "2: listen[0]: two texts without a comma" },
    { "mixed_array", "retry = [ 1,\n\"a\" ];", "2: retry[1]: an array [ ] holds plain values of one kind" },
    { "too_deep", "a = ((((((((((((((((((((((((((((((((((((((((", "1: a[0]" },
    { "set_twice", "workers = 1;\n\nworkers = 1;", "3: workers: set twice; keep this or that of line 1" },
    { "set_twice_in_a_group", "log = { level = \"info\";\n level = \"info\"; };", "2: log.level: set twice" },
    { "trailing_comma_in_a_list", "listen = ( \"127.0.0.1:1\"\n,\n);", "2: listen: a trailing comma; take the ','" },
    { "trailing_comma_in_an_array", API "hosts = [ \"a\", ];" API_END, "1: upstreams[0].hosts: a trailing comma" },
    { "nul_byte", NULL, "2: a NUL byte" },
    { "include_of_nothing", "\n@include \"absent\"\n", "2: @include: " },
    { "include_of_itself", "@include \"weir.conf\"\n", "1: @include: files include one another more than 10 deep" },

    { "overflowing_number", "workers =\n99999999999;", "2: workers: 99999999999 is too large; 0 to 1024 is allowed" },
    { "overflowing_long_number", "workers = 99999999999999999999L;", "1: workers: 99999999999999999999L is too large" },
    { "overflowing_hexadecimal", "workers = 0x1ffffffff;", "1: workers: 0x1ffffffff is too large" },
    { "negative_number", "workers = -1;", "1: workers: -1 is too small" },
    { "fraction", "workers = 1.5;", "1: workers: is a number with a fraction; wanted is a whole number" },
    { "near_name", "wokers = 1;", "1: wokers: there is no such setting; did you mean \"workers\"?" },
    { "name_of_another_group", "max_length = 10;",
      "1: max_length: there is no such setting here; it belongs in queue" },
    { "name_of_nothing", "zzz = 1;", "1: zzz: there is no such setting; weir.conf(5) lists those of the top" },
    { "two_unknown_ones_first", "zzz = 1;\nyyy = 1;", "1: zzz: there is no" },
    { "two_unknown_ones_second", "zzz = 1;\nyyy = 1;", "2: yyy: there is no" },
    { "group_wanted", "cache = \"/x\";", "1: cache: wanted is a group" },
    { "list_wanted", "upstreams = { };", "1: upstreams: wanted is a list" },
    { "group_in_a_list_wanted", "upstreams = (\n\"a\" );", "2: upstreams[0]: wanted is a group: { name = ...; }" },
    { "word_near", "log = { level = \"warn\"; };",
      "1: log.level: \"warn\" is not known here; wanted is \"error\", \"warning\", "
      "\"info\" or \"debug\"; did you mean \"warning\"?" },
    { "mode_as_a_number", "admin = { mode = 0600; };", "1: admin.mode: is a number; wanted is a file mode in quotes" },
    { "mode_with_a_nine", "admin = { mode = \"0690\"; };", "1: admin.mode: \"0690\" is no file mode" },
    { "home_path", "cache = { path = \"~/x\"; };", "1: cache.path: \"~\" is the shell's" },
    { "address_without_port", "listen = ( \"127.0.0.1\" );", "1: listen[0]: \"127.0.0.1\" is no address" },
    { "address_by_name", "listen = ( \"localhost:80\" );", "1: listen[0]: \"localhost:80\" is no address" },
    { "address_port_too_large", "listen = ( \"127.0.0.1:65536\" );", "1: listen[0]: \"127.0.0.1:65536\" is no" },
    { "address_twice", "listen = ( \"127.0.0.1:1\",\n\"127.0.0.1:1\" );", "2: listen[1]: \"127.0.0.1:1\" stands in" },
    { "address_for_others", "listen = ( \"[::]:1\" );", "1: listen[0]: other machines can reach \"[::]:1\"" },
    { "admin_for_others", "admin = {\n listen = \"0.0.0.0:1\"; };", "2: admin.listen: other machines can reach" },
    { "metrics_for_others", "metrics = {\n listen = \"0.0.0.0:1\"; };", "2: metrics.listen: other machines can reach" },
    { "metrics_at_a_socket", "metrics = {\n listen = \"unix:/x\"; };", "2: metrics.listen: \"unix:/x\" is no address" },
    { "proxy_for_others", "proxy = {\n listen = \"0.0.0.0:1\"; };", "2: proxy.listen: other machines can reach" },
    { "socket_relative", "listen = ( \"unix:x\" );", "1: listen[0]: \"unix:x\": the path of a socket begins with '/'" },
    { "nowhere_to_listen", "\nlisten = ( );", "2: listen: nobody could reach Weir" },
    { "state_in_the_cache", "cache = { path = \"/x\"; };\nstate = { path = \"/x\"; };",
      "2: state.path: is the cache's" },
    { "log_to_nowhere", "log = { access = \"sterr\"; };", "1: log.access: \"sterr\" is not known here" },
    { "client_without_match", "clients = ( { priority = \"batch\"; } );", "1: clients[0].match: is missing" },

    { "duration_unit", API "timeout = { read = \"5min\"; };" API_END,
      "1: upstreams.a.timeout.read: \"5min\" is no duration" },
    { "duration_as_number", API "timeout = { read = 5; };" API_END,
      "1: upstreams.a.timeout.read: is a number without a unit; "
      "write \"5s\" for seconds or \"5ms\" for milliseconds" },
    { "duration_too_long", API "timeout = { read = \"2d\"; };" API_END,
      "1: upstreams.a.timeout.read: \"2d\" is too long; "
      "\"1ms\" to \"1d\" is allowed" },
    { "duration_overflow", API "stale_if_error = \"999999999999d\";" API_END, "1: upstreams.a.stale_if_error: " },
    { "forever_where_it_ends", API "queue = { max_wait = \"forever\"; };" API_END,
      "1: upstreams.a.queue.max_wait: \"forever\" is too long" },
    { "share_as_number", API "max_share = 0.5;" API_END,
      "1: upstreams.a.max_share: is a number with a fraction; wanted is a share" },
    { "share_over_all", API "max_share = \"101%\";" API_END, "1: upstreams.a.max_share: \"101%\" is no share" },
    { "size_decimal_unit", "cache = { max_size = \"2GB\"; };", "1: cache.max_size: \"2GB\" is no size" },
    { "size_too_small", "cache = { max_size = \"1KiB\"; };", "1: cache.max_size: \"1KiB\" is too small; \"1MiB\" to" },
    { "status_code_out_of_range", API "retry = { on = ( 99 ); };" API_END,
      "1: upstreams.a.retry.on[0]: 99 is too small" },
    { "status_code_in_quotes", API "retry = { on = ( \"503\" ); };" API_END,
      "1: upstreams.a.retry.on[0]: is a text; wanted is a status code" },
    { "no_attempt", API "retry = { attempts = 0; };" API_END,
      "1: upstreams.a.retry.attempts: 0 is too small; 1 to 100" },
    { "name_missing", "upstreams = ( {\n url = \"http://x\"; } );", "1: upstreams[0].name: is missing" },
    { "name_with_a_slash", "upstreams = ( { name = \"a/b\"; url = \"http://x\"; } );",
      "1: upstreams[0].name: \"a/b\" is no name" },
    { "name_with_a_dot_first", "upstreams = ( { name = \".weir\"; url = \"http://x\"; } );",
      "1: upstreams[0].name: \".weir\" is no" },
    { "url_missing", "upstreams = ( { name = \"a\"; } );", "1: upstreams.a.url: is missing" },
    { "url_scheme", "upstreams = ( { name = \"a\"; url = \"ftp://x\"; } );",
      "1: upstreams.a.url: \"ftp://x\" is no URL of an API" },
    { "url_query", "upstreams = ( { name = \"a\"; url = \"http://x/?k=v\"; } );",
      "1: upstreams.a.url: \"http://x/...\" has a query" },
    { "url_own_address", "upstreams = ( { name = \"a\"; url = \"http://127.0.0.1:8080\"; } );",
      "1: upstreams.a.url: is Weir's own" },
    { "host_as_url", API "hosts = ( \"http://x\" );" API_END,
      "1: upstreams.a.hosts[0]: \"http://x\" is more than a host" },
    { "alias_of_two", API "hosts = ( \"a = b = c\" );" API_END,
      "1: upstreams.a.hosts[0]: \"a = b = c\" is no alias; " },
    { "alias_of_nothing", API "hosts = ( \"x =\" );" API_END, "1: upstreams.a.hosts[0]: \"x =\" is no alias; " },
    { "alias_for_nothing", API "hosts = ( \"= x\" );" API_END, "1: upstreams.a.hosts[0]: \"= x\" is no alias; " },
    { "alias_of_a_url", API "hosts = ( \"x = https://y\" );" API_END,
      "1: upstreams.a.hosts[0]: \"x = https://y\" is no alias; " },
    { "host_twice", API "hosts = ( \"x\", \"X\" );" API_END, "1: upstreams.a.hosts: \"X\" stands in the list twice" },
    { "host_and_alias_of_one_name", API "hosts = ( \"x\", \"x = y\" );" API_END,
      "1: upstreams.a.hosts: \"x\" stands in the list twice" },
    { "host_is_weirs_own", API "hosts = ( \"localhost:8080\" );" API_END,
      "1: upstreams.a.hosts: \"localhost:8080\" is Weir's own address; to have it stand for the API, write "
      "\"localhost:8080 = a.example.org\"" },
    { "host_is_weirs_own_proxy",
      "proxy = { listen = \"127.0.0.1:3128\"; };" API "hosts = ( \"127.0.0.1:3128\" );" API_END,
      "1: upstreams.a.hosts: \"127.0.0.1:3128\" is Weir's own proxy; " },
    { "alias_of_weir_itself", API "hosts = ( \"x = 127.0.0.1:8080\" );" API_END,
      "1: upstreams.a.hosts: \"x = 127.0.0.1:8080\" leads to Weir's own address" },
    { "via_scheme", API "via = \"socks4://p:1\";" API_END, "1: upstreams.a.via: is no URL of a proxy; it begins with" },
    { "via_bare", API "via = \"proxy:3128\";" API_END, "1: upstreams.a.via: is no URL of a proxy; it begins with" },
    { "via_port", API "via = \"http://proxy\";" API_END, "1: upstreams.a.via: \"http://proxy\" names no port" },
    { "via_path", API "via = { url = \"http://proxy:1/x\"; };" API_END,
      "1: upstreams.a.via.url: \"http://proxy:1/x\" is no URL of a proxy; scheme, host and port alone" },
    { "via_number", API "via = 3128;" API_END, "1: upstreams.a.via: wanted is a text or a group: { url = ...; }" },
    { "via_without_url", API "via = { value_file = \"/x\"; };" API_END, "1: upstreams.a.via.url: is missing" },
    { "via_user", API "via = \"http://u@proxy:1\";" API_END, "1: upstreams.a.via: the URL names a user; " },
    { "via_weir_itself", API "via = \"http://localhost:8080\";" API_END, "1: upstreams.a.via: is Weir's own address" },
    { "via_weirs_own_proxy", "proxy = { listen = \"[::1]:3128\"; };" API "via = \"http://[::1]:3128\";" API_END,
      "1: upstreams.a.via: is Weir's own proxy" },
    { "via_ca_missing", API "via = { url = \"https://p:1\"; ca_file = \"/no/such\"; };" API_END,
      "1: upstreams.a.via.ca_file: \"/no/such\" is not there" },
    { "via_value_missing", API "via = { url = \"https://p:1\"; value_file = \"/no/such\"; };" API_END,
      "1: upstreams.a.via.value_file: \"/no/such\" is not there" },
    { "via_and_a_tunnel", API "via = \"http://p:1\"; intercept = false;" API_END,
      "1: upstreams.a.intercept: a tunnel does not go by `via`" },
    { "rule_timeout", API "rules = ( { match = \"/\"; timeout = { reed = \"1s\"; }; } );" API_END,
      "1: upstreams.a.rules[0].timeout.reed: there is no such setting; did you mean \"read\"?" },
    { "two_of_one_name",
      "upstreams = ( { name = \"a\"; url = \"http://x\"; },\n { name = \"a\"; url = \"http://y\"; "
      "} );",
      "2: upstreams.a.name: two upstreams are called \"a\"; the other one stands at" },
    { "rate_unit", API "limits = ( \"60/fortnight\" );" API_END, "1: upstreams.a.limits[0]: \"60/fortnight\": " },
    { "rate_missing", API "limits = ( { per = \"credential\"; } );" API_END,
      "1: upstreams.a.limits[0].rate: is missing; wanted is a text in quotes, such as \"60/min\"" },
    { "cost", API "limits = ( { rate = \"1/s\"; cost = ( \"x\" ); } );" API_END,
      "1: upstreams.a.limits[0].cost[0]: \"x\" is no cost" },
    { "limit_method", API "limits = ( { rate = \"1/s\"; methods = ( \"BREW\" ); } );" API_END,
      "1: upstreams.a.limits[0].methods[0]: \"BREW\" is no method that Weir knows" },
    { "ttl", API "\nttl = \"soon\";" API_END, "2: upstreams.a.ttl: \"soon\" is no ttl" },
    { "ttl_else_what", API "ttl = \"origin else never\";" API_END,
      "1: upstreams.a.ttl: \"origin else never\" is no ttl" },
    { "ttl_as_number", API "ttl = 3600;" API_END,
      "1: upstreams.a.ttl: is a number; wanted is a text in quotes, such as \"1h\"" },
    { "rule_without_match", API "rules = (\n{ ttl = \"1h\"; } );" API_END,
      "2: upstreams.a.rules[0].match: is missing" },
    { "rule_pattern", API "rules = (\n{ match = \"~[\"; } );" API_END, "2: upstreams.a.rules[0].match: \"~[\": " },
    { "rule_status", API "rules = ( { match = \"/\"; status = ( \"404\" ); } );" API_END,
      "1: upstreams.a.rules[0].status[0]: \"404\" is no status rule" },
    { "rule_method_small", API "rules = ( { match = \"/\"; methods = ( \"get\" ); } );" API_END,
      "1: upstreams.a.rules[0].methods[0]: \"get\": methods are written in capitals; did you mean "
      "\"GET\"?" },
    { "rule_without_methods", API "rules = ( { match = \"/\"; methods = ( ); } );" API_END,
      "1: upstreams.a.rules[0].methods: no method is named" },
    { "header_for_one_connection", API "set_headers = ( \"Connection: close\" );" API_END,
      "1: upstreams.a.set_headers[0]: \"Connection\" is for one connection" },
    { "origin_star", API "allow_origins = ( \"*\" );" API_END,
      "1: upstreams.a.allow_origins[0]: \"*\" would open the API" },
    { "access", API "access = ( \"10.0.0.0/33\" );" API_END, "1: upstreams.a.access[0]: \"10.0.0.0/33\" names nobody" },
    { "mock_status", API "mock = { status = 99; };" API_END,
      "1: upstreams.a.mock.status: 99 is too small; 200 to 599 is allowed" },
    { "mock_header_that_frames", API "mock = { headers = ( \"Content-Length: 5\" ); };" API_END,
      "1: upstreams.a.mock.headers[0]: \"Content-Length\" frames the message" },
    { "mock_share", API "mock = { share = \"5\"; };" API_END, "1: upstreams.a.mock.share: \"5\" is no share" },
    { "mock_file_that_is_not_there", API "mock = { body_file = \"/nowhere/at-all\"; };" API_END,
      "1: upstreams.a.mock.body_file: \"/nowhere/at-all\" cannot be read: No such file" },
    { "mock_file_that_is_none", API "mock = { body_file = \"/\"; };" API_END,
      "1: upstreams.a.mock.body_file: \"/\" cannot be read: it is no file" },
    { "mock_with_two_bodies",
      API "rules = ( { match = \"/\"; mock = { body = \"a\"; body_file = \"/etc/passwd\"; }; } );" API_END,
      "1: upstreams.a.rules[0].mock.body_file: a mock has one body" },
    { "mock_body_where_none_goes", API "mock = { status = 204; body = \"a\"; };" API_END,
      "1: upstreams.a.mock.status: an answer with 204 has no body" },
    { "mock_member", API "mock = { bodi = \"a\"; };" API_END,
      "1: upstreams.a.mock.bodi: there is no such setting; did you mean \"body\"?" },
    { "mock_delay", API "mock = { delay = 5; };" API_END, "1: upstreams.a.mock.delay: is a number without a unit" },
    { "record_without_a_snapshot", API "mode = \"record\";" API_END,
      "1: upstreams.a.mode: \"record\" wants a snapshot: snapshot = { path" },
    { "replay_without_a_snapshot", API "mode = \"replay\"; snapshot = { miss = \"fetch\"; };" API_END,
      "1: upstreams.a.mode: \"replay\" wants a snapshot: snapshot = { path" },
    { "redact_of_nothing", API "snapshot = { path = \"x\"; redact = ( \"token\" ); };" API_END,
      "1: upstreams.a.snapshot.redact[0]: " },
    { "no_mode", API "mode = \"dryrun\";" API_END, "1: upstreams.a.mode: \"dryrun\" is not known here" },
    { "identity_without_files", API "identities = ( { name = \"x\"; } );" API_END,
      "1: upstreams.a.identities.x.value_files: is missing" },
    { "auth_from_nowhere", API "auth = { header = \"X\"; };" API_END, "1: upstreams.a.auth.value_file: is missing" },
    { "auth_to_nowhere", API "auth = { command = \"x\"; };" API_END, "1: upstreams.a.auth.header: is missing" },
    { "value_file_relative", API "auth = { header = \"X\"; value_file = \"x\"; };" API_END,
      "1: upstreams.a.auth.value_file: \"x\" is no place of a value" },
};

static const struct problem_row warnings[] = {
    { "no_upstreams", "workers = 1;", "upstreams: no API is named" },
    { "hidden_rule", API "rules = ( { match = \"/a/**\"; },\n{ match = \"/a/b\"; } );" API_END,
      "2: warning: upstreams.a.rules[1].match: the rule \"/a/**\" of line 1" },
    { "credential_ignored", API "ignore_params = ( \"token\" );" API_END,
      "1: warning: upstreams.a.ignore_params: \"token\" carries" },
    { "burst_over_window", API "limits = ( \"1/s burst 61\", \"60/min\" );" API_END,
      "1: warning: upstreams.a.limits[0]: a burst of 61 can never come" },
    { "retry_on_404", API "retry = { on = ( 404 ); };" API_END,
      "1: warning: upstreams.a.retry.on: 404 will hardly change" },
    { "backoff_over_its_bound", API "retry = { backoff = \"1m\"; };" API_END,
      "1: warning: upstreams.a.retry.backoff: is longer than max_backoff" },
    { "read_over_total", API "timeout = { read = \"2h\"; };" API_END,
      "1: warning: upstreams.a.timeout.read: is longer than total" },
    { "post_without_body_in_key", API "rules = ( { match = \"/\"; methods = ( \"POST\" ); ttl = \"1h\"; } );" API_END,
      "1: warning: upstreams.a.rules[0].ttl: a POST is stored only" },
    { "unverified", API "tls = { verify = false; };" API_END, "1: warning: upstreams.a.tls.verify: anyone on the way" },
    { "secret_in_the_file", API "set_headers = ( \"authorization: x\" );" API_END,
      "1: warning: upstreams.a.set_headers: authorization is a credential" },
    { "host_of_two", API "},\n{ name = \"b\"; url = \"https://a.example.org/b\";" API_END,
      "2: warning: upstreams.b.hosts: \"a.example.org\" is a host of" },
    { "alias_of_two_upstreams",
      API "hosts = ( \"x = y\" ); },\n{ name = \"b\"; url = \"https://b\"; hosts = ( \"X\" );" API_END,
      "2: warning: upstreams.b.hosts: \"X\" is a host of" },
    { "host_of_this_machine", API "hosts = ( \"api.localhost\" );" API_END,
      "1: warning: upstreams.a.hosts: \"api.localhost\" is this machine, and is asked there; to have it stand for the "
      "API, write \"api.localhost = a.example.org\"" },
    { "host_beside_a_local_url", "upstreams = ( { name = \"a\"; url = \"http://127.0.0.1:9\"; hosts = ( \"x\" ); } );",
      "1: warning: upstreams.a.hosts: \"x\" is asked at its own address, not at that of url; to have it stand for the "
      "API, write \"x = 127.0.0.1:9\"" },
    { "read_over_total_of_a_rule", API "rules = ( { match = \"/\";\ntimeout = { read = \"2h\"; }; } );" API_END,
      "2: warning: upstreams.a.rules[0].timeout.read: is longer than total" },
    { "via_ca_of_a_plain_proxy", API "via = { url = \"http://p:1\"; ca_file = \"/dev/null\"; };" API_END,
      "1: warning: upstreams.a.via.ca_file: is for https:// proxies" },
    { "access_of_nobody", API "access = ( \"group:no-such-group\" );" API_END,
      "1: warning: upstreams.a.access: \"group:no-such-group\": there is no such group" },
    { "client_without_a_user", "clients = ( { match = \"user:no-such-user\"; } );",
      "1: warning: clients[0].match: \"user:no-such-user\": there is no such user" },
};

/* A line of `said` that begins with "FILE:" and goes on as `says`. */
static bool has_line(const char *said, const char *says)
{
    char wanted[4096];

    snprintf(wanted, sizeof wanted, "%s:%s", conf_path("weir.conf"), says);
    for (const char *at = said; (at = strstr(at, wanted)) != NULL; at++)
        if (at == said || at[-1] == '\n')
            return true;
    return false;
}

static void test_errors_name_line_setting_and_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        const struct problem_row *row = &errors[i];
        char                     *said;
        struct config *c = row->text != NULL ? conf_load(row->text, &said) : conf_load_bytes("a\nb\0c", 5, &said);

        if (c != NULL || !has_line(said, row->says))
            fail_msg("%s: %s\n%s", row->name, c != NULL ? "accepted" : "says", said);
        free(said);
    }
}

static void test_warnings_do_not_refuse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof warnings / sizeof warnings[0]; i++) {
        const struct problem_row *row = &warnings[i];
        char                     *said;
        struct config            *c = conf_load(row->text, &said);

        if (c == NULL || strstr(said, row->says) == NULL)
            fail_msg("%s: %s\n%s", row->name, c == NULL ? "refused" : "says", said);
        config_release(c);
        free(said);
    }
}

static void test_quiet_where_nothing_is_wrong(void **state)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        { "separators", "workers: 2, log = { level: \"info\" } " API API_END },
        { "aliases",
          API "hosts = ( \"a.example.org\", \"localhost:8080 = a.example.org\", \"x.localhost = y\" );" API_END },
        { "comments", "# x\n// x\n/* @include \"x\"\n */ " API "ttl = \"1h\"; # }\n" API_END "# last" },
        { "joined_texts", API "user_agent = \"a\" \" b\";" API_END },
        { "array_for_list", API "hosts = [ \"x\", \"y\" ]; limits = [ \"1/s\" ];" API_END },
        { "remote_where_permitted", "listen = ( \"0.0.0.0:1\" ); server = { allow_remote = true; };" API API_END },
        { "two_free_ports", "listen = ( \"127.0.0.1:0\", \"127.0.0.1:0\" );" API API_END },
        { "byte_order_mark", "\xef\xbb\xbf" API API_END },
        { "carriage_returns", "workers = 2;\r\n" API "\r\n" API_END },
        { "narrow_rule_first", API "rules = ( { match = \"/a/b\"; }, { match = \"/a/**\"; } );" API_END },
        { "defaults_that_are_stated", "proxy = { listen = \"\"; tunnel = \"deny\"; }; clients = ( );" API
                                      "intercept = true; identities = ( );" API_END },
        { "other_methods_hide_nothing", API "rules = ( { match = \"/**\"; methods = ( \"POST\" ); "
                                            "}, { match = \"/a\"; } );" API_END },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char          *said;
        struct config *c = conf_load(rows[i].text, &said);

        if (c == NULL || *said != '\0')
            fail_msg("%s: %s", rows[i].name, said);
        config_release(c);
        free(said);
    }
}

static void test_missing_file_is_one_line(void **state)
{
    char  *said;
    size_t bytes;
    FILE  *problems = open_memstream(&said, &bytes);

    (void)state;
    assert_null(config_load(conf_path("absent.conf"), problems));
    fclose(problems);
    assert_non_null(strstr(said, "absent.conf: cannot be read: No such file or directory\n"));
    assert_int_equal(strcspn(said, "\n") + 1, strlen(said));
    free(said);
    assert_null(config_load(conf_directory(), NULL));
}

static void test_secrets_are_not_repeated(void **state)
{
    static const char *const texts[] = {
        "upstreams = ( { name = \"a\"; url = \"https://ann:geheim@x\"; } );",
        "upstreams = ( { name = \"a\"; url = \"https://x?key=geheim\"; } );",
        API "set_headers = ( \"X Y: geheim\" );" API_END,
        API "set_headers = ( \"Authorization: geheim\" );" API_END,
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *said;

        config_release(conf_load(texts[i], &said));
        assert_true(*said != '\0');
        if (strstr(said, "geheim") != NULL)
            fail_msg("%s", said);
        free(said);
    }
}

/* -- damaged files -- */

/* Whatever is read, there is a configuration or a reason, and nothing leaks (under ASan). */
static void test_damaged_files_are_refused_in_words(void **state)
{
    static const char bytes[] = "\"{}()[],;=#\\/\n@0xL-.";
    char             *text = conf_read(conf_source("tests/conf/good-contract.conf"));
    size_t            length = strlen(text);
    unsigned          random = 12345;

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        char          *said, *damaged = mem_copy((struct slice){ text, length });
        struct config *c;
        size_t         at, kept = length;

        random = random * 1103515245u + 12345u;
        at = (random >> 8) % length;
        if (i % 3 == 0)
            kept = at;
        else
            damaged[at] = i % 3 == 1 ? bytes[(random >> 4) % (sizeof bytes - 1)] : (char)(random >> 24);
        c = conf_load_bytes(damaged, kept, &said);
        if (c == NULL && *said == '\0')
            fail_msg("refused without a word: byte %zu, turn %u", at, i);
        config_release(c);
        free(said);
        free(damaged);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_name_line_setting_and_remedy),
        cmocka_unit_test(test_warnings_do_not_refuse),
        cmocka_unit_test(test_quiet_where_nothing_is_wrong),
        cmocka_unit_test(test_missing_file_is_one_line),
        cmocka_unit_test(test_secrets_are_not_repeated),
        cmocka_unit_test(test_damaged_files_are_refused_in_words),
    };

    return cmocka_run_group_tests(tests, conf_set_up, conf_tear_down);
}
