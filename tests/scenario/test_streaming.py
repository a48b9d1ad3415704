"""Bodies of every size, as they come, and nobody held up by somebody slow (item 5)."""
import hashlib
import pathlib
import re
import threading

import pytest

from harness.client import Client
from harness.origin import answer
from harness.wait import SANITIZER, slowness, until

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 3 * MIB]
BLOCK = bytes(range(256)) * 4096                     # 1 MiB
PRIVATE_KIB = 64 * KIB


def pattern(size):
    return (BLOCK * (size // MIB + 1))[:size]


def big(size, mark=0):
    """A handler that sends `size` bytes in blocks; `mark` makes one body differ from another."""
    def handler(request, conn):
        conn.head(200, [("Content-Length", str(size)), ("Cache-Control", "max-age=3600")])
        block = bytes([mark]) + BLOCK[1:]
        for at in range(0, size, MIB):
            conn.send(block[:min(MIB, size - at)])
    return handler


def big_hash(size, mark=0):
    digest, block = hashlib.sha256(), bytes([mark]) + BLOCK[1:]
    for at in range(0, size, MIB):
        digest.update(block[:min(MIB, size - at)])
    return digest.hexdigest()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_body_of_size(weir, origin, size, chunked):
    """A miss, a hit, and a hit after a restart carry the same bytes."""
    origin.reply(body=pattern(size), chunked=chunked, fields=[("Cache-Control", "max-age=3600")])
    d = weir()
    miss = d.get("/api/x")
    assert miss.complete and miss.body == pattern(size) and miss.cache.stored
    d.wait_stored()
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.complete and hit.body == pattern(size)
    assert hit.fields.get("Content-Length") == str(size)
    d.restart()
    with d.connect() as client:
        again = client.get("/api/x")
        assert again.cache.hit and again.complete and again.body == pattern(size)
        head = client.request("HEAD", "/api/x")
        assert head.cache.hit and head.fields.get("Content-Length") == str(size)
        assert client.get("/api/x").body == pattern(size)
    assert origin.count() == 1


@pytest.mark.slow
def test_200_mib_pass_and_are_stored_in_bounded_memory(weir, origin):
    size = 200 * MIB
    origin.handler = big(size)
    d = weir()
    most = 0

    def sample(_):
        nonlocal most
        most = max(most, d.private_kib())
    with d.connect(timeout=30) as client:
        client.start("GET", "/api/big")
        miss = client.read_head()
        assert client.hash_body(miss, sample) == big_hash(size) and miss.complete and miss.received == size
        d.wait_stored()
        client.start("GET", "/api/big")
        hit = client.read_head()
        assert hit.cache.hit and client.hash_body(hit, sample) == big_hash(size) and hit.complete
    assert origin.count() == 1
    if SANITIZER is None:
        assert most < PRIVATE_KIB, f"{most} KiB of private memory"


def test_body_that_is_not_stored_passes_in_bounded_memory(weir, origin):
    """No store, a reader that does not read: the origin is held back, or the disk takes it; memory does not."""
    size = 64 * MIB
    origin.handler = lambda request, conn: big(size if request.target == "/big" else 5)(request, conn)
    d = weir(ttl="never")
    with d.connect(timeout=30, receive_buffer=65536) as client:
        client.start("GET", "/api/big")
        response = client.read_head()
        assert d.get("/api/other").complete
        if SANITIZER is None:
            assert d.private_kib() < PRIVATE_KIB
        assert client.hash_body(response) == big_hash(size) and response.complete


def test_body_that_is_not_stored_goes_through_no_file(weir, origin):
    """What passes stands in memory, little of it at a time: what was written, but to sockets, is wake-ups."""
    size = 16 * MIB
    origin.handler = big(size)
    d = weir(ttl="never")

    def written():
        return int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{d.pid}/io").read_text())[1])
    with d.connect(timeout=30) as client:
        before = written()
        client.start("GET", "/api/big")
        response = client.read_head()
        assert client.hash_body(response) == big_hash(size) and response.complete
        assert written() - before < size // 4


@pytest.mark.parametrize("framing", ["length", "chunked", "until_close"])
def test_first_byte_comes_while_the_origin_holds_the_rest(weir, origin, framing):
    go = threading.Event()

    def handler(request, conn):
        if framing == "length":
            conn.head(200, [("Content-Length", "10"), ("Cache-Control", "max-age=60")])
            conn.send(b"first")
            conn.wait(go)
            conn.send(b"later")
        elif framing == "chunked":
            conn.head(200, [("Transfer-Encoding", "chunked"), ("Cache-Control", "max-age=60")])
            conn.chunk(b"first")
            conn.wait(go)
            conn.chunk(b"later")
            conn.last_chunk()
        else:
            conn.head(200, version="HTTP/1.0")
            conn.send(b"first")
            conn.wait(go)
            conn.send(b"later")
            conn.close()
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x")
        response = client.read_head()
        pieces = client.pieces(response)
        got = b""
        while len(got) < 5:
            got += next(pieces)
        assert got == b"first"
        go.set()
        assert b"".join(pieces) == b"later" and response.complete


def test_head_comes_before_the_first_byte_of_the_body(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.head(200, [("Transfer-Encoding", "chunked"), ("Content-Type", "text/event-stream")])
        conn.wait(go)
        conn.chunk(b"data: 1\n\n")
        conn.last_chunk()
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/events")
        response = client.read_head()
        assert response.status == 200
        go.set()
        assert client.read_body(response).body == b"data: 1\n\n"


def test_each_piece_comes_when_it_is_sent(weir, origin):
    """Ping-pong over a body: a piece is let go only when the client has seen the one before."""
    turn = threading.Semaphore(0)

    def handler(request, conn):
        conn.head(200, [("Transfer-Encoding", "chunked")])
        for i in range(20):
            assert turn.acquire(timeout=20)
            conn.chunk(b"piece %02d" % i)
        conn.last_chunk()
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x")
        response = client.read_head()
        pieces = client.pieces(response)
        for i in range(20):
            turn.release()
            got = b""
            while len(got) < 8:
                got += next(pieces)
            assert got == b"piece %02d" % i
        assert list(pieces) == [] and response.complete


@pytest.mark.parametrize("cached", [False, True], ids=["miss", "hit"])
def test_slow_reader_holds_nobody_up(weir, origin, cached):
    size = 24 * MIB
    origin.handler = big(size)
    d = weir(settings={"workers": 1})
    if cached:
        assert d.get("/api/big").complete
        d.wait_stored()
    with Client(d.address, receive_buffer=4096) as slow, Client(d.address, timeout=20) as fast:
        slow.start("GET", "/api/big")
        slow_response = slow.read_head()
        next(slow.pieces(slow_response))             # and reads no more
        fast.start("GET", "/api/big")
        response = fast.read_head()
        assert fast.hash_body(response) == big_hash(size) and response.complete
        origin.handler = big(1000, mark=7)
        assert d.get("/api/other").complete
    assert origin.count("/big") == 1


def test_slow_reader_gets_everything_in_the_end(weir, origin):
    size = 8 * MIB
    origin.handler = big(size)
    d = weir()
    with Client(d.address, receive_buffer=4096, timeout=30) as slow, d.connect() as fast:
        slow.start("GET", "/api/big")
        response = slow.read_head()
        fast.start("GET", "/api/big")
        assert fast.hash_body(fast.read_head()) == big_hash(size)
        slow.sock.setsockopt(1, 8, 1 << 20)          # SO_RCVBUF: now it reads on
        assert slow.hash_body(response) == big_hash(size) and response.complete


@pytest.mark.slow
def test_many_large_bodies_at_once(weir, origin):
    """Eight different 8 MiB bodies side by side, on few connections, none mixed up with another."""
    size = 8 * MIB

    def handler(request, conn):
        big(size, int(request.target[1:]))(request, conn)
    origin.handler = handler
    d = weir()
    clients = [d.connect(timeout=30) for _ in range(8)]
    results = {}

    def fetch(i):
        clients[i].start("GET", f"/api/{i}")
        results[i] = clients[i].hash_body(clients[i].read_head())
    threads = [threading.Thread(target=fetch, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30 * slowness)
    for c in clients:
        c.close()
    assert results == {i: big_hash(size, i) for i in range(8)}


@pytest.mark.skipif(SANITIZER is not None, reason="memory is the sanitizer's")
@pytest.mark.mhd_trick("MEMSET", "a connection keeps its memory")
@pytest.mark.parametrize("begun", [0, 3000, 4090, 6000, 20_000])
def test_an_idle_connection_costs_little(weir, origin, begun):
    """Its memory goes back; what has come of the next request line by then does not."""
    count = 200
    origin.handler = answer(200, b"x" * 1000, [("Cache-Control", "max-age=3600")])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    before = d.private_kib()
    clients = [d.connect() for _ in range(count)]
    try:
        for client in clients:
            assert client.get("/api/x").complete
        line = clients[0].head("GET", "/api/x?" + "y" * begun)
        clients[0].send(line[:begun])
        until(lambda: d.private_kib() - before < 8 * count, "the memory of idle connections")
        clients[0].send(line[begun:])
        assert clients[0].read_response().body == b"x" * 1000
        assert origin.requests[-1].target == "/x?" + "y" * begun
        for client in clients:
            assert client.get("/api/x").body == b"x" * 1000
    finally:
        for client in clients:
            client.close()
