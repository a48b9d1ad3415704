"""Thousands that wait: what each of them holds of memory, and that all of it is there again when it is its turn."""
import resource
import socket

import pytest

from harness.queueing import waiting
from harness.settings import upstream
from harness.wait import SANITIZER, TRICKS, until

COUNT, KIB_EACH = 1500, 9.5
GOES = {"limits": ["1000000/s burst 1000000"], "max_in_flight": 20}


@pytest.fixture
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Waiting:
    """A request on a connection of its own, over the Unix socket."""

    def __init__(self, path, target, fields=b"", more=b""):
        self.socket, self.target, self.left = socket.socket(socket.AF_UNIX), target, b""
        self.socket.settimeout(60)
        self.socket.connect(path)
        head = b"GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a script/1.0\r\nAccept: */*\r\n" % target.encode()
        self.socket.sendall(head + fields + b"\r\n" + more)

    def body(self):
        while b"\r\n\r\n" not in self.left:
            self.left += self.more()
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(self.left) < length:
            self.left += self.more()
        body, self.left = self.left[:length], self.left[length:]
        return body

    def more(self):
        data = self.socket.recv(65536)
        assert data, f"{self.target}: the connection ended"
        return data


def echo(request, conn):
    conn.answer(body=request.target.encode() + b" " + (request.fields.get("X-Mark") or "").encode())


def test_each_that_waits_holds_little(weir, origin, place, descriptors):
    """Pools go back, the rest is small; who is answered in the end gets what he asked for, with all that he sent after it."""
    origin.handler = echo
    path = str(place / "data.sock")
    queue = {"max_wait": "30d", "max_length": 2 * COUNT}
    d = weir({"listen": ["127.0.0.1:0", f"unix:{path}"]}, limits=["6/h burst 1"], queue=queue, ttl="never")
    assert Waiting(path, "/api/first").body() == b"/first "
    before = d.private_kib()
    clients = [Waiting(path, f"/api/{i}", b"X-Mark: %d\r\n" % i) for i in range(COUNT)]
    second = b"GET /api/second HTTP/1.1\r\nHost: localhost\r\nX-Mark: 2\r\n\r\n"
    eager = Waiting(path, "/api/eager", b"X-Mark: 1\r\n", second)        # has sent its next request, too
    long = Waiting(path, "/api/long", b"X-Mark: %s\r\n" % (b"y" * 12000))
    gone = Waiting(path, "/api/gone")
    until(lambda: waiting(d) == COUNT + 3, "all of them waiting", timeout=60)
    if SANITIZER is None and TRICKS:
        until(lambda: d.private_kib() - before < KIB_EACH * COUNT, "the memory that nobody needs who waits", timeout=30)
    gone.socket.close()
    until(lambda: d.status()["upstreams"][0]["waiting"] <= COUNT + 3, "it is known to have left")
    d.write([upstream(origin, queue=queue, ttl="never", **GOES)])
    assert d.ctl("reload").returncode == 0
    for i, client in enumerate(clients):
        assert client.body() == b"/%d %d" % (i, i)
        client.socket.close()
    assert (eager.body(), eager.body()) == (b"/eager 1", b"/second 2")
    assert long.body() == b"/long " + b"y" * 12000
    eager.socket.close()
    long.socket.close()
