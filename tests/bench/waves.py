#!/usr/bin/python3
"""Waves of ten requests over a slow line: who keeps ten connections pays the line once.

    WEIR=./weir WEIR_ORIGIN=tests/bench/origin waves.py
    waves.py line ORIGIN_PORT        a relay that is a line of 50 ms there and back; prints its port, ends with
                                     its input

The relay holds each byte back for half of that, and the first ones of a connection for a handshake more. (netem would
do it in the kernel, where the kernel has it and lets it be used; this is the same line everywhere.)
Weir has no setting of its connections here: its defaults are what is measured.
"""

import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time

import peers
from servers import Origin, Program

TRIP = 0.050
WAVE, WAVES = 10, 15


async def carry(reader, writer, not_before):
    """Everything arrives half a trip later, in its order, and so does the end."""
    loop = asyncio.get_running_loop()
    late = asyncio.Queue()

    async def deliver():
        while True:
            due, data = await late.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                break
            writer.write(data)
        writer.close()

    delivery = asyncio.create_task(deliver())
    data = b"x"
    while data:
        try:
            data = await reader.read(65536)
        except ConnectionError:
            data = b""
        late.put_nowait((max(loop.time(), not_before) + TRIP / 2, data))
    await delivery


async def line(origin_port):
    async def serve(reader, writer):
        begun = asyncio.get_running_loop().time()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", origin_port)
        await asyncio.gather(carry(reader, far_writer, begun + TRIP), carry(far_reader, writer, 0))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


class Weir(peers.Weir):
    def upstreams(self):
        return f' {{ name = "pass"; url = "http://127.0.0.1:{self.origin_port}"; ttl = "never"; }}'


def read_answer(client):
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0]) - len(body)
    while left > 0:
        left -= len(client.recv(left))


def wave_ms(clients, port, number):
    begin = time.perf_counter()
    for i, client in enumerate(clients):
        client.sendall(f"GET /pass/{number}/{i}/64 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    for client in clients:
        read_answer(client)
    return (time.perf_counter() - begin) * 1000


def measure():
    """{peer: median of the waves after the first}, in milliseconds, and Weir's by the best."""
    kinds = [kind for kind in (Weir, peers.Nginx, peers.Haproxy) if kind.is_installed()]
    running, clients, runs = [], {}, {kind.name: [] for kind in kinds}
    with (tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin,
          Program(sys.executable, __file__, "line", origin.port) as relay):
        os.chmod(folder, 0o755)
        try:
            for kind in kinds:
                running.append(kind(folder, relay.port))
                running[-1].start()
                clients[kind.name] = [socket.create_connection(("127.0.0.1", running[-1].port), 10)
                                      for _ in range(WAVE)]
            for number in range(WAVES):
                for peer in running:
                    runs[peer.name].append(wave_ms(clients[peer.name], peer.port, number))
        finally:
            for client in sum(clients.values(), []):
                client.close()
            for peer in running:
                peer.stop()
    found = {f"{name}_ms": round(statistics.median(waves[1:]), 1) for name, waves in runs.items()}
    others = [value for name, value in found.items() if name != "weir_ms"]
    return {"line_ms": round(TRIP * 1000), **found,
            **({"ratio": round(found["weir_ms"] / min(others), 2)} if others else {})}


if __name__ == "__main__":
    if sys.argv[1:2] == ["line"]:
        asyncio.run(line(int(sys.argv[2])))
    else:
        print(json.dumps(measure(), indent=2))
