"""Proxies on the way to an origin: a real HTTP forward proxy (absolute form and CONNECT) and a real SOCKS5 one.

Both look names up themselves: `names` maps a name that only they know to a port of loopback.  What they were asked is in
`asked`; `password`: the "user:password" that they demand.
"""
import base64
import select
import socket
import ssl
import struct

from harness.listener import Listener

PIECE = 65536


class _Gone(Exception):
    pass


class _Peer:
    """A socket with a buffer."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def more(self):
        data = self.sock.recv(PIECE)
        if not data:
            raise _Gone
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    def head(self):
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self.more()
        return self.take(end + 4)


class ForwardProxy(Listener):
    def __init__(self, password=None, refuse=None, cert=None):
        super().__init__()
        self.names, self.asked, self.password, self.refuse = {}, [], password, refuse
        self._context = None
        if cert is not None:
            self.scheme = "https"
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*cert)
        self.start()

    def _reach(self, authority, default_port):
        host, _, port = authority.rpartition(":") if not authority.endswith("]") and ":" in authority else (authority, "", "")
        host = host or authority
        port = int(port or default_port)
        return socket.create_connection(("127.0.0.1", self.names[host]) if host in self.names else (host.strip("[]"), port), timeout=10)

    def _serve(self, sock):
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            self._requests(_Peer(sock))
        except (_Gone, OSError):
            pass
        finally:
            sock.close()

    def _allowed(self, head):
        wanted = base64.b64encode(self.password.encode()) if self.password else None
        return wanted is None or b"\r\nProxy-Authorization: Basic " + wanted + b"\r\n" in head

    def _requests(self, peer):
        while True:
            head = peer.head()
            self.asked.append(head.decode("latin-1"))
            method, target = head.split(b" ")[:2]
            if not self._allowed(head):
                peer.sock.sendall(b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n'
                                  b"Content-Length: 4\r\n\r\nauth")
                continue
            if self.refuse is not None:
                peer.sock.sendall(b"HTTP/1.1 %d Refused\r\nContent-Length: 2\r\n\r\nno" % self.refuse)
                continue
            if method == b"CONNECT":
                self._tunnel(peer, target.decode())
                return
            self._forward(peer, head, target)

    def _tunnel(self, peer, target):
        try:
            server = self._reach(target, 443)
        except OSError:
            peer.sock.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with server:
            peer.sock.sendall(b"HTTP/1.1 200 Connection established\r\nX-Of: the-proxy\r\n\r\n")
            carry(peer, server)

    def _forward(self, peer, head, target):
        """One request and its answer; the connection stays where the answer's length is known."""
        assert target.startswith(b"http://"), target
        authority, slash, path = target[7:].partition(b"/")
        lines = [line for line in head.split(b"\r\n")[1:-2] if not line.lower().startswith((b"proxy-", b"connection:"))]
        first = head.split(b"\r\n")[0].replace(target, slash + path)
        with self._reach(authority.decode(), 80) as sock:
            server = _Peer(sock)
            sock.sendall(b"\r\n".join([first, *lines]) + b"\r\n\r\n" + peer.take(length_of(head) or 0))
            answer = server.head()
            peer.sock.sendall(answer)
            length = length_of(answer)
            if length is None:
                carry(server, peer.sock)
                raise _Gone
            peer.sock.sendall(server.take(length))


class SocksProxy(ForwardProxy):
    """RFC 1928, and RFC 1929 where there is a password. `reply`: what it answers instead of connecting."""
    scheme = "socks5"

    def __init__(self, password=None, reply=None):
        self.reply = reply
        super().__init__(password)

    def _requests(self, peer):
        version, methods = peer.take(2)
        offered = peer.take(methods)
        assert version == 5
        if self.password:
            if 2 not in offered:
                peer.sock.sendall(b"\x05\xff")
                return
            peer.sock.sendall(b"\x05\x02")
            peer.take(1)
            given = [peer.take(peer.take(1)[0]).decode() for _ in range(2)]
            if ":".join(given) != self.password:
                peer.sock.sendall(b"\x01\x01")
                return
            peer.sock.sendall(b"\x01\x00")
        else:
            peer.sock.sendall(b"\x05\x00")
        _, command, _, kind = peer.take(4)
        assert command == 1
        if kind == 3:
            host = peer.take(peer.take(1)[0]).decode()
        else:
            host = socket.inet_ntop(*((socket.AF_INET, peer.take(4)) if kind == 1 else (socket.AF_INET6, peer.take(16))))
        port, = struct.unpack("!H", peer.take(2))
        self.asked.append(f"{host}:{port}")
        if self.reply is not None:
            peer.sock.sendall(bytes([5, self.reply, 0, 1]) + bytes(6))
            return
        with self._reach(f"{host}:{port}", port) as server:
            peer.sock.sendall(b"\x05\x00\x00\x01" + bytes(6))
            carry(peer, server)


def length_of(head):
    return next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), None)


def carry(peer, server):
    """Both ways until one of them ends."""
    server.sendall(peer.buffer)
    peer.buffer = b""
    while True:
        pending = isinstance(peer.sock, ssl.SSLSocket) and peer.sock.pending()
        ready = [peer.sock] if pending else select.select([peer.sock, server], [], [])[0]
        for sock in ready:
            data = sock.recv(PIECE)
            if not data:
                return
            (server if sock is peer.sock else peer.sock).sendall(data)
