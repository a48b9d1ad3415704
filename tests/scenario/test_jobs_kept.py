"""Requests that are answered later, over restarts and kills."""
import json
import threading

import pytest

from harness.client import Closed
from harness.jobs import LATER, SPENT, batch_later, later, state, wait_for, result, problem, Gate
from harness.wait import until


def end(d, how):
    d.kill() if how == "kill" else d.stop()
    d.start()


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_queued_ones_are_queued_again(weir, origin, clock, how, method):
    d = weir(**SPENT)
    origin.handler = lambda request, conn: conn.answer(200, request.target.encode() + request.body)
    d.get("/api/0")
    jobs = [later(d, f"/api/{i}", method, body=b"body" * 1000 if method == "POST" else None) for i in (1, 2)]
    end(d, how)
    assert [state(d, job)["state"] for job in jobs] == ["queued", "queued"]
    clock.advance(3601)
    assert result(d, jobs[0]).body == b"/1" + (b"body" * 1000 if method == "POST" else b"")
    clock.advance(3601)
    assert result(d, jobs[1]).status == 200
    assert [r.target for r in origin.requests] == ["/0", "/1", "/2"]


@pytest.mark.parametrize("method, fields, sent_again", [
    ("GET", [], True),
    ("PUT", [], True),
    ("POST", [("Idempotency-Key", "k1")], True),
    ("POST", [], False),
    ("PATCH", [], False),
])
def test_a_running_one_after_a_kill(weir, origin, method, fields, sent_again):
    d, gate = weir(), Gate(origin)
    job = later(d, method=method, fields=fields, body=None if method == "GET" else b"x")
    wait_for(d, job, "running")
    d.kill()
    gate.open()
    d.start()
    reply = result(d, job)
    if sent_again:
        assert reply.status == 200 and origin.count() == 2
    else:
        assert reply.status == 502 and problem(reply) == "may-have-been-done" and b"may have been done" in reply.body
        assert state(d, job)["state"] == "failed" and origin.count() == 1


@pytest.mark.parametrize("method, status", [("GET", 200), ("POST", 502)])
def test_a_kill_in_the_midst_of_an_answer(weir, origin, method, status):
    d, held = weir(), threading.Event()

    def handler(request, conn):
        conn.head(200, [("Content-Length", "100000")])
        conn.send(b"x" * 50_000)
        if origin.count() == 1:
            conn.wait(held)
        conn.send(b"x" * 50_000)
    origin.handler = handler
    job = later(d, method=method, body=b"x" if method == "POST" else None)
    wait_for(d, job, "running")
    d.kill()
    held.set()
    d.start()
    reply = result(d, job)
    assert reply.status == status and (status != 200 or reply.body == b"x" * 100_000)


def test_a_kill_while_the_request_comes(weir, origin):
    d = weir()
    with d.connect() as client:
        client.send(client.head("POST", "/api/1", [*LATER, ("Content-Length", "100000")]) + b"x" * 50_000)
        d.wait_counter("requests", 1)
        d.kill()
    d.start()
    assert json.loads(d.get("/.weir/jobs").body)["jobs"] == [] and origin.count() == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_kill_loses_a_job_or_does_it_twice(weir, origin, method):
    """Kills whenever it may be: between 202s, amid rows, answers and files."""
    d = weir(settings={"jobs": {"max": 10000}}, max_in_flight=4)
    origin.handler = lambda request, conn: conn.answer(200, request.target.encode() * 300)
    jobs = {}

    def ask(who, stopped):
        try:
            with d.connect() as client:
                for i in range(10000):
                    target = f"/api/{who}-{len(jobs)}-{i}"
                    client.start(method, target, LATER, b"x" * 2000 if method == "POST" else None)
                    reply = client.read_response()
                    assert reply.status == 202
                    jobs[target] = json.loads(reply.body)
        except (Closed, OSError):
            assert stopped.is_set()
    for round_ in range(3):
        stopped = threading.Event()
        askers = [threading.Thread(target=ask, args=(f"{round_}{n}", stopped)) for n in range(3)]
        for asker in askers:
            asker.start()
        wanted = len(jobs) + 25 + 7 * round_
        until(lambda: len(jobs) >= wanted, "some jobs are made")
        stopped.set()
        d.kill()
        for asker in askers:
            asker.join()
        d.start()
    for target, job in jobs.items():
        reply = result(d, job)
        if method == "POST" and reply.status == 502:
            assert problem(reply) == "may-have-been-done"
        else:
            assert (reply.status, reply.body) == (200, target.replace("/api", "", 1).encode() * 300)
    asked = [r.target for r in origin.requests]
    assert method == "GET" or len(asked) == len(set(asked))


def test_a_running_one_may_end_when_weir_stops(weir, origin):
    d, gate = weir(), Gate(origin)
    job = later(d, method="POST", body=b"x")
    wait_for(d, job, "running")
    d.terminate()
    d.wait_line("stopping")
    gate.open()
    d.wait_exit()
    d.process = None
    d.start()
    assert result(d, job).body == gate.body and origin.count() == 1


@pytest.mark.parametrize("fields, target", [
    ([("Authorization", "Bearer geheim-4711")], "/api/1"),
    ([("X-Api-Key", "geheim-4711")], "/api/1"),
    ([("Cookie", "session=geheim-4711")], "/api/1"),
    ([], "/api/1?api_key=geheim-4711&x=1"),
])
def test_a_clients_credential_is_never_stored(weir, origin, fields, target):
    d = weir(**SPENT)
    d.get(target, fields)
    job = later(d, target, fields=fields)
    assert b"geheim-4711" not in d.everything_written()
    d.kill()
    d.start()
    reply = result(d, job, fields)
    assert reply.status == 409 and problem(reply) == "credential-gone"
    assert b"geheim-4711" not in d.everything_written() and origin.count() == 1


def test_what_the_api_says_again_is_told_and_not_stored(weir, origin):
    d = weir()
    secret = "geheim-4711-geheim"
    origin.reply(200, b"x", [("X-Echo", f"you are {secret}")])
    fields = [("X-Api-Key", secret)]
    job = later(d, fields=fields)
    assert result(d, job, fields).fields.get("X-Echo") == f"you are {secret}"
    items = json.dumps([{"url": "/api/2", "headers": {"X-Api-Key": secret}}])
    batch = json.loads(batch_later(d, items).body)
    assert result(d, batch).status == 200
    assert secret.encode() not in d.everything_written()
    d.kill()
    d.start()
    assert result(d, job, fields).fields.get("X-Echo") == "you are ***"


def test_with_auth_it_goes_on(weir, origin, place):
    secret = place / "secret"
    secret.write_text("Bearer geheim-4711")
    secret.chmod(0o600)
    d, gate = weir(auth={"header": "Authorization", "value_file": str(secret)}), Gate(origin)
    job = later(d)
    wait_for(d, job, "running")
    d.kill()
    gate.open()
    d.start()
    assert result(d, job).status == 200
    assert origin.requests[-1].fields.get("Authorization") == "Bearer geheim-4711"
