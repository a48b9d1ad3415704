"""Cookies in base-URL mode: all APIs have one host, and real jars keep them apart (contract sections 2 and 7)."""
import http.cookiejar
import subprocess
import urllib.request

import pytest

from harness.daemon import environment
from harness.settings import upstream
from harness.wait import seconds


class Requests:
    def __init__(self, d):
        self.session = d.session()

    def get(self, url):
        assert self.session.get(url, timeout=seconds(10)).status_code == 200


class Urllib:
    def __init__(self, _):
        jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(rfc2965=False, strict_ns_set_path=False))
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))

    def get(self, url):
        with self.opener.open(url, timeout=seconds(10)) as response:
            assert response.status == 200


class Curl:
    def __init__(self, d):
        self.jar, self.place = d.directory / "jar", d.directory

    def get(self, url):
        subprocess.run(["curl", "-sSf", "-o", "/dev/null", "-c", self.jar, "-b", self.jar, url], env=environment(self.place), check=True, timeout=seconds(20))


@pytest.fixture(params=[Requests, Urllib, Curl])
def two(request, daemons, origins):
    """A daemon with two APIs, and a client with a jar."""
    a, b = origins(), origins()
    d = daemons(upstream(a, name="a", path="/v2"), upstream(b, name="b")).start()
    a.reply(body=b"a")
    b.reply(body=b"b")
    return d, a, b, request.param(d)


def sets(origin, *cookies, body=b"x"):
    origin.reply(body=body, fields=[("Set-Cookie", cookie) for cookie in cookies])


def cookies_of(origin):
    value = origin.last.fields.get("Cookie", "")
    return {pair for pair in value.split("; ") if pair}


def test_cookies_stay_with_their_api(two):
    d, a, b, client = two
    sets(a, "all=1; Path=/; Domain=127.0.0.1; Secure; SameSite=None", "base=2; Path=/v2", "me=3; Path=/v2/me; HttpOnly", "none=4", "__Host-sid=5; Path=/; Secure",
         "__Secure-t=6; Path=/; Secure", "elsewhere=7; Path=/login")
    client.get(f"{d.url}/a/me/first")
    sets(a)
    client.get(f"{d.url}/a/me/second")
    assert cookies_of(a) == {"all=1", "base=2", "me=3", "none=4", "__Host-sid=5", "__Secure-t=6"}
    client.get(f"{d.url}/a/other")
    assert cookies_of(a) == {"all=1", "base=2", "__Host-sid=5", "__Secure-t=6"}
    client.get(f"{d.url}/a")
    assert cookies_of(a) == {"all=1", "base=2", "__Host-sid=5", "__Secure-t=6"}
    client.get(f"{d.url}/b/me")
    assert cookies_of(b) == set()
    sets(b, "all=b; Path=/")
    client.get(f"{d.url}/b/me")
    sets(b)
    client.get(f"{d.url}/b/other")
    assert cookies_of(b) == {"all=b"}
    client.get(f"{d.url}/a/other")
    assert "all=1" in cookies_of(a) and "all=b" not in cookies_of(a)


def test_cookie_is_taken_back(two):
    d, a, _, client = two
    sets(a, "__Host-sid=5; Path=/; Secure")
    client.get(f"{d.url}/a/login")
    sets(a, "__Host-sid=; Path=/; Secure; Max-Age=0")
    client.get(f"{d.url}/a/logout")
    assert cookies_of(a) == {"__Host-sid=5"}
    sets(a)
    client.get(f"{d.url}/a/x")
    assert cookies_of(a) == set()


def test_ways_share_what_is_stored(weir, origin):
    """What is stored stays as the API said it, and a renamed cookie is the cookie that it was."""
    d = weir(aliases=["api.example.test"], set_cookie="store")
    origin.reply(body=b"x", fields=[("Cache-Control", "private, max-age=3600"), ("Set-Cookie", "__Host-sid=1; Path=/; Secure"), ("Clear-Site-Data", '"cookies"')])
    first = d.get("/api/x", [("Cookie", "weir-__Host-sid=1")])
    assert first.fields.get("Set-Cookie") == "weir-__Host-sid=1; Path=/api" and "Clear-Site-Data" not in first.fields
    assert origin.last.fields.get("Cookie") == "__Host-sid=1"
    d.wait_stored()
    second = d.get("/x", [("Host", "api.example.test"), ("Cookie", "__Host-sid=1")])
    assert second.cache.hit and second.fields.get("Set-Cookie") == "__Host-sid=1; Path=/; Secure"
    assert second.fields.get("Clear-Site-Data") == '"cookies"'
    third = d.get("/api/x", [("Cookie", "weir-__Host-sid=1")])
    assert third.cache.hit and third.fields.get("Set-Cookie") == "weir-__Host-sid=1; Path=/api" and origin.count() == 1
