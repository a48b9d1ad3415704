"""TLS for the scenarios: a relay in front of a scripted origin, and a client's side that checks everything."""
import select
import socket
import ssl
import subprocess
import time

from harness.client import Client
from harness.listener import Listener
from harness.origin import RECEIVE_BYTES, Connection, Origin, PeerLeft
from harness.wait import seconds

RELAY_BYTES = 65536


def certificate(place, name):
    """A self-signed certificate for `name` and 127.0.0.1: the paths of it and of its key."""
    ca_file, key = str(place / f"{name}.pem"), str(place / f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", ca_file, "-days", "1", "-subj", "/CN=scripted origin",
                    "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ca_file, key


class TlsConnection(Connection):
    """Each piece that is sent is a TLS record of its own."""

    def _receive(self):
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except OSError as error:
            raise PeerLeft(str(error)) from None
        if not data:
            raise PeerLeft("end of connection")
        self._arrived = time.monotonic()
        self._buffer += data

    def close_notify(self):
        """The end of what this side says (RFC 8446 6.1); the connection stays."""
        self.sock.settimeout(0)
        try:
            self.sock.unwrap()
        except OSError:
            pass                                # it would wait for the other side's


class TlsOrigin(Origin):
    """The scripted origin over TLS, under a certificate of its own; http/1.1 alone."""
    scheme = "https"
    connection_class = TlsConnection

    def __init__(self, place, name="api.test", protocols=("http/1.1",), version=None, **kwargs):
        self.ca_file, key = certificate(place, name)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.ca_file, key)
        self._context.set_alpn_protocols(protocols)
        if version is not None:
            self._context.maximum_version = version
        super().__init__(**kwargs)

    def _serve(self, conn):
        try:
            conn.sock = self._context.wrap_socket(conn.sock, server_side=True)
        except OSError:
            conn.close()
            return
        super()._serve(conn)


class TlsRelay(Listener):
    """Listens on a free port of loopback, speaks TLS under a certificate of its own, and passes what it hears on to
    `origin` (and back) as it is: https for an origin that is none."""
    scheme = "https"

    def __init__(self, origin, place, name="api.test"):
        super().__init__()
        self.origin, self.name = origin, name
        self.resumed = []                       # of each connection, whether it took up an earlier session
        self.ca_file, key = certificate(place, name)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.ca_file, key)
        self.start()

    def _serve(self, sock):
        inner = socket.create_connection(("127.0.0.1", self.origin.port))
        try:
            sock = self._context.wrap_socket(sock, server_side=True)
            self.resumed.append(sock.session_reused)
            while True:
                ready = select.select([sock, inner], [], [])[0]
                data = b""
                if inner in ready:
                    data = inner.recv(RELAY_BYTES)
                    sock.sendall(data)
                elif sock in ready:
                    data = sock.recv(RELAY_BYTES)
                    while sock.pending():
                        data += sock.recv(RELAY_BYTES)
                    inner.sendall(data)
                if not data:
                    return
        except OSError:
            pass
        finally:
            sock.close()
            inner.close()


def trust(pem):
    """A context that trusts `pem` alone, is strict about what a certificate must have, and checks names."""
    context = ssl.create_default_context(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


class TlsClient(Client):
    """The strict client, behind a CONNECT: `connected` is the answer to it, `tls` the session."""

    def __init__(self, proxy, target, context, name=None, fields=(), **kwargs):
        """`name`: what the certificate must be for (and SNI says, where it is no address)."""
        super().__init__(proxy, **kwargs)
        self.connected = connect(self, target, fields)
        assert self.connected.status == 200, self.connected
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name or target.rpartition(":")[0])
        except OSError:
            self.sock.close()
            raise
        self.sock.settimeout(seconds(10))
        self.host = target.removesuffix(":443")

    @property
    def tls(self):
        return self.sock


def connect(client, target, fields=()):
    """The answer's head; a refusal's body too."""
    client.send(client.head("CONNECT", target, [("Host", target), *fields]))
    response = client.read_head("CONNECT")
    return response if response.status == 200 else client.read_body(response)
