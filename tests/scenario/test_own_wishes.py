"""Who shares an upstream request keeps his own time-outs and waits: another's end nothing for him."""
import threading

import pytest

from harness.origin import answer
from harness.wait import until

FRESH = [("Cache-Control", "max-age=3600")]
PATIENT = {"timeout": {"read": "10s", "total": "1h"}}
SHORT = [("Weir-Timeout", "2s")]


@pytest.fixture
def weir(weir):
    """With one worker: what it was asked before something that it has answered, it has passed on."""
    def start(settings=None, **of_upstream):
        return weir(settings={"workers": 1, **(settings or {})}, **of_upstream)
    return start


def is_passed_on(d, count):
    """So many requests have come, and the upstream thread has seen what became of them."""
    d.wait_counter("requests", count)
    assert d.get("/.weir/health").status == 200
    d.status()


class Held:
    """Answers when it is let go; `before` is sent at once."""

    def __init__(self, before=b""):
        self.go, self.before = threading.Event(), before

    def __call__(self, request, conn):
        body = b"answer %d" % (conn.origin.requests.index(request) + 1)
        if self.before:
            conn.head(200, [("Content-Length", str(len(body))), *FRESH])
            conn.send(body[:3])
        conn.wait(self.go)
        if self.before:
            conn.send(body[3:])
        else:
            conn.answer(200, body, FRESH)


def ask(d, target="/api/x", fields=()):
    seen, client = d.counter("requests"), d.connect(timeout=30)
    client.start("GET", target, fields)
    is_passed_on(d, seen + 1)
    return client


def started(d, origin, *fields, target="/api/x"):
    """A client for each list of fields; the first is at the origin before the others begin, and all share its request."""
    clients = []
    for i, each in enumerate(fields):
        there = origin.count()
        clients.append(ask(d, target, each))
        if i == 0:
            origin.wait_requests(there + 1)
    return clients


@pytest.mark.parametrize("short", [0, 1, 2], ids=["leader", "second", "third"])
def test_a_short_time_out_ends_it_for_its_own_request_alone(weir, origin, clock, short):
    origin.handler = held = Held()
    d = weir(retry={"attempts": 1}, **PATIENT)
    clients = started(d, origin, *[SHORT if i == short else [] for i in range(3)])
    clock.advance(3)
    response = clients[short].read_response()
    assert response.status == 504 and response.proxy_status.error == "http_response_timeout"
    assert "Weir-Timeout" in response.text
    held.go.set()
    for i, client in enumerate(clients):
        if i != short:
            assert client.read_response().body == b"answer 1"
    assert origin.count() == 1


def test_a_short_one_in_mid_body_cuts_its_own_copy_alone(weir, origin, clock):
    origin.handler = held = Held(before=b"ans")
    d = weir(**PATIENT)
    short, patient = started(d, origin, SHORT, [])
    heads = [client.read_head() for client in (short, patient)]
    assert [head.status for head in heads] == [200, 200]
    clock.advance(3)
    assert short.read_body(heads[0]).end in ("cut", "reset")
    held.go.set()
    assert patient.read_body(heads[1]).body == b"answer 1"
    d.wait_stored()                                  # it was whole
    assert origin.count() == 1


def test_a_longer_one_is_waited_for(weir, origin, clock):
    origin.handler = held = Held()
    d = weir(retry={"attempts": 1}, **PATIENT)
    plain, patient = started(d, origin, [], [("Weir-Timeout", "1m")])
    clock.advance(11)
    assert plain.read_response().status == 504
    clock.advance(40)
    held.go.set()
    assert patient.read_response().body == b"answer 1"


def test_equal_ones_are_tried_again_together(weir, origin, clock):
    """The attempt is over for all of them, and its retry is for all of them."""
    held = Held()
    origin.script(held, answer(200, b"again", FRESH))
    d = weir(retry={"attempts": 2, "backoff": "10ms"}, **PATIENT)
    clients = started(d, origin, [], [], [])
    clock.advance(11)
    assert {client.read_response().body for client in clients} == {b"again"}
    assert origin.count() == 2
    held.go.set()


def test_nobody_prolongs_a_silent_attempt_by_coming_late(weir, origin, clock):
    held = Held()
    origin.script(held, answer(200, b"again", FRESH))
    d = weir(retry={"attempts": 2, "backoff": "10ms"}, **PATIENT)
    first, = started(d, origin, [])
    clock.advance(7)
    late = ask(d)
    clock.advance(4)
    assert first.read_response().body == late.read_response().body == b"again"
    held.go.set()


def test_who_is_alone_has_his_time_out_and_the_retries(weir, origin, clock):
    held = Held()
    origin.script(held, answer(200, b"again", FRESH))
    d = weir(retry={"attempts": 2, "backoff": "10ms"}, **PATIENT)
    client, = started(d, origin, SHORT)
    clock.advance(3)
    assert client.read_response().body == b"again"
    held.go.set()


def test_what_a_hasty_client_left_behind_is_waited_for(weir, origin, clock):
    """on_abort = finish: its place is kept for its retry, under the time-out of the rule."""
    origin.handler = held = Held()
    d = weir(retry={"attempts": 1}, **PATIENT)
    client, = started(d, origin, SHORT)
    client.reset()
    d.wait_counter("client_gone", 1)
    clock.advance(5)
    again = ask(d)
    held.go.set()
    assert again.read_response().body == b"answer 1"
    assert origin.count() == 1


def test_a_stale_answer_covers_for_the_one_that_gave_up(weir, origin, clock):
    held = Held()
    origin.script(answer(200, b"old", [("Cache-Control", "max-age=10")]), held)
    d = weir(stale_if_error="1d", retry={"attempts": 1}, **PATIENT)
    d.get("/api/x")
    d.wait_stored()
    clock.advance(20)
    short, patient = started(d, origin, SHORT, [])
    clock.advance(3)
    assert short.read_response().body == b"old"
    held.go.set()
    assert patient.read_response().body == b"answer 2"


# -- waits ------------------------------------------------------------------------


def test_a_short_max_wait_is_refused_alone_while_both_are_queued(weir, origin, clock):
    """The leader's as the follower's."""
    origin.reply(200, b"hello", FRESH)
    d = weir(limits=["1/min"], queue={"max_wait": "2m"})
    d.get("/api/other")
    patient = ask(d)
    hasty = d.get("/api/x", [("Weir-Max-Wait", "1s")])
    assert hasty.status == 429 and 0 < int(hasty.fields.get("Retry-After")) <= 62
    clock.advance(61)
    assert patient.read_response().body == b"hello"


@pytest.mark.parametrize("hasty_leads", [True, False], ids=["leader", "follower"])
def test_a_retry_is_not_waited_for_by_who_may_not_wait(weir, origin, clock, hasty_leads):
    """Retry-After: 20 is in time for the one, too late for the other: he gets the real answer at once."""
    go = threading.Event()

    def busy(request, conn):
        conn.wait(go)
        conn.answer(503, b"busy", [("Retry-After", "20")])
    origin.script(busy, answer(200, b"well", FRESH))
    d = weir(retry={"attempts": 3}, queue={"max_wait": "1m"})
    wishes = [[("Weir-Max-Wait", "10s")], []]
    clients = started(d, origin, *(wishes if hasty_leads else wishes[::-1]))
    hasty, patient = clients if hasty_leads else clients[::-1]
    go.set()
    response = hasty.read_response()
    assert (response.status, response.body, response.end) == (503, b"busy", "complete")
    clock.advance(21)
    assert patient.read_response().body == b"well"
    assert origin.count() == 2


def test_a_wait_that_is_over_between_two_attempts_ends_alone(weir, origin, clock):
    def drop(request, conn):
        conn.close()
    origin.script(drop, answer(200, b"well", FRESH))
    d = weir(retry={"attempts": 3, "backoff": "20s"}, queue={"max_wait": "2m"})
    clients = [d.connect(timeout=30) for _ in range(2)]
    clients[0].start("GET", "/api/x")
    until(lambda: d.counter("upstream_failures") == 1, "the first attempt to fail")
    clients[1].start("GET", "/api/x", [("Weir-Max-Wait", "1s")])
    assert clients[1].read_response().status in (429, 502)
    clock.advance(60)
    assert clients[0].read_response().body == b"well"


def test_who_goes_first_is_not_refused_for_a_batch_requests_place(weir, origin, clock):
    """The leader's place is behind other batch requests; he who joins has a better one, and puts it there."""
    origin.handler = lambda request, conn: conn.answer(200, request.path.encode(), FRESH)
    d = weir(limits=["1/min"], queue={"max_wait": "90s"})
    d.get("/api/spent")
    batch = []
    for target in ["/api/a", "/api/b", "/api/x"]:
        batch.append(ask(d, target, [("Weir-Priority", "batch"), ("Weir-Max-Wait", "1h")]))
    with ask(d) as client:
        clock.advance(61)
        response = client.read_response()
        assert (response.status, response.body) == (200, b"/x")
        assert batch[2].read_response().body == b"/x"
    assert [r.path for r in origin.requests] == ["/spent", "/x"]
    for client in batch:
        client.close()


# -- what the request itself says ---------------------------------------------------


def test_who_wants_it_new_does_not_go_with_a_request_that_does_not_say_so(weir, origin):
    """no-cache is for every cache on the way (RFC 9111 5.2.1.4); one that says so serves all."""
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.answer(200, request.fields.get("Cache-Control", "-").encode(), FRESH)
    origin.handler = handler
    d = weir(max_in_flight=1)
    blocker, = started(d, origin, [], target="/api/blocker")
    clients = [ask(d, "/api/x", fields)
               for fields in ([], [("Cache-Control", "no-cache")], [("Cache-Control", "no-cache")], [])]
    go.set()
    assert blocker.read_response().status == 200
    bodies = [client.read_response().text for client in clients]
    assert bodies[1] == bodies[2] == "no-cache"
    assert origin.count() == 3


@pytest.mark.parametrize("status", [401, 403, 429])
def test_what_is_said_of_a_credential_is_not_said_to_another(weir, origin, status):
    """partition = "shared": an answer is for all, a refusal for whom it refuses."""
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        if request.fields.get("Authorization") == "Bearer bad":
            conn.answer(status, b"no", FRESH)
        else:
            conn.answer(200, b"yes", FRESH)
    origin.handler = handler
    d = weir(partition="shared", ttl="1h", retry={"attempts": 1})
    bad, also_bad, good = started(d, origin, *[[("Authorization", f"Bearer {token}")] for token in ("bad", "bad", "good")])
    go.set()
    assert (bad.read_response().status, also_bad.read_response().status) == (status, status)
    assert good.read_response().body == b"yes"
    assert origin.count() == 2
