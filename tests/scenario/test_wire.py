"""HTTP/1.x by the letter, on both sides: interim heads, bodiless answers, trailers, old clients, pipelines."""
import threading

import pytest

from harness.client import Closed
from harness.origin import answer, raw
from harness.settings import upstream
from harness.tls import TlsClient, TlsRelay, trust

FRESH = [("Cache-Control", "max-age=3600")]
LINES = "HTTP/1.1 %d X\r\n%s\r\n"


def test_103_passes_before_the_answer_is_there(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        conn.wait(go)
        conn.answer(body=b"late", fields=FRESH)
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x")
        assert client._line().startswith(b"HTTP/1.1 103")
        assert client._fields().get("Link") == "</a.css>; rel=preload"
        go.set()
        assert client.read_response().body == b"late"
        assert client.get("/api/x").body == b"late"


def test_interim_heads_do_not_confuse_the_answer(weir, origin):
    def handler(request, conn):
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        conn.answer(body=b"final", fields=FRESH)
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        response = client.get("/api/x")
        assert (response.status, response.body) == (200, b"final") and 100 not in [s for s, _ in response.interim]
        d.wait_stored()
        again = client.get("/api/x")
        assert again.cache.hit and again.body == b"final" and again.interim == []


def test_length_of_an_interim_head_goes_no_further(weir, origin):
    """RFC 9110 8.6 forbids it there; the answer has its own."""
    origin.handler = raw(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\nLink: </a>\r\n\r\n",
                         b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
    response = weir().get("/api/x")
    assert response.body == b"whole" and [(s, f.get("Link"), f.get("Content-Length")) for s, f in response.interim] == [(103, "</a>", None)]


def test_101_that_was_not_asked_for_is_502_at_once(weir, origin):
    origin.handler = raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", b"junk", close=False)
    response = weir(timeout={"read": "1h"}, retry={"attempts": 1}).get("/api/x")
    assert (response.status, response.proxy_status.error) == (502, "http_protocol_error")


def test_line_beyond_reason_is_named(weir, origin):
    origin.handler = raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\nContent-Length: 2\r\n\r\nok")
    response = weir().get("/api/x")
    assert (response.status, response.proxy_status.error) == (502, "http_response_header_section_size")
    assert "too long" in response.text and origin.count() == 1, "asking again cannot help"


def test_http10_client_gets_no_interim_head(weir, origin):
    def handler(request, conn):
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        conn.answer(body=b"final")
    origin.handler = handler
    response = weir().get("/api/x", version="HTTP/1.0")
    assert response.body == b"final" and response.interim == []


@pytest.mark.mhd_trick("HEADS", "what says no length closes its connection")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("stored", [False, True], ids=["passed", "hit"])
def test_304_says_no_length_and_keeps_the_connection(weir, origin, tls, stored):
    """Also of a body of any size, many times over, and with a body right after it."""
    origin.handler = lambda request, conn: (
        conn.answer(304, b"", [("ETag", '"v"'), ("Content-Length", "12")]) if "If-None-Match" in request.fields
        else conn.answer(200, b"Content-Length: 0\r\n" * 5000, [*FRESH, ("ETag", '"v"')]))
    d = weir(hosts=[f"api.test = {origin.authority}"], settings={"proxy": {"listen": "127.0.0.1:0"}})
    target = "/x" if tls else "/api/x"
    with TlsClient(d.proxy_address, "api.test:443", trust(d.ca)) if tls else d.connect() as client:
        if stored:
            client.get(target)
            d.wait_stored()
        for _ in range(5):
            response = client.get(target, [("If-None-Match", '"v"')])
            assert (response.status, response.cache.hit) == (304, stored or None)
        assert client.get(target).body == b"Content-Length: 0\r\n" * 5000
        assert client.get(target, [("If-None-Match", '"v"')]).status == 304


@pytest.mark.mhd_trick("HEADS", "what says no length closes its connection")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_head_of_unknown_length_keeps_the_connection(weir, origin, tls):
    origin.handler = answer(200, b"body", [("Cache-Control", "no-store")], chunked=True)
    d = weir(hosts=[f"api.test = {origin.authority}"], settings={"proxy": {"listen": "127.0.0.1:0"}})
    target = "/x" if tls else "/api/x"
    with TlsClient(d.proxy_address, "api.test:443", trust(d.ca)) if tls else d.connect() as client:
        for _ in range(3):
            head = client.request("HEAD", target)
            assert head.status == 200 and "Content-Length" not in head.fields
            assert client.get(target).body == b"body"


@pytest.mark.parametrize("status, fields", [
    (204, ""), (204, "Content-Length: 0\r\n"), (204, "Content-Length: 5\r\n"), (204, "Transfer-Encoding: chunked\r\n"),
    (304, 'ETag: "x"\r\n'), (304, "Content-Length: 0\r\n"), (304, "Content-Length: 5\r\n"),
])
def test_bodiless_status_keeps_the_connection_in_step(weir, origin, status, fields):
    origin.script(raw((LINES % (status, fields)).encode(), close=False), answer(200, b"next"))
    d = weir()
    with d.connect() as client:
        response = client.get("/api/x", [("If-None-Match", '"x"')])
        assert (response.status, response.body) == (status, b"")
        if "close" in response.fields.joined("Connection").lower():      # where its length is not known
            assert status == 304 and client.ended() == "cut"
        else:
            following = client.get("/api/y")
            assert (following.status, following.body) == (200, b"next")


@pytest.mark.parametrize("fields", ["Content-Length: 12345\r\n", "Transfer-Encoding: chunked\r\n", "", "Content-Length: 0\r\n"],
                         ids=["length", "chunked", "neither", "zero"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_head_has_no_body(weir, origin, fields, version):
    origin.script(raw((LINES % (200, fields)).encode(), close=False), answer(200, b"next"))
    d = weir()
    with d.connect() as client:
        response = client.request("HEAD", "/api/x", [("Connection", "keep-alive")], version=version)
        assert response.status == 200
        if fields.startswith("Content-Length: 1"):
            assert response.fields.get("Content-Length") == "12345"
        if "close" in response.fields.joined("Connection").lower():
            assert not fields.startswith("Content-Length") and client.ended() == "cut"
        elif version == "HTTP/1.1":
            assert client.get("/api/y").body == b"next"
        else:
            try:                                     # kept or closed, but not a byte of a body
                assert client.get("/api/y").body == b"next"
            except (Closed, BrokenPipeError):
                pass


@pytest.mark.parametrize("cached", [False, True], ids=["pass", "store"])
def test_chunked_with_trailers(weir, origin, cached):
    origin.reply(body=b"x" * 100000, chunked=True, trailers=[("X-Checksum", "abc"), ("X-Other", "1")],
                 fields=[("Trailer", "X-Checksum"), *(FRESH if cached else [])])
    d = weir()
    with d.connect() as client:
        response = client.get("/api/x", [("TE", "trailers")])
        assert response.complete and response.body == b"x" * 100000
        if response.framing == "chunked":
            assert response.trailers.get("X-Checksum") == "abc"
        assert client.get("/api/x").body == b"x" * 100000
        assert client.get("/api/y").complete


def test_chunk_extensions_are_not_passed_on(weir, origin):
    def handler(request, conn):
        conn.head(200, [("Transfer-Encoding", "chunked")])
        conn.chunk(b"abc", ';name="v;\\"x"')
        conn.chunk(b"def", " ; other")
        conn.last_chunk()
    origin.handler = handler
    assert weir().get("/api/x").body == b"abcdef"


@pytest.mark.parametrize("data", [
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 77\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
], ids=["http10_length", "http10_until_close", "http11_until_close", "close", "no_reason", "bare_lf", "http10_keep_alive",
        "length_twice", "chunked_beats_length"])
def test_old_and_odd_origins(weir, origin, data):
    origin.handler = raw(data)
    d = weir()
    with d.connect() as client:
        for _ in range(2):
            response = client.get("/api/x")
            assert (response.status, response.body, response.end) == (200, b"hello", "complete")
            origin.wait_for(lambda: not origin.open_connections, "the connection to be closed")
            assert response.version == "1.1" and response.fields.all("Content-Length") in (["5"], [])


def test_folded_response_field_is_unfolded(weir, origin):
    origin.handler = raw(b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n  two\r\nContent-Length: 2\r\n\r\nok")
    response = weir().get("/api/x")
    assert response.status in (200, 502)
    if response.status == 200:
        assert response.fields.get("X-Folded").split() == ["one", "two"] and response.body == b"ok"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_http10_client_gets_no_chunks_and_a_close(weir, origin, chunked):
    origin.reply(body=b"hello", chunked=chunked)
    with weir().connect() as client:
        client.start("GET", "/api/x", version="HTTP/1.0")
        response = client.read_response()
        assert response.body == b"hello" and response.framing in ("length", "close") and response.complete
        if response.framing == "length":
            assert client.ended() == "cut"


def test_http10_client_without_host_is_served(weir, origin):
    assert weir().get("/api/x", version="HTTP/1.0", host=False).status == 200


def test_http10_keep_alive(weir, origin):
    """Kept where the length is known and said so; if not said, closed."""
    origin.reply(body=b"hello", fields=FRESH)
    with weir().connect() as client:
        response = client.request("GET", "/api/x", [("Connection", "keep-alive")], version="HTTP/1.0")
        assert response.body == b"hello"
        if "keep-alive" in response.fields.joined("Connection").lower():
            assert client.request("GET", "/api/x", version="HTTP/1.0").body == b"hello"
        assert client.ended() == "cut"


def test_connection_close_is_honoured(weir, origin):
    with weir().connect() as client:
        response = client.get("/api/x", [("Connection", "close")])
        assert response.complete and "close" in response.fields.joined("Connection").lower()
        assert client.ended() == "cut"


def test_connection_is_kept_without_being_asked(weir, origin):
    with weir().connect() as client:
        for i in range(20):
            assert client.get(f"/api/{i}").status == 200
        assert client.still_open()


def test_pipelined_requests_are_answered_in_order(weir, origin):
    origin.handler = lambda request, conn: conn.answer(body=request.target.encode(), fields=FRESH if "2" in request.target else [])
    with weir().connect() as client:
        for _ in range(2):
            client.send(b"".join(client.head("GET", f"/api/{i}") for i in range(10)))
            assert [client.read_response().body for _ in range(10)] == [b"/%d" % i for i in range(10)]
        assert client.still_open()


def test_pipelined_requests_with_bodies(weir, origin):
    origin.handler = lambda request, conn: conn.answer(body=request.method.encode() + request.body)
    with weir().connect() as client:
        client.send(client.head("POST", "/api/a", [("Content-Length", "3")]) + b"abc" +
                    client.head("PUT", "/api/b", [("Transfer-Encoding", "chunked")]) + b"2\r\nde\r\n0\r\n\r\n" +
                    client.head("GET", "/api/c"))
        assert [client.read_response().body for _ in range(3)] == [b"POSTabc", b"PUTde", b"GET"]


def test_request_in_single_bytes(weir, origin):
    with weir().connect() as client:
        for byte in client.head("GET", "/api/x?y"):
            client.send(bytes([byte]))
        assert client.read_response().status == 200
    assert origin.last.target == "/x?y"


def test_empty_lines_before_a_request_are_ignored(weir, origin):
    with weir().connect() as client:
        client.send(b"\r\n\r\n" + client.head("GET", "/api/x"))     # RFC 9112 2.2
        assert client.read_response().status == 200


def test_origin_in_single_bytes(weir, origin):
    def handler(request, conn):
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n":
            conn.send(bytes([byte]))
    origin.handler = handler
    response = weir().get("/api/x")
    assert response.body == b"abc" and response.fields.get("X-A") == "b"


def test_large_response_head(weir, origin):
    fields = [(f"X-Field-{i}", "v" * 150) for i in range(100)]
    origin.reply(body=b"x", fields=fields + FRESH)
    d = weir()
    for _ in range(2):
        response = d.get("/api/x")
        if response.status == 200:
            assert [p for p in response.fields if p[0].startswith("X-Field-")] == fields
        else:
            assert response.status == 502 and response.complete


def test_response_head_beyond_reason_is_502(weir, origin):
    origin.reply(body=b"x", fields=[(f"X-Field-{i}", "v" * 1000) for i in range(95)])
    d = weir()
    response = d.get("/api/x")
    assert response.status in (200, 502) and response.complete
    assert d.get("/api/y").complete


def test_redirects_are_not_followed(weir, origin):
    origin.reply(302, b"there", [("Location", "http://elsewhere.example.test/y")])
    response = weir().get("/api/x")
    assert response.status == 302 and response.fields.get("Location") == "http://elsewhere.example.test/y"
    assert origin.count() == 1


def test_content_coding_is_left_alone(weir, origin):
    origin.reply(body=b"\x1f\x8bnot really gzip", fields=[("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"), *FRESH])
    response = weir().get("/api/x", [("Accept-Encoding", "gzip")])
    assert response.body == b"\x1f\x8bnot really gzip" and response.fields.get("Content-Encoding") == "gzip"


def test_empty_fields_are_kept(weir, origin):
    """On a miss, a hit, among several of one name, and in trailers."""
    fields = [("X-Empty", ""), ("X-Blank", " \t "), ("Set", "a"), ("Set", ""), ("Set", "b"), *FRESH]
    origin.reply(body=b"x", fields=fields, chunked=True, trailers=[("X-End", "")])
    d = weir()
    for _ in range(3):
        response = d.get("/api/x")
        assert [p for p in response.fields if p[0] in ("X-Empty", "X-Blank", "Set")] == [
            ("X-Empty", ""), ("X-Blank", ""), ("Set", "a"), ("Set", ""), ("Set", "b")]
    assert origin.count() == 1
    with d.connect() as client:
        response = client.get("/api/y")
        assert response.trailers.get("X-End") == ""


def test_origin_that_closes_idle_connections_costs_nothing(weir, origin):
    origin.handler = lambda request, conn: (conn.answer(body=b"x"), conn.close())
    d = weir()
    for i in range(5):
        assert d.get(f"/api/{i}").status == 200
        origin.wait_for(lambda: not origin.open_connections, "the connection to be closed")
    assert origin.count() == 5


def test_health(weir, origin):
    d = weir()
    response = d.get("/.weir/health")
    assert response.status == 200 and response.complete and origin.requests == []


def test_another_connection_resumes_the_tls_session(daemons, origin, origins, place):
    """Whichever handle of libcurl's makes it: the one of the first request is held by another API meanwhile."""
    other, go = origins(), threading.Event()

    def hold(request, conn):
        conn.wait(go)
        conn.answer(body=b"held")
    other.handler = hold
    origin.reply(body=b"x", fields=FRESH)
    relay = TlsRelay(origin, place)
    d = daemons({"name": "api", "url": relay.url, "tls": {"ca_file": relay.ca_file}, "max_idle_connections": 0},
                upstream(other, name="other")).start()
    assert d.get("/api/first").status == 200
    with d.connect() as client:
        client.start("GET", "/other/x")
        other.wait_requests(1)
        assert d.get("/api/second").status == 200
        go.set()
        assert client.read_response().status == 200
    assert relay.resumed == [False, True]
    relay.stop()
