"""The figures of Weir alone that `make bench` shows beside the comparison.

Memory while large bodies pass and of clients that idle, one upstream request for many clients, a budget kept
under pressure, the time that a miss adds to the API's own, what a second worker brings.
"""

import os
import re
import resource
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import peers
from servers import LOAD, Origin

LARGE_BYTES = 200 << 20
IDLE = 10_000


class Weir(peers.Weir):
    more = ''',
              {{ name = "limited"; url = "http://127.0.0.1:{port}"; hosts = ( "limited.test = 127.0.0.1:{port}" ); ttl = "never";
                 limits = ( "10/s burst 1" ); }}'''
    settings = f"server = {{ max_connections = {IDLE + 100}; max_connections_per_client = {IDLE + 100}; }};"

    def __init__(self, folder, origin_port):
        super().__init__(folder, origin_port)
        self.more = self.more.format(port=origin_port)


def memory_of_a_large_body(weir):
    """The most private memory, in KiB, while a client reads 200 MiB that come faster than it reads."""
    most, done = peers.private_kib(weir.process.pid), threading.Event()

    def read():
        with urllib.request.urlopen(f"http://127.0.0.1:{weir.port}/pass/{LARGE_BYTES}", timeout=60) as answer:
            left = LARGE_BYTES
            while left > 0:
                left -= len(answer.read(1 << 20))
        done.set()

    reader = threading.Thread(target=read)
    reader.start()
    while not done.wait(0.01) and reader.is_alive():
        most = max(most, peers.private_kib(weir.process.pid))
    reader.join()
    return {"private_kib": most, "whole": done.is_set()}


def slow_reader(weir):
    """The most private memory, in KiB, while a client takes 20 MiB of 1 GiB, bit by bit."""
    most = 0
    with socket.create_connection(("127.0.0.1", weir.port), 10) as client:
        client.sendall(f"GET /pass/{1 << 30} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        for _ in range(20):
            left = 1 << 20
            while left > 0:
                left -= len(client.recv(left))
            time.sleep(0.05)
            most = max(most, peers.private_kib(weir.process.pid))
    return {"private_kib": most}


def p50_us(port, path):
    out = subprocess.run([LOAD, str(port), path, "1", "1"], check=True, capture_output=True, text=True).stdout
    return int(re.search(r"p50 (\d+) us", out).group(1))


def cost_of_a_miss(weir, origin):
    """What Weir adds to the median time of a request that it passes on, in µs."""
    rounds = [(p50_us(origin.port, "/1024"), p50_us(weir.port, "/pass/1024")) for _ in range(5)]
    direct, passed = (sorted(column)[2] for column in zip(*rounds))
    return {"direct_p50_us": direct, "p50_us": passed, "added_us": passed - direct}


def rate_and_cpu(weir):
    """Requests a second of two load generators together, and the processor time of one request in µs."""
    used = peers.cpu_seconds(weir.process.pid)
    loads = [subprocess.Popen([LOAD, str(weir.port), "/api/1024", "32", "2"], stdout=subprocess.PIPE, text=True)
             for _ in range(2)]
    outs = [one.communicate()[0] for one in loads]
    used = peers.cpu_seconds(weir.process.pid) - used
    count = sum(int(re.match(r"(\d+) requests", out).group(1)) for out in outs)
    return sum(int(re.search(r"(\d+) requests/s", out).group(1)) for out in outs), used * 1e6 / count


def two_workers(folder, origin):
    """Two beside one, under two load generators: all of them share this machine's processors."""
    found = []
    for workers in (1, 2):
        weir = type("Workers", (Weir,), {"name": f"workers{workers}", "workers": workers})(folder, origin.port)
        try:
            weir.start()
            rate_and_cpu(weir)
            found.append(rate_and_cpu(weir))
        finally:
            weir.stop()
    (one, one_us), (two, two_us) = found
    return {"cpus": os.cpu_count(), "rate_ratio": round(two / one, 2), "cpu_us_ratio": round(two_us / one_us, 2)}


def idle_clients(weir):
    """Private memory of keep-alive connections, in KiB each, some seconds behind their last request."""
    with urllib.request.urlopen(f"http://127.0.0.1:{weir.port}/api/1024", timeout=10) as answer:
        answer.read()
    before, sockets = peers.private_kib(weir.process.pid), []
    try:
        for _ in range(IDLE):
            sockets.append(socket.create_connection(("127.0.0.1", weir.port), 10))
            sockets[-1].sendall(b"GET /api/1024 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while len(sockets[-1].recv(65536, socket.MSG_PEEK)) < 1024:
                pass
            sockets[-1].recv(65536)
        time.sleep(5)
        return {"connections": IDLE, "kib_each": round((peers.private_kib(weir.process.pid) - before) / IDLE, 1)}
    finally:
        for one in sockets:
            one.close()


def one_cold_key(weir, origin):
    """200 clients ask for what is not stored and takes a while."""
    origin.counts()
    subprocess.run([LOAD, str(weir.port), "/api/cold/slow/1024", "200", "200x"], check=True, capture_output=True)
    return {"clients": 200, "upstream_requests": origin.counts()["requests"]}


def limited(weir, origin):
    """25 clients at an upstream that allows 10 requests a second, one at a time."""
    origin.counts()
    begin = time.monotonic()
    subprocess.run([LOAD, str(weir.port), "/limited/#/64", "25", "25x"], check=True, capture_output=True)
    return {"requests": 25, "seconds": round(time.monotonic() - begin, 2), **origin.counts()}


def measure():
    """{name: {figure: value}}; the command of WEIR is started for it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin:
        os.chmod(folder, 0o755)
        weir = Weir(folder, origin.port)
        try:
            weir.start()
            return {"200 MiB body": memory_of_a_large_body(weir),
                    "slow reader": slow_reader(weir),
                    "cost of a miss": cost_of_a_miss(weir, origin),
                    "two workers": two_workers(folder, origin),
                    "idle clients": idle_clients(weir),
                    "cold key": one_cold_key(weir, origin),
                    "10/s burst 1": limited(weir, origin)}
        finally:
            weir.stop()
