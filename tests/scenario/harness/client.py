"""A strict raw-socket client: it sees what a lenient one would hide.

Heads are parsed by the letter of RFC 9112 (CRLF, no folding, no space before the
colon, one agreeing Content-Length, no Content-Length beside Transfer-Encoding); anything
else is a ProtocolError.  How a body ended is told apart: `end` is "complete", "cut"
(the connection closed before the framing said so) or "reset".
"""
import hashlib
import re
import select
import socket
import time

from harness.fields import Fields, member
from harness.wait import seconds

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)\Z")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(|[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\r\n]*)?\Z")
RECEIVE_BYTES = 262144


class ProtocolError(AssertionError):
    """What came is not HTTP/1.1."""


class Closed(Exception):
    """The connection ended; `how` is "cut" or "reset"."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Response:
    def __init__(self, version, status, reason, fields, interim):
        self.version, self.status, self.reason, self.fields = version, status, reason, fields
        self.interim = interim                  # list of (status, Fields)
        self.trailers = Fields()
        self.framing = None                     # "none", "length", "chunked", "close"
        self.length = None                      # by Content-Length
        self.end = None                         # "complete", "cut", "reset"; None: the body was not read to its end
        self.body = b""
        self.received = 0

    @property
    def complete(self):
        return self.end == "complete"

    @property
    def cache(self):
        """Weir's member of Cache-Status."""
        status = member(self.fields.joined("Cache-Status"))
        assert status is not None, f"no Cache-Status of weir in {self.fields}"
        return status

    @property
    def proxy_status(self):
        return member(self.fields.joined("Proxy-Status"))

    @property
    def text(self):
        return self.body.decode()

    def __repr__(self):
        return f"<{self.status} {self.end} {self.body[:200]!r} {self.fields.pairs}>"


class Client:
    """One connection. Not thread-safe."""

    def __init__(self, address, timeout=10.0, receive_buffer=None):
        """`address`: (host, port) or the path of a unix socket. A small `receive_buffer` makes a slow reader felt."""
        unix = isinstance(address, str)
        six = not unix and ":" in address[0]
        self.sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET6 if six else socket.AF_INET)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(seconds(timeout))
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        if not unix:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = "localhost" if unix else ("[%s]:%d" if six else "%s:%d") % address
        self._buffer = bytearray()
        self._ended = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Vanishes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    # -- sending ----------------------------------------------------------------

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def head(self, method, target, fields=(), version="HTTP/1.1", host=True):
        fields = list(fields)
        if host and not any(n.lower() == "host" for n, _ in fields):
            fields.insert(0, ("Host", self.host))
        lines = [f"{method} {target} {version}"] + [f"{n}: {v}" for n, v in fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def start(self, method="GET", target="/", fields=(), body=None, version="HTTP/1.1", host=True):
        """Sends a request; its answer is read with read_response()."""
        fields = list(fields)
        if body is not None and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in fields):
            fields.append(("Content-Length", str(len(body))))
        self.send(self.head(method, target, fields, version, host) + (body or b""))

    def request(self, method="GET", target="/", fields=(), body=None, version="HTTP/1.1", host=True):
        self.start(method, target, fields, body, version, host)
        return self.read_response(method)

    def get(self, target, fields=()):
        return self.request("GET", target, fields)

    # -- receiving --------------------------------------------------------------

    def _receive(self):
        if self._ended:
            raise Closed(self._ended)
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except ConnectionResetError:
            self._ended = "reset"
            raise Closed("reset") from None
        except (TimeoutError, socket.timeout):
            raise AssertionError(f"no answer in {self.sock.gettimeout():g} s; so far: {bytes(self._buffer[:500])!r}") from None
        if not data:
            self._ended = "cut"
            raise Closed("cut")
        self._buffer += data

    def _line(self):
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > 1_000_000:
                raise ProtocolError("a line without an end")
            self._receive()
        line = bytes(self._buffer[:end + 1])
        del self._buffer[:end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise ProtocolError(f"line end: {line!r}")
        return line[:-2]

    def _fields(self):
        fields = Fields()
        while line := self._line():
            match = FIELD_LINE.match(line)
            if not match:
                raise ProtocolError(f"not a field: {line!r}")
            fields.pairs.append((match[1].decode(), match[2].decode("latin-1")))
        return fields

    def read_head(self, method="GET"):
        """The final head (interim ones stand in .interim); the body follows with pieces() or read_body().

        Raises Closed where the connection ends before or in it.
        """
        interim = []
        while True:
            line = self._line()
            match = STATUS_LINE.match(line)
            if not match:
                raise ProtocolError(f"not a status line: {line!r}")
            status, fields = int(match[2]), self._fields()
            if status >= 200 or status == 101:
                break
            for name in ("Content-Length", "Transfer-Encoding"):
                if name in fields:
                    raise ProtocolError(f"{name} in a {status}")
            interim.append((status, fields))
        response = Response("1.%d" % int(match[1]), status, match[3].decode("latin-1"), fields, interim)
        self._frame(response, method)
        return response

    @staticmethod
    def _frame(response, method):
        fields, status = response.fields, response.status
        codings = fields.all("Transfer-Encoding")
        lengths = fields.all("Content-Length")
        if len(lengths) > 1 or lengths and not re.fullmatch("[0-9]+", lengths[0]):
            raise ProtocolError(f"Content-Length: {lengths}")
        if codings and (lengths or codings != ["chunked"] or response.version == "1.0"):
            raise ProtocolError(f"Transfer-Encoding: {codings}, Content-Length: {lengths}, HTTP/{response.version}")
        if status < 200 or status == 204:
            if codings or lengths:                  # RFC 9110 8.6, RFC 9112 6.1
                raise ProtocolError(f"{status} with {codings or lengths}")
        if status == 304 and lengths:               # allowed, but there are clients that wait for such a body
            raise ProtocolError(f"304 with Content-Length: {lengths}")
        response.length = int(lengths[0]) if lengths else None
        if method == "HEAD" or status in (204, 304):
            response.framing = "none"
        elif codings:
            response.framing = "chunked"
        else:
            response.framing = "length" if lengths else "close"

    def pieces(self, response):
        """The decoded body as it comes; sets response.end."""
        try:
            if response.framing == "length":
                yield from self._counted(response, response.length)
            elif response.framing == "chunked":
                yield from self._chunks(response)
            elif response.framing == "close":
                yield from self._until_close(response)
                return
            response.end = "complete"
        except Closed as closed:
            response.end = closed.how

    def _counted(self, response, left):
        while left > 0:
            if not self._buffer:
                self._receive()
            piece = bytes(self._buffer[:left])
            del self._buffer[:left]
            left -= len(piece)
            response.received += len(piece)
            yield piece

    def _chunks(self, response):
        while True:
            line = self._line()
            match = CHUNK_LINE.match(line)
            if not match:
                raise ProtocolError(f"not a chunk size: {line!r}")
            if int(match[1], 16) == 0:
                break
            yield from self._counted(response, int(match[1], 16))
            if self._line():
                raise ProtocolError("a chunk longer than its size")
        response.trailers = self._fields()

    def _until_close(self, response):
        try:
            while True:
                if not self._buffer:
                    self._receive()
                piece = bytes(self._buffer)
                self._buffer.clear()
                response.received += len(piece)
                yield piece
        except Closed as closed:
            response.end = "complete" if closed.how == "cut" else "reset"

    def read_body(self, response):
        response.body = b"".join(self.pieces(response))
        return response

    def read_response(self, method="GET"):
        return self.read_body(self.read_head(method))

    def hash_body(self, response, each=None):
        """Reads the body without keeping it; `each(received)` is called now and then. SHA-256 in hex."""
        digest, mark = hashlib.sha256(), 0
        for piece in self.pieces(response):
            digest.update(piece)
            if each and response.received >= mark:
                each(response.received)
                mark = response.received + (1 << 20)
        return digest.hexdigest()

    # -- the connection itself ----------------------------------------------------

    def ended(self, timeout=10.0):
        """Waits for the end of the connection: "cut" (FIN) or "reset"; bytes before it are an error."""
        self.sock.settimeout(seconds(timeout))
        try:
            self._receive()
        except Closed as closed:
            return closed.how
        raise ProtocolError(f"bytes where the end was due: {bytes(self._buffer[:200])!r}")

    def still_open(self):
        """True where nothing has come and the connection stands (as far as one can tell now)."""
        return not self._ended and not self._buffer and not select.select([self.sock], [], [], 0)[0]

    def silent_for(self, duration):
        """True where not a byte (nor an end) comes for so long."""
        return not self._buffer and not select.select([self.sock], [], [], duration)[0]

    def fill(self, data, timeout=10.0):
        """Sends as much of `data` as the other side takes within a quiet half second; returns the count."""
        self.sock.setblocking(False)
        sent, end = 0, time.monotonic() + seconds(timeout)
        try:
            while sent < len(data) and time.monotonic() < end:
                if not select.select([], [self.sock], [], 0.5)[1]:
                    break
                sent += self.sock.send(data[sent:sent + RECEIVE_BYTES])
        finally:
            self.sock.settimeout(seconds(10))
        return sent
