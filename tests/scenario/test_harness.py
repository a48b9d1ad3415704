"""The instruments themselves: the client against the origin, with nothing between."""
import threading

import pytest

from harness.client import Client, Closed, ProtocolError
from harness.fields import member
from harness.origin import answer, drop, raw, reset
from harness.settings import render
from harness.wait import until


def connect(origin):
    return Client(("127.0.0.1", origin.port))


def test_origin_records_a_request_byte_for_byte(origin):
    with connect(origin) as client:
        client.send(b"PUT /a%2f?x&&y HTTP/1.1\r\nHost: h\r\nX-CaSe:  v \r\nContent-Length: 3\r\n\r\nabc")
        assert client.read_response().body == b"origin"
    request = origin.last
    assert request.head.startswith(b"PUT /a%2f?x&&y HTTP/1.1\r\nHost: h\r\nX-CaSe:  v \r\n")
    assert request.fields.spelling(["x-case"]) == ["X-CaSe"] and request.fields.get("x-case") == "v"
    assert request.body == b"abc"


def test_origin_decodes_chunks_and_keeps_the_raw_body(origin):
    with connect(origin) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")
        assert client.read_response().complete
    assert origin.last.body == b"abcde"
    assert origin.last.raw_body == b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    assert origin.last.trailers.pairs == [("X-T", "1")]


ENDINGS = [
    ("length_complete", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"), "complete", b"ab"),
    ("length_cut", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), "cut", b"ab"),
    ("chunked_complete", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"), "complete", b"ab"),
    ("chunked_cut", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"), "cut", b"ab"),
    ("until_close", raw(b"HTTP/1.0 200 OK\r\n\r\nab"), "complete", b"ab"),
]


@pytest.mark.parametrize("script, end, body", [e[1:] for e in ENDINGS], ids=[e[0] for e in ENDINGS])
def test_client_tells_how_a_body_ended(origin, script, end, body):
    origin.handler = script
    with connect(origin) as client:
        response = client.get("/")
    assert (response.end, response.body) == (end, body)


def test_client_tells_a_reset_from_an_end(origin):
    sent = threading.Event()

    def handler(request, conn):
        conn.send(b"HTTP/1.1 200 OK\r\n\r\nab")
        conn.wait(sent)
        conn.reset()
    origin.handler = handler
    with connect(origin) as client:
        client.start()
        response = client.read_head()
        assert next(client.pieces(response)) == b"ab"
        sent.set()
        client.read_body(response)
        assert response.end == "reset"


@pytest.mark.parametrize("handler, how", [(drop, {"cut"}), (reset, {"reset", "cut"})], ids=["closed", "reset"])
def test_no_head_is_no_response(origin, handler, how):
    origin.handler = handler
    with connect(origin) as client, pytest.raises(Closed) as closed:
        client.get("/")
    assert closed.value.how in how


NONSENSE = {
    "bare_lf": b"HTTP/1.1 200 OK\n\n",
    "space_before_colon": b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "length_and_chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length_in_204": b"HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\n",
    "chunk_too_long": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "not_http": b"hello\r\n\r\n",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_client_is_strict(origin, name):
    origin.handler = raw(NONSENSE[name])
    with connect(origin) as client, pytest.raises(ProtocolError):
        client.get("/")


def test_interim_heads_and_trailers_are_seen(origin):
    def handler(request, conn):
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        conn.answer(body=b"x" * 70000, chunked=True, trailers=[("X-Sum", "1")])
    origin.handler = handler
    with connect(origin) as client:
        response = client.get("/")
    assert [status for status, _ in response.interim] == [103]
    assert response.complete and len(response.body) == 70000 and response.trailers.get("x-sum") == "1"


def test_expect_is_answered_before_the_body(origin):
    with connect(origin) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert client._line() == b"HTTP/1.1 100 Continue" and client._line() == b""
        client.send(b"a")
        assert client.read_response().complete
    assert origin.last.body == b"a"


def test_windows_are_counted(origin):
    for second in (0.0, 0.5, 0.9, 1.0, 2.5):
        origin.requests.append(type("R", (), {"arrived": second})())
    assert origin.most_in_any(1.0) == 3 and origin.most_in_any(0.05) == 1


def test_a_broken_script_is_noticed(origin):
    def handler(request, conn):
        raise ValueError("broken")
    origin.handler = handler
    with connect(origin) as client, pytest.raises(Closed):
        client.get("/")
    until(lambda: origin.errors, "the error")
    assert "ValueError: broken" in origin.errors.pop()


def test_scripts_take_turns(origin):
    origin.script(answer(503), answer(200, b"ok"))
    with connect(origin) as client:
        assert [client.get("/").status for _ in range(3)] == [503, 200, 200]


def test_structured_members_are_read():
    status = member('other; hit, weir; fwd=uri-miss; stored; detail="a;b, \\"c\\""')
    assert status.fwd == "uri-miss" and status.stored is True and status.detail == 'a;b, "c"'
    assert status.hit is None and member("other; hit") is None and member('"weir"; hit; ttl=-3').ttl == -3


def test_settings_are_written_as_libconfig():
    assert render({"a": 1, "b": ["x", {"c": True}], "d": {"e": 'q"\\'}, "f": None}) == (
        'a = 1;\nb = ( "x", {\n    c = true;\n  } );\nd = {\n  e = "q\\"\\\\";\n};\n')
