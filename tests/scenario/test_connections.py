"""An API's connections: what waits on one that is reused is nobody's answer (contract section 7), and a dead one costs nothing."""
import socket
import ssl
import subprocess
import threading

import pytest

from harness.queueing import collect, fire
from harness.settings import retry, upstream
from harness.tls import TlsOrigin
from harness.wait import SANITIZER, until

FRESH = ("Cache-Control", "max-age=3600")
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=3600\r\n\r\nevil"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def say(*pieces, close=False):
    def act(conn):
        conn.send(*pieces)
        if close:
            conn.close()
    return act


def notify_and_close(conn):
    conn.close_notify()
    conn.close()


PLAIN = {
    "closed": lambda conn: conn.close(),
    "reset": lambda conn: conn.reset(),
    "timed_out": say(TIMED_OUT, close=True),
    "timed_out_still_open": say(TIMED_OUT),
    "second_answer": say(EVIL),
    "second_answer_closed": say(EVIL, close=True),
    "half_an_answer": say(EVIL[:-2]),
    "two_answers": say(EVIL, EVIL),
    "an_end_of_line": say(b"\r\n"),
    "binary": say(b"\0\1\2\3"),
    "much": say(EVIL * 200),
}
OVER_TLS = {**PLAIN, "notified": lambda conn: conn.close_notify(), "notified_and_closed": notify_and_close}
CASES = [("http", name) for name in PLAIN] + [("https", name) for name in OVER_TLS]


def entry(origin, **settings):
    if origin.scheme == "https":
        settings.setdefault("tls", {"ca_file": origin.ca_file})
    return upstream(origin, **settings)


@pytest.fixture
def origin_of(origins, place):
    made = []

    def make(scheme, **kwargs):
        if scheme == "http":
            return origins()
        made.append(TlsOrigin(place, **kwargs))
        made[-1].start()
        return made[-1]
    yield make
    for each in made:
        each.stop()
    errors = [error for each in made for error in each.errors]
    assert not errors, "the origin's script: " + "; ".join(errors)


def let_die(d, origin, count, act):
    """So many idle connections, each of which then does what `act` says, by its own thread."""
    together, now, done = threading.Barrier(count), threading.Event(), threading.Semaphore(0)

    def handler(request, conn):
        together.wait(20)
        conn.answer(body=b"warm")
        conn.wait(now)
        try:
            act(conn)
        finally:
            done.release()            # even where the daemon was faster and has left
    origin.handler = handler
    assert {r.body for r in collect(fire(d, count, "/api/warm%d"))} == {b"warm"}
    origin.handler = own
    now.set()
    for _ in range(count):
        assert done.acquire(timeout=20)


def own(request, conn):
    conn.answer(body=request.target.encode() + (request.body or b""), fields=[FRESH])


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("scheme, name", CASES, ids=["-".join(c) for c in CASES])
def test_dead_connection_costs_nothing(daemons, origin_of, scheme, name, method, count):
    """However many there are: not an attempt, not a unit of the budget, and what they said is nobody's answer."""
    origin = origin_of(scheme)
    d = daemons(entry(origin, max_connections=count + 1, max_idle_connections=count,
                      limits=[f"{count + 2}/h"])).start()
    let_die(d, origin, count, OVER_TLS[name])
    body = b"abc" if method != "GET" else None
    response = d.request(method, "/api/x", body=body)
    assert (response.status, response.body) == (200, b"/x" + (body or b""))
    assert origin.count() == count + 1 == d.counter("upstream_attempts")
    assert d.counter("upstream_failures") == 0 and origin.last.connection > count
    response = d.request(method, "/api/y", body=body)
    assert (response.status, response.body) == (200, b"/y" + (body or b"")), "nothing was charged"
    if method == "GET":
        d.wait_stored(2)
        assert d.get("/api/x").body == b"/x"


def test_dead_connections_take_no_places_of_living_ones(daemons, origins):
    """Those that are made in their place stay, up to max_idle_connections."""
    origin = origins()
    d = daemons(upstream(origin, max_connections=3, max_idle_connections=3)).start()
    let_die(d, origin, 3, say(EVIL))
    until(lambda: d.status()["upstreams"][0]["connections"] == 0, "the dead to be counted as such")
    for turn in range(3):
        together = threading.Barrier(3)
        origin.handler = lambda request, conn: (together.wait(20), conn.answer(body=b"x"))
        assert {r.status for r in collect(fire(d, 3, f"/api/{turn}-%d"))} == {200}
    assert origin.connections == 6, "three that died, and three for all that followed"


@pytest.mark.parametrize("settings, wave", [({}, 10), ({"max_in_flight": 3}, 3), ({"max_in_flight": 14}, 14)],
                         ids=["default", "fewer", "more"])
def test_waves_as_large_as_max_in_flight_connect_once(daemons, origins, settings, wave):
    """Where nothing is said of connections, each of a wave has one, and finds it again for the next."""
    origin = origins()
    d = daemons(upstream(origin, **settings)).start()
    for turn in range(3):
        together = threading.Barrier(wave)
        origin.handler = lambda request, conn: (together.wait(20), conn.answer(body=b"x"))
        assert {r.status for r in collect(fire(d, wave, f"/api/{turn}-%d"))} == {200}
    assert origin.connections == wave


def test_tls_1_2(daemons, origin_of):
    origin = origin_of("https", version=ssl.TLSVersion.TLSv1_2)
    d = daemons(entry(origin)).start()
    for act in OVER_TLS.values():
        let_die(d, origin, 1, act)
        assert d.request("POST", "/api/x", body=b"abc").body == b"/xabc"


WHOLE = b"HTTP/1.1 200 OK\r\n" + b"Cache-Control: max-age=3600\r\n"
MORE_THAN_AN_ANSWER = {
    "length": (WHOLE + b"Content-Length: 5\r\n\r\nwhole", b"whole"),
    "length_in_two": (WHOLE + b"Content-Length: 5\r\n\r\nwh", b"whole", b"ole"),
    "length_0": (WHOLE + b"Content-Length: 0\r\n\r\n", b""),
    "chunked": (WHOLE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", b"whole"),
    "chunked_in_two": (WHOLE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n", b"whole", b"0\r\n\r\n"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
}


@pytest.mark.parametrize("follows", [EVIL[:20], EVIL, EVIL + EVIL[:20]], ids=["begun", "whole", "more"])
@pytest.mark.parametrize("name", MORE_THAN_AN_ANSWER)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connection_that_said_more_than_its_answer_is_not_used_again(daemons, origin_of, scheme, name, follows):
    """In one segment, or one TLS record, with the end of the answer; the rest of it would come later."""
    origin = origin_of(scheme)
    first, body, *second = MORE_THAN_AN_ANSWER[name]
    go = threading.Event()

    def too_much(request, conn):
        if not second:
            conn.send(first + follows)
            return
        conn.send(first)
        conn.wait(go)
        conn.send(second[0] + follows)
    origin.handler = too_much
    d = daemons(entry(origin)).start()
    with d.connect() as client:
        client.start("GET", "/api/a")
        response = client.read_head()
        go.set()
        client.read_body(response)
    assert response.body == body and response.complete
    origin.handler = own
    for target in ("/x", "/y"):
        assert d.get("/api" + target).body == target.encode()
    assert origin.count() == 3 and [r.connection for r in origin.requests][1:] == [2, 2]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_body_that_follows_the_answer_to_a_head_is_nobodys(daemons, origin_of, scheme):
    origin = origin_of(scheme)
    origin.handler = lambda request, conn: conn.send(WHOLE + b"Content-Length: 1000\r\n\r\n" + EVIL)
    d = daemons(entry(origin)).start()
    assert d.request("HEAD", "/api/a").status == 200
    origin.handler = own
    assert d.get("/api/x").body == b"/x" and origin.last.connection == 2


# Between the daemon's look at a connection and its sending: it is told that nothing waits, while something comes.
BLIND = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
int poll(struct pollfd *p, nfds_t count, int timeout)
{
    static int (*real)(struct pollfd *, nfds_t, int);
    int result;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "poll");
    result = real(p, count, timeout);
    if (result != 0 || count != 1 || p->events != (POLLIN | POLLRDHUP) || unlink(getenv("BLIND")) != 0)
        return result;
    real(p, 1, 10000);
    p->revents = 0;
    return 0;
}
"""


# The first two looks see what is there a while later.
WAITS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <stddef.h>
int poll(struct pollfd *p, nfds_t count, int timeout)
{
    static int (*real)(struct pollfd *, nfds_t, int), looks;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "poll");
    if (count == 1 && p->events == (POLLIN | POLLRDHUP) && looks++ < 2)
        timeout = 10000;
    return real(p, count, timeout);
}
"""


def preload(place, name, text):
    """A library for LD_PRELOAD."""
    library = place / f"{name}.so"
    (place / f"{name}.c").write_text(text)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, place / f"{name}.c"], check=True)
    return library


@pytest.mark.skipif(SANITIZER is not None, reason="its library wants to be the first")
@pytest.mark.parametrize("method, status", [("GET", 200), ("POST", 502)])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_bytes_that_were_on_their_way_before_the_request_are_no_answer_to_it(daemons, origin_of, place, scheme, method,
                                                                             status):
    """Nothing of the request can have been read: its bytes are not acknowledged. But it was sent, and may yet be read."""
    sign, library = place / "sign", preload(place, "blind", BLIND)
    origin, over, watching = origin_of(scheme), threading.Event(), threading.Event()

    def first(request, conn):
        conn.answer(body=b"first")
        conn.wait(watching)
        until(lambda: not sign.exists(), "the daemon's look")
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        conn.send(EVIL)
        conn.wait(over)
    origin.script(first, own)
    d = daemons(entry(origin, retry=retry(attempts=2)))
    d.start(before=("env", f"LD_PRELOAD={library}", f"BLIND={sign}"))
    assert d.get("/api/first").body == b"first"
    sign.touch()
    watching.set()
    response = d.request(method, "/api/x", body=b"abc" if method == "POST" else None)
    over.set()
    assert not sign.exists() and response.status == status and b"evil" not in response.body
    assert d.counter("upstream_attempts") == (3 if method == "GET" else 2)
    if method == "POST":
        assert response.proxy_status.error == "connection_terminated"
    origin.handler = own
    assert d.get("/api/x").body == b"/x", "nor was it stored"


@pytest.mark.skipif(SANITIZER is not None, reason="its library wants to be the first")
@pytest.mark.parametrize("method, status", [("GET", 200), ("POST", 502)])
def test_what_a_new_connection_says_before_it_is_asked_is_no_answer(daemons, origins, place, method, status):
    """A balancer that is full, say, and greets whoever connects."""
    sign, library = place / "sign", preload(place, "blind", BLIND)
    origin, over = origins(start=False), threading.Event()
    serve = origin._serve

    def greet(conn):
        if conn.number == 1:
            until(lambda: not sign.exists(), "the daemon's look")
            conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            conn.send(EVIL)
            conn.wait(over)
        serve(conn)
    origin._serve = greet
    origin.handler = own
    origin.start()
    sign.touch()
    d = daemons(upstream(origin, retry=retry(attempts=2))).start(before=("env", f"LD_PRELOAD={library}", f"BLIND={sign}"))
    response = d.request(method, "/api/x", body=b"abc" if method == "POST" else None)
    over.set()
    assert response.status == status and b"evil" not in response.body
    assert d.get("/api/x").body == b"/x"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("say_it", [b"", EVIL], ids=["closes", "greets"])
def test_new_connection_that_is_over_before_it_is_asked_was_not_asked(daemons, origins, place, method, say_it):
    """Seen in time nothing is sent, so that every method may be tried again."""
    if SANITIZER is not None:
        pytest.skip("its library wants to be the first")
    library = preload(place, "waits", WAITS)
    origin = origins(start=False)
    serve = origin._serve

    def greet(conn):
        if conn.number > 2:
            serve(conn)
            return
        conn.send(say_it)
        conn.close()
    origin._serve = greet
    origin.handler = own
    origin.start()
    d = daemons(upstream(origin, retry=retry(attempts=3))).start(before=("env", f"LD_PRELOAD={library}"))
    response = d.request(method, "/api/x", body=b"abc" if method == "POST" else None)
    assert response.status == 200 and origin.count() == 1 and d.counter("upstream_attempts") == 1
    assert d.counter("upstream_unsent") == 2


# -- Keep-Alive -------------------------------------------------------------------------

KEEP_ALIVE = [
    ("timeout=5", 3, True), ("timeout=5", 4.5, False), ("timeout=5, max=100", 4.5, False), ("max=100,timeout=5", 4.5, False),
    ("Timeout=5", 4.5, False), ("timeout=60", 50, True), ("timeout=0", 0, False), ("timeout=1", 0.2, True),
    ("timeout=1", 0.8, False), ("max=100", 40, True), ("timeout=x", 40, True), ("", 40, True),
    ("timeout=99999999999999999999", 40, True),
]


@pytest.mark.parametrize("value, pause, same", KEEP_ALIVE, ids=[f"{v or 'none'}-{p}s" for v, p, _ in KEEP_ALIVE])
def test_keep_alive_of_the_api_is_heeded(weir, origin, clock, value, pause, same):
    """The API is about to close it: nothing is sent on it a second (or half the time) before that."""
    origin.reply(body=b"x", fields=[("Keep-Alive", value)] if value else [])
    d = weir()
    for i in range(3):
        assert d.request("POST", f"/api/{i}", body=b"b").status == 200
        clock.advance(pause)
    assert [r.connection for r in origin.requests] == ([1, 1, 1] if same else [1, 2, 3])
    assert d.counter("upstream_attempts") == 3


def test_keep_alive_is_each_connections_own(weir, origin, clock):
    def by_connection(request, conn):
        together.wait(20)
        conn.answer(body=b"warm", fields=[("Keep-Alive", "timeout=5" if conn.number == 1 else "timeout=50")])
    together = threading.Barrier(2)
    origin.handler = by_connection
    d = weir(max_connections=2, max_idle_connections=2)
    collect(fire(d, 2, "/api/warm%d"))
    origin.reply(body=b"x")
    clock.advance(20)
    assert d.get("/api/x").status == 200
    assert origin.last.connection == 2
    until(lambda: len(origin.open_connections) == 1, "the other one to be closed")


# -- a name that moves ---------------------------------------------------------------------

# A name whose address stands in a file, and what it was each time that it was looked up, in another.
# While the file says "silent" its name server says nothing.
NAMES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    char path[4096], address[64] = "";
    FILE *file;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node == NULL || strcmp(node, "moving.test") != 0)
        return real(node, service, hints, out);
    do {
        if (address[0] != '\0')
            usleep(10000);
        file = fopen(getenv("NAMES"), "r");
        if (file == NULL || fscanf(file, "%63s", address) != 1)
            return EAI_NONAME;
        fclose(file);
    } while (strcmp(address, "silent") == 0);
    snprintf(path, sizeof path, "%s.log", getenv("NAMES"));
    file = fopen(path, "a");
    fprintf(file, "%s\n", address);
    fclose(file);
    return real(address, service, hints, out);
}
"""


class Names:
    def __init__(self, place):
        self.path, self.library = place / "names", preload(place, "names", NAMES)
        self.before = ("env", f"LD_PRELOAD={self.library}", f"NAMES={self.path}")

    def set(self, address):
        beside = self.path.with_suffix(".new")         # it is never seen half written
        beside.write_text(address)
        beside.rename(self.path)

    @property
    def looked_up(self):
        log = self.path.with_suffix(".log")
        return log.read_text().split() if log.exists() else []


def named(origin, **settings):
    return {**upstream(origin, **settings), "url": f"http://moving.test:{origin.port}"}


@pytest.mark.skipif(SANITIZER is not None, reason="its library wants to be the first")
def test_name_server_that_is_silent_is_not_called_the_api(daemons, origins, place):
    """timeout.connect holds for the look-up as well, and the error says which of the two it was."""
    names, origin = Names(place), origins()
    names.set("silent")
    d = daemons(named(origin, timeout={"connect": "300ms"}, retry=retry(attempts=1))).start(before=names.before)
    try:
        response = d.get("/api/x")
        assert response.status == 504 and response.proxy_status.error == "dns_timeout"
        assert "its name was not looked up in time (timeout.connect)" in response.text
    finally:
        names.set("127.0.0.1")
    until(lambda: d.get("/api/x").status == 200, "the name to be known")


@pytest.mark.skipif(SANITIZER is not None, reason="its library wants to be the first")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_name_that_has_moved_is_looked_up_at_once(daemons, origins, place, method):
    """Its old address refuses: that is not an attempt, costs nothing, and does not wait for curl's minute."""
    names, old = Names(place), origins()
    names.set("127.0.0.1")
    d = daemons(named(old, limits=["3/h"], max_idle_connections=0)).start(before=names.before)
    assert d.get("/api/a").status == 200 and d.get("/api/b").status == 200 and names.looked_up == ["127.0.0.1"]
    old.stop()
    new = origins(address=("127.0.0.2", old.port))
    new.handler = own
    names.set("127.0.0.2")
    response = d.request(method, "/api/x", body=b"abc" if method == "POST" else None)
    assert response.status == 200 and response.body.startswith(b"/x")
    assert names.looked_up[:2] == ["127.0.0.1", "127.0.0.2"]
    assert d.counter("upstream_failures") == 0 and d.counter("upstream_attempts") == 3


@pytest.mark.skipif(SANITIZER is not None, reason="its library wants to be the first")
def test_name_is_looked_up_each_time_while_nothing_answers(daemons, origins, place):
    """Once for each attempt; and when it answers again, its address is known again."""
    names, old = Names(place), origins()
    names.set("127.0.0.1")
    d = daemons(named(old, max_idle_connections=0)).start(before=names.before)
    assert d.get("/api/a").status == 200
    old.stop()
    for _ in range(3):
        response = d.get("/api/x")
        assert response.status == 502 and response.proxy_status.error == "connection_refused"
    assert d.counter("upstream_unsent") == 3 and len(names.looked_up) == 4
    new = origins(address=("127.0.0.3", old.port))
    names.set("127.0.0.3")
    for i in range(3):
        assert d.get(f"/api/{i}").status == 200
    assert len(names.looked_up) <= 6 and new.count() == 3, "and not for each of them"


@pytest.mark.parametrize("line", [b"HTTP/2 200 OK", b"HTTP/2.0 200 OK", b"HTTP/3 200"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_answer_that_only_claims_to_be_http2_is_none(daemons, origin_of, scheme, line):
    """libcurl believes it, and sends several requests at once on one connection: each would get another's answer."""
    origin = origin_of(scheme)
    together = threading.Barrier(6)

    def handler(request, conn):
        body = request.target.encode()
        if request.target != "/warm":
            try:
                together.wait(0.3)
            except threading.BrokenBarrierError:
                pass
        conn.send(line + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    origin.handler = handler
    d = daemons(entry(origin, ttl="never", retry=retry(attempts=1))).start()
    d.get("/api/warm")
    answers = collect(fire(d, 5))
    assert [a.status for a in answers] == [502] * 5
    origin.handler = lambda request, conn: conn.answer(body=request.target.encode())
    assert d.get("/api/x").body == b"/x"
