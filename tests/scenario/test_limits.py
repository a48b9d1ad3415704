"""Budgets: never one request over, waiting in order, and an exact answer to those who cannot wait (contract section 5)."""
import json
import re
import subprocess
import sys
import time

import pytest

from harness.clock import DAY, HOUR, MINUTE
from harness.origin import answer
from harness.queueing import Gate, collect, enqueue, fire, upstreams_of, waiting
from harness.settings import retry, upstream
from harness.wait import Stalls, seconds, until


@pytest.mark.slow
def test_25_requests_at_10_a_second(weir, origin):
    """Spaced evenly: 2.3 s at least, and never more than 11 in any second (make bench has the figures)."""
    d = weir(limits=["10/s burst 1"], queue={"max_wait": "60s"})
    with Stalls() as stalls:
        responses = collect(fire(d, 25))
    assert {r.status for r in responses} == {200} and origin.count() == 25
    times = origin.times()
    assert 2.3 - stalls.worst <= times[-1] - times[0] <= seconds(20)
    assert origin.most_in_any(1.0 - stalls.worst) <= 11


@pytest.mark.slow
def test_sliding_window_lets_all_come_at_once_and_then_waits(weir, origin):
    d = weir(limits=["5/s"], queue={"max_wait": "60s"})
    with Stalls() as stalls:
        assert {r.status for r in collect(fire(d, 12))} == {200}
    times = origin.times()
    assert times[4] - times[0] < 0.9 + stalls.worst, "the first five may come at once"
    assert origin.most_in_any(1.0 - stalls.worst) <= 5
    assert 2.0 - stalls.worst <= times[-1] - times[0] <= seconds(20)


@pytest.mark.slow
def test_bucket_lets_its_burst_through(weir, origin):
    d = weir(limits=["10/s burst 5"], queue={"max_wait": "60s"})
    with Stalls() as stalls:
        assert {r.status for r in collect(fire(d, 15))} == {200}
    times = origin.times()
    assert times[4] - times[0] < 0.3 + stalls.worst, "five may come at once"
    assert 0.9 - stalls.worst <= times[-1] - times[0] <= seconds(20)


@pytest.mark.parametrize("limits, count, window", [
    (["3/min"], 3, MINUTE), (["2/h"], 2, HOUR), (["2/day"], 2, DAY), (["100/s", "3/min"], 3, MINUTE), (["3/min", "2/h"], 2, HOUR),
    (["1/min burst 2"], 2, MINUTE), ([{"rate": "2/h", "name": "hourly"}], 2, HOUR),
])
def test_over_the_limit_is_429_with_an_exact_retry_after(weir, origin, clock, limits, count, window):
    d = weir(limits=limits, queue={"max_wait": "2s"})
    for i in range(count):
        assert d.get(f"/api/{i}").status == 200
    began = time.monotonic()
    refused = d.get("/api/more")
    assert time.monotonic() - began < seconds(3), "the wait is predicted before it is begun"
    assert refused.status == 429 and refused.complete
    after = int(refused.fields.get("Retry-After"))
    assert window - 20 <= after <= window + 1
    assert refused.fields.get("Content-Type") == "application/problem+json"
    problem = json.loads(refused.body)
    assert problem["status"] == 429 and problem["detail"]
    assert refused.proxy_status is not None
    assert origin.count() == count
    clock.advance(after - 8)
    assert d.get("/api/early").status == 429
    clock.advance(8)
    assert d.get("/api/late").status == 200
    assert origin.count() == count + 1


def test_refused_requests_cost_nothing_and_hits_neither(weir, origin, clock):
    origin.reply(body=b"x", fields=[("Cache-Control", "max-age=100000")])
    d = weir(limits=["2/h"], queue={"max_wait": "2s"})
    assert d.get("/api/x").status == 200
    d.wait_stored()
    for _ in range(20):
        assert d.get("/api/x").cache.hit
    assert d.get("/api/y").status == 200
    for i in range(5):
        assert d.get(f"/api/{i}").status == 429
    clock.advance(HOUR + 1)
    assert [d.get(f"/api/z{i}").status for i in range(3)] == [200, 200, 429]


def test_every_attempt_is_charged(weir, origin):
    origin.script(answer(503), answer(503), answer(200))
    d = weir(limits=["4/h"], queue={"max_wait": "2s"}, retry=retry(attempts=3))
    assert d.get("/api/a").status == 200             # three attempts
    assert d.get("/api/b").status == 200
    assert d.get("/api/c").status == 429
    assert origin.count() == 4


def test_retry_that_the_budget_forbids_is_not_made(weir, origin):
    origin.reply(503, b"down")
    d = weir(limits=["2/h"], queue={"max_wait": "2s"}, retry=retry(attempts=5))
    response = d.get("/api/a")
    assert response.status in (503, 429) and origin.count() == 2


def test_limit_of_some_requests_holds_only_those(weir, origin):
    d = weir(limits=[{"rate": "1/h", "match": "/search/**"}, {"rate": "1/h", "methods": ["POST"]}, "10/h"], queue={"max_wait": "2s"})
    assert [d.get(f"/api/search/{i}").status for i in range(2)] == [200, 429]
    assert [d.request("POST", "/api/x", body=b"").status for _ in range(2)] == [200, 429]
    assert d.get("/api/other").status == 200


def test_limit_per_credential(weir, origin):
    d = weir(limits=[{"rate": "1/h", "per": "credential"}], queue={"max_wait": "2s"})

    def ask(who, i):
        return d.get(f"/api/{who}{i}", [("Authorization", who)]).status
    assert [ask("ann", 1), ask("ann", 2), ask("bob", 1), ask("bob", 2)] == [200, 429, 200, 429]


def test_limits_shows_the_busiest_credentials_and_how_many_more(weir, origin):
    d = weir(limits=["1000/h", {"rate": "3/h", "per": "credential"}], queue={"max_wait": "1s"})
    with d.connect() as client:
        for i in range(60):
            assert client.get(f"/api/{i}", [("Authorization", f"token-{i}")]).status == 200
        for i in range(3):
            client.get(f"/api/again{i}", [("Authorization", "token-33")])
    told = d.ctl_json("limits")
    each = [limit["left"] for limit in told["limits"] if "credential" in limit]
    assert each == [0] + [2] * 19 and told["more"] == [{"upstream": "api", "buckets": 40}]
    assert "api          and 40 more of credentials that are less busy" in d.ctl("limits").stdout
    busiest = next(limit for limit in told["limits"] if limit.get("credential"))
    found = d.ctl_json("limits", busiest["credential"])
    assert [(limit["credential"], limit["left"]) for limit in found["limits"]] == [(busiest["credential"], 0)]
    assert [limit["limit"] for limit in d.ctl_json("limits", "1000/h")["limits"]] == ["1000/h"]
    assert d.ctl_json("limits", "no such & name=1")["limits"] == []
    d.kill()
    d.start()
    assert d.get("/api/later", [("Authorization", "token-33")]).status == 429


def test_cost_by_method_and_status(weir, origin):
    d = weir(limits=[{"rate": "6/h", "cost": ["GET 1", "* 5"]}], queue={"max_wait": "2s"})
    assert d.request("POST", "/api/x", body=b"").status == 200
    assert d.request("POST", "/api/x", body=b"").status == 429
    assert [d.get(f"/api/{i}").status for i in range(2)] == [200, 429]


def test_used_up_quota_is_still_used_up_after_a_restart(weir, origin, clock):
    d = weir(limits=["3/day"], queue={"max_wait": "2s"})
    for i in range(2):
        assert d.get(f"/api/{i}").status == 200
    d.restart()
    assert [d.get(f"/api/r{i}").status for i in range(2)] == [200, 429]
    d.kill()
    d.start()
    assert d.get("/api/k").status == 429
    clock.advance(DAY + 1)
    assert d.get("/api/l").status == 200


def test_quota_is_neither_doubled_nor_lost_over_kills(weir, origin):
    """kill -9 with requests in flight, again and again: never one over, and each crash loses a lease at most."""
    d = weir(limits=["60/day"], queue={"max_wait": "1s"}, max_in_flight=4)
    for _ in range(4):
        clients = fire(d, 8)
        origin.wait_requests(origin.count() + 1)
        d.kill()
        for client in clients:
            client.close()
        d.start()
    for i in range(61):
        if d.get(f"/api/end{i}").status == 429:
            break
    lent, on_their_way = 3, 4                        # a sixteenth; max_in_flight, of which perhaps none arrived
    assert 60 - 4 * (lent + on_their_way) <= origin.count() <= 60


def test_used_up_quota_survives_flush_and_reload(weir, origin):
    d = weir(limits=["2/day"], queue={"max_wait": "2s"})
    for i in range(2):
        assert d.get(f"/api/{i}").status == 200
    assert d.ctl("flush").returncode == 0 and d.ctl("reload").returncode == 0
    assert d.get("/api/x").status == 429


# -- what the API says -------------------------------------------------------------

def test_retry_after_of_the_api_holds_the_next_requests(weir, origin, clock):
    origin.script(answer(429, b"slow down", [("Retry-After", "120")]), answer(200, b"ok"))
    d = weir(limits=["100/min"], queue={"max_wait": "2s"})
    assert d.get("/api/a").status == 429
    held = d.get("/api/b")
    assert held.status == 429 and 110 <= int(held.fields.get("Retry-After")) <= 120 and origin.count() == 1
    clock.advance(121)
    assert d.get("/api/b").body == b"ok"


def test_remaining_zero_holds_until_the_reset(weir, origin, clock):
    origin.script(answer(200, b"last", [("RateLimit-Limit", "10"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "60")]),
                  answer(200, b"ok"))
    d = weir(limits=["100/min"], queue={"max_wait": "2s"})
    assert d.get("/api/a").body == b"last"
    assert d.get("/api/b").status == 429 and origin.count() == 1
    clock.advance(62)
    assert d.get("/api/b").body == b"ok"


@pytest.mark.parametrize("head", [[("Retry-After", "60")], [], [("X-RateLimit-Remaining", "9")]])
def test_secondary_limit_of_github(weir, origin, clock, head):
    """A 403 that says so, in head or body, holds those whom it concerns: nobody else's token, no search."""
    secondary = answer(403, b'{"message":"You have exceeded a secondary rate limit."}', head)
    d = weir(limits=[{"rate": "500/h", "per": "credential"}, {"rate": "30/min", "per": "credential", "match": "/search/**"}],
             queue={"max_wait": "2s"})
    ann, bob = [("Authorization", "ann")], [("Authorization", "bob")]
    origin.script(secondary, answer(200, b"ok"))
    assert d.get("/api/repos/1", ann).status == 403
    until(lambda: any(b["blocked_for_s"] > 0 for b in d.ctl_json("limits")["limits"]), "the limit to be learned")
    assert d.get("/api/repos/2", ann).status == 429 and d.get("/api/repos/3", bob).status == 200
    d.restart()
    assert d.get("/api/repos/4", ann).status == 429
    clock.advance(61)
    assert d.get("/api/repos/5", ann).status == 200


def test_exhausted_search_freezes_nothing_else(weir, origin, clock):
    gone = [("X-RateLimit-Limit", "30"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Resource", "search"),
            ("X-RateLimit-Reset", str(int(time.time()) + 50))]
    origin.script(answer(200, b"x", gone), answer(401, b"who?", [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "50")]),
                  answer(403, b"no", [("X-RateLimit-Remaining", "9"), ("X-RateLimit-Reset", "50")]), answer(200))
    d = weir(limits=[{"rate": "5000/h window learned", "per": "credential"},
                     {"rate": "30/min", "per": "credential", "match": "/search/**"}], queue={"max_wait": "2s"})
    ann = [("Authorization", "ann")]
    assert d.get("/api/search/1", ann).status == 200
    assert [d.get(f"/api/repos/{i}", ann).status for i in range(3)] == [401, 403, 200]
    assert d.get("/api/search/2", ann).status == 429 and d.get("/api/search/2", [("Authorization", "bob")]).status == 200
    d.restart()
    assert d.get("/api/search/3", ann).status == 429 and d.get("/api/repos/9", ann).status == 200
    clock.advance(55)
    assert d.get("/api/search/4", ann).status == 200


# -- the queue ----------------------------------------------------------------------

def test_waiting_requests_go_in_order(weir, origin):
    origin.handler = gate = Gate()
    d = weir(max_in_flight=1, queue={"max_wait": "60s"})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    clients = enqueue(d, [f"/api/{i}" for i in range(6)])
    gate.open()
    assert [r.body for r in collect(clients)] == [b"/%d" % i for i in range(6)]
    collect(first)
    assert [r.target for r in origin.requests] == ["/first0"] + [f"/{i}" for i in range(6)]
    assert origin.most_in_flight == 1


def test_max_in_flight_is_never_exceeded(weir, origin):
    origin.handler = gate = Gate()
    d = weir(max_in_flight=3, queue={"max_wait": "60s"})
    clients = fire(d, 12)
    origin.wait_requests(3)
    until(lambda: waiting(d) == 9, "nine to wait")
    gate.open()
    assert {r.status for r in collect(clients)} == {200}
    assert origin.most_in_flight == 3 and origin.count() == 12


def test_connection_pool_has_two_bounds(weir, origin):
    origin.handler = gate = Gate()
    d = weir(max_connections=3, max_idle_connections=1, queue={"max_wait": "60s"})
    clients = fire(d, 9)
    origin.wait_requests(3)
    until(lambda: waiting(d) == 6, "six to wait")
    assert upstreams_of(d)[0]["connections"] == 3
    gate.open()
    assert {r.status for r in collect(clients)} == {200} and origin.most_in_flight == 3
    until(lambda: upstreams_of(d)[0]["connections"] <= 1, "one idle connection at most")


def test_max_length_of_the_queue(weir, origin):
    origin.handler = gate = Gate()
    d = weir(max_in_flight=1, queue={"max_wait": "60s", "max_length": 2})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    clients = enqueue(d, ["/api/a", "/api/b"])
    refused = d.get("/api/c")
    assert refused.status == 429 and "Retry-After" in refused.fields
    problem = json.loads(refused.body)
    assert problem["title"] == "Queue full" and "2 requests wait there (queue.max_length)" in problem["detail"]
    gate.open()
    assert {r.status for r in collect(first + clients)} == {200} and origin.count() == 3


@pytest.mark.parametrize("bound, said", [
    ({"max_in_flight": 1}, "(max_in_flight = 1)"),
    ({"max_in_flight": 0, "max_connections": 1}, "(max_connections = 1)"),
    ({"max_in_flight": 5, "max_connections": 1}, "(max_in_flight = 5, max_connections = 1)"),
], ids=["in_flight", "connections", "both"])
def test_places_that_are_taken_are_called_that(weir, origin, bound, said):
    origin.handler = gate = Gate()
    d = weir(**bound, limits=["100/s"], queue={"max_wait": "60s"})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    refused = d.get("/api/x", [("Weir-Max-Wait", "50ms")])
    assert refused.status == 429 and said in json.loads(refused.body)["detail"]
    gate.open()
    collect(first)


@pytest.mark.parametrize("rate", ["2/min", "10/s burst 2", "2/day window 00:00 UTC"])
def test_what_costs_more_than_its_limit_allows_is_told_so_and_not_when_to_try_again(weir, origin, rate):
    d = weir(limits=[{"rate": rate, "cost": ["POST 3"]}])
    refused = d.request("POST", "/api/x", body=b"1")
    problem = json.loads(refused.body)
    assert refused.status == 429 and "can never pass the limit" in problem["detail"] and rate in problem["detail"]
    assert "Retry-After" not in refused.fields and "retry_after_ms" not in problem and origin.count() == 0


def test_a_days_quota_says_when_the_day_begins(weir, origin):
    d = weir(limits=[{"rate": "1/day window 06:30 America/New_York", "name": "daily"}], queue={"max_wait": "1s"})
    assert d.get("/api/1").status == 200
    detail = json.loads(d.get("/api/2").body)["detail"]
    assert re.search(r'"daily" of upstream api is used up; it begins anew at 06:30 America/New_York, in \d+ (d|h|min|s) \d', detail)


def test_interactive_goes_before_batch(weir, origin):
    origin.handler = gate = Gate()
    d = weir(max_in_flight=1, queue={"max_wait": "60s"})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    clients = enqueue(d, ["/api/batch1", "/api/batch2", "/api/now1", "/api/now2"],
                      lambda t: [("Weir-Priority", "batch" if "batch" in t else "interactive")])
    gate.open()
    collect(first + clients)
    assert [r.target for r in origin.requests][1:] == ["/now1", "/now2", "/batch1", "/batch2"]


def test_queue_is_fair_between_clients(weir, origin):
    origin.handler = gate = Gate()
    d = weir(max_in_flight=1, queue={"max_wait": "60s"})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    clients = enqueue(d, ["/api/a1", "/api/a2", "/api/a3", "/api/a4", "/api/b1"], lambda t: [("Weir-Client", t[5])])
    gate.open()
    collect(first + clients)
    order = [r.target for r in origin.requests][1:]
    assert order.index("/b1") <= 1 and [t for t in order if t[1] == "a"] == ["/a1", "/a2", "/a3", "/a4"]


@pytest.mark.parametrize("on_abort, asked", [("drop", False), ("finish", True)])
def test_client_that_leaves_the_queue(weir, origin, on_abort, asked):
    origin.handler = gate = Gate()
    d = weir(max_in_flight=1, queue={"max_wait": "60s"}, on_abort=on_abort, ttl="1h")
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    gone, stays = enqueue(d, ["/api/gone", "/api/stays"])
    gone.reset()
    d.wait_counter("client_gone", 1)
    gate.open()
    collect(first + [stays])
    until(lambda: upstreams_of(d)[0]["in_flight"] == 0 and waiting(d) == 0, "the queue to empty")
    assert ("/gone" in [r.target for r in origin.requests]) == asked


def test_post_that_leaves_the_queue_is_not_sent(weir, origin):
    origin.handler = gate = Gate()
    d = weir(max_in_flight=1, queue={"max_wait": "60s"})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    client = d.connect()
    client.start("POST", "/api/gone", body=b"x")
    until(lambda: waiting(d) == 1, "the POST in the queue")
    client.reset()
    until(lambda: waiting(d) == 0, "the POST out of the queue")
    gate.open()
    collect(first)
    assert origin.count() == 1


def test_weir_max_wait_refuses_at_once(weir, origin):
    d = weir(limits=["1/min"], queue={"max_wait": "10m"})
    assert d.get("/api/a").status == 200
    refused = d.get("/api/b", [("Weir-Max-Wait", "2s")])
    assert refused.status == 429 and 40 <= int(refused.fields.get("Retry-After")) <= 61


def test_hit_does_not_wait_for_the_budget(weir, origin):
    origin.reply(body=b"x", fields=[("Cache-Control", "max-age=3600")])
    d = weir(limits=["1/min"], queue={"max_wait": "10m"})
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as waits, d.connect() as client:
        waits.start("GET", "/api/other")
        until(lambda: waiting(d) == 1, "one to wait")
        for _ in range(20):
            assert client.get("/api/x").cache.hit


def test_one_budget_of_two_upstreams(daemons, origin, origins):
    other = origins()
    d = daemons(upstream(origin, name="a", budget="common", limits=["2/h"], queue={"max_wait": "2s"}),
                upstream(other, name="b", budget="common", limits=["2/h"], queue={"max_wait": "2s"})).start()
    assert [d.get(t).status for t in ("/a/1", "/b/1", "/a/2", "/b/2")] == [200, 200, 429, 429]
    assert origin.count() + other.count() == 2


def test_stale_is_served_where_the_budget_refuses(weir, origin, clock):
    origin.reply(body=b"old", fields=[("Cache-Control", "max-age=60")])
    d = weir(limits=["1/day"], queue={"max_wait": "2s"}, stale_if_error="1d")
    d.get("/api/x")
    d.wait_stored()
    clock.advance(HOUR)
    response = d.get("/api/x")
    assert (response.status, response.body) == (200, b"old") and origin.count() == 1


# -- a budget that runs short --------------------------------------------------------

@pytest.mark.parametrize("below, limits, first_spared", [("50%", ["4/h"], 3), ("3", ["4/h"], 2), ("5", ["4/h"], None)])
def test_low_budget_serves_stale_rather_than_spend(weir, origin, clock, below, limits, first_spared):
    """One request stores; each of the next is stale, and asked again only while enough is left."""
    origin.reply(body=b"x", fields=[("Cache-Control", "max-age=60")])
    d = weir(limits=limits, low_budget={"below": below, "stale": "50m"}, queue={"max_wait": "1s"})
    spared = []
    for i in range(4):
        response = d.get("/api/x")
        assert response.status == 200
        if response.cache.hit:
            spared.append(i)
            assert "low-budget" in response.fields.get("Cache-Status")
        else:
            d.wait_counter("upstream_attempts", i + 1)
            until(lambda: d.get("/api/x", [("Cache-Control", "only-if-cached")]).status == 200, "the answer stored")
        clock.advance(61)
    assert spared == ([] if first_spared is None else list(range(first_spared, 4)))
    assert origin.count() == 4 - len(spared)


def test_low_budget_refreshes_nothing_behind(weir, origin, clock):
    origin.reply(body=b"x", fields=[("Cache-Control", "max-age=60")])
    d = weir(limits=["2/h"], low_budget={"below": "75%", "stale": "1h"}, stale_while_revalidate="1h")
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    for _ in range(3):
        assert d.get("/api/x").cache.hit
    assert d.get("/api/y").status == 200 and origin.count() == 2, "what was not spent on a refresh is left"


# -- what it says of its own ledger ---------------------------------------------------

def test_ratelimit_fields_of_the_ledger(weir, origin, clock):
    d = weir(limits=["1000/day", "3/h"], queue={"max_wait": "1s"})
    for left in (2, 1, 0):
        fields = d.get(f"/api/{left}").fields
        assert re.fullmatch(r'"weir: 3/h";r=%d;t=3[56]\d\d' % left, fields.get("RateLimit")), fields.get("RateLimit")
        assert fields.get("RateLimit-Policy") == '"weir: 3/h";q=3;w=3600'
    refused = d.get("/api/x")
    assert refused.fields.get("RateLimit").startswith('"weir: 3/h";r=0;') and json.loads(refused.body)["limit"] == "3/h"


@pytest.mark.parametrize("of_api, joined", [('"api";r=5;t=9', '"api";r=5;t=9, "weir: 9/h";r='), ("limit=9, remaining=5, reset=9", None)])
def test_ratelimit_of_the_api_stays_in_front(weir, origin, of_api, joined):
    origin.reply(body=b"x", fields=[("RateLimit", of_api)])
    told = weir(limits=["9/h"]).get("/api/x").fields.get("RateLimit")
    assert told.startswith(joined) if joined else told == of_api


@pytest.mark.slow
def test_limits_hold_over_four_processes(weir, origin, place):
    """Four Python processes with requests.Session: together not one over the limit."""
    d = weir(limits=["20/s"], queue={"max_wait": "60s"})
    script = ("import requests,sys\ns=requests.Session();s.trust_env=False\n"
              "for i in range(15):\n r=s.get('%s/api/%%s/%%d'%%(sys.argv[1],i),timeout=60);assert r.status_code==200,r.text\n" % d.url)
    workers = [subprocess.Popen([sys.executable, "-c", script, str(n)]) for n in range(4)]
    try:
        with Stalls() as stalls:
            assert [w.wait(seconds(40)) for w in workers] == [0] * 4
    finally:
        for w in workers:
            w.kill()
            w.wait()
    assert origin.count() == 60 and origin.most_in_any(1.0 - stalls.worst) <= 20
