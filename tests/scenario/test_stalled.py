"""Uploads whose client pauses hold no place at the API that others wait for."""
import threading

import pytest

from harness.settings import retry

PLACES = 10
LONG = 200_000                                  # of which a part is sent at once
MIXED = [[("Content-Length", "1000")], [("Content-Length", str(LONG))], [("Transfer-Encoding", "chunked")]]


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def ended(origin):
    return [r for r in origin.requests if r.peer_left and r.body is None]


@pytest.fixture
def stalled(weir, origin):
    """A daemon and so many clients with a request that has a part of its body, all of them at the origin."""
    clients = []
    origin.read_bodies = False

    def handler(request, conn):
        conn.read_body(request)
        conn.answer(body=b"whole")
    origin.handler = handler

    def start(count=PLACES, method="POST", fields=(), framing="chunked", arrive=True, **settings):
        d = weir(max_in_flight=PLACES, **settings)
        for _ in range(count):
            client = d.connect(timeout=30)
            length = {"chunked": [("Transfer-Encoding", "chunked")], "length": [("Content-Length", str(LONG))],
                      "short": [("Content-Length", "1500")]}[framing]
            client.start(method, "/api/up", [*fields, *length])
            client.send(chunk(b"x" * 1000) if framing == "chunked" else b"x" * 1000)
            clients.append(client)
        if arrive:
            origin.wait_requests(count)
        return d, clients
    yield start
    for client in clients:
        client.close()


@pytest.mark.parametrize("fields", MIXED, ids=["short", "long", "chunked"])
def test_a_head_alone_takes_no_place(weir, origin, fields):
    d = weir(max_in_flight=PLACES, limits=["100/h"])
    clients = [d.connect() for _ in range(2 * PLACES)]
    for client in clients:
        client.start("POST", "/api/up", fields)
    d.wait_counter("requests", 2 * PLACES)
    assert d.get("/api/x").status == 200
    assert origin.count() == 1, "a request whose body has not begun was sent"
    for client in clients:
        client.close()
    assert d.counter("upstream_attempts") == 1


def test_the_first_byte_takes_one(weir, origin):
    d = weir(max_in_flight=PLACES)
    with d.connect() as client:
        client.start("POST", "/api/up", [("Content-Length", "1000")])
        client.send(b"x" * 10)
        origin.wait_requests(1)
        client.send(b"y" * 990)
        assert client.read_response().status == 200
    assert origin.last.body == b"x" * 10 + b"y" * 990


def test_an_empty_chunked_body_is_sent(weir, origin):
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/up", [("Transfer-Encoding", "chunked")])
        client.send(b"0\r\n\r\n")
        assert client.read_response().status == 200
    assert origin.last.body == b""


@pytest.mark.parametrize("framing", ["chunked", "length", "short"])
def test_an_upload_that_pauses_gives_its_place_up_to_who_waits(stalled, origin, framing):
    d, clients = stalled(framing=framing)
    response = d.get("/api/x")
    assert response.status == 200 and origin.last.target == "/x"
    assert len(ended(origin)) <= 1, "one place was waited for"
    assert all(client.still_open() for client in clients), "who was ended hears of it when it goes on"


@pytest.mark.parametrize("method, fields", [("POST", []), ("PATCH", [])])
def test_one_that_may_not_be_repeated_is_answered_408(stalled, origin, method, fields):
    d, clients = stalled(method=method, fields=fields, retry=retry(attempts=3))
    assert d.get("/api/x").status == 200
    answers = []
    for client in clients:
        client.send(chunk(b"y" * 1000) + b"0\r\n\r\n")
        answers.append(client.read_response())
    assert sorted(r.status for r in answers) == [200] * (PLACES - 1) + [408]
    late = next(r for r in answers if r.status == 408)
    assert "paused" in late.text and late.proxy_status.error == "http_request_error"
    assert origin.count(method=method) == PLACES


@pytest.mark.parametrize("method, fields", [("PUT", []), ("DELETE", []), ("POST", [("Idempotency-Key", "1")])])
def test_one_that_may_be_repeated_is_sent_again_when_it_goes_on(stalled, origin, method, fields):
    d, clients = stalled(method=method, fields=fields, retry=retry(attempts=3))
    assert d.get("/api/x").status == 200
    assert origin.count(method=method) == PLACES, "it was sent again while its client still pauses"
    for client in clients:
        client.send(chunk(b"y" * 1000) + b"0\r\n\r\n")
    assert [client.read_response().status for client in clients] == [200] * PLACES
    bodies = [r.body for r in origin.requests if r.method == method]
    assert bodies.count(b"x" * 1000 + b"y" * 1000) == PLACES and len(bodies) == PLACES + 1


def test_while_nobody_waits_it_may_pause(stalled, origin, clock):
    d, clients = stalled(count=PLACES - 1)
    clock.advance(30)
    assert d.get("/api/x").status == 200                               # there is a place
    clock.advance(20)
    d.counter("requests")
    for client in clients:
        client.send(chunk(b"y") + b"0\r\n\r\n")
        assert client.read_response().status == 200
    assert not ended(origin)


def test_who_waits_for_the_budget_ends_nobody(stalled, origin):
    """A free place would not help it."""
    d, clients = stalled(limits=[f"{PLACES}/h"], queue={"max_wait": "30s"}, count=PLACES)
    with d.connect() as waiting:
        waiting.start("GET", "/api/x", [("Weir-Max-Wait", "1s")])
        assert waiting.read_response().status == 429
    for client in clients:
        client.send(chunk(b"y") + b"0\r\n\r\n")
        assert client.read_response().status == 200
    assert not ended(origin)


def test_one_that_goes_on_is_not_ended(stalled, origin):
    """Slow but alive: a piece each half second; those that pause go."""
    d, clients = stalled()
    stop = threading.Event()

    def trickle():
        while not stop.wait(0.3):
            clients[0].send(chunk(b"z"))
    thread = threading.Thread(target=trickle)
    thread.start()
    assert d.get("/api/x").status == 200
    stop.set()
    thread.join()
    clients[0].send(b"0\r\n\r\n")
    assert clients[0].read_response().status == 200


def test_those_that_drip_hold_no_place_for_ever(stalled, origin):
    """Never silent for three seconds, and never done."""
    d, clients = stalled(queue={"max_wait": "60s"})
    stop = threading.Event()

    def drip():
        while not stop.wait(0.5):
            for client in clients:
                try:
                    client.send(chunk(b"z"))
                except OSError:                      # it has been answered
                    pass
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        assert d.get("/api/x").status == 200
    finally:
        stop.set()
        thread.join()


def test_who_was_told_100_and_sends_nothing_holds_no_place(weir, origin):
    d = weir(max_in_flight=2)
    clients = [d.connect() for _ in range(2)]
    for client in clients:
        client.start("POST", "/api/up", [("Expect", "100-continue"), ("Content-Length", "1000")])
        assert client._line() == b"HTTP/1.1 100 Continue"
    assert d.get("/api/x").status == 200
    for client in clients:
        client.close()
