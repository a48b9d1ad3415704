"""What a client may say: the request directives of RFC 9111 and the Weir- fields (contract section 4)."""
import threading

import pytest


def numbered(fields=(("Cache-Control", "max-age=3600"),)):
    def handler(request, conn):
        conn.answer(200, b"%d" % (conn.origin.requests.index(request) + 1), fields)
    return handler


@pytest.fixture
def stored(weir, origin):
    """A daemon that has /x in store for an hour, and its origin answering with numbers."""
    def start(**settings):
        origin.handler = numbered()
        d = weir(**settings)
        assert d.get("/api/x").body == b"1"
        d.wait_stored()
        return d
    return start


def test_no_cache_asks_the_origin(stored, origin):
    d = stored()
    response = d.get("/api/x", [("Cache-Control", "no-cache")])
    assert response.body == b"2" and response.cache.fwd == "request"
    d.wait_stored(2)
    assert d.get("/api/x").body == b"2"              # and what came is stored


def test_pragma_counts_without_cache_control(stored):
    assert stored().get("/api/x", [("Pragma", "no-cache")]).body == b"2"


def test_no_store_request_leaves_nothing(weir, origin):
    origin.handler = numbered()
    d = weir()
    assert not d.get("/api/x", [("Cache-Control", "no-store")]).cache.stored
    assert d.get("/api/x").body == b"2"


@pytest.mark.parametrize("directive, age, hit", [
    ("max-age=100", 50, True), ("max-age=100", 150, False), ("max-age=0", 5, False),
    ("min-fresh=100", 50, True), ("min-fresh=100", 3550, False),
    ("max-stale", 5000, True), ("max-stale=100", 3650, True), ("max-stale=100", 3750, False),
])
def test_directive(stored, clock, directive, age, hit):
    d = stored()
    clock.advance(age)
    response = d.get("/api/x", [("Cache-Control", directive)])
    assert response.body == (b"1" if hit else b"2") and bool(response.cache.hit) == hit


def test_only_if_cached(stored, origin, clock):
    d = stored()
    assert d.get("/api/x", [("Cache-Control", "only-if-cached")]).body == b"1"
    absent = d.get("/api/y", [("Cache-Control", "only-if-cached")])
    assert absent.status == 504 and absent.fields.get("Content-Type") == "application/problem+json"
    clock.advance(3700)
    assert d.get("/api/x", [("Cache-Control", "only-if-cached")]).status == 504
    assert d.get("/api/x", [("Cache-Control", "only-if-cached, max-stale=200")]).body == b"1"
    assert origin.count() == 1


def test_refresh_hard_fetches_anew_and_overwrites(weir, origin):
    origin.handler = numbered([("ETag", '"v"'), ("Cache-Control", "max-age=3600")])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    response = d.get("/api/x", [("Weir-Refresh", "hard")])
    assert response.body == b"2" and response.cache.fwd == "request"
    assert "If-None-Match" not in origin.last.fields
    d.wait_stored(2)
    assert d.get("/api/x").body == b"2"


def test_refresh_soft_validates(weir, origin):
    def handler(request, conn):
        status = 304 if request.fields.get("If-None-Match") == '"v"' else 200
        conn.answer(status, b"body" if status == 200 else b"", [("ETag", '"v"'), ("Cache-Control", "max-age=3600")])
    origin.handler = handler
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    response = d.get("/api/x", [("Weir-Refresh", "soft")])
    assert (response.status, response.body) == (200, b"body")
    assert origin.last.fields.get("If-None-Match") == '"v"' and origin.count() == 2


@pytest.mark.parametrize("rule, asked, age, hit", [("1h", "1m", 40, True), ("1h", "1m", 70, False), ("1m", "1h", 70, True)])
def test_weir_ttl_goes_over_any_rule(weir, origin, clock, rule, asked, age, hit):
    origin.handler = numbered(())
    d = weir(ttl=rule)
    d.get("/api/x")
    d.wait_stored()
    clock.advance(age)
    assert bool(d.get("/api/x", [("Weir-TTL", asked)]).cache.hit) == hit


@pytest.mark.parametrize("field", [("Weir-TTL", "soon"), ("Weir-Refresh", "maybe"), ("Weir-Timeout", "5"), ("Weir-Max-Wait", "-1s"),
                                   ("Weir-Priority", "first")])
def test_unreadable_wish_is_400_and_names_the_field(weir, origin, field):
    response = weir().get("/api/x", [field])
    assert response.status == 400 and field[0].lower() in response.text.lower() and origin.requests == []


def test_weir_timeout_is_the_read_timeout_of_this_request(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.answer()
    origin.handler = handler
    d = weir(timeout={"read": "60s"})
    response = d.get("/api/x", [("Weir-Timeout", "200ms")])
    assert response.status == 504
    go.set()


def test_client_that_names_itself_stands_in_the_log(stored):
    d = stored()
    assert d.get("/api/x", [("Weir-Client", "nightly"), ("Weir-Priority", "batch")]).cache.hit
    assert any("nightly" in str(line) for line in d.access(2))


def test_hits_do_not_wait_for_a_held_miss(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        if request.target == "/held":
            conn.wait(go)
        conn.answer(body=b"x", fields=[("Cache-Control", "max-age=60")])
    origin.handler = handler
    d = weir(settings={"workers": 1})
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as held, d.connect() as client:
        held.start("GET", "/api/held")
        origin.wait_requests(2)
        for _ in range(200):
            assert client.get("/api/x").cache.hit
        go.set()
        assert held.read_response().status == 200
