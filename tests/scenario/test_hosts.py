"""Each of an upstream's hosts is asked at its own address and by its own name; an alias gets whom it stands for."""
import json

import pytest

from harness.client import Client
from harness.settings import upstream
from harness.tls import TlsClient, trust

PROXY = {"proxy": {"listen": "127.0.0.1:0"}}


def echo(request, conn):
    """What it was asked for, and by which name."""
    conn.answer(200, request.fields.get("Host").encode(), [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain")])


@pytest.fixture
def two(daemons, origins):
    """`api` at one origin and, by a host of its own, another origin; started with `more` settings."""
    api, files = origins(), origins()
    api.handler = files.handler = echo

    def start(**more):
        hosts = [f"127.0.0.1:{api.port}", f"files.localhost:{files.port}", "api.test = " + api.authority,
                 f"files.test = files.localhost:{files.port}"]
        return daemons(upstream(api, hosts=hosts, **more), settings=PROXY).start()
    start.api, start.files, start.files_host = api, files, f"files.localhost:{files.port}"
    return start


def test_the_name_asked_for_is_the_name_sent(two):
    d = two()
    for target, host, to, sent in (
            ("/api/x", None, two.api, two.api.authority),
            ("/x", two.api.authority, two.api, two.api.authority),
            ("/x", two.files_host, two.files, two.files_host),
            ("/x", two.files_host.upper(), two.files, two.files_host),
            (f"http://{two.files_host}/x", two.api.authority, two.files, two.files_host),
            ("/x", "api.test", two.api, two.api.authority),
            ("/x", "files.test", two.files, two.files_host)):
        before = to.count()
        response = d.get(target, [("Host", host), ("Cache-Control", "no-store")] if host else [("Cache-Control", "no-store")])
        assert (response.status, response.text) == (200, sent), (target, host, response)
        assert to.count() == before + 1


def test_a_host_without_a_port_has_the_urls(daemons, origin):
    origin.handler = echo
    d = daemons(upstream(origin, hosts=["one.localhost", "two.localhost"])).start()
    for name in ("one.localhost", "two.localhost", "TWO.localhost:80"):
        assert d.get("/x", [("Host", name)]).text == f"{name.lower().removesuffix(':80')}:{origin.port}"


def test_hosts_have_entries_of_their_own_and_aliases_none(two):
    d = two(ttl="1h")
    answers = {}
    for name in (two.api.authority, two.files_host):
        answers[name] = d.get("/same?q", [("Host", name)])
        assert answers[name].cache.fwd == "uri-miss" and answers[name].text == name
    d.wait_stored(2)
    for name, text in ((two.api.authority, two.api.authority), ("api.test", two.api.authority),
                       (two.files_host, two.files_host), ("files.test", two.files_host)):
        response = d.get("/same?q", [("Host", name)])
        assert response.cache.hit and response.text == text, name
    assert d.get("/api/same?q").text == two.api.authority
    assert (two.api.count(), two.files.count()) == (1, 1)


def test_one_flight_is_not_anothers(two):
    """The same path at two hosts at one time: two requests, two answers."""
    d = two()
    with d.connect() as first, d.connect() as second:
        first.start("GET", "/slow", [("Host", two.api.authority)])
        second.start("GET", "/slow", [("Host", two.files_host)])
        assert first.read_response().text == two.api.authority
        assert second.read_response().text == two.files_host


def test_handles_change_hosts(two):
    """What a handle of libcurl was set to for one host must not stay for the next."""
    d = two(ttl="never")
    with d.connect() as client:
        for n in range(20):
            name = (two.api.authority, two.files_host)[n * n // 3 % 2]
            assert client.get(f"/x{n}", [("Host", name)]).text == name


def test_a_write_drops_what_is_its_hosts_and_what_the_rule_names_on_all(two):
    d = two(ttl="1h", rules=[{"match": "/all", "methods": ["POST"], "invalidates": ["/list/**"]}])

    def fill():
        stored = d.counter("stored")
        misses = sum(not d.get(target, [("Host", name)]).cache.hit
                     for target in ("/doc", "/list/1") for name in (two.api.authority, two.files_host))
        d.wait_stored(stored + misses)
        return misses
    assert fill() == 4
    assert d.request("POST", "/doc", [("Host", two.files_host)], b"x").status == 200
    assert d.get("/doc", [("Host", two.api.authority)]).cache.hit
    assert fill() == 1
    assert d.request("POST", "/all", [("Host", two.files_host)], b"x").status == 200
    assert fill() == 2


def test_purges_name_a_host_by_any_of_its_names(two):
    d = two(ttl="1h")

    def fill():
        d.get("/doc", [("Host", two.api.authority)])
        d.get("/doc", [("Host", two.files_host)])
    fill()
    d.wait_stored(2)
    for n, url in enumerate((f"http://{two.files_host}/doc", "http://files.test/doc", "https://files.test/*", f"https://{two.files_host}/doc",
                             f"http://{two.files_host}/**")):
        assert json.loads(d.ctl("purge", url, "--json").stdout), url
        assert d.get("/doc", [("Host", two.api.authority)]).cache.hit, url
        assert not d.get("/doc", [("Host", two.files_host)]).cache.hit, url
        d.wait_stored(3 + n)
    assert json.loads(d.request("PURGE", "/doc", [("Host", "files.test")]).body) == {"dropped": 1}
    assert d.get("/doc", [("Host", two.api.authority)]).cache.hit


def test_links_lead_back_to_the_host_they_are_of(two):
    d = two(rewrite_links=True)
    body = json.dumps({"own": f"http://{two.files_host}/a", "other": two.api.url + "/b"}).encode()
    two.files.reply(302, body, [("Location", f"http://{two.files_host}/next"), ("Content-Type", "application/json")])
    two.api.reply(302, body, [("Location", f"http://{two.files_host}/next"), ("Content-Type", "application/json")])
    by_alias = d.get("/x", [("Host", "files.test")])
    assert by_alias.fields.get("Location") == "http://files.test/next"
    assert json.loads(by_alias.body) == {"own": "http://files.test/a", "other": two.api.url + "/b"}
    # Base-URL mode leads to the url's host alone: a link to another one stays what it is.
    by_prefix = d.get("/api/x")
    assert by_prefix.fields.get("Location") == f"http://{two.files_host}/next"
    assert json.loads(by_prefix.body) == {"own": f"http://{two.files_host}/a", "other": f"{d.url}/api/b"}


def test_connect_asks_the_host_that_is_named_inside(two):
    d = two()
    with TlsClient(d.proxy_address, f"{two.files_host}", trust(d.ca), name="files.localhost") as client:
        assert client.get("/x", [("Host", two.files_host)]).text == two.files_host
        assert client.get("/x", [("Host", two.api.authority)]).text == two.api.authority
    with TlsClient(d.proxy_address, "files.test:443", trust(d.ca), name="files.test") as client:
        assert client.get("/x", [("Host", "files.test")]).text == two.files_host


def test_a_tunnel_to_an_alias_leads_to_whom_it_stands_for(daemons, origin):
    origin.reply(body=b"through")
    d = daemons({"name": "api", "url": f"https://127.0.0.1:{origin.port}", "hosts": [f"api.test = 127.0.0.1:{origin.port}"],
                 "intercept": False}, settings=PROXY).start()
    with Client(d.proxy_address) as client:
        client.start("CONNECT", "api.test:443")
        assert client.read_head("HEAD").status == 200
        assert client.get("/x").body == b"through"


def test_a_host_that_is_down_is_named(two):
    d = two()
    two.files.stop()
    response = d.get("/x", [("Host", two.files_host)])
    assert response.status == 502 and two.files_host in response.text
    assert d.get("/api/x").status == 200
