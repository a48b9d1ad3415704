"""Who goes first: fairness between clients that say nothing, and classes for them (contract section 4)."""
import base64
import os
import pwd
import subprocess
import sys

import pytest

from harness.client import Client
from harness.queueing import Gate, collect, enqueue, fire, waiting
from harness.wait import seconds, until

# One process: all its requests at once, each on a connection of its own.
GREEDY = """
import socket, sys
address, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
host, port = address.rsplit(":", 1)
socks = []
for i in range(count):
    s = socket.create_connection((host, int(port)))
    s.sendall(f"GET /api/{name}{i} HTTP/1.1\\r\\nHost: {address}\\r\\n\\r\\n".encode())
    socks.append(s)
for s in socks:
    assert s.recv(65536)
"""


@pytest.fixture
def full(weir, origin):
    """A daemon whose one slot is taken: what comes now waits until the gate opens."""
    origin.handler = gate = Gate()

    def start(**settings):
        d = weir(settings=settings, max_in_flight=1, queue={"max_wait": "60s"})
        first = fire(d, 1, "/api/first%d")
        origin.wait_requests(1)

        def order(clients):
            gate.open()
            collect(first + clients)
            return [r.target[1:] for r in origin.requests][1:]
        return d, order
    return start


def test_processes_take_turns_without_saying_who_they_are(full):
    d, order = full()
    a = subprocess.Popen([sys.executable, "-c", GREEDY, d.authority, "a", "6"])
    try:
        until(lambda: waiting(d) == 6, "the greedy one's six in the queue")
        b = enqueue(d, ["/api/b0", "/api/b1"])
        went = order(b)
        assert a.wait(seconds(20)) == 0
    finally:
        a.kill()
        a.wait()
    assert went.index("b0") <= 1 and went.index("b1") <= 3, went


def test_class_of_a_name_goes_behind_and_its_own_word_counts_more(full):
    d, order = full(clients=[{"match": "ci*", "priority": "batch"}])
    says = {"/api/urgent": [("Weir-Client", "ci-1"), ("Weir-Priority", "interactive")]}
    clients = enqueue(d, ["/api/ci0", "/api/ci1", "/api/urgent", "/api/ann"],
                      lambda t: says.get(t, [("Weir-Client", t[5:8])]))
    went = order(clients)
    assert went[2:] == ["ci0", "ci1"] and set(went[:2]) == {"urgent", "ann"}


def test_user_of_the_proxy_has_a_class(full):
    d, order = full(clients=[{"match": "nightly", "priority": "batch"}])
    user = base64.b64encode(b"nightly:x").decode()
    clients = enqueue(d, ["/api/batch", "/api/ann"],
                      lambda t: [("Proxy-Authorization", f"Basic {user}")] if t == "/api/batch" else [])
    assert order(clients) == ["ann", "batch"]


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix"])
def test_class_of_a_user_that_the_kernel_names(weir, origin, place, listen):
    me = pwd.getpwuid(os.getuid()).pw_name
    address = f"unix:{place}/data.sock" if listen == "unix" else listen
    d = weir(settings={"listen": [address], "clients": [{"match": f"user:{me}", "share": "50%"}]},
             limits=["4/h"], queue={"max_wait": "1s"})
    for i in range(3):
        with Client(address.removeprefix("unix:") if listen == "unix" else d.address) as client:
            assert client.get(f"/api/{i}").status == (200 if i < 2 else 429)


def test_share_leaves_the_last_of_the_budget_to_others(weir, origin):
    d = weir(settings={"clients": [{"match": "ci", "priority": "batch", "share": "80%"}]}, limits=["5/h"],
             queue={"max_wait": "1s"})

    def ask(client, i):
        return d.get(f"/api/{client}{i}", [("Weir-Client", client)]).status
    assert [ask("ci", i) for i in range(5)] == [200] * 4 + [429]
    assert [ask("ann", i) for i in range(2)] == [200, 429]


def test_log_names_the_process(weir, origin):
    """The search is beside the requests: what is answered before it is over has the user alone."""
    d = weir()
    script = ("import socket, sys\n"
              "host, port = sys.argv[1].rsplit(':', 1)\n"
              "s = socket.create_connection((host, int(port)))\n"
              "for i, _ in enumerate(sys.stdin):\n"
              "    s.sendall(f'GET /api/{i} HTTP/1.1\\r\\nHost: {sys.argv[1]}\\r\\n\\r\\n'.encode())\n"
              "    assert s.recv(65536)\n"
              "    print(i, flush=True)\n")
    with subprocess.Popen([sys.executable, "-c", script, d.authority], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as client:
        def is_named():
            client.stdin.write("go on\n")
            client.stdin.flush()
            assert client.stdout.readline()
            return f"uid={os.getuid()} pid={client.pid}" in [line.get("client") for line in d.access()]
        until(is_named, "a line that names the process")
        assert {line["client"].split()[0] for line in d.access()} == {f"uid={os.getuid()}"}
