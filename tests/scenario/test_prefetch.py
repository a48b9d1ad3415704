"""prefetch: a hit late in an answer's life has it asked about again, conditionally and after everybody else."""
import pytest

from harness.origin import answer
from harness.queueing import Gate, collect, fire, waiting
from harness.settings import retry
from harness.wait import until

TAG = '"v1"'
EARLY = {"ttl": "1000s", "prefetch": "20%"}      # from 780 to 820 s on


def validating(request, conn):
    if request.fields.get("If-None-Match") == TAG:
        conn.answer(304, b"", [("ETag", TAG)])
    else:
        conn.answer(200, b"body", [("ETag", TAG)])


def stored(d, target="/api/x"):
    d.get(target)
    d.wait_stored()


def test_a_late_hit_renews_it_and_what_comes_is_used(weir, origin, clock):
    origin.handler = validating
    d = weir(**EARLY)
    stored(d)
    clock.advance(770)
    assert d.get("/api/x").cache.hit and d.counter("prefetches") == 0
    told = d.ctl_json("explain", "/api/x")
    assert 5 < told["would"]["prefetch_in_s"] < 55 and "a hit has it asked about" in told["would"]["text"]
    assert "prefetch" in [s["name"] for s in told["settings"]]
    clock.advance(60)
    assert d.ctl_json("explain", "/api/x")["would"]["prefetch_in_s"] == 0 and d.counter("prefetches") == 0
    late = d.get("/api/x")
    assert late.cache.hit and late.body == b"body"
    origin.wait_requests(2)
    assert origin.last.fields.get("If-None-Match") == TAG
    until(lambda: int(d.get("/api/x").fields.get("Age")) < 30, "the renewed answer")
    clock.advance(180)                              # the first life is over
    assert d.counter("prefetches_used") == 0
    assert d.get("/api/x").cache.hit
    clock.advance(5)
    d.wait_counter("prefetches_used", 1)
    clock.advance(2000)
    assert d.counter("prefetches_wasted") == 0 and origin.count() == 2
    assert "1 prefetched, 1 of them used, 0 wasted" in d.ctl("status").stdout
    assert "1 prefetched, 1 used, 0 wasted" in d.ctl("top", "--once").stdout
    assert 'weir_api_prefetches_total{upstream="api",result="used"} 1' in d.admin("GET", "/metrics").body.decode()


def test_what_nobody_comes_for_is_wasted(weir, origin, clock):
    origin.handler = validating
    d = weir(**EARLY)
    stored(d)
    clock.advance(900)
    d.get("/api/x")
    d.wait_counter("prefetches", 1)
    until(lambda: int(d.get("/api/x").fields.get("Age")) < 30, "the renewed answer")
    for gone in (150, 10, 1000):
        clock.advance(gone)
        d.counter("prefetches")                     # the thread looks at the clock
    d.wait_counter("prefetches_wasted", 1)
    assert d.counter("prefetches_used") == 0


def test_without_a_validator_it_is_fetched_whole_and_for_all(weir, origin, clock):
    origin.handler = lambda request, conn: conn.answer(body=b"%d" % origin.count())
    d = weir(**EARLY)
    stored(d)
    clock.advance(900)
    d.get("/api/x", [("If-None-Match", '"mine"'), ("Range", "bytes=0-0")])
    origin.wait_requests(2)
    assert "If-None-Match" not in origin.last.fields and "Range" not in origin.last.fields
    until(lambda: d.get("/api/x").body == b"2", "the new answer")
    assert origin.count() == 2


def test_many_late_hits_are_one_request(weir, origin, clock):
    origin.handler = validating
    d = weir(**EARLY)
    stored(d)
    gate = Gate()
    origin.handler = gate
    clock.advance(900)
    assert all(r.cache.hit for r in collect(fire(d, 20, "/api/x%.0s")))
    origin.wait_requests(2)
    gate.open()
    d.wait_counter("stored", 2)
    assert origin.count() == 2 and d.counter("prefetches") == 1


def test_the_body_of_a_request_keyed_by_it_goes_along(weir, origin, clock):
    origin.handler = lambda request, conn: conn.answer(body=b"%d" % origin.count())
    d = weir(rules=[{"match": "/q", "methods": ["POST"], "key_body": True, "stale_while_revalidate": "1h", **EARLY}])
    d.request("POST", "/api/q", body=b'{"a": 1}')
    d.wait_stored()
    for gone, which in ((900, "prefetches"), (1001, "refreshes")):     # late, and stale
        clock.advance(gone)
        d.request("POST", "/api/q", body=b'{"a": 1}')
        d.wait_counter(which, 1)
        until(lambda: origin.last.method == "POST" and origin.last.body == b'{"a": 1}', "the same body")
        d.wait_counter("stored", origin.count())


def test_never_while_the_budget_is_low(weir, origin, clock):
    origin.handler = validating
    d = weir(limits=["10/h"], low_budget={"below": "50%", "stale": "1h"}, **EARLY)
    stored(d)
    for i in range(5):
        d.get(f"/api/{i}")
    clock.advance(900)
    assert d.get("/api/x").cache.hit
    d.ctl("limits")
    assert d.counter("prefetches") == 0 and origin.count() == 6
    assert d.ctl("limits", "set", "api", "10/h", "9").returncode == 0
    clock.advance(15)
    d.get("/api/x")
    d.wait_counter("prefetches", 1)


def test_no_more_than_its_share_is_spent_on_it(weir, origin, clock):
    origin.handler = validating
    d = weir(limits=["10/h"], ttl="1000s", prefetch={"last": "20%", "share": "20%"})
    for i in range(4):
        d.get(f"/api/{i}")
    d.wait_stored(4)
    clock.advance(900)
    for i in range(4):
        assert d.get(f"/api/{i}").cache.hit
    d.wait_counter("prefetches", 2)
    d.ctl("limits")
    assert d.get("/api/4").status == 200            # others' part is theirs
    assert d.counter("prefetches") == 2 and origin.count() == 7


def test_it_goes_after_everybody_else(weir, origin, clock):
    origin.handler = validating
    d = weir(max_in_flight=1, **EARLY)
    stored(d)
    clock.advance(900)
    gate = Gate()
    origin.handler = gate
    clients = fire(d, 1, "/api/first%d")
    origin.wait_requests(2)
    clients += fire(d, 1, "/api/second%d")
    until(lambda: waiting(d) == 1, "one that waits")
    assert d.get("/api/x").cache.hit
    until(lambda: waiting(d) == 2, "the prefetch")
    clients += fire(d, 1, "/api/third%d")
    until(lambda: waiting(d) == 3, "another that waits")
    gate.open()
    collect(clients)
    origin.wait_requests(5)
    assert [r.target for r in origin.requests[1:]] == ["/first0", "/second0", "/third0", "/x"]


def test_hits_that_it_must_have_had(weir, origin, clock):
    origin.handler = validating
    d = weir(ttl="1000s", prefetch={"last": "20%", "hits": 4})
    stored(d)
    clock.advance(900)
    for i in range(4):
        assert d.counter("prefetches") == 0, i
        assert d.get("/api/x").cache.hit
        d.ctl("limits")
        clock.advance(15)
    d.wait_counter("prefetches", 1)


def test_a_failure_is_not_tried_again_and_costs_nobody_anything(weir, origin, clock):
    origin.script(answer(body=b"old"), answer(503), answer(503))
    d = weir(retry=retry(attempts=3), **EARLY)
    stored(d)
    clock.advance(900)
    d.get("/api/x")
    d.wait_counter("prefetches_wasted", 1)
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.body == b"old" and origin.count() == 2


@pytest.mark.parametrize("mode, fields", [("offline", []), ("dry_run", []), ("live", [("Cache-Control", "only-if-cached")]),
                                          ("live", [("Weir-Dry-Run", "1")]), ("live", [("Weir-TTL", "2000s")])])
def test_never_where_nothing_is_to_be_asked(weir, origin, clock, mode, fields):
    origin.handler = validating
    d = weir(**EARLY)
    stored(d)
    if mode != "live":
        assert d.ctl("mode", "api", mode).returncode == 0
    clock.advance(900)
    assert d.get("/api/x", fields).cache.hit
    d.ctl("limits")
    assert d.counter("prefetches") == 0 and origin.count() == 1


def test_a_reply_that_is_kept_ready_gives_way_in_time(weir, origin, clock):
    origin.handler = validating
    d = weir(**EARLY)
    stored(d)
    with d.connect() as client:
        def get():
            return client.request("GET", "/api/x", [("Host", d.authority)])
        until(lambda: get().cache.hit and d.counter("hits_repeated") > 0, "a reply that is kept")
        clock.advance(850)
        assert get().cache.hit
        d.wait_counter("prefetches", 1)
        until(lambda: int(get().fields.get("Age")) < 60, "the renewed answer")
    assert origin.count() == 2
