/*
 * What a text of a setting must look like.  A check says in *why what is
 * wrong and what would be right; the conversions are for texts that passed
 * their check.  Pure but for the time zones that limit_parse() looks up.
 */
#ifndef WEIR_CONFIG_CHECKS_H
#define WEIR_CONFIG_CHECKS_H

#include "base/arena.h"
#include "base/fault.h"
#include "budget/options.h"
#include "policy/options.h"
#include "upstream/options.h"

bool check_some_text(const char *, struct fault *why); /* not empty */
bool check_redact(const char *, struct fault *why);
bool check_tag(const char *, struct fault *why);  /* of stored responses */
bool check_name(const char *, struct fault *why); /* of upstreams, budgets, identities */
/* http or https, without query, fragment and user */
bool check_url(const char *, struct fault *why);
bool check_host(const char *, struct fault *why);        /* "api.example.org", "[::1]:8443" */
bool check_host_entry(const char *, struct fault *why);  /* that, or "NAME = HOST": an alias */
bool check_via(const char *, struct fault *why);         /* "http://proxy:3128", "socks5://[::1]:1080" */
bool check_listener(const char *, struct fault *why);    /* "127.0.0.1:8080", "unix:/path" */
bool check_tcp_address(const char *, struct fault *why); /* "127.0.0.1:8080"; "" is none */
bool check_query_socket(const char *text, struct fault *why);
bool check_socket_path(const char *, struct fault *why);
bool check_rate(const char *, struct fault *why);
bool check_pointer(const char *, struct fault *why);   /* "/user" */
bool check_condition(const char *, struct fault *why); /* "json:/error/code = insufficient_quota" */
bool check_mark(const char *, struct fault *why);      /* "data: [DONE]" */
bool check_term(const char *, struct fault *why);      /* "0.25 body", "json:/usage/total_tokens" */
bool check_cost(const char *, struct fault *why);      /* "304 0", "GET 1", "* 5" */
bool check_pattern(const char *, struct fault *why);
bool check_ttl(const char *, struct fault *why);
bool check_status_ttl(const char *, struct fault *why); /* "404 1m" */
bool check_method(const char *, struct fault *why);
bool check_known_method(const char *, struct fault *why); /* one of enum http_method */
bool check_field_name(const char *, struct fault *why);
bool check_sent_field(const char *, struct fault *why);  /* ... of one that goes upstream */
bool check_cookie_name(const char *, struct fault *why); /* "AWSALB*" */
bool check_field(const char *, struct fault *why);       /* "Name: value" */
bool check_field_value(const char *, struct fault *why);
bool check_origin(const char *, struct fault *why);     /* "https://app.example.org" */
bool check_public_url(const char *, struct fault *why); /* "http://127.0.0.1:8080" */
bool check_private(const char *, struct fault *why);    /* "git.lan", "10.0.0.0/8" */
bool check_access(const char *, struct fault *why);     /* "user:ann", "127.0.0.0/8" */
/* FILE, "credential:NAME", "env:NAME" */
bool check_value_source(const char *, struct fault *why);
/* stderr, journal, off or an absolute path */
bool check_log_target(const char *, struct fault *why);
bool check_low_budget(const char *, struct fault *why); /* "10%", "100" */

bool check_is_loopback(const char *tcp_address);

struct host_entry {        /* one of `hosts`, in pieces of the text; a port that is not written is 0 */
    struct slice name, to; /* equal but for an alias */
    unsigned     port, to_port;
    bool         is_alias;
};
bool host_entry_parse(const char *text, struct host_entry *out);

struct via_options ways_via(const char *text, struct arena *);
/* "404", "5xx": both inclusive. */
bool              checks_status_range(struct slice text, unsigned *first, unsigned *last);
struct limit_term checks_term(const char *text, struct arena *);
struct limit_cost checks_cost(const char *text, struct arena *);

#endif
