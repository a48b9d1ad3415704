#!/usr/bin/python3
"""What src/front/mhd/tricks.h is worth: processor time of a request with the tricks and without, in turn.

WEIR_PLAIN names a daemon that was built with --disable-mhd-tricks; the worker's own time counts, the kernel's part of
it too, so that a busy machine changes it little.  The least of the rounds stands for each.

    WEIR=./weir WEIR_PLAIN=../plain/weir WEIRCTL=./weirctl WEIR_ORIGIN=tests/bench/origin plain.py
"""

import contextlib
import json
import os
import pathlib
import socket
import ssl
import tempfile
import time

import peers
import processes
from servers import Origin

ROUNDS, IDLE = 5, 500
MIB = 1 << 20
ETAG = '"bench"'                                    # of tests/bench/origin.c

# name: (bytes of the body, fields of the request, through TLS, a connection each, how many requests)
ROWS = {
    "hit": (1024, "", False, False, 2000),
    "304": (1024, f"If-None-Match: {ETAG}\r\n", False, False, 2000),
    "1 MiB": (MIB, "", False, False, 200),
    "TLS hit": (1024, "", True, False, 1000),
    "TLS 1 MiB": (MIB, "", True, False, 60),
    "a connection a hit": (1024, "", False, True, 500),
}


def worker_us(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("worker"):
            return int((task / "schedstat").read_text().split()[0]) / 1000
    raise AssertionError("no worker")


def connect(weir, tls):
    s = socket.create_connection(("127.0.0.1", weir.proxy_port if tls else weir.port), 20)
    if not tls:
        return s
    s.sendall(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
    while not s.recv(4096, socket.MSG_PEEK).endswith(b"\r\n\r\n"):
        pass
    s.recv(4096)
    return ssl.create_default_context(cafile=weir.ca_file).wrap_socket(s, server_hostname="api.test")


def ask(s, request):
    """Its answer, read to the end: the status, and whether the connection ends with it."""
    s.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(65536)
    head, _, body = head.lower().partition(b"\r\n\r\n")
    left = int((head + b"\r\ncontent-length: 0").partition(b"content-length:")[2].split()[0]) - len(body)
    while left > 0:
        left -= len(s.recv(min(left, MIB)))
    return int(head.split()[1]), b"connection: close" in head


def cost(weir, size, fields, tls, anew, count):
    """µs of a request; after an answer that ends the connection the next one has a new one, as with any client."""
    host, path = ("api.test", f"/{size}") if tls else ("127.0.0.1", f"/api/{size}")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode()
    s, ends = connect(weir, tls), False
    for number in range(count + 20):
        if number == 20:
            began = worker_us(weir.process.pid)
        if ends:
            s.close()
            s = connect(weir, tls)
        status, ends = ask(s, request)
        assert status == (304 if fields else 200), (status, request)
        ends = ends or anew
    s.close()
    return (worker_us(weir.process.pid) - began) / count


def idle_kib(weir):
    """Private memory of a client that idles, some seconds after its hit."""
    before = peers.private_kib(weir.process.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            ask(stack.enter_context(connect(weir, False)), b"GET /api/1024 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(4)
        return round((peers.private_kib(weir.process.pid) - before) / IDLE, 1)


def measure():
    """{row: {"with_us": ..., "without_us": ...}}; nothing where there is no daemon to compare with."""
    commands = {"with": peers.Weir.command, "without": os.environ.get("WEIR_PLAIN")}
    if commands["without"] is None:
        return {}
    out = {}
    with contextlib.ExitStack() as stack, Origin() as origin:
        weirs = {}
        for name, command in commands.items():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-"))
            os.chmod(folder, 0o755)
            weirs[name] = type(name, (processes.Weir,), {"name": name, "command": command})(folder, origin.port)
            weirs[name].start()
            stack.callback(weirs[name].stop)
            weirs[name].ca_file = weirs[name].ca()
        for row, how in ROWS.items():
            rounds = [{name: cost(weir, *how) for name, weir in weirs.items()} for _ in range(ROUNDS)]
            out[row] = {f"{name}_us": round(min(r[name] for r in rounds), 1) for name in weirs}
        out["idle"] = {f"{name}_kib_each": idle_kib(weir) for name, weir in weirs.items()}
    return out


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
