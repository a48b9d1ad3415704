"""The API of these tests, on 127.0.0.1:9000: /cached may be stored, /slow/N answers after N seconds, all of them count."""
import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

count = itertools.count(1)
lock = threading.Lock()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with lock:
            body = b"%d\n" % next(count)
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path.split("/")[2]))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600" if self.path.startswith("/cached") else "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what):
        pass


ThreadingHTTPServer(("127.0.0.1", 9000), Answer).serve_forever()
