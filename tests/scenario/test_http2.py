"""An API that speaks HTTP/2: what it refuses undone is sent again, what it resets is cut, what is given up is reset."""
import threading
import time

import pytest

from harness.client import Closed
from harness.http2 import Http2Origin
from harness.origin import answer
from harness.settings import retry, upstream
from harness.wait import until

FRESH = ("Cache-Control", "max-age=3600")
NO_ERROR, CANCEL, REFUSED, INTERNAL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED = 0, 8, 7, 2, 11, 13


@pytest.fixture
def origin_of(place):
    made = []

    def make(**kwargs):
        made.append(Http2Origin(place, name=f"api{len(made)}.test", **kwargs))
        return made[-1]
    yield make
    for each in made:
        each.stop()
    errors = [error for each in made for error in each.errors]
    assert not errors, "the origin's script: " + "; ".join(errors)


@pytest.fixture
def origin(origin_of):
    return origin_of()


def entry(origin, **settings):
    settings.setdefault("tls", {"ca_file": origin.ca_file})
    return upstream(origin, **settings)


@pytest.fixture
def weir(daemons, origin):
    def start(settings=None, **of_upstream):
        return daemons(entry(origin, **of_upstream), settings=settings).start()
    return start


def own(request, stream):
    stream.answer(body=request.target.encode() + (request.body or b""), fields=[FRESH])


def post(d, target="/api/x", method="POST"):
    return d.request(method, target, body=b"abc" if method != "GET" else None)


def test_it_is_http2(weir, origin):
    origin.handler = own
    d = weir()
    for method, body in (("GET", b"/x"), ("POST", b"/xabc"), ("HEAD", b"")):
        response = d.request(method, "/api/x", body=b"abc" if method == "POST" else None)
        assert (response.status, response.body) == (200, body)
    assert {r.connection for r in origin.requests} == {1} and origin.last.stream_id > 1


# -- not done (RFC 9113 8.7) --------------------------------------------------------------

def refuse(request, stream):
    stream.reset(REFUSED)


def go_away(request, stream):
    stream.goaway(max(0, request.stream_id - 2))


def go_away_and_close(request, stream):
    stream.goaway(max(0, request.stream_id - 2))
    stream.close()


UNDONE = {"refused": refuse, "goaway": go_away, "goaway_closed": go_away_and_close}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("warm", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("name", UNDONE)
def test_what_was_not_done_is_sent_again_and_costs_nothing(weir, origin, name, method, warm, times):
    d = weir(retry=retry(attempts=1), limits=[f"{2 if warm else 1}/h"])
    if warm:
        origin.handler = own
        assert d.get("/api/warm").status == 200
    origin.script(*[UNDONE[name]] * times, own)
    response = post(d, method=method)
    assert (response.status, response.body) == (200, b"/x" + (b"" if method == "GET" else b"abc"))
    assert origin.count("/x") == times + 1 and d.counter("upstream_failures") == 0
    assert d.get("/api/other").status == 429, "the one answer was charged"


def test_what_is_refused_for_ever_is_a_failure(weir, origin):
    origin.handler = refuse
    d = weir(retry=retry(attempts=2), limits=["1/h"])
    response = post(d)
    assert response.status == 502 and "HTTP/2" in response.text and "undone" in response.text
    assert origin.count() == 5
    origin.handler = own
    assert post(d).status == 200, "nothing was charged"


def test_those_behind_a_goaway_are_repeated_and_those_before_it_are_answered(weir, origin):
    go, both = threading.Event(), threading.Barrier(2)

    def handler(request, stream):
        if request.connection != 1:
            own(request, stream)
            return
        both.wait(20)
        if request.stream_id == 3:
            stream.goaway(3)
            go.set()
        stream.wait(go)
        if request.stream_id == 3:
            own(request, stream)
    origin.handler = own
    d = weir()
    d.get("/api/warm")
    origin.handler = lambda request, stream: handler(request, stream)
    with d.connect() as one, d.connect() as two:
        first = len(origin.requests)
        one.start("POST", "/api/a", body=b"1")
        two.start("POST", "/api/b", body=b"2")
        assert [c.read_response().body for c in (one, two)] == [b"/a1", b"/b2"]
    assert len(origin.requests) == first + 3


@pytest.mark.parametrize("code", [INTERNAL, CANCEL, NO_ERROR, ENHANCE_YOUR_CALM])
@pytest.mark.parametrize("method, count", [("GET", 2), ("POST", 1)])
def test_other_resets_may_have_done_it(weir, origin, method, count, code):
    origin.handler = lambda request, stream: stream.reset(code)
    response = post(weir(retry=retry(attempts=2)), method=method)
    assert response.status == 502 and response.proxy_status.error and origin.count() == count


@pytest.mark.parametrize("warm", [False, True], ids=["new", "reused"])
def test_connection_that_ends_in_mid_request_may_have_done_it(weir, origin, warm):
    d = weir(retry=retry(attempts=2))
    if warm:
        origin.handler = own
        d.get("/api/warm")
    before = origin.count()
    origin.handler = lambda request, stream: stream.close()
    assert post(d).status == 502 and origin.count() == before + 1


# -- idle connections ----------------------------------------------------------------------

IDLE = {
    "closed": lambda c: c.close(),
    "goaway": lambda c: c.streams[1].goaway(1),
    "goaway_closed": lambda c: (c.streams[1].goaway(1), c.close()),
    "notified": lambda c: c.close_notify(),
    "notified_closed": lambda c: (c.close_notify(), c.close()),
    "goaway_notified_closed": lambda c: (c.streams[1].goaway(1), c.close_notify(), c.close()),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", IDLE)
def test_idle_connection_that_ended_costs_nothing(weir, origin, name, method):
    origin.handler = own
    d = weir(limits=["2/h"])
    assert d.get("/api/warm").status == 200
    (conn,) = origin.open_connections
    IDLE[name](conn)
    response = post(d, method=method)
    assert response.status == 200 and response.body.startswith(b"/x")
    assert origin.count() == 2 == d.counter("upstream_attempts") and origin.last.connection > 1


@pytest.mark.parametrize("frames", ["ping", "settings", "window", "many"])
def test_idle_connection_on_which_frames_wait_is_used(weir, origin, frames):
    origin.handler = own
    d = weir()
    assert d.get("/api/warm").status == 200
    (conn,) = origin.open_connections
    with conn.lock:
        for _ in range(1000 if frames == "many" else 1):
            if frames in ("ping", "many"):
                conn.h2.ping(b"12345678")
            elif frames == "settings":
                conn.h2.update_settings({3: 50})
            else:
                conn.h2.increment_flow_control_window(1000)
        conn.flush()
    assert post(d).body == b"/xabc" and origin.last.connection == 1


# -- bodies ---------------------------------------------------------------------------------

def cut(code, *fields):
    def handler(request, stream):
        stream.head(200, [FRESH, *fields])
        stream.data(b"p" * 1000)
        stream.reset(code)
    return handler


@pytest.mark.parametrize("length", [False, True], ids=["unknown", "length"])
@pytest.mark.parametrize("code", [NO_ERROR, CANCEL, INTERNAL, REFUSED])
def test_reset_in_mid_body_is_a_cut_body(weir, origin, code, length):
    """RFC 9113 8.1: the end of an answer is END_STREAM, and nothing else."""
    origin.handler = cut(code, *([("content-length", "5000")] if length else []))
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x")
        try:
            response = client.read_response()
            assert response.status != 200 or response.end in ("cut", "reset")
        except Closed:
            pass
    origin.handler = own
    assert d.get("/api/x").body == b"/x" and origin.count() == 2, "nor was it stored"


def test_reset_with_no_error_after_the_whole_answer_is_none(weir, origin):
    """It asks for no more of the request (RFC 9113 8.1)."""
    def early(request, stream):
        stream.answer(413, b"too long")
        stream.reset(NO_ERROR)
    origin.read_bodies = False
    origin.handler = early
    response = weir().request("POST", "/api/x", body=b"x" * 3_000_000)
    assert (response.status, response.body) == (413, b"too long")


@pytest.mark.parametrize("fields", [[("content-length", "2"), ("content-length", "3")], [("content-length", "2, 20")],
                                    [("content-length", "+2")], [("content-length", "0x2")], [("content-length", "")],
                                    [("content-length", "18446744073709551618")], [("transfer-encoding", "chunked")],
                                    [("content-length", "1")], [("content-length", "3")]],
                         ids=["two", "list", "plus", "hex", "empty", "2_64", "transfer_encoding", "less", "more"])
def test_wrong_length_is_not_stored(weir, origin, fields):
    def handler(request, stream):
        stream.head(200, [FRESH, *fields])
        stream.data(b"ab", end=True)
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x")
        try:
            response = client.read_response()
            assert response.status == 502 or response.end in ("cut", "reset")
        except Closed:
            pass
    origin.handler = own
    assert d.get("/api/x").body == b"/x"


def test_trailers_and_empty_fields(weir, origin):
    origin.handler = lambda request, stream: stream.answer(body=b"x", fields=[("x-empty", "")], chunked=True,
                                                           trailers=[("x-end", "1")])
    response = weir().get("/api/x")
    assert response.fields.get("x-empty") == "" and response.trailers.get("x-end") == "1"


# -- many at once ------------------------------------------------------------------------------

@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("warm", [False, True], ids=["new", "known"])
def test_more_posts_at_once_than_streams(daemons, origin_of, streams, warm):
    """Each has its turn; the time that it waits for one is not the API's."""
    origin = origin_of(streams=streams)
    origin.handler = own
    d = daemons(entry(origin, max_connections=2, max_in_flight=0, timeout={"read": "2s"})).start()
    if warm:
        d.get("/api/warm")
    before = origin.count()

    def slow(request, stream):
        time.sleep(0.2)
        own(request, stream)
    origin.handler = slow
    clients = [d.connect(timeout=30) for _ in range(24)]
    for i, client in enumerate(clients):
        client.start("POST", f"/api/{i}", body=b"abc")
    responses = [client.read_response() for client in clients]
    for client in clients:
        client.close()
    assert [(r.status, r.body) for r in responses] == [(200, b"/%dabc" % i) for i in range(24)]
    assert origin.most_in_flight <= 2 * streams
    # Before a new connection has told its bound more may be opened on it; they are refused, and sent again on another.
    assert origin.connections <= 2 or (not warm and origin.refused > 0)
    assert not warm or origin.refused == 0
    assert origin.count() == before + 24


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_http_1_1_required(daemons, origin_of, method):
    """RFC 9113 7: another version of HTTP is to be used; nothing was done."""
    heads = []

    def http1(sock):
        with sock, sock.makefile("rb") as file:
            while line := file.readline():
                heads.append(line)
                while (field := file.readline()) != b"\r\n":
                    if field.lower().startswith(b"content-length:"):
                        length = int(field.split(b":")[1])
                        file.read(length + 2)
                        break
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
    origin = origin_of(http1=http1)
    origin.handler = lambda request, stream: stream.reset(HTTP_1_1_REQUIRED)
    d = daemons(entry(origin, retry=retry(attempts=1), limits=["2/h"])).start()
    for _ in range(2):
        assert post(d, method=method).body == b"one"
    assert origin.count() == 1 and len(heads) == 2, "asked once, and known from then on"


# -- the table of failures, as over HTTP/1.1 (test_retries.py) ----------------------------------

FAILURES = {
    **{str(status): answer(status) for status in (429, 500, 502, 503, 504)},
    "closed": lambda request, stream: stream.close(),
    "reset": lambda request, stream: stream.reset(INTERNAL),
    "junk": lambda request, stream: stream.send(b"\0" * 100),
    "no_status": lambda request, stream: (stream.conn.h2.send_headers(request.stream_id, [("x-a", "1")]), stream.conn.flush()),
    "head_alone_reset": lambda request, stream: (stream.head(500), stream.reset(INTERNAL)),
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_repeated_where_the_method_may_be(weir, origin, name, method):
    origin.script(FAILURES[name], FAILURES[name], answer(200, b"third"))
    d = weir(retry=retry(attempts=3), timeout={"read": "2s"})
    response = post(d, method=method)
    assert response.status == 200 and response.body == (b"" if method == "HEAD" else b"third")
    assert origin.count() == 3 and d.counter("upstream_attempts") == 3


@pytest.mark.parametrize("name", [n for n in FAILURES if n != "429"])
def test_a_post_is_not_repeated(weir, origin, name):
    origin.handler = FAILURES[name]
    response = post(weir(retry=retry(attempts=3), timeout={"read": "2s"}))
    assert response.status >= 500 and origin.count() == 1


# -- given up --------------------------------------------------------------------------------------

@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with_another"])
@pytest.mark.parametrize("begun", [False, True], ids=["before_the_head", "in_the_body"])
def test_client_that_leaves_resets_the_stream_at_once(weir, origin, begun, alone):
    """Not with the next traffic: a language model goes on, and bills."""
    held = threading.Event()

    def endless(request, stream):
        if request.target == "/other":
            stream.wait(held)
            stream.answer(body=b"other")
            return
        if begun:
            stream.head(200, [("content-type", "text/event-stream")])
            stream.data(b"data: 1\n\n")
        stream.wait(held)
    origin.handler = endless
    d = weir(on_abort="drop")
    other = d.connect()
    if not alone:
        other.start("GET", "/api/other")
        origin.wait_requests(1)
    with d.connect() as client:
        client.start("POST", "/api/x", body=b"abc")
        origin.wait_for(lambda: origin.count("/x") == 1, "the request")
        if begun:
            next(client.pieces(client.read_head()))
    (stream,) = [s for s in origin.streams if s.request.path == "/x"]
    assert stream.wait_reset() == CANCEL
    held.set()
    if not alone:
        assert other.read_response().body == b"other"
    other.close()
    origin.handler = own
    assert post(d, "/api/y").body == b"/yabc" and origin.last.connection == 1, "the connection goes on"


def test_client_that_leaves_while_the_body_comes_resets_the_stream_at_once(weir, origin):
    def much(request, stream):
        stream.head(200)
        while True:
            stream.data(b"x" * 50_000)
            time.sleep(0.01)
    origin.handler = much
    d = weir(ttl="never", on_abort="drop")
    with d.connect() as client:
        client.start("GET", "/api/x")
        next(client.pieces(client.read_head()))
    assert origin.streams[0].wait_reset() == CANCEL


def test_time_out_resets_the_stream_at_once(weir, origin, clock):
    held = threading.Event()
    origin.handler = lambda request, stream: stream.wait(held)
    d = weir(timeout={"read": "5s"})
    with d.connect() as client:
        client.start("GET", "/api/x")
        origin.wait_requests(1)
        clock.advance(6)
        assert origin.streams[0].wait_reset() == CANCEL
        assert client.read_response().status == 504
    held.set()


def test_upload_that_breaks_off_resets_the_stream_at_once(weir, origin):
    origin.handler = own
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/x", [("Content-Length", "1000")])
        client.send(b"x" * 100)
        origin.wait_for(lambda: any(len(r.partial) == 100 for r in origin.requests), "a part of the body")
    assert origin.streams[0].wait_reset() == CANCEL


@pytest.mark.parametrize("code", [None, NO_ERROR, CANCEL], ids=["no_reset", "no_error", "cancel"])
@pytest.mark.parametrize("fields, body", [([], b""), ([], b"early"), ([("content-length", "5")], b"early")],
                         ids=["empty", "no_length", "length"])
def test_answer_before_the_upload_ends_ends_it(weir, origin, clock, fields, body, code):
    """RFC 9113 8.1: the answer counts; the rest of the request, which the API takes no more, is waited for no time-out."""
    origin.read_bodies = False

    def early(request, stream):
        stream.head(200, fields, end=not body)
        if body:
            stream.data(body, end=True)
        if code is not None:
            stream.reset(code)
    origin.handler = early
    d = weir(timeout={"write": "1h", "read": "1h"})
    answers = []
    with d.connect(timeout=30) as client:
        client.start("POST", "/api/x", [("Content-Length", str(4 << 20))])
        sender = threading.Thread(target=client.send, args=(b"x" * (4 << 20),))
        sender.start()
        origin.wait_requests(1)
        reader = threading.Thread(target=lambda: answers.append(client.read_response()))
        reader.start()

        def answered():
            clock.advance(1)
            return answers
        until(answered, "the answer", timeout=20, every=0.2)
        sender.join(20)
    assert answers[0].complete and (answers[0].status, answers[0].body) == (200, body)
    assert d.counter("cut_short") == 0
    origin.handler, origin.read_bodies = own, True
    assert d.get("/api/y").body == b"/y"


@pytest.mark.parametrize("framing", [("Content-Length", "100000"), ("Transfer-Encoding", "chunked")],
                         ids=["length", "chunked"])
@pytest.mark.parametrize("status", [302, 413, 503])
def test_upload_that_is_refused_early_never_looks_whole(weir, origin, status, framing):
    """libcurl would end the stream as if that had been all; an API that counts closes the connection for all then."""
    origin.read_bodies = False
    origin.handler = lambda request, stream: stream.answer(status, b"no")
    d = weir(retry={"attempts": 1})
    with d.connect() as client:
        client.start("POST", "/api/x", [framing])
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n" if framing[1] == "chunked" else b"x" * 1000)
        origin.wait_requests(1)
        assert origin.streams[0].wait_reset() == CANCEL and origin.requests[0].body is None
        client.send(b"0\r\n\r\n" if framing[1] == "chunked" else b"x" * 99_000)
        response = client.read_response()
    assert (response.status, response.body) == (status, b"no")
    origin.handler, origin.read_bodies = own, True
    assert post(d, "/api/y").body == b"/yabc" and origin.last.connection == 1


# -- a slow reader ---------------------------------------------------------------------------------

MANY = 200


def test_slow_reader_holds_the_api_back(weir, origin):
    """What an answer that is not stored costs is bounded, as over HTTP/1.1: in memory and on the disk; others go on."""
    sent, piece = [0], b"x" * (1 << 20)

    def huge(request, stream):
        if request.target != "/huge":
            own(request, stream)
            return
        stream.head(200)
        for _ in range(MANY):
            stream.data(piece)
            sent[0] += len(piece)
        stream.data(b"", end=True)
    origin.handler = huge
    d = weir(ttl="never")
    assert d.get("/api/warm").status == 200
    before = d.private_kib()
    with d.connect(receive_buffer=4096) as client:
        client.start("GET", "/api/huge")
        response = client.read_head()
        last = [-1]

        def stands_still():
            now, last[0] = last[0], sent[0]
            return now == sent[0] > 0
        until(stands_still, "the API to be held back", timeout=30, every=0.3)
        assert sent[0] < 32 << 20, "of 200 MiB"
        assert d.private_kib() - before < 24 * 1024
        for i in range(20):
            assert d.get(f"/api/{i}").body == b"/%d" % i
        assert sum(1 for r in origin.requests if r.connection == 1) > 20, "on the same connection"
        received = sum(len(p) for p in client.pieces(response))
    assert received == MANY << 20 and response.complete
