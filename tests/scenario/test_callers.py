"""Who the caller is: rotating cookies, signed requests, and what Connection names (contract: whose it is)."""
import os

import pytest

FRESH = [("Cache-Control", "max-age=3600")]
NEVER_WAIT = {"queue": {"max_wait": "0s"}}


def oauth(n, key="consumer", token="user"):
    return [("Authorization", f'OAuth oauth_consumer_key="{key}", oauth_token="{token}", oauth_nonce="n{n}", oauth_timestamp="17{n:08}", '
                              f'oauth_signature_method="HMAC-SHA1", oauth_signature="s{n}%3D"')]


def aws4(n, key="AKIDEXAMPLE"):
    return [("X-Amz-Date", f"20250101T0000{n:02}Z"),
            ("Authorization", f"AWS4-HMAC-SHA256 Credential={key}/20250101/eu-west-1/execute-api/aws4_request, "
                              f"SignedHeaders=host;x-amz-date, Signature={n:064x}")]


def digest(n, key="ann"):
    return [("Authorization", f'Digest username="{key}", realm="api", nonce="x", uri="/v1", qop=auth, nc={n:08x}, cnonce="c{n}", response="{n:032x}"')]


def hawk(n, key="ann"):
    return [("Authorization", f'Hawk id="{key}", ts="17{n:08}", nonce="n{n}", mac="m{n}="')]


def message(n, key="ann"):
    return [("Signature-Input", f'sig=("@method" "@path");created=17{n:08};keyid="{key}"'), ("Signature", f"sig=:{n:08x}:")]


def rotating(n, key="session"):
    return [("Cookie", f"sid={key}; AWSALB=lb{n}; AWSALBCORS=lb{n}; __cf_bm=b{n}; _ga=GA1.{n}")]


def key_and_jar(n, key="app"):
    return [("X-Api-Key", key), ("Cookie", f"AWSALB=lb{n}; csrf={n}")]


WAYS = {f.__name__: f for f in (oauth, aws4, digest, hawk, message, rotating, key_and_jar)}


@pytest.mark.parametrize("way", WAYS)
def test_three_a_minute_are_three(weir, origin, way):
    """Each request differs in its bytes; who asks is the same."""
    d = weir(limits=[{"rate": "3/min", "per": "credential"}], **NEVER_WAIT)
    said = [d.get(f"/api/{n}", WAYS[way](n)).status for n in range(10)]
    assert said == [200] * 3 + [429] * 7 and origin.count() == 3
    assert d.get("/api/other", WAYS[way](11, key="another")).status == 200
    assert d.get("/api/none").status == 200


@pytest.mark.parametrize("way", [w for w in WAYS if w != "key_and_jar"])
@pytest.mark.parametrize("vary", [[], [("Vary", "Authorization, Cookie, Signature, Signature-Input")]], ids=["plain", "vary"])
def test_asked_again_it_is_a_hit(weir, origin, way, vary):
    d = weir()
    origin.reply(body=b"mine", fields=[("Cache-Control", "private, max-age=3600"), *vary])
    d.get("/api/x", WAYS[way](1))
    d.wait_stored()
    assert d.get("/api/x", WAYS[way](2)).cache.hit and origin.count() == 1
    assert not d.get("/api/x", WAYS[way](3, key="another")).cache.hit
    assert not d.get("/api/x").cache.hit and origin.count() == 3


def test_signed_fields_reach_the_api_as_they_are(weir, origin):
    d = weir()
    for way in (oauth, aws4, digest, hawk, message, rotating):
        d.get(f"/api/{way.__name__}", way(5))
        for name, value in way(5):
            assert origin.last.fields.get(name) == value


@pytest.mark.parametrize("first, second, other", [
    ("q=1&oauth_consumer_key=c&oauth_token=t&oauth_nonce=1&oauth_timestamp=1&oauth_signature_method=HMAC-SHA1&oauth_signature=a%3D",
     "oauth_consumer_key=c&q=1&oauth_token=t&oauth_nonce=2&oauth_timestamp=2&oauth_signature_method=HMAC-SHA1&oauth_signature=b%3D",
     "q=1&oauth_consumer_key=c&oauth_token=u&oauth_nonce=3&oauth_timestamp=3&oauth_signature_method=HMAC-SHA1&oauth_signature=c%3D"),
    ("q=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20250101%2Fs3&X-Amz-Date=1&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=aa",
     "q=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID/20250102/s3&X-Amz-Date=2&X-Amz-Expires=90&X-Amz-SignedHeaders=host&X-Amz-Signature=bb",
     "q=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIE%2F20250101%2Fs3&X-Amz-Date=1&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=cc"),
], ids=["oauth", "presigned"])
def test_signature_in_the_query(weir, origin, first, second, other):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(bust_param={"name": "v", "every": "1m"}, limits=[{"rate": "3/min", "per": "credential"}], **NEVER_WAIT)
    d.get("/api/x?" + first)
    assert origin.last.target == "/x?" + first
    d.wait_stored()
    assert d.get("/api/x?" + second).cache.hit and origin.count() == 1
    assert d.get("/api/x?" + second, [("Cache-Control", "no-cache")]).status == 200
    assert origin.last.target == "/x?" + second, "a signature covers the query: nothing is added to it"
    assert not d.get("/api/x?" + other).cache.hit
    assert d.get("/api/y?" + first).status == 200
    assert d.get("/api/z?" + second).status == 429
    assert d.get("/api/z?" + other).status == 200
    d.stop()
    written = d.everything_written()
    for secret in (b"Signature=aa", b"Signature=bb", b"oauth_signature=a", b"oauth_token=t"):
        assert secret not in written


def test_signature_of_whom_nobody_knows_keeps_nothing(weir, origin):
    """A scheme that names nobody: no identity, no record, and no flight in common."""
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    for n in range(2):
        response = d.get("/api/x", [("Authorization", "Negotiate YIIJ" + "A" * 20)])
        assert response.status == 200 and response.cache["fwd"] == "bypass"
        assert response.cache["detail"] == "signer-unknown"
    assert origin.count() == 2 and d.counter("stored") == 0


def test_false_signature_is_answered_alone(weir, origin):
    """The API refuses one signature: the next one is asked for, and no rule keeps the refusal."""
    origin.handler = lambda request, conn: conn.answer(403 if "s1%3D" in request.fields.get("Authorization") else 200, b"x", FRESH)
    d = weir(rules=[{"match": "/**", "ttl": "1h", "status": ["403 1h"]}])
    assert d.get("/api/x", oauth(1)).status == 403
    assert d.get("/api/x", oauth(2)).status == 200
    d.wait_stored()
    assert d.get("/api/x", oauth(1)).cache.hit


def test_answer_that_sets_only_the_load_balancers_cookie_is_stored(weir, origin):
    d = weir()
    origin.reply(body=b"x", fields=[*FRESH, ("Set-Cookie", "AWSALB=1; Path=/"), ("Set-Cookie", "__cf_bm=2; Path=/; HttpOnly")])
    first = d.get("/api/x")
    assert len(first.fields.all("Set-Cookie")) == 2
    d.wait_stored()
    second = d.get("/api/x", [("Cookie", "AWSALB=1; __cf_bm=2")])
    assert second.cache.hit and "Set-Cookie" not in second.fields
    origin.reply(body=b"x", fields=[*FRESH, ("Set-Cookie", "AWSALB=1"), ("Set-Cookie", "sid=2")])
    d.get("/api/y")
    assert d.get("/api/y").cache["detail"] == "set-cookie"


def test_own_list_of_cookies(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(ignore_cookies=["lb_*"])
    d.get("/api/x", [("Cookie", "lb_1=a")])
    d.wait_stored()
    assert d.get("/api/x", [("Cookie", "lb_2=b")]).cache.hit
    assert not d.get("/api/x", [("Cookie", "AWSALB=b")]).cache.hit


# -- what Connection names ---------------------------------------------------------

NAMED = [("Connection", "keep-alive, X-Trace, authorization, Cookie"), ("Cookie", "sid=1")]


@pytest.mark.parametrize("settings", [{}, {"match_headers": ["X-Trace"]}, {"partition": "shared"}], ids=["plain", "match_headers", "shared"])
def test_named_fields_are_part_of_nothing(weir, origin, settings):
    origin.reply(body=b"x", fields=[*FRESH, ("Vary", "X-Trace")])
    d = weir(limits=[{"rate": "1/min", "per": "credential"}], **NEVER_WAIT, **settings)
    d.get("/api/x", [*NAMED, ("X-Trace", "1"), ("Authorization", "Bearer one")])
    assert not {"X-Trace", "Authorization", "Cookie", "Connection"} & {n for n, _ in origin.last.fields.pairs}
    d.wait_stored()
    assert d.get("/api/x", [*NAMED, ("X-Trace", "2"), ("Authorization", "Bearer two")]).cache.hit
    assert d.get("/api/x").cache.hit and origin.count() == 1
    assert d.get("/api/y", [*NAMED, ("Authorization", "Bearer three")]).status == 429, "the anonymous account is used up"


def test_named_fields_do_not_take_away_what_weir_sets(weir, origin, tmp_path):
    (tmp_path / "secret").write_text("Bearer of-weir\n")
    d = weir(set_headers=["X-Tenant: one"], user_agent="weir-tests/1", auth={"header": "Authorization", "value_file": str(tmp_path / "secret")})
    d.get("/api/x", [("Connection", "X-Tenant, User-Agent, Authorization"), ("X-Tenant", "mine"), ("Authorization", "Bearer mine")])
    got = origin.last.fields
    assert (got.get("X-Tenant"), got.get("User-Agent"), got.get("Authorization")) == ("one", "weir-tests/1", "Bearer of-weir")


def test_what_speaks_to_weir_may_be_named(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    assert d.get("/api/x", [("Connection", "Weir-Refresh, close"), ("Weir-Refresh", "hard")]).cache["fwd"] == "request"
    assert d.get("/api/y", [("Connection", "cache-control"), ("Cache-Control", "no-store")]).status == 200
    assert "Cache-Control" not in origin.last.fields


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_signature_of_another_user_of_the_machine(weir, origin):
    """Anybody can write an identity down: what is kept under it is for the same uid."""
    origin.reply(body=b"x", fields=[("Cache-Control", "private, max-age=3600")])
    d = weir(limits=[{"rate": "1/h", "per": "credential"}], **NEVER_WAIT)
    d.get("/api/x", oauth(1))
    d.wait_stored()
    assert d.get("/api/x", oauth(2)).cache.hit
    os.seteuid(65534)                     # a socket is its maker's
    try:
        client = d.connect()
    finally:
        os.seteuid(0)
    with client:
        response = client.get("/api/x", oauth(1))
        assert response.status == 200 and not response.cache.hit
        assert client.get("/api/y", oauth(1)).status == 429


@pytest.mark.parametrize("between", [", ", ",", " "])
def test_a_cookie_behind_a_comma_or_a_space_is_one(weir, origin, between):
    """Some servers read it so: it may say who asks."""
    def handler(request, conn):
        conn.answer(200, request.fields.get("Cookie").encode(), FRESH)
    origin.handler = handler
    d = weir()
    d.get("/api/x", [("Cookie", f"AWSALB=1{between}sid=ann")])
    d.wait_stored()
    assert d.get("/api/x", [("Cookie", f"AWSALB=2{between}sid=bob")]).body == f"AWSALB=2{between}sid=bob".encode()
