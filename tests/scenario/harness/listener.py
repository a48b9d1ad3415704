"""A port of loopback with a thread for each connection: what the scripted origin and the TLS relay stand on."""
import socket
import threading

from harness.wait import seconds


class Listener:
    """The port is taken at once and refuses connections until start(). A subclass serves: _serve(what _accepted() made
    of the socket), on the connection's thread."""
    scheme = "http"

    def __init__(self, address=("127.0.0.1", 0)):
        self.connections = 0
        self._thread = None
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind(address)
        self.port = self._sock.getsockname()[1]

    @property
    def authority(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.authority}"

    def start(self):
        self._sock.listen(512)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self):
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass                                # it never listened, or was stopped before
        self._sock.close()
        if self._thread is not None:
            self._thread.join(seconds(10))

    def _accept(self):
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(self._accepted(sock),), daemon=True).start()

    def _accepted(self, sock):
        self.connections += 1
        return sock

    def _serve(self, accepted):
        raise NotImplementedError
