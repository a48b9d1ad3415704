/*
 * The library's functions are looked up with the first call.
 *
 * A head that is kept back (struct handshake) goes out with the beginning of its body, as one record.  A record that
 * the socket does not take at once GnuTLS keeps; asked to send again, it sends that, and says as many bytes as it was
 * given with it.  So the same call has the same meaning until it succeeds, and the head goes when it has.
 */
#include "tls/record.h"

#include "base/arena.h"
#include "tls/handshake.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef ssize_t (*library_send)(gnutls_session_t, const void *, size_t);
typedef ssize_t (*library_receive)(gnutls_session_t, void *, size_t);

/* Of one record (RFC 8446 5.1); and of records in a row, so that one fast client does not hold up the rest. */
enum { RECORD_BYTES = 16384, RUN_BYTES = 256 * 1024 };

/* Written before there are other threads. */
static record_filter filter;
static bool          has_no_runs;

void record_set_filter(record_filter f)
{
    filter = f;
}

void record_use_runs(bool uses)
{
    has_no_runs = !uses;
}

#ifdef WEIR_MHD_TRICKS
static ssize_t send_one(gnutls_session_t session, const void *bytes, size_t count)
{
    static _Atomic library_send found;
    library_send                f = found;

    if (f == NULL)
        found = f = (library_send)dlsym(RTLD_NEXT, "gnutls_record_send");
    return f(session, bytes, count);
}

/* As many as the socket takes. */
static ssize_t send_run(gnutls_session_t session, const char *bytes, size_t count)
{
    size_t sent = 0;

    while (sent < count && sent < RUN_BYTES) {
        ssize_t n = send_one(session, bytes + sent, count - sent);

        if (n <= 0)
            return sent > 0 ? (ssize_t)sent : n;
        sent += (size_t)n;
        if (has_no_runs)
            break;
    }
    return (ssize_t)sent;
}

static ssize_t hold(struct handshake *h, const void *bytes, size_t count)
{
    h->holds_head = false;
    h->head = mem_alloc_raw(count);
    memcpy(h->head, bytes, count);
    h->head_bytes = count;
    return (ssize_t)count;
}

static void let_go(struct handshake *h)
{
    free(h->head);
    h->head = NULL;
}

/* What is left of the head, and then some of `bytes`; what was taken of those. */
static ssize_t send_with_head(gnutls_session_t session, struct handshake *h, const char *bytes, size_t count)
{
    char   record[RECORD_BYTES];
    size_t more = count < RECORD_BYTES - h->head_bytes ? count : RECORD_BYTES - h->head_bytes;

    while (h->head_bytes > 0) {
        ssize_t n;

        memcpy(record, h->head, h->head_bytes);
        memcpy(record + h->head_bytes, bytes, more);
        n = send_one(session, record, h->head_bytes + more);
        if (n < 0)
            return n;
        if ((size_t)n > h->head_bytes) {
            let_go(h);
            return n - (ssize_t)h->head_bytes;
        }
        /* The client has asked for smaller records (RFC 8449). */
        h->head_bytes -= (size_t)n;
        memmove(h->head, h->head + n, h->head_bytes);
    }
    let_go(h);
    return send_run(session, bytes, count);
}

static ssize_t send_records(void *session, const void *bytes, size_t count)
{
    struct handshake *h = gnutls_db_get_ptr(session);

    if (h != NULL && h->head != NULL)
        return send_with_head(session, h, bytes, count);
    if (h != NULL && h->holds_head && count <= RECORD_BYTES / 2)
        return hold(h, bytes, count);
    if (h != NULL)
        h->holds_head = false;
    return send_run(session, bytes, count);
}

ssize_t gnutls_record_send(gnutls_session_t session, const void *bytes, size_t count)
{
    if (filter == NULL)
        return send_records(session, bytes, count);
    return filter(gnutls_transport_get_int(session), bytes, count, send_records, session);
}

static ssize_t receive(gnutls_session_t session, void *at, size_t room)
{
    static _Atomic library_receive found;
    library_receive                f = found;

    if (f == NULL)
        found = f = (library_receive)dlsym(RTLD_NEXT, "gnutls_record_recv");
    return f(session, at, room);
}

ssize_t gnutls_record_recv(gnutls_session_t session, void *at, size_t room)
{
    ssize_t           count = receive(session, at, room);
    struct handshake *h = gnutls_db_get_ptr(session);

    if (h == NULL || h->heard == NULL || count == GNUTLS_E_AGAIN || count == GNUTLS_E_INTERRUPTED)
        return count;
    return h->heard(h->owner, at, count) ? count : GNUTLS_E_PULL_ERROR;
}

#endif

void record_end(void *session)
{
    gnutls_bye(session, GNUTLS_SHUT_WR);
}
