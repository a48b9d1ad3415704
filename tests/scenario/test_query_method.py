"""QUERY (RFC 10008): a safe method, whose content is part of the key."""
import threading

import pytest

from harness.origin import answer
from harness.settings import retry

FRESH = [("Cache-Control", "max-age=3600")]
JSON = [("Content-Type", "application/json")]
TEXT = [("Content-Type", "text/plain")]


def echo(request, conn):
    conn.answer(body=request.method.encode() + b" " + request.body, fields=FRESH + [("Accept-Query", '"text/plain"')])


def query(d, body, fields=TEXT, target="/api/search", **kwargs):
    return d.request("QUERY", target, fields, body=body, **kwargs)


def test_a_query_is_cached_by_its_content(weir, origin):
    origin.handler = echo
    d = weir()
    first = query(d, b"one")
    assert first.body == b"QUERY one" and first.fields.get("Accept-Query") == '"text/plain"'
    assert origin.last.fields.get("Content-Type") == "text/plain"
    assert query(d, b"one").cache.hit
    two = query(d, b"two")
    assert not two.cache.hit and two.body == b"QUERY two"
    assert not query(d, b"one", [("Content-Type", "text/csv")]).cache.hit
    assert not d.get("/api/search").cache.hit
    assert d.get("/api/search").body == b"GET "
    assert query(d, b'{"a": 1, "b": 2}', JSON).body == b'QUERY {"a": 1, "b": 2}'
    assert query(d, b'{"b":2,"a":1}', JSON).cache.hit       # another spelling of the same
    assert not query(d, b'{"b":2,"a":1}', JSON + [("Cache-Control", "no-transform")]).cache.hit


def test_rules_hold_for_it(weir, origin):
    origin.reply(body=b"x")
    d = weir(rules=[{"match": "/search", "ttl": "1h"}, {"match": "/never", "ttl": "never"},
                    {"match": "/get", "methods": ["GET"], "ttl": "1h"}])
    query(d, b"a")
    assert query(d, b"a").cache.hit
    for target in "/api/never", "/api/get":
        query(d, b"a", target=target)
        assert not query(d, b"a", target=target).cache.hit


def test_it_is_repeated_as_a_safe_method_is(weir, origin):
    origin.script(answer(503), answer(body=b"done", fields=FRESH))
    d = weir(retry=retry(2))
    assert query(d, b"one").body == b"done"
    assert [r.body for r in origin.requests] == [b"one", b"one"]


def test_equal_ones_share_a_request(weir, origin):
    go = threading.Event()

    def handle(request, conn):
        go.wait(20)
        echo(request, conn)
    origin.handler = handle
    d = weir()
    bodies = [b"one", b"one", b"two"]
    clients = [d.connect(timeout=20) for _ in bodies]
    for client, body in zip(clients, bodies):
        client.start("QUERY", "/api/search", TEXT, body=body)
        d.wait_counter("requests", clients.index(client) + 1)
    origin.wait_requests(2)
    go.set()
    assert [client.read_response().body for client in clients] == [b"QUERY " + body for body in bodies]
    assert origin.count() == 2
    for client in clients:
        client.close()


def test_it_invalidates_nothing(weir, origin):
    origin.handler = lambda r, c: c.answer(body=b"x", fields=FRESH + [
        ("Cache-Groups", '"g"'), ("Cache-Group-Invalidation", '"g"'), ("Location", "/search"), ("Content-Location", "/search")])
    d = weir()
    d.get("/api/search")
    query(d, b"one")
    assert d.get("/api/search").cache.hit and query(d, b"one").cache.hit


def test_a_write_to_its_path_invalidates_it(weir, origin):
    origin.handler = echo
    d = weir()
    query(d, b"one")
    d.request("POST", "/api/search", body=b"write")
    assert not query(d, b"one").cache.hit


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_pass(weir, origin, status):
    origin.handler = lambda r, c: c.answer(status, fields=[("Location", origin.url + "/there?q=1")])
    d = weir()
    said = query(d, b"one")
    assert (said.status, said.fields.get("Location")) == (status, d.url + "/api/there?q=1")


def test_location_of_its_result_leads_back(weir, origin):
    origin.handler = lambda r, c: c.answer(body=b"x", fields=FRESH + [("Location", "/q/1"), ("Content-Location", "/r/1")])
    said = query(weir(), b"one")
    assert (said.fields.get("Location"), said.fields.get("Content-Location")) == ("/api/q/1", "/api/r/1")


def test_conditions(weir, origin, clock):
    def handle(request, conn):
        if request.fields.get("If-None-Match") == '"e"':
            conn.answer(304, fields=[("Cache-Control", "max-age=60"), ("ETag", '"e"')])
        else:
            conn.answer(body=b"x", fields=[("Cache-Control", "max-age=60"), ("ETag", '"e"')])
    origin.handler = handle
    d = weir()
    query(d, b"one")
    assert query(d, b"one", TEXT + [("If-None-Match", '"e"')]).status == 304
    assert origin.count() == 1
    clock.advance(61)
    assert query(d, b"one").body == b"x"                     # asked with the stored tag, content and all
    assert origin.count() == 2 and origin.last.body == b"one" and origin.last.fields.get("If-None-Match") == '"e"'
    assert query(d, b"one").cache.hit


def test_a_part_is_nobody_elses(weir, origin):
    origin.handler = lambda r, c: (c.answer(206, body=b"he", fields=FRESH + [("Content-Range", "bytes 0-1/5"), ("ETag", '"e"')])
                                   if r.fields.get("Range") else c.answer(body=b"hello", fields=FRESH + [("ETag", '"e"')]))
    d = weir()
    assert query(d, b"one", TEXT + [("Range", "bytes=0-1")]).status == 206
    assert query(d, b"one").body == b"hello"
    assert query(d, b"one").cache.hit


def test_without_content_it_is_passed_on(weir, origin):
    origin.reply(400, body=b"no type", fields=FRESH)
    d = weir()
    for _ in range(2):
        assert d.request("QUERY", "/api/search").status == 400
    assert origin.count() == 2


def test_a_page_of_another_site_may_not(weir, origin):
    d = weir(allow_origins=["https://good.example"])
    assert query(d, b"x", TEXT + [("Origin", "https://evil.example")]).status == 403
    assert origin.count() == 0
    preflight = d.request("OPTIONS", "/api/search", [("Origin", "https://good.example"), ("Access-Control-Request-Method", "QUERY"),
                                                     ("Access-Control-Request-Headers", "content-type")])
    assert preflight.status == 204 and preflight.fields.get("Access-Control-Allow-Methods") == "QUERY"
    origin.reply(body=b"x")
    assert query(d, b"x", TEXT + [("Origin", "https://good.example")]).fields.get("Access-Control-Allow-Origin") == "https://good.example"
