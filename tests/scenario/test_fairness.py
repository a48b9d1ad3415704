"""Who has how many turns: loops of short processes beside clients that stay (contract section 5)."""
import contextlib
import os
import shutil
import signal
import subprocess
import threading

import pytest

from harness.client import Client
from harness.queueing import Gate, collect, enqueue, fire, waiting
from harness.wait import until

LOOPS, TURNS = 4, 48
LOOP = 'i=0; while :; do i=$((i+1)); "$0" -q -s -o "$3" --unix-socket "$1" "http://localhost/api/loop-$2-$i"; done'


@contextlib.contextmanager
def loops_of_curl(socket, place):
    """Each request is a process and a connection of its own."""
    curl = shutil.which("curl")
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    running = [subprocess.Popen(["/bin/sh", "-c", LOOP, curl, socket, str(n), f"{place}/body{n}"], env=env, start_new_session=True)
               for n in range(LOOPS)]
    try:
        yield
    finally:
        for p in running:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()


class Steady:
    """Asks again as soon as it is answered, on one connection."""

    def __init__(self, socket, name, fields):
        self.client, self.name, self.fields, self.refused = Client(socket, timeout=60), name, fields, 0
        self.over = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        i = 0
        with contextlib.suppress(Exception):         # the connection is cut at the end
            while not self.over:
                i += 1
                self.refused += self.client.get(f"/api/{self.name}-{i}", self.fields).status != 200

    def end(self, gate):
        self.over = True
        gate.open()
        self.thread.join()
        self.client.close()


@pytest.mark.slow
@pytest.mark.parametrize("names, share", [(["ann", "bob", "cid"], 4), ([None, None, None], 6)], ids=["programs", "one-program"])
def test_loops_of_curl_beside_three_that_stay(weir, origin, place, names, share):
    """Programs share turns, and within a program who stays does: a crowd of curls is one of them.  Turns are given out
    one at a time, and only when everybody waits, so that nothing depends on who is how fast.  On a unix socket the kernel
    names the process in any case."""
    origin.handler = gate = Gate()
    socket = f"{place}/data.sock"
    d = weir(settings={"listen": ["127.0.0.1:0", f"unix:{socket}"]}, max_in_flight=1, queue={"max_wait": "60s"})
    steady = [Steady(socket, f"steady{n}", [("Weir-Client", name)] if name else []) for n, name in enumerate(names)]
    try:
        with loops_of_curl(socket, place):
            for turn in range(TURNS):
                until(lambda: origin.count() == turn + 1, "the turn that was given to be taken")
                until(lambda: waiting(d) == len(steady) + LOOPS - 1, "all others to wait")
                gate.open(1)
            until(lambda: origin.count() > TURNS, "the last turn")
            went = [r.target for r in origin.requests][:TURNS]
    finally:
        for s in steady:
            s.end(gate)
    turns = [sum(t.startswith(f"/steady{n}-") for t in went) for n in range(len(steady))]
    assert all(abs(t - TURNS // share) <= 2 for t in turns), (turns, went)
    assert [s.refused for s in steady] == [0, 0, 0]


def test_a_crowd_does_not_fill_the_queue_for_others(weir, origin):
    """Of three places two are the crowd's, when one comes that has none."""
    origin.handler = gate = Gate()
    d = weir(max_in_flight=1, queue={"max_wait": "60s", "max_length": 3})
    with d.connect() as ann:
        gate.open(1)
        assert ann.get("/api/ann-first", [("Weir-Client", "ann")]).status == 200
        first = fire(d, 1, "/api/first%d")
        origin.wait_requests(2)
        crowd = enqueue(d, [f"/api/crowd{i}" for i in range(3)], lambda t: [("Weir-Client", "crowd")])
        ann.start("GET", "/api/ann-second", [("Weir-Client", "ann")])
        refused = crowd.pop().read_response()
        assert refused.status == 429 and "Retry-After" in refused.fields and b"queue" in refused.body
        more = d.get("/api/crowd3", [("Weir-Client", "crowd")])
        assert more.status == 429, "nor for another of the crowd"
        gate.open()
        assert ann.read_response().status == 200
        assert {r.status for r in collect(first + crowd)} == {200}
