/*
 * What an attempt that failed is called: the outcome for the retry decision,
 * the error type of RFC 9209 2.3, and a sentence for people that names the
 * API's host and nothing that was sent to it.
 */
#include "origin/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { NOT_SENT = 1, FINAL = 2, TELL = 4 /* curl's own words add something */ };

/* Rows in order: the first whose code fits, and whose NOT_SENT flag does not contradict, counts. */
static const struct code_row {
    CURLcode             code;
    unsigned             flags;
    enum attempt_outcome outcome;
    const char          *token;
    const char          *text;
} code_rows[] = {
    { CURLE_COULDNT_RESOLVE_HOST, 0, ATTEMPT_NO_NAME, "dns_error", "its name cannot be resolved" },
    { CURLE_OPERATION_TIMEDOUT, NOT_SENT, ATTEMPT_UNREACHED, "connection_timeout",
      "it did not accept a connection in time" },
    { CURLE_OPERATION_TIMEDOUT, 0, ATTEMPT_TIMEOUT, "http_response_timeout", "it did not answer in time" },
    { CURLE_COULDNT_CONNECT, 0, ATTEMPT_REFUSED, "connection_refused", "it refused the connection" },
    { CURLE_PEER_FAILED_VERIFICATION, FINAL | TELL, ATTEMPT_NO_TLS, "tls_certificate_error",
      "its certificate is not trusted" },
    { CURLE_SSL_ISSUER_ERROR, FINAL | TELL, ATTEMPT_NO_TLS, "tls_certificate_error", "its certificate is not trusted" },
    { CURLE_SSL_CACERT_BADFILE, FINAL | TELL, ATTEMPT_UNUSABLE, "proxy_configuration_error",
      "tls.ca_file cannot be used" },
    { CURLE_SSL_CERTPROBLEM, FINAL | TELL, ATTEMPT_UNUSABLE, "proxy_configuration_error",
      "tls.cert_file or tls.key_file cannot be used" },
    { CURLE_SSL_CONNECT_ERROR, TELL, ATTEMPT_NO_TLS, "tls_protocol_error", "no TLS connection could be made" },
    { CURLE_PARTIAL_FILE, 0, ATTEMPT_CUT_SHORT, "http_response_incomplete", "its answer broke off" },
    { CURLE_UNSUPPORTED_PROTOCOL, 0, ATTEMPT_DROPPED, "http_protocol_error", "its answer is not HTTP" },
    { CURLE_WEIRD_SERVER_REPLY, 0, ATTEMPT_DROPPED, "http_protocol_error", "its answer is not HTTP" },
    { CURLE_OUT_OF_MEMORY, FINAL, ATTEMPT_DROPPED, "http_response_header_section_size",
      "a line of its answer's head is too long" }, /* 100 KiB in libcurl, which has no better name for it */
    { CURLE_HTTP2, 0, ATTEMPT_DROPPED, "http_protocol_error", "the HTTP/2 connection failed" },
    { CURLE_HTTP2_STREAM, 0, ATTEMPT_DROPPED, "http_protocol_error", "it reset the HTTP/2 stream" },
};

static const struct stop_row {
    enum attempt_outcome outcome;
    bool                 final;
    const char          *token, *text;
} stop_rows[] = {
    [STOP_ABANDONED] = { ATTEMPT_DROPPED, true, "connection_terminated", "nobody waited for it any more" },
    [STOP_LOOP] = { ATTEMPT_UNUSABLE, true, "proxy_loop_detected", "its address is Weir's own" },
    [STOP_DEAD_CONNECTION] = { ATTEMPT_REFUSED, false, "connection_terminated",
                               "it closed the connection before anything was sent" },
    [STOP_SPOKE_FIRST] = { ATTEMPT_REFUSED, false, "connection_terminated",
                           "it answered, or closed the connection, before it was asked" },
    [STOP_UNASKED] = { ATTEMPT_DROPPED, false, "connection_terminated",
                       "what it sent is no answer: it was on its way before the request" },
    [STOP_VIA_REFUSED] = { ATTEMPT_REFUSED, true, "proxy_configuration_error", "its proxy refused the request" },
    [STOP_SECOND_SENDING] = { ATTEMPT_DROPPED, false, "connection_terminated",
                              "it closed the connection instead of answering" },
    [STOP_OVER_BUDGET] = { ATTEMPT_UNUSABLE, false, "connection_limit_reached", "the budget was tightened meanwhile" },
    [STOP_HEAD_TOO_LARGE] = { ATTEMPT_DROPPED, true, "http_response_header_section_size",
                              "the head of its answer is too large" },
    [STOP_HEAD_MALFORMED] = { ATTEMPT_DROPPED, false, "http_protocol_error",
                              "the head of its answer contradicts itself" },
    [STOP_FRAMING] = { ATTEMPT_DROPPED, false, "http_protocol_error",
                       "its Content-Length is not one number, or its Transfer-Encoding not chunked" },
    [STOP_DISK] = { ATTEMPT_DROPPED, true, "proxy_internal_error", "there was no room for its answer" },
    [STOP_UPLOAD_BROKEN] = { ATTEMPT_DROPPED, true, "http_request_error", "the client broke off its request" },
    [STOP_UPLOAD_STALLED] = { ATTEMPT_DROPPED, false, "http_request_error",
                              "the client paused within the body while others waited for a place" },
    [STOP_CONNECT_TIMEOUT] = { ATTEMPT_UNREACHED, false, "connection_timeout",
                               "it did not accept a connection in time" },
    [STOP_READ_TIMEOUT] = { ATTEMPT_TIMEOUT, false, "http_response_timeout",
                            "it sent nothing for longer than timeout.read" },
    [STOP_WRITE_TIMEOUT] = { ATTEMPT_TIMEOUT, false, "connection_write_timeout",
                             "it took nothing of the request for longer than timeout.write" },
    [STOP_TOTAL_TIMEOUT] = { ATTEMPT_TIMEOUT, false, "http_response_timeout",
                             "its answer took longer than timeout.total" },
    [STOP_ANSWERED] = { ATTEMPT_DROPPED, true, "http_protocol_error", "it took no more of the request" },
    [STOP_ENOUGH] = { ATTEMPT_STATUS, false, "http_request_error", "it answered with an error" },
};

void failure_set(struct failure *f, enum attempt_outcome outcome, const char *token, const char *format, ...)
{
    va_list args;

    f->outcome = outcome;
    f->token = token;
    f->final = f->stalled = f->denied = false;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

/* "could not connect" has causes that people must tell apart. */
static void refine_connect(struct failure *f, const struct transfer *t, struct slice host)
{
    long err = 0;

    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &err);
    if (err == ENETUNREACH || err == EHOSTUNREACH)
        failure_set(f, ATTEMPT_UNREACHED, "destination_ip_unroutable", SLICE_FMT ": there is no route to it",
                    SLICE_ARG(host));
    else if (err == ETIMEDOUT)
        failure_set(f, ATTEMPT_UNREACHED, "connection_timeout", SLICE_FMT ": it did not accept a connection in time",
                    SLICE_ARG(host));
}

/* What OpenSSL says, by a part of its words, and what to do about it. */
static const char *tls_cause(const char *said)
{
    static const char untrusted[] = "nobody whom this machine trusts has signed its certificate; tls.ca_file names "
                                    "an authority of your own";
    static const char plain[] = "it does not speak TLS there; url may want http:// or another port";
    static const struct {
        const char *part, *text;
    } causes[] = {
        { "subject name", "its certificate is for another name" },
        { "has expired", "its certificate has expired" },
        { "not yet valid", "its certificate is not valid yet; is this machine's clock right?" },
        { "self-signed", untrusted },
        { "self signed", untrusted },
        { "local issuer", untrusted },
        { "wrong version number", plain },
        { "http request", plain },
        { "packet length too long", plain },
        { "certificate required", "it wants a certificate of the client; tls.cert_file and tls.key_file name it" },
    };

    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (strstr(said, causes[i].part) != NULL)
            return causes[i].text;
    return NULL;
}

/* Bytes that are no HTTP on a plain connection may be TLS. */
static const char *text_of(const struct code_row *row, const struct transfer *t)
{
    const char *cause = row->outcome == ATTEMPT_NO_TLS ? tls_cause(t->error) : NULL;

    if (cause != NULL)
        return cause;
    if ((row->code == CURLE_UNSUPPORTED_PROTOCOL || row->code == CURLE_WEIRD_SERVER_REPLY) &&
        slice_eq_nocase(t->ask.options->scheme, SLICE("http")))
        return "its answer is not HTTP; where it speaks TLS, url wants https://";
    return row->text;
}

static void by_code(struct failure *f, const struct transfer *t, CURLcode code, struct slice host)
{
    bool not_sent = t->prereqs == 0;

    for (size_t i = 0; i < sizeof code_rows / sizeof *code_rows; i++) {
        const struct code_row *row = &code_rows[i];

        if (row->code != code || ((row->flags & NOT_SENT) != 0 && !not_sent))
            continue;
        failure_set(f, row->outcome, row->token, SLICE_FMT ": %s%s%.80s%s", SLICE_ARG(host), text_of(row, t),
                    (row->flags & TELL) != 0 && t->error[0] != '\0' ? " (" : "",
                    (row->flags & TELL) != 0 ? t->error : "",
                    (row->flags & TELL) != 0 && t->error[0] != '\0' ? ")" : "");
        f->final = (row->flags & FINAL) != 0;
        if (code == CURLE_COULDNT_CONNECT)
            refine_connect(f, t, host);
        return;
    }
    if (not_sent)
        failure_set(f, ATTEMPT_REFUSED, "connection_terminated", SLICE_FMT ": no connection could be made",
                    SLICE_ARG(host));
    else
        failure_set(f, ATTEMPT_DROPPED, "connection_terminated", SLICE_FMT ": %s", SLICE_ARG(host),
                    t->head.final ? "its answer broke off, or its chunks are malformed"
                                  : "it closed the connection instead of answering");
}

/* The time for the connection was up before there was an address to connect to (RFC 9209 2.3.1). */
static bool is_unnamed(const struct transfer *t, CURLcode code)
{
    curl_off_t named_us = 0;
    const bool late = t->stop == STOP_CONNECT_TIMEOUT || (t->stop == STOP_NONE && code == CURLE_OPERATION_TIMEDOUT);

    if (!late || t->prereqs > 0)
        return false;
    return curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &named_us) == CURLE_OK && named_us == 0;
}

/* The proxy was to blame. */
static bool by_via(struct failure *f, const struct transfer *t, CURLcode code)
{
    struct slice     host = slice_sub(t->ask.authority, 0, 40), proxy = slice_sub(t->ask.options->via.authority, 0, 40);
    struct via_cause cause;

    if (!via_failure(&cause, t, code))
        return false;
    failure_set(f, ATTEMPT_REFUSED, cause.token, SLICE_FMT " via " SLICE_FMT ": %s", SLICE_ARG(host), SLICE_ARG(proxy),
                cause.text);
    f->final = cause.lasting;
    return true;
}

void transfer_wire_failure(const struct transfer *t, struct failure *f)
{
    struct slice host = slice_sub(t->ask.authority, 0, 60);
    CURLcode     code = t->code;

    if (code == CURLE_OK)
        code = t->head.final ? CURLE_PARTIAL_FILE : CURLE_GOT_NOTHING;
    if (by_via(f, t, code))
        return;
    if (http2_was_not_done(t)) {
        failure_set(f, ATTEMPT_REFUSED, "destination_unavailable", SLICE_FMT ": it refused the request undone (HTTP/2)",
                    SLICE_ARG(host));
    } else if (is_unnamed(t, code)) {
        failure_set(f, ATTEMPT_UNREACHED, "dns_timeout",
                    SLICE_FMT ": its name was not looked up in time "
                              "(timeout.connect)",
                    SLICE_ARG(host));
    } else if (t->stop != STOP_NONE) {
        const struct stop_row *row = &stop_rows[t->stop];

        failure_set(f, row->outcome, row->token, SLICE_FMT ": %s", SLICE_ARG(host), row->text);
        f->final = row->final;
        f->stalled = t->stop == STOP_UPLOAD_STALLED;
    } else {
        by_code(f, t, code, host);
    }
    /* A timed-out or broken body is one that was cut short; where nothing was sent nothing was done. */
    if (t->head.final && (f->outcome == ATTEMPT_DROPPED || f->outcome == ATTEMPT_CUT_SHORT) && t->stop != STOP_DISK &&
        t->stop != STOP_ABANDONED) {
        f->outcome = ATTEMPT_CUT_SHORT;
        f->token = "http_response_incomplete";
    }
    if (t->prereqs == 0 && !attempt_did_nothing(f->outcome))
        f->outcome = ATTEMPT_REFUSED;
}
