/*
 * What libcurl calls while it is let work: head lines, pieces of bodies, and the moment before a request is sent.
 */
#include "origin/internal.h"

#include "base/own_address.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One line, but for trailers that came while the transfer was paused: those come together. */
static size_t on_header(char *text, size_t size, size_t count, void *transfer)
{
    struct transfer *t = transfer;
    size_t           bytes = size * count;

    for (size_t at = 0; at < bytes && !t->stops;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t      length = end != NULL ? (size_t)(end - text) + 1 - at : bytes - at;

        if (!response_line(t, text + at, length) && !sending_stops(t))
            return 0;
        at += length;
    }
    return bytes;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *transfer)
{
    struct transfer *t = transfer;

    if (t->stops)
        return size * count;
    switch (gather_body(t, bytes, size * count)) {
    case GATHERED:
        return size * count;
    case GATHERED_NOT:
        t->receive_paused = true;
        t->pause_from_ns = clock_mono_ns();
        return CURL_WRITEFUNC_PAUSE;
    case GATHERED_LAST:
        break;
    }
    return sending_stops(t) ? size * count : CURL_WRITEFUNC_ERROR;
}

/* Once per real sending: the second means that a reused connection died and curl would send the
 * request again without asking anybody (no option stops that). */
static int on_sending(void *transfer, char *primary_ip, char *local_ip, int primary_port, int local_port)
{
    struct transfer *t = transfer;

    if (own_address_is(local_ip, primary_ip, (unsigned)primary_port)) {
        t->stop = STOP_LOOP;
        return CURL_PREREQFUNC_ABORT;
    }
    if (!connection_look(t, primary_ip, local_port, primary_port) || !sending_begins(t))
        return CURL_PREREQFUNC_ABORT;
    connection_carries(t);
    return CURL_PREREQFUNC_OK;
}

static size_t on_upload(char *buffer, size_t size, size_t count, void *transfer)
{
    return sending_read(transfer, buffer, size * count);
}

/*
 * More than the answer came with its end.  After Content-Length libcurl 7.88 then closes the connection by itself;
 * after a last chunk, or a head without a body, it says so here and would use it again, to meet the rest of that later.
 */
static int on_word(CURL *easy, curl_infotype type, char *text, size_t bytes, void *transfer)
{
    struct slice said = { text, bytes };

    (void)transfer;
    if (type == CURLINFO_TEXT &&
        (slice_starts_with(said, SLICE("Leftovers after chunking")) || slice_starts_with(said, SLICE("Excess found"))))
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    return 0;
}

static curl_socket_t on_open_socket(void *origin, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct origin *o = origin;
    curl_socket_t  fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    if (fd != CURL_SOCKET_BAD) {
        watch_opened(o, fd);
        connection_opened(o, fd);
    }
    return fd;
}

static int on_close_socket(void *origin, curl_socket_t fd)
{
    struct origin *o = origin;

    connection_closed(o, fd);
    watch_closed(o->all, fd);
    return close(fd);
}

void callbacks_set(struct transfer *t)
{
    CURL *e = t->easy;

    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_sending);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(e, CURLOPT_DEBUGFUNCTION, on_word);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t->origin);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, t->origin);
}
