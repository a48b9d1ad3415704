"""No-Vary-Search: a stored response answers what differs from it only in what it says does not matter."""
import pytest

from harness.queueing import Gate, collect, fire
from harness.wait import seconds, until

ASKED = [("Cache-Control", "max-age=60"), ("ETag", '"e"')]


def says(value, more=()):
    return lambda request, conn: conn.answer(body=request.target.encode(), fields=ASKED + [("No-Vary-Search", value), *more])


def body(d, target, fields=()):
    return d.get("/api" + target, fields).body.decode()


@pytest.mark.parametrize("committed", [False, True])
def test_another_query_that_says_the_same_is_a_hit(weir, origin, committed):
    origin.handler = says('params=("utm")')
    d = weir()
    assert body(d, "/x?q=1&utm=a") == "/x?q=1&utm=a"
    if committed:
        d.restart()
    with d.commits_held():      # what comes now is on its way to the store
        assert body(d, "/y?q=1&utm=a") == "/y?q=1&utm=a"
        assert body(d, "/y?utm=b&q=1") == "/y?q=1&utm=a"
    similar = d.get("/api/x?utm=b&q=1")
    assert similar.cache.hit and similar.body == b"/x?q=1&utm=a"
    assert body(d, "/x?q=1") == "/x?q=1&utm=a"
    assert body(d, "/x?q=2&utm=a") == "/x?q=2&utm=a"
    assert body(d, "/z?q=1") == "/z?q=1"


def test_many_of_a_path_are_found(weir, origin):
    """Far more than are looked at for the path: each is found by its own label."""
    origin.handler = says('params=("utm")')
    d = weir()
    with d.connect() as client:
        for i in range(60):
            client.request("GET", f"/api/x?q={i}&utm=a")
    d.restart()
    count = origin.count()
    assert [body(d, f"/x?q={i}") for i in range(60)] == [f"/x?q={i}&utm=a" for i in range(60)]
    assert origin.count() == count


def test_without_the_field_every_byte_counts(weir, origin):
    origin.handler = lambda r, c: c.answer(body=r.target.encode(), fields=ASKED)
    d = weir()
    assert [body(d, t) for t in ("/x?a", "/x?b", "/x?")] == ["/x?a", "/x?b", "/x?"]


def test_the_newest_wins(weir, origin, clock):
    origin.handler = says("params")
    d = weir()
    body(d, "/x?a")
    clock.advance(1)
    d.get("/api/x?b", [("Weir-Refresh", "hard")])
    d.restart()
    assert body(d, "/x?c") == "/x?b"
    assert body(d, "/x?a") == "/x?a"        # its own comes first


def test_equal_ones_share_a_flight(weir, origin, clock):
    origin.handler = says('params=("utm")')
    d = weir()
    body(d, "/x?q=0&utm=a")
    d.wait_stored()
    for q, asked in ((1, 1), (2, 3)):               # of the second the answer does not say so again
        gate, said = Gate(), says('params=("utm")' if q == 1 else "key-order")

        def held(request, conn, gate=gate, said=said):
            assert gate.turns.acquire(timeout=seconds(20))
            said(request, conn)
        origin.handler = held
        before, seen = origin.count(), d.counter("requests")
        clients = fire(d, 3, f"/api/x?q={q}&utm=%d")
        origin.wait_requests(before + 1)
        d.wait_counter("requests", seen + 3)
        until(lambda: d.status()["flights"] == 1, "one flight for all")
        gate.open()
        bodies = [r.body.decode() for r in collect(clients)]
        assert origin.count() - before == asked, q
        if q == 1:
            assert d.counter("collapsed") == 2 and len(set(bodies)) == 1
        else:
            assert sorted(bodies) == [f"/x?q=2&utm={i}" for i in range(3)]


def test_a_stale_one_is_not_asked_for_in_its_place(weir, origin, clock):
    origin.handler = says("params")
    d = weir()
    body(d, "/x?a")
    clock.advance(61)
    assert body(d, "/x?b") == "/x?b"
    assert origin.last.fields.get("If-None-Match") is None


def test_never_across_partitions(weir, origin):
    origin.handler = says("params", [("Vary", "Accept")])
    d = weir()
    ann, bob = [("Authorization", "ann")], [("Authorization", "bob")]
    body(d, "/x?a", ann)
    assert body(d, "/x?b", bob) == "/x?b"
    assert body(d, "/x?c", ann) == "/x?a"
    assert body(d, "/x?d") == "/x?d"
    assert body(d, "/x?e", ann + [("Accept", "x")]) == "/x?e"      # Vary holds beside it


def test_ignore_params_and_match_headers_hold_beside_it(weir, origin):
    origin.handler = says('params=("utm")')
    d = weir(ignore_params=["i"], match_headers=["X-M"])
    body(d, "/x?q=1&i=1&utm=a", [("X-M", "1")])
    assert body(d, "/x?i=2&q=1", [("X-M", "1")]) == "/x?q=1&i=1&utm=a"
    assert body(d, "/x?q=1", [("X-M", "2")]) == "/x?q=1"


@pytest.mark.parametrize("invalidate", ["path", "uri"])
def test_a_write_invalidates_what_would_answer(weir, origin, invalidate):
    origin.handler = lambda r, c: says("params")(r, c) if r.method == "GET" else c.answer(body=b"")
    d = weir(invalidate=invalidate)
    body(d, "/x?a")
    assert body(d, "/x?b") == "/x?a"
    d.request("POST", "/api/x?b")
    assert body(d, "/x?b") == "/x?b"


def test_purge_drops_what_would_answer(weir, origin):
    origin.handler = says("params")
    d = weir()
    body(d, "/x?a")
    assert d.request("PURGE", "/api/x?b").status == 200
    assert body(d, "/x?b") == "/x?b"


def test_many_variances_of_one_path_cost_no_more_than_a_miss(weir, origin):
    origin.handler = lambda r, c: says('params=("p%s")' % r.target.partition("=")[2])(r, c)
    d = weir()
    for i in range(40):
        body(d, f"/x?n={i}")
    assert body(d, "/x?n=40") == "/x?n=40"
    assert body(d, "/x?n=40") == "/x?n=40" and origin.count() == 41
