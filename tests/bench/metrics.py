#!/usr/bin/python3
"""What /metrics of fifty upstreams takes: its bytes, and how long an answer of it, while nobody else asks for anything.

    WEIR=./weir WEIR_ORIGIN=tests/bench/origin metrics.py
"""

import http.client
import json
import socket
import tempfile
import time

import peers
from servers import Origin

UPSTREAMS, SCRAPES = 50, 40
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Weir(peers.Weir):
    """Each has been asked for something of every kind that is usual: a hit, a miss, what may not be cached, a write."""

    def upstreams(self):
        return ",".join(f'''
              {{ name = "upstream-{i:02}"; url = "http://127.0.0.1:{self.origin_port}"; ttl = "1h";
                 hosts = ( "u{i}.test = 127.0.0.1:{self.origin_port}" );
                 limits = ( "100/s burst 100", "100000/day" ); }}''' for i in range(UPSTREAMS))


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def answer(connection, method, target, fields=None, body=None):
    connection.request(method, target, body=body, headers=fields or {})
    return connection.getresponse().read()


def measure():
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin:
        weir = Weir(folder, origin.port)
        try:
            weir.start()
            client = http.client.HTTPConnection("127.0.0.1", weir.port)
            for i in range(UPSTREAMS):
                for target in ("/1024", "/1024", "/64"):
                    answer(client, "GET", f"/upstream-{i:02}{target}")
                answer(client, "GET", f"/upstream-{i:02}/1024", {"Cache-Control": "no-store"})
                answer(client, "POST", f"/upstream-{i:02}/1024", body=b"x")
            scraper, times = Connection(str(weir.folder / "admin.sock")), []
            for _ in range(SCRAPES):
                begin = time.monotonic()
                text = answer(scraper, "GET", "/metrics", {"Accept": ACCEPT})
                times.append((time.monotonic() - begin) * 1000)
        finally:
            weir.stop()
    times.sort()
    return {"metrics of 50": {"kib": round(len(text) / 1024, 1), "series": sum(line[:1] != b"#" for line in text.splitlines()),
                              "median_ms": round(times[SCRAPES // 2], 2), "slowest_ms": round(times[-1], 2)}}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
