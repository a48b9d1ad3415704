"""weirctl jobs: requests that are answered later, from the shell."""
import json
import re
import subprocess
import threading

import pytest

from harness.daemon import environment
from harness.settings import upstream
from harness.terminal import on_terminal
from harness.wait import WEIRCTL, seconds, until

LATER = [("Weir-Async", "1")]
NONE = "0" * 26


@pytest.fixture
def gate(origin):
    """Holds the origin's answers until it is set."""
    opened = threading.Event()

    def held(request, conn):
        conn.wait(opened)
        conn.answer(404 if request.path == "/none" else 200, bytes(range(256)) if request.path == "/bin" else
                    request.target.encode(), [])
    origin.handler = held
    yield opened
    opened.set()


def later(d, target="/api/1", fields=()):
    reply = d.request("GET", target, [*LATER, *fields])
    assert reply.status == 202, reply
    return json.loads(reply.body)["id"]


def jobs(d, *arguments, **kwargs):
    """Through the data port: neither rights nor the admin socket are wanted for it."""
    return subprocess.run([WEIRCTL, "--socket", "/nonexistent", "jobs", *arguments], timeout=seconds(40), check=False,
                          capture_output=True, text=True, env=environment(d.directory, WEIR_URL=d.url), **kwargs)


def listed(d, *arguments):
    ran = jobs(d, "--json", *arguments)
    assert ran.returncode == 0, ran.stderr
    return {job["id"]: job["state"] for job in json.loads(ran.stdout)["jobs"]}


def test_from_the_list_to_the_result(weir, gate):
    d = weir()
    assert jobs(d).stdout == "no jobs of yours\n"
    one, two, none = later(d), later(d, "/api/bin"), later(d, "/api/none")
    ran = jobs(d, "result", one)
    assert ran.returncode == 1 and f" still: weirctl jobs wait {one} waits for its end" in ran.stderr and not ran.stdout
    gate.set()
    ran = jobs(d, "wait", f"/.weir/jobs/{one}")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done 200\n", "")
    assert (jobs(d, "result", one).returncode, jobs(d, "result", one).stdout) == (0, "/1")
    assert json.loads(jobs(d, "wait", two, "--json").stdout)["status"] == 200
    raw = subprocess.run([WEIRCTL, "jobs", "result", two], stdout=subprocess.PIPE, check=True,
                         env=environment(d.directory, WEIR_URL=d.url))
    assert raw.stdout == bytes(range(256))
    assert jobs(d, "wait", none).returncode == 0           # an answer of the API's is an answer,
    ran = jobs(d, "result", none)
    assert (ran.returncode, ran.stdout) == (3, "/none")    # and no good one
    lines = jobs(d).stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "STATUS", "WHEN", "REQUEST"]
    assert sorted(line.split()[0] for line in lines[1:]) == sorted([one, two, none])
    assert [line.split()[1:3] + line.split()[-2:] for line in lines if none in line] == [["done", "404", "GET", "/api/none"]]
    assert all(len(line) < 80 for line in lines)


def test_a_queued_one_is_cancelled(weir, origin, gate):
    d = weir(limits=["1/h"], queue={"max_wait": "12h"})
    running = later(d)
    origin.wait_requests(1)
    queued = later(d, "/api/2")
    until(lambda: listed(d) == {running: "running", queued: "queued"}, "the second one waits")
    assert listed(d, "--state", "queued") == {queued: "queued"}
    shown, = [line for line in jobs(d).stdout.splitlines() if queued in line]
    assert " in 5" in shown or " in 1h" in shown
    ran = jobs(d, "cancel", queued)
    assert (ran.returncode, ran.stdout) == (0, f"cancelled {queued}\n")
    assert jobs(d, "wait", queued).returncode == 3
    ran = jobs(d, "result", queued)
    assert (ran.returncode, ran.stdout) == (3, "") and "cancelled before it had a result" in ran.stderr
    gate.set()
    assert jobs(d, "wait", running).returncode == 0 and origin.count() == 1


def test_one_that_failed_says_why(weir, origin):
    d = weir()
    origin.handler = lambda request, conn: conn.reset()
    job = later(d)
    assert jobs(d, "wait", job).returncode == 3
    ran = jobs(d, "result", job)
    assert (ran.returncode, ran.stdout) == (3, "") and re.fullmatch("weirctl: .+ instead of answering\n", ran.stderr)


def test_somebody_elses_does_not_exist(weir, gate, place):
    """A job that was asked for with a credential is that credential's."""
    d = weir()
    gate.set()
    mine = later(d, fields=[("Authorization", "Bearer one")])
    ran = jobs(d, "wait", mine)
    assert ran.returncode == 1 and "weirctl: " in ran.stderr and listed(d) == {}
    assert jobs(d, "wait", mine, "-H", "Authorization: Bearer one").returncode == 0
    (place / "fields").write_text("Authorization: Bearer one\n")
    assert jobs(d, "result", mine, "--header", f"@{place / 'fields'}").stdout == "/1"
    ran = jobs(d, "-H", "Bearer secret")
    assert ran.returncode == 1 and "--header is" in ran.stderr and "secret" not in ran.stderr


def test_waiting_outlives_a_restart(daemons, origin, gate, place):
    path = str(place / "data.sock")
    d = daemons(upstream(origin, limits=["1/h"], queue={"max_wait": "12h"}),
                settings={"listen": ["127.0.0.1:0", f"unix:{path}"]}).start()
    gate.set()
    later(d)
    origin.wait_requests(1)
    job = later(d, "/api/2")
    own = d.counter("own")
    with subprocess.Popen([WEIRCTL, "jobs", "wait", job], stdout=subprocess.PIPE, text=True,
                          env=environment(d.directory, WEIR_URL=f"unix:{path}")) as ran:
        try:
            until(lambda: d.counter("own") > own, "it waits")
            d.kill()
            d.start()
            assert jobs(d, "cancel", job).returncode == 0
            assert ran.wait(timeout=seconds(30)) == 3 and ran.stdout.read() == "cancelled -\n"
        finally:
            ran.kill()


@pytest.mark.parametrize("arguments, status, says", [
    (["wait", NONE], 1, "weirctl: "),
    (["result", NONE], 1, "weirctl: "),
    (["cancel", NONE], 1, "weirctl: "),
    (["wait"], 2, "usage: weirctl jobs"),
    (["wait", "nonsense"], 2, "no ID of a job"),
    (["wait", NONE + "/../../batch"], 2, "no ID of a job"),
    (["result", NONE, NONE], 2, "usage: weirctl jobs"),
    (["drop", NONE], 2, "jobs takes wait, result or cancel"),
    (["--state", "lost"], 2, "--state is for the list"),
    (["cancel", NONE, "--state", "done"], 2, "--state is for the list"),
    (["-H", "@/nonexistent"], 1, "/nonexistent: No such file"),
])
def test_misuse(weir, arguments, status, says):
    ran = jobs(weir(), *arguments)
    assert ran.returncode == status and says in ran.stderr and not ran.stdout, (ran.returncode, ran.stderr)


def test_no_daemon(place):
    ran = subprocess.run([WEIRCTL, "jobs"], capture_output=True, text=True, check=False, timeout=30,
                         env=environment(place, WEIR_URL="http://127.0.0.1:1"))
    assert ran.returncode == 1 and "no weir answers at http://127.0.0.1:1" in ran.stderr


@pytest.mark.parametrize("columns", [80, 160])
def test_on_a_terminal(weir, gate, columns):
    d = weir()
    gate.set()
    job = later(d, "/api/" + "x" * 300)
    assert jobs(d, "wait", job).returncode == 0
    status, out, errors = on_terminal(d, columns, "jobs")
    assert (status, errors) == (0, b"")
    lines = [re.sub(rb"\x1b\[[0-9;]*m", b"", line) for line in out.splitlines()]
    assert len(lines) == 2 and len(lines[1].decode()) == columns


def test_the_administrator_sees_everybodys(weir, origin, gate):
    """Their states; nobody's result, and no credential."""
    d = weir()
    gate.set()
    mine, theirs = later(d), later(d, "/api/2?api_key=secret1", [("Authorization", "Bearer secret2")])
    told = until(lambda: (t := json.loads(d.admin("GET", "/jobs").body))["states"]["done"] == 2 and t, "both are done")
    assert {job["id"] for job in told["jobs"]} == {mine, theirs} and told["more"] is False
    assert told["states"] == {"queued": 0, "running": 0, "done": 2, "failed": 0, "cancelled": 0}
    assert "secret" not in json.dumps(told) and "result" not in told["jobs"][0]
