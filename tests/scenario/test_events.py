"""Streams of events: for those who were there when they began, for as long as they stay."""
import select
import threading

import pytest

from harness.client import Client
from harness.tls import TlsClient, trust
from harness.wait import until

TYPE = [("Content-Type", "text/event-stream")]
ELSE = {"ttl": "origin else 30m"}


@pytest.fixture
def weir(weir):
    """With one worker: what it was asked before something that it has answered, it has passed on."""
    def start(settings=None, **of_upstream):
        return weir(settings={"workers": 1, **(settings or {})}, **of_upstream)
    return start


def is_passed_on(d, count):
    """So many requests have come, and the upstream thread has seen what became of them."""
    d.wait_counter("requests", count)
    assert d.get("/.weir/health").status == 200
    d.status()


def is_gone(conn):
    """Has the daemon closed this connection? It sends nothing more on it."""
    try:
        return bool(select.select([conn.sock], [], [], 0)[0]) and not conn.sock.recv(1)
    except OSError:
        return True


class Stream:
    """Each request gets a stream of its own, which says what the test tells it to."""

    def __init__(self, fields=TYPE, chunked=True):
        self.fields, self.chunked = list(fields), chunked
        self.go = threading.Event()                  # heads are held back until then
        self.changed = threading.Condition()
        self.events, self.over, self.left = {}, set(), set()

    def __call__(self, request, conn):
        number = conn.origin.requests.index(request) + 1
        conn.wait(self.go)
        conn.head(200, self.fields + ([("Transfer-Encoding", "chunked")] if self.chunked else []))
        sent = 0
        while not conn.origin.stopping:
            with self.changed:
                self.changed.wait(0.02)
                events, over = self.events.get(number, [])[sent:], number in self.over
            for event in events:
                data = f"data: {event}\n\n".encode()
                (conn.chunk if self.chunked else conn.send)(data)
            sent += len(events)
            if over:
                if self.chunked:
                    conn.last_chunk()
                else:
                    conn.close()
                return
            if is_gone(conn):
                with self.changed:
                    self.left.add(number)
                    self.changed.notify_all()
                return

    def say(self, number, *events):
        with self.changed:
            self.events.setdefault(number, []).extend(events)
            self.changed.notify_all()

    def end(self, number):
        with self.changed:
            self.over.add(number)
            self.changed.notify_all()

    def wait_left(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.left, 20), f"stream {number} goes on"


@pytest.fixture
def stream(origin):
    origin.handler = Stream()
    origin.handler.go.set()
    yield origin.handler
    origin.handler.go.set()


class Reader:
    """A client that hears events one after the other."""

    def __init__(self, client, target="/api/events", fields=(), method="GET", body=None):
        self.client, self.buffer = client, b""
        client.start(method, target, list(fields), body=body)

    def begin(self):
        self.response = self.client.read_head()
        self.pieces = self.client.pieces(self.response)
        return self.response

    def next(self):
        while b"\n\n" not in self.buffer:
            self.buffer += next(self.pieces)
        event, _, self.buffer = self.buffer.partition(b"\n\n")
        return event.removeprefix(b"data: ").decode()

    def rest(self):
        for piece in self.pieces:
            self.buffer += piece
        return self.response.end


def readers(d, origin, stream, count, held=True):
    """So many who ask before the head comes."""
    if held:
        stream.go.clear()
    seen, at_origin = d.counter("requests"), origin.count()
    out = [Reader(d.connect(timeout=20)) for _ in range(count)]
    is_passed_on(d, seen + count)
    origin.wait_requests(at_origin + 1)
    stream.go.set()
    for reader in out:
        reader.begin()
    return out


def test_each_event_reaches_all_sharers_at_once(weir, origin, stream):
    d = weir(**ELSE)
    out = readers(d, origin, stream, 5)
    for n in range(10):
        stream.say(1, n)
        assert [reader.next() for reader in out] == [str(n)] * 5
    assert origin.count() == 1
    assert sum(bool(r.response.cache.collapsed) for r in out) == 4


def test_through_the_https_proxy_too(weir, stream):
    d = weir(settings={"proxy": {"listen": "127.0.0.1:0"}}, aliases=["api.test"], **ELSE)
    with TlsClient(d.proxy_address, "api.test:443", trust(d.ca)) as client:
        reader = Reader(client, "/events")
        reader.begin()
        for n in range(5):
            stream.say(1, n)
            assert reader.next() == str(n)


def test_one_stream_for_all_who_post_the_same_whatever_way_they_came(weir, origin, stream, place):
    """An API of a language model: the body is the key, and the stream is stored when its last event has said so."""
    path = f"{place}/data.sock"
    d = weir(settings={"listen": ["127.0.0.1:0", "unix:" + path], "proxy": {"listen": "127.0.0.1:0"}}, aliases=["api.test"],
             complete="data: [DONE]", ttl="1h",
             rules=[{"match": "/**", "methods": ["POST"], "key_body": True, "ignore_body": ["/user"]}])
    stream.go.clear()
    ways = [(Client(d.address), "/api/chat"), (Client(path), "/api/chat"), (Client(d.proxy_address), "http://api.test/chat"),
            (TlsClient(d.proxy_address, "api.test:443", trust(d.ca)), "/chat")]
    asked = d.counter("requests")
    host = {2: [("Host", "api.test")]}
    out = [Reader(client, target, [("Content-Type", "application/json"), *host.get(i, [])], "POST",
                  b'{"stream": true, "user": "%d"}' % i) for i, (client, target) in enumerate(ways)]
    is_passed_on(d, asked + len(out))
    stream.go.set()
    for reader in out:
        reader.begin()
    for n in range(5):
        stream.say(1, n)
        assert [reader.next() for reader in out] == [str(n)] * len(out)
    stream.say(1, "[DONE]")
    stream.end(1)
    assert [reader.rest() for reader in out] == ["complete"] * len(out) and origin.count() == 1
    for client, _ in ways:
        client.close()
    d.wait_stored()
    assert d.request("POST", "/api/chat", [("Content-Type", "application/json")], body=b'{"stream": true}').cache.hit


def test_with_links_rewritten_too(weir, origin, stream):
    d = weir(rewrite_links=True, **ELSE)
    reader, = readers(d, origin, stream, 1)
    for n in range(5):
        stream.say(1, n)
        assert reader.next() == str(n)


def test_nobody_joins_what_has_begun(weir, origin, stream):
    """Under a duration, and stored when it ends: yet who comes later hears no old event."""
    d = weir(**ELSE)
    first, = readers(d, origin, stream, 1)
    stream.say(1, "old")
    assert first.next() == "old"
    second = Reader(d.connect())
    origin.wait_requests(2)
    stream.say(2, "new")
    assert not second.begin().cache.collapsed
    assert second.next() == "new"
    stream.say(1, "still here")
    assert first.next() == "still here"


@pytest.mark.parametrize("fields", [TYPE, [("Content-Type", "Text/Event-Stream; charset=utf-8")],
                                    [*TYPE, ("Cache-Control", "max-age=60")],
                                    [("Content-Type", "multipart/x-mixed-replace; boundary=x")]],
                         ids=["plain", "with_parameters", "fresh", "another_kind"])
def test_a_left_stream_frees_its_place_at_once(weir, origin, stream, fields):
    """Whatever on_abort says: finish is the default."""
    stream.fields = fields
    d = weir(max_in_flight=2, **ELSE)
    for target in ("/api/a", "/api/b"):
        client = d.connect()
        reader = Reader(client, target)
        reader.begin()
        client.close()
    stream.wait_left(1)
    stream.wait_left(2)
    third = Reader(d.connect(), "/api/c")
    third.begin()
    stream.say(3, "here")
    assert third.next() == "here"


def test_one_that_was_left_before_its_head_ends_with_it(weir, origin, stream):
    stream.go.clear()
    d = weir(**ELSE)
    client = d.connect()
    Reader(client)
    origin.wait_requests(1)
    client.reset()
    d.wait_counter("client_gone", 1)
    stream.go.set()
    stream.say(1, "nobody")
    stream.wait_left(1)
    until(lambda: d.counter("in_flight") == 0, "nothing in flight")


def test_one_that_leaves_does_not_cut_it_for_the_others(weir, origin, stream):
    d = weir(**ELSE)
    out = readers(d, origin, stream, 3)
    stream.say(1, "a")
    assert [reader.next() for reader in out] == ["a"] * 3
    out[0].client.reset()                            # the one that began it
    d.wait_counter("client_gone", 1)
    stream.say(1, "b")
    assert [reader.next() for reader in out[1:]] == ["b"] * 2
    out[2].client.close()
    d.wait_counter("client_gone", 2)
    stream.say(1, "c")
    assert out[1].next() == "c"
    stream.end(1)
    assert out[1].rest() == "complete"
    out[1].client.close()


@pytest.mark.parametrize("how, stored", [("last_chunk", True), ("length", True), ("close", False), ("cut", False)])
def test_stored_only_when_whole(weir, origin, how, stored):
    body = b"data: 1\n\ndata: [DONE]\n\n"

    def handler(request, conn):
        if how == "last_chunk":
            conn.answer(200, body, TYPE, chunked=True)
        elif how == "length":
            conn.answer(200, body, TYPE)
        elif how == "close":
            conn.head(200, TYPE)
            conn.send(body)
            conn.close()
        else:
            conn.head(200, [*TYPE, ("Transfer-Encoding", "chunked")])
            conn.chunk(body)
            conn.close()
    origin.handler = handler
    d = weir(**ELSE)
    first = d.get("/api/events")
    assert bool(first.cache.stored) == (how == "length")     # else nobody knows yet
    assert first.body == body and (first.end == "complete") == (how != "cut")
    again = d.get("/api/events")
    assert bool(again.cache.hit) == stored
    assert origin.count() == (1 if stored else 2)


def test_without_leave_to_store_each_has_his_own(weir, origin, stream):
    d = weir()                                       # ttl = "origin", and it says nothing
    stream.go.clear()
    first, second = Reader(d.connect()), Reader(d.connect())
    d.wait_counter("requests", 2)
    stream.go.set()
    origin.wait_requests(2)
    for n in (1, 2):
        stream.say(n, f"of {n}")
    first.begin(), second.begin()
    assert {first.next(), second.next()} == {"of 1", "of 2"}


def test_going_on_behind_an_event_is_never_joined_nor_stored_nor_a_hit(weir, origin, stream):
    d = weir(**ELSE)
    first, = readers(d, origin, stream, 1)
    stream.say(1, "a", "b")
    assert first.next() == "a"
    goes_on = [Reader(d.connect(), fields=[("Last-Event-ID", "7")]) for _ in range(2)]
    origin.wait_requests(3)
    assert [r.fields.get("Last-Event-ID") for r in origin.requests] == [None, "7", "7"]
    for number in (2, 3):
        stream.say(number, "c")
        stream.end(number)
    for reader in goes_on:
        cache = reader.begin().cache
        assert cache.fwd == "request" and cache.detail == "last-event-id" and not cache.collapsed and not cache.stored
        assert reader.next() == "c" and reader.rest() == "complete"
    stream.end(1)
    first.next()
    assert first.rest() == "complete"
    assert d.get("/api/events").cache.hit            # the whole one
    last = Reader(d.connect(), fields=[("Last-Event-ID", "7")])
    stream.say(4, "d")
    assert not last.begin().cache.hit
    assert last.next() == "d"


def test_a_refresh_behind_has_no_reader(weir, origin, clock):
    """stale-while-revalidate: it is not kept open for the store."""
    stream = Stream([*TYPE, ("Cache-Control", "max-age=10")])
    stream.go.set()
    origin.handler = stream
    d = weir(stale_while_revalidate="1h")
    stream.say(1, "a")
    stream.end(1)
    assert d.get("/api/events").body == b"data: a\n\n"
    clock.advance(20)
    assert d.get("/api/events").body == b"data: a\n\n"
    origin.wait_requests(2)
    stream.wait_left(2)
