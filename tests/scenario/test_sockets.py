"""Nothing that is said waits for an acknowledgement, and nothing that is heard in part is acknowledged late.

Of what is sent, the options of the daemon's own sockets are read.  Of what is heard: the kernel puts an acknowledgement
off for 40 ms at least, unless it is asked for; one that came sooner, in any of some tries, was asked for.
"""
import contextlib
import socket
import ssl
import struct
import threading
import time

import pytest

from harness import kernel
from harness.client import Client
from harness.settings import upstream
from harness.tls import TlsClient, connect, trust
from harness.wait import seconds

API = "api.test:443"
TRIES = 25


@pytest.fixture
def proxy(weir):
    def start(settings=None, **of_upstream):
        return weir(settings={"proxy": {"listen": "127.0.0.1:0", "tunnel": "allow", "tunnel_private": ["127.0.0.1"]},
                              **(settings or {})}, aliases=["api.test"], **of_upstream)
    return start


def usual_congestion_control():
    with socket.socket() as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def sends_at_once(d, peer):
    return kernel.option(d, peer, socket.TCP_NODELAY) != 0


def forget(d, peer):
    """As after an answer: from here on the kernel puts acknowledgements off."""
    with kernel.daemons_end(d, peer) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)


def is_acknowledged(sock):
    """Before the kernel's own time for it has come."""
    end = time.monotonic() + 0.02
    while struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0]:     # tcpi_unacked
        if time.monotonic() > end:
            return False
        time.sleep(0.0002)
    return True


def all_of(pieces, one_try):
    """`one_try` says which of the pieces were acknowledged; each has to be in one of the tries, which a busy machine
    may spoil."""
    left = set(pieces)
    for _ in range(TRIES):
        left -= set(one_try())
        if not left:
            return
    raise AssertionError(f"never acknowledged before the kernel's time: {left}")


# -- what is sent -----------------------------------------------------------------


def test_every_accepted_socket_sends_at_once(proxy, origin):
    d = proxy(settings={"admin": {"listen": "127.0.0.1:0"}})
    admin = next(line for line in d.lines if "kind=admin" in line and "127.0.0.1" in line)
    admin = int(admin.split("address=")[1].split()[0].strip('"').rpartition(":")[2])
    for address in (d.address, d.proxy_address, ("127.0.0.1", admin)):
        with Client(address) as client:
            assert sends_at_once(d, client.sock) and kernel.congestion_control(d, client.sock) == "reno"
            client.get("/.weir/health")
            assert sends_at_once(d, client.sock)


def test_so_does_what_is_inside_a_connect(proxy, origin):
    d = proxy()
    origin.reply(body=b"x" * 3000)
    with TlsClient(d.proxy_address, API, trust(d.ca)) as client:
        assert sends_at_once(d, client.sock) and kernel.congestion_control(d, client.sock) == "reno"
        assert client.get("/x").complete and sends_at_once(d, client.sock)
    with Client(d.proxy_address) as client:
        assert connect(client, "api.test:80").status == 200
        assert client.get("/x", [("Host", "api.test")]).complete and sends_at_once(d, client.sock)


def test_so_do_both_ends_of_a_tunnel_and_what_goes_to_the_api(proxy, origin):
    d = proxy()
    with socket.create_server(("127.0.0.1", 0)) as far, Client(d.proxy_address) as client:
        far.settimeout(seconds(10))
        assert connect(client, "127.0.0.1:%d" % far.getsockname()[1]).status == 200
        with far.accept()[0] as end:
            assert sends_at_once(d, client.sock) and sends_at_once(d, end)
    assert d.get("/api/x").complete
    assert sends_at_once(d, ("127.0.0.1", origin.port))
    assert kernel.congestion_control(d, ("127.0.0.1", origin.port)) == usual_congestion_control()


def test_where_other_machines_come_the_systems_congestion_control_stays(weir):
    d = weir(settings={"listen": ["0.0.0.0:0"], "server": {"allow_remote": True}})
    with Client(("127.0.0.1", d.address[1])) as client:
        assert client.get("/.weir/health").complete
        assert sends_at_once(d, client.sock) and kernel.congestion_control(d, client.sock) == usual_congestion_control()


@pytest.mark.mhd_trick("SOCKOPT", "libmicrohttpd leaves TLS sockets corked")
@pytest.mark.parametrize("size", [300, 300_000])
def test_none_is_left_corked(proxy, origin, size):
    """Or what is said past libmicrohttpd (a 103) would wait for 200 ms."""
    d = proxy(ttl="1h")
    origin.reply(body=b"x" * size)
    for client in (TlsClient(d.proxy_address, API, trust(d.ca)), d.connect()):
        with client:
            for target in ("/api/file", "/api/file", "/api/none"):
                assert client.get(target, [("Host", API if isinstance(client, TlsClient) else "localhost")]).complete
                assert not kernel.option(d, client.sock, socket.TCP_CORK) and sends_at_once(d, client.sock)
                d.wait_stored()


class Records:
    """A TLS client whose records are counted as they come."""

    def __init__(self, d):
        self.outer = Client(d.proxy_address)
        assert connect(self.outer, API).status == 200
        self.sock, self.incoming, self.outgoing = self.outer.sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trust(d.ca).wrap_bio(self.incoming, self.outgoing, server_hostname="api.test")
        self.raw = b""
        self.attempt(self.tls.do_handshake)
        self.flush()

    def flush(self):
        self.sock.sendall(self.outgoing.read())

    def attempt(self, action):
        """What `action` returns, once enough has come."""
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                assert data, "the connection has ended"
                self.raw += data
                self.incoming.write(data)

    def get(self, target):
        """The lengths of the records of an answer, and its body."""
        self.raw, text = b"", b""
        self.tls.write(f"GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n".encode())
        self.flush()
        while b"\r\n\r\n" not in text or not self.is_whole(text):
            text += self.attempt(lambda: self.tls.read(65536))
        lengths, at = [], 0
        while at < len(self.raw):
            lengths.append(int.from_bytes(self.raw[at + 3:at + 5], "big"))
            at += 5 + lengths[-1]
        return lengths, text.partition(b"\r\n\r\n")[2]

    @staticmethod
    def is_whole(text):
        head, _, body = text.partition(b"\r\n\r\n")
        return len(body) == int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


@pytest.mark.mhd_trick("RECORDS", "a head has a record of its own")
@pytest.mark.parametrize("size, records", [(1024, 1), (15_000, 1), (40_000, 3), (300_000, 19)])
def test_over_tls_a_head_goes_with_the_beginning_of_its_body(proxy, origin, size, records):
    d = proxy(ttl="1h")
    body = bytes(i % 251 for i in range(size))
    origin.reply(body=body)
    client = Records(d)
    with client.outer:
        assert client.get("/x")[1] == body                             # as it comes, in records as they come
        d.wait_stored()
        for _ in range(3):                                             # a hit, from memory or from its file
            lengths, got = client.get("/x")
            assert got == body and len(lengths) == records, lengths


# -- what is heard ----------------------------------------------------------------


def test_a_tls_client_may_go_on_after_its_finished(proxy):
    d = proxy()

    def one_try():
        with TlsClient(d.proxy_address, API, trust(d.ca)) as client:
            return ["the Finished"] if is_acknowledged(client.sock) else []
    all_of(["the Finished"], one_try)


PIECES = {
    "a request line": [b"GET /api/x HT", b"TP/1.1\r\nHost: localhost\r\n\r\n"],
    "a field": [b"GET /api/x HTTP/1.1\r\nHost: local", b"host\r\n\r\n"],
    "fields": [b"GET /api/x HTTP/1.1\r\n", b"Host: localhost\r\n", b"A: b\r\n", b"\r\n"],
    "a head": [b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n", b"body"],
    "a body": [b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nb", b"o", b"dy"],
    "chunks": [b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nbo", b"\r\n2\r\ndy\r\n",
               b"0\r\n", b"\r\n"],
}


@pytest.mark.mhd_trick("INTAKE", "nobody else sees a piece of a request")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES.keys())
def test_each_piece_of_a_request_is_acknowledged(proxy, origin, pieces, tls):
    d = proxy()
    if tls:
        pieces = [piece.replace(b"Host: localhost", b"Host: " + API.encode()) for piece in pieces]
    with TlsClient(d.proxy_address, API, trust(d.ca)) if tls else d.connect() as client:
        def one_try():
            assert client.get("/api/first", [("Host", API if tls else "localhost")]).complete
            for number, piece in enumerate(pieces[:-1]):
                forget(d, client.sock)
                client.send(piece)
                if is_acknowledged(client.sock):
                    yield number
            client.send(pieces[-1])
            assert client.read_response().complete
        all_of(range(len(pieces) - 1), one_try)
    assert origin.last.body in (b"", b"body")


def test_what_came_whole_is_acknowledged_by_its_answer(weir, origin):
    """No call is made and no packet sent for it."""
    d = weir()
    asked = threading.Event()
    go = threading.Event()

    def held(request, conn):
        if request.method == "POST":
            asked.set()
            conn.wait(go)
            go.clear()
        conn.answer(200, b"")
    origin.handler = held
    with d.connect() as client:
        def one_try():
            assert client.get("/api/first").complete
            forget(d, client.sock)
            client.start("POST", "/api/x", body=b"all of it")
            assert asked.wait(seconds(10))
            asked.clear()
            early = is_acknowledged(client.sock)
            go.set()
            assert client.read_response().complete
            return [] if early else ["by the answer"]
        all_of(["by the answer"], one_try)


def test_the_head_of_a_connect_in_pieces(proxy):
    d = proxy()

    def one_try():
        with Client(d.proxy_address) as client:
            for piece in (b"CONNECT api.test:443 HT", b"TP/1.1\r\nHost: api.test:443\r\n"):
                forget(d, client.sock)
                client.send(piece)
                if is_acknowledged(client.sock):
                    yield piece[:1]
            client.send(b"\r\n")
            assert client.read_head("CONNECT").status == 200
    all_of([b"C", b"T"], one_try)


def test_the_first_pieces_in_a_tunnel(proxy):
    d = proxy()

    def one_try():
        with contextlib.ExitStack() as stack:
            far = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            far.settimeout(seconds(10))
            client = stack.enter_context(Client(d.proxy_address))
            assert connect(client, "127.0.0.1:%d" % far.getsockname()[1]).status == 200
            end = stack.enter_context(far.accept()[0])
            for name, here in (("the client's", client.sock), ("the server's", end)):
                forget(d, here)
                here.sendall(b"a piece")
                if is_acknowledged(here):
                    yield name
    all_of(["the client's", "the server's"], one_try)


@pytest.mark.parametrize("pieces", [(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"a body"),
                                    (b"HTTP/1.1 20", b"0 OK\r\nContent-Length: 3\r\n\r\n"),
                                    (b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n", b"event1", b"event2")])
def test_each_piece_of_an_answer_is_acknowledged(weir, origin, pieces):
    """An API that sends a head and its body apart would else wait for it on every connection but a new one."""
    d, heard = weir(ttl="never"), set()

    def answer_in_pieces(request, connection):
        forget(d, connection.sock)
        for piece in pieces:
            connection.send(piece)
            if is_acknowledged(connection.sock):
                heard.add(piece)
        connection.send(b"end")

    def one_try():
        assert d.get("/api/x").complete
        return heard

    origin.handler = answer_in_pieces
    all_of(pieces, one_try)
