/*
 * One function per kind of text that a setting holds.  Each says what is
 * wrong in words for the person who wrote it; names the parsers of other
 * rooms where they have the last word (rates, patterns, URLs).
 */
#include "config/checks.h"
#include "config/snapshot.h"

#include "http/duration.h"
#include "http/fields.h"
#include "http/hop.h"
#include "http/method.h"
#include "http/url.h"
#include "policy/label.h"
#include "route/pattern.h"
#include "snapshot/snapshot.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/un.h>

/* `fault_set` returns -1; a check returns false. */
#define WRONG(...) (fault_set(__VA_ARGS__), false)

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

bool check_redact(const char *text, struct fault *why)
{
    return snapshot_redact_is_valid(text, why);
}

bool check_some_text(const char *text, struct fault *why)
{
    if (*text == '\0')
        return WRONG(why, "is empty; leave the setting out where nothing is meant");
    if (!is_printable(text))
        return WRONG(why, "holds a control character");
    return true;
}

bool check_tag(const char *text, struct fault *why)
{
    const size_t length = strlen(text);

    if (length == 0 || length > LABEL_NAME_LONGEST)
        return WRONG(why, "%s; a tag has 1 to %d characters", length == 0 ? "\"\" is empty" : "it is too long",
                     LABEL_NAME_LONGEST);
    if (!is_printable(text) || strcspn(text, " ,\"") != length)
        return WRONG(why,
                     "\"%s\" holds a blank, a comma, a quote or a control character; a tag is one word, such as "
                     "\"taxa\"",
                     text);
    return true;
}

bool check_name(const char *text, struct fault *why)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    if (*text == '\0' || *text == '.' || text[strspn(text, allowed)] != '\0')
        return WRONG(why,
                     "\"%s\" is no name; letters, digits and . _ - are allowed, the first no dot, such as "
                     "\"inat\"",
                     text);
    if (strlen(text) > 63)
        return WRONG(why, "the name is longer than 63 characters");
    return true;
}

/* -- where things are -- */

bool check_url(const char *text, struct fault *why)
{
    struct http_url url;
    const char     *rest = strstr(text, "://");

    if (!has_prefix(text, "http://") && !has_prefix(text, "https://"))
        return WRONG(why,
                     "\"%s\" is no URL of an API; it begins with https:// or http://, such as "
                     "\"https://api.example.org/v1\"",
                     text);
    rest += 3;
    /* not repeated: it may hold a password */
    if (memchr(rest, '@', strcspn(rest, "/")) != NULL)
        return WRONG(why, "the URL names a user; credentials belong in `auth`, by value_file");
    if (text[strcspn(text, "?#")] != '\0')
        return WRONG(why, "\"%.*s...\" has a query or a fragment; only scheme, host, port and path belong here",
                     (int)strcspn(text, "?#"), text);
    if (!http_url_parse(slice_of(text), &url) || (url.target.len > 0 && !http_target_is_valid(url.target)))
        return WRONG(why, "\"%s\" is no well-formed URL; such as \"https://api.example.org/v1\"", text);
    return true;
}

bool check_host(const char *text, struct fault *why)
{
    struct slice host;
    unsigned     port;

    if (strstr(text, "://") != NULL || strchr(text, '/') != NULL)
        return WRONG(why, "\"%s\" is more than a host; write host or host:port, such as \"api.example.org\"", text);
    if (strchr(text, '*') != NULL)
        return WRONG(why, "\"%s\": a host stands for itself, write every host out", text);
    if (!http_authority_parse(slice_of(text), &host, &port))
        return WRONG(why, "\"%s\" is no host; host or host:port is wanted, such as \"api.example.org\"", text);
    return true;
}

static bool check_socket_length(const char *path, struct fault *why)
{
    struct sockaddr_un un;

    if (strlen(path) < sizeof un.sun_path)
        return true;
    return WRONG(why, "the path of a socket may have %zu bytes, this one has %zu", sizeof un.sun_path - 1,
                 strlen(path));
}

bool check_socket_path(const char *text, struct fault *why)
{
    return check_socket_length(text, why);
}

bool check_query_socket(const char *text, struct fault *why)
{
    if (*text != '/' && strchr(text, '/') != NULL)
        return WRONG(why,
                     "\"%s\" is no path of a socket; an absolute one is wanted, such as "
                     "\"/run/weir/query.sock\", a name alone, or \"\" for none",
                     text);
    return check_socket_length(text, why);
}

/* Splits "127.0.0.1:8080" or "[::1]:8080"; false where it is neither. */
static bool tcp_split(const char *text, int *family, unsigned char address[16])
{
    const char *colon = strrchr(text, ':');
    char        host[INET6_ADDRSTRLEN];
    size_t      length;
    bool        bracket = *text == '[';

    if (colon == NULL || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0' || strlen(colon) > 6 ||
        atoi(colon + 1) > 65535)
        return false;
    length = (size_t)(colon - text);
    if (bracket) {
        if (length < 2 || text[length - 1] != ']')
            return false;
        text++;
        length -= 2;
    }
    if (length >= sizeof host)
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    *family = bracket ? AF_INET6 : AF_INET;
    return inet_pton(*family, host, address) == 1;
}

bool check_tcp_address(const char *text, struct fault *why)
{
    unsigned char address[16];
    int           family;

    if (*text == '\0' || tcp_split(text, &family, address))
        return true;
    return WRONG(why,
                 "\"%s\" is no address to listen at; a numeric address and a port are wanted, such as "
                 "\"127.0.0.1:8080\" or \"[::1]:8080\"",
                 text);
}

bool check_is_loopback(const char *text)
{
    static const unsigned char one6[16] = { [15] = 1 };
    unsigned char              address[16];
    int                        family;

    if (!tcp_split(text, &family, address))
        return true; /* a unix socket */
    return family == AF_INET ? address[0] == 127 : memcmp(address, one6, 16) == 0;
}

bool check_listener(const char *text, struct fault *why)
{
    if (has_prefix(text, "unix:")) {
        if (text[5] != '/')
            return WRONG(why,
                         "\"%s\": the path of a socket begins with '/', such as "
                         "\"unix:/run/weir/weir.sock\"",
                         text);
        return check_socket_length(text + 5, why);
    }
    if (*text == '\0' || *text == '/')
        return WRONG(why,
                     "\"%s\" is no address to listen at; such as \"127.0.0.1:8080\" or "
                     "\"unix:/run/weir/weir.sock\"",
                     text);
    return check_tcp_address(text, why);
}

bool check_origin(const char *text, struct fault *why)
{
    struct http_url url;

    if (strcmp(text, "*") == 0)
        return WRONG(why, "\"*\" would open the API to every page in a browser; name the origins");
    if (!http_url_parse(slice_of(text), &url) || url.target.len > 0)
        return WRONG(why,
                     "\"%s\" is no web origin; scheme and host alone are wanted, such as "
                     "\"https://app.example.org\"",
                     text);
    return true;
}

bool check_public_url(const char *text, struct fault *why)
{
    struct http_url url;

    if (!http_url_parse(slice_of(text), &url) || url.target.len > 0)
        return WRONG(why,
                     "\"%s\" is no address of Weir's; scheme, host and port alone are wanted, such as "
                     "\"http://127.0.0.1:8080\"",
                     text);
    return true;
}

static bool is_network(const char *text)
{
    unsigned char address[16];
    char          host[INET6_ADDRSTRLEN];
    size_t        length = strcspn(text, "/");
    int           family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    const char   *bits = text[length] == '/' ? text + length + 1 : NULL;

    if (length >= sizeof host)
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    return inet_pton(family, host, address) == 1 &&
           (bits == NULL || (*bits != '\0' && strlen(bits) <= 3 && bits[strspn(bits, "0123456789")] == '\0' &&
                             atoi(bits) <= (family == AF_INET ? 32 : 128)));
}

bool check_access(const char *text, struct fault *why)
{
    if ((has_prefix(text, "user:") && text[5] != '\0') || (has_prefix(text, "group:") && text[6] != '\0') ||
        is_network(text))
        return true;
    return WRONG(why,
                 "\"%s\" names nobody; \"user:NAME\", \"group:NAME\", an address or a network such as "
                 "\"127.0.0.0/8\" is wanted",
                 text);
}

bool checks_user(const char *match, uint32_t *uid)
{
    const char          *name = match + strlen("user:");
    const struct passwd *found;

    if (!has_prefix(match, "user:"))
        return false;
    *uid = UINT32_MAX;
    if (*name != '\0' && strlen(name) < 10 && name[strspn(name, "0123456789")] == '\0')
        *uid = (uint32_t)strtoul(name, NULL, 10);
    else if ((found = getpwnam(name)) != NULL)
        *uid = found->pw_uid;
    return true;
}

bool check_private(const char *text, struct fault *why)
{
    struct slice host;
    unsigned     port;

    if (is_network(text) || (strchr(text, '*') == NULL && http_authority_parse(slice_of(text), &host, &port) &&
                             port == 0 && host.ptr[0] != '['))
        return true;
    return WRONG(why,
                 "\"%s\" is no place; a host without a port, an address or a network such as "
                 "\"10.0.0.0/8\" is wanted",
                 text);
}

bool check_value_source(const char *text, struct fault *why)
{
    if (has_prefix(text, "credential:") || has_prefix(text, "env:")) {
        const char *name = strchr(text, ':') + 1;

        if (*name != '\0' && strchr(name, '/') == NULL)
            return true;
    } else if (*text == '/') {
        return true;
    }
    return WRONG(why,
                 "\"%s\" is no place of a value; the absolute path of a file, \"credential:NAME\" "
                 "(systemd) or "
                 "\"env:NAME\" is wanted",
                 text);
}

bool check_log_target(const char *text, struct fault *why)
{
    if (*text == '/' || strcmp(text, "stderr") == 0 || strcmp(text, "journal") == 0 || strcmp(text, "off") == 0)
        return true;
    return WRONG(why,
                 "\"%s\" is not known here; \"stderr\", \"journal\", \"off\" or the absolute path "
                 "of a file is "
                 "wanted",
                 text);
}

/* -- budgets -- */

bool check_rate(const char *text, struct fault *why)
{
    struct limit_options limit = { 0 };
    const char          *bad = NULL;
    bool                 good = limit_parse(slice_of(text), &limit, &bad);

    free((char *)limit.zone);
    if (good)
        return true;
    return WRONG(why, "\"%s\": %s", text, bad != NULL ? bad : "such as \"60/min\" or \"10/s burst 20\"");
}

/* "404", "5xx"; false for anything else. */
bool checks_status_range(struct slice text, unsigned *first, unsigned *last)
{
    int64_t code;

    if (text.len != 3 || text.ptr[0] < '1' || text.ptr[0] > '5')
        return false;
    if (slice_eq_nocase(slice_sub(text, 1, 3), SLICE("xx"))) {
        *first = (unsigned)(text.ptr[0] - '0') * 100;
        *last = *first + 99;
        return true;
    }
    if (!slice_to_int64(text, &code))
        return false;
    *first = *last = (unsigned)code;
    return true;
}

static bool cost_parse(const char *text, struct limit_cost *out, struct slice *method)
{
    struct slice all = slice_of(text), what, cost;
    int64_t      n;

    what = slice_sub(all, 0, slice_find(all, ' ', 0));
    cost = slice_trim(slice_sub(all, what.len, all.len));
    if (!slice_to_int64(cost, &n) || n > 1000000)
        return false;
    *out = (struct limit_cost){ .cost = (unsigned)n };
    *method = SLICE_NONE;
    if (checks_status_range(what, &out->status_first, &out->status_last))
        return true;
    *method = what;
    return http_is_token(what) && !(what.ptr[0] >= '0' && what.ptr[0] <= '9');
}

bool check_cost(const char *text, struct fault *why)
{
    struct limit_cost cost;
    struct slice      method;

    if (cost_parse(text, &cost, &method))
        return true;
    return WRONG(why,
                 "\"%s\" is no cost; a status, a method or * and a number up to 1000000 are wanted, such as "
                 "\"304 0\", \"GET 1\" or \"* 5\"",
                 text);
}

struct limit_cost checks_cost(const char *text, struct arena *arena)
{
    struct limit_cost cost = { 0 };
    struct slice      method = SLICE_NONE;

    if (cost_parse(text, &cost, &method) && method.ptr != NULL)
        cost.method = arena_copy(arena, method).ptr;
    return cost;
}

bool check_low_budget(const char *text, struct fault *why)
{
    size_t digits = strspn(text, "0123456789");

    if (digits > 0 && digits < 10 && (text[digits] == '\0' || (strcmp(text + digits, "%") == 0 && atoi(text) <= 100)))
        return true;
    return WRONG(why,
                 "\"%s\" is no part of a budget; a share or a number of requests is wanted, such "
                 "as \"10%%\" or "
                 "\"100\"",
                 text);
}

/* -- caching -- */

/* What is matched is path and query: a pattern that begins otherwise never counts. */
static bool check_reaches_path(const char *text, struct fault *why)
{
    size_t      scheme = strcspn(text, ":/");
    const char *path;

    if (*text == '~')
        return true;
    /* No request target has one in it (RFC 9112 3.2): clients write %20 and %23. */
    if (text[strcspn(text, " #\t\r\n")] != '\0' && strstr(text, "://") == NULL)
        return WRONG(why, "\"%s\" never matches: the path is compared as it is sent, with %s", text,
                     strpbrk(text, "#") != NULL ? "%23 for '#'" : "%20 for a blank");
    if (strchr("/*?{", *text) != NULL)
        return true;
    if (strncmp(text + scheme, "://", 3) != 0)
        return WRONG(why, "\"%s\" never matches, since a path begins with '/'; did you mean \"/%s\"?", text, text);
    path = strchr(text + scheme + 3, '/');
    return WRONG(why, "\"%s\" never matches: the path alone is compared; did you mean \"%s\"?", text,
                 path != NULL ? path : "/**");
}

bool check_pattern(const char *text, struct fault *why)
{
    struct fault    bad = { "" };
    struct pattern *pattern;

    if (*text == '\0')
        return WRONG(why, "is empty; \"/**\" matches every request");
    if (!check_reaches_path(text, why))
        return false;
    pattern = pattern_compile(slice_of(text), &bad);
    if (pattern == NULL)
        return WRONG(why, "\"%s\": %s", text, bad.text);
    pattern_free(pattern);
    return true;
}

/* -- HTTP -- */

bool check_method(const char *text, struct fault *why)
{
    char upper[16];

    if (!http_is_token(slice_of(text)))
        return WRONG(why, "\"%s\" is no method; such as \"GET\" or \"POST\"", text);
    /* RFC 9110 9.1: "get" is a method of its own, and never what was meant. */
    if (http_method_parse(slice_of(text)) == HTTP_OTHER && strlen(text) < sizeof upper) {
        for (size_t i = 0; i <= strlen(text); i++)
            upper[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
        if (http_method_parse(slice_of(upper)) != HTTP_OTHER)
            return WRONG(why, "\"%s\": methods are written in capitals; did you mean \"%s\"?", text, upper);
    }
    return true;
}

bool check_known_method(const char *text, struct fault *why)
{
    if (!check_method(text, why))
        return false;
    if (http_method_parse(slice_of(text)) != HTTP_OTHER)
        return true;
    return WRONG(why, "\"%s\" is no method that Weir knows; such as \"GET\", \"HEAD\" or \"POST\"", text);
}

bool check_field_name(const char *text, struct fault *why)
{
    if (http_is_token(slice_of(text)))
        return true;
    return WRONG(why, "\"%s\" is no name of a header field; such as \"X-Api-Key\"", text);
}

bool check_sent_field(const char *text, struct fault *why)
{
    if (!check_field_name(text, why))
        return false;
    if (!http_name_stays_here(slice_of(text)))
        return true;
    return WRONG(why, "\"%s\" is between two machines, and never reaches the API: it tells no requests apart", text);
}

bool check_cookie_name(const char *text, struct fault *why)
{
    if (*text != '\0' && strpbrk(text, "=; \t,\"\r\n") == NULL)
        return true;
    return WRONG(why, "\"%s\" is no name of a cookie; such as \"AWSALB*\"", text);
}

bool check_field_value(const char *text, struct fault *why)
{
    if (*text != '\0' && http_is_field_value(slice_of(text)))
        return true;
    return WRONG(why, "is no value of a header field; text on one line is wanted");
}

bool check_field(const char *text, struct fault *why)
{
    static const enum http_name framing[] = { HTTP_HOST, HTTP_CONTENT_LENGTH };
    struct slice                all = slice_of(text), name = slice_sub(all, 0, slice_find(all, ':', 0));
    enum http_name              id;

    if (name.len == all.len || !http_is_token(name) ||
        !http_is_field_value(slice_trim(slice_sub(all, name.len + 1, all.len))))
        /* not repeated: may be secret */
        return WRONG(why, "is no header field; \"Name: value\" is wanted");
    id = http_name_parse(name);
    if (http_name_flags(id) & (HTTP_HOP_BY_HOP | HTTP_WEIR))
        return WRONG(why, "\"" SLICE_FMT "\" is for one connection; Weir sets it itself", SLICE_ARG(name));
    for (size_t i = 0; i < sizeof framing / sizeof framing[0]; i++)
        if (id == framing[i])
            return WRONG(why, "\"" SLICE_FMT "\" frames the message; Weir sets it itself", SLICE_ARG(name));
    return true;
}
