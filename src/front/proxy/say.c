/*
 * Written to the socket at once: it is the first thing that is said on it, and short.
 */
#include "front/proxy/say.h"

#include "base/clock.h"
#include "base/log.h"
#include "front/mhd/refuse.h"

void say_refusal(struct worker *w, int fd, enum problem_kind kind, const char *detail, const char *proxy_error)
{
    const struct refusal no = { kind, detail };
    char                 text[REFUSE_BYTES];
    size_t               bytes = refuse_text(text, sizeof text, &no, proxy_error, false);

    if (send(fd, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t)bytes)
        log_debug("refusal_unsent", "status=%u", problem_status(kind));
    shutdown(fd, SHUT_WR);
    refuse_linger(w, fd);
}

bool say_granted(int fd)
{
    static const char text[] = "HTTP/1.1 200 Connection established\r\n\r\n";

    return send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof text - 1;
}

void say_logged(struct worker *w, const struct connect_line *l)
{
    char                  label[PEER_LABEL_BYTES];
    struct request_record record = {
        .started_wall_ns = l->started_wall_ns,
        .took_ns = clock_mono_ns() - l->started_mono_ns,
        .id = (int64_t)engine_take_id(w->engine),
        .peer = slice_of(l->peer),
        .client = l->client,
        .method = SLICE("CONNECT"),
        .upstream = slice_of(l->upstream),
        .target = l->target,
        .status = l->status,
        .sent_bytes = l->sent_bytes,
        .received_bytes = l->received_bytes,
        .cache = slice_of(l->cache),
        .detail = slice_of(l->detail),
        .error = slice_of(l->error),
        .version_minor = 1,
        .whole = l->whole,
    };

    peer_label(&l->who, label);
    record_name_client(&record, &l->who, label);
    if (recorder_is_on(w->recorder))
        recorder_take(w->recorder, &record);
}
