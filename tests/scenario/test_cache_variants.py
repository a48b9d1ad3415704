"""Variants, partitions, and codings that do for others."""
import threading

import pytest

from harness.answers import FRESH, numbered
from harness.settings import upstream
from harness.wait import until


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
