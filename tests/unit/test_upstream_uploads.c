/*
 * Bodies on their way to the API.
 */
#include "upstream_rig.h"

/* -- bodies up -- */

struct feed {
    struct rig    *rig;
    struct upload *upload;
    struct mail    room;
    bool           has_room;
};

static void receive_room(struct mail *m)
{
    CONTAINER_OF(m, struct feed, room)->has_room = true;
}

static bool has_room(void *feed)
{
    return ((struct feed *)feed)->has_room;
}

static void give_upload(struct rig *r, struct fetch *f, struct feed *feed, int64_t length)
{
    *feed = (struct feed){ .rig = r, .upload = upload_new(length), .room.receive = receive_room };
    upload_set_worker(feed->upload, r->box, &feed->room);
    upload_acquire(feed->upload);
    f->upload = feed->upload;
}

static void feed_bytes(struct feed *feed, size_t count)
{
    char piece[4096];

    memset(piece, 'u', sizeof piece);
    while (count > 0) {
        size_t n = count < sizeof piece ? count : sizeof piece;
        size_t taken;

        feed->has_room = false;
        taken = upload_write(feed->upload, piece, n);
        if (taken < n)
            rig_until(feed->rig, has_room, feed);
        count -= taken;
    }
}

static void end_feed(struct feed *feed)
{
    upload_set_worker(feed->upload, NULL, NULL);
    upload_release(feed->upload);
}

static const struct upload_row {
    const char *name;
    int64_t     length;
    size_t      bytes;
} uploads[] = {
    { "one_byte", 1, 1 },
    { "nothing", 0, 0 },
    { "kept_size", 1024 * 1024, 1024 * 1024 },
    { "over_the_kept_size", 3 * 1024 * 1024, 3 * 1024 * 1024 },
    { "chunked_nothing", -1, 0 },
    { "chunked_small", -1, 1000 },
    { "chunked_over_the_kept_size", -1, 3 * 1024 * 1024 },
};

static size_t count_bytes(const char *text, char c)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == c;
    return n;
}

static void uploads_go_up_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof uploads / sizeof *uploads; i++) {
        const struct upload_row *row = &uploads[i];
        struct rig               r;
        struct feed              feed;
        struct fetch            *f;
        const char              *text, *body;
        char                     length[64];

        rig_open(&r, say_text, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        rig_start(&r);
        f = rig_fetch(&r, "PUT", "/x", "Content-Type: text/plain\n");
        give_upload(&r, f, &feed, row->length);
        rig_submit(&r, f);
        feed_bytes(&feed, row->bytes);
        upload_finish(feed.upload, true);
        if (rig_await(&r, f) != FETCH_HEAD)
            fail_msg("%s: %s", row->name, f->said.error);
        text = api_text(r.origin, 0);
        body = strstr(text, "\r\n\r\n");
        if (count_bytes(body, 'u') != row->bytes)
            fail_msg("%s: %zu bytes", row->name, count_bytes(body, 'u'));
        snprintf(length, sizeof length, "\r\nContent-Length: %lld\r\n", (long long)row->length);
        if ((row->length >= 0) != (strstr(text, length) != NULL) ||
            (row->length < 0) != (strstr(text, "chunked") != NULL))
            fail_msg("%s: framed as %.300s", row->name, text);
        rig_leave(&r, f);
        rig_settle(&r);
        end_feed(&feed);
        rig_close(&r);
    }
}

static void a_kept_body_is_sent_again(void **state)
{
    static const char *texts[] = { "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
                                   "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", NULL };
    struct rig         r;
    struct feed        feed;
    struct fetch      *f;

    (void)state;
    rig_open(&r, say_in_turn, texts);
    r.options.retry.attempts = 3;
    r.options.retry.statuses = listed;
    r.options.retry.status_count = 2;
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, 100000);
    feed_bytes(&feed, 100000);
    upload_finish(feed.upload, true);
    rig_expect(&r, f, FETCH_HEAD, 201);
    assert_int_equal(api_requests(r.origin), 2);
    assert_string_equal(api_text(r.origin, 0), api_text(r.origin, 1));
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

static void a_broken_upload_never_looks_whole(void **state)
{
    struct rig    r;
    struct feed   feed;
    struct fetch *f;

    (void)state;
    rig_open(&r, say_text, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, -1);
    rig_submit(&r, f);
    feed_bytes(&feed, 1000);
    upload_finish(feed.upload, false);
    assert_int_equal(rig_await(&r, f), FETCH_FAILED);
    assert_string_equal(f->said.proxy_error, "http_request_error");
    assert_int_equal(api_requests(r.origin), 0);
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

static void refuse_early(struct talk *t, const void *context)
{
    (void)context;
    talk_say(t, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig");
    talk_until_closed(t);
}

static void an_answer_before_the_upload_ended_passes(void **state)
{
    struct rig    r;
    struct feed   feed;
    struct fetch *f;

    (void)state;
    rig_open(&r, refuse_early, NULL);
    api_leave_bodies(r.origin);
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, 50 * 1024 * 1024);
    rig_submit(&r, f);
    feed_bytes(&feed, 100000);
    assert_int_equal(rig_await(&r, f), FETCH_HEAD);
    assert_int_equal(f->answer->head.status, 413);
    feed_bytes(&feed, 50 * 1024 * 1024 - 100000); /* taken and dropped */
    upload_finish(feed.upload, true);
    rig_expect_body(&r, f, "big");
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

struct patience {
    struct feed  *feed;
    struct fetch *fetch;
};

static bool has_room_or_event(void *patience)
{
    const struct patience *p = patience;

    return p->feed->has_room || p->fetch->event != FETCH_PENDING;
}

static void an_upload_nobody_takes_times_out(void **state)
{
    struct rig      r;
    struct feed     feed;
    struct fetch   *f;
    struct patience patience;
    char            piece[65536];

    (void)state;
    rig_open(&r, swallow_nothing, NULL);
    api_leave_bodies(r.origin);
    r.options.timeout.write_ns = 100 * NS_PER_MS;
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, 500 * 1024 * 1024);
    patience = (struct patience){ &feed, f };
    rig_submit(&r, f);
    memset(piece, 'u', sizeof piece);
    while (f->event == FETCH_PENDING) { /* as long as something is taken, until nothing is */
        feed.has_room = false;
        if (upload_write(feed.upload, piece, sizeof piece) < sizeof piece)
            rig_until(&r, has_room_or_event, &patience);
    }
    assert_int_equal(f->event, FETCH_FAILED);
    assert_string_equal(f->said.proxy_error, "connection_write_timeout");
    api_let_go(r.origin);
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_go_up_whole),
        cmocka_unit_test(a_kept_body_is_sent_again),
        cmocka_unit_test(a_broken_upload_never_looks_whole),
        cmocka_unit_test(an_answer_before_the_upload_ended_passes),
        cmocka_unit_test(an_upload_nobody_takes_times_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
