"""What a successful write drops besides the writer's own copies: those of all who bring no credential (RFC 9111 4.4)."""
import threading

import pytest

FRESH = [("Cache-Control", "public, max-age=3600")]
WRITERS = {
    "token": ("/api/x", [("Authorization", "Bearer one")]),
    "cookie": ("/api/x", [("Cookie", "sid=1")]),
    "parameter": ("/api/x?api_key=k1", []),
    "signed": ("/api/x", [("Authorization", 'OAuth oauth_consumer_key="c", oauth_nonce="1", oauth_signature="s"')]),
    "nobody": ("/api/x", []),
}


def counted(origin, location=None):
    def handler(request, conn):
        if request.method == "GET":
            return conn.answer(200, b"%d" % conn.origin.count(), FRESH)
        return conn.answer(201 if location else 200, b"done", [("Location", location)] if location else [])
    origin.handler = handler


@pytest.fixture(params=["path", "uri"])
def invalidate(request):
    return request.param


@pytest.mark.parametrize("writer", WRITERS)
def test_write_reaches_the_anonymous_copy(weir, origin, invalidate, writer):
    counted(origin)
    target, fields = WRITERS[writer]
    d = weir(invalidate=invalidate)
    d.get("/api/x")
    d.get("/api/other")
    d.get("/api/x", [("Authorization", "Bearer stranger")])
    d.wait_stored(3)
    assert d.request("PUT", target, fields, b"new").status == 200
    assert not d.get("/api/x").cache.hit
    assert d.get("/api/other").cache.hit
    assert d.get("/api/x", [("Authorization", "Bearer stranger")]).cache.hit, "another credential's own copy is its own"


def test_write_reaches_the_copy_of_weirs_own_credential(weir, origin, invalidate, tmp_path):
    counted(origin)
    (tmp_path / "secret").write_text("Bearer of-weir\n")
    d = weir(invalidate=invalidate, auth={"header": "Authorization", "value_file": str(tmp_path / "secret")})
    d.get("/api/x?a=1")
    d.wait_stored()
    assert d.get("/api/x?a=1").cache.hit
    assert d.request("DELETE", "/api/x?a=1", [("Authorization", "Bearer mine")]).status == 200
    assert not d.get("/api/x?a=1").cache.hit


def test_location_of_the_same_origin_too(weir, origin, invalidate):
    counted(origin, "/items/7")
    d = weir(invalidate=invalidate)
    d.get("/api/items/7")
    d.wait_stored()
    assert d.request("POST", "/api/items", [("Authorization", "Bearer one")], b"new").status == 201
    assert not d.get("/api/items/7").cache.hit


@pytest.mark.parametrize("status", [400, 403, 500])
def test_failed_write_drops_nothing(weir, origin, status):
    origin.handler = lambda request, conn: conn.answer(200 if request.method == "GET" else status, b"x", FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    d.request("PUT", "/api/x", [("Authorization", "Bearer one")], b"new")
    assert d.get("/api/x").cache.hit


def test_purge_stays_with_the_caller(weir, origin):
    counted(origin)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    assert d.request("PURGE", "/api/x", [("Authorization", "Bearer one")]).body == b'{"dropped": 0}\n'
    assert d.get("/api/x").cache.hit


@pytest.mark.mhd_trick("KEPT", "no reply is kept ready")
def test_what_is_kept_ready_goes_as_well(weir, origin):
    """An answer that was asked for often is given without a look-up: not after the write."""
    counted(origin)
    d = weir(settings={"workers": 1})
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as client:
        while d.counter("hits_repeated") == 0:
            client.send(b"".join(client.head("GET", "/api/x") for _ in range(20)))
            for _ in range(20):
                assert client.read_response().cache.hit
        assert d.request("PUT", "/api/x", [("Authorization", "Bearer one")], b"new").status == 200
        assert not client.get("/api/x").cache.hit


def test_anonymous_answer_on_its_way_is_not_stored_after_a_write(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        if request.method == "POST":
            return conn.answer(201, b"done", [("Location", "/items/7")])
        if conn.origin.requests.index(request) == 0:
            conn.wait(go)
            return conn.answer(200, b"before", FRESH)
        return conn.answer(200, b"after", FRESH)
    origin.handler = handler
    d = weir()
    with d.connect() as slow:
        slow.start("GET", "/api/items/7")
        origin.wait_requests(1)
        assert d.request("POST", "/api/items", [("Authorization", "Bearer one")], b"new").status == 201
        go.set()
        assert slow.read_response().body == b"before"
    assert d.get("/api/items/7").body == b"after"
