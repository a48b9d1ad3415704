#!/usr/bin/python3
"""Many who wait, many credentials, places that are foretold, and what is written for what is stored: Weir alone.

    WEIR=./weir WEIRCTL=./weirctl WEIR_LOAD=tests/bench/load WEIR_ORIGIN=tests/bench/origin crowd.py
    crowd.py api SECONDS        an API that takes so long for each request, however many; prints its port
"""

import asyncio
import json
import os
import pathlib
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import peers
from servers import LOAD, Origin, Program

WAITING, SENT_SECONDS = 10_000, 3
ASKED, PLACES, API_SECONDS, MAX_WAIT = 200, 10, 0.5, 2
FEW, MANY = 10_000, 100_000                       # credentials
STORES, STORED_BYTES, STORE_SECONDS = 100, 1024, 8


class Weir(peers.Weir):
    """`of` is what the upstream says beside its address."""

    def __init__(self, folder, origin_port, name, of):
        self.name = name
        super().__init__(folder, origin_port)
        self.of = of
        self.settings = f"server = {{ max_connections = {2 * WAITING}; max_connections_per_client = {2 * WAITING}; }};"

    def upstreams(self):
        return f' {{ name = "api"; url = "http://127.0.0.1:{self.origin_port}"; partition = "shared"; {self.of} }}'

    def ask(self, command):
        command = [os.environ.get("WEIRCTL", self.command + "ctl"), "--socket", str(self.folder / "admin.sock"),
                   command, "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def file(self, name, text):
        """A unix socket beside the port."""
        return super().file(name, text.replace(f'( "127.0.0.1:{self.port}" )',
                                               f'( "127.0.0.1:{self.port}", "unix:{self.folder}/data.sock" )'))

    def asked(self, path, fields=""):
        """A connection on which that was asked. By the unix socket, where the kernel says at once who asks."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(str(self.folder / "data.sock"))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{fields}\r\n".encode())
        return client

    def written(self):
        io = pathlib.Path(f"/proc/{self.process.pid}/io").read_text()
        return int(re.search(r"^write_bytes: (\d+)", io, re.M).group(1))


def waiting(folder, origin):
    """Memory of each that waits for the budget, and processor time of each that is sent meanwhile."""
    weir = Weir(folder, origin.port, "waiting",
                f'ttl = "never"; limits = ( "50/s burst 1" ); '
                f'queue = {{ max_wait = "1h"; max_length = {2 * WAITING}; }};')
    clients = []
    try:
        weir.start()
        before = peers.private_kib(weir.process.pid)
        for i in range(WAITING):
            clients.append(weir.asked(f"/api/{i}/64"))
        until = time.monotonic() + 60
        while (queued := weir.ask("status")["upstreams"][0]["waiting"]) < 0.9 * WAITING and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(4)                 # who waits for longer than a second holds less from then on
        kib = peers.private_kib(weir.process.pid) - before
        used = peers.cpu_seconds(weir.process.pid)
        origin.counts()
        time.sleep(SENT_SECONDS)
        used = peers.cpu_seconds(weir.process.pid) - used
        begin = time.monotonic()
        weir.ask("limits")
        return {"waiting": queued, "kib_each": round(kib / queued, 1),
                "cpu_us_of_each_sent": round(used * 1e6 / max(1, origin.counts()["requests"])),
                "limits_ms": round((time.monotonic() - begin) * 1000)}
    finally:
        for client in clients:
            client.close()
        weir.stop()


def credentials(folder, origin):
    """What a request of one of 10,000 credentials costs when there are 100,000, by what it cost before."""
    weir = Weir(folder, origin.port, "credentials",
                'ttl = "never"; limits = ( { rate = "1000000/h"; per = "credential"; }, '
                '{ rate = "5000000/day window 00:00 UTC"; per = "credential"; } );')

    def cpu_us(count):
        used = peers.cpu_seconds(weir.process.pid)
        subprocess.run([LOAD, str(weir.port), "/api/64", "8", f"{count}x", "Authorization: Bearer t#"], check=True,
                       capture_output=True)
        return (peers.cpu_seconds(weir.process.pid) - used) * 1e6 / count

    try:
        weir.start()
        cpu_us(FEW)
        few = min(cpu_us(FEW) for _ in range(2))
        cpu_us(MANY)
        many = min(cpu_us(FEW) for _ in range(2))
        begin = time.monotonic()
        weir.ask("limits")
        return {"few": FEW, "cpu_us": round(few, 1), "ratio": round(many / few, 2),
                "limits_ms": round((time.monotonic() - begin) * 1000)}
    finally:
        weir.stop()


def places(folder):
    """Who cannot be served within Weir-Max-Wait hears so at once."""
    with Program(sys.executable, __file__, "api", API_SECONDS) as api:
        return at_places(Weir(folder, api.port, "places", f'ttl = "never"; max_in_flight = {PLACES};'))


def at_places(weir):
    try:
        weir.start()
        for client in [weir.asked(f"/api/warm/{i}") for i in range(2 * PLACES)]:
            client.recv(65536)
            client.close()
        begin, took = time.monotonic(), {200: [], 429: []}
        clients = {client.fileno(): client for client in
                   (weir.asked(f"/api/{i}", f"Weir-Max-Wait: {MAX_WAIT}s\r\n") for i in range(ASKED))}
        poll = select.poll()
        for fd in clients:
            poll.register(fd, select.POLLIN)
        while clients:
            for fd, _ in poll.poll(20000):
                took[int(clients[fd].recv(65536).split()[1])].append(time.monotonic() - begin)
                poll.unregister(fd)
                clients.pop(fd).close()
        return {"asked": ASKED, "served": len(took[200]), "refused": len(took[429]),
                "refusal_ms": round(statistics.median(took[429] or [0]) * 1000),
                "last_refusal_ms": round(max(took[429] or [0]) * 1000)}
    finally:
        weir.stop()


def written(folder, origin):
    """KiB that go to the disk for each KiB that is stored."""
    weir = Weir(folder, origin.port, "written", 'ttl = "1d";')
    try:
        weir.start()
        before, begin = weir.written(), time.monotonic()
        with weir.asked("/api/first/64") as client:
            client.recv(65536)
            for i in range(STORES * STORE_SECONDS):
                time.sleep(max(0.0, begin + i / STORES - time.monotonic()))
                client.sendall(f"GET /api/{i}/{STORED_BYTES} HTTP/1.1\r\nHost: 127.0.0.1:{weir.port}\r\n\r\n".encode())
                while len(client.recv(65536, socket.MSG_PEEK)) < STORED_BYTES:
                    pass
                client.recv(65536)
        time.sleep(5.5)                          # until the last group is committed and the ledger written
        bytes_written = weir.written() - before
        return {"stores_per_s": STORES, "body_bytes": STORED_BYTES,
                "kib_written_for_each": round(bytes_written / (STORES * STORE_SECONDS * STORED_BYTES), 1)}
    finally:
        weir.stop()


def measure():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # What is written to memory is not counted as written, so the folder is on a disk.
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir="/var/tmp") as folder, Origin() as origin:
        os.chmod(folder, 0o755)
        return {"10,000 waiting": waiting(folder, origin), "100,000 credentials": credentials(folder, origin),
                "ten places": places(folder),
                "written to disk": written(folder, origin)}


async def api(seconds):
    async def serve(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(seconds)
                writer.write(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["api"]:
        asyncio.run(api(float(sys.argv[2])))
    else:
        print(json.dumps(measure(), indent=2))
