"""Request bodies stream up, whole or visibly broken (issue of the main job, item 4)."""
import hashlib
import threading

import pytest

from harness.client import Closed
from harness.wait import SANITIZER, until

MIB = 1 << 20
SIZES = [0, 1, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 5 * MIB]


def pattern(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def chunks(body, size=50000):
    out = [b"%x\r\n%s\r\n" % (len(body[at:at + size]), body[at:at + size]) for at in range(0, len(body), size)]
    return b"".join(out) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", SIZES)
def test_fixed_length_body_arrives_whole(weir, origin, size):
    d = weir()
    response = d.request("POST", "/api/up", body=pattern(size))
    assert response.status == 200
    assert origin.last.body == pattern(size)
    assert origin.last.fields.get("Content-Length") == str(size)


@pytest.mark.parametrize("size", SIZES)
def test_chunked_body_arrives_whole(weir, origin, size):
    d = weir()
    with d.connect() as client:
        client.start("PUT", "/api/up", [("Transfer-Encoding", "chunked")])
        client.send(chunks(pattern(size)))
        assert client.read_response().status == 200
        assert origin.last.body == pattern(size)
        assert client.get("/api/next").status == 200       # the connection is in step
    assert [r.method for r in origin.requests] == ["PUT", "GET"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "BREW"])
def test_body_of_any_method_arrives(weir, origin, method):
    d = weir()
    assert d.request(method, "/api/x", body=b"some body").status == 200
    assert (origin.last.method, origin.last.body) == (method, b"some body")


def test_expecting_client_gets_100_and_then_the_answer(weir, origin):
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/up", [("Expect", "100-continue"), ("Content-Length", "5")])
        assert client._line() == b"HTTP/1.1 100 Continue"
        while client._line():
            pass
        client.send(b"hello")
        response = client.read_response()
    assert response.status == 200 and origin.last.body == b"hello"


def test_expecting_client_may_send_at_once(weir, origin):
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/up", [("Expect", "100-continue")], body=b"hello")
        response = client.read_response()
        assert response.status == 200 and {s for s, _ in response.interim} <= {100}
        assert client.get("/api/next").status == 200
    assert origin.requests[0].body == b"hello"


def test_upload_streams_before_it_is_whole(weir, origin):
    half = threading.Event()
    origin.read_bodies = False

    def handler(request, conn):
        for _ in conn.pieces(request):
            if len(request.partial) >= 100000:
                half.set()
        conn.answer(body=hashlib.sha256(request.body).hexdigest().encode())
    origin.handler = handler
    d = weir()
    body = pattern(200000)
    with d.connect() as client:
        client.start("POST", "/api/up", [("Content-Length", str(len(body)))])
        client.send(body[:100000])
        assert half.wait(10), "the first half is held back until the second comes"
        client.send(body[100000:])
        assert client.read_response().body == hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_slow_origin_is_waited_for_with_bounded_memory(weir, origin, framing):
    """40 MiB to an origin that does not read: the client is held back, not the memory filled."""
    size, go = 40 * MIB, threading.Event()
    origin.read_bodies = False

    def handler(request, conn):
        conn.wait(go)
        digest = hashlib.sha256()
        for piece in conn.pieces(request):
            digest.update(piece)
            request.partial.clear()
        conn.answer(body=digest.hexdigest().encode())
    origin.handler = handler
    d = weir()
    body = pattern(size)
    fields = [("Content-Length", str(size))] if framing == "length" else [("Transfer-Encoding", "chunked")]
    wire = body if framing == "length" else chunks(body)
    with d.connect(timeout=30) as client:
        client.start("POST", "/api/up", fields)
        sent = client.fill(wire)
        assert sent < len(wire), "40 MiB went into a daemon whose origin reads nothing"
        if SANITIZER is None:
            assert d.private_kib() < 64 * 1024
        go.set()
        client.send(wire[sent:])
        assert client.read_response().body == hashlib.sha256(body).hexdigest().encode()


def test_answer_before_the_upload_ends_reaches_the_client(weir, origin):
    origin.read_bodies = False

    def handler(request, conn):
        conn.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        conn.wait_gone()
        conn.close()
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/up", [("Content-Length", str(300000))])
        client.send(pattern(100000))
        origin.wait_requests(1)
        try:
            client.send(pattern(200000))
            response = client.read_response()
        except (Closed, ConnectionError) as lost:
            raise AssertionError("the connection ended without the answer") from lost
    assert (response.status, response.body) == (413, b"big")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload_that_breaks_off_never_looks_whole_to_the_origin(weir, origin, framing):
    d = weir()
    with d.connect() as client:
        if framing == "length":
            client.start("POST", "/api/up", [("Content-Length", "100000")])
            client.send(pattern(60000))
        else:
            client.start("POST", "/api/up", [("Transfer-Encoding", "chunked")])
            client.send(b"ea60\r\n" + pattern(60000) + b"\r\n")
        request = origin.wait_requests(1)
        until(lambda: len(request.partial) > 0, "the first bytes at the origin")
    until(lambda: request.peer_left, "the end of the request at the origin")
    assert request.body is None
    assert d.get("/api/next").status == 200


@pytest.mark.parametrize("first", [0, 1000, 60000])
def test_an_upload_that_ends_at_once_with_its_connection_is_noticed(weir, origin, first):
    """The end comes with the last bytes, or while they are being taken: it must not wait for server.body_timeout."""
    origin.read_bodies = False
    origin.handler = lambda request, conn: (conn.wait_gone(), conn.close())
    d = weir()
    for n in range(20):
        with d.connect() as client:
            client.start("POST", "/api/up", [("Content-Length", "100000")])
            if first:
                client.send(pattern(first))
                origin.wait_requests(n + 1)
            client.send(pattern(30000 if first else 20))
    until(lambda: d.counter("client_gone") == 20, "the ends of the clients")


@pytest.mark.parametrize("bad", [b"zz\r\nabc\r\n", b"-1\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nabc"],
                         ids=["not_hex", "negative", "longer_than_said", "overflow"])
def test_malformed_chunks_never_look_whole_to_the_origin(weir, origin, bad):
    d = weir()
    answer = d.exchange(b"POST /api/up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + bad)
    assert answer in ("cut", "reset") or answer.status in (400, 413)
    assert d.get("/api/next").status == 200
    assert all(r.body is None for r in origin.requests if r.method == "POST")
    until(lambda: origin.in_flight == 0, "the broken upload to be given up")


def test_uploads_run_beside_one_another(weir, origin):
    """Two uploads that wait for each other's end: neither is held until the other is done."""
    meeting = threading.Barrier(2)
    origin.read_bodies = False

    def handler(request, conn):
        meeting.wait(10)
        conn.read_body(request)
        conn.answer(body=request.body)
    origin.handler = handler
    d = weir()
    with d.connect() as one, d.connect() as two:
        one.start("POST", "/api/up", body=b"one")
        two.start("POST", "/api/up", body=b"two")
        assert (one.read_response().body, two.read_response().body) == (b"one", b"two")
