"""Connect, read, write and total time-outs, and the errors that Weir makes itself (contract sections 3 and 4)."""
import json
import socket
import threading
import time

import pytest

from harness.settings import QUIET, retry
from harness.wait import Stalls, seconds

LONG = {"connect": "60s", "read": "60s", "write": "60s", "total": "60s"}


@pytest.fixture
def never(origin):
    """An event nobody sets before the end of the test: it frees handlers that hold for ever."""
    event = threading.Event()
    yield event
    event.set()


def assert_problem(response, status):
    assert response.status == status and response.complete, response
    assert response.fields.get("Content-Type") == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == status and problem["title"] and problem["detail"]
    assert response.proxy_status is not None and response.proxy_status.error
    assert response.cache.fwd, "an error of Weir's own says what was tried"


def test_no_answer_is_504(weir, origin, never):
    origin.handler = lambda request, conn: conn.wait(never)
    d = weir(timeout={**LONG, "read": "300ms"})
    began = time.monotonic()
    assert_problem(d.get("/api/x"), 504)
    assert 0.25 <= time.monotonic() - began <= seconds(3)
    assert origin.count() == 1


def test_half_a_head_is_504(weir, origin, never):
    def handler(request, conn):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        conn.wait(never)
    origin.handler = handler
    assert_problem(weir(timeout={**LONG, "read": "300ms"}).get("/api/x"), 504)


def test_connect_timeout_is_504(daemons):
    """A listener whose backlog is full drops what comes: the connection is neither made nor refused."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        try:
            d = daemons({"name": "api", "url": "http://127.0.0.1:%d" % full.getsockname()[1], **QUIET,
                         "timeout": {**LONG, "connect": "300ms"}}).start()
            assert_problem(d.get("/api/x"), 504)
        finally:
            for filler in fillers:
                filler.close()


def test_stall_in_mid_body_breaks_off(weir, origin, never):
    def handler(request, conn):
        conn.head(200, [("Content-Length", "200000"), ("Cache-Control", "max-age=60")])
        conn.send(b"x" * 100000)
        conn.wait(never)
    origin.handler = handler
    d = weir(timeout={**LONG, "read": "300ms"})
    response = d.get("/api/x")
    assert response.status != 200 or response.end in ("cut", "reset")
    origin.reply(body=b"whole")
    assert d.get("/api/x").body == b"whole"


def test_trickle_is_ended_by_total(weir, origin, never):
    def handler(request, conn):
        conn.head(200, [("Transfer-Encoding", "chunked")])
        while not never.wait(0.05):
            conn.chunk(b"x")
    origin.handler = handler
    d = weir(timeout={**LONG, "total": "600ms"})
    began = time.monotonic()
    response = d.get("/api/x")
    assert response.status == 504 or response.end in ("cut", "reset")
    assert time.monotonic() - began <= seconds(5)


def test_slow_but_steady_origin_is_not_timed_out(weir, origin):
    """Every piece within `read`, the whole far beyond it."""
    go = threading.Event()

    def handler(request, conn):
        conn.head(200, [("Transfer-Encoding", "chunked")])
        for _ in range(8):
            assert not go.wait(0.25)
            conn.chunk(b"x")
        conn.last_chunk()
    origin.handler = handler
    d = weir(timeout={**LONG, "read": "%dms" % seconds(1500)})
    with Stalls() as stalls:
        response = d.get("/api/x")
    assert response.complete and response.body == b"x" * 8 or stalls.worst > 1


def test_origin_that_reads_nothing_is_ended_by_write(weir, origin, never):
    origin.read_bodies = False
    origin.handler = lambda request, conn: conn.wait(never)
    d = weir(timeout={**LONG, "write": "500ms"})
    with d.connect(timeout=30) as client:
        body = b"x" * (32 << 20)
        client.start("POST", "/api/x", [("Content-Length", str(len(body)))])
        try:
            client.send(body)
        except (BrokenPipeError, ConnectionResetError):
            return                                   # given up while the client still sent
        assert client.read_response().status == 504


def test_time_in_the_queue_is_not_counted(weir, origin):
    """An attempt has 1.5 s; the second request waits two seconds first."""
    d = weir(limits=["30/min burst 1"], queue={"max_wait": "30s"}, timeout={**LONG, "total": "%dms" % seconds(1500), "read": "%dms" % seconds(1500)})
    with d.connect() as one, d.connect() as two:
        one.start("GET", "/api/1")
        two.start("GET", "/api/2")
        assert {one.read_response().status, two.read_response().status} == {200}


def test_timed_out_get_is_repeated(weir, origin, never):
    held = []

    def handler(request, conn):
        if not held:
            held.append(request)
            conn.wait(never)
        conn.answer(body=b"second")
    origin.handler = handler
    d = weir(timeout={**LONG, "read": "300ms"}, retry=retry(attempts=2))
    assert d.get("/api/x").body == b"second" and origin.count() == 2


def test_timed_out_post_is_not_repeated(weir, origin, never):
    origin.handler = lambda request, conn: conn.wait(never)
    d = weir(timeout={**LONG, "read": "300ms"}, retry=retry(attempts=3))
    assert_problem(d.request("POST", "/api/x", body=b"abc"), 504)
    assert origin.count() == 1


def test_upstream_connection_is_closed_after_a_timeout(weir, origin):
    gone = []
    origin.handler = lambda request, conn: gone.append(conn.wait_gone())
    d = weir(timeout={**LONG, "read": "200ms"})
    assert d.get("/api/x").status == 504
    origin.wait_for(lambda: gone == [True] or origin.in_flight == 0, "the connection to be closed")
    assert gone == [True]


@pytest.mark.parametrize("of_upstream, of_rule", [("300ms", "60s"), ("60s", "300ms")], ids=["longer", "shorter"])
@pytest.mark.parametrize("what", ["read", "total"])
def test_a_rule_has_time_outs_of_its_own(weir, origin, what, of_upstream, of_rule):
    """One request below the rule, one beside it: that whose time is short fails, the other waits for its answer."""
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.answer(body=b"late")
    origin.handler = handler
    d = weir(timeout={**LONG, what: of_upstream}, rules=[{"match": "/slow/**", "timeout": {what: of_rule}}])
    paths = {"/api/slow/x": of_rule, "/api/other": of_upstream}
    short = next(path for path, time_ in paths.items() if time_ == "300ms")
    long = next(path for path in paths if path != short)
    with d.connect() as client:
        client.start("GET", long)
        assert_problem(d.get(short), 504)
        go.set()
        assert client.read_response().body == b"late"


def test_a_rule_has_a_connect_time_out_of_its_own(daemons):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        try:
            d = daemons({"name": "api", "url": "http://127.0.0.1:%d" % full.getsockname()[1], **QUIET, "timeout": LONG,
                         "rules": [{"match": "/quick", "timeout": {"connect": "300ms"}}]}).start()
            with d.connect() as client:
                client.start("GET", "/api/other")
                for _ in range(2):                   # the second one finds a handle that is set to this upstream
                    assert_problem(d.get("/api/quick"), 504)
                assert client.silent_for(0.1), "the rule's time-out has ended another request"
        finally:
            for filler in fillers:
                filler.close()
