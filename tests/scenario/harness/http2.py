"""A scripted HTTP/2 origin, over TLS: the frames of a test's choice, by python3-h2.

Each connection has a thread that reads, each request one that runs handler(request, stream) as soon as its body is
complete (or its head is there, with `read_bodies` off).  `stream` sends whole answers as the HTTP/1 origin's connection
does, or frames; resets; closes the connection.  Handlers of that origin which only answer do for this one, too.
"""
import select
import socket
import ssl
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame

from harness.fields import Fields
from harness.listener import Listener
from harness.origin import PeerLeft
from harness.tls import certificate
from harness.wait import seconds

RECEIVE_BYTES = 65536


class Request:
    def __init__(self, headers, connection, stream_id):
        self.connection, self.stream_id = connection, stream_id
        self.arrived = time.monotonic()
        pairs = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers]
        pseudo = {n: v for n, v in pairs if n.startswith(":")}
        self.method, self.target, self.authority = pseudo[":method"], pseudo[":path"], pseudo[":authority"]
        self.fields = Fields()
        self.fields.pairs = [(n, v) for n, v in pairs if not n.startswith(":")]
        self.body = None                        # None while it is not complete
        self.partial = bytearray()

    def __repr__(self):
        return f"<{self.method} {self.target} on {self.connection}, stream {self.stream_id}>"

    @property
    def path(self):
        return self.target.partition("?")[0]


class Stream:
    """One request's side of a connection, used by its handler's thread."""

    def __init__(self, conn, request):
        self.conn, self.request, self.id = conn, request, request.stream_id
        self.origin = conn.origin
        self.reset_code = None                  # by the daemon
        self.reset_at = None

    def head(self, status=200, fields=(), end=False):
        with self.conn.lock:
            self.conn.check(self)
            self.conn.h2.send_headers(self.id, [(":status", str(status)), *((n.lower(), v) for n, v in fields)],
                                      end_stream=end)
            self.conn.flush()

    def data(self, data, end=False):
        """As the daemon's windows let it."""
        while data or end:
            with self.conn.lock:
                self.conn.check(self)
                room = min(self.conn.h2.local_flow_control_window(self.id), self.conn.h2.max_outbound_frame_size)
                if data and room <= 0:
                    self.conn.changed.wait(0.2)
                    continue
                piece, data = data[:room], data[room:]
                last = end and not data
                self.conn.h2.send_data(self.id, piece, end_stream=last)
                self.conn.flush()
                if last:
                    return

    def trailers(self, fields):
        with self.conn.lock:
            self.conn.check(self)
            self.conn.h2.send_headers(self.id, [(n.lower(), v) for n, v in fields], end_stream=True)
            self.conn.flush()

    def answer(self, status=200, body=b"", fields=(), chunked=False, trailers=()):
        if isinstance(body, str):
            body = body.encode()
        fields = list(fields)
        if not chunked and status not in (204, 304) and not any(n.lower() == "content-length" for n, _ in fields):
            fields.append(("content-length", str(len(body))))
        if self.request.method == "HEAD" or status in (204, 304):
            self.head(status, fields, end=True)
            return
        self.head(status, fields)
        self.data(body, end=not trailers)
        if trailers:
            self.trailers(trailers)

    def reset(self, code=h2.errors.ErrorCodes.INTERNAL_ERROR):
        with self.conn.lock:
            self.conn.check(self)
            self.conn.h2.reset_stream(self.id, code)
            self.conn.flush()

    def goaway(self, last_stream_id, code=0):
        with self.conn.lock:
            frame = hyperframe.frame.GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code)
            self.conn.write(frame.serialize())      # python3-h2 would hear nothing more after its own

    def send(self, *pieces):
        """Raw bytes into the TLS connection."""
        with self.conn.lock:
            for piece in pieces:
                self.conn.write(piece)

    def close(self):
        """The connection's end, without GOAWAY."""
        self.conn.close()

    def wait(self, event, what="the test"):
        end = time.monotonic() + seconds(30)
        while not event.wait(0.05):
            if self.origin.stopping or self.conn.closed:
                raise PeerLeft("the connection's end")
            assert time.monotonic() < end, f"the origin waited in vain for {what}"

    def wait_reset(self, timeout=10.0):
        """Until the daemon has reset this stream: the code; None where it has not."""
        with self.conn.lock:
            self.conn.changed.wait_for(lambda: self.reset_code is not None or self.conn.closed, seconds(timeout))
            return self.reset_code


class Http2Connection:
    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.closed = False
        self.streams = {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None,
                                                                       validate_outbound_headers=False,
                                                                       normalize_outbound_headers=False))

    def write(self, data):
        while data:
            try:
                data = data[self.sock.send(data):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                if self.closed or self.origin.stopping:
                    raise PeerLeft("closed") from None
                self.changed.wait(0.005)
            except OSError as error:
                raise PeerLeft(str(error)) from None

    def flush(self):
        self.write(self.h2.data_to_send())

    def check(self, stream):
        if self.closed or self.origin.stopping or stream.reset_code is not None:
            raise PeerLeft("the connection or the stream is gone")

    def close(self):
        self.closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        with self.lock:
            self.changed.notify_all()

    def close_notify(self):
        with self.lock:
            try:
                self.sock.unwrap()
            except OSError:
                pass

    def run(self):
        with self.lock:
            self.h2.local_settings = h2.settings.Settings(client=False, initial_values=self.origin.settings)
            self.h2.initiate_connection()
            # What it says of streams binds the other side once that has heard it (RFC 9113 6.5.3): see refuses().
            self.h2.local_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 2 ** 31 - 1
            self.h2.local_settings.acknowledge()
            self.flush()
        while not self.closed:
            with self.lock:
                try:
                    data = self.sock.recv(RECEIVE_BYTES)
                except (ssl.SSLWantReadError, BlockingIOError):
                    data = None
                if data:
                    for event in self.h2.receive_data(data):
                        self.note(event)
                    self.flush()
                    self.changed.notify_all()
            if data == b"":
                return
            if data is None:
                self.origin.poll(self)

    def refuses(self, event):
        """One stream too many: not done, and to be sent again (RFC 9113 5.1.2)."""
        if self.h2.open_inbound_streams <= self.origin.settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS]:
            return False
        self.origin.refused += 1
        self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
        return True

    def note(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            if self.refuses(event):
                return
            request = Request(event.headers, self.number, event.stream_id)
            stream = self.streams[event.stream_id] = Stream(self, request)
            self.origin.begin(stream)
            if not self.origin.read_bodies:
                self.origin.handle(stream)
        elif stream is None and isinstance(event, (h2.events.DataReceived, h2.events.StreamEnded)):
            pass                                        # of one that was refused
        elif isinstance(event, h2.events.DataReceived):
            stream.request.partial += event.data
            self.origin.notify()
            if event.flow_controlled_length and self.origin.read_bodies:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.request.body = bytes(stream.request.partial)
            if self.origin.read_bodies:
                self.origin.handle(stream)
        elif isinstance(event, h2.events.StreamReset) and stream is not None:
            stream.reset_code, stream.reset_at = int(event.error_code), time.monotonic()
            self.origin.notify()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.origin.notify()


class Http2Origin(Listener):
    scheme = "https"

    def __init__(self, place, name="api.test", streams=100, window=65535, start=True, http1=None):
        """`http1(sock)` serves connections that are to speak HTTP/1.1; without it none are."""
        super().__init__()
        self.http1 = http1
        self.ca_file, key = certificate(place, name)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.ca_file, key)
        self._context.set_alpn_protocols(["h2"] if http1 is None else ["h2", "http/1.1"])
        codes = h2.settings.SettingCodes
        self.settings = {codes.MAX_CONCURRENT_STREAMS: streams, codes.INITIAL_WINDOW_SIZE: window}
        self.handler = lambda request, stream: stream.answer(body=b"origin")
        self.read_bodies = True
        self.requests, self.streams, self.errors = [], [], []
        self.refused = 0
        self.in_flight = self.most_in_flight = 0
        self.stopping = False
        self.open_connections = set()
        self._changed = threading.Condition()
        if start:
            self.start()

    def stop(self):
        self.stopping = True
        super().stop()
        for conn in list(self.open_connections):
            conn.close()

    def script(self, *handlers):
        turns = iter(range(1_000_000))

        def handler(request, stream):
            with self._changed:
                turn = next(turns)
            handlers[min(turn, len(handlers) - 1)](request, stream)
        self.handler = handler

    def count(self, path=None):
        with self._changed:
            return sum(path is None or r.path == path for r in self.requests)

    @property
    def last(self):
        return self.requests[-1]

    def wait_for(self, condition, what, timeout=10.0):
        with self._changed:
            assert self._changed.wait_for(condition, seconds(timeout)), f"waited in vain for {what}"

    def wait_requests(self, count, timeout=10.0):
        self.wait_for(lambda: len(self.requests) >= count, f"{count} requests", timeout)
        return self.requests[count - 1]

    def notify(self):
        with self._changed:
            self._changed.notify_all()

    # -- threads ----------------------------------------------------------------

    def poll(self, conn):
        try:
            select.select([conn.sock], [], [], 0.2)
        except (OSError, ValueError):
            conn.closed = True

    def _accepted(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._accepted(sock)
        return sock, self.connections

    def _serve(self, accepted):
        sock, number = accepted
        try:
            sock = self._context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        conn = Http2Connection(self, sock, number)
        with self._changed:
            self.open_connections.add(conn)
        try:
            if sock.selected_alpn_protocol() == "h2":
                conn.run()
            elif self.http1 is not None:
                sock.setblocking(True)
                self.http1(sock)
        except (PeerLeft, OSError, h2.exceptions.ProtocolError) as error:
            if isinstance(error, h2.exceptions.ProtocolError) and not conn.closed and not self.stopping:
                self.errors.append(f"the daemon's frames: {type(error).__name__}: {error}")
        finally:
            conn.close()
            with self._changed:
                self.open_connections.discard(conn)
                self._changed.notify_all()

    def begin(self, stream):
        with self._changed:
            self.requests.append(stream.request)
            self.streams.append(stream)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self._changed.notify_all()

    def handle(self, stream):
        threading.Thread(target=self._handle, args=(stream,), daemon=True).start()

    def _handle(self, stream):
        try:
            self.handler(stream.request, stream)
        except PeerLeft:
            pass
        except Exception as error:
            if not self.stopping and not stream.conn.closed:
                self.errors.append(f"{stream.request}: {type(error).__name__}: {error}")
        finally:
            with self._changed:
                self.in_flight -= 1
                self._changed.notify_all()
