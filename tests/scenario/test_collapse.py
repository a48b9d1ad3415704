"""Equal requests in flight share one upstream request, and stop where they may not (item 5)."""
import threading

import pytest

from harness.origin import answer


class Held:
    """A handler that holds every answer until let go; the body says which request it answers."""

    def __init__(self, fields=(), status=200):
        self.go = threading.Event()
        self.fields, self.status = list(fields), status

    def __call__(self, request, conn):
        number = conn.origin.requests.index(request) + 1
        conn.wait(self.go)
        conn.answer(self.status, b"answer %d" % number, self.fields)


FRESH = [("Cache-Control", "max-age=60")]


def together(d, origin, count, fields=lambda i: [], target="/api/x"):
    """`count` equal requests, the first of which is at the origin before the others begin; all of them under way."""
    clients = [d.connect(timeout=20) for _ in range(count)]
    before, seen = origin.count(), d.counter("requests")
    clients[0].start("GET", target, fields(0))
    origin.wait_requests(before + 1)
    for i, client in enumerate(clients[1:], 1):
        client.start("GET", target, fields(i))
    d.wait_counter("requests", seen + count)
    return clients


def finish(clients):
    responses = [client.read_response() for client in clients]
    for client in clients:
        client.close()
    return responses


def test_200_clients_on_one_cold_key_make_one_request(weir, origin):
    origin.handler = held = Held(FRESH)
    d = weir()
    clients = together(d, origin, 200)
    held.go.set()
    responses = finish(clients)
    assert {(r.status, r.body, r.end) for r in responses} == {(200, b"answer 1", "complete")}
    assert origin.count() == 1
    # Who has not joined by the time it ends (counted is a request before that) finds it stored, or nearly: a hit.
    assert sum(bool(r.cache.collapsed) for r in responses) + sum(bool(r.cache.hit) for r in responses) == 199
    assert d.counter("collapsed") + d.counter("hits") == 199 and d.counter("misses") == 200 - d.counter("hits")
    assert d.counter("upstream_attempts") == 1


def test_first_client_is_not_said_to_be_collapsed(weir, origin):
    origin.handler = held = Held(FRESH)
    clients = together(weir(), origin, 3)
    held.go.set()
    first, *others = finish(clients)
    assert not first.cache.collapsed and first.cache.fwd == "uri-miss"
    assert all(r.cache.collapsed or r.cache.hit for r in others)  # who is late finds it stored, or nearly


@pytest.mark.parametrize("fields", [
    [("Cache-Control", "no-store")],
    [("Cache-Control", "private, no-store")],
    [],                                              # nothing says that it may be stored
    [("Cache-Control", "max-age=60"), ("Vary", "*")],
    [("Cache-Control", "max-age=60"), ("Set-Cookie", "session=1")],
], ids=["no_store", "private_no_store", "no_lifetime", "vary_star", "set_cookie"])
def test_sharing_stops_when_the_head_forbids_it(weir, origin, fields):
    origin.handler = held = Held(fields)
    clients = together(weir(), origin, 5)
    held.go.set()
    responses = finish(clients)
    assert sorted(r.body for r in responses) == [b"answer %d" % n for n in range(1, 6)]
    assert not any(r.cache.collapsed or r.cache.stored for r in responses)


def test_private_is_not_shared_between_clients_without_credentials(weir, origin):
    origin.handler = held = Held([("Cache-Control", "private, max-age=60")])
    clients = together(weir(partition="shared"), origin, 4)
    held.go.set()
    assert len({r.body for r in finish(clients)}) == 4


def test_vary_mismatch_splits_and_equals_stay_together(weir, origin):
    """Languages en, de, en, de, fr: three upstream requests, each client its own language."""
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.answer(body=request.fields.get("Accept-Language").encode(), fields=FRESH + [("Vary", "Accept-Language")])
    origin.handler = handler
    d = weir()
    languages = ["en", "de", "en", "de", "fr"]
    clients = together(d, origin, 5, lambda i: [("Accept-Language", languages[i])])
    go.set()
    assert [r.text for r in finish(clients)] == languages
    assert origin.count() == 3


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "Private-Token"])
def test_credentials_are_never_joined(weir, origin, name):
    origin.handler = held = Held(FRESH)
    d = weir(ttl="1h")
    with d.connect() as one, d.connect() as two, d.connect() as three:
        one.start("GET", "/api/x", [(name, "secret-1")])
        two.start("GET", "/api/x", [(name, "secret-2")])
        three.start("GET", "/api/x")
        origin.wait_requests(3)
        held.go.set()
        assert len({c.read_response().body for c in (one, two, three)}) == 3


def test_unshareable_url_is_remembered(weir, origin):
    """After one no-store answer the next clients of that URL do not wait for one another."""
    origin.reply(body=b"x", fields=[("Cache-Control", "no-store")])
    d = weir()
    d.get("/api/x")
    origin.handler = held = Held([("Cache-Control", "no-store")])
    with d.connect() as a, d.connect() as b, d.connect() as c:
        for client in (a, b, c):
            client.start("GET", "/api/x")
        origin.wait_requests(4)                      # all three are there, none is answered
        held.go.set()
        assert len({client.read_response().body for client in (a, b, c)}) == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_never_joined(weir, origin, method):
    origin.handler = held = Held(FRESH)
    d = weir(ttl="1h")
    with d.connect() as one, d.connect() as two:
        one.start(method, "/api/x", body=b"b")
        two.start(method, "/api/x", body=b"b")
        origin.wait_requests(2)
        held.go.set()
        assert {one.read_response().body, two.read_response().body} == {b"answer 1", b"answer 2"}


def test_joining_in_mid_body_gets_the_body_from_its_first_byte(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.head(200, [("Content-Length", "200000"), *FRESH])
        conn.send(b"a" * 100000)
        conn.wait(go)
        conn.send(b"b" * 100000)
    origin.handler = handler
    d = weir()
    with d.connect() as early, d.connect() as late:
        early.start("GET", "/api/x")
        response = early.read_head()
        pieces = early.pieces(response)
        got = next(pieces)
        late.start("GET", "/api/x")
        joined = late.read_head()
        go.set()
        assert got + b"".join(pieces) == b"a" * 100000 + b"b" * 100000
        assert late.read_body(joined).body == b"a" * 100000 + b"b" * 100000
    assert origin.count() == 1


def test_equal_request_right_after_a_miss_is_not_sent_again(weir, origin):
    """Between the answer and the commit of its record the flight still serves."""
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    with d.connect() as client:
        for _ in range(50):
            assert client.get("/api/x").body == b"x"
    assert origin.count() == 1


def test_first_client_leaving_does_not_hurt_the_others(weir, origin):
    origin.handler = held = Held(FRESH)
    clients = together(weir(), origin, 4)
    clients[0].reset()
    held.go.set()
    assert {r.body for r in finish(clients[1:])} == {b"answer 1"}
    assert origin.count() == 1


def test_failure_is_told_to_all_who_wait(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.close()
    origin.handler = handler
    clients = together(weir(), origin, 10)
    go.set()
    assert {r.status for r in finish(clients)} == {502}
    assert origin.count() <= 10


def test_head_and_range_do_not_take_each_others_answers(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        if "Range" in request.fields:
            conn.answer(206, b"wh", [("Content-Range", "bytes 0-1/5"), *FRESH])
        else:
            conn.answer(200, b"whole", FRESH)
    origin.handler = handler
    d = weir()
    with d.connect() as part, d.connect() as whole, d.connect() as head:
        part.start("GET", "/api/x", [("Range", "bytes=0-1")])
        head.start("HEAD", "/api/x")
        origin.wait_requests(2)
        whole.start("GET", "/api/x")
        d.wait_counter("requests", 3)
        go.set()
        assert (part.read_response().body, whole.read_response().body) == (b"wh", b"whole")
        answer_to_head = head.read_response("HEAD")
        assert answer_to_head.status == 200 and answer_to_head.body == b""
        assert head.get("/api/x").body == b"whole"


def test_different_keys_do_not_wait_for_one_another(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        if request.target == "/held":
            conn.wait(go)
        answer(200, request.target.encode(), FRESH)(request, conn)
    origin.handler = handler
    d = weir()
    with d.connect() as held:
        held.start("GET", "/api/held")
        origin.wait_requests(1)
        assert d.get("/api/other").body == b"/other"
        go.set()
        assert held.read_response().body == b"/held"


@pytest.mark.parametrize("second, status", [
    ([], 200),
    ([("If-None-Match", '"v1"')], 304),
    ([("Cache-Control", "no-cache")], 200),
], ids=["no_cache_answer", "condition_of_its_own", "no_cache_request"])
def test_right_after_a_miss_the_record_is_waited_for(weir, origin, second, status):
    """What the writer has not committed yet is what the next request is answered from, or validates (12 times over,
    as it may have been quicker than the request)."""
    fields = [("ETag", '"v1"'), ("Cache-Control", "no-cache" if not second else "max-age=60")]
    origin.handler = lambda request, conn: conn.answer(
        304 if request.fields.get("If-None-Match") == '"v1"' else 200,
        b"" if request.fields.get("If-None-Match") else b"x", fields)
    d = weir()
    for i in range(12):
        before = origin.count()
        with d.connect() as client:
            assert client.request("GET", f"/api/{i}").status == 200
            assert client.request("GET", f"/api/{i}", second).status == status
        sent = [r.fields.get("If-None-Match") for r in origin.requests[before:]]
        assert sent == ([None] if status == 304 else [None, '"v1"'])


def test_a_rule_may_forbid_joining(weir, origin):
    """share = false: each is sent for itself, at once; what is stored is served to all."""
    origin.handler = held = Held(FRESH)
    d = weir(rules=[{"match": "/x", "share": False}])
    clients = together(d, origin, 5)
    origin.wait_requests(5)
    held.go.set()
    responses = finish(clients)
    assert sorted(r.body for r in responses) == [b"answer %d" % n for n in range(1, 6)]
    assert not any(r.cache.collapsed for r in responses)
    d.wait_stored()
    assert d.get("/api/x").cache.hit and origin.count() == 5
    held.go.clear()
    others = together(d, origin, 3, target="/api/other")               # beside the rule they join
    held.go.set()
    assert len({r.body for r in finish(others)}) == 1 and origin.count() == 6
