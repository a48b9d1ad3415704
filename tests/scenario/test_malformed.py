"""What strangers send (malformed.toml), by every way in, at once, byte by byte and behind a good request.

One answer each: its status, JSON that parses, Connection: close, and the end. No thread spins over it, no memory
stays behind, no place at the API is held.
"""
import json
import os
import pathlib
import re
import time
import tomllib

import pytest

from harness.client import Client, Closed
from harness.settings import upstream
from harness.tls import TlsClient, connect, trust
from harness.wait import SANITIZER, seconds, slowness, until

WAYS = ("data", "unix", "proxy", "connect", "tls")
TRICKLED_BYTES = 2000


def cases():
    """(name, bytes, its table) of malformed.toml."""
    for group, table in tomllib.loads((pathlib.Path(__file__).parent / "malformed.toml").read_text()).items():
        for name, case in table.items():
            case = {"request": case} if isinstance(case, str) else case
            text = re.sub(r"@([^@]+?)\*([0-9]+)@", lambda m: m[1] * int(m[2]), case["request"], flags=re.DOTALL)
            yield f"{group}.{name}", text.encode("latin-1"), case


@pytest.fixture
def started(daemons, origin, place):
    def start(**settings):
        path = str(place / "weir.sock")
        d = daemons(upstream(origin, aliases=["api.test"]),
                    settings={"listen": ["127.0.0.1:0", "unix:" + path], "proxy": {"listen": "127.0.0.1:0"},
                              "server": {"body_timeout": "60s", "head_timeout": "60s", **settings}}).start()
        d.unix_path = path
        return d
    return start


def opened(d, way):
    """A connection, and what its requests must say instead of `localhost`."""
    if way == "unix":
        return Client(d.unix_path), b"localhost"
    if way == "proxy":
        return Client(d.proxy_address), b"localhost"
    if way == "connect":
        client = Client(d.proxy_address)
        assert connect(client, "api.test:80").status == 200
        return client, b"api.test"
    if way == "tls":
        return TlsClient(d.proxy_address, "api.test:443", trust(d.ca)), b"api.test"
    return d.connect(), b"localhost"


def send(client, data, how):
    """As much of it as the other side wants: it may have answered before the end."""
    try:
        if how == "trickled" and len(data) <= TRICKLED_BYTES:
            for i in range(len(data)):
                client.send(data[i:i + 1])
        else:
            client.send(data)
    except OSError:
        pass


def what_is_wrong(client, case, is_head):
    """None where it was refused as it should be."""
    statuses = case.get("status", 400)
    try:
        response = client.read_response("HEAD" if is_head else "GET")
        if response.status not in (statuses if isinstance(statuses, list) else [statuses]) or not response.complete:
            return response
        if "close" not in response.fields.joined("Connection").lower() or response.interim:
            return "open", response
        if response.proxy_status is None or response.cache is None or "Date" not in response.fields:
            return "not as any other", response
        if response.fields.get("Content-Type") != "application/problem+json" or len(response.fields.all("Content-Length")) != 1:
            return "no problem", response
        if not is_head:
            tree = json.loads(response.body)
            if tree["status"] != response.status or not tree["title"] or case.get("says", "") not in tree["detail"]:
                return "text", response
        client.ended()
    except (Closed, AssertionError, OSError, ValueError) as error:
        return repr(error)
    return None


def worker_seconds(d):
    """Processor time that the workers have taken."""
    total = 0
    for task in pathlib.Path(f"/proc/{d.pid}/task").iterdir():
        try:
            fields = (task / "stat").read_text().rpartition(")")
        except OSError:                                                # one that has ended meanwhile; workers do not
            continue
        if "(worker" in fields[0]:
            total += sum(int(n) for n in fields[2].split()[11:13])
    return total / os.sysconf("SC_CLK_TCK")


@pytest.mark.mhd_trick("INTAKE", "libmicrohttpd refuses in HTML, with two heads or without a word, and lets much in")
@pytest.mark.parametrize("how", ["at_once", "trickled", "behind_a_get", "behind_a_post", "behind_an_upload"])
@pytest.mark.parametrize("way", WAYS)
def test_one_answer_and_the_end(started, origin, way, how):
    d = started()
    good = {"behind_a_get": b"GET /api/good HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "behind_a_post": b"POST /api/good HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
            "behind_an_upload": b"POST /api/good HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n"}.get(how, b"")
    wrong, count, may_begin = {}, 0, set()
    before = worker_seconds(d)
    for name, data, case in cases():
        if way == "connect" and not good and name.startswith("junk.tls"):
            continue                                                   # that is a client who begins a handshake
        mark = b"/" + name.encode()
        data = data.replace(b"/api/x", b"/api" + mark)
        client, host = opened(d, way)
        with client:
            send(client, (good + data).replace(b"localhost", host), how)
            if good:
                response = client.read_response()
                assert response.status == 200 and response.complete, (name, response)
            found = what_is_wrong(client, case, data.startswith(b"HEAD "))
        if found:
            wrong[name] = found
        if case.get("begun"):
            may_begin.add(name)
        count += 1
    assert wrong == {} and count >= 160
    assert worker_seconds(d) - before < 4 * slowness
    assert d.get("/api/good").status == 200
    # A head that was sound may have gone up before its body turned out not to be: never as a whole request.
    until(lambda: origin.in_flight == 0, "what was begun to be given up")
    assert [r for r in origin.requests if not r.target.endswith("/good")
            and (r.body is not None or r.target.rpartition("/")[2] not in may_begin)] == []


@pytest.mark.mhd_trick("INTAKE", "libmicrohttpd says nothing of a chunk line that outgrows its buffer")
@pytest.mark.parametrize("way", WAYS)
def test_an_endless_chunk_line_costs_neither_time_nor_a_place(daemons, origin, place, way):
    """The client stays and waits: nothing ends but what Weir ends."""
    path = str(place / "weir.sock")
    d = daemons(upstream(origin, aliases=["api.test"], max_in_flight=1),
                settings={"listen": ["127.0.0.1:0", "unix:" + path], "proxy": {"listen": "127.0.0.1:0"},
                          "server": {"body_timeout": "60s"}}).start()
    d.unix_path = path
    for begin in (b"5;", b"3\r\nabc\r\n5;", b"3\r\nabc\r\n0\r\nX-A: "):
        client, host = opened(d, way)
        with client:
            client.send(b"POST /api/up HTTP/1.1\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
            before = worker_seconds(d)
            send(client, begin + b"a" * 66_000, "at_once")
            response = client.read_response()
            assert response.status in (400, 431) and response.complete
            assert d.get("/api/next").status == 200                    # the one place is free
            time.sleep(0.5)                                            # real time, which a thread that spins would use up
            assert worker_seconds(d) - before < 0.3 * slowness
    until(lambda: origin.in_flight == 0, "the uploads to be given up")


@pytest.mark.parametrize("way", WAYS)
def test_an_endless_chunk_line_ends_with_its_client(started, origin, way):
    """Before the time for a body is over; or with the daemon, which ends in good order.  Meanwhile no thread spins."""
    d = started()
    began, before = time.monotonic(), worker_seconds(d)
    for begin in (b"5;", b"3\r\nabc\r\n5;", b"3\r\nabc\r\n0\r\nX-A: "):
        client, host = opened(d, way)
        with client:
            client.send(b"POST /api/up HTTP/1.1\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
            send(client, begin + b"a" * 66_000, "at_once")
            time.sleep(0.5)                                            # real time, which a thread that spins would use up
    until(lambda: origin.in_flight == 0, "the uploads to be given up")
    assert worker_seconds(d) - before < 0.5 * (time.monotonic() - began) * slowness
    left, host = opened(d, way)
    with left:
        left.send(b"POST /api/up HTTP/1.1\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        send(left, b"5;" + b"a" * 66_000, "at_once")
        d.terminate()
        d.wait_line(r" stopping ")
        d.stop()                                                       # the second signal: what is in flight is broken off


@pytest.mark.parametrize("way", ["data", "tls"])
def test_heads_without_end_and_heads_of_cookies_leave_nothing(started, way):
    d = started()

    def some():
        for pairs in (780, 816, 900, 1400):
            client, host = opened(d, way)
            with client:
                client.send(b"GET /api/x HTTP/1.1\r\nHost: " + host + b"\r\nCookie: " + b"; ".join(b"k%d=v" % i for i in range(pairs)) + b"\r\n\r\n")
                response = client.read_response()
                assert response.complete and response.status in (200, 431), (pairs, response)
            client, host = opened(d, way)
            with client:
                send(client, b"GET /api/x HTTP/1.1\r\nHost: " + host + b"\r\nX: " + b"v" * 70_000, "at_once")
                assert client.read_response().status == 431
    for _ in range(5):
        some()
    before = d.private_kib()
    for _ in range(30 if not SANITIZER else 3):
        some()
    until(lambda: d.private_kib() - before < 256 or SANITIZER, "memory to come back", timeout=5)


@pytest.mark.mhd_trick("INTAKE", "of what libmicrohttpd refuses the log says nothing")
def test_each_has_one_line_in_the_log(started, origin):
    """Also one whose head went up before its body turned out not to be one."""
    d = started()
    d.exchange(b"GET /api/x?token=s3cret HTTP/2.0\r\n\r\n")
    with d.connect() as client:
        client.send(b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        until(lambda: origin.in_flight == 1, "the upload to begin")
        client.send(b"x\r\n")
        assert client.read_response().status == 400
    d.exchange(b"GET /api/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    d.access(3)
    lines = [(line["method"], line["status"], line["cache"], line.get("detail")) for line in d.access(3)]
    assert sorted(lines, key=repr) == [("-", 505, "error", "HTTP version not supported"), ("GET", 400, "error", None),
                                       ("POST", 400, "error", "Malformed chunk")]
    assert d.counter("client_errors") == 3 and d.counter("client_gone") == 0
    d.stop()
    assert b"s3cret" not in d.everything_written()


@pytest.mark.mhd_trick("INTAKE", "libmicrohttpd closes with bytes unread")
def test_a_client_that_still_sends_sees_the_answer(started, origin):
    """RFC 9112 9.6: a close with bytes unread is a reset, which takes the answer along."""
    d = started()
    for head in (b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"a" * 5000,
                 b"POST /api/x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 3000000\r\n\r\n",
                 b"GET /api/x HTTP/2.0\r\n", b"GET /api/x HTTP/1.1\r\nHost: localhost\r\nX: " + b"v" * 40_000):
        for way in ("data", "unix"):
            with opened(d, way)[0] as client:
                client.send(head)
                for _ in range(40):
                    send(client, b"a" * 10_000, "at_once")
                assert 400 <= client.read_response().status < 510, (way, head[:80])
    assert origin.count() <= 2


@pytest.mark.mhd_trick("INTAKE", "nobody knows what has come in part: it is cut")
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("sent", [b"GET /api/x HT", b"GET /api/x HTTP/1.1\r\nHost: localhost\r\n",
                                  b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"], ids=["line", "fields", "body"])
def test_what_does_not_go_on_is_a_408(started, origin, sent, first):
    d = started(head_timeout="300ms", body_timeout="300ms", idle_timeout="300ms")
    with d.connect() as client:
        if not first:
            assert client.get("/.weir/health").status == 200
        client.send(sent)
        response = client.read_response()
        assert response.status == 408 and json.loads(response.body)["status"] == 408
        client.ended()
    until(lambda: origin.in_flight == 0, "the upload to be given up")
    with d.connect() as idle:
        assert idle.ended(timeout=seconds(10)) in ("cut", "reset")     # nothing was begun: nothing is said


@pytest.mark.parametrize("way", WAYS)
def test_what_is_whole_passes(started, origin, way):
    """Nothing of the above is taken from what may be."""
    d = started()
    fields = b"".join(b"X-Field-%d: %s\r\n" % (i, b"v" * 190) for i in range(100))
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x;n=\"v\"\r\n%s\r\n" % (n, b"x" * n) for n in (1, 10, 70_000, 3)) + b"000;last\r\nA: b\r\nC:\r\n\r\n"
    requests = [(b"GET /api/a HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n", b""),
                (b"GET /api/b HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"; ".join(b"k%d=v" % i for i in range(100)) + b"\r\n\r\n", b""),
                (b"\r\n\r\nPOST /api/c HTTP/1.1\r\nHost: localhost\r\n" + chunks, b"x" * 70_014),
                (b"PUT /api/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n" + b"y" * 200_000, b"y" * 200_000),
                (b"GET /api/e?" + b"x=1&" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
                (b"PROPFIND /api/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", b""),
                (b"GET /api/g HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"")]
    client, host = opened(d, way)
    with client:
        for data, _ in requests:
            client.send(data.replace(b"localhost", host))
            response = client.read_response()
            assert response.status == 200 and response.complete, (data[:60], response)
        client.ended()
    client, host = opened(d, way)
    with client:                                                       # all of them at once
        client.send(b"".join(data for data, _ in requests).replace(b"localhost", host))
        for data, _ in requests:
            response = client.read_response()
            assert response.status == 200 and response.complete, (data[:60], response)
        client.ended()
    assert sorted(r.body or b"" for r in origin.requests) == sorted(2 * [body for _, body in requests])


def test_bytes_after_connection_close_are_nobodys(started, origin):
    """The answer that closes is the last one: what is pipelined behind it is not even refused."""
    d = started()
    for version, field in ((b"1.1", b"Connection: close\r\n"), (b"1.0", b"")):
        for junk in (b"hello\r\n", b"GET /api/y HTTP/2.0\r\n\r\n", b"GET /api/y HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with d.connect() as client:
                client.send(b"GET /api/x HTTP/" + version + b"\r\nHost: localhost\r\n" + field + b"\r\n" + junk)
                assert client.read_response().status == 200 and client.ended() in ("cut", "reset")
    assert {r.target for r in origin.requests} == {"/x"}
