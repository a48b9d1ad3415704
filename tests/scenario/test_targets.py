"""Where a request goes, and that its target, method and fields arrive as they were sent (contract sections 2 and 4)."""
import pytest

from harness.settings import upstream

# What follows /api in the client's target and must reach the origin byte for byte.
TARGETS = [
    "/", "/a", "/a/", "/api", "/api/clans/%232PP", "/clans/%232PP", "/a%2Fb", "/a%2fb", "/a/../b", "/..", "/../../x",
    "/.", "/./a", "/a/.", "//", "//a//b", "/a//", "/?", "/a?", "/a??", "/a?x&&x=2", "/a?&", "/a?=", "/a?x=&y", "/a?x=1&x=1&x=0",
    "/a?b=2&a=1", "/a+b", "/a?q=a+b", "/a?q=a%20b", "/a;v=1;w", "/a?x=1;y=2", "/a%00b", "/%e4%F6", "/%", "/%zz", "/a%25b",
    "/a?q=http://h:1/p?x", "/a?q=/../", "/!$&'()*,;=:@-._~", "/a?!$&'()*,;=:@-._~/?", "/a[1]", "/a?f[]=1&f[]=2", "/a|b", "/{a}",
    '/a"b', "/<a>", "/a^`b", "/a\\b", "/.weir/health", "/weir", "/" + "x" * 2000,
]


@pytest.mark.parametrize("rest", TARGETS, ids=lambda t: t[:40].replace("\\", "backslash"))
def test_target_reaches_the_origin_byte_for_byte(weir, origin, rest):
    d = weir()
    assert d.get("/api" + rest).status == 200
    assert origin.last.head.split(b"\r\n")[0] == f"GET {rest} HTTP/1.1".encode("latin-1")


@pytest.mark.parametrize("target, expected", [
    ("/api", "/base/v1"), ("/api/", "/base/v1/"), ("/api/x", "/base/v1/x"), ("/api?x=1", "/base/v1?x=1"),
    ("/api//x", "/base/v1//x"), ("/api/../x", "/base/v1/../x"),
])
def test_path_of_the_url_comes_first(weir, origin, target, expected):
    d = weir(path="/base/v1")
    assert d.get(target).status == 200
    assert origin.last.target == expected


@pytest.mark.parametrize("target, expected", [("/api", "/"), ("/api?x=1", "/?x=1"), ("/api?", "/?")])
def test_prefix_alone_is_the_root(weir, origin, target, expected):
    d = weir()
    assert d.get(target).status == 200
    assert origin.last.target == expected


def test_origin_hears_its_own_host(weir, origin):
    d = weir()
    d.get("/api/x")
    assert origin.last.fields.all("Host") == [origin.authority]


def test_upstreams_are_told_apart_by_prefix(daemons, origins):
    one, two = origins(), origins()
    one.reply(body=b"one")
    two.reply(body=b"two")
    d = daemons(upstream(one, name="a"), upstream(two, name="ab")).start()
    assert d.get("/a/x").body == b"one" and d.get("/ab/x").body == b"two"
    assert one.last.target == two.last.target == "/x"


@pytest.mark.parametrize("target", ["/", "/nothing/x", "/apix", "/API/x", "/%61pi/x"])
def test_unknown_prefix_is_404_and_says_so(weir, origin, target):
    d = weir()
    response = d.get(target)
    assert response.status == 404 and origin.requests == []
    assert response.fields.get("Content-Type") == "application/problem+json"
    assert response.proxy_status is not None and response.cache is not None


def test_host_names_the_upstream(weir, origin):
    d = weir(aliases=["api.example.test", "other.example.test:8443"])
    assert d.get("/api/real/path", [("Host", "api.example.test")]).status == 200
    assert origin.last.target == "/api/real/path"       # Host wins over the prefix
    assert d.get("/x", [("Host", "API.Example.TEST:80")]).status == 200
    assert d.get("/x", [("Host", "other.example.test:8443")]).status == 200
    assert [r.fields.get("Host") for r in origin.requests] == [origin.authority] * 3


@pytest.mark.parametrize("target", ["http://api.example.test/api/x?y&&", "HTTP://API.example.test:80/api/x?y&&"])
def test_absolute_form_names_the_upstream(weir, origin, target):
    d = weir(aliases=["api.example.test"])
    assert d.get(target, [("Host", "ignored.example.test")]).status == 200
    assert origin.last.target == "/api/x?y&&" and origin.last.fields.get("Host") == origin.authority


@pytest.mark.parametrize("target, host, seen_by, arrives_as", [
    ("/one/x", None, "one", "/v1/x"), ("/two/x", None, "two", "/x"),
    ("/two/x", "one.example.test", "one", "/two/x"), ("/one/v1", "two.example.test", "two", "/one/v1"),        # the name of the other as a real path
    ("/x", "ONE.other.test:8443", "one", "/x"), ("http://two.other.test/one/x", "one.example.test", "two", "/one/x"),
    ("/v1/x", "one.example.test", "one", "/v1/x"),
])
def test_several_upstreams_of_several_hosts(daemons, origins, target, host, seen_by, arrives_as):
    origin = {"one": origins(), "two": origins()}
    d = daemons(upstream(origin["one"], name="one", path="/v1", aliases=["one.example.test", "one.other.test:8443"]),
                upstream(origin["two"], name="two", aliases=["two.example.test", "two.other.test"])).start()
    assert d.get(target, [("Host", host)] if host else []).status == 200
    assert [(name, r.target, r.fields.get("Host")) for name, each in origin.items() for r in each.requests] == [
        (seen_by, arrives_as, origin[seen_by].authority)]


def test_all_ways_reach_the_same_entry(weir, origin):
    d = weir(ttl="1h", aliases=["api.example.test"])
    assert d.get("/api/x?q").cache.fwd == "uri-miss"
    d.wait_stored()
    assert d.get("/x?q", [("Host", "api.example.test")]).cache.hit
    assert d.get("http://api.example.test/x?q", [("Host", "api.example.test")]).cache.hit
    assert origin.count() == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT", "PROPFIND", "BREW",
                                    "M-SEARCH", "get", "X" * 60])
def test_method_reaches_the_origin(weir, origin, method):
    d = weir()
    body = b"abc" if method in ("POST", "PUT", "PATCH", "REPORT", "BREW") else None
    response = d.request(method, "/api/x", body=body)
    assert response.status == 200 and response.complete
    assert (origin.last.method, origin.last.target, origin.last.body) == (method, "/x", body or b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT", "BREW"])
def test_other_methods_are_not_cached(weir, origin, method):
    d = weir(ttl="1h")
    for _ in range(2):
        response = d.request(method, "/api/x", body=b"")
        assert response.status == 200 and not response.cache.hit and response.cache.fwd == "method"
    assert origin.count() == 2


def test_request_fields_keep_case_order_and_repetition(weir, origin):
    d = weir()
    sent = [("X-One", "1"), ("x-two", "a"), ("X-TWO", "b"), ("aCCept", "application/json"), ("User-Agent", "tester/1"),
            ("X-Latin", "\xe4\xf6"), ("X-Spaces", "a  b,  c"), ("X-Quoted", '"a;b"')]
    d.get("/api/x", sent)
    names = [n for n, _ in sent]
    assert origin.last.fields.spelling(names) == names
    assert [(n, v) for n, v in origin.last.fields if n in names] == sent


def test_empty_request_field_is_kept(weir, origin):
    d = weir()
    d.get("/api/x", [("X-Empty", ""), ("X-After", "1")])
    assert origin.last.fields.get("X-Empty") == ""


def test_nothing_is_made_up_in_a_request(weir, origin):
    d = weir()
    d.get("/api/x")
    assert {n.lower() for n in origin.last.fields.names()} <= {"host", "via"}


def test_hop_by_hop_and_own_fields_stop_here(weir, origin):
    d = weir()
    d.get("/api/x", [("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"),
                     ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "Basic eDp5"), ("Upgrade", "h2c"),
                     ("Weir-TTL", "1h"), ("Weir-Client", "me"), ("Weir-Timeout", "5s"), ("Weir-Priority", "batch"),
                     ("Weir-Max-Wait", "5s"), ("Weir-Refresh", "soft"), ("X-End", "1")])
    seen = {n.lower() for n in origin.last.fields.names()} - {"connection"}
    assert seen <= {"host", "via", "x-end", "cache-control"} and "x-end" in seen     # a refresh may say Cache-Control
    assert d.get("/api/x", [("Weir-Unheard-Of", "1")]).status == 400 and origin.count() == 1


def test_response_fields_keep_case_order_and_repetition(weir, origin):
    sent = [("X-One", "1"), ("x-two", "a"), ("X-TWO", "b"), ("Set-Cookie", "a=1"), ("Link", "<x>; rel=next"), ("Set-Cookie", "b=2"),
            ("ETag", '"x"'), ("X-Latin", "\xe4\xf6"), ("content-type", "text/plain")]
    origin.reply(body=b"x", fields=sent)
    response = weir().get("/api/x")
    names = [n for n, _ in sent]
    assert response.fields.spelling(set(names)) == names
    below = [(n, v + "; Path=/api" if n == "Set-Cookie" else v) for n, v in sent]       # see test_jars.py
    assert [(n, v) for n, v in response.fields if n in names] == below


def test_response_fields_of_a_hit_are_those_of_the_miss(weir, origin):
    origin.reply(body=b"x", fields=[("x-two", "a"), ("X-TWO", "b"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("ETag", '"x"'),
                                    ("content-TYPE", "text/plain"), ("X-Last", "1")])
    d = weir(ttl="1h")
    miss = d.get("/api/x")
    d.wait_stored()
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.body == miss.body
    own = {"cache-status", "age", "via", "server-timing", "connection", "keep-alive"}
    assert [p for p in hit.fields if p[0].lower() not in own] == [p for p in miss.fields if p[0].lower() not in own]
    assert hit.fields.all("Date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]


def test_hop_by_hop_response_fields_stop_here(weir, origin):
    origin.reply(body=b"x", fields=[("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=77"),
                                    ("Proxy-Authenticate", "Basic"), ("Upgrade", "h2c"), ("X-End", "1"),
                                    ("Cache-Control", "max-age=60")])
    d = weir()
    for response in d.get("/api/x"), d.get("/api/x"):
        for name in ("X-Hop", "Proxy-Authenticate", "Upgrade"):
            assert name not in response.fields
        assert "timeout=77" not in response.fields.joined("Keep-Alive") and response.fields.get("X-End") == "1"


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 226, 299, 300, 301, 302, 307, 308, 400, 401, 403, 404, 410, 418, 429, 451,
                                    500, 501, 502, 503, 504, 511, 599, 799])
def test_status_and_body_pass_through(weir, origin, status):
    origin.reply(status, b"the body", [("X-Mark", "1")])
    response = weir().get("/api/x")
    assert (response.status, response.body, response.end) == (status, b"the body", "complete")
    assert response.fields.get("X-Mark") == "1"


def test_connection_to_the_origin_is_kept(weir, origin):
    d = weir()
    for _ in range(3):
        d.get("/api/x")
    assert [r.connection for r in origin.requests] == [1, 1, 1]
