"""A scripted origin: a raw-socket HTTP/1.x server whose every byte a test decides.

Each connection has a thread.  A request is recorded as soon as its head is
there; then its body is read (unless `read_bodies` is off) and the handler called:
handler(request, conn).  `conn` sends raw bytes or whole answers, waits for events,
closes or resets.  A handler that fails makes the test fail; a peer that goes away
while a handler sends does not: `request.peer_left` says so.
"""
import select
import socket
import struct
import threading
import time

from harness.fields import Fields
from harness.listener import Listener
from harness.wait import seconds

RECEIVE_BYTES = 65536
SO_TIMESTAMPNS = 35                             # socket(7); Python has no name for it


class PeerLeft(Exception):
    """The other side closed or reset the connection."""


class Request:
    def __init__(self, head, connection, arrived):
        self.head = head                        # raw, with the empty line
        self.connection = connection            # number of the connection, from 1
        self.arrived = arrived                  # time.monotonic() when the kernel had the end of the head
        self.body = None                        # decoded; None while it is not complete
        self.raw_body = b""                     # as it came, chunk sizes and all
        self.partial = bytearray()              # decoded so far
        self.trailers = Fields()
        self.peer_left = False
        self.expected = False                   # it said Expect: 100-continue
        lines = head.decode("latin-1").split("\r\n")
        assert lines[-2:] == ["", ""], f"head does not end in an empty line: {head!r}"
        self.method, self.target, self.version = lines[0].split(" ")
        self.fields = Fields()
        for line in lines[1:-2]:
            name, colon, value = line.partition(":")
            assert colon and name and not name[-1].isspace(), f"not a field: {line!r}"
            self.fields.pairs.append((name, value.strip(" \t")))

    def __repr__(self):
        return f"<{self.method} {self.target} on {self.connection}>"

    @property
    def path(self):
        return self.target.partition("?")[0]


class Connection:
    """One accepted connection, used by its thread (and by nobody else but for reset and close)."""

    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.closed = False
        self.request = None
        self._buffer = bytearray()
        self._arrived = 0.0                     # of the last bytes
        self._raw = None

    # -- sending ----------------------------------------------------------------

    def send(self, *pieces):
        """Raw bytes; several pieces go out in several segments as far as the kernel lets them."""
        for piece in pieces:
            try:
                self.sock.sendall(piece)
            except (ConnectionError, OSError) as error:
                raise PeerLeft(str(error)) from None

    def head(self, status=200, fields=(), reason="Scripted", version="HTTP/1.1"):
        lines = [f"{version} {status} {reason}"] + [f"{n}: {v}" for n, v in fields]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def answer(self, status=200, body=b"", fields=(), chunked=False, trailers=(), version="HTTP/1.1"):
        """A whole answer; framed by Content-Length or in chunks. Nothing else is added to `fields`."""
        if isinstance(body, str):
            body = body.encode()
        fields = list(fields)
        bodyless = self.request is not None and self.request.method == "HEAD" or status in (204, 304)
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        elif status not in (204, 304) and not any(n.lower() == "content-length" for n, _ in fields):
            fields.append(("Content-Length", str(len(body))))
        lines = [f"{version} {status} Scripted"] + [f"{n}: {v}" for n, v in fields]
        out = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if bodyless:
            self.send(out)
        elif chunked:
            self.send(out)
            for at in range(0, len(body), RECEIVE_BYTES):
                self.chunk(body[at:at + RECEIVE_BYTES])
            self.last_chunk(trailers)
        else:
            self.send(out + body)

    def chunk(self, data, extension=""):
        self.send(f"{len(data):x}{extension}\r\n".encode() + data + b"\r\n")

    def last_chunk(self, trailers=()):
        self.send(("0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in trailers) + "\r\n").encode("latin-1"))

    def wait(self, event, what="the test"):
        """Holds the answer until the test says so."""
        end = time.monotonic() + seconds(30)
        while not event.wait(0.05):
            if self.origin.stopping:
                raise PeerLeft("the origin stops")
            assert time.monotonic() < end, f"the origin waited in vain for {what}"

    def wait_gone(self, timeout=10.0):
        """Waits until the daemon has closed or reset this connection."""
        end = time.monotonic() + seconds(timeout)
        while time.monotonic() < end and not self.origin.stopping:
            if select.select([self.sock], [], [], 0.05)[0]:
                try:
                    data = self.sock.recv(RECEIVE_BYTES)
                except OSError:
                    return True
                if not data:
                    return True
                self._buffer += data
        return False

    def close(self):
        """Orderly: what was sent arrives, then the end."""
        self.closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self):
        """RST instead of FIN."""
        self.closed = True
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()

    # -- receiving --------------------------------------------------------------

    def _receive(self):
        try:
            data, stamps, *_ = self.sock.recvmsg(RECEIVE_BYTES, socket.CMSG_SPACE(16))
        except (ConnectionError, OSError) as error:
            raise PeerLeft(str(error)) from None
        if not data:
            raise PeerLeft("end of connection")
        self._arrived = time.monotonic()
        for level, kind, stamp in stamps:       # this thread may have been late, the kernel was not
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                second, ns = struct.unpack("qq", stamp)
                self._arrived -= max(0.0, time.time() - second - ns / 1e9)
        self._buffer += data

    def _take(self, count):
        out = bytes(self._buffer[:count])
        del self._buffer[:count]
        if self._raw is not None:
            self._raw += out
        return out

    def _line(self):
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive()
        return self._take(end + 2)[:-2]

    def read_head(self):
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._receive()
        return Request(self._take(end + 4), self.number, self._arrived)

    def pieces(self, request):
        """The decoded body as it comes; completes request.body at its end."""
        if request.expected:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.expected = False
        self._raw = bytearray()
        try:
            coding = request.fields.joined("Transfer-Encoding").lower()
            if coding:
                assert coding == "chunked", f"Transfer-Encoding: {coding}"
                assert "Content-Length" not in request.fields, "Content-Length beside Transfer-Encoding"
                yield from self._chunks(request)
            else:
                yield from self._counted(request, int(request.fields.get("Content-Length", "0")))
            request.body = bytes(request.partial)
        finally:
            request.raw_body, self._raw = bytes(self._raw), None

    def _counted(self, request, left):
        while left > 0:
            if not self._buffer:
                self._receive()
            piece = self._take(min(left, len(self._buffer)))
            left -= len(piece)
            request.partial += piece
            yield piece

    def _chunks(self, request):
        while True:
            size = int(self._line().split(b";")[0], 16)
            if size == 0:
                break
            yield from self._counted(request, size)
            assert self._line() == b"", "chunk without its line end"
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            request.trailers.pairs.append((name, value.strip()))

    def read_body(self, request=None):
        for _ in self.pieces(request or self.request):
            pass


class Origin(Listener):
    """Listens on a free port of loopback; `start=False` leaves the port refusing connections."""

    connection_class = Connection

    def __init__(self, start=True, **kwargs):
        super().__init__(**kwargs)
        self.handler = lambda request, conn: conn.answer(body=b"origin")
        self.read_bodies = True
        self.requests = []                      # in order of arrival
        self.errors = []
        self.in_flight = self.most_in_flight = 0
        self.stopping = False
        self.open_connections = set()
        self._changed = threading.Condition()
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)        # for what is accepted, too
        if start:
            self.start()

    def stop(self):
        self.stopping = True
        super().stop()
        with self._changed:
            still_open = list(self.open_connections)
        for conn in still_open:
            conn.close()

    # -- the script -------------------------------------------------------------

    def reply(self, *args, **kwargs):
        """The same answer to every request: Connection.answer's arguments."""
        self.handler = answer(*args, **kwargs)

    def script(self, *handlers):
        """The first request gets the first handler; the last one stays."""
        turns = iter(range(1_000_000))

        def handler(request, conn):
            with self._changed:
                turn = next(turns)
            handlers[min(turn, len(handlers) - 1)](request, conn)
        self.handler = handler

    # -- what was seen ----------------------------------------------------------

    def count(self, path=None, method=None):
        with self._changed:
            return sum((path is None or r.path == path) and (method is None or r.method == method)
                       for r in self.requests)

    @property
    def last(self):
        return self.requests[-1]

    def wait_requests(self, count, timeout=10.0):
        """Waits until `count` requests have arrived (heads complete)."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.requests) >= count, seconds(timeout))
            assert arrived, f"{len(self.requests)} requests at the origin instead of {count}: {self.requests}"
            return self.requests[count - 1]

    def wait_for(self, condition, what, timeout=10.0):
        """Waits for a condition about requests; asked again whenever one arrives or is done with."""
        with self._changed:
            assert self._changed.wait_for(condition, seconds(timeout)), f"waited in vain for {what}"

    def times(self):
        with self._changed:
            return sorted(r.arrived for r in self.requests)

    def most_in_any(self, window):
        """The most requests that arrived in any window of so many seconds."""
        times, most, begin = self.times(), 0, 0
        for end, time_ in enumerate(times):
            while begin < end and time_ - times[begin] >= window:
                begin += 1
            most = max(most, end - begin + 1)
        return most

    # -- threads ----------------------------------------------------------------

    def _accepted(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            conn = self.connection_class(self, super()._accepted(sock), self.connections)
            self.open_connections.add(conn)
        return conn

    def _serve(self, conn):
        try:
            while not conn.closed:
                request = conn.read_head()
                request.expected = request.fields.get("Expect", "").lower() == "100-continue"
                conn.request = request
                self._begin(request)
                try:
                    if self.read_bodies:
                        conn.read_body(request)
                    self.handler(request, conn)
                finally:
                    self._end()
        except PeerLeft:
            if conn.request is not None:
                conn.request.peer_left = True
        except Exception as error:                  # a broken script must fail its test
            if not self.stopping:
                self.errors.append(f"{conn.request}: {type(error).__name__}: {error}")
        finally:
            if not conn.closed:
                conn.close()
            with self._changed:
                self.open_connections.discard(conn)
                self._changed.notify_all()

    def _begin(self, request):
        with self._changed:
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self._changed.notify_all()

    def _end(self):
        with self._changed:
            self.in_flight -= 1
            self._changed.notify_all()


def answer(status=200, body=b"", fields=(), **kwargs):
    """A handler that always answers so."""
    return lambda request, conn: conn.answer(status, body, fields, **kwargs)


def raw(*pieces, close=True):
    """A handler that sends these bytes, and then closes."""
    def handler(request, conn):
        conn.send(*pieces)
        if close:
            conn.close()
    return handler


def drop(request, conn):
    """Not a byte, then the end."""
    conn.close()


def reset(request, conn):
    conn.reset()
