"""Attempts: which are made again, when, and that each one is counted (contract section 5)."""
import email.utils
import threading
import time

import pytest

from harness.origin import answer, drop, reset
from harness.queueing import Gate, collect, fire
from harness.settings import retry, upstream
from harness.wait import seconds


def attempts_in_log(d, count=1):
    return [line["attempts"] for line in d.access(count)]


@pytest.mark.parametrize("failing", [answer(429), answer(500), answer(502), answer(503), answer(504), drop, reset],
                         ids=["429", "500", "502", "503", "504", "dropped", "reset"])
def test_get_is_repeated_and_each_attempt_counted(weir, origin, failing):
    origin.script(failing, failing, answer(200, b"third"))
    d = weir(retry=retry(attempts=3))
    response = d.get("/api/x")
    assert (response.status, response.body) == (200, b"third")
    assert origin.count() == 3
    assert d.counter("upstream_attempts") == 3 and d.counter("upstream_retries") == 2
    assert attempts_in_log(d) == [3]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501, 505])
def test_other_errors_are_not_repeated(weir, origin, status):
    origin.reply(status, b"no")
    response = weir(retry=retry(attempts=3)).get("/api/x")
    assert (response.status, response.body) == (status, b"no") and origin.count() == 1


def test_only_listed_statuses_are_repeated(weir, origin):
    origin.reply(503, b"no")
    assert weir(retry=retry(attempts=3, on=(500,))).get("/api/x").status == 503
    assert origin.count() == 1


def test_when_attempts_run_out_the_real_answer_passes(weir, origin):
    origin.reply(503, b"the real body", [("X-Real", "1")])
    response = weir(retry=retry(attempts=3)).get("/api/x")
    assert (response.status, response.body, response.fields.get("X-Real")) == (503, b"the real body", "1")
    assert origin.count() == 3


def test_when_attempts_run_out_without_an_answer_it_is_502(weir, origin):
    origin.handler = drop
    response = weir(retry=retry(attempts=3)).get("/api/x")
    assert response.status == 502 and response.proxy_status.error and origin.count() == 3


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
def test_idempotent_methods_are_repeated(weir, origin, method):
    origin.script(answer(503), answer(200))
    body = b"abc" if method == "PUT" else None
    assert weir(retry=retry()).request(method, "/api/x", body=body).status == 200
    assert origin.count() == 2 and {r.body for r in origin.requests} == {body or b""}


@pytest.mark.parametrize("method", ["POST", "PATCH", "BREW"])
@pytest.mark.parametrize("failing, status", [(answer(503), 503), (drop, 502), (reset, 502)], ids=["503", "dropped", "reset"])
def test_other_methods_are_not_repeated(weir, origin, method, failing, status):
    origin.handler = failing
    assert weir(retry=retry()).request(method, "/api/x", body=b"abc").status == status
    assert origin.count() == 1


@pytest.mark.parametrize("failing", [answer(503), drop], ids=["503", "dropped"])
def test_post_with_idempotency_key_is_repeated(weir, origin, failing):
    origin.script(failing, answer(200))
    assert weir(retry=retry()).request("POST", "/api/x", [("Idempotency-Key", "k1")], body=b"abc").status == 200
    assert [r.body for r in origin.requests] == [b"abc", b"abc"]


@pytest.mark.parametrize("size", [3, 100_000, 1 << 20])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_post_is_repeated_after_429_with_its_whole_body(weir, origin, size, chunked):
    body = (b"0123456789" * (size // 10 + 1))[:size]
    origin.script(answer(429), answer(200, b"done"))
    d = weir(retry=retry())
    with d.connect() as client:
        if chunked:
            client.start("POST", "/api/x", [("Transfer-Encoding", "chunked")])
            client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (size, body))
        else:
            client.start("POST", "/api/x", body=body)
        response = client.read_response()
    assert (response.status, response.body) == (200, b"done")
    assert [r.body == body for r in origin.requests] == [True, True]


def test_upload_larger_than_is_kept_passes_the_429_on(weir, origin):
    body = b"x" * ((1 << 20) + 100_000)
    origin.script(answer(429, b"too many"), answer(200))
    response = weir(retry=retry()).request("POST", "/api/x", body=body)
    assert (response.status, response.body) == (429, b"too many") and origin.count() == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_connection_is_repeated_for_every_method(daemons, origins, method):
    late = origins(start=False)
    d = daemons(upstream(late, retry=retry(attempts=100, backoff="20ms", max_backoff="100ms"), queue={"max_wait": "30s"},
                         timeout={"connect": "5s"})).start()
    with d.connect() as client:
        client.start(method, "/api/x", body=b"abc" if method == "POST" else None)
        d.wait_counter("upstream_unsent", 2)
        late.start()
        assert client.read_response().status == 200
    assert late.count() == 1


def test_refused_connection_is_502_in_the_end(daemons, origins):
    dead = origins(start=False)
    response = daemons(upstream(dead, retry=retry(attempts=2))).start().get("/api/x")
    assert response.status == 502 and response.proxy_status.error == "connection_refused"


def test_retry_is_counted_when_it_is_sent_and_only_then(daemons, origins):
    def counted():
        status = d.status()
        site = status["upstreams"][0]
        totals = [status["counters"][f"upstream_{name}"] for name in ("attempts", "retries")]
        assert [site["attempts"], site["retries"]] == totals
        return totals

    late, go = origins(start=False), threading.Event()
    d = daemons(upstream(late, retry=retry(attempts=3))).start()
    assert d.get("/api/x").status == 502
    assert d.counter("upstream_unsent") == 3 and counted() == [0, 0], "nothing reached the API"
    late.script(answer(503), lambda request, conn: (conn.wait(go), conn.answer(200)))
    late.start()
    with d.connect() as client:
        client.start("GET", "/api/x")
        late.wait_requests(2)
        assert counted() == [2, 1], "the retry is under way"
        go.set()
        assert client.read_response().status == 200
    assert counted() == [2, 1]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_reused_connection_that_dies_is_an_attempt_like_any_other(weir, origin, method):
    """The library below would send again by itself: every request at the origin must be one that was counted."""
    def dies_on_reuse(request, conn):
        first = sum(r.connection == request.connection for r in origin.requests) == 1
        conn.answer(body=b"first on its connection") if first else conn.close()
    origin.handler = dies_on_reuse
    d = weir(retry=retry(attempts=1))
    assert d.get("/api/warm").status == 200
    response = d.request(method, "/api/x", body=b"abc" if method == "POST" else None)
    assert origin.count() == d.counter("upstream_attempts")
    assert response.status == 502 and origin.count() == 2


def test_idle_connection_that_died_before_is_not_a_failure(weir, origin):
    """Closed by the origin between two requests: nothing was sent on it, the next goes out on a new one."""
    def once(request, conn):
        conn.answer(body=b"x")
        conn.close()
    origin.handler = once
    d = weir(retry=retry(attempts=1))
    assert d.get("/api/a").status == 200
    origin.wait_for(lambda: not origin.open_connections, "the connection to be closed")
    for i in range(5):
        assert d.request("POST", f"/api/{i}", body=b"b").status == 200
        origin.wait_for(lambda: not origin.open_connections, "the connection to be closed")
    assert origin.count() == 6 == d.counter("upstream_attempts")


# -- when ----------------------------------------------------------------------------

def test_backoff_grows(weir, origin):
    """Jitter above half: the n-th pause is at least half of backoff times 2^n, and bounded."""
    origin.script(*[answer(503)] * 4, answer(200))
    d = weir(retry=retry(attempts=5, backoff="100ms", max_backoff="400ms"))
    assert d.get("/api/x").status == 200
    times = origin.times()
    pauses = [b - a for a, b in zip(times, times[1:])]
    for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2)):
        assert least * 0.95 <= pause <= seconds(2 * least + 2), pauses


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(weir, origin, form, status):
    due = []

    def refuse(request, conn):
        due.append(int(time.time()) + 2)
        value = "1" if form == "seconds" else email.utils.formatdate(due[0], usegmt=True)
        conn.answer(status, b"", [("Retry-After", value)])
    origin.script(refuse, answer(200, b"ok"))
    d = weir(retry=retry(backoff="1ms"), queue={"max_wait": "30s"})
    assert d.get("/api/x").body == b"ok"
    first, second = origin.times()
    if form == "seconds":
        assert 0.99 <= second - first <= seconds(4)
    else:
        assert time.time() >= due[0] and second - first >= 0.9


def test_retry_after_beyond_max_wait_passes_the_answer_on_at_once(weir, origin):
    origin.reply(503, b"come back", [("Retry-After", "3600")])
    began = time.monotonic()
    response = weir(retry=retry(), queue={"max_wait": "5s"}).get("/api/x")
    assert (response.status, response.body, response.fields.get("Retry-After")) == (503, b"come back", "3600")
    assert origin.count() == 1 and time.monotonic() - began < seconds(4)


def test_share_bounds_retries(weir, origin):
    """40 failing requests of up to 5 attempts each; a share of 20 % allows few of the 160 retries."""
    origin.reply(500, b"no")
    d = weir(retry=retry(attempts=5, backoff="1ms", max_backoff="2ms", share="20%"))
    for i in range(40):
        assert d.get(f"/api/{i}").status in (500, 503)
    assert origin.count() <= 40 * 1.25 + 10 and origin.count() == d.counter("upstream_attempts")


def test_stored_answer_after_a_retry_is_a_hit(weir, origin):
    origin.script(answer(503), answer(200, b"ok", [("Cache-Control", "max-age=60")]))
    d = weir(retry=retry())
    assert d.get("/api/x").body == b"ok"
    d.wait_stored()
    assert d.get("/api/x").cache.hit and origin.count() == 2


# -- the breaker ---------------------------------------------------------------------

@pytest.mark.parametrize("dead", [drop, answer(502), answer(504)], ids=["dropped", "502", "504"])
def test_breaker_stops_asking_the_dead_and_probes(weir, origin, clock, dead):
    origin.handler = dead
    d = weir()
    for i in range(12):
        assert d.get(f"/api/{i}").status in (502, 503, 504)
    asked = origin.count()
    assert asked <= 11
    for i in range(20):
        response = d.get(f"/api/again{i}")
        assert response.status in (502, 503) and response.fields.get("Content-Type") == "application/problem+json"
    assert origin.count() <= asked + 1
    origin.reply(200, b"alive")
    clock.advance(60)
    assert d.get("/api/probe").body == b"alive"
    assert [d.get(f"/api/on{i}").status for i in range(3)] == [200] * 3


def test_open_breaker_answers_at_once_and_lets_one_probe_through(weir, origin, clock):
    origin.script(answer(200, b"old", [("Cache-Control", "max-age=1")]), drop)
    d = weir(stale_if_error="1h")
    d.get("/api/stored")
    d.wait_stored()
    clock.advance(2)
    while not any("upstream_breaker_open" in line for line in d.lines):
        assert d.get("/api/x").status in (502, 503)
    refused = d.get("/api/x")
    assert refused.status == 503 and 1 <= int(refused.fields.get("Retry-After")) <= 30
    assert d.get("/api/stored").body == b"old", "what is stored covers for the dead"
    origin.handler = gate = Gate()
    asked = origin.count()
    clock.advance(60)
    probe = fire(d, 1, "/api/probe%d")
    origin.wait_requests(asked + 1)
    assert d.get("/api/other").status == 503 and origin.count() == asked + 1, "one at a time"
    gate.open()
    assert [r.status for r in collect(probe)] == [200] and d.get("/api/other").status == 200


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_breaker_stays_closed_while_the_api_answers(weir, origin, status):
    origin.reply(status, b"no")
    d = weir()
    assert {d.get(f"/api/{i}").status for i in range(12)} == {status} and origin.count() == 12


def test_breaker_of_one_upstream_leaves_the_other_alone(daemons, origins):
    dead, alive = origins(), origins()
    dead.handler = drop
    d = daemons(upstream(dead, name="dead"), upstream(alive, name="alive")).start()
    for i in range(15):
        d.get(f"/dead/{i}")
    assert d.get("/alive/x").status == 200


def test_request_dropped_once_is_sent_twice_and_no_more(weir, origin):
    dropped = set()

    def handler(request, conn):
        if request.target in dropped:
            conn.answer(body=b"ok")
        else:
            dropped.add(request.target)
            conn.close()
    origin.handler = handler
    d = weir(retry=retry(attempts=2), max_connections=4)
    with d.connect() as client:
        for i in range(5):
            assert client.get(f"/api/{i}").body == b"ok"
    assert origin.count() == 10 == d.counter("upstream_attempts")
