"""etc/weir.conf as it is shipped, against origins that answer as those APIs do."""
import json
import pathlib
import re
import threading
import time

import pytest

from harness.client import Client
from harness.origin import answer
from harness.wait import seconds

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "etc" / "weir.conf"
JSON = ("Content-Type", "application/json; charset=utf-8")
TOKEN = [("Authorization", "token one")]


def shipped(daemons, origin, *switched_on):
    """A daemon with the shipped file, its APIs led to the origin; `switched_on`: settings shown there as remarks."""
    text = SHIPPED.read_text()
    for name in switched_on:
        text, count = re.subn(rf"^#({name} = .*;)$", r"\1", text, flags=re.M)
        assert count == 1, name
    text, count = re.subn(r'^(    url +=) "https://[^/"]+', rf'\1 "{origin.url}', text, flags=re.M)
    assert count >= 6
    # One address is six APIs here: each keeps to its prefix.
    text = re.sub(r'^(    url +=.*)$', lambda m: m.group(1) + f'\n    hosts = ( "h{m.start()}.test" );', text, flags=re.M)
    d = daemons()
    d.write((), 'listen = ( "127.0.0.1:0" );\nadmin = { socket = "%s"; };\ncache = { path = "%s"; };\nstate = { path = "%s"; };\n'
                'log = { access = "%s"; };\n' % (d.admin_path, d.cache, d.state, d.access_file) + text)
    return d.start()


def kept(d, origin, target, fields=(), then=None):
    """Asked once, served twice; the hit."""
    before = origin.count()
    first = d.get(target, fields)
    assert first.status == 200, (target, first.status, first.body)
    second = d.get(then or target, fields)
    assert second.cache.hit and origin.count() == before + 1, (target, second.fields.get("Cache-Status"))
    return second


def test_inaturalist(daemons, origin):
    origin.reply(200, b'{"results":[]}', [JSON, ("ETag", 'W/"1"'), ("Cache-Control", "public, max-age=300"), ("Vary", "Accept-Encoding")])
    d = shipped(daemons, origin)
    assert kept(d, origin, "/inat/v1/taxa?q=x").cache.ttl > 29 * 86400
    assert kept(d, origin, "/inat/v1/observations?place=1").cache.ttl <= 300
    assert d.get("/inat/v1/users/me").cache.fwd and d.get("/inat/v1/users/me").cache.fwd
    origin.reply(404, b"{}", [JSON])
    d.get("/inat/v1/taxa/0")
    assert d.get("/inat/v1/taxa/0").cache.hit


def github_head(left, resource="core", limit=5000, **more):
    return [JSON, ("ETag", 'W/"abc"'), ("Cache-Control", "private, max-age=60, s-maxage=60"),
            ("Vary", "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With"),
            ("X-RateLimit-Limit", str(limit)), ("X-RateLimit-Remaining", str(left)), ("X-RateLimit-Used", str(limit - left)),
            ("X-RateLimit-Reset", str(int(time.time()) + 1800)), ("X-RateLimit-Resource", resource)] + list(more.items())


def test_github(daemons, origin, clock):
    d = shipped(daemons, origin)
    origin.reply(200, b"{}", github_head(4999))
    kept(d, origin, "/github/repos/a/b", TOKEN)
    assert d.get("/github/repos/a/b", [("Authorization", "token two")]).cache.fwd, "another's"
    # A revalidation is a 304 and free; search is a limit of its own, and exhausted it freezes nothing else.
    clock.advance(61)
    origin.reply(304, b"", github_head(4999))
    assert d.get("/github/repos/a/b", TOKEN).status == 200
    origin.reply(200, b"{}", github_head(0, "search", 30))
    assert d.get("/github/search/code?q=x", TOKEN).status == 200
    origin.reply(200, b"{}", github_head(4990))
    assert d.get("/github/search/issues?q=x", TOKEN + [("Weir-Max-Wait", "1s")]).status == 429
    assert d.get("/github/repos/c/d", TOKEN).status == 200
    # The hour's budget begins anew when the API says.
    origin.reply(200, b"{}", github_head(0))
    assert d.get("/github/repos/e/f", TOKEN).status == 200
    assert d.get("/github/repos/g/h", TOKEN + [("Weir-Max-Wait", "1s")]).status == 429
    clock.advance(1805)
    origin.reply(200, b"{}", github_head(4998))
    assert d.get("/github/repos/g/h", TOKEN).status == 200


def test_gbif(daemons, origin):
    origin.reply(200, b"{}", [JSON, ("Vary", "Origin, Access-Control-Request-Method"), ("Cache-Control", "public, max-age=3601"),
                              ("X-Varnish", "32770 3"), ("Via", "1.1 varnish (Varnish/6.0)"), ("Age", "0")])
    d = shipped(daemons, origin)
    assert kept(d, origin, "/gbif/v1/species/match?name=Puma").cache.ttl > 6 * 86400
    assert kept(d, origin, "/gbif/v1/dataset/1").cache.ttl > 80000
    assert kept(d, origin, "/gbif/v1/occurrence/search?q=1").cache.ttl <= 3601


def test_crossref(daemons, origin):
    origin.reply(200, b"{}", [JSON, ("x-rate-limit-limit", "50"), ("x-rate-limit-interval", "1s"), ("x-api-pool", "public"),
                              ("x-concurrency-limit", "1"), ("Vary", "Accept-Encoding")])
    d = shipped(daemons, origin)
    assert kept(d, origin, "/crossref/works/10.1000%2F1?mailto=a@example.org").cache.ttl > 80000
    for i in range(5):
        assert d.get(f"/crossref/works/{i}").status == 200


def test_nominatim(daemons, origin):
    origin.reply(200, b"[]", [JSON, ("Access-Control-Allow-Origin", "*"), ("Server", "nginx")])
    d = shipped(daemons, origin)
    assert kept(d, origin, "/nominatim/search?q=Aachen&format=json").cache.ttl > 29 * 86400


COOKIES = [("Set-Cookie", "WMF-Last-Access=28-Nov-2026;Path=/;HttpOnly;secure;Expires=Wed, 30 Dec 2026 00:00:00 GMT"),
           ("Set-Cookie", "GeoIP=DE:NW:Aachen:50.77:6.08:v4; Path=/; secure; Domain=.wikipedia.org"),
           ("Set-Cookie", "NetworkProbeLimit=0.001;Path=/;Secure;SameSite=None;Max-Age=3600"),
           ("Set-Cookie", "cpPosIndex=1%401732.1; path=/; secure; HttpOnly; SameSite=None")]


@pytest.mark.parametrize("cache_control", ["s-maxage=1209600, max-age=300", "private, max-age=0, s-maxage=0, must-revalidate", None])
def test_wikipedia(daemons, origin, cache_control):
    """Every answer sets cookies that are nobody's, on the REST API as on the other."""
    head = [JSON, *COOKIES, ("Vary", "Accept-Encoding")] + ([("Cache-Control", cache_control)] if cache_control else [])
    origin.reply(200, b"{}", head)
    d = shipped(daemons, origin)
    assert kept(d, origin, "/wikipedia/w/api.php?format=json&action=query&titles=Weir").cache.ttl > 500
    if cache_control is None or "private" not in cache_control:
        assert kept(d, origin, "/wikipedia/api/rest_v1/page/summary/Weir").fields.get("Set-Cookie") is None
    # Who carries those cookies is who he was.
    carried = [("Cookie", "WMF-Last-Access=28-Nov-2026; GeoIP=DE:NW:Aachen:50.77:6.08:v4; NetworkProbeLimit=0.001")]
    before = origin.count()
    if cache_control is None:
        assert d.get("/wikipedia/api/rest_v1/page/summary/Weir", carried).cache.hit and origin.count() == before
    # Signing in goes through, cookies and all.
    origin.reply(200, b"{}", [JSON, ("Set-Cookie", "enwikiSession=secret; path=/; secure; HttpOnly")])
    with Client(d.address) as client:
        answered = client.request("POST", "/wikipedia/w/api.php?action=login", body=b"x")
    assert answered.status == 200 and "enwikiSession" in answered.fields.get("Set-Cookie")


@pytest.mark.slow
def test_batch_is_not_starved_by_its_share(daemons, origin):
    """`clients` as the file shows it, while others want all that there is."""
    d = shipped(daemons, origin, "clients")
    done = threading.Event()
    others = [0]

    def greedy(n):
        with Client(d.address) as client:
            i = 0
            while not done.is_set():
                i += 1
                client.get(f"/gbif/v1/occurrence/{n}-{i}", [("Weir-Client", "ann"), ("Cache-Control", "no-cache")])
                others[0] += 1
    threads = [threading.Thread(target=greedy, args=(n,), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    try:
        began = time.monotonic()
        for i in range(4):
            response = d.get(f"/gbif/v1/occurrence/ci-{i}", [("Weir-Client", "ci-1"), ("Weir-Max-Wait", "60s")])
            assert response.status == 200, json.loads(response.body)
        assert time.monotonic() - began < seconds(30)
    finally:
        done.set()
        for thread in threads:
            thread.join(seconds(40))
    assert others[0] > 8
