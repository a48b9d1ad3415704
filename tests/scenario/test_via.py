"""A proxy on the way to the API (setting via): every request goes by it, and what it does wrong is told as its."""
import json

import pytest

from harness.forward import ForwardProxy, SocksProxy
from harness.listener import Listener
from harness.origin import Origin
from harness.settings import upstream
from harness.tls import TlsRelay
from harness.wait import until

SECRET = "ann:s3cret:with:colons"


@pytest.fixture
def proxies():
    made = []

    def make(kind=ForwardProxy, **kwargs):
        made.append(kind(**kwargs))
        return made[-1]
    yield make
    for each in made:
        each.stop()


@pytest.fixture
def secret(place):
    (place / "secret").write_text(SECRET + "\n")
    return str(place / "secret")


KINDS = [ForwardProxy, SocksProxy]


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_api_is_reached_by_it(weir, origin, proxies, kind):
    proxy = proxies(kind)
    d = weir(via=proxy.url, ttl="1h")
    response = d.get("/api/x%2Fy?q=%23&&", [("X-Mine", "1"), ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "Basic eDp5")])
    assert (response.status, response.body) == (200, b"origin")
    assert origin.last.target == "/x%2Fy?q=%23&&" and origin.last.fields.get("Host") == origin.authority
    asked, = proxy.asked
    if kind is SocksProxy:
        assert asked == origin.authority
    else:
        assert asked.startswith(f"GET http://{origin.authority}/x%2Fy?q=%23&& HTTP/1.1\r\n")
        assert "proxy-" not in asked.lower() and "X-Mine: 1" in asked
    d.wait_stored()
    assert d.get("/api/x%2Fy?q=%23&&").cache.hit and len(proxy.asked) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_api_with_tls_is_reached_through_it_and_its_name_is_its_to_look_up(daemons, origin, proxies, place, kind):
    relay, proxy = TlsRelay(origin, place, name="api.corp.test"), proxies(kind)
    proxy.names["api.corp.test"] = relay.port
    d = daemons({"name": "api", "url": "https://api.corp.test", "tls": {"ca_file": relay.ca_file}, "via": {"url": proxy.url},
                 "retry": {"attempts": 1}}).start()
    for n in range(3):
        response = d.request("POST", f"/api/x{n}", [("Authorization", "Bearer mine")], b"body")
        assert response.status == 200 and origin.last.body == b"body"
        assert response.fields.get("X-Of") is None, "the head of the proxy's answer to CONNECT is nobody's"
    assert origin.last.fields.get("Host") == "api.corp.test"
    asked, = proxy.asked                                               # one tunnel for three requests
    if kind is SocksProxy:
        assert asked == "api.corp.test:443"
    else:
        assert asked.startswith("CONNECT api.corp.test:443 HTTP/1.1\r\n")
        assert "mine" not in asked and "Authorization" not in asked    # what is for the API is not for the proxy
    relay.stop()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_its_credentials_stand_in_a_file_and_are_its_alone(daemons, origin, proxies, place, secret, kind, secure):
    relay = TlsRelay(origin, place) if secure else origin
    proxy = proxies(kind, password=SECRET)
    d = daemons({"name": "api", "url": relay.url, "via": {"url": proxy.url, "value_file": secret}, "retry": {"attempts": 1},
                 **({"tls": {"ca_file": relay.ca_file}} if secure else {})}).start()
    assert d.get("/api/x").status == 200
    assert origin.last.fields.get("Proxy-Authorization") is None
    text = d.everything_written() + d.admin("GET", "/status").body
    assert not any(word in text for word in (b"s3cret", b"YW5uOnMzY3JldDp3aXRoOmNvbG9ucw"))
    if secure:
        relay.stop()


WRONG = [("other:secret", "refused the credentials of via.value_file"), (None, "credentials")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("given, says", WRONG, ids=["wrong", "none"])
def test_a_proxy_that_does_not_let_us_in_is_named(daemons, origin, proxies, place, kind, secure, given, says):
    relay = TlsRelay(origin, place) if secure else origin
    proxy = proxies(kind, password=SECRET)
    (place / "other").write_text(given or "")
    via = {"url": proxy.url, **({"value_file": str(place / "other")} if given else {})}
    d = daemons({"name": "api", "url": relay.url, "via": via, "retry": {"attempts": 3, "backoff": "1ms"},
                 **({"tls": {"ca_file": relay.ca_file}} if secure else {})}).start()
    response = d.get("/api/x")
    assert response.status == 502 and "proxy_configuration_error" in str(response.fields.get("Proxy-Status"))
    detail = json.loads(response.body)["detail"]
    assert proxy.authority in detail and "via" in detail and says in detail and "secret" not in response.text
    assert origin.count() == 0 and proxy.connections == 1, "asking again cannot help"
    assert "Proxy-Authenticate" not in str(response.fields)
    if secure:
        relay.stop()


@pytest.mark.parametrize("status", [403, 405, 502, 503, 504])
def test_a_refused_connect_is_told_as_such(daemons, origin, proxies, place, status):
    relay, proxy = TlsRelay(origin, place), proxies(refuse=status)
    d = daemons({"name": "api", "url": relay.url, "via": proxy.url, "tls": {"ca_file": relay.ca_file},
                 "retry": {"attempts": 2, "backoff": "1ms", "share": "100%"}}).start()
    response = d.request("POST", "/api/x", body=b"x")
    assert response.status == (504 if status == 504 else 502)
    assert f"via {proxy.authority}: the proxy answered CONNECT with {status}" in json.loads(response.body)["detail"]
    assert len(proxy.asked) == (1 if status < 500 else 2)              # nothing was done: a POST may be tried again
    relay.stop()


@pytest.mark.parametrize("how", [{"refuse": 403}, {"refuse": 503}, {"password": SECRET}], ids=["403", "503", "407"])
def test_a_refused_connect_of_a_name_is_one_connect(daemons, origin, proxies, place, how):
    """The name is the proxy's to look up: a second try at once is a second wrong password."""
    relay, proxy = TlsRelay(origin, place, name="api.corp.test"), proxies(**how)
    (place / "other").write_text("other:secret")
    d = daemons({"name": "api", "url": "https://api.corp.test", "tls": {"ca_file": relay.ca_file}, "retry": {"attempts": 1},
                 "via": {"url": proxy.url, "value_file": str(place / "other")}}).start()
    assert d.get("/api/x").status == 502
    assert len(proxy.asked) == 1
    relay.stop()


@pytest.mark.parametrize("reply, says", [(1, "could not reach it"), (2, "does not allow it"), (4, "cannot reach it"), (5, "refused the connection")])
def test_what_a_socks_proxy_says_is_told(weir, origin, proxies, reply, says):
    proxy = proxies(SocksProxy, reply=reply)
    d = weir(via=proxy.url)
    response = d.get("/api/x")
    assert response.status == 502 and proxy.authority in response.text and says in json.loads(response.body)["detail"]


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_a_proxy_that_is_down_is_named(weir, origin, scheme):
    nobody = Origin(start=False)
    d = weir(via=f"{scheme}://{nobody.authority}/")
    response = d.get("/api/x")
    assert response.status == 502
    assert f"{origin.authority} via {nobody.authority}: the proxy refused the connection" in json.loads(response.body)["detail"]
    nobody.stop()


def test_a_proxy_whose_name_is_unknown_is_named(weir, origin):
    d = weir(via="http://no-such-proxy.invalid:3128", timeout={"connect": "20s"})
    response = d.get("/api/x")
    assert "no-such-proxy.invalid:3128: the proxy's name cannot be resolved" in json.loads(response.body)["detail"]


class Plain(Listener):
    """Speaks HTTP without TLS, whatever it hears."""

    def _serve(self, sock):
        with sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("kind", KINDS)
def test_an_api_that_has_no_tls_is_not_the_proxys_fault(daemons, proxies, kind):
    plain = Plain()
    plain.start()
    d = daemons({"name": "api", "url": f"https://{plain.authority}", "via": proxies(kind).url, "retry": {"attempts": 1}}).start()
    detail = json.loads(d.get("/api/x").body)["detail"]
    assert "the proxy" not in detail and "TLS" in detail
    plain.stop()


def test_an_https_proxy(daemons, origin, proxies, place, secret):
    relay = TlsRelay(origin, place)
    proxy = proxies(cert=(relay.ca_file, str(place / "api.test.key")), password=SECRET)
    d = daemons(upstream(origin, name="plain", via={"url": proxy.url, "value_file": secret, "ca_file": relay.ca_file}),
                upstream(relay, name="secure", tls={"ca_file": relay.ca_file},
                         via={"url": proxy.url, "value_file": secret, "ca_file": relay.ca_file}),
                upstream(origin, name="untrusted", via=proxy.url)).start()
    assert d.get("/plain/x").body == b"origin"
    assert d.get("/secure/x").body == b"origin"
    detail = json.loads(d.get("/untrusted/x").body)["detail"]
    assert f"via {proxy.authority}: no TLS with the proxy" in detail and "certificate" in detail
    relay.stop()


def test_the_environment_says_nothing(daemons, origin, proxies):
    """Neither a proxy nor where none is to be taken."""
    seen, other = proxies(), proxies()
    variables = [f"{name}={other.url}" for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")]
    d = daemons(upstream(origin, via=seen.url), upstream(origin, name="direct"))
    d.start(before=["env", *variables, "no_proxy=127.0.0.1,*", "NO_PROXY=*"])
    assert d.get("/api/x").status == 200 and d.get("/direct/x").status == 200
    assert len(seen.asked) == 1 and other.asked == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("listener", ["data", "proxy"])
def test_weir_is_not_its_own_proxy(daemons, origin, place, scheme, listener):
    """Known only when it runs: a port that was not in the configuration."""
    relay = TlsRelay(origin, place)
    target = relay if scheme == "https" else origin
    d = daemons(upstream(target), settings={"proxy": {"listen": "127.0.0.1:0", "tunnel": "allow"}}).start()
    own = "%s:%d" % (d.proxy_address if listener == "proxy" else d.address)
    d.write([upstream(target, via=f"http://{own}", tls={"ca_file": relay.ca_file})])
    assert d.ctl("reload").returncode == 0
    response = d.get("/api/x")
    assert response.status == 502 and f"via {own}: the proxy is Weir itself" in json.loads(response.body)["detail"]
    assert origin.count() == 0
    relay.stop()


def test_a_reload_takes_it_away_and_brings_it(weir, origin, proxies):
    proxy = proxies()
    d = weir(ttl="never")
    assert d.get("/api/x").status == 200
    def asked():
        before = len(proxy.asked)
        assert d.get("/api/x").status == 200
        return len(proxy.asked) - before
    for settings, more in (({"via": proxy.url}, 1), ({}, 0), ({"via": {"url": proxy.url}}, 1)):
        d.write([upstream(origin, ttl="never", **settings)])
        assert d.ctl("reload").returncode == 0
        until(lambda expected=more: asked() == expected, f"the configuration with {settings}")       # each worker takes it in its turn
        assert [asked() for _ in range(5)] == [more] * 5
