/*
 * The library's functions are looked up once: for sending when the filter is set, for receiving with the first call.
 */
#include "tls/record.h"

#include "tls/handshake.h"

#include <dlfcn.h>

typedef ssize_t (*library_send)(gnutls_session_t, const void *, size_t);
typedef ssize_t (*library_receive)(gnutls_session_t, void *, size_t);

static library_send  library;         /* written before there are other threads */
static record_filter filter;

static library_send look_up(void)
{
    return (library_send)dlsym(RTLD_NEXT, "gnutls_record_send");
}

static ssize_t send_plainly(void *session, const void *bytes, size_t count)
{
    return library(session, bytes, count);
}

void record_set_filter(record_filter f)
{
    library = look_up();
    filter = library != NULL ? f : NULL;
}

ssize_t gnutls_record_send(gnutls_session_t session, const void *bytes, size_t count)
{
    if (filter == NULL)
        return look_up()(session, bytes, count);
    return filter(gnutls_transport_get_int(session), bytes, count, send_plainly, session);
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

void record_end(void *session)
{
    gnutls_bye(session, GNUTLS_SHUT_WR);
}
