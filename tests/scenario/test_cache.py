"""Hits, what they say, what they survive; what is not kept."""
import email.utils
import re
import threading
import time

import pytest

from harness.answers import FRESH, numbered
from harness.clock import DAY, MINUTE
from harness.fields import member
from harness.settings import upstream
from harness.wait import until


def http_date(offset):
    return email.utils.formatdate(time.time() + offset, usegmt=True)


def test_miss_then_hit_and_what_they_say(weir, origin):
    origin.handler = numbered(FRESH)
    d = weir()
    miss = d.get("/api/x")
    assert miss.cache.fwd == "uri-miss" and miss.cache.stored and not miss.cache.hit
    assert re.search(r"\b1\.1 \S*weir\b", miss.fields.joined("Via"))
    d.wait_stored()
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.cache.fwd is None and hit.body == b"1"
    assert 3570 <= hit.cache.ttl <= 3600
    assert int(hit.fields.get("Age")) <= 30 and len(hit.fields.all("Via")) == 1
    assert len(member(hit.fields.joined("Cache-Status"))) >= 1
    assert origin.count() == 1


def test_age_grows_with_time_and_ttl_shrinks(weir, origin, clock):
    origin.handler = numbered(FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(1000)
    hit = d.get("/api/x")
    assert hit.cache.hit and 1000 <= int(hit.fields.get("Age")) <= 1030 and 2570 <= hit.cache.ttl <= 2600
    clock.advance(2601)
    stale = d.get("/api/x")
    assert not stale.cache.hit and stale.cache.fwd == "stale" and stale.body == b"2"


def test_age_of_the_origin_counts(weir, origin, clock):
    origin.handler = numbered([("Cache-Control", "max-age=200"), ("Age", "100")])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(50)
    hit = d.get("/api/x")
    assert hit.cache.hit and 150 <= int(hit.fields.get("Age")) <= 180
    clock.advance(51)
    assert d.get("/api/x").body == b"2"


def test_expires_is_heard(weir, origin, clock):
    origin.handler = numbered([("Date", http_date(0)), ("Expires", http_date(600))])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(570)
    assert d.get("/api/x").body == b"1"
    clock.advance(31)
    assert d.get("/api/x").body == b"2"


@pytest.mark.parametrize("fields", [
    [], [("Cache-Control", "no-store")], [("Cache-Control", "max-age=0")], [("Expires", "0")],
    [("Cache-Control", "max-age=3600, no-store")], [("Cache-Control", "max-age=60"), ("Vary", "*")],
], ids=["nothing", "no_store", "max_age_0", "expires_0", "no_store_wins", "vary_star"])
def test_not_reused_without_asking(weir, origin, fields):
    origin.handler = numbered(fields)
    d = weir()
    assert [d.get("/api/x").body for _ in range(3)] == [b"1", b"2", b"3"]


def test_partial_and_error_answers_are_not_stored(weir, origin):
    origin.handler = numbered(FRESH, status=206)
    d = weir()
    assert [d.get("/api/x").body for _ in range(2)] == [b"1", b"2"]
    origin.handler = numbered([], status=500)
    assert [d.get("/api/y").body for _ in range(2)] == [b"3", b"4"]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_hits_survive_a_restart(weir, origin, clock, how):
    origin.handler = numbered(FRESH)
    d = weir()
    for i in range(20):
        d.get(f"/api/{i}")
    d.wait_stored(20)
    d.stop() if how == "stop" else d.kill()
    clock.advance(MINUTE)
    d.start()
    for i in range(20):
        hit = d.get(f"/api/{i}")
        assert hit.cache.hit and hit.body == b"%d" % (i + 1) and int(hit.fields.get("Age")) >= 60
    assert origin.count() == 20


def test_stop_right_after_a_miss_loses_nothing(weir, origin):
    origin.handler = numbered(FRESH)
    d = weir()
    d.get("/api/x")
    d.restart()
    assert d.get("/api/x").cache.hit and origin.count() == 1


def test_head_is_answered_from_a_stored_get(weir, origin):
    origin.reply(body=b"the body", fields=[("ETag", '"x"'), ("X-Own", "1"), *FRESH])
    d = weir()
    get = d.get("/api/x")
    d.wait_stored()
    with d.connect() as client:
        head = client.request("HEAD", "/api/x")
        assert head.cache.hit and head.fields.get("Content-Length") == "8"
        for name in ("ETag", "X-Own", "Cache-Control"):
            assert head.fields.get(name) == get.fields.get(name)
        assert client.get("/api/x").body == b"the body"
    assert origin.count() == 1


def test_head_does_not_pass_for_a_get(weir, origin):
    origin.reply(body=b"the body", fields=FRESH)
    d = weir()
    assert d.request("HEAD", "/api/x").status == 200
    assert origin.last.method == "HEAD"
    assert d.get("/api/x").body == b"the body"
    assert origin.last.method == "GET"


# -- what is not kept or given again -----------------------------------------------

def test_set_cookie_under_a_duration_is_stripped(weir, origin):
    origin.handler = numbered([("Set-Cookie", "sid=1")])
    d = weir(ttl="1h")
    assert d.get("/api/x").fields.get("Set-Cookie") == "sid=1; Path=/api"
    d.wait_stored()
    hit = d.get("/api/x")
    assert hit.cache.hit and "Set-Cookie" not in hit.fields


def test_set_cookie_under_origin_is_refused(weir, origin):
    origin.handler = numbered([("Set-Cookie", "sid=1"), *FRESH])
    d = weir()
    assert [d.get("/api/x").body for _ in range(2)] == [b"1", b"2"]


def test_rate_limit_fields_are_not_replayed(weir, origin):
    origin.handler = numbered([("X-RateLimit-Remaining", "77"), ("X-RateLimit-Limit", "100"), *FRESH])
    d = weir()
    assert d.get("/api/x").fields.get("X-RateLimit-Remaining") == "77"
    d.wait_stored()
    origin.handler = numbered([("X-RateLimit-Remaining", "33"), ("X-RateLimit-Limit", "100"), *FRESH])
    d.get("/api/y")
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.fields.get("X-RateLimit-Remaining") == "33"    # the newest that was heard
    assert hit.fields.get("X-RateLimit-Limit") == "100"
    origin.handler = numbered([("X-RateLimit-Remaining", "5"), *FRESH])
    d.get("/api/x", [("Authorization", "other")])
    assert d.get("/api/x").fields.get("X-RateLimit-Remaining") == "33"          # of this credential


def test_successful_write_drops_the_path(weir, origin):
    origin.handler = numbered(FRESH)
    d = weir(ttl="1h")
    for target in ("/api/x", "/api/x?page=2", "/api/other"):
        d.get(target)
    d.wait_stored(3)
    origin.reply(403)
    d.request("POST", "/api/x", body=b"refused")
    assert d.get("/api/x").cache.hit
    origin.handler = numbered(FRESH)
    assert d.request("POST", "/api/x", body=b"write").status == 200
    until(lambda: d.get("/api/x").body not in (b"1",), "the write to drop /x")
    assert d.get("/api/x?page=2").body != b"2" and d.get("/api/other").body == b"3"


def test_max_object_size(weir, origin):
    origin.reply(body=b"x" * 200000, fields=FRESH)
    d = weir(max_object_size="100KiB")
    for _ in range(2):
        response = d.get("/api/x")
        assert response.body == b"x" * 200000 and not response.cache.hit
    origin.reply(body=b"y" * 200000, fields=FRESH, chunked=True)
    for _ in range(2):
        assert d.get("/api/y").body == b"y" * 200000
    assert origin.count() == 4 and d.counter("stored") == 0


def test_cached_post_under_key_body(weir, origin):
    origin.handler = numbered()
    d = weir(rules=[{"match": "/query", "methods": ["POST"], "ttl": "10m", "key_body": True}])
    assert [d.request("POST", "/api/query", body=b).body for b in (b'{"a": 1}', b'{"a": 2}')] == [b"1", b"2"]
    d.wait_stored(2)
    hit = d.request("POST", "/api/query", body=b'{"a": 1}')
    assert hit.cache.hit and hit.body == b"1" and origin.count() == 2


def test_larger_than_the_cache_evicts_and_goes_on(weir, origin):
    """6 MiB through a cache of 2: everything is answered, the directory stays near its size."""
    origin.handler = lambda request, conn: conn.answer(body=request.target.encode() * 4000, fields=FRESH)
    d = weir(settings={"cache": {"max_size": "2MiB", "max_object_size": "1MiB"}})
    with d.connect() as client:
        for i in range(300):
            assert client.get(f"/api/{i:04d}").body == b"/%04d" % i * 4000
    d.wait_counter("evicted", 1)
    until(lambda: sum(f.stat().st_blocks * 512 for f in d.cache.rglob("*") if f.is_file()) < 3.5 * 1024 * 1024,
          "the cache to shrink")
    assert d.get("/api/0299").status == 200


def test_two_upstreams_keep_their_entries_apart(daemons, origins):
    one, two = origins(), origins()
    one.reply(body=b"one", fields=FRESH)
    two.reply(body=b"two", fields=FRESH)
    d = daemons(upstream(one, name="a"), upstream(two, name="b")).start()
    assert (d.get("/a/x").body, d.get("/b/x").body) == (b"one", b"two")
    d.wait_stored(2)
    assert (d.get("/a/x").body, d.get("/b/x").body) == (b"one", b"two")
    assert d.get("/a/x").cache.hit and d.get("/b/x").cache.hit


def test_another_client_library_hits_the_same_entry(weir, origin):
    """requests.Session beside raw sockets: what one fetched the other hits."""
    origin.handler = numbered(FRESH)
    d = weir()
    with d.session() as session:
        assert session.get(d.url + "/api/x", timeout=10).text == "1"
        d.wait_stored()
        response = session.get(d.url + "/api/x", timeout=10)
        assert response.text == "1" and "hit" in response.headers["Cache-Status"]
    assert d.get("/api/x").cache.hit


def test_forever_and_a_day(weir, origin, clock):
    origin.handler = numbered()
    d = weir(ttl="forever")
    d.get("/api/x")
    d.wait_stored()
    clock.advance(3650 * DAY)
    assert d.get("/api/x").cache.hit


# -- HEAD says something of the stored GET (RFC 9111 4.3.5) ------------------------

@pytest.mark.parametrize("length, hit", [("4", True), ("5", False)], ids=["same", "another_length"])
def test_head_freshens_or_outdates_what_is_stored(weir, origin, clock, length, hit):
    def handler(request, conn):
        if request.method == "HEAD":
            conn.head(200, [("Cache-Control", "max-age=600"), ("X-New", "1"), ("Content-Length", length)])
        else:
            conn.answer(200, b"body", [("Cache-Control", "max-age=60")])
    origin.handler = handler
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    assert d.request("HEAD", "/api/x").cache.fwd == "stale"
    r = d.get("/api/x")
    assert bool(r.cache.hit) == hit and r.body == b"body" and r.fields.get("X-New") == ("1" if hit else None)
    assert origin.count() == (2 if hit else 3)


# -- invalidation -------------------------------------------------------------------

def test_answer_from_before_a_write_is_neither_shared_nor_stored(weir, origin):
    """A slow GET is under way while a write succeeds: whoever asks behind the write gets what it made."""
    go = threading.Event()

    def handler(request, conn):
        if request.method == "PUT":
            return conn.answer(200, b"done")
        if conn.origin.requests.index(request) == 0:
            conn.wait(go)
            return conn.answer(200, b"before", FRESH)
        return conn.answer(200, b"after", FRESH)
    origin.handler = handler
    d = weir()
    with d.connect() as slow:
        slow.start("GET", "/api/x?page=1")
        origin.wait_requests(1)
        assert d.request("PUT", "/api/x", body=b"new").status == 200
        assert d.get("/api/x?page=1").body == b"after"
        go.set()
        assert slow.read_response().body == b"before"
    d.wait_stored()
    assert d.get("/api/x?page=1").body == b"after" and origin.count() == 3


@pytest.mark.parametrize("invalidate", ["path", "uri"])
def test_write_reaches_what_another_rule_stores_for_all(weir, origin, invalidate):
    origin.handler = numbered([("Cache-Control", "public, max-age=3600")])
    d = weir(invalidate=invalidate, match_headers=["Accept"], rules=[{"match": "/x", "partition": "shared"}])
    d.get("/api/x", [("Authorization", "a"), ("Accept", "text/plain")])
    d.wait_stored()
    assert d.get("/api/x", [("Authorization", "b"), ("Accept", "text/plain")]).cache.hit
    assert d.request("DELETE", "/api/x", [("Authorization", "b")]).status == 200
    assert not d.get("/api/x", [("Authorization", "a"), ("Accept", "text/plain")]).cache.hit
    d.wait_stored(2)
    assert d.request("PURGE", "/api/x", [("Authorization", "c")]).body == b'{"dropped": 1}\n'
