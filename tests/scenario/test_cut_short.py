"""What breaks off is never stored and never looks whole (contract section 7)."""
import json
import threading

import pytest

from harness.client import Closed
from harness.origin import answer, drop, raw, reset
from harness.settings import retry

FRESH = b"Cache-Control: max-age=3600\r\n"
LENGTH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" + FRESH + b"\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + FRESH + b"\r\n"
PART = b"p" * 1000


def cut_after(*pieces, by_reset=False):
    def handler(request, conn):
        conn.send(*pieces)
        conn.reset() if by_reset else conn.close()
    return handler


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


BREAKS = {
    "length_no_byte": (LENGTH_HEAD % 5000,),
    "length_part": (LENGTH_HEAD % 5000, PART),
    "length_one_missing": (LENGTH_HEAD % 1001, PART),
    "length_large": (LENGTH_HEAD % 1_000_001, b"p" * 1_000_000),
    "chunked_no_chunk": (CHUNKED_HEAD,),
    "chunked_no_last": (CHUNKED_HEAD, chunk(PART)),
    "chunked_in_chunk": (CHUNKED_HEAD, b"800\r\n" + PART),
    "chunked_no_final_line": (CHUNKED_HEAD, chunk(PART) + b"0\r\n"),
    "chunked_large": (CHUNKED_HEAD, chunk(b"p" * 1_000_000)),
    "chunked_bad_size": (CHUNKED_HEAD, chunk(PART) + b"xyz\r\n"),
}


def looks_whole(outcome):
    """A 200 whose body seems to have come to its end."""
    return not isinstance(outcome, str) and outcome.status == 200 and outcome.end == "complete"


def ask(d, version):
    with d.connect() as client:
        client.start("GET", "/api/x", version=version)
        try:
            return client.read_response()
        except Closed as closed:
            return closed.how


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("by_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("name", BREAKS)
def test_broken_body(weir, origin, name, by_reset, version):
    origin.handler = cut_after(*BREAKS[name], by_reset=by_reset)
    d = weir()
    outcome = ask(d, version)
    assert not looks_whole(outcome), outcome
    if not isinstance(outcome, str) and outcome.status != 200:
        assert outcome.status == 502 and outcome.complete and outcome.proxy_status.error
    origin.reply(body=b"whole", fields=[("Cache-Control", "max-age=3600")])
    after = d.get("/api/x")
    assert after.body == b"whole" and not after.cache.hit and origin.count() == 2


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_client_that_has_seen_bytes_sees_the_break(weir, origin, framing):
    """The head and a part are with the client before the origin breaks off."""
    seen = threading.Event()

    def handler(request, conn):
        conn.send(LENGTH_HEAD % 5000 if framing == "length" else CHUNKED_HEAD)
        conn.send(PART if framing == "length" else chunk(PART))
        conn.wait(seen)
        conn.close()
    origin.handler = handler
    d = weir(retry=retry(attempts=5))
    with d.connect() as client:
        client.start("GET", "/api/x")
        response = client.read_head()
        pieces = client.pieces(response)
        got = next(pieces)
        seen.set()
        got += b"".join(pieces)
        assert response.end in ("cut", "reset") and got == PART
    assert origin.count() == 1, "a request whose answer the client has seen is not repeated"


def test_http10_client_of_unknown_length_sees_a_reset(weir, origin):
    """Its only sign of an end is the end of the connection: a break must not look like that."""
    seen = threading.Event()

    def handler(request, conn):
        conn.send(CHUNKED_HEAD, chunk(PART))
        conn.wait(seen)
        conn.close()
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x", version="HTTP/1.0")
        response = client.read_head()
        assert response.framing == "close"
        pieces = client.pieces(response)
        next(pieces)
        seen.set()
        for _ in pieces:
            pass
        assert response.end == "reset"


def test_all_who_share_a_broken_flight_see_it(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.send(LENGTH_HEAD % 5000, PART)
        conn.wait(go)
        conn.close()
    origin.handler = handler
    d = weir()
    clients = [d.connect() for _ in range(5)]
    for client in clients:
        client.start("GET", "/api/x")
    responses = [client.read_head() for client in clients]
    go.set()
    for client, response in zip(clients, responses):
        client.read_body(response)
        client.close()
    assert {r.end for r in responses} <= {"cut", "reset"} and {r.body for r in responses} == {PART}
    origin.reply(body=b"whole")
    assert d.get("/api/x").body == b"whole"


def test_break_is_not_found_after_a_restart(weir, origin):
    origin.handler = cut_after(LENGTH_HEAD % 500_000, b"p" * 400_000)
    d = weir()
    assert not looks_whole(ask(d, "HTTP/1.1"))
    d.restart()
    origin.reply(body=b"whole")
    assert d.get("/api/x").body == b"whole"


@pytest.mark.parametrize("handler", [
    drop, reset, raw(b"HTTP/1.1 200"), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Half: "),
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), raw(b"hello\r\n\r\n"), raw(b"\0\1\2\3" * 100),
    raw(b"HTTP/1.1 100 Continue\r\n\r\n"), raw(b"HTTP/9.9 200 OK\r\n\r\n"),
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcdef"),
], ids=["nothing", "reset", "status_line", "in_field", "before_empty_line", "not_http", "binary", "interim_only", "version",
        "two_lengths", "negative_length"])
def test_broken_head_is_502(weir, origin, handler):
    origin.handler = handler
    d = weir()
    response = d.get("/api/x")
    assert response.status == 502 and response.complete
    assert response.fields.get("Content-Type") == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == 502 and problem["title"] and problem["detail"]
    assert response.proxy_status.error
    origin.reply(body=b"whole")
    assert d.get("/api/x").body == b"whole"


def test_break_before_the_client_saw_a_byte_is_repaired(weir, origin):
    origin.script(drop, cut_after(b"HTTP/1.1 200 OK\r\nContent"), answer(200, b"whole"))
    d = weir(retry=retry(attempts=3))
    response = d.get("/api/x")
    assert (response.status, response.body, response.end) == (200, b"whole", "complete")
    assert origin.count() == 3


def test_more_than_content_length_is_not_passed_on(weir, origin):
    origin.script(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\nwholeHTTP/1.1 200 OK\r\n"
                      b"Content-Length: 4\r\n\r\nevil", close=False), answer(200, b"good"))
    d = weir()
    with d.connect() as client:
        assert client.get("/api/x").body == b"whole"
        assert client.get("/api/y").body == b"good"
        assert client.get("/api/x").body == b"whole"
        assert client.still_open()


def test_cut_answers_are_counted_and_logged(weir, origin):
    origin.handler = cut_after(LENGTH_HEAD % 500_000, b"p" * 400_000)
    d = weir()
    assert not looks_whole(ask(d, "HTTP/1.1"))
    d.wait_counter("cut_short", 1)
    assert d.counter("stored") == 0


# RFC 9112 6.3: nobody can say where such a body ends.
FAULTY = {
    "list": b"Content-Length: 2, 20", "equal_list": b"Content-Length: 2, 2", "plus": b"Content-Length: +2",
    "hex": b"Content-Length: 0x5", "two_words": b"Content-Length: 5 5", "empty": b"Content-Length:",
    "two_to_64_and_2": b"Content-Length: 18446744073709551618", "two_to_63": b"Content-Length: 9223372036854775808",
    "folded": b"Content-Length: 2\r\n 0", "space_before_colon": b"Content-Length : 2", "unit": b"Content-Length: 2B",
    "nul": b"Content-Length: 2\0", "control": b"Content-Length: 2\x01",
    "differing": b"Content-Length: 2\r\nContent-Length: 20",
    "gzip": b"Transfer-Encoding: gzip", "gzip_chunked": b"Transfer-Encoding: gzip, chunked",
    "identity": b"Transfer-Encoding: identity", "identity_and_length": b"Transfer-Encoding: identity\r\nContent-Length: 2",
    "unknown": b"Transfer-Encoding: cow", "unknown_chunked": b"Transfer-Encoding: cow, chunked",
    "chunked_twice": b"Transfer-Encoding: chunked, chunked",
    "chunked_lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "xchunked": b"Transfer-Encoding: xchunked", "chunked_space": b"Transfer-Encoding : chunked",
    "folded_coding": b"Transfer-Encoding:\r\n chunked", "folded_after_name": b"Content-Length:\r\n 2",
    "length_of_an_interim_head": b"Content-Length: 2\r\n\r\nHTTP/1.1 200 OK", "coding_of_an_interim_head": b"Transfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK",
    "chunked_and_faulty_length": b"Transfer-Encoding: chunked\r\nContent-Length: +5",
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("name", FAULTY)
def test_faulty_framing_is_502_and_not_stored(weir, origin, name, method):
    status = b"103 Early" if name.endswith("interim_head") else b"200 OK"
    origin.handler = raw(b"HTTP/1.1 " + status + b"\r\n" + FRESH + FAULTY[name] + b"\r\n\r\n", b"5\r\n01234\r\n0\r\n\r\n5678901234567890")
    d = weir()
    response = d.request(method, "/api/x", body=b"abc" if method == "POST" else None)
    assert response.status == 502 and response.complete
    assert response.proxy_status.error == "http_protocol_error"
    origin.reply(body=b"whole")
    assert d.get("/api/x").body == b"whole" and origin.last.connection == 2


@pytest.mark.parametrize("fields", [b"Content-Length: 005", b"content-length:5", b"Content-Length: 5\r\nContent-Length: 5",
                                    b"Content-Length: \t5 \t"], ids=["zeros", "no_space", "equal_lines", "blanks"])
def test_odd_framing_that_says_one_thing_is_heeded(weir, origin, fields):
    origin.handler = raw(b"HTTP/1.1 200 OK\r\n" + FRESH + fields + b"\r\n\r\nwhole", close=False)
    d = weir()
    for _ in range(2):
        response = d.get("/api/x")
        assert (response.status, response.body, response.length) == (200, b"whole", 5)
    assert origin.count() == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"],
                         ids=["beside_a_length", "of_1_0"])
def test_connection_of_a_doubtful_answer_is_not_used_again(weir, origin, head):
    """RFC 9112 6.1: chunked overrides the length, or should not be there at all."""
    origin.handler = raw(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", close=False)
    d = weir()
    for i in range(2):
        assert d.get(f"/api/{i}").body == b"whole"
    assert [r.connection for r in origin.requests] == [1, 2]
