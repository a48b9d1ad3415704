"""Hits, what they say, what they survive; validation; whose they are (items 4 and 5, contract sections 3, 4 and 7)."""
import email.utils
import re
import threading
import time

import pytest

from harness.clock import DAY, HOUR, MINUTE
from harness.fields import member
from harness.origin import answer
from harness.settings import retry, upstream
from harness.wait import until

FRESH = [("Cache-Control", "max-age=3600")]


def numbered(fields=(), status=200):
    """Each answer's body is its number: a hit shows by the old one."""
    def handler(request, conn):
        conn.answer(status, b"%d" % (conn.origin.requests.index(request) + 1), fields)
    return handler


def validating(etag='"v1"', fields=(), body=b"body"):
    """304 to the right If-None-Match, else 200."""
    def handler(request, conn):
        if request.fields.get("If-None-Match") == etag:
            conn.answer(304, b"", [("ETag", etag), *fields])
        else:
            conn.answer(200, body, [("ETag", etag), *fields])
    return handler


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


# -- variants and partitions --------------------------------------------------------

def test_variants_live_side_by_side(weir, origin):
    def handler(request, conn):
        conn.answer(body=request.fields.get("Accept-Language", "none").encode(), fields=[("Vary", "Accept-Language"), *FRESH])
    origin.handler = handler
    d = weir()
    for language in ("en", "de"):
        d.get("/api/x", [("Accept-Language", language)])
    d.wait_stored(2)
    for language in ("en", "de"):
        hit = d.get("/api/x", [("Accept-Language", language)])
        assert hit.cache.hit and hit.text == language
    other = d.get("/api/x")
    assert other.text == "none" and other.cache.fwd == "vary-miss"
    assert origin.count() == 3


CREDENTIALS = {
    "authorization": ("/api/x", [("Authorization", "Bearer s3cret-%s")]), "cookie": ("/api/x", [("Cookie", "sid=s3cret-%s")]),
    "x_api_key": ("/api/x", [("X-Api-Key", "s3cret-%s")]), "private_token": ("/api/x", [("Private-Token", "s3cret-%s")]),
    "api_key_param": ("/api/x?a=1&api_key=s3cret-%s", []), "access_token_param": ("/api/x?access_token=s3cret-%s", []),
    "token_param": ("/api/x?token=s3cret-%s&b", []), "key_param": ("/api/x?key=s3cret-%s", []),
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_one_credential_never_sees_the_answer_of_another(weir, origin, name):
    origin.handler = numbered(FRESH)
    d = weir(ttl="1h")
    target, fields = CREDENTIALS[name]

    def ask(who):
        return d.get(target % who if "%s" in target else target, [(n, v % who) for n, v in fields])
    assert (ask("ann").body, ask("bob").body) == (b"1", b"2")
    d.wait_stored(2)
    for who, body in (("ann", b"1"), ("bob", b"2")):
        hit = ask(who)
        assert hit.cache.hit and hit.body == body
    assert d.get("/api/x").body == b"3"              # and nobody's is nobody else's


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_stand_nowhere(weir, origin, name):
    """Neither in the database, nor a log, nor what weirctl says, nor an error."""
    target, fields = CREDENTIALS[name]
    origin.handler = numbered(FRESH)
    d = weir(ttl="1h", settings={"log": {"level": "debug"}})
    target, fields = (target % "ann" if "%s" in target else target), [(n, v % "ann") for n, v in fields]
    d.get(target, fields)
    d.wait_stored()
    d.get(target, fields)
    assert any("s3cret-ann" in r.head.decode() for r in origin.requests)        # it did go upstream
    origin.handler = lambda request, conn: conn.close()
    error = d.get(target.replace("/x", "/y"), fields)
    d.access(3)
    said = d.ctl("status", "--json").stdout + d.ctl("limits", "--json").stdout
    assert error.status == 502 and b"s3cret-ann" not in error.body and "s3cret-ann" not in said
    d.stop()
    assert b"s3cret-ann" not in d.everything_written()


def test_shared_partition_is_one_for_all(weir, origin):
    origin.handler = numbered(FRESH + [("Vary", "Authorization")])
    d = weir(ttl="1h", partition="shared")
    d.get("/api/x", [("Authorization", "Bearer a")])
    d.wait_stored()
    assert d.get("/api/x", [("Authorization", "Bearer b")]).cache.hit
    assert d.get("/api/x").cache.hit and origin.count() == 1


def test_ignored_parameters_are_sent_but_not_part_of_the_key(weir, origin):
    origin.handler = numbered(FRESH)
    d = weir(ttl="1h", ignore_params=["utm"])
    d.get("/api/x?a=1&utm=first")
    assert origin.last.target == "/x?a=1&utm=first"
    d.wait_stored()
    assert d.get("/api/x?a=1&utm=second").cache.hit
    assert d.get("/api/x?a=2&utm=first").body == b"2"


def test_match_headers_are_part_of_the_key(weir, origin):
    origin.handler = numbered(FRESH)
    d = weir(ttl="1h", match_headers=["X-Region"])
    assert [d.get("/api/x", [("X-Region", r)]).body for r in ("eu", "us")] == [b"1", b"2"]
    d.wait_stored(2)
    assert d.get("/api/x", [("X-Region", "eu")]).body == b"1"


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


# Accept-Encoding as widely used clients send it; None: not at all.
SPELLINGS = ["gzip, deflate", "gzip, deflate, br", "gzip", "deflate, gzip, br, zstd", "br;q=1.0, gzip;q=0.8, *;q=0.1", "*"]


@pytest.mark.parametrize("vary", [[], [("Vary", "Accept-Encoding")]], ids=["unsaid", "vary"])
def test_one_stored_coding_does_for_every_client_that_takes_it(weir, origin, vary):
    def handler(request, conn):
        wish = request.fields.get("Accept-Encoding") or ""
        coded = "gzip" in wish or "*" in wish
        conn.answer(200, b"coded" if coded else b"plain", [*FRESH, *vary, *([("Content-Encoding", "gzip")] if coded else [])])
    origin.handler = handler
    d = weir()
    d.get("/api/x", [("Accept-Encoding", "gzip")])
    d.wait_stored()
    for spelling in SPELLINGS:
        hit = d.get("/api/x", [("Accept-Encoding", spelling)])
        assert hit.cache.hit and hit.body == b"coded", spelling
    assert origin.count() == 1
    for fields in [[], [("Accept-Encoding", "identity")], [("Accept-Encoding", "br")]]:
        plain = d.get("/api/x", fields)
        assert plain.body == b"plain" and "Content-Encoding" not in plain.fields, fields
        d.wait_stored(2)
    assert origin.count() == 2


def test_clients_with_other_spellings_share_a_miss(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.answer(200, b"coded", [*FRESH, ("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip")])
    origin.handler = handler
    d = weir()
    clients = [d.connect() for _ in SPELLINGS]
    for client, spelling in zip(clients, SPELLINGS):
        client.start("GET", "/api/x", [("Accept-Encoding", spelling)])
    until(lambda: d.counter("requests") == len(SPELLINGS), "all have asked")
    go.set()
    assert [client.read_response().body for client in clients] == [b"coded"] * len(SPELLINGS)
    assert origin.count() == 1
    for client in clients:
        client.close()


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
