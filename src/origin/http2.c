/*
 * What libcurl 7.88 does not tell of an HTTP/2 stream, nor do for it.
 *
 * libcurl calls libnghttp2 through the dynamic linker; the functions of that name here take its place, do what
 * is missing, and call the library's own (dlsym(RTLD_NEXT)).  So it is known of each stream whether it
 * was sent at all, how it ended, and whether its last frame said so (RFC 9113 8.1); of each API how many
 * streams a connection takes; a stream's window is bounded, which makes pausing a transfer hold the API back
 * as it does over HTTP/1.1; and a stream that is given up is reset at once (http2_reset()).
 * What libcurl itself leaves: 32 MiB of window for each stream, buffered in memory while it is paused; RST_STREAM in a
 * buffer until there is other traffic; a reset in mid-body with NO_ERROR taken for the body's end.
 *
 * With a libcurl that has libnghttp2 inside none of this is called, `stream.is` of a transfer stays false, and it is
 * done without. Names, numbers and the head of a frame are libnghttp2's public interface since 1.0.
 */
#include "origin/internal.h"

#include <dlfcn.h>
#include <stdlib.h>

struct nghttp2_session;
struct nghttp2_session_callbacks;
struct nghttp2_settings_entry {
    int32_t  settings_id;
    uint32_t value;
};
struct nghttp2_frame {
    size_t  length;
    int32_t stream_id;
    uint8_t type, flags, reserved;
}; /* its head */

typedef int  on_frame(struct nghttp2_session *, const struct nghttp2_frame *, void *user);
typedef int  on_stream_close(struct nghttp2_session *, int32_t stream_id, uint32_t error, void *user);
typedef void set_on_frame(struct nghttp2_session_callbacks *, on_frame *);
typedef void set_on_stream_close(struct nghttp2_session_callbacks *, on_stream_close *);

enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_SETTINGS = 4, FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_PADDED = 8 };
enum { SETTINGS_MAX_CONCURRENT_STREAMS = 3, SETTINGS_INITIAL_WINDOW_SIZE = 4 };
enum { ERROR_REFUSED_STREAM = 7, ERROR_CANCEL = 8, ERROR_HTTP_1_1_REQUIRED = 13 };
enum { SETTINGS_COUNT = 16 };

/* As much as a slow reader of one answer may cost, and 20 MB/s at a tenth of a second's way. */
enum { STREAM_WINDOW_BYTES = 2 * 1024 * 1024 };

/* Those that take the library's place: libcurl finds them in the program. */
int nghttp2_submit_settings(struct nghttp2_session *, uint8_t flags, const struct nghttp2_settings_entry *,
                            size_t count);
int nghttp2_session_set_local_window_size(struct nghttp2_session *, uint8_t flags, int32_t stream_id, int32_t bytes);
int nghttp2_submit_rst_stream(struct nghttp2_session *, uint8_t flags, int32_t stream_id, uint32_t error);
int32_t      nghttp2_submit_request(struct nghttp2_session *, const void *priority, const void *fields, size_t count,
                                    const void *body, void *easy);
set_on_frame nghttp2_session_callbacks_set_on_frame_recv_callback;
set_on_stream_close nghttp2_session_callbacks_set_on_stream_close_callback;

/* The library's own. */
static struct {
    bool looked;
    int (*submit_settings)(struct nghttp2_session *, uint8_t, const struct nghttp2_settings_entry *, size_t);
    int (*set_local_window_size)(struct nghttp2_session *, uint8_t, int32_t, int32_t);
    int (*submit_rst_stream)(struct nghttp2_session *, uint8_t, int32_t, uint32_t);
    int32_t (*submit_request)(struct nghttp2_session *, const void *, const void *, size_t, const void *, void *);
    set_on_frame        *set_on_frame_recv, *set_on_frame_send;
    set_on_stream_close *set_on_stream_close;
    void *(*stream_user_data)(struct nghttp2_session *, int32_t);
    uint32_t (*remote_settings)(struct nghttp2_session *, int);
} own;

/* The upstream thread's alone, like everything of curl's. */
static on_frame        *curls_on_frame;
static on_stream_close *curls_on_stream_close;
static struct origin   *acting; /* the one that curl is at work for */
static enum { RESET_NO, RESET_NOW, RESET_DONE } resetting;

static void look(void)
{
    static const struct {
        void      **at;
        const char *name;
    } rows[] = {
        { (void **)&own.submit_settings, "nghttp2_submit_settings" },
        { (void **)&own.set_local_window_size, "nghttp2_session_set_local_window_size" },
        { (void **)&own.submit_rst_stream, "nghttp2_submit_rst_stream" },
        { (void **)&own.submit_request, "nghttp2_submit_request" },
        { (void **)&own.set_on_frame_recv, "nghttp2_session_callbacks_set_on_frame_recv_callback" },
        { (void **)&own.set_on_frame_send, "nghttp2_session_callbacks_set_on_frame_send_callback" },
        { (void **)&own.set_on_stream_close, "nghttp2_session_callbacks_set_on_stream_close_callback" },
        { (void **)&own.stream_user_data, "nghttp2_session_get_stream_user_data" },
        { (void **)&own.remote_settings, "nghttp2_session_get_remote_settings" },
    };

    if (own.looked)
        return;
    own.looked = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        *rows[i].at = dlsym(RTLD_NEXT, rows[i].name);
        if (*rows[i].at == NULL)
            abort(); /* libcurl is linked to the library, which has had them all since 1.0 */
    }
}

static struct transfer *transfer_of(struct nghttp2_session *session, int32_t stream_id)
{
    struct transfer *t = NULL;
    CURL            *easy = stream_id > 0 ? own.stream_user_data(session, stream_id) : NULL;

    if (easy != NULL)
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    return t;
}

/* -- what comes and goes -- */

static void note_settings(struct nghttp2_session *session)
{
    uint32_t streams = own.remote_settings(session, SETTINGS_MAX_CONCURRENT_STREAMS);

    if (acting == NULL)
        return;
    acting->known.streams = streams < 1 ? 1 : streams < STREAMS_PER_CONNECTION ? streams : STREAMS_PER_CONNECTION;
}

static int frame_received(struct nghttp2_session *session, const struct nghttp2_frame *frame, void *user)
{
    struct transfer *t = transfer_of(session, frame->stream_id);

    if (t != NULL && frame->type == FRAME_DATA && (frame->flags & FLAG_PADDED) == 0)
        t->stream.bytes += (int64_t)frame->length;
    if (t != NULL && (frame->type == FRAME_DATA || frame->type == FRAME_HEADERS) &&
        (frame->flags & FLAG_END_STREAM) != 0) {
        t->stream.ended = true;
        t->origin->early_ends = t->origin->early_ends || !t->sending.all;
    }
    if (frame->type == FRAME_SETTINGS && (frame->flags & FLAG_ACK) == 0)
        note_settings(session);
    return curls_on_frame(session, frame, user);
}

static int frame_sent(struct nghttp2_session *session, const struct nghttp2_frame *frame, void *user)
{
    struct transfer *t = transfer_of(session, frame->stream_id);

    (void)user;
    if (t != NULL && frame->type == FRAME_HEADERS)
        t->stream.sent = true;
    return 0;
}

static int stream_closed(struct nghttp2_session *session, int32_t stream_id, uint32_t error, void *user)
{
    struct transfer *t = transfer_of(session, stream_id);

    if (t != NULL) {
        t->stream.closed = true;
        t->stream.error = error;
        t->origin->early_ends = t->origin->early_ends || (t->stream.ended && !t->sending.all);
    }
    return curls_on_stream_close(session, stream_id, error, user);
}

/* -- in the library's place -- */

void nghttp2_session_callbacks_set_on_frame_recv_callback(struct nghttp2_session_callbacks *callbacks,
                                                          on_frame                         *callback)
{
    look();
    curls_on_frame = callback;
    own.set_on_frame_recv(callbacks, frame_received);
    own.set_on_frame_send(callbacks, frame_sent);
}

void nghttp2_session_callbacks_set_on_stream_close_callback(struct nghttp2_session_callbacks *callbacks,
                                                            on_stream_close                  *callback)
{
    look();
    curls_on_stream_close = callback;
    own.set_on_stream_close(callbacks, stream_closed);
}

int nghttp2_submit_settings(struct nghttp2_session *session, uint8_t flags,
                            const struct nghttp2_settings_entry *entries, size_t count)
{
    struct nghttp2_settings_entry mine[SETTINGS_COUNT];

    look();
    if (count > SETTINGS_COUNT)
        return own.submit_settings(session, flags, entries, count);
    for (size_t i = 0; i < count; i++) {
        mine[i] = entries[i];
        if (mine[i].settings_id == SETTINGS_INITIAL_WINDOW_SIZE && mine[i].value > STREAM_WINDOW_BYTES)
            mine[i].value = STREAM_WINDOW_BYTES;
    }
    return own.submit_settings(session, flags, mine, count);
}

int32_t nghttp2_submit_request(struct nghttp2_session *session, const void *priority, const void *fields, size_t count,
                               const void *body, void *easy)
{
    struct transfer *t = NULL;

    look();
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    if (t != NULL) {
        t->stream.is = true;
        connection_speaks_http2(t);
    }
    return own.submit_request(session, priority, fields, count, body, easy);
}

/* Also the one function that libcurl calls before it writes out what it has for a stream: see http2_reset(). */
int nghttp2_session_set_local_window_size(struct nghttp2_session *session, uint8_t flags, int32_t stream_id,
                                          int32_t bytes)
{
    look();
    if (resetting == RESET_NOW) {
        resetting = RESET_DONE;
        return own.submit_rst_stream(session, 0, stream_id, ERROR_CANCEL);
    }
    if (stream_id > 0 && bytes > STREAM_WINDOW_BYTES)
        bytes = STREAM_WINDOW_BYTES;
    return own.set_local_window_size(session, flags, stream_id, bytes);
}

int nghttp2_submit_rst_stream(struct nghttp2_session *session, uint8_t flags, int32_t stream_id, uint32_t error)
{
    look();
    if (resetting == RESET_DONE)
        return 0; /* it has been; a second one would be an error (RFC 9113 5.1) */
    return own.submit_rst_stream(session, flags, stream_id, error);
}

/* -- for transfers -- */

void http2_acts_for(struct origin *o)
{
    acting = o;
}

/* Letting a transfer go on makes libcurl tell the API of its window, at once: in its place goes RST_STREAM. */
void http2_reset_begin(struct transfer *t)
{
    int mask = (t->receive_paused ? CURLPAUSE_RECV : 0) | (t->sending.paused ? CURLPAUSE_SEND : 0);

    if (!t->stream.is || t->stream.closed)
        return;
    resetting = RESET_NOW;
    curl_easy_pause(t->easy, (mask ^ CURLPAUSE_SEND) & ~CURLPAUSE_RECV);
    if (resetting == RESET_NOW)
        resetting = RESET_NO;
}

void http2_reset_end(void)
{
    resetting = RESET_NO;
}

bool http2_was_not_done(const struct transfer *t)
{
    return t->stream.is && !t->head.final && (t->stop == STOP_NONE || t->stop == STOP_SECOND_SENDING) &&
           (t->stream.error == ERROR_REFUSED_STREAM || http2_wants_http1(t) || !t->stream.sent);
}

bool http2_wants_http1(const struct transfer *t)
{
    return t->stream.is && t->stream.error == ERROR_HTTP_1_1_REQUIRED;
}

bool http2_is_cut(const struct transfer *t)
{
    return t->stream.is && !t->stream.ended;
}

/* RFC 9113 8.1: the whole answer is here, handed over by libcurl, before the API has all of the request. */
bool http2_answered_early(const struct transfer *t)
{
    return t->stream.ended && !t->sending.all && t->head.final && !t->receive_paused &&
           (transfer_has_no_body(t) || t->body_bytes == t->stream.bytes);
}

/* With a libcurl that has libnghttp2 inside it is not known, and believed. */
bool http2_may_be(const struct transfer *t)
{
    return t->stream.is ||
           (slice_eq(t->ask.options->scheme, SLICE("https")) && dlsym(RTLD_NEXT, "nghttp2_submit_request") == NULL);
}
