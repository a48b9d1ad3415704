"""An answer that has ended and is not committed yet is a hit, by the rules and with the fields of a stored one."""
import threading

import pytest

from harness.origin import answer

FRESH = [("Cache-Control", "max-age=60")]
TAGGED = [("ETag", '"v1"'), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"), *FRESH]


def fields_of(response):
    """What a client can compare; Date and the like come from the origin."""
    return sorted((n, v) for n, v in response.fields.pairs if n not in ("Server-Timing",))


def log_of(line):
    return {k: line.get(k) for k in ("cache", "status", "fwd", "detail", "collapsed", "stored", "method", "rule")}


@pytest.mark.parametrize("wish, status, body", [
    ([], 200, b"hello"),
    ([("Cache-Control", "max-age=50")], 200, b"hello"),
    ([("Cache-Control", "min-fresh=50")], 200, b"hello"),
    ([("Cache-Control", "only-if-cached")], 200, b"hello"),
    ([("Cache-Control", "max-stale=5")], 200, b"hello"),
    ([("Range", "bytes=1-2")], 206, b"el"),
    ([("Range", "bytes=0-0,4-4")], 206, None),
    ([("Range", "bytes=9-")], 416, b""),
    ([("If-Range", '"v1"'), ("Range", "bytes=1-2")], 206, b"el"),
    ([("If-Range", '"v2"'), ("Range", "bytes=1-2")], 200, b"hello"),
    ([("If-None-Match", '"v1"')], 304, b""),
    ([("If-None-Match", '"v2"')], 200, b"hello"),
    ([("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT")], 304, b""),
    ([("Weir-TTL", "50s")], 200, b"hello"),
    ([("Weir-Max-Wait", "0s")], 200, b"hello"),
], ids=lambda v: "-".join(f"{n}:{x}" for n, x in v) or "plain" if isinstance(v, list) else None)
def test_it_is_a_hit_as_a_stored_one_is(weir, origin, wish, status, body):
    """The same request before the commit and after it: the same answer, fields, counters and line in the log."""
    origin.reply(body=b"hello", fields=TAGGED)
    d = weir(limits=["1/h"])                         # nothing else may go out
    with d.connect() as client:
        with d.commits_held():
            first = client.get("/api/x")
            assert first.cache.fwd == "uri-miss" and first.cache.stored
            before = client.get("/api/x", wish)
            assert d.counter("stored") == 0
    d.wait_stored()
    after = d.get("/api/x", wish)
    assert before.status == after.status == status
    assert before.cache.hit and after.cache.hit and not before.cache.collapsed and before.cache.fwd is None
    if body is not None:
        assert before.body == after.body == body
        assert [f for f in fields_of(before) if f[0] not in ("Age", "Cache-Status")] == \
            [f for f in fields_of(after) if f[0] not in ("Age", "Cache-Status")]
    assert "Age" in before.fields and 0 <= int(before.fields.get("Age")) <= 5
    assert 40 <= int(before.cache.ttl) <= 60
    assert origin.count() == 1
    assert (d.counter("hits"), d.counter("misses"), d.counter("collapsed"), d.counter("requests")) == (2, 1, 0, 3)
    _, second, third = d.access(3)
    assert log_of(second) == log_of(third) and second["cache"] == "hit"


@pytest.mark.parametrize("wish, fwd", [
    ("max-age=0", "request"), ("no-cache", "request"), ("min-fresh=61", "request"), ("no-store", "request"),
], ids=str)
def test_what_a_hit_would_not_satisfy_goes_upstream(weir, origin, wish, fwd):
    """With the validators of what is not committed yet, but for no-store."""
    def handler(request, conn):
        same = request.fields.get("If-None-Match") == '"v1"'
        conn.answer(304 if same else 200, b"" if same else b"hello", TAGGED)
    origin.handler = handler
    d = weir()
    with d.connect() as client, d.commits_held():
        client.get("/api/x")
        response = client.get("/api/x", [("Cache-Control", wish)])
        assert (response.status, response.body) == (200, b"hello")
        assert response.cache.fwd == fwd and not response.cache.hit
        assert (origin.last.fields.get("If-None-Match") == '"v1"') == (wish != "no-store")
        assert client.get("/api/x").cache.hit
    assert origin.count() == 2


def test_age_is_the_time_since_it_came(weir, origin, clock):
    origin.reply(body=b"hello", fields=[*FRESH, ("Age", "7")])
    d = weir()
    with d.commits_held():
        d.get("/api/x")
        clock.advance(20)
        old = d.get("/api/x")
        assert old.cache.hit and 27 <= int(old.fields.get("Age")) <= 30 and 30 <= int(old.cache.ttl) <= 33
        assert d.get("/api/x", [("Cache-Control", "max-age=26")]).cache.fwd == "request"
        clock.advance(60)
        assert d.get("/api/x").cache.fwd == "stale"


def test_head_is_answered_from_it(weir, origin):
    origin.reply(body=b"hello", fields=FRESH)
    d = weir()
    with d.commits_held():
        d.get("/api/x")
        head = d.request("HEAD", "/api/x")
        assert head.cache.hit and head.length == 5 and head.body == b""
    assert origin.count() == 1


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 262144, 262145, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_bodies_of_all_sizes(weir, origin, size, chunked):
    body = bytes(i % 251 for i in range(size))
    origin.reply(body=body, fields=FRESH, chunked=chunked)
    d = weir()
    with d.connect() as client, d.commits_held():
        assert client.get("/api/x").body == body
        again = client.get("/api/x", [("Cache-Control", "only-if-cached")])
        assert again.cache.hit and again.body == body and again.length == size
        if size > 2:
            part = client.get("/api/x", [("Range", f"bytes={size - 2}-")])
            assert (part.status, part.body) == (206, body[-2:])
    assert origin.count() == 1


def test_from_the_first_byte_after_its_end(weir, origin):
    """Nothing is held: the next request races with what the answer's end sets off, and is a hit each time."""
    origin.reply(body=b"x" * 3000, fields=FRESH)
    d = weir()
    with d.connect() as client:
        for i in range(300):
            assert client.get(f"/api/{i}").status == 200
            again = client.get(f"/api/{i}", [("Cache-Control", "only-if-cached")])
            assert again.status == 200 and again.cache.hit, again
    assert origin.count() == 300


def test_a_trickled_body_is_a_hit_with_its_last_byte(weir, origin):
    def handler(request, conn):
        conn.head(200, [("Content-Length", "5"), *FRESH])
        for byte in b"hello":
            conn.send(bytes([byte]))
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        for i in range(100):
            assert client.get(f"/api/{i}").body == b"hello"
            assert client.get(f"/api/{i}", [("Cache-Control", "only-if-cached")]).cache.hit
    assert origin.count() == 100


def test_after_a_refresh_the_new_one_is_served(weir, origin):
    origin.script(answer(body=b"old", fields=FRESH), answer(body=b"new", fields=FRESH))
    d = weir()
    with d.connect() as client:
        client.get("/api/x")
        d.wait_stored()
        for _ in range(4):                           # so often that a reply is kept ready
            assert client.get("/api/x").body == b"old"
        with d.commits_held():
            assert client.get("/api/x", [("Weir-Refresh", "hard")]).body == b"new"
            for _ in range(4):
                again = client.get("/api/x")
                assert again.body == b"new" and again.cache.hit
        d.wait_stored(2)
        assert client.get("/api/x").body == b"new"
    assert origin.count() == 2


def test_after_a_304_the_freshened_one_is_served(weir, origin, clock):
    def handler(request, conn):
        same = request.fields.get("If-None-Match") == '"v1"'
        conn.answer(304 if same else 200, b"" if same else b"hello", [*TAGGED, ("X-Turn", str(origin.count()))])
    origin.handler = handler
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    with d.commits_held():
        assert d.get("/api/x").cache.fwd == "stale"
        fresh = d.get("/api/x")
        assert fresh.cache.hit and int(fresh.cache.ttl) >= 50 and int(fresh.fields.get("Age")) <= 5
        assert (fresh.body, fresh.fields.get("X-Turn")) == (b"hello", "2")
        clock.advance(61)                            # and once more, of what is not committed yet
        assert d.get("/api/x").cache.fwd == "stale"
        assert d.get("/api/x").fields.get("X-Turn") == "3"
    assert origin.count() == 3
    d.wait_stored(3)
    assert d.get("/api/x").fields.get("X-Turn") == "3"


def test_after_a_head_that_tells_of_another_one_the_old_is_not_served(weir, origin):
    """RFC 9111 4.3.5."""
    origin.script(answer(body=b"hello", fields=TAGGED), answer(body=b"hello2", fields=[("ETag", '"v2"'), *FRESH]))
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    with d.commits_held():
        d.request("HEAD", "/api/x", [("Cache-Control", "no-store")])
        d.request("HEAD", "/api/x", [("Weir-Refresh", "hard")])
        assert d.get("/api/x").body == b"hello2"


@pytest.mark.parametrize("settings, fields", [
    ({"ttl": "1h"}, [("Cache-Control", "no-store")]),
    ({"ttl": "origin else 1h"}, []),
    ({"rules": [{"match": "/**", "status": ["404 1h"]}]}, []),
], ids=["ttl", "else", "status"])
def test_under_a_duration(weir, origin, settings, fields):
    origin.reply(404 if "rules" in settings else 200, b"hello", fields)
    d = weir(**settings)
    with d.commits_held():
        d.get("/api/x")
        again = d.get("/api/x")
        assert again.cache.hit and 3500 <= int(again.cache.ttl) <= 3600
    assert origin.count() == 1


def test_other_variants_are_not_served(weir, origin):
    origin.handler = lambda request, conn: conn.answer(
        200, request.fields.get("Accept-Language", "").encode(), [*FRESH, ("Vary", "Accept-Language")])
    d = weir()
    with d.commits_held():
        for language in ("de", "en"):
            assert d.get("/api/x", [("Accept-Language", language)]).text == language
        for language in ("de", "en"):
            again = d.get("/api/x", [("Accept-Language", language)])
            assert again.cache.hit and again.text == language
        assert d.get("/api/x", [("Accept-Language", "fr")]).cache.fwd == "vary-miss"


def test_another_credential_has_none_of_it(weir, origin):
    origin.handler = lambda request, conn: conn.answer(200, request.fields.get("Authorization", "-").encode(), FRESH)
    d = weir()
    with d.commits_held():
        assert d.get("/api/x", [("Authorization", "Bearer a")]).text == "Bearer a"
        assert d.get("/api/x", [("Authorization", "Bearer b")]).cache.fwd == "uri-miss"
        assert d.get("/api/x").cache.fwd == "uri-miss"
        assert d.get("/api/x", [("Authorization", "Bearer a")]).cache.hit


def test_in_the_middle_of_the_body_it_is_joined_and_the_request_has_its_say(weir, origin, clock):
    """Before its end it is no hit; who wants it younger than it is has one of his own (RFC 9111 5.2.1.1)."""
    go = threading.Event()

    def handler(request, conn):
        conn.head(200, [("Content-Length", "4"), *FRESH])
        conn.send(b"ab")
        conn.wait(go)
        conn.send(b"cd")
    origin.handler = handler
    d = weir(timeout={"read": "1h", "total": "1h"})
    with d.connect() as first, d.connect() as second, d.connect() as third:
        first.start("GET", "/api/x")
        first_head = first.read_head()
        clock.advance(20)
        second.start("GET", "/api/x", [("Cache-Control", "max-age=30")])
        assert second.read_head().cache.collapsed
        assert d.get("/api/x", [("Cache-Control", "only-if-cached")]).status == 504
        third.start("GET", "/api/x", [("Cache-Control", "max-age=10")])
        origin.wait_requests(2)
        assert not third.read_head().cache.collapsed
        go.set()
        assert first.read_body(first_head).body == b"abcd"


def test_what_breaks_off_is_no_hit(weir, origin):
    def handler(request, conn):
        conn.head(200, [("Content-Length", "5"), *FRESH])
        conn.send(b"hell")
        conn.close()
    origin.handler = handler
    d = weir()
    with d.commits_held():
        assert d.get("/api/x").end in ("cut", "reset")
        assert d.get("/api/x", [("Cache-Control", "only-if-cached")]).status == 504


def test_a_refresh_that_waits_keeps_its_own_validators(weir, origin, clock):
    """What it was made of is long gone from the reader's memory when it is sent."""
    def handler(request, conn):
        conn.answer(200, b"hello", [("ETag", '"the-tag-of%s"' % request.target.replace("/", "-")),
                                    ("Cache-Control", "max-age=1, stale-while-revalidate=600")])
    origin.handler = handler
    d = weir({"workers": 1}, limits=["9/min"], queue={"max_wait": "5m"})
    with d.connect() as client, d.commits_held():
        for i in range(9):
            client.get(f"/api/{'x' * i}")
        clock.advance(5)
        for i in range(9):
            assert client.get(f"/api/{'x' * i}").cache.hit     # each is refreshed as soon as the limit allows
        clock.advance(61)
        origin.wait_requests(18)
    assert all(r.fields.get("If-None-Match") == '"the-tag-of%s"' % r.target.replace("/", "-") for r in origin.requests[9:])
