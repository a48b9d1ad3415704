"""TLS for the scenarios: a relay in front of a scripted origin, and a client's side that checks everything."""
import select
import socket
import ssl
import subprocess

from harness.client import Client
from harness.listener import Listener
from harness.wait import seconds

RELAY_BYTES = 65536


class TlsRelay(Listener):
    """Listens on a free port of loopback, speaks TLS under a certificate of its own, and passes what it hears on to
    `origin` (and back) as it is: https for an origin that is none."""
    scheme = "https"

    def __init__(self, origin, place, name="api.test"):
        super().__init__()
        self.origin, self.name = origin, name
        self.resumed = []                       # of each connection, whether it took up an earlier session
        self.ca_file, key = str(place / f"{name}.pem"), str(place / f"{name}.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", self.ca_file, "-days", "1", "-subj", "/CN=scripted origin",
                        "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
