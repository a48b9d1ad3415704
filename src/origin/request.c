/*
 * A request as curl is told to send it: byte for byte what it is given,
 * and nothing that curl would add by itself.
 *
 * The target goes through CURLOPT_REQUEST_TARGET, apart from the URL, so it is never
 * parsed or normalised.  "Name;" sends an empty field; "Name:" keeps curl
 * from adding that field.
 */
#include "origin/internal.h"

#define NAME_SECONDS 60L /* that an address is good for: but see may_have_moved() in transfer.c */
#define DAY_MS       86400000L
#define EXPECT_MS    1000L /* the wait for an API that may know nothing of 100 */
#define DAY_NS       (DAY_MS * NS_PER_MS)

/* -- fields -- */

/* What is asked for by far the most: without a body, and without a method that curl must be told of. */
static bool is_plain_get(const struct transfer *t)
{
    return t->ask.request->method == HTTP_GET && !t->ask.has_body &&
           http_fields_find(&t->ask.request->fields, HTTP_CONTENT_LENGTH, 0) < 0;
}

static bool append_line(struct transfer *t, const char *line)
{
    struct curl_slist *longer = curl_slist_append(t->fields, line);

    t->fields = longer != NULL ? longer : t->fields;
    return longer != NULL;
}

static bool add_line(struct transfer *t, struct arena *a, struct slice name, struct slice value)
{
    struct slice line = value.len > 0 ? ARENA_JOIN(a, name, SLICE(": "), value) : ARENA_JOIN(a, name, SLICE(";"));

    return append_line(t, line.ptr);
}

/* What frames the message is curl's; Weir's own conditions fall where the flight has to go without. */
static bool is_left_out(const struct transfer *t, const struct http_field *field)
{
    static const enum http_name conditions[] = { HTTP_IF_MATCH, HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE,
                                                 HTTP_IF_UNMODIFIED_SINCE, HTTP_IF_RANGE };

    if (field->id == HTTP_CONTENT_LENGTH || field->id == HTTP_TRANSFER_ENCODING || field->id == HTTP_EXPECT ||
        field->id == HTTP_CONNECTION)
        return true;
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions && t->ask.plain; i++)
        if (field->id == conditions[i])
            return true;
    if (t->ask.no_range && field->id == HTTP_RANGE)
        return true;
    return !http_is_token(field->name) || !http_is_field_value(field->value);
}

/* Of its own curl adds "Accept", "Expect" to what has a body, and "Proxy-Connection" on the way to a proxy. */
static bool add_fields(struct transfer *t, struct arena *a)
{
    const struct http_fields *fields = &t->ask.request->fields;
    bool                      ok = true;

    if (http_fields_find(fields, HTTP_HOST, 0) < 0)
        ok = add_line(t, a, SLICE("Host"), t->ask.authority);
    for (unsigned i = 0; i < fields->count && ok; i++)
        if (!is_left_out(t, &fields->items[i]))
            ok = add_line(t, a, fields->items[i].name, fields->items[i].value);
    if (ok && t->ask.auth_value.ptr != NULL)
        ok = add_line(t, a, t->ask.auth_name, t->ask.auth_value);
    if (ok && http_fields_find(fields, HTTP_ACCEPT, 0) < 0)
        ok = append_line(t, "Accept:");
    if (ok && t->ask.options->via.url != NULL)
        ok = append_line(t, "Proxy-Connection:");
    return ok && (is_plain_get(t) || append_line(t, t->ask.expects ? "Expect: 100-continue" : "Expect:")) &&
           curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields) == CURLE_OK;
}

/* -- options -- */

/* What the method and the body ask for: an upload is PUT to curl, whatever its name. */
static void set_method(struct transfer *t, struct arena *a)
{
    const struct http_request *r = t->ask.request;
    struct slice               length = http_fields_get(&r->fields, HTTP_CONTENT_LENGTH);
    int64_t                    announced = -1;

    if (r->method == HTTP_HEAD) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    } else if (t->ask.has_body) {
        curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->ask.body_bytes);
        curl_easy_setopt(t->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_MS);
    } else if (slice_to_int64(length, &announced) && announced == 0) {
        curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L); /* the client said Content-Length: 0, so do we */
        curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)0);
    } else {
        curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
    }
    if (r->method != HTTP_HEAD)
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, arena_copy(a, r->method_name).ptr);
}

static const struct {
    CURLoption option;
    long       value;
} fixed[] = {
    { CURLOPT_NOSIGNAL, 1 },
    { CURLOPT_PATH_AS_IS, 1 },
    { CURLOPT_FOLLOWLOCATION, 0 },
    { CURLOPT_HTTP09_ALLOWED, 0 },
    { CURLOPT_DISALLOW_USERNAME_IN_URL, 1 },
    { CURLOPT_QUICK_EXIT, 1 }, /* giving up does not wait for a resolver thread */
    { CURLOPT_TCP_KEEPALIVE, 1 },
    { CURLOPT_MAXAGE_CONN, 55 }, /* most servers close at 60 s and later */
};

/* An API that is not asked over TLS never speaks HTTP/2, whatever its answers say: libcurl would believe them, and send
 * several requests at once on one connection. */
static bool speaks_http1(const struct transfer *t)
{
    return t->origin->http1 || slice_eq(t->ask.options->scheme, SLICE("http"));
}

/* What changes while the origin's options stay: see connection_plan() for the first two.  A handle that waits for its
 * next transfer has no part in the sessions of an origin, which may go. */
static void set_passing(struct transfer *t)
{
    int64_t connect_ns = t->ask.timeout->connect_ns;
    bool    large = t->origin->large_next > 0;

    if (large != t->set_large) /* libcurl has a buffer for as long as the transfer lasts */
        curl_easy_setopt(t->easy, CURLOPT_BUFFERSIZE, large ? (long)ORIGIN_PIECE_BYTES : (long)CURL_MAX_WRITE_SIZE);
    t->set_large = large;
    if (connect_ns > 0) /* "forever" is a day: libcurl's own default would be 5 minutes */
        curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS,
                         connect_ns < DAY_NS ? (long)(connect_ns / NS_PER_MS + 1) : DAY_MS);
    curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, t->ask.options->max_idle_connections == 0 ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 0L);
    t->looked_up = t->origin->name_doubtful;
    curl_easy_setopt(t->easy, CURLOPT_DNS_CACHE_TIMEOUT, t->looked_up ? 0L : NAME_SECONDS);
    curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, t->ask.fresh ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, speaks_http1(t) ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(t->easy, CURLOPT_PIPEWAIT, t->origin->known.http2 ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_SHARE, t->origin->sessions);
}

static void set_connection(struct transfer *t)
{
    const struct origin_options *o = t->ask.options;
    CURL                        *e = t->easy;
    long                         verify = o->tls.verify ? 1 : 0;

    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        curl_easy_setopt(e, fixed[i].option, fixed[i].value);
    t->set_large = false; /* as after any reset */
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    via_set(t);
    tls_end_watch(t);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, verify);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, verify * 2);
    if (o->tls.ca_file != NULL)
        curl_easy_setopt(e, CURLOPT_CAINFO, o->tls.ca_file);
    if (o->tls.cert_file != NULL)
        curl_easy_setopt(e, CURLOPT_SSLCERT, o->tls.cert_file);
    if (o->tls.key_file != NULL)
        curl_easy_setopt(e, CURLOPT_SSLKEY, o->tls.key_file);
}

/* Parsed once: curl copies its parts for every transfer.  What does not parse curl refuses itself. */
static bool set_url(struct transfer *t, struct arena *a)
{
    struct slice url = ARENA_JOIN(a, t->ask.options->scheme, SLICE("://"), t->ask.authority, SLICE("/"));

    curl_url_cleanup(t->url);
    t->url = curl_url();
    if (t->url != NULL && curl_url_set(t->url, CURLUPART_URL, url.ptr, CURLU_DISALLOW_USER) == CURLUE_OK)
        return curl_easy_setopt(t->easy, CURLOPT_CURLU, t->url) == CURLE_OK;
    return curl_easy_setopt(t->easy, CURLOPT_URL, url.ptr) == CURLE_OK;
}

/* They stay with the handle: most requests to an origin are GETs that differ in nothing but target and fields. */
static bool set_options(struct transfer *t, struct arena *a)
{
    bool stays = is_plain_get(t) && t->ask.options == t->origin->options;

    if (stays && t->set_for == t->origin->options_number && t->set_to == t->ask.authority.ptr) {
        set_passing(t);
        return true;
    }
    curl_easy_reset(t->easy);
    t->set_for = stays ? t->origin->options_number : 0;
    t->set_to = t->ask.authority.ptr;
    if (!set_url(t, a))
        return false;
    callbacks_set(t);
    set_connection(t);
    set_method(t, a);
    set_passing(t);
    return true;
}

bool request_prepare(struct transfer *t)
{
    struct arena *a = &t->all->scratch;
    struct slice  target = via_target(t, t->ask.target, a);
    bool          ok;

    t->error[0] = '\0';
    ok = set_options(t, a) &&
         curl_easy_setopt(t->easy, CURLOPT_REQUEST_TARGET, arena_copy(a, target).ptr) == CURLE_OK && add_fields(t, a);
    arena_reset(a);
    return ok;
}

void request_forget(struct transfer *t, bool sound)
{
    curl_easy_setopt(t->easy, CURLOPT_SHARE, NULL); /* which a reset leaves */
    if (!sound || t->set_for == 0) {
        curl_easy_reset(t->easy);
        t->set_for = 0;
    } else {
        curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
    }
    curl_slist_free_all(t->fields);
    t->fields = NULL;
}
