/*
 * Every setting there is, one row each: the loader, --dump-config and the
 * settings tables of weir.conf(5) are made from these rows.
 *
 * A row leads to the field that a room uses, or to one of settings.h from which that is made (upstream.c, load.c).  Its
 * `value` is the default as a file would state it.  Help texts are whole sentences for the manual.  After a change here
 * run tests/unit/test_config_files with WEIR_UPDATE_MANUAL=1, which writes the manual's tables anew, and show the
 * setting in etc/weir.conf.  long: one table of rows.
 */
#include "config/checks.h"
#include "config/reader.h"

#include "base/clock.h"

#include <stddef.h>

#ifndef WEIR_LOCALSTATEDIR
#define WEIR_LOCALSTATEDIR "/var"
#endif
#ifndef WEIR_RUNSTATEDIR
#define WEIR_RUNSTATEDIR "/run"
#endif

/* The field of a row in the struct that SECTION names; one that is not what values of the row's type are kept in does
 * not compile. */
#define ROW(n, t, v, member, h, ...) \
    { \
        .name = (n), .type = TYPE_##t, .value = (v), .help = (h), \
        .offset = offsetof(struct SECTION, member) + FITS_##t(((struct SECTION *)NULL)->member), \
        .bytes = sizeof(((struct SECTION *)NULL)->member), __VA_ARGS__ \
    }
#define FITS_BOOL(x)     _Generic((x), bool : 0)
#define FITS_INT(x)      _Generic((x), unsigned : 0)
#define FITS_MODE(x)     FITS_INT(x)
#define FITS_NUMBER(x)   _Generic((x), double : 0)
#define FITS_SHARE(x)    FITS_NUMBER(x)
#define FITS_DURATION(x) _Generic((x), int64_t : 0)
#define FITS_SIZE(x)     _Generic((x), int64_t : 0, uint64_t : 0)
#define FITS_WORD(x)     _Generic((x), bool : 0, unsigned : 0) /* unsigned: every enum without negative values */
#define FITS_TEXT(x)     _Generic((x), const char * : 0)
#define FITS_PATH(x)     FITS_TEXT(x)
#define FITS_TEXTS(x)    _Generic((x), const char *const * : 0)
#define FITS_STATUSES(x) _Generic((x), const unsigned * : 0)
#define FITS_GROUPS(x)   _Generic((x), struct group_list : 0)
/* The section's rows are of the same struct, or of a member of it: IN(member). */
#define GROUP(n, s, h, ...) \
    { \
        .name = (n), .type = TYPE_GROUP, .section = &(s), .help = (h), __VA_ARGS__ \
    }
#define IN(member) .offset = offsetof(struct SECTION, member)
#define WORDS(...) \
    .words = (const struct word[]) \
    { \
        __VA_ARGS__, \
        { \
            NULL, 0 \
        } \
    }
#define RESTART     .reload = RELOAD_RESTART
#define RANGE(a, b) .min = (a), .max = (b)
#define END \
    { \
        .name = NULL \
    }

#define SECONDS(n) ((n)*NS_PER_SEC)
#define DAYS(n)    SECONDS(INT64_C(86400) * (n))
#define MIB        (INT64_C(1) << 20)
#define TIB        (INT64_C(1) << 40)

/* -- what stands at the top -- */

#define SECTION set_listener
static const struct option listener_options[] = {
    ROW("address", TEXT, NULL, to.address,
        "A numeric address and a port, or \"unix:\" and the absolute path of a socket.", .check = check_listener,
        .required = true, RESTART),
    ROW("mode", MODE, "\"0666\"", to.mode,
        "File mode of a unix socket. Which users may use an upstream is said by its access setting.", RESTART),
    ROW("group", TEXT, NULL, to.group, "Group that a unix socket is given to.", .check = check_some_text,
        .unset = "the daemon's", RESTART),
    END
};
static const struct section listener_section = { "listen", listener_options, sizeof(struct set_listener), "address",
                                                 NULL };
#undef SECTION

#define SECTION settings
static const struct option admin_options[] = {
    ROW("socket", PATH, "\"" WEIR_RUNSTATEDIR "/weir/admin.sock\"", admin_path, "The socket that weirctl speaks to.",
        .check = check_socket_path, .unset = "\"/run/weir/admin.sock\"", RESTART),
    ROW("mode", MODE, "\"0600\"", config.admin_socket.mode, "File mode of that socket.", RESTART),
    ROW("group", TEXT, NULL, config.admin_socket.group, "Group that the socket is given to.", .check = check_some_text,
        .unset = "the daemon's", RESTART),
    ROW("query", TEXT, "\"query.sock\"", admin_query,
        "The socket that anybody on this machine may ask, and that changes nothing: status, limits, ca, and what "
        "weirctl run needs, of the upstreams that access lets one use. A name alone is beside socket; \"\" is none.",
        .check = check_query_socket, RESTART),
    ROW("listen", TEXT, NULL, config.admin_listen,
        "A TCP address for the page that weirctl dashboard opens, and for the same as at socket. \"\" is none. All but "
        "the page's files wants a token that only weirctl dashboard makes; pages of other sites and ports are refused.",
        .check = check_tcp_address, .unset = "none", RESTART),
    END
};
static const struct section admin_section = { "admin", admin_options, 0, NULL, NULL };

static const struct option cache_options[] = {
    ROW("path", PATH, "\"" WEIR_LOCALSTATEDIR "/cache/weir\"", config.cache.path,
        "Directory of the cache. It may be deleted at any time.", .unset = "\"/var/cache/weir\"", RESTART),
    ROW("max_size", SIZE, "\"2GiB\"", config.cache.max_bytes,
        "How much of the disk the cache may take, as du counts it: database, body files and directories. About an "
        "eighth of it, at most 48MiB, stands free for what is being written.",
        RANGE(MIB, 256 * TIB), RESTART),
    ROW("max_object_size", SIZE, "\"1GiB\"", max_object_bytes,
        "The largest body that is kept, where an upstream does not say otherwise.", RANGE(0, 256 * TIB)),
    END
};
static const struct section cache_section = { "cache", cache_options, 0, NULL, NULL };

static const struct option state_options[] = {
    ROW("path", PATH, "\"" WEIR_LOCALSTATEDIR "/lib/weir\"", config.state.path,
        "Directory of what must not be lost: the ledger of the budgets, the local CA, the hashing key.",
        .unset = "\"/var/lib/weir\"", RESTART),
    END
};
static const struct section state_section = { "state", state_options, 0, NULL, NULL };

static const struct option proxy_options[] = {
    ROW("listen", TEXT, NULL, config.proxy.listen,
        "Address of the forward proxy, such as \"127.0.0.1:3128\". \"\" is none.", .check = check_tcp_address,
        .unset = "none", RESTART),
    ROW("tunnel", WORD, "\"deny\"", config.proxy.tunnel,
        "Whether a CONNECT to a host of no upstream is refused or tunnelled unread.",
        WORDS({ "deny", false }, { "allow", true })),
    ROW("tunnel_private", TEXTS, "()", config.proxy.tunnel_private,
        "Hosts, addresses and networks that a tunnel may lead to although their address is a loopback, link-local or "
        "private one. The hosts of upstreams need not be listed.",
        .check = check_private),
    ROW("max_tunnels", INT, "256", config.proxy.max_tunnels, "Tunnels at one time.", RANGE(1, 100000)),
    ROW("tunnel_idle", DURATION, "\"10m\"", config.proxy.tunnel_idle_ns,
        "How long nothing may go through a tunnel before it is closed.", RANGE(NS_PER_MS, DAYS(1))),
    ROW("tunnel_life", DURATION, "\"12h\"", config.proxy.tunnel_life_ns, "How long a tunnel may last.",
        RANGE(NS_PER_MS, DAYS(30))),
    END
};
static const struct section proxy_section = { "proxy", proxy_options, 0, NULL, NULL };

static const struct option metrics_options[] = {
    ROW("listen", TEXT, NULL, config.metrics_listen,
        "A TCP address that Prometheus scrapes, such as \"127.0.0.1:9464\": /metrics and nothing else, with GET and "
        "HEAD. \"\" is none. Whoever reaches it reads how upstreams and their limits are called and used, those of "
        "access included.",
        .check = check_tcp_address, .unset = "none", RESTART),
    END
};
static const struct section metrics_section = { "metrics", metrics_options, 0, NULL, NULL };

static const struct option top_learned_options[] = {
    ROW("max_wait", DURATION, "\"1h\"", learned_max_wait_ns,
        "The longest that a Retry-After of the API is believed: a wrong one locks it out for no longer. What is told "
        "of a window that a limit states is believed for that window.",
        RANGE(NS_PER_SEC, DAYS(366))),
    END
};
static const struct section top_learned_section = { "learned", top_learned_options, 0, NULL, NULL };

static const struct option log_options[] = {
    ROW("level", WORD, "\"info\"", config.log_level, "The least important events that are logged.",
        WORDS({ "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING }, { "info", LOG_LEVEL_INFO },
              { "debug", LOG_LEVEL_DEBUG })),
    ROW("access", TEXT, "\"stderr\"", log_access,
        "Where the line of each request goes: \"stderr\", \"journal\", \"off\" or the absolute path of a file, which "
        "SIGUSR1 or \"weirctl reopen\" opens anew after it was renamed.",
        .check = check_log_target),
    ROW("format", WORD, "\"json\"", config.access_log.format,
        "How such a line is written: \"json\" has all that is known, and so has \"logfmt\" as name=value pairs; "
        "\"plain\" is for reading, \"combined\" for programs that know web servers' logs. The journal has the same "
        "as fields of its own, whatever the line is: WEIR_STATUS, WEIR_UPSTREAM and others.",
        WORDS({ "json", ACCESS_JSON }, { "logfmt", ACCESS_LOGFMT }, { "plain", ACCESS_PLAIN },
              { "combined", ACCESS_COMBINED })),
    END
};
static const struct section log_section = { "log", log_options, 0, NULL, NULL };

static const struct option batch_options[] = {
    ROW("max_requests", INT, "10000", config.batch.max_requests,
        "How many items a document may have. Lines (NDJSON) have no such bound.", RANGE(1, 10000000)),
    ROW("max_body", SIZE, "\"16MiB\"", config.batch.max_body_bytes, "How long a document may be, or one line.",
        RANGE(1024, 1024 * MIB)),
    ROW("concurrency", INT, "16", config.batch.concurrency,
        "How many items of a batch are under way at one time, where it does not ask for fewer.", RANGE(1, 1000)),
    END
};
static const struct section batch_section = { "batch", batch_options, 0, NULL, NULL };

static const struct option jobs_options[] = {
    ROW("keep", DURATION, "\"1d\"", config.jobs.keep_ns, "How long the result of a job is kept after its end.",
        RANGE(NS_PER_SEC, DAYS(366))),
    ROW("max", INT, "10000", config.jobs.max, "How many jobs there may be, those that have ended included.",
        RANGE(1, 50000)),
    ROW("max_share", SHARE, "\"50%\"", config.jobs.max_share,
        "The part of max that the jobs of one user may be, so that nobody takes all places; one he may always have."),
    ROW("max_size", SIZE, "\"1GiB\"", config.jobs.max_bytes,
        "How long the bodies of all jobs may be together, of requests and of results. Where there is no room, results "
        "that were read already go first.",
        RANGE(MIB, 256 * TIB)),
    END
};
static const struct section jobs_section = { "jobs", jobs_options, 0, NULL, NULL };

static const struct option server_options[] = {
    ROW("max_connections", INT, "10000", config.max_connections, "Clients connected at one time.", RANGE(1, 1000000)),
    ROW("max_connections_per_client", INT, "5000", config.max_connections_per_client,
        "Those of them that one user of this machine, or one address elsewhere, may have. Connections are counted "
        "from where a quarter of max_connections is taken.",
        RANGE(1, 1000000)),
    ROW("head_timeout", DURATION, "\"10s\"", config.timeout.head_ns,
        "How long a client may take for the head of a request.", RANGE(NS_PER_MS, DAYS(1))),
    ROW("body_timeout", DURATION, "\"60s\"", config.timeout.body_ns,
        "How long a client may pause within a body that it sends.", RANGE(NS_PER_MS, DAYS(1))),
    ROW("idle_timeout", DURATION, "\"2m\"", config.timeout.idle_ns,
        "How long a connection without a request is kept, and how long a client may leave an answer unread.",
        RANGE(NS_PER_MS, DAYS(1))),
    ROW("drain", DURATION, "\"10s\"", config.timeout.drain_ns,
        "How long a daemon that stops lets requests in flight go on; those that come meanwhile wait for the next one, "
        "where systemd holds the sockets.",
        RANGE(0, SECONDS(3600))),
    ROW("allow_remote", BOOL, "false", config.allow_remote,
        "Permits addresses to listen at that other machines can reach. Weir has no accounts: everyone who reaches it "
        "uses its credentials and its budget."),
    ROW("allow_hosts", TEXTS, "()", config.allow_hosts,
        "Names for Weir itself that Host may say, beside loopback names and listed hosts.", .check = check_host),
    END
};
static const struct section server_section = { "server", server_options, 0, NULL, NULL };
#undef SECTION

#define SECTION set_client
static const struct option client_options[] = {
    ROW("match", TEXT, NULL, to.match,
        "Name of the client, where * stands for any characters; or \"user:NAME\": whatever runs as that user. A "
        "client's name is what it says in Weir-Client, the user that it gives to a proxy, else \"uid=1000 pid=4711\" "
        "where the kernel tells, else its address and port. What may fit a process makes new connections wait until "
        "theirs is found.",
        .check = check_some_text, .required = true),
    ROW("priority", WORD, "\"interactive\"", to.batch,
        "Who goes first when the budget is short. What a request says in Weir-Priority counts more.",
        WORDS({ "interactive", false }, { "batch", true })),
    ROW("share", SHARE, "\"100%\"", to.share,
        "The part of every limit that these clients may use, whether others use theirs or not: with \"80%\" the last "
        "fifth is left to others. All classes of one share have it together."),
    END
};
static const struct section client_section = { "clients", client_options, sizeof(struct set_client), NULL, NULL };
#undef SECTION

/* -- upstreams -- */

/* None of these is a session of the API's own, nor of an access service (CF_Authorization, NSC_AAAC, JSESSIONID). */
#define IGNORED_COOKIES \
    "( \"AWSALB*\", \"AWSELB*\", \"BIGipServer*\", \"TS01*\", \"f5avr*\", \"SERVERID\", \"INGRESSCOOKIE\", " \
    "\"ARRAffinity*\", \"ApplicationGatewayAffinity*\", \"TiPMix\", \"x-ms-routing-name\", \"ASLBSA*\", \"GCLB\", " \
    "\"GCILB\", \"__cf_bm\", \"__cflb\", \"__cfruid\", \"__cfduid\", \"__cfseq-*\", \"__cfwaitingroom*\", " \
    "\"_cfuvid\", \"cf_clearance\", \"cf_chl_*\", \"incap_ses_*\", \"visid_incap_*\", \"nlbi_*\", \"ak_bmsc\", " \
    "\"bm_sv\", \"bm_sz\", \"bm_mi\", \"bm_s\", \"bm_so\", \"bm_ss\", \"_abck\", \"akacd_*\", \"akaalb_*\", " \
    "\"datadome\", \"_px*\", \"WMF-*\", \"GeoIP\", \"NetworkProbeLimit\", \"_ga\", \"_ga_*\", \"_gid\", \"_gat*\", " \
    "\"_gcl_*\", \"__utm*\", \"_fbp\", \"_fbc\", \"_hj*\", \"_pk_*\", \"_ym_*\", \"_uet*\", \"_clck\", \"_clsk\", " \
    "\"__hstc\", \"__hssc\", \"__hssrc\", \"hubspotutk\", \"ai_user\", \"ai_session\", \"AMCV_*\", \"_dd_s\", " \
    "\"dtCookie\", \"rxVisitor\", \"rxvt\" )"

#define SECTION set_limit
static const struct option limit_options_table[] = {
    ROW("rate", TEXT, NULL, rate,
        "\"60/min\" (also /s /h /day /month) is a sliding window; \"10/s burst 20\" a token bucket; \"5000/day window "
        "00:00 America/Los_Angeles\" a window that starts at that wall-clock time; \"5000/h window learned\" one that "
        "starts and resets when the API's headers say.",
        .check = check_rate, .required = true, .wanted = "a text in quotes, such as \"60/min\""),
    ROW("name", TEXT, NULL, to.name, "What weirctl and the log call it.", .check = check_some_text,
        .unset = "the rate"),
    ROW("per", WORD, "\"upstream\"", to.per_credential, "Whether all requests share it, or those of each credential.",
        WORDS({ "upstream", false }, { "credential", true })),
    ROW("match", TEXT, NULL, to.match, "Pattern of the requests that it counts.", .check = check_pattern,
        .unset = "all"),
    ROW("methods", TEXTS, NULL, methods, "Methods that it counts.", .check = check_known_method, .unset = "all"),
    ROW("cost", TEXTS, NULL, cost,
        "What a request costs, by method or status; the first that fits counts. A cost by status is settled when the "
        "answer comes: \"304 0\" gives back what was charged.",
        .check = check_cost, .unset = "1 each"),
    ROW("estimate", TEXTS, NULL, estimate,
        "The limit counts tokens, points, money, bytes. What a request may cost, before it is sent: the "
        "sum "
        "of terms \"[FACTOR] body\" (its bytes), \"[FACTOR] json:POINTER\" (RFC 6901, in its body), \"[FACTOR] "
        "header:NAME\" or a number. So much is reserved when its turn comes; where it does not fit, it waits. What the "
        "last 100 answers cost by estimate (90th percentile, for each rule) multiplies the next; a request of which no "
        "term is found is estimated by what others like it cost. One in ten may cost more than was reserved: a margin "
        "of "
        "\"2%\" covers that once some answers are known, and before that only an estimate that is not too small.",
        .check = check_term, .unset = "1 each"),
    ROW("charge", TEXTS, NULL, charge,
        "What an answer says that it has cost, as terms like those of estimate, of its body and fields; of a stream of "
        "events the last value counts. It takes the place of what was reserved when the body has ended. Where none of "
        "the terms is found, or the body was not whole, what was reserved stays spent. A cost by status goes before "
        "it.",
        .check = check_term, .unset = "the estimate; without one, requests are counted"),
    ROW("full_estimate", BOOL, "false", to.full_estimate,
        "What is learned makes estimates larger, but none smaller: for an API that itself holds all of its estimate "
        "until "
        "the answer has ended."),
    ROW("scale", INT, "0", to.scale,
        "With estimate or charge: counts in so many decimal places, such as 6 for \"20/day\" of a currency.",
        RANGE(0, LIMIT_SCALE_MOST)),
    ROW("margin", SHARE, "\"0%\"", to.margin,
        "The part of the limit that is held back, for clocks and networks that disagree about a window's edge: up to "
        "\"50%\", and one unit at least."),
    END
};
static const struct section limit_section = { "limits", limit_options_table, sizeof(struct set_limit), "rate", NULL };
#undef SECTION

#define SECTION set_learn
static const struct option learn_options[] = {
    ROW("limit", TEXT, NULL, to.limit, "Name of the limit that the fields speak of, in whose unit they count.",
        .check = check_some_text, .unset = "requests"),
    ROW("remaining", TEXT, NULL, to.remaining, "Field of an answer that says how much is left.",
        .check = check_field_name, .required = true),
    ROW("reset", TEXT, NULL, to.reset,
        "Field that says when all of it is there again: seconds from now, or a moment in any form that reset fields "
        "have. A name that ends in -Ms is of milliseconds.",
        .check = check_field_name, .unset = "the end of the limit's window, at the latest"),
    END
};
static const struct section learn_section = { "learn", learn_options, sizeof(struct set_learn), NULL, NULL };
#undef SECTION

#define HELP_TTL \
    "How long an answer is fresh. A duration such as \"1h\" replaces everything the origin says, no-store and " \
    "private included; \"origin\" is RFC 9111; \"origin else 1h\" is the origin where it says anything, else 1h; " \
    "\"until 04:00 Europe/Berlin\", also after else, is a duration that ends when clocks there next show that time, " \
    "the first of two and right after a leap over it; " \
    "\"never\" does not store; \"revalidate\" stores and asks each time; \"forever\" never asks again. It is " \
    "applied when a stored answer is read, from the time it was fetched."

#define SECTION policy_prefetch
static const struct option prefetch_options[] = {
    ROW("last", SHARE, "\"0%\"", last,
        "The part of its life at whose end a hit has a stored answer asked about again, so that it is not stale for "
        "who "
        "comes next; scattered by a tenth. \"0%\" is never."),
    ROW("hits", INT, "1", hits,
        "How often an answer must have been a hit since it was last renewed so, or since Weir started.",
        RANGE(1, 1000000000)),
    ROW("share", SHARE, "\"50%\"", share,
        "The part of every limit that may be spent on it. It goes when nobody else waits, never while low_budget "
        "holds, and once: it is not tried again."),
    END
};
static const struct section prefetch_section = { "prefetch", prefetch_options, 0, "last", NULL };
#undef SECTION

/* Settings of an upstream that a rule may state for itself. */
#define POLICY_ROWS \
    ROW("ttl", TEXT, "\"origin\"", policy.ttl, HELP_TTL, .check = check_ttl, \
        .wanted = "a text in quotes, such as \"1h\", \"origin else 30m\" or \"never\""), \
        ROW("stale_if_error", DURATION, NULL, policy.to.stale_if_error_ns, \
            "How long past its lifetime an answer is served when the upstream fails.", RANGE(0, INT64_MAX), \
            .unset = "what the origin says"), \
        ROW("stale_while_revalidate", DURATION, NULL, policy.to.stale_while_revalidate_ns, \
            "How long past its lifetime an answer is served while a new one is fetched.", RANGE(0, INT64_MAX), \
            .unset = "what the origin says"), \
        GROUP("prefetch", prefetch_section, \
              "Asking again, by a hit late in the life of what is stored. A text is the last of a group.", \
              IN(policy.to.prefetch)), \
        ROW("partition", WORD, "\"credential\"", policy.to.shared, \
            "Whose answers are whose: each credential has its own, or all share them. Shared ignores credential " \
            "fields " \
            "in Vary too.", \
            WORDS({ "credential", false }, { "shared", true })), \
        ROW("ignore_params", TEXTS, "()", policy.to.ignore_params, \
            "Query parameters that are no part of the key, but are still sent. Never for secrets.", \
            .check = check_some_text), \
        ROW("sort_params", BOOL, "false", policy.to.sort_params, \
            "Whether requests that differ only in the order of their query parameters are one. Those of one name " \
            "keep their order, and what is sent stays as it came."), \
        ROW("match_headers", TEXTS, "()", policy.to.match_headers, \
            "Request fields that are part of the key, beyond what Vary says.", .check = check_sent_field), \
        ROW("set_cookie", WORD, NULL, policy.to.set_cookie, \
            "What becomes of an answer that sets a cookie: it is not stored, stored without the cookie, or stored " \
            "whole.", \
            WORDS({ "refuse", SET_COOKIE_REFUSE }, { "strip", SET_COOKIE_STRIP }, { "store", SET_COOKIE_STORE }), \
            .unset = "\"strip\" under a duration, else \"refuse\""), \
        ROW("heuristic", NUMBER, "0.0", policy.to.heuristic, \
            "The share of the age of Last-Modified for which an answer without a lifetime is fresh (RFC 9111, " \
            "4.2.2).", \
            RANGE(0, 1)), \
        ROW("validate", WORD, NULL, policy.to.validate, \
            "\"json\": a successful answer whose type says JSON and whose body, in gzip, deflate or plain, is none " \
            "is " \
            "a failure, retried and never stored. So is one of more than 32 MiB that comes in less than a hundredth " \
            "of " \
            "that. The answer to a method that is not safe passes as it is, counted as unsound.", \
            WORDS({ "json", VALIDATE_JSON }), .unset = "none"), \
        ROW("complete", TEXT, NULL, policy.to.complete, \
            "A line of the last event of a stream that says that it is whole, such as \"data: [DONE]\" or \"event: " \
            "message_stop\": a stream of events is stored only with it.", \
            .check = check_mark, .unset = "what has a Content-Length, or a clean end, is whole"), \
        ROW("max_object_size", SIZE, NULL, policy.to.max_object_bytes, "The largest body that is kept.", \
            RANGE(0, 256 * TIB), .unset = "the one of cache")

/* The same; `...`: what is said of a default that is not a value. */
#define TIMEOUT_ROWS(c, r, w, t, ...) \
    ROW("connect", DURATION, c, connect_ns, \
        "For the connection; the look-up of the name, TLS and the way through a proxy (via) included. Where the " \
        "first name server is dead, a look-up alone takes 5 s.", \
        RANGE(NS_PER_MS, DAYS(1)), __VA_ARGS__), \
        ROW("read", DURATION, r, read_ns, \
            "Between two reads; so also for the first word of an answer, and for the pauses of a stream of events.", \
            RANGE(NS_PER_MS, DAYS(1)), __VA_ARGS__), \
        ROW("write", DURATION, w, write_ns, "Between two writes.", RANGE(NS_PER_MS, DAYS(1)), __VA_ARGS__), \
        ROW("total", DURATION, t, total_ns, \
            "Of one attempt, the queue and a client that reads slowly not counted. It ends what drips, and also " \
            "large " \
            "bodies on a slow line and streams of events that last longer.", \
            RANGE(NS_PER_MS, DAYS(30)), __VA_ARGS__)

#define SECTION timeout_options
static const struct option  rule_timeout_options[] = { TIMEOUT_ROWS(NULL, NULL, NULL, NULL, .unset = "the upstream's"),
                                                       END };
static const struct section rule_timeout_section = { "a rule's timeout", rule_timeout_options, 0, NULL, NULL };
#undef SECTION

#define SECTION set_mock
static const struct option mock_options_table[] = {
    ROW("status", INT, NULL, status, "Status of the answer.", RANGE(200, 599), .unset = "200"),
    ROW("headers", TEXTS, NULL, headers,
        "\"Name: value\" fields of the answer. Where there is a body and none of them is Content-Type, that is "
        "application/json for a body that begins as JSON does, else text/plain.",
        .check = check_field, .unset = "none"),
    ROW("body", TEXT, NULL, body, "Content of the answer.", .unset = "none"),
    ROW("body_file", PATH, NULL, body_file,
        "A file that has it, 16MiB at most; it is read at the start and at each reload.", .unset = "none"),
    ROW("delay", DURATION, NULL, delay_ns, "How long the answer takes to come.", RANGE(0, DAYS(1)), .unset = "none"),
    ROW("share", SHARE, NULL, share,
        "Of the requests, evenly: with \"5%\" every twentieth. A mock with a share answers in any mode, which makes it "
        "a "
        "fault injector, ahead of what is stored; a request that it leaves out goes on as without it.",
        .unset = "all of them, in a dry run alone"),
    END
};
static const struct section mock_section = { "mock", mock_options_table, 0, NULL, NULL };
#undef SECTION

#define SECTION set_rule
static const struct option rule_options[] = {
    ROW("match", TEXT, NULL, match,
        "Pattern of the requests that it is for, matched on the path after the upstream's url.", .check = check_pattern,
        .required = true),
    ROW("methods", TEXTS, "( \"GET\", \"HEAD\", \"QUERY\" )", methods,
        "A request of another method passes the rule over.", .check = check_method),
    ROW("status", TEXTS, "()", status,
        "Lifetimes by status, such as \"404 1m\" or \"5xx never\". Without it a duration covers 200, 203, 300, 301 "
        "and 308.",
        .check = check_status_ttl),
    ROW("key_body", BOOL, "false", policy.to.key_body,
        "The body is part of the key: for a POST that only asks. Such a request is no write. JSON counts by what it "
        "says and not by its spelling, multipart by its parts and not by its boundary."),
    ROW("ignore_body", TEXTS, "()", policy.to.ignore_body,
        "With key_body: members of a JSON body that are no part of the key, but are still sent, as JSON pointers (RFC "
        "6901) such as \"/user\".",
        .check = check_pointer),
    ROW("invalidates", TEXTS, "()", invalidates,
        "Patterns of what a successful write that matches the rule drops as well.", .check = check_pattern),
    ROW("tags", TEXTS, "()", policy.to.tags,
        "Tags of what is stored under the rule, beside those that the API gives it in Cache-Tag, Surrogate-Key and "
        "Cache-Groups: weirctl purge --tag drops all that bear one. They are kept as they were when it was stored.",
        .check = check_tag),
    ROW("share", BOOL, "true", share,
        "Whether requests for the same thing at the same time are one at the API, whose answer all get. With false "
        "each is sent for itself; what is stored is served as ever."),
    GROUP("timeout", rule_timeout_section,
          "Times after which an attempt has failed, where they are not the upstream's.", IN(timeout)),
    GROUP("mock", mock_section,
          "What a dry run answers, ahead of what is stored. For writes the rule's methods have to name them.",
          IN(mock)),
    POLICY_ROWS,
    END
};

static void inherit_from_upstream(void *element, const void *parent)
{
    ((struct set_rule *)element)->policy = ((const struct set_upstream *)parent)->policy;
    ((struct set_rule *)element)->timeout = ((const struct set_upstream *)parent)->to.fetch.timeout;
}

static const struct section rule_section = { "rules", rule_options, sizeof(struct set_rule), NULL,
                                             inherit_from_upstream };
#undef SECTION

#define SECTION set_identity
static const struct option identity_options[] = {
    ROW("name", TEXT, NULL, to.name, "Name of the principal; it makes the partition.", .check = check_name,
        .required = true),
    ROW("value_files", TEXTS, NULL, to.value_files,
        "Where its tokens are: the path of a file, \"credential:NAME\" or \"env:NAME\". A request is the principal's "
        "where a credential of it is such a token, alone or after a scheme such as \"Bearer\". Each token has "
        "buckets of its own.",
        .check = check_value_source, .required = true),
    END
};
static const struct section identity_section = { "identities", identity_options, sizeof(struct set_identity), NULL,
                                                 NULL };
#undef SECTION

#define SECTION queue_options
static const struct option queue_options_table[] = {
    ROW("max_wait", DURATION, "\"30s\"", max_wait_ns,
        "A request that would wait longer for the budget gets a stale answer where one is allowed, else 429 at once.",
        RANGE(0, DAYS(30))),
    ROW("max_length", INT, "5000", max_length,
        "Requests that may wait at one time: one more is refused at once, however short its wait would be. A waiting "
        "request takes some KiB, and memory for its body, up to 1 MiB.",
        RANGE(0, 1000000)),
    END
};
static const struct section queue_section = { "queue", queue_options_table, 0, NULL, NULL };
#undef SECTION

#define SECTION retry_options
static const struct option retry_options_table[] = {
    ROW("attempts", INT, "3", attempts, "Attempts in all, the first included. 1 is no retry.", RANGE(1, 100)),
    ROW("backoff", DURATION, "\"500ms\"", backoff_ns,
        "The wait before the second attempt. It doubles each time and is blurred.", RANGE(NS_PER_MS, DAYS(1))),
    ROW("max_backoff", DURATION, "\"30s\"", max_backoff_ns, "The longest such wait.", RANGE(NS_PER_MS, DAYS(1))),
    ROW("on", STATUSES, "( 429, 500, 502, 503, 504 )", statuses, "Statuses that are tried again.", RANGE(100, 599)),
    ROW("share", SHARE, "\"20%\"", share, "The part of an upstream's requests that retries may add."),
    ROW("never", TEXTS, "()", never,
        "What is never tried again, whatever its status: \"json:/error/code = insufficient_quota\" is a JSON pointer "
        "(RFC "
        "6901) into the answer's body and what stands there. The head waits for the end of such a body, 64 KiB of it "
        "at most. What fits is no success: it is not stored, and drops nothing that is.",
        .check = check_condition),
    ROW("refused", TEXTS, "()", refused,
        "What is a refusal although its status does not say so, such as \"json:/errors/0/extensions/code = "
        "THROTTLED\": it "
        "is tried again as a 429 is. Else as never.",
        .check = check_condition),
    END
};
static const struct section retry_section = { "retry", retry_options_table, 0, NULL, NULL };
#undef SECTION

#define SECTION timeout_options
static const struct option timeout_options[] = { TIMEOUT_ROWS("\"10s\"", "\"60s\"", "\"60s\"", "\"1h\"", .unset = NULL),
                                                 END };
static const struct section timeout_section = { "timeout", timeout_options, 0, NULL, NULL };
#undef SECTION

#define SECTION set_upstream
static const struct option via_options_table[] = {
    ROW("url", TEXT, NULL, via_url,
        "The proxy: \"http://\", \"https://\" or \"socks5://\", its host and its port. An https:// API is reached by "
        "CONNECT through an HTTP proxy, or through SOCKS. The names of the API's hosts are looked up by the proxy.",
        .check = check_via, .unset = "none"),
    ROW("value_file", TEXT, NULL, to.via_value_file,
        "Where \"user:password\" for the proxy is, as in auth: the path of a file, \"credential:NAME\" (systemd) or "
        "\"env:NAME\". It is given to the proxy alone, as Basic or by SOCKS.",
        .check = check_value_source, .unset = "none"),
    ROW("ca_file", PATH, NULL, to.fetch.origin.via.ca_file, "Certificates to trust an https:// proxy by (PEM).",
        .unset = "the system's"),
    END
};
static const struct section via_section = { "via", via_options_table, 0, "url", NULL };

static const struct option auth_options[] = {
    ROW("header", TEXT, NULL, to.auth_header, "Request field that carries the credential.", .check = check_field_name,
        .unset = "none"),
    ROW("param", TEXT, NULL, to.auth_param, "Query parameter that carries the credential.", .check = check_some_text,
        .unset = "none"),
    ROW("value_file", TEXT, NULL, to.auth_value_file,
        "Where the whole value is, such as \"Bearer\" and a token: the path of a file, \"credential:NAME\" (systemd) "
        "or \"env:NAME\". It is read at the start and at each reload.",
        .check = check_value_source, .unset = "none"),
    ROW("command", TEXT, NULL, to.auth_command,
        "A command that prints the value. It runs when the first request needs it and again after a 401, for 30 s at "
        "most.",
        .check = check_some_text, .unset = "none"),
    ROW("hold", DURATION, "\"1m\"", to.fetch.denied_hold_ns,
        "How long a credential, whoever brings it, is not sent after the API has answered 401 to it: it gets 401 from "
        "Weir. One request goes then, and another 401 doubles the time, up to an hour. Signed requests and cookies "
        "alone are never held. \"0s\" holds none.",
        RANGE(0, DAYS(1))),
    ROW("methods", TEXTS, "( \"GET\", \"HEAD\" )", auth_methods, "Methods that it is used for.",
        .check = check_known_method),
    END
};
static const struct section auth_section = { "auth", auth_options, 0, NULL, NULL };

static const struct option snapshot_option_rows[] = {
    ROW("path", PATH, NULL, to.snapshot.path,
        "The folder, or for reading also a zip of one. Recording makes it where it is not there.",
        .check = check_some_text, .unset = "none"),
    ROW("miss", WORD, "\"error\"", to.snapshot.miss,
        "What becomes of a request that is not recorded: 504 with the nearest that is; it is asked of the API; or "
        "that, "
        "and what comes is added.",
        WORDS({ "error", TAPE_MISS_ERROR }, { "fetch", TAPE_MISS_FETCH }, { "record", TAPE_MISS_RECORD })),
    ROW("order", WORD, "\"last\"", to.snapshot.order,
        "Of equal requests each is answered by the newest, or the first by the first, the second by the second, and "
        "the "
        "last from then on.",
        WORDS({ "last", TAPE_LAST }, { "sequence", TAPE_SEQUENCE })),
    ROW("time", WORD, "\"recorded\"", to.snapshot.time,
        "Times in an answer's fields are as they were, or \"now\": Date, Expires, Last-Modified and the Expires of "
        "cookies "
        "are moved by as much as has gone by since.",
        WORDS({ "recorded", TAPE_RECORDED }, { "now", TAPE_NOW })),
    ROW("timing", BOOL, "false", to.snapshot.timing,
        "Bodies keep their pace: when which part came is recorded, and heeded when it is replayed."),
    ROW("redact", TEXTS, "()", to.snapshot.redact,
        "What is masked besides credentials, in requests and answers: \"json:/access_token\" is a member of JSON "
        "bodies (RFC "
        "6901), \"header:X-Session\" a field.",
        .check = check_redact),
    END
};
static const struct section snapshot_section = { "snapshot", snapshot_option_rows, 0, NULL, NULL };

static const struct option low_budget_options[] = {
    ROW("below", TEXT, NULL, low_budget_below,
        "A share of a budget, or a number of requests, which counts for limits that allow more than that.",
        .check = check_low_budget, .unset = "never"),
    ROW("stale", DURATION, NULL, to.fetch.low_budget.stale_ns,
        "How long past its lifetime an answer is served while less than that is left of any limit that the request "
        "would be charged to. Nothing is asked then, not even afterwards; must-revalidate and what the request says of "
        "ages are heeded.",
        RANGE(0, INT64_MAX), .unset = "not at all"),
    END
};
static const struct section low_budget_section = { "low_budget", low_budget_options, 0, NULL, NULL };

static const struct option learned_options[] = {
    ROW("max_wait", DURATION, NULL, to.fetch.learned_most_ns,
        "The longest that a Retry-After of the API is believed: a wrong one locks it out for no longer. What is told "
        "of a window that a limit states is believed for that window.",
        RANGE(NS_PER_SEC, DAYS(366)), .unset = "the one at the top"),
    END
};
static const struct section learned_section = { "learned", learned_options, 0, NULL, NULL };

static const struct option bust_options[] = {
    ROW("name", TEXT, NULL, policy.to.bust_param, "Query parameter that a refresh adds.", .check = check_name,
        .unset = "none"),
    ROW("every", DURATION, NULL, to.bust_every_ns, "How long the CDN keeps an answer.", RANGE(NS_PER_SEC, DAYS(365)),
        .unset = "none"),
    END
};
static const struct section bust_section = { "bust_param", bust_options, 0, NULL, NULL };
#undef SECTION

#define SECTION tls_options
static const struct option tls_options_table[] = {
    ROW("verify", BOOL, "true", verify, "Whether the upstream's certificate is checked."),
    ROW("ca_file", PATH, NULL, ca_file, "Certificates to trust (PEM).", .unset = "the system's"),
    ROW("cert_file", PATH, NULL, cert_file, "Certificate to show to the upstream (PEM).", .unset = "none"),
    ROW("key_file", PATH, NULL, key_file, "Its private key (PEM).", .unset = "none"), END
};
static const struct section tls_section = { "tls", tls_options_table, 0, NULL, NULL };
#undef SECTION

#define SECTION set_upstream
/* What rules inherit stands before `rules`. */
static const struct option upstream_options_table[] = {
    ROW("name", TEXT, NULL, to.route.name,
        "The first part of the path in base-URL mode: letters, digits, dots, underscores and hyphens, no dot first.",
        .check = check_name, .required = true),
    ROW("url", TEXT, NULL, url, "Where the API is: http or https, host, port, path.", .check = check_url,
        .required = true),
    ROW("hosts", TEXTS, NULL, hosts,
        "Hosts whose requests go to this upstream. One without a port stands for an absent or the scheme's default "
        "port. Each is asked at its own address and by its own name, with the scheme of url, and its port where none "
        "is written. \"a = b\" makes a an alias: who asks for a gets b.",
        .check = check_host_entry, .unset = "the host of url"),
    ROW("limits", GROUPS, NULL, limits, "Rates, all of which hold at once. A text is the rate of a group.",
        .section = &limit_section, .unset = "none"),
    ROW("learn", GROUPS, NULL, learn,
        "Fields in which the API says what is left, where they are of no known family (weir(8) lists those).",
        .section = &learn_section, .unset = "none"),
    ROW("budget", TEXT, NULL, to.fetch.budget,
        "Upstreams that name one budget share it: the limits of all of them hold for their requests together.",
        .check = check_name, .unset = "its own"),
    ROW("max_in_flight", INT, "10", to.fetch.max_in_flight,
        "Requests at the API at one time. 0 is no bound. Ten let an API that takes 200 ms answer 50 requests a "
        "second, whatever the limits allow.",
        RANGE(0, 100000)),
    ROW("max_connections", INT, NULL, to.fetch.origin.max_connections,
        "Connections to it. Over HTTP/1.1 each carries one request at a time, over HTTP/2 many.", RANGE(1, 10000),
        .unset = "max_in_flight, but 10 where that is less, 100 where it is 0"),
    ROW("max_idle_connections", INT, NULL, to.fetch.origin.max_idle_connections,
        "Idle ones that are kept, for 55 s or as long as the API's Keep-Alive says. Where fewer are kept than "
        "requests come at one time, each wave of them connects anew.",
        RANGE(0, 10000), .unset = "as max_in_flight, but no more than max_connections"),
    GROUP("queue", queue_section, "Requests that wait for the budget.", IN(to.fetch.queue)),
    GROUP("retry", retry_section, "Trying again.", IN(to.fetch.retry)),
    GROUP("timeout", timeout_section, "Times after which an attempt has failed.", IN(to.fetch.timeout)),
    POLICY_ROWS,
    ROW("credential_headers", TEXTS, "( \"Authorization\", \"Cookie\", \"X-Api-Key\", \"Private-Token\" )",
        policy.to.credential_headers,
        "Request fields that make the partition, hashed. They are never stored or logged. A signed request (OAuth 1, "
        "AWS Signature 4, Digest, Hawk, HTTP Message Signatures) is another one each time: its partition is the "
        "identity that it names together with the user of this machine who asks, and where that user is not known "
        "nothing is stored.",
        .check = check_sent_field),
    ROW("credential_params", TEXTS, "( \"api_key\", \"apikey\", \"access_token\", \"token\", \"key\" )",
        policy.to.credential_params, "The same of query parameters.", .check = check_some_text),
    ROW("ignore_cookies", TEXTS, IGNORED_COOKIES, policy.to.ignore_cookies,
        "Cookies that say nothing of who the caller is, * standing for any characters: those of load balancers, CDNs "
        "and statistics, which may change with every answer. They are sent, but make neither a partition nor an "
        "account; an answer that sets no others counts as one that sets none, and is stored without them. A list of "
        "your own takes the place of the default.",
        .check = check_cookie_name),
    ROW("identities", GROUPS, NULL, identities,
        "Several tokens of one principal: one partition, a bucket for each token.", .section = &identity_section,
        .unset = "none"),
    GROUP("auth", auth_section,
          "A credential that Weir adds to requests that bring none there. Its partition is the upstream's name, not "
          "its "
          "value. No client sees it, unless the API says it again in a body."),
    ROW("access", TEXTS, NULL, access,
        "Who may use the upstream: \"user:NAME\", \"group:NAME\", addresses and networks. Users and groups are those "
        "that the kernel tells of clients on this machine; others get 403.",
        .check = check_access, .unset = "all"),
    ROW("set_headers", TEXTS, "()", set_headers, "\"Name: value\" fields that are put on every request.",
        .check = check_field),
    ROW("user_agent", TEXT, NULL, user_agent, "User-Agent that is put on every request.", .check = check_field_value,
        .unset = "the client's"),
    ROW("max_share", SHARE, NULL, to.fetch.max_share, "The part of the cache that this upstream may fill.",
        .unset = "no bound"),
    GROUP("low_budget", low_budget_section, "Sparing a budget that runs short."),
    GROUP("learned", learned_section, "What the API says of its limits."),
    ROW("on_abort", WORD, "\"finish\"", to.fetch.drop_on_abort,
        "What becomes of a GET whose client leaves while it waits: \"finish\" keeps its place and stores the answer, "
        "\"drop\" frees the place. Other methods always drop what was not sent. A stream of events "
        "(text/event-stream) always ends with its last reader.",
        WORDS({ "finish", false }, { "drop", true })),
    ROW("invalidate", WORD, "\"path\"", policy.to.invalidate,
        "What a successful write drops, in the own partition and of what all have who bring no credential: \"path\" "
        "is that path with any query, \"uri\" is RFC 9111, 4.4.",
        WORDS({ "path", INVALIDATE_PATH }, { "uri", INVALIDATE_URI }, { "off", INVALIDATE_OFF })),
    ROW("rewrite_links", BOOL, "false", to.rewrite_links,
        "JSON strings that begin with the upstream's URL are rewritten to lead back through Weir, for clients that do "
        "not come by its HTTPS proxy. Ranges are not served then."),
    GROUP("bust_param", bust_section,
          "For a CDN that ignores no-cache: a refresh adds a parameter that is never part of the key, with the "
          "smallest "
          "number that was not used for that URL within the time."),
    ROW("allow_origins", TEXTS, "()", to.allow_origins, "Web origins whose pages may call this upstream.",
        .check = check_origin),
    GROUP("tls", tls_section, "TLS to the upstream.", IN(to.fetch.origin.tls)),
    GROUP("via", via_section,
          "An HTTP or SOCKS5 proxy on the way to the API. A text is the url of a group. The proxy variables of the "
          "environment are never heeded."),
    ROW("jobs", BOOL, "false", to.jobs,
        "Whether a request with Prefer: respond-async becomes a job of Weir's. Else that is the API's to heed, and "
        "Weir-Async: 1 alone makes a job."),
    ROW("mode", WORD, "\"live\"", to.mode,
        "\"offline\" answers from the cache alone, else 504; \"read_only\" lets no write through. \"dry_run\" sends "
        "nothing and \"dry_run_writes\" only safe methods; what would be sent is answered by the rule's mock, else for "
        "a "
        "safe method by what is stored, fresh or not, else by the upstream's mock, else by 200 and {} where Accept "
        "takes "
        "JSON, and nothing where not. \"record\" asks the API for each request and adds the exchange to the "
        "snapshot; \"replay\" answers from that alone, whatever is in the cache, and holds nobody to a budget. weirctl "
        "mode "
        "sets another at run time.",
        WORDS({ "live", MODE_LIVE }, { "offline", MODE_OFFLINE }, { "read_only", MODE_READ_ONLY },
              { "dry_run", MODE_DRY_RUN }, { "dry_run_writes", MODE_DRY_RUN_WRITES }, { "record", MODE_RECORD },
              { "replay", MODE_REPLAY })),
    GROUP("snapshot", snapshot_section,
          "What mode \"record\" adds to and \"replay\" answers from: recorded exchanges in a folder that diffs. "
          "Credentials "
          "are never in it."),
    ROW("intercept", BOOL, "true", to.intercept,
        "Whether a CONNECT to one of the hosts is opened with Weir's own CA; else it is tunnelled."),
    ROW("rules", GROUPS, NULL, rules, "The first rule that matches a request counts.", .section = &rule_section,
        .unset = "none"),
    GROUP("mock", mock_section, "What a dry run answers where nothing else does.", IN(mock)),
    END
};
#undef SECTION

static void inherit_from_top(void *element, const void *parent)
{
    struct set_upstream   *u = element;
    const struct settings *top = parent;

    u->policy.to.max_object_bytes = top->max_object_bytes;
    u->to.fetch.learned_most_ns = top->learned_max_wait_ns;
}

static const struct section upstream_section = { "upstreams", upstream_options_table, sizeof(struct set_upstream), NULL,
                                                 inherit_from_top };

#define SECTION settings
static const struct option top_options[] = {
    ROW("listen", GROUPS, "( \"127.0.0.1:8080\" )", listeners,
        "Where clients are served. A text is the address of a group.", .section = &listener_section, RESTART),
    ROW("workers", INT, "0", workers, "Threads that serve clients. 0 is one per CPU.", RANGE(0, 1024), RESTART),
    GROUP("admin", admin_section, "The endpoint for weirctl."),
    GROUP("cache", cache_section, "What is stored."),
    GROUP("state", state_section, "What is remembered."),
    GROUP("proxy", proxy_section, "The forward proxy for https_proxy."),
    GROUP("metrics", metrics_section, "What Prometheus reads."),
    GROUP("log", log_section, "Events and requests."),
    GROUP("batch", batch_section, "Many requests in one: POST /.weir/batch."),
    GROUP("jobs", jobs_section, "Requests that are answered later: Weir-Async and Prefer: respond-async."),
    ROW("public_url", TEXT, NULL, config.public_url,
        "Weir's own address as clients reach it, such as \"http://127.0.0.1:8080\": where a job is told of to a client "
        "that came by a host's name or a proxy.",
        .check = check_public_url, .unset = "the first TCP address of listen"),
    GROUP("server", server_section, "What clients are granted."),
    GROUP("learned", top_learned_section, "What APIs say of their limits, where an upstream does not say otherwise."),
    ROW("clients", GROUPS, NULL, clients, "Classes for clients that cannot send a header. The first match counts.",
        .section = &client_section, .unset = "none"),
    ROW("upstreams", GROUPS, NULL, upstreams, "The APIs.", .section = &upstream_section, .unset = "none"),
    END
};
#undef SECTION

const struct section section_top = { "the top of the file", top_options, sizeof(struct settings), NULL, NULL };
