"""What is dropped while an answer is on its way is not stored by that answer, at whatever stage it was."""
import threading

import pytest

from harness.client import Client

FRESH = [("Cache-Control", "max-age=3600")]


def purge_method(d, origin, client):
    client.start("PURGE", "/api/v1/x?a=1")


def write_to_path(d, origin, client):
    client.start("POST", "/api/v1/x", body=b"new")


def write_with_rule(d, origin, client):
    client.start("POST", "/api/elsewhere", body=b"new")


def control(*arguments):
    """weirctl, as its request to the admin socket: the client is one of that."""
    path, body = arguments

    def start(d, origin, client):
        text = body(origin) if body else None
        client.start("POST", path, [], text.encode() if text is not None else b"")
    start.admin = True
    return start


PURGES = {
    "PURGE": purge_method,
    "write_to_its_path": write_to_path,
    "rule_s_invalidates": write_with_rule,
    "purge_url": control("/purge", lambda o: '{"url": "http://%s/v1/x?a=1"}' % o.authority),
    "purge_through_weir": control("/purge", lambda o: '{"url": "/api/v1/x?a=1"}'),
    "purge_glob": control("/purge", lambda o: '{"url": "/api/v1/**"}'),
    "flush": control("/flush", None),
}


WRITES = ("write_to_its_path", "rule_s_invalidates")


class Staged:
    """Answers in steps that the test lets go of: head, first half, second half."""

    def __init__(self):
        self.head, self.half = threading.Event(), threading.Event()
        self.number = 0

    def __call__(self, request, conn):
        if request.method != "GET" or request.path.endswith("/other"):
            conn.answer(200, b"done")
            return
        self.number += 1
        body = b"answer %d" % self.number
        conn.wait(self.head)
        conn.head(200, [("Content-Length", str(len(body))), *FRESH])
        conn.send(body[:4])
        conn.wait(self.half)
        conn.send(body[4:])


@pytest.fixture
def staged(origin):
    origin.handler = Staged()
    yield origin.handler
    origin.handler.head.set()
    origin.handler.half.set()


def start(weir, **more):
    return weir(rules=[{"match": "/elsewhere", "methods": ["POST"], "invalidates": ["/v1/**"]}], **more)


def drop(d, origin, how):
    """Drops it, and returns when that was said to be done."""
    with Client(d.admin_path) if getattr(PURGES[how], "admin", False) else d.connect() as client:
        PURGES[how](d, origin, client)
        response = client.read_response("POST")
        assert response.status == 200, response


def is_gone(d, origin):
    assert d.get("/api/v1/x?a=1", [("Cache-Control", "only-if-cached")]).status == 504
    before = origin.count(path="/v1/x", method="GET")
    response = d.get("/api/v1/x?a=1")
    assert response.cache.fwd == "uri-miss" and not response.cache.collapsed
    assert origin.count(path="/v1/x", method="GET") == before + 1
    d.wait_stored()
    assert d.get("/api/v1/x?a=1").cache.hit


@pytest.mark.parametrize("how", PURGES)
def test_while_its_head_is_awaited(weir, origin, staged, how):
    d = start(weir)
    with d.connect() as client:
        client.start("GET", "/api/v1/x?a=1")
        origin.wait_requests(1)
        drop(d, origin, how)
        staged.head.set()
        staged.half.set()
        response = client.read_response()
        assert (response.body, response.cache.stored) == (b"answer 1", None)
    is_gone(d, origin)


@pytest.mark.parametrize("how", PURGES)
def test_while_its_body_is_under_way(weir, origin, staged, how):
    d = start(weir)
    staged.head.set()
    with d.connect() as client, d.connect() as other:
        client.start("GET", "/api/v1/x?a=1")
        head = client.read_head()
        drop(d, origin, how)
        other.start("GET", "/api/v1/x?a=1")          # does not join what was dropped
        origin.wait_for(lambda: sum(r.path == "/v1/x" and r.method == "GET" for r in origin.requests) == 2,
                        "a request of its own")
        staged.half.set()
        assert client.read_body(head).body == b"answer 1"
        assert other.read_response().body == b"answer 2"
    d.wait_stored()
    assert d.get("/api/v1/x?a=1").body == b"answer 2"


@pytest.mark.parametrize("how", PURGES)
def test_while_it_waits_for_its_commit(weir, origin, staged, how):
    """Both stand in the writer's queue, and go in one group."""
    d = start(weir)
    staged.head.set()
    staged.half.set()
    admin = getattr(PURGES[how], "admin", False)
    with Client(d.admin_path) if admin else d.connect() as client:
        with d.commits_held():
            assert d.get("/api/v1/x?a=1").body == b"answer 1"
            assert d.get("/api/v1/x?a=1").cache.hit
            PURGES[how](d, origin, client)
            if not admin:
                d.wait_counter("requests", 3)
            d.status()                               # which asks the thread that the drop goes through
            assert client.still_open()
        assert client.read_response("POST").status == 200
    assert d.get("/api/v1/x?a=1", [("Cache-Control", "only-if-cached")]).status == 504
    assert d.get("/api/v1/x?a=1").body == b"answer 2"


@pytest.mark.parametrize("how", [how for how in PURGES if how not in WRITES])
def test_what_is_still_queued_is_asked_for_later_and_stored(weir, origin, staged, how):
    d = start(weir, max_in_flight=1)
    staged.half.set()
    with d.connect() as first, d.connect() as client:
        first.start("GET", "/api/held")
        origin.wait_requests(1)
        client.start("GET", "/api/v1/x?a=1")
        d.wait_counter("requests", 2)
        drop(d, origin, how)
        assert origin.count() == 1
        staged.head.set()
        assert client.read_response().body == b"answer 2"
        assert first.read_response().status == 200
    d.wait_stored(1)
    assert d.get("/api/v1/x?a=1").cache.hit


@pytest.mark.parametrize("how", ["PURGE", "purge_url", "purge_glob", "flush"])
def test_everybody_who_had_joined_gets_it(weir, origin, staged, how):
    d = start(weir, settings={"workers": 1})
    clients = [d.connect() for _ in range(4)]
    for client in clients:
        client.start("GET", "/api/v1/x?a=1")
    d.wait_counter("requests", 4)
    assert d.get("/.weir/health").status == 200      # the worker has passed on what came before
    d.status()                                       # and the upstream thread has seen it
    origin.wait_requests(1)
    drop(d, origin, how)
    staged.head.set()
    staged.half.set()
    assert {client.read_response().body for client in clients} == {b"answer 1"}
    for client in clients:
        client.close()
    is_gone(d, origin)


@pytest.mark.parametrize("url", ["/api/v1/x?a=2", "/api/v1/xy?a=1", "/api/v2/**"])
def test_another_purge_leaves_it_alone(weir, origin, staged, url):
    d = start(weir)
    with d.connect() as client:
        client.start("GET", "/api/v1/x?a=1")
        origin.wait_requests(1)
        assert d.admin("POST", "/purge", b'{"url": "%s"}' % url.encode()).status == 200
        staged.head.set()
        staged.half.set()
        assert client.read_response().cache.stored
    d.wait_stored()
    assert d.get("/api/v1/x?a=1").cache.hit


def test_a_purge_is_of_the_callers_own_partition(weir, origin, staged):
    d = start(weir)
    with d.connect() as client:
        client.start("GET", "/api/v1/x?a=1", [("Authorization", "Bearer a")])
        origin.wait_requests(1)
        assert d.request("PURGE", "/api/v1/x?a=1", [("Authorization", "Bearer b")]).status == 200
        staged.head.set()
        staged.half.set()
        assert client.read_response().cache.stored
    d.wait_stored()
    assert d.get("/api/v1/x?a=1", [("Authorization", "Bearer a")]).cache.hit


def test_what_nobody_waits_for_any_more_is_ended(weir, origin, staged):
    """on_abort = finish keeps it for the store alone."""
    d = start(weir, max_in_flight=1)
    client = d.connect()
    client.start("GET", "/api/v1/x?a=1")
    origin.wait_requests(1)
    client.reset()
    d.wait_counter("client_gone", 1)
    assert d.admin("POST", "/flush", b"").status == 200
    assert d.get("/api/other").body == b"done"       # its place is free


def test_a_304_brings_nothing_back(weir, origin, clock):
    go = threading.Event()

    def handler(request, conn):
        if "If-None-Match" in request.fields:
            conn.wait(go)
            conn.answer(304, b"", [("ETag", '"v1"'), ("Cache-Control", "max-age=60")])
        else:
            conn.answer(200, b"hello", [("ETag", '"v1"'), ("Cache-Control", "max-age=60")])
    origin.handler = handler
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    with d.connect() as client:
        client.start("GET", "/api/x")
        origin.wait_requests(2)
        assert d.request("PURGE", "/api/x").status == 200
        go.set()
        assert client.read_response().body == b"hello"
    assert d.get("/api/x", [("Cache-Control", "only-if-cached")]).status == 504


def test_a_part_that_was_dropped_is_not_stored_again_with_the_rest(weir, origin):
    """RFC 9111 3.4: what is completed is made of what was stored."""
    go = threading.Event()
    fields = [("ETag", '"v1"'), ("Cache-Control", "max-age=3600")]

    def handler(request, conn):
        if request.fields.get("Range") == "bytes=0-4":
            conn.answer(206, b"hello", [("Content-Range", "bytes 0-4/10"), *fields])
        elif "Range" in request.fields:
            conn.wait(go)
            conn.answer(206, b"world", [("Content-Range", "bytes 5-9/10"), *fields])
        else:
            conn.answer(200, b"HELLOWORLD", fields)
    origin.handler = handler
    d = weir()
    d.get("/api/x", [("Range", "bytes=0-4")])
    d.wait_stored()
    with d.connect() as client:
        client.start("GET", "/api/x")
        origin.wait_requests(2)
        assert "Range" in origin.last.fields
        assert d.request("PURGE", "/api/x").status == 200
        go.set()
        assert client.read_response().body == b"helloworld"
    assert d.get("/api/x", [("Cache-Control", "only-if-cached")]).status == 504
    assert d.get("/api/x").body == b"HELLOWORLD"
