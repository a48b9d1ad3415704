"""Expect: 100-continue (RFC 9110 10.1.1): the API decides whether the body is wanted, and 100 is said when it does."""
import threading
import time

import pytest

from harness.client import Client
from harness.http2 import Http2Origin
from harness.settings import retry, upstream
from harness.tls import TlsClient, trust
from harness.wait import slowness, until

BODY = b"0123456789" * 100
EXPECT = [("Expect", "100-continue")]
LENGTH = [("Content-Length", str(len(BODY)))]
CHUNKED = [("Transfer-Encoding", "chunked")]
FRAMINGS = {"length": (LENGTH, BODY), "chunked": (CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))}


def read_100(client):
    assert client._line() == b"HTTP/1.1 100 Continue"
    while client._line():
        pass


def head_only(origin, handler):
    """The handler decides when the body is asked for."""
    origin.read_bodies = False
    origin.handler = handler


def nothing_sent(origin):
    """The client has sent nothing of its body, so nothing of it may be at the origin."""
    assert all(bytes(r.partial) == b"" for r in origin.requests)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_100_comes_when_the_api_says_it(weir, origin, framing):
    go = threading.Event()

    def handler(request, conn):
        assert request.expected == (request.method == "POST"), "the expectation was not forwarded"
        conn.wait(go)
        conn.read_body(request)                                        # says 100 first
        conn.answer(201, b"made")
    head_only(origin, handler)
    d = weir()
    fields, wire = FRAMINGS[framing]
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *fields])
        origin.wait_requests(1)
        assert client.silent_for(0.2), "100 before the API wanted the body"
        go.set()
        read_100(client)
        client.send(wire)
        response = client.read_response()
        assert (response.status, response.body, response.interim) == (201, b"made", [])
        assert origin.last.body == BODY and origin.count() == 1
        assert client.get("/api/next").status == 201                   # the connection is in step
    assert d.counter("upstream_attempts") == 2


def test_100_comes_after_a_second_without_an_answer(weir, origin):
    def handler(request, conn):
        request.expected = False                                       # knows nothing of 100
        conn.read_body(request)
        conn.answer(200, b"took it")
    head_only(origin, handler)
    d = weir()
    with d.connect() as client:
        began = time.monotonic()
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        read_100(client)
        waited = time.monotonic() - began
        client.send(BODY)
        assert client.read_response().body == b"took it"
    assert 0.9 <= waited <= 3 * slowness
    assert origin.last.body == BODY


@pytest.mark.parametrize("status", [200, 301, 401, 413, 503])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_answer_without_100_goes_to_the_client_without_one(weir, origin, status, framing):
    head_only(origin, lambda request, conn: (conn.answer(status, b"no need", [("Connection", "close")]), conn.close()))
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *FRAMINGS[framing][0]])
        response = client.read_response()
        assert (response.status, response.body, response.interim) == (status, b"no need", [])
        assert client.ended() in ("cut", "reset")                      # nobody could tell what follows
    nothing_sent(origin)
    assert origin.count() == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_what_the_budget_refuses_hears_no_100(weir, origin, method):
    d = weir(limits=["1/h"], queue={"max_wait": "0s"})
    assert d.get("/api/x").status == 200
    with d.connect() as client:
        client.start(method, "/api/x", [*EXPECT, *LENGTH])
        response = client.read_response()
        assert (response.status, response.interim) == (429, [])
        assert client.ended() in ("cut", "reset")
    assert origin.count() == 1


@pytest.mark.parametrize("settings, fields, status", [
    ({}, [("Content-Length", "5"), ("Content-Length", "5")], 400),
    ({}, [("Content-Length", "5"), ("Origin", "https://evil.test")], 403),
    ({"mode": "read_only"}, [("Content-Length", "5")], 403),
    ({"mode": "offline"}, [("Content-Length", "5")], 504),
    ({"access": ["10.255.255.254"]}, [("Content-Length", "5")], 403),
    ({}, [("Content-Length", "5"), ("Cache-Control", "only-if-cached")], 504),
], ids=["framing", "origin", "read_only", "offline", "access", "only-if-cached"])
def test_what_weir_refuses_hears_no_100(weir, origin, settings, fields, status):
    d = weir(**settings)
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *fields])
        response = client.read_response()
        assert (response.status, response.interim) == (status, [])
    assert origin.count() == 0


def test_an_api_that_is_down_costs_the_client_no_body(daemons, origins):
    nobody = origins(start=False)
    d = daemons(upstream(nobody)).start()
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        response = client.read_response()
        assert (response.status, response.interim) == (502, [])


def test_it_waits_for_its_turn_without_100(weir, origin):
    """In the queue: 100 comes when it was sent and the API wants it, not before."""
    d = weir(limits=["60/min burst 1"], queue={"max_wait": "30s"}, ttl="never")
    assert d.get("/api/first").status == 200
    with d.connect() as client:
        began = time.monotonic()
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        read_100(client)
        assert time.monotonic() - began >= 0.7
        client.send(BODY)
        assert client.read_response().status == 200
    assert origin.last.body == BODY


@pytest.mark.parametrize("framing", FRAMINGS)
def test_417_is_repeated_without_the_expectation(weir, origin, framing):
    def handler(request, conn):
        if "Expect" in request.fields:
            conn.answer(417, b"what?")
            return
        conn.read_body(request)
        conn.answer(200, b"fine")
    head_only(origin, handler)
    d = weir()
    fields, wire = FRAMINGS[framing]
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *fields])
        read_100(client)
        client.send(wire)
        response = client.read_response()
    assert (response.status, response.body) == (200, b"fine")
    assert [r.fields.get("Expect") for r in origin.requests] == ["100-continue", None]
    assert origin.last.body == BODY and d.counter("upstream_attempts") == 2


def test_417_without_an_expectation_is_the_answer(weir, origin):
    origin.reply(417, b"never")
    d = weir()
    response = d.request("POST", "/api/x", body=BODY)
    assert (response.status, response.body) == (417, b"never") and origin.count() == 1


def test_417_for_ever_reaches_the_client(weir, origin):
    origin.read_bodies = False
    origin.reply(417, b"never", [("Connection", "close")])
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        line = client._line()
        if line.startswith(b"HTTP/1.1 100"):
            client._line()
            client.send(BODY)
            assert client.read_response().status == 417
        else:
            assert line.startswith(b"HTTP/1.1 417")
    assert origin.count() == 2


def test_a_retry_waits_with_the_client(weir, origin):
    """503 to the head, then the API wants it: the client sends its body once."""
    def handler(request, conn):
        if origin.count() == 1:
            conn.answer(503, b"busy", [("Connection", "close")])
            conn.close()
            return
        conn.read_body(request)
        conn.answer(200, b"fine")
    head_only(origin, handler)
    d = weir(retry=retry(attempts=3))
    with d.connect() as client:
        client.start("PUT", "/api/x", [*EXPECT, *LENGTH])
        read_100(client)
        client.send(BODY)
        response = client.read_response()
    assert response.body == b"fine" and origin.last.body == BODY and origin.count() == 2


def test_a_retry_after_the_body_expects_nothing(weir, origin):
    def handler(request, conn):
        conn.read_body(request)
        conn.answer(503 if origin.count() == 1 else 200, b"answer")
    head_only(origin, handler)
    d = weir(retry=retry(attempts=3))
    with d.connect() as client:
        client.start("PUT", "/api/x", [*EXPECT, *LENGTH])
        read_100(client)
        client.send(BODY)
        assert client.read_response().status == 200
    assert [r.fields.get("Expect") for r in origin.requests] == ["100-continue", None]
    assert [r.body for r in origin.requests] == [BODY, BODY]


def test_a_client_that_does_not_wait_is_served(weir, origin):
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/up", EXPECT, body=BODY)
        response = client.read_response()
        assert response.status == 200 and {s for s, _ in response.interim} <= {100}
        assert client.get("/api/next").status == 200
    assert origin.requests[0].body == BODY


def test_an_http_1_0_client_expects_nothing(weir, origin):
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/up", EXPECT, body=BODY, version="HTTP/1.0")
        response = client.read_response()
    assert (response.status, response.interim) == (200, []) and origin.last.body == BODY
    assert "Expect" not in origin.last.fields


def test_a_keyed_body_is_asked_for_at_once(weir, origin):
    """Whether it is a hit cannot be known without it."""
    d = weir(rules=[{"match": "/q", "methods": ["POST"], "ttl": "1h", "key_body": True}])
    for n in range(2):
        with d.connect() as client:
            client.start("POST", "/api/q", [*EXPECT, *LENGTH])
            read_100(client)
            client.send(BODY)
            response = client.read_response()
        assert response.status == 200 and bool(response.cache.hit) == (n == 1)
        d.wait_stored()
    assert origin.count() == 1 and "Expect" not in origin.last.fields


def test_103_on_the_way_is_no_100(weir, origin):
    def handler(request, conn):
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        conn.read_body(request)
        conn.answer(200, b"fine")
    head_only(origin, handler)
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        assert client._line().startswith(b"HTTP/1.1 103")
        while client._line():
            pass
        read_100(client)
        client.send(BODY)
        assert client.read_response().body == b"fine"


def test_who_leaves_before_the_100_leaves_nothing(weir, origin):
    left = threading.Event()

    def handler(request, conn):
        if request.method == "POST":
            assert conn.wait_gone()
            left.set()
            conn.close()
        else:
            conn.answer(body=b"next")
    head_only(origin, handler)
    d = weir(max_in_flight=1)
    with d.connect() as client:
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        origin.wait_requests(1)
    assert left.wait(10)
    assert d.get("/api/y").body == b"next"


def test_over_the_https_proxy_too(daemons, origin):
    d = daemons(upstream(origin, aliases=["api.test"]), settings={"proxy": {"listen": "127.0.0.1:0"}}).start()
    with TlsClient(d.proxy_address, "api.test:443", trust(d.ca)) as client:
        client.start("POST", "/x", [*EXPECT, *LENGTH])
        read_100(client)
        client.send(BODY)
        assert client.read_response().status == 200
    assert origin.last.body == BODY and origin.last.fields.get("Expect") == "100-continue"


def test_over_a_unix_socket_too(daemons, origin, place):
    path = str(place / "weir.sock")
    d = daemons(upstream(origin), settings={"listen": ["unix:" + path]}).start()
    with Client(path) as client:
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        read_100(client)
        client.send(BODY)
        assert client.read_response().status == 200


@pytest.fixture
def http2(place):
    made = Http2Origin(place)
    yield made
    made.stop()
    assert not made.errors, made.errors


@pytest.mark.parametrize("says", [100, None], ids=["100", "nothing"])
def test_an_http2_api_is_asked_in_the_same_way(daemons, http2, says):
    http2.read_bodies = False

    def handler(request, stream):
        if says == 100:
            stream.head(100)
        until(lambda: request.body is not None, "the body")
        stream.answer(200, request.body)
    http2.handler = handler
    d = daemons(upstream(http2, tls={"ca_file": http2.ca_file})).start()
    with d.connect() as client:
        began = time.monotonic()
        client.start("POST", "/api/x", [*EXPECT, *LENGTH])
        read_100(client)
        assert says == 100 or time.monotonic() - began >= 0.9
        client.send(BODY)
        response = client.read_response()
    assert (response.status, response.body) == (200, BODY)
    assert http2.requests[0].fields.get("expect") == "100-continue"


@pytest.mark.parametrize("how", ["answered", "left"])
def test_what_ends_over_http2_before_the_100_leaves_nothing(daemons, http2, clock, how):
    """The wait for the 100 ends with the request: the second that it was to last is somebody else's."""
    http2.read_bodies = False

    def handler(request, stream):
        if request.method == "GET":
            stream.answer(200, request.target.encode())
        elif how != "left":
            stream.answer(200, b"early")
    http2.handler = handler
    d = daemons(upstream(http2, tls={"ca_file": http2.ca_file})).start()
    for i in range(4):
        with d.connect() as client:
            client.start("POST", f"/api/x{i}", [*EXPECT, *LENGTH])
            if how == "left":
                http2.wait_for(lambda: http2.count(f"/x{i}") == 1, "the request")
            else:
                assert client.read_response().body == b"early"
        assert d.get(f"/api/{i}").body == b"/%d" % i
    clock.advance(2)
    for i in range(4, 8):
        assert d.get(f"/api/{i}").body == b"/%d" % i
