"""Stale responses: validated, refreshed, and in place of errors."""
import threading

import pytest

from harness.answers import FRESH, numbered, validating
from harness.clock import HOUR, MINUTE
from harness.origin import answer
from harness.settings import retry
from harness.wait import until


# -- validation -------------------------------------------------------------------

def test_stale_is_validated_and_lives_again(weir, origin, clock):
    origin.handler = validating(fields=[("Cache-Control", "max-age=60"), ("X-Turn", "new")])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    again = d.get("/api/x")
    assert (again.status, again.body) == (200, b"body")
    assert again.cache.fwd == "stale" and again.cache.fwd_status == 304
    assert origin.count() == 2 and origin.last.fields.get("If-None-Match") == '"v1"'
    d.wait_counter("revalidated", 1)
    clock.advance(30)                                # fresh again from the 304 on
    until(lambda: d.get("/api/x").cache.hit, "a hit after the 304")
    assert d.get("/api/x").body == b"body" and origin.count() == 2


def test_stale_that_changed_is_replaced(weir, origin, clock):
    origin.handler = validating('"v1"', [("Cache-Control", "max-age=60")], b"old")
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    origin.handler = validating('"v2"', [("Cache-Control", "max-age=60")], b"new body")
    assert d.get("/api/x").body == b"new body"
    d.wait_stored(2)
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.body == b"new body" and hit.fields.get("ETag") == '"v2"'


def test_last_modified_validates(weir, origin, clock):
    modified = "Sun, 06 Nov 1994 08:49:37 GMT"

    def handler(request, conn):
        if request.fields.get("If-Modified-Since") == modified:
            conn.answer(304)
        else:
            conn.answer(200, b"body", [("Last-Modified", modified), ("Cache-Control", "max-age=60")])
    origin.handler = handler
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    assert d.get("/api/x").body == b"body"
    assert origin.last.fields.get("If-Modified-Since") == modified


def test_no_cache_answer_is_stored_and_asked_each_time(weir, origin):
    origin.handler = validating(fields=[("Cache-Control", "no-cache")])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    for _ in range(2):
        assert d.get("/api/x").body == b"body"
        assert origin.last.fields.get("If-None-Match") == '"v1"'
    assert origin.count() == 3


def test_client_conditional_is_answered_from_the_cache(weir, origin):
    modified = "Sun, 06 Nov 1994 08:49:37 GMT"
    origin.reply(body=b"body", fields=[("ETag", '"v1"'), ("Last-Modified", modified), *FRESH])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    for fields in ([("If-None-Match", '"v1"')], [("If-None-Match", 'W/"v1"')], [("If-None-Match", '"a", "v1"')],
                   [("If-None-Match", "*")], [("If-Modified-Since", modified)]):
        response = d.get("/api/x", fields)
        assert response.status == 304 and response.fields.get("ETag") == '"v1"' and response.cache.hit, fields
    for fields in ([("If-None-Match", '"v2"')], [("If-None-Match", '"v2"'), ("If-Modified-Since", modified)],
                   [("If-Modified-Since", "Sat, 05 Nov 1994 08:49:37 GMT")]):
        response = d.get("/api/x", fields)
        assert response.status == 200 and response.body == b"body", fields
    assert origin.count() == 1


def test_client_conditional_on_a_miss(weir, origin):
    origin.handler = validating(fields=FRESH)
    d = weir()
    response = d.get("/api/x", [("If-None-Match", '"v1"')])
    assert response.status == 304 and response.body == b""
    full = d.get("/api/x")
    assert (full.status, full.body) == (200, b"body")


def test_range_of_a_stored_whole(weir, origin):
    origin.reply(body=b"0123456789", fields=[("ETag", '"v1"'), *FRESH])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as client:
        part = client.get("/api/x", [("Range", "bytes=2-4")])
        assert (part.status, part.body, part.fields.get("Content-Range")) == (206, b"234", "bytes 2-4/10")
        assert client.get("/api/x", [("Range", "bytes=-3")]).body == b"789"
        none = client.get("/api/x", [("Range", "bytes=20-")])
        assert none.status == 416 and none.fields.get("Content-Range") == "bytes */10"
        assert client.get("/api/x").body == b"0123456789"
    assert origin.count() == 1


# -- stale ------------------------------------------------------------------------

@pytest.mark.parametrize("failing", [lambda request, conn: conn.close(), answer(503, b"down")], ids=["dropped", "503"])
def test_stale_if_error(weir, origin, clock, failing):
    origin.handler = numbered([("Cache-Control", "max-age=60")])
    d = weir(stale_if_error="1h")
    d.get("/api/x")
    d.wait_stored()
    origin.handler = failing
    clock.advance(120)
    response = d.get("/api/x")
    assert (response.status, response.body) == (200, b"1") and int(response.fields.get("Age")) >= 120
    clock.advance(HOUR)
    assert d.get("/api/x").status in (502, 503)


def test_stale_while_revalidate_asks_once_behind_it(weir, origin, clock):
    go = threading.Event()
    origin.handler = numbered([("Cache-Control", "max-age=60")])
    d = weir(stale_while_revalidate="10m")
    d.get("/api/x")
    d.wait_stored()
    clock.advance(90)

    def slow(request, conn):
        conn.wait(go)
        conn.answer(200, b"2", [("Cache-Control", "max-age=60")])
    origin.handler = slow
    for _ in range(5):
        stale = d.get("/api/x")
        assert stale.body == b"1" and stale.cache.hit and stale.cache.ttl < 0
    origin.wait_requests(2)
    go.set()
    d.wait_stored(2)
    assert d.get("/api/x").body == b"2" and origin.count() == 2


def test_refresh_that_cannot_be_shared_is_one_too(weir, origin, clock):
    origin.handler = numbered([("Cache-Control", "max-age=60"), ("ETag", '"a"')])
    d = weir(stale_while_revalidate="10m")
    d.get("/api/x")
    d.wait_stored()
    clock.advance(90)
    begun, go = threading.Event(), threading.Event()

    def slow(request, conn):
        conn.head(200, [("Cache-Control", "no-cache"), ("ETag", '"b"'), ("Content-Length", "2")])
        conn.send(b"2")
        begun.set()
        conn.wait(go)
        conn.send(b"2")
    origin.handler = slow
    assert d.get("/api/x").body == b"1"
    assert begun.wait(10)
    for _ in range(3):
        assert d.get("/api/x").body == b"1"
    go.set()
    assert origin.count() == 2



@pytest.mark.parametrize("status, covered", [(429, True), (500, True), (502, True), (503, True), (504, True), (520, True),
                                             (501, False), (521, False), (404, False), (403, False)])
def test_stale_if_error_covers_what_is_no_answer(weir, origin, clock, status, covered):
    origin.script(answer(200, b"old", [("Cache-Control", "max-age=10")]), answer(status, b"error"))
    d = weir(stale_if_error="1d", retry=retry(attempts=1, on=(429, 500, 502, 503, 504, 520)))
    d.get("/api/x")
    d.wait_stored()
    clock.advance(MINUTE)
    r = d.get("/api/x")
    assert (r.status, r.body) == ((200, b"old") if covered else (status, b"error"))
    assert r.cache.fwd_status == status


@pytest.mark.parametrize("type_of_304, type_afterwards", [
    ("text/html", "application/json"), ("application/json; charset=utf-8", "application/json; charset=utf-8"),
])
def test_a_304_does_not_make_another_type_of_what_is_stored(weir, origin, clock, type_of_304, type_afterwards):
    origin.script(answer(200, b"{}", [("ETag", '"v"'), ("Cache-Control", "max-age=10"), ("Content-Type", "application/json")]),
                  answer(304, b"", [("ETag", '"v"'), ("Cache-Control", "max-age=100"), ("Content-Type", type_of_304)]))
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(MINUTE)
    assert d.get("/api/x").fields.get("Content-Type") == type_afterwards
    hit = until(lambda: (r := d.get("/api/x")).cache.hit and r, "a hit after the 304")
    assert (hit.fields.get("Content-Type"), hit.body) == (type_afterwards, b"{}")
