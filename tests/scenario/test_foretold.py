"""Who cannot be served in time hears so at once: waits are foretold from the places at the API and its pace."""
import contextlib
import json
import re
import select
import threading

import pytest

from harness.client import Client
from harness.queueing import collect, waiting
from harness.wait import until

PLACES, TIME = 10, 500                          # seconds, on the clock that is moved: what a loaded machine adds is little beside it
SLACK = 50                                      # that little: a figure is right where it is TIME's, so many seconds about
PATIENT = [("Weir-Max-Wait", "2250s")]          # four rounds begin in that time, and a fifth does not
SLOW = {"max_in_flight": PLACES, "queue": {"max_wait": "3h"}, "timeout": {"connect": "2h", "read": "2h", "write": "2h", "total": "10h"}}


@pytest.fixture
def slow(weir, place):
    """A daemon before a slow API.  On a unix socket the kernel says who asks: nobody counts as somebody else."""
    def start(**settings):
        d = weir(settings={"listen": ["127.0.0.1:0", f"unix:{place}/data.sock"]}, **SLOW, **settings)
        d.socket = f"{place}/data.sock"
        return d
    return start


def fire(d, count, target="/api/%d", fields=()):
    """`count` requests at once, each on a connection of its own."""
    clients = [Client(d.socket, timeout=30) for _ in range(count)]
    for i, client in enumerate(clients):
        client.start("GET", target % i, fields)
    return clients


class Api:
    """Each request is answered when the test says that its time is over, in their order."""

    def __init__(self, origin):
        self.origin, self.held, self.answered = origin, [], 0
        origin.handler = self

    def __call__(self, request, conn):
        done = threading.Event()
        self.held.append(done)
        conn.wait(done)
        conn.answer(body=b"x", fields=[("Cache-Control", "no-store")])

    def busy(self):
        return len(self.held) - self.answered

    def answer(self, count):
        for event in self.held[self.answered:self.answered + count]:
            self.answered += 1
            event.set()

    def release(self):
        """At the end of a test."""
        self.origin.handler = lambda request, conn: conn.answer(body=b"x")
        for event in list(self.held):
            event.set()


@contextlib.contextmanager
def api_of(origin):
    api = Api(origin)
    try:
        yield api
    finally:
        api.release()


def learn(d, clock, api, count=PLACES, took=TIME):
    """So many requests at once, each of which takes that long."""
    before = api.answered
    clients = fire(d, count, "/api/learn-%d")
    until(lambda: api.busy() == count, "all of them at the API")
    clock.advance(took)
    api.answer(count)
    assert [r.status for r in collect(clients)] == [200] * count
    assert api.answered == before + count
    until(lambda: d.counter("in_flight") == 0, "their places to be free")


def heard(clients):
    poll, by_fd = select.poll(), {c.sock.fileno(): c for c in clients}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    return [by_fd[fd] for fd, _ in poll.poll(0)]


def split(clients, d, count):
    """Those that were refused while nothing came back from the API, and the others."""
    until(lambda: waiting(d) + PLACES + d.counter("budget_refused") == count, "everybody to wait, or to have heard")
    refused = d.counter("budget_refused")
    until(lambda: len(heard(clients)) == refused, "their answers")
    answers = heard(clients)
    return answers, [c for c in clients if c not in answers]


def test_two_hundred_for_ten_places(slow, origin, clock):
    with api_of(origin) as api:
        d = slow()
        learn(d, clock, api)
        clients = fire(d, 200, fields=PATIENT)
        refused, left = split(clients, d, 200)
        # Ten are at the API, and four rounds of ten begin within 2250 s: that is what there is.
        assert len(left) == PLACES + 4 * PLACES
        for response in collect(refused):
            assert response.status == 429
            # They would be among the fifth round, which begins in 2500 s.
            assert 5 * (TIME - SLACK) <= int(response.fields.get("Retry-After")) <= 5 * (TIME + SLACK)
            problem = json.loads(response.body)
            assert problem["limit"] == "queue"
            assert "max_in_flight = 10" in problem["detail"]
        for _ in range(5):
            until(lambda: api.busy() == PLACES, "a round at the API")
            clock.advance(TIME)
            api.answer(PLACES)
        assert [r.status for r in collect(left)] == [200] * len(left)
        # And now that nobody is there, everybody is welcome.
        learn(d, clock, api)


def test_retry_after_is_right(slow, origin, clock):
    with api_of(origin) as api:
        d = slow()
        learn(d, clock, api)
        first = fire(d, PLACES + 4 * PLACES, "/api/first-%d")
        until(lambda: waiting(d) == 4 * PLACES, "the line")
        after = int(d.get("/api/second", PATIENT).fields.get("Retry-After"))
        for _ in range(4):
            until(lambda: api.busy() == PLACES, "a round at the API")
            clock.advance(TIME)
            api.answer(PLACES)
        until(lambda: api.busy() == PLACES and waiting(d) == 0, "the last round at the API")
        clock.advance(after - 4 * TIME)
        api.answer(PLACES)
        again = fire(d, 1, "/api/second-%d", [("Weir-Max-Wait", "1s")])
        until(lambda: api.busy() == 1, "the one that came back in time")
        api.answer(1)
        assert [r.status for r in collect(first + again)] == [200] * 51


def test_the_log_and_the_status_say_the_same(slow, origin, clock):
    with api_of(origin) as api:
        d = slow()
        learn(d, clock, api)
        first = fire(d, PLACES, "/api/first-%d")
        until(lambda: api.busy() == PLACES, "all places to be taken")
        told = d.status()["upstreams"][0]["predicted_wait_s"]
        assert TIME - SLACK <= told <= TIME + SLACK
        assert re.search(r"the next waits [789]m", d.ctl("status").stdout)
        refused = d.get("/api/refused", [("Weir-Max-Wait", "1s")])
        assert refused.status == 429 and abs(int(refused.fields.get("Retry-After")) - told) <= SLACK
        second = fire(d, 1, "/api/second-%d")
        until(lambda: waiting(d) == 1, "one to wait")
        clock.advance(TIME)
        api.answer(PLACES)
        until(lambda: api.busy() == 1, "its turn")
        api.answer(1)
        assert [r.status for r in collect(first + second)] == [200] * 11
        line = next(x for x in d.access(22) if x["target"].endswith("/second-0"))
        assert abs(line["predicted_ms"] / 1000 - told) <= SLACK


def test_of_an_unknown_api_nothing_is_foretold(slow, origin, clock):
    with api_of(origin) as api:
        d = slow()
        clients = fire(d, 200, fields=PATIENT)
        until(lambda: waiting(d) == 190, "all others to wait")
        assert d.counter("budget_refused") == 0
        # As soon as four answers have come, those hear it who cannot be served in what is left of their time.
        until(lambda: api.busy() == PLACES, "a round at the API")
        clock.advance(TIME)
        api.answer(PLACES)
        until(lambda: api.busy() == PLACES and waiting(d) + d.counter("budget_refused") == 180, "the next round")
        until(lambda: 20 <= waiting(d) <= 3 * PLACES, "those to have heard who would be too late")
        for _ in range(4):
            until(lambda: api.busy() == PLACES or waiting(d) == 0 and d.counter("in_flight") == api.busy(), "a round at the API")
            clock.advance(TIME)
            api.answer(PLACES)
        statuses = [r.status for r in collect(clients)]
        assert 40 <= statuses.count(200) <= 50 and statuses.count(200) + statuses.count(429) == 200


def test_who_is_alone_in_his_program_is_not_refused_for_another_ones_line(slow, origin, clock):
    """A newcomer has one of the next turns, however many of another's wait."""
    with api_of(origin) as api:
        d = slow()
        learn(d, clock, api)
        crowd = fire(d, PLACES + 100, "/api/crowd-%d", [("Weir-Client", "crowd")])
        until(lambda: waiting(d) == 100, "the crowd to wait")
        other = fire(d, 1, "/api/other-%d", [("Weir-Client", "other"), ("Weir-Max-Wait", "600s")])
        until(lambda: waiting(d) == 101, "the other to wait")
        assert d.counter("budget_refused") == 0
        clock.advance(TIME)
        api.answer(PLACES)
        until(lambda: any(r.target == "/other-0" for r in origin.requests), "the other's turn")
        api.release()
        assert [r.status for r in collect(other + crowd)] == [200] * 111


def test_an_exhausted_limit_of_others_takes_no_places(slow, origin, clock):
    """Those that wait for a limit of their own are not before whoever waits for none."""
    with api_of(origin) as api:
        d = slow(limits=[{"rate": "10/day", "match": "/search/**", "name": "search"}])
        learn(d, clock, api)
        search = fire(d, PLACES, "/api/search/%d")
        until(lambda: api.busy() == PLACES, "the first ten at the API")
        more = fire(d, 20, "/api/search/more-%d", [("Weir-Max-Wait", "3d")])
        until(lambda: waiting(d) == 20, "the others to wait for tomorrow")
        other = fire(d, 1, "/api/other-%d", [("Weir-Max-Wait", "600s")])
        until(lambda: waiting(d) == 21, "the other to wait")
        assert d.counter("budget_refused") == 0
        clock.advance(TIME)
        api.answer(PLACES)
        until(lambda: api.busy() == 1, "its turn")
        api.answer(1)
        assert [r.status for r in collect(search + other)] == [200] * 11
        for client in more:
            client.close()
