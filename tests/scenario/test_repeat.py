"""Hits whose reply was kept ready: they end with whatever they depend on (engine/repeat.h)."""
import pytest

from harness.client import Client
from harness.clock import HOUR
from harness.origin import answer
from harness.settings import upstream
from harness.wait import slowness, until

pytestmark = pytest.mark.mhd_trick("KEPT", "no reply is kept ready")

FRESH = [("Cache-Control", "max-age=3600"), ("ETag", '"v"')]


def numbered(request, conn):
    """Each answer's body is its number: a hit shows by the old one."""
    conn.answer(200, b"%d" % (conn.origin.requests.index(request) + 1), FRESH)


def hammer(d, client, target="/api/x", fields=()):
    """The same head until an answer was one that was ready; returns that."""
    def once():
        before = d.counter("hits_repeated")
        found = [client.request("GET", target, fields) for _ in range(8)][-1]
        return found if d.counter("hits_repeated") > before else None
    return until(once, "a reply that was ready")


@pytest.fixture
def hot(weir, origin):
    origin.handler = numbered
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as client:
        yield d, client


def test_it_says_what_any_hit_says_and_is_counted_and_logged(hot, origin):
    d, client = hot
    whole = client.get("/api/x")
    ready = hammer(d, client)
    assert ready.body == whole.body == b"1" and ready.cache.hit and ready.status == 200
    assert [name for name, _ in ready.fields] == [name for name, _ in whole.fields]
    asked = d.counter("requests")
    assert d.counter("hits") == asked - 1 and origin.count() == 1
    lines = d.access(asked)
    assert len({line["id"] for line in lines}) == asked
    assert {(line["cache"], line["target"], line["bytes"]) for line in lines[1:]} == {("hit", "/api/x", 1)}


def test_age_and_ttl_go_on(hot, clock):
    d, client = hot
    hammer(d, client)
    clock.advance(10)
    hit = client.get("/api/x")
    assert 10 <= int(hit.fields.get("Age")) <= 40 and hit.cache.ttl <= 3590
    hammer(d, client)
    clock.advance(HOUR)
    assert client.get("/api/x").body == b"2"


@pytest.mark.parametrize("seconds", [1, 8, 90, 900, 3000])
def test_it_says_the_time_that_any_hit_says(hot, clock, seconds):
    d, client = hot
    hammer(d, client)
    clock.advance(seconds)
    ready, plain = hammer(d, client), client.get("/api/x", [("X-Other", "head")])
    assert ready.cache.hit and ready.cache.ttl + int(ready.fields.get("Age")) in (3599, 3600)
    assert 0 <= int(plain.fields.get("Age")) - int(ready.fields.get("Age")) <= 1 * slowness
    assert 0 <= ready.cache.ttl - plain.cache.ttl <= 1 * slowness
    assert int(ready.fields.get("Age")) >= seconds


def test_it_outlives_the_second(hot, clock):
    """Its numbers are written anew where they stand, for as long as they have as many digits."""
    d, client = hot
    clock.advance(20)
    hammer(d, client)
    for _ in range(5):
        clock.advance(5)
        before = d.counter("hits_repeated")
        hit = client.get("/api/x")
        assert d.counter("hits_repeated") == before + 1, hit
        assert hit.cache.ttl + int(hit.fields.get("Age")) in (3599, 3600)


def test_for_ever_is_kept_too(weir, origin, clock):
    origin.handler = numbered
    d = weir(ttl="forever")
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as client:
        clock.advance(20)
        hammer(d, client)
        clock.advance(5)
        before = d.counter("hits_repeated")
        hit = client.get("/api/x")
        assert d.counter("hits_repeated") == before + 1
        assert hit.cache.hit and hit.cache.ttl is None and 25 <= int(hit.fields.get("Age")) <= 60


def test_a_purge_ends_it(hot):
    d, client = hot
    hammer(d, client)
    d.ctl("purge", "/api/x")
    assert client.get("/api/x").body == b"2"


def test_a_flush_ends_it(hot):
    d, client = hot
    hammer(d, client)
    d.ctl("flush")
    assert client.get("/api/x").body == b"2"


def test_a_write_ends_it(hot):
    d, client = hot
    hammer(d, client)
    assert client.request("POST", "/api/x", body=b"new").status == 200
    assert client.get("/api/x").body == b"3"


def test_a_changed_rule_ends_it(hot, origin):
    d, client = hot
    hammer(d, client)
    d.write([upstream(origin, ttl="never")])
    d.ctl("reload")
    assert client.get("/api/x").body == b"2"


def test_another_head_is_another_request(hot):
    d, client = hot
    hammer(d, client)
    assert client.request("GET", "/api/x", [("If-None-Match", '"v"')]).status == 304
    assert client.request("GET", "/api/x", [("Cache-Control", "no-cache")]).body == b"2"
    assert client.request("HEAD", "/api/x").body == b""
    assert client.request("GET", "/api/x", [("Authorization", "Bearer other")]).body == b"3"


def test_not_modified_is_kept_too(hot):
    d, client = hot
    ready = hammer(d, client, fields=[("If-None-Match", '"v"')])
    assert ready.status == 304 and ready.body == b""
    assert client.get("/api/x").body == b"1"


def test_parts_and_files_are_kept(weir, origin):
    body = bytes(range(256)) * 1024
    origin.handler = answer(200, body, FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as client:
        assert hammer(d, client).body == body
        part = hammer(d, client, fields=[("Range", "bytes=1000-200999")])
        assert part.status == 206 and part.body == body[1000:201000]
        assert client.get("/api/x").body == body
    before = d.descriptors()
    d.ctl("flush")                                   # what held the file's descriptor goes within a second
    until(lambda: d.descriptors() < before, "the descriptor is closed")


def test_what_counts_from_the_request_is_decided_each_time(hot, clock):
    d, client = hot
    clock.advance(5)
    for _ in range(20):
        assert client.request("GET", "/api/x", [("Cache-Control", "max-age=1000")]).body == b"1"
    assert d.counter("hits_repeated") == 0


def test_repeated_reply_carries_the_newest_word_on_the_limits(weir, origin):
    origin.handler = lambda request, conn: conn.answer(
        200, b"x", [("Cache-Control", "max-age=3600"), ("X-RateLimit-Remaining", str(100 - conn.origin.requests.index(request)))])
    d = weir()
    with d.connect() as client:
        client.get("/api/x")
        d.wait_stored()
        for _ in range(20):
            assert client.get("/api/x").fields.get("X-RateLimit-Remaining") == "100"
        client.get("/api/y")
        assert client.get("/api/x").fields.get("X-RateLimit-Remaining") == "99"


def test_who_may_not_use_the_upstream_gets_none(daemons, origin, place):
    """The same head from a client that `access` does not list, at the same worker."""
    path = str(place / "weir.sock")
    origin.handler = numbered
    d = daemons(upstream(origin, access=["127.0.0.0/8"]),
                settings={"listen": ["127.0.0.1:0", "unix:" + path], "workers": 1}).start()
    host = [("Host", "localhost")]
    d.get("/api/x", host)
    d.wait_stored()
    with d.connect() as listed:
        for _ in range(5):
            assert {listed.get("/api/x", host).status for _ in range(5)} == {200}
            with Client(path) as other:
                assert other.get("/api/x", host).status == 403
