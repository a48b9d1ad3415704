/*
 * What a check found of one upstream: what is wrong, in one sentence, and in a second what to do.
 */
#include "admin/checking.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum { SOON_DAYS = 14, CLOCK_MOST_S = 60, DAY_S = 86400 };

struct check_verdict {
    const char *failed; /* a name for scripts; NULL: well */
    char        detail[768];
};

static const struct {
    const char *name, *means, *next;
} findings[] = {
    [PROBE_NO_HOST] = { "dns", "the name has no address", "correct url, or look at this machine's resolver" },
    [PROBE_NAME_TIMEOUT] = { "dns", "the name was not found in time", "look at this machine's resolver" },
    [PROBE_NOT_CONNECTED] = { "tcp", "no address takes the connection",
                              "correct host and port in url, or look whether the API is up" },
    [PROBE_CONNECT_TIMEOUT] = { "tcp", "no address answers in time",
                                "look for a firewall on the way, or whether the API is up" },
    [PROBE_TLS_TIMEOUT] = { "tls", "it takes the connection and then says nothing",
                            "correct the port in url, or look whether the API is up" },
    [PROBE_NO_TLS] = { "tls", "what listens there speaks no TLS", "use http:// in url, or correct its port" },
    [PROBE_EXPIRED] = { "certificate-expired", "its certificate has ended",
                        "whoever runs the API has to renew it; also look at this machine's date" },
    [PROBE_NOT_YET_VALID] = { "certificate-not-yet-valid", "its certificate is not valid yet",
                              "look at this machine's date" },
    [PROBE_WRONG_NAME] = { "certificate-name", "its certificate is for another name",
                           "use a name of the certificate in url" },
    [PROBE_UNKNOWN_CA] = { "certificate-ca", "its certificate is of a CA that is not trusted here",
                           "name that CA's file in tls.ca_file, or install it on this machine" },
    [PROBE_BAD_FILE] = { "tls-file", "a file of tls.ca_file, cert_file or key_file cannot be used",
                         "look whether Weir may read it, and whether it is PEM" },
    [PROBE_VIA] = { "via", "the proxy of via does not help", "look at via, and whether that proxy is up" },
    [PROBE_TLS_FAILED] = { "tls", "no TLS connection comes about", "try openssl s_client -connect to it" },
};

static void say(struct check_verdict *v, const char *failed, const char *means, const char *more, const char *next)
{
    v->failed = failed;
    snprintf(v->detail, sizeof v->detail, "%s%s%.300s%s: %s", means, more[0] != '\0' ? " (" : "", more,
             more[0] != '\0' ? ")" : "", next);
}

static const char *credential_of(const struct config_upstream *up)
{
    return up->auth_value_file != NULL ? "auth.value_file" : up->auth_command != NULL ? "auth.command" : NULL;
}

static int64_t days_left(const struct probe_result *r)
{
    return (r->ends_s - clock_wall_ns() / NS_PER_SEC) / DAY_S;
}

/* Weir's own: a member of its problem. */
static void say_problem(const struct checking *k, struct check_verdict *v)
{
    json_t     *problem = json_loadb(k->problem.ptr, k->problem.len, 0, NULL);
    const char *type = json_string_value(json_object_get(problem, "type")),
               *detail = json_string_value(json_object_get(problem, "detail"));
    const char *name = type != NULL ? strrchr(type, ':') : NULL;

    v->failed = "request";
    if (name != NULL)
        for (unsigned kind = PROBLEM_NONE + 1; kind < PROBLEM_COUNT; kind++)
            if (strcmp(problem_types[kind].name, name + 1) == 0)
                v->failed = problem_types[kind].name;
    snprintf(v->detail, sizeof v->detail, "not answered: %s", detail != NULL ? detail : "the request was refused");
    json_decref(problem);
}

static void judge_answer(const struct checking *k, struct check_verdict *v)
{
    const char *credential = credential_of(k->up);
    char        more[160];

    if (k->is_own) {
        say_problem(k, v);
    } else if ((k->status == 401 || k->status == 403) && credential != NULL) {
        snprintf(more, sizeof more, "%u to a HEAD of /", k->status);
        say(v, "credential", "the API refuses the credential", more,
            credential[5] == 'v' ? "renew what stands in auth.value_file, then weirctl reload"
                                 : "run auth.command by hand and look at what it prints");
    } else if (k->status >= 500) {
        snprintf(more, sizeof more, "status %u", k->status);
        say(v, "status", "the API fails", more, "look at its status page, and try again later");
    } else if (k->has_date && (k->ahead_s > CLOCK_MOST_S || k->ahead_s < -CLOCK_MOST_S)) {
        snprintf(more, sizeof more, "%lld s %s", (long long)(k->ahead_s < 0 ? -k->ahead_s : k->ahead_s),
                 k->ahead_s > 0 ? "ahead" : "behind");
        say(v, "clock", "the API's clock is not this machine's", more,
            "run timedatectl here; where this clock is right, whoever runs the API has to set theirs");
    }
}

static void judge(const struct checking *k, struct check_verdict *v)
{
    const struct probe_result *r = &k->probe.result;
    char                       more[420];

    if (r->finding != PROBE_WELL) {
        if (r->ends_s != 0 && r->finding == PROBE_EXPIRED)
            snprintf(more, sizeof more, "%lld days ago", (long long)-days_left(r));
        else if (r->subject[0] != '\0')
            snprintf(more, sizeof more, "subject %s, issuer %s", r->subject, r->issuer);
        else
            snprintf(more, sizeof more, "%s", r->text);
        say(v, findings[r->finding].name, findings[r->finding].means, more, findings[r->finding].next);
        return;
    }
    judge_answer(k, v);
    if (v->failed == NULL && r->ends_s != 0 && days_left(r) < SOON_DAYS) {
        snprintf(more, sizeof more, "in %lld days", (long long)days_left(r));
        say(v, "certificate-ends", "its certificate ends soon", more, "whoever runs the API has to renew it");
    }
}

static void set_ms(json_t *line, const char *name, double from_s, double to_s)
{
    if (to_s > 0)
        json_object_set_new(line, name, json_integer((json_int_t)((to_s > from_s ? to_s - from_s : 0) * 1000 + 0.5)));
}

static const char *credential_state(const struct checking *k)
{
    if (credential_of(k->up) == NULL)
        return "none";
    if (k->status == 0 || k->is_own)
        return "untried";
    return k->status == 401 || k->status == 403 ? "refused" : "taken";
}

json_t *checking_url(const struct config_upstream *up)
{
    return json_sprintf(SLICE_FMT "://" SLICE_FMT, SLICE_ARG(up->route.scheme), SLICE_ARG(up->route.authority));
}

json_t *checking_line(const struct checking *k)
{
    const struct probe_result *r = &k->probe.result;
    struct check_verdict       v = { .failed = NULL };
    json_t                    *line;

    judge(k, &v);
    line = json_pack("{s:s, s:b, s:o}", "upstream", k->up->route.name, "ok", v.failed == NULL, "url",
                     checking_url(k->up));
    if (r->address[0] != '\0')
        json_object_set_new(line, "address", json_string(r->address));
    set_ms(line, "dns_ms", 0, r->name_s);
    set_ms(line, "tcp_ms", r->name_s, r->connect_s);
    set_ms(line, "tls_ms", r->connect_s, r->tls_s);
    if (r->ends_s != 0)
        json_object_set_new(line, "certificate_days", json_integer(days_left(r)));
    if (r->chain_length > 0)
        json_object_set_new(line, "chain", json_integer(r->chain_length));
    if (k->status != 0 && !k->is_own)
        json_object_set_new(line, "status", json_integer(k->status));
    json_object_set_new(line, "credential", json_string(credential_state(k)));
    if (k->has_date)
        json_object_set_new(line, "clock_ahead_s", json_integer(k->ahead_s));
    if (v.failed != NULL) {
        json_object_set_new(line, "failed", json_string(v.failed));
        json_object_set_new(line, "detail", json_string(v.detail));
    }
    return line;
}
