"""A credential that the API says again in a field: nowhere readable in what is kept, and there again for whose it is."""
import base64
import threading
import urllib.parse

import pytest

from harness.wait import until

TOKEN = "hush+hush/5ecret="
QUOTED = urllib.parse.quote(TOKEN, safe="")
QUOTED_LOW = QUOTED.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d")
BASIC = base64.b64encode(f"ann:{TOKEN}".encode()).decode()
FRESH = [("Cache-Control", "private, max-age=3600")]

BRINGS = {
    "bearer": ("/api/x", [("Authorization", f"Bearer {TOKEN}")]),
    "key": ("/api/x", [("X-Api-Key", TOKEN)]),
    "basic": ("/api/x", [("Authorization", f"Basic {BASIC}")]),
    "cookie": ("/api/x", [("Cookie", f"sid={TOKEN}; other=1")]),
    "parameter": (f"/api/x?api_key={QUOTED}", []),
}


def forms(text):
    """The ways in which a field may say it."""
    raw = text.encode()
    return {text, urllib.parse.quote(text, safe=""), QUOTED_LOW if text == TOKEN else text, urllib.parse.quote(text, safe="+"),
            base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=")}


def says_again(fields=()):
    said = sorted(forms(TOKEN))
    return [("Link", ", ".join(f"</x?page={n}&t={form}>; rel=r{n}" for n, form in enumerate(said))), ("Content-Location", f"/x?api_key={QUOTED}"),
            ("X-Debug", f"you are {TOKEN}!"), ("ETag", f'"{QUOTED}"'), *fields]


def secrets():
    return [form.encode() for form in forms(TOKEN) | {BASIC}]


def pairs(response):
    """Without what Weir adds or counts."""
    own = {"age", "cache-status", "via", "server-timing", "date", "content-length"}
    return [(n, v) for n, v in response.fields if n.lower() not in own]


@pytest.mark.parametrize("who", BRINGS)
def test_masked_in_what_is_stored_and_put_back(weir, origin, who):
    target, fields = BRINGS[who]
    origin.reply(body=b"x", fields=says_again(FRESH))
    d = weir()
    first = d.get(target, fields)
    d.wait_stored()
    second = d.get(target, fields)
    assert second.cache.hit and pairs(second) == pairs(first)
    assert d.get(target, [*fields, ("If-None-Match", f'"{QUOTED}"')]).status == 304
    # Asked whether it still holds, with the tag that the API gave.
    d.get(target, [*fields, ("Cache-Control", "no-cache")])
    assert origin.last.fields.get("If-None-Match") == f'"{QUOTED}"'
    d.restart()
    third = d.get(target, fields)
    assert third.cache.hit and pairs(third) == pairs(first)
    d.stop()
    written = d.everything_written()
    for secret in secrets():
        assert secret not in written, secret


def test_freshened_by_a_304(weir, origin):
    def handler(request, conn):
        if request.fields.get("If-None-Match"):
            return conn.answer(304, b"", says_again([("Cache-Control", "private, max-age=3600"), ("X-New", TOKEN)]))
        return conn.answer(200, b"x", says_again([("Cache-Control", "private, max-age=0")]))
    origin.handler = handler
    d = weir()
    target, fields = BRINGS["bearer"]
    d.get(target, fields)
    d.wait_stored()
    assert d.get(target, fields).fields.get("X-New") == TOKEN
    until(lambda: d.get(target, fields).cache.hit, "the freshened record")
    hit = d.get(target, fields)
    assert hit.fields.get("X-New") == TOKEN and QUOTED in hit.fields.get("Content-Location")
    d.stop()
    assert not [s for s in secrets() if s in d.everything_written()]


@pytest.mark.parametrize("together", [False, True], ids=["stored", "on_its_way"])
def test_others_find_their_own_or_none(weir, origin, together):
    """Under a shared partition the answer is everybody's: the credential in its link is not."""
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.answer(200, b"x", [("Cache-Control", "public, max-age=3600"), ("Link", f"</x?page=2&t={QUOTED}>; rel=next"), ("X-Debug", TOKEN)])
    origin.handler = handler
    d = weir(partition="shared")
    mine, theirs = ("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer of+another")
    with d.connect() as first, d.connect() as second, d.connect() as third:
        first.start("GET", "/api/x", [mine])
        origin.wait_requests(1)
        if not together:
            go.set()
            assert first.read_response().fields.get("X-Debug") == TOKEN
            d.wait_stored()
        second.start("GET", "/api/x", [theirs])
        third.start("GET", "/api/x")
        if together:
            until(lambda: d.counter("requests") >= 3, "three requests")
            go.set()
            assert first.read_response().fields.get("X-Debug") == TOKEN
        response = second.read_response()
        assert (response.fields.get("X-Debug"), response.fields.get("Link")) == ("of+another", "</api/x?page=2&t=of%2Banother>; rel=next")
        response = third.read_response()
        assert (response.fields.get("X-Debug"), response.fields.get("Link")) == ("***", "</api/x?page=2&t=***>; rel=next")
    assert origin.count() == 1


def test_tokens_of_one_principal_keep_apart(weir, origin, tmp_path):
    (tmp_path / "one").write_text("token-number-one")
    (tmp_path / "two").write_text("token-number-two")
    d = weir(identities=[{"name": "team", "value_files": [str(tmp_path / "one"), str(tmp_path / "two")]}])
    origin.reply(body=b"x", fields=[*FRESH, ("Link", "</x?t=token-number-one>")])
    assert d.get("/api/x", [("Authorization", "Bearer token-number-one")]).fields.get("Link") == "</api/x?t=token-number-one>"
    d.wait_stored()
    assert d.get("/api/x", [("Authorization", "Bearer token-number-two")]).fields.get("Link") == "</api/x?t=token-number-two>"


@pytest.mark.parametrize("auth", [{"header": "Authorization"}, {"param": "api_key"}], ids=["header", "param"])
def test_what_weir_adds_is_said_to_nobody(weir, origin, tmp_path, auth):
    value = TOKEN if "param" in auth else f"Bearer {TOKEN}"
    (tmp_path / "secret").write_text(value + "\n")
    origin.reply(body=b"x", fields=says_again(FRESH))
    d = weir(auth={**auth, "value_file": str(tmp_path / "secret")})
    for _ in range(2):
        response = d.get("/api/x")
        assert not [form for form in forms(TOKEN) for _, text in response.fields if form in text]
        d.wait_stored()
    d.stop()
    assert not [s for s in secrets() if s in d.everything_written()]


def test_api_cannot_make_a_mark(weir, origin):
    """A NUL in a field is not taken over: nothing that an API writes is taken for a place of a credential."""
    def handler(request, conn):
        conn.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nLocation: http://evil.example/\0ha0Authorization\0\0\r\nContent-Length: 1\r\n\r\nx")
    origin.handler = handler
    d = weir(partition="shared")
    for _ in range(2):
        response = d.get("/api/x", [("Authorization", "Bearer hush-hush")])
        assert "hush" not in str(response.fields.pairs)


def test_behind_a_hundred_cookies(weir, origin):
    origin.reply(body=b"x", fields=[("Link", f"</x?k={TOKEN}>; rel=next"), *FRESH])
    d = weir()
    mine = [("Cookie", "; ".join(f"cookie{n}=value-{n}" for n in range(100))), ("X-Api-Key", TOKEN)]
    first = d.get("/api/x", mine)
    d.wait_stored()
    second = d.get("/api/x", mine)
    assert second.cache.hit and pairs(second) == pairs(first)
    d.stop()
    assert TOKEN.encode() not in d.everything_written()


def test_two_cookies_of_one_name(weir, origin):
    origin.reply(body=b"x", fields=[("X-First", "first-secret"), ("X-Second", "second-secret"), *FRESH])
    d = weir()
    mine = [("Cookie", "sid=first-secret; sid=second-secret")]
    first = d.get("/api/x", mine)
    d.wait_stored()
    second = d.get("/api/x", mine)
    assert second.cache.hit and pairs(second) == pairs(first)
