#!/usr/bin/python3
"""How long an event of a stream takes through Weir, metered and not, beside the same without it.

    WEIR=./weir events.py
    events.py api        an API of streams; prints its port
"""

import json
import re
import select
import socket
import statistics
import sys
import tempfile
import threading
import time

import peers
from servers import Program

STREAMS, EVENTS, EVERY_SECONDS = 50, 100, 0.05
METERED = ('limits = ( { name = "tokens"; rate = "1000000000/min"; estimate = ( "json:/max_tokens" ); '
           'charge = ( "json:/usage/total_tokens" ); } );')
EVENT = re.compile(rb'"sent": (\d+)')


class Weir(peers.Weir):
    def __init__(self, folder, origin_port, name, of):
        self.name = name
        super().__init__(folder, origin_port)
        self.of = of

    def upstreams(self):
        return f' {{ name = "api"; url = "http://127.0.0.1:{self.origin_port}"; max_in_flight = {2 * STREAMS}; {self.of} }}'


def serve(connection):
    """One stream: each event says when it was sent."""
    file = connection.makefile("rb")
    while file.readline() not in (b"\r\n", b""):
        pass
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(EVENTS):
        time.sleep(EVERY_SECONDS)
        usage = {"total_tokens": i} if i + 1 == EVENTS else None
        text = b"data: " + json.dumps({"sent": time.monotonic_ns(), "text": "x" * 200, "usage": usage}).encode() + b"\n\n"
        connection.sendall(b"%x\r\n%s\r\n" % (len(text), text))
    connection.sendall(b"0\r\n\r\n")
    connection.close()


def api():
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=lambda: [threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
                                     for _ in iter(int, 1)], daemon=True).start()
    sys.stdin.read()


def took(port, target):
    """Milliseconds of each event, from the API's write to the client's read."""
    poll, clients, all_of_them = select.epoll(), {}, []
    for i in range(STREAMS):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET %s/%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (target.encode(), i, port))
        clients[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLIN)
        time.sleep(EVERY_SECONDS / STREAMS)           # not all at the same moment
    while len(all_of_them) < STREAMS * EVENTS:
        for fd, _ in poll.poll(30):
            piece = clients[fd].recv(65536)
            now = time.monotonic_ns()
            all_of_them += [(now - int(sent)) / 1e6 for sent in EVENT.findall(piece)]
            if not piece:
                poll.unregister(fd)
    for client in clients.values():
        client.close()
    return all_of_them


def row(times):
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": round(cuts[49], 3), "p99_ms": round(cuts[98], 3)}


def measure():
    found = {}
    with Program(sys.executable, __file__, "api") as origin, tempfile.TemporaryDirectory() as folder:
        found["an event, no Weir"] = row(took(origin.port, "/api"))
        for name, of in (("an event", ""), ("an event, metered", METERED)):
            weir = Weir(peers.pathlib.Path(folder), origin.port, name.replace(" ", "-").replace(",", ""), of)
            try:
                weir.start()
                found[name] = row(took(weir.port, "/api"))
            finally:
                weir.stop()
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["api"]:
        api()
    else:
        print(json.dumps(measure(), indent=2))
