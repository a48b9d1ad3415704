"""Clients that vanish, at every point there is, and what they leave behind: nothing."""
import signal
import threading

import pytest

from harness.client import Closed
from harness.wait import until

FRESH = [("Cache-Control", "max-age=3600")]


def settled(d):
    """Nothing in flight, nobody waiting."""
    def look():
        status = d.status()
        part = status["upstreams"]
        return all(u["in_flight"] == 0 and u["waiting"] == 0 for u in (part.values() if isinstance(part, dict) else part))
    until(look, "the daemon to settle")


@pytest.fixture
def held(origin):
    event = threading.Event()

    def handler(request, conn):
        conn.wait(event)
        conn.answer(body=b"late", fields=FRESH)
    origin.handler = handler
    yield event
    event.set()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_leaves_while_waiting(weir, origin, held, how):
    """on_abort = finish: the answer is fetched all the same, stored, and its retry joins it."""
    d = weir()
    client = d.connect()
    client.start("GET", "/api/x")
    origin.wait_requests(1)
    getattr(client, how)()
    d.wait_counter("client_gone", 1)
    with d.connect() as again:
        again.start("GET", "/api/x")
        d.wait_counter("requests", 2)
        held.set()
        assert again.read_response().body == b"late"
    d.wait_stored()
    assert d.get("/api/x").cache.hit and origin.count() == 1
    settled(d)


@pytest.mark.parametrize("request_", [b"GET /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                                      b"POST /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx"])
def test_client_that_has_left_before_it_waits(weir, origin, held, request_):
    """Its request and its end come at once, on a connection that is known."""
    d = weir()
    with d.connect() as client:
        assert client.request("GET", "/.weir/errors/jobs-full").status == 200
        d.process.send_signal(signal.SIGSTOP)
        client.send(request_)
    d.process.send_signal(signal.SIGCONT)
    d.wait_counter("client_gone", 1)
    held.set()
    settled(d)


def test_answer_nobody_waits_for_is_stored(weir, origin, held):
    d = weir()
    client = d.connect()
    client.start("GET", "/api/x")
    origin.wait_requests(1)
    client.reset()
    d.wait_counter("client_gone", 1)
    held.set()
    d.wait_stored()
    assert d.get("/api/x").cache.hit and origin.count() == 1


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("cached", [False, True], ids=["miss", "hit"])
def test_client_that_leaves_in_mid_body(weir, origin, cached, how):
    body = bytes(range(256)) * 40_000                # 10 MiB: more than sockets hold
    origin.reply(body=body, fields=FRESH)
    d = weir()
    if cached:
        d.get("/api/x")
        d.wait_stored()
    client = d.connect(receive_buffer=4096)
    client.start("GET", "/api/x")
    next(client.pieces(client.read_head()))
    getattr(client, how)()
    d.wait_counter("client_gone", 1)
    if not cached:
        d.wait_stored()
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.body == body and origin.count() == 1
    settled(d)


def test_one_who_leaves_in_mid_body_leaves_the_others_whole(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.head(200, [("Content-Length", "400000"), *FRESH])
        conn.send(b"a" * 200_000)
        conn.wait(go)
        conn.send(b"b" * 200_000)
    origin.handler = handler
    d = weir()
    clients = [d.connect() for _ in range(5)]
    for client in clients:
        client.start("GET", "/api/x")
    responses = [client.read_head() for client in clients]
    for client in clients[:2]:
        client.reset()
    go.set()
    for client, response in zip(clients[2:], responses[2:]):
        assert client.read_body(response).body == b"a" * 200_000 + b"b" * 200_000
        client.close()
    assert origin.count() == 1


def test_unstored_answer_that_nobody_reads_is_given_up(weir, origin):
    """ttl = never and the only client gone: the origin is not read to its end for nobody."""
    gone = []

    def handler(request, conn):
        conn.head(200, [("Transfer-Encoding", "chunked")])
        try:
            for _ in range(4000):
                conn.chunk(b"x" * 65536)
        finally:
            gone.append(True)
    origin.handler = handler
    d = weir(ttl="never")
    client = d.connect(receive_buffer=4096)
    client.start("GET", "/api/x")
    next(client.pieces(client.read_head()))
    client.reset()
    until(lambda: gone, "the upstream transfer to end", timeout=20)
    assert origin.last.peer_left
    settled(d)


def test_client_that_says_nothing_or_half(weir, origin):
    d = weir()
    settled(d)                                       # the upstream's own descriptors are there
    before = d.descriptors()
    clients = [d.connect() for _ in range(30)]
    for i, client in enumerate(clients):
        client.send(client.head("GET", "/api/x")[:i])
    for client in clients:
        client.close()
    until(lambda: d.descriptors() <= before + 1, "their descriptors to be freed")
    assert origin.requests == [] and d.get("/api/x").status == 200


def test_half_closed_client_gets_its_answer_or_an_end(weir, origin, held):
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x")
        client.half_close()
        origin.wait_requests(1)
        held.set()
        try:
            assert client.read_response().body == b"late"
        except Closed:                               # taken for a goodbye: allowed, if the daemon lives on
            pass
    assert d.get("/api/y").status == 200


def test_crowd_that_comes_and_goes(weir, origin):
    """Clients leave at every point of an exchange; descriptors and memory come back, the daemon serves on."""
    origin.handler = lambda request, conn: conn.answer(body=request.target.encode() * 20_000, fields=FRESH)
    d = weir(max_connections=4)
    d.get("/api/0")
    d.wait_stored()
    settled(d)
    before = d.descriptors()
    for turn in range(60):
        client = d.connect(receive_buffer=4096)
        data = client.head("GET", f"/api/{turn % 7}")
        if turn % 3 == 0:
            client.send(data[:turn])
        else:
            client.send(data * (1 + turn % 4))
            if turn % 3 == 1:
                client.sock.recv(1 + turn * 10)
        client.reset() if turn % 2 else client.close()
    settled(d)
    until(lambda: d.descriptors() <= before + 6, f"no more than {before} descriptors and a few pooled")
    assert d.get("/api/1").body == b"/1" * 20_000


def test_vanished_upload_frees_its_place(weir, origin):
    d = weir(max_in_flight=1, queue={"max_wait": "30s"})
    client = d.connect()
    client.start("POST", "/api/x", [("Content-Length", "1000000")])
    client.send(b"x" * 1000)
    origin.wait_requests(1)
    client.reset()
    assert d.get("/api/y").status == 200
    settled(d)
