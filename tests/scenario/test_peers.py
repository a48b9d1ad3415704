"""Who asks is looked for where that is needed, once for many, and away from who answers."""
import os
import socket
import subprocess
import sys

import pytest

from harness.client import Client
from harness.queueing import Gate, collect, fire, waiting
from harness.wait import seconds, until

# A process with `files` descriptors and `children` processes before it opens `count` connections, each with a request.
CROWD = """
import os, resource, socket, sys, time
host, port = sys.argv[1].rsplit(":", 1)
files, children, count = map(int, sys.argv[2:5])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
for _ in range(children):
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(files)]
socks = []
for i in range(count):
    s = socket.create_connection((host, int(port)))
    s.sendall(f"GET /api/crowd{i} HTTP/1.1\\r\\nHost: {sys.argv[1]}\\r\\n\\r\\n".encode())
    socks.append(s)
print("asked", flush=True)
sys.stdin.read()
"""
QUIET = {"log": {"access": "off"}}


def counters(d):
    return d.ctl_json("status")["counters"]


@pytest.fixture
def crowd():
    running = []

    def start(d, files, children, count):
        p = subprocess.Popen([sys.executable, "-c", CROWD, d.authority, *map(str, (files, children, count))],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(p)
        return p
    yield start
    for p in running:
        p.stdin.close()
        p.kill()
        p.wait()
        p.stdout.close()


def test_nobody_is_asked_where_nobody_waits(weir, origin):
    d = weir(settings=QUIET)
    for i in range(3):
        with Client(d.address) as client:
            assert client.get(f"/api/{i}").status == 200
    n = counters(d)
    assert (n["misses"], n["peer_users"], n["peer_lookups"], n["peer_passes"]) == (3, 0, 0, 0), n


@pytest.mark.parametrize("access, users", [(["127.0.0.0/8"], 0), ([f"user:{os.getuid()}"], 1)])
def test_access_asks_for_what_it_names(weir, origin, access, users):
    d = weir(settings=QUIET, access=access)
    with Client(d.address) as client:
        for i in range(3):
            assert client.get(f"/api/{i}").status == 200
    n = counters(d)
    assert (n["peer_users"], n["peer_lookups"]) == (users, 0), n


def test_who_cannot_be_served_in_time_hears_so_whoever_he_is(weir, origin):
    d = weir(settings=QUIET, limits=["1/h"], queue={"max_wait": "1s"})
    assert d.get("/api/first").status == 200         # may have waited for its lease to be on disk
    before = counters(d)["peer_lookups"]
    for i in range(3):
        with Client(d.address) as client:
            assert client.get(f"/api/{i}").status == 429
    assert counters(d)["peer_lookups"] == before


def test_a_crowd_is_found_in_a_few_walks(weir, origin, crowd):
    origin.handler = gate = Gate()
    d = weir(settings=QUIET, max_in_flight=1, limits=["100000/h"], queue={"max_wait": "60s", "max_length": 2000})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    p = crowd(d, 1200, 40, 300)
    until(lambda: waiting(d) == 300, "all of the crowd to wait")
    # Who was not found in time is looked for again.
    until(lambda: f"uid={os.getuid()} pid={p.pid}" in str(d.ctl_json("limits")), "the crowd to have a name")
    n = counters(d)
    assert n["peer_lookups"] >= 290, n
    assert 1 <= n["peer_passes"] <= n["peer_lookups"] / 5, n
    gate.open()
    collect(first)


def test_weirctl_answers_while_thousands_are_new(weir, origin, crowd):
    origin.handler = gate = Gate()
    d = weir(settings={**QUIET, "server": {"max_connections": 8000, "max_connections_per_client": 8000}}, max_in_flight=1,
             queue={"max_wait": "60s", "max_length": 5000})
    first = fire(d, 1, "/api/first%d")
    origin.wait_requests(1)
    p = crowd(d, 0, 0, 2000)
    until(lambda: counters(d)["peer_lookups"] > 0, "the first of them to be asked for")
    answers = 0
    while waiting(d) < 2000:
        answers += 1
    n = counters(d)
    assert p.poll() is None and n["peer_passes"] <= 100, (answers, n)
    gate.open(5000)
    collect(first)


def test_a_class_of_a_process_counts_from_its_first_request(weir, origin):
    d = weir(settings={**QUIET, "clients": [{"match": f"uid={os.getuid()} pid=*", "share": "50%"}]},
             limits=["4/h"], queue={"max_wait": "1s"})
    script = ("import socket, sys\n"
              "host, port = sys.argv[1].rsplit(':', 1)\n"
              "for i in range(3):\n"
              "    s = socket.create_connection((host, int(port)))\n"
              "    s.sendall(f'GET /api/{i} HTTP/1.1\\r\\nHost: {sys.argv[1]}\\r\\n\\r\\n'.encode())\n"
              "    print(s.recv(65536).split()[1].decode())\n")
    out = subprocess.run([sys.executable, "-c", script, d.authority], capture_output=True, text=True, check=True,
                         timeout=seconds(30))
    assert out.stdout.split() == ["200", "200", "429"]
    assert counters(d)["peer_lookups"] >= 3


def test_the_connection_inside_a_connect_has_its_user(weir, origin):
    d = weir(settings={**QUIET, "proxy": {"listen": "127.0.0.1:0"},
                       "clients": [{"match": f"user:{os.getuid()}", "share": "50%"}]},
             limits=["4/h"], queue={"max_wait": "1s"}, access=[f"user:{os.getuid()}"],
             hosts=[f"api.test = {origin.authority}"])
    statuses = []
    with socket.create_connection(d.proxy_address, timeout=seconds(20)) as s:
        s.sendall(b"CONNECT api.test:80 HTTP/1.1\r\nHost: api.test:80\r\n\r\n")
        assert s.recv(4096).split()[1] == b"200"
        for i in range(3):
            s.sendall(f"GET /{i} HTTP/1.1\r\nHost: api.test\r\n\r\n".encode())
            statuses.append(int(s.recv(65536).split()[1]))
    assert statuses == [200, 200, 429]
    assert counters(d)["peer_users"] == 1
