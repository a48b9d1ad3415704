"""Links in answers lead back through Weir, whichever way the request came (contract section 2)."""
import gzip
import json
import threading

import pytest

HOST = "api.example.test"
LINK = '<{0}/items?page=2>; rel="next", </items?page=9>; rel="last"'


def answer_with_links(origin, body=b"x", fields=(), **kwargs):
    origin.reply(200, body, [("Content-Location", origin.url + "/items/1"), ("Link", LINK.format(origin.url)),
                             ("Cache-Control", "max-age=60"), *fields], **kwargs)


@pytest.mark.parametrize("fetched", ["first", "stored"])
def test_fields_are_led_back_by_prefix(weir, origin, fetched):
    d = weir()
    answer_with_links(origin)
    response = d.get("/api/items")
    if fetched == "stored":
        d.wait_stored()
        response = d.get("/api/items")
        assert response.cache.hit
    assert response.fields.get("Content-Location") == f"{d.url}/api/items/1"
    assert response.fields.get("Link") == f'<{d.url}/api/items?page=2>; rel="next", </api/items?page=9>; rel="last"'


def test_redirect_is_followed_through_weir(weir, origin):
    d = weir()
    origin.reply(302, b"", [("Location", origin.url + "/there?x#y")])
    assert d.get("/api/here").fields.get("Location") == f"{d.url}/api/there?x#y"
    origin.reply(302, b"", [("Location", "https://elsewhere.example/there")])
    assert d.get("/api/here").fields.get("Location") == "https://elsewhere.example/there"


@pytest.mark.parametrize("target, host", [("/items", HOST), (f"http://{HOST}/items", "ignored.example.test")])
def test_http_mode_keeps_to_http(weir, origin, target, host):
    """A client that speaks http:// with Weir would leave it by an https:// link."""
    d = weir(aliases=[HOST])
    origin.reply(200, b"[]", [("Link", f"<https://{HOST}/items?page=2>; rel=next, </x>; rel=last"), ("Content-Location", origin.url + "/items"),
                              ("Cache-Control", "max-age=60")])
    response = d.get(target, [("Host", host)])
    assert response.fields.get("Link") == f"<http://{HOST}/items?page=2>; rel=next, </x>; rel=last"
    assert response.fields.get("Content-Location") == f"http://{HOST}/items"


def test_ways_share_what_is_stored_and_keep_their_links(weir, origin):
    d = weir(aliases=[HOST], rewrite_links=True)
    answer_with_links(origin, json.dumps({"next": origin.url + "/items?page=2"}).encode(), [("Content-Type", "application/json")])
    by_prefix = d.get("/api/items")
    d.wait_stored()
    by_host = d.get("/items", [("Host", HOST)])
    assert by_host.cache.hit and origin.count() == 1
    assert json.loads(by_prefix.body) == {"next": f"{d.url}/api/items?page=2"}
    assert json.loads(by_host.body) == {"next": f"http://{HOST}/items?page=2"}


def body_of(response):
    body = response.body
    return gzip.decompress(body) if response.fields.get("Content-Encoding") == "gzip" else body


@pytest.mark.parametrize("count", [1, 20_000], ids=["short", "long"])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_json_is_rewritten_fresh_and_stored(weir, origin, coding, count):
    """The long one is stored in a file, the short one in the record."""
    d = weir(rewrite_links=True)
    items = {"items": [f"{origin.url}/items/{n}" for n in range(count)], "other": "https://elsewhere.example/x"}
    body = json.dumps(items).encode()
    sent = gzip.compress(body, 1) if coding else body
    origin.reply(200, sent, [("Content-Type", "application/json"), ("Cache-Control", "max-age=60"), ("ETag", '"1"'), ("Accept-Ranges", "bytes"),
                             *([("Content-Encoding", coding)] if coding else [])])
    expected = json.loads(body.decode().replace(origin.url, d.url + "/api"))
    fields = [("Accept-Encoding", "br, gzip")] if coding else []
    for turn in range(2):
        response = d.get("/api/items", fields)
        assert response.complete and json.loads(body_of(response)) == expected
        assert response.fields.get("ETag") == '"1"' and "Accept-Ranges" not in response.fields
        assert bool(turn) == bool(response.cache.hit)
        d.wait_stored()
    assert origin.last.fields.get("Accept-Encoding") == ("gzip" if coding else None)
    assert d.get("/api/items", [*fields, ("If-None-Match", '"1"')]).status == 304
    head = d.request("HEAD", "/api/items", fields)
    assert head.status == 200 and head.length is None and origin.count() == 1


def test_json_is_rewritten_as_it_comes(weir, origin):
    """The client has the first line while the second is not yet sent, gzip or not."""
    go = threading.Event()

    def handler(request, conn):
        packer = gzip.zlib.compressobj(wbits=31)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n")
        conn.chunk(packer.compress(f'"{origin.url}/1"\n'.encode()) + packer.flush(gzip.zlib.Z_SYNC_FLUSH))
        conn.wait(go)
        conn.chunk(packer.compress(f'"{origin.url}/2"\n'.encode()) + packer.flush())
        conn.last_chunk()
    origin.handler = handler
    d = weir(rewrite_links=True)
    with d.connect() as client:
        client.start("GET", "/api/lines", [("Accept-Encoding", "gzip")])
        response = client.read_head()
        unpacker, text = gzip.zlib.decompressobj(wbits=31), b""
        for piece in client.pieces(response):
            text += unpacker.decompress(piece)
            if text.endswith(b"\n"):
                go.set()
        assert response.complete and text == f'"{d.url}/api/1"\n"{d.url}/api/2"\n'.encode()


def test_cut_body_looks_cut(weir, origin):
    def handler(request, conn):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[1, 2")
        conn.close()
    origin.handler = handler
    assert not weir(rewrite_links=True).get("/api/x").complete


def test_broken_gzip_looks_cut(weir, origin):
    origin.reply(200, gzip.compress(b"[" + b"1, " * 5000)[:-9], [("Content-Type", "application/json"), ("Content-Encoding", "gzip")])
    response = weir(rewrite_links=True).get("/api/x", [("Accept-Encoding", "gzip")])
    assert response.status == 200 and not response.complete


@pytest.mark.parametrize("settings, fields", [({}, [("Content-Type", "application/json")]), ({"rewrite_links": True}, [("Content-Type", "text/html")])],
                         ids=["not_asked_for", "no_json"])
def test_other_bodies_stay(weir, origin, settings, fields):
    body = json.dumps([origin.url + "/x"]).encode()
    origin.reply(200, body, fields)
    response = weir(**settings).get("/api/x")
    assert response.body == body and response.length == len(body)


def test_ranges_are_left_alone_where_bodies_change(weir, origin):
    d = weir(rewrite_links=True, ttl="1h")
    origin.reply(200, b'"0123456789"', [("Content-Type", "application/json")])
    for _ in range(2):
        assert d.get("/api/x", [("Range", "bytes=2-3")]).status == 200
        assert "Range" not in origin.last.fields
        d.wait_stored()


def test_set_headers_select_by_vary(weir, origin):
    """What Weir puts on a request is what Vary speaks of."""
    d = weir(user_agent="weir-tests/1", set_headers=["X-Tenant: one"])
    origin.reply(200, b"x", [("Vary", "User-Agent, X-Tenant"), ("Cache-Control", "max-age=60")])
    d.get("/api/x", [("User-Agent", "a")])
    d.wait_stored()
    assert d.get("/api/x", [("User-Agent", "b"), ("X-Tenant", "mine")]).cache.hit
    assert origin.last.fields.get("User-Agent") == "weir-tests/1" and origin.last.fields.get("X-Tenant") == "one"
