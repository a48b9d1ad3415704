"""Requests that are answered later: jobs."""
import json
import threading

import pytest

from harness.client import Closed
from harness.settings import upstream
from harness.wait import until

LATER = [("Weir-Async", "1")]
FRESH = [("Cache-Control", "max-age=3600"), ("Content-Type", "application/json")]
# One request at once, and none after it for as long as a test lasts.
SPENT = {"limits": ["1/h"], "queue": {"max_wait": "30s"}}


def later(d, target="/api/1", method="GET", fields=(), body=None, **kwargs):
    """The job of a request: what the 202 says."""
    reply = d.request(method, target, [*LATER, *fields], body, **kwargs)
    assert reply.status == 202, reply
    job = json.loads(reply.body)
    assert reply.fields.get("Location") == f"/.weir/jobs/{job['id']}"
    assert int(reply.fields.get("Retry-After")) >= 1
    return job


def state(d, job, fields=()):
    reply = d.get(f"/.weir/jobs/{job['id']}", fields)
    assert reply.status == 200, reply
    return json.loads(reply.body)


def wait_for(d, job, wanted, fields=()):
    return until(lambda: (s := state(d, job, fields))["state"] == wanted and s, f"{job['id']} is {wanted}")


def result(d, job, fields=()):
    return d.get(f"/.weir/jobs/{job['id']}/result", [("Prefer", "wait=30"), *fields])


def problem(reply):
    assert reply.fields.get("Content-Type") == "application/problem+json", reply
    return json.loads(reply.body)["type"].rpartition(":")[2]


class Gate:
    """An origin's handler that holds its answers until it is opened."""

    def __init__(self, origin, body=b'{"late": true}', fields=FRESH):
        self.opened, self.body, self.fields = threading.Event(), body, fields
        origin.handler = self

    def __call__(self, request, conn):
        conn.wait(self.opened)
        conn.answer(200, self.body, self.fields)

    def open(self):
        self.opened.set()


# -- from 202 to the result ----------------------------------------------------------------------------------------

def test_a_job_from_its_begin_to_its_result(weir, origin):
    d, gate = weir(), Gate(origin)
    job = later(d, "/api/1?x=y")
    assert job["result"] == f"/.weir/jobs/{job['id']}/result"
    assert (job["method"], job["target"], job["upstream"]) == ("GET", "/api/1?x=y", "api")
    wait_for(d, job, "running")
    reply = d.get(job["result"])
    assert reply.status == 202 and reply.fields.get("Retry-After") == "1"
    gate.open()
    reply = result(d, job)
    assert reply.status == 200 and reply.body == gate.body
    assert reply.fields.get("Content-Type") == "application/json" and "stored" in reply.fields.get("Cache-Status")
    assert state(d, job)["status"] == 200 and state(d, job)["state"] == "done"
    assert origin.count() == 1
    assert d.request("DELETE", f"/.weir/jobs/{job['id']}").status == 204
    assert problem(d.get(job["result"])) == "job-unknown"


@pytest.mark.parametrize("size", [0, 10, 1024, 1025, 70_000, 3_000_000])
def test_bodies_of_any_size_both_ways(weir, origin, size):
    d = weir()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    origin.handler = lambda request, conn: conn.answer(201, request.body[::-1], [("X-Own", "1")])
    job = later(d, "/api/1", "POST", body=body)
    for _ in range(2):
        reply = result(d, job)
        assert (reply.status, reply.body, reply.fields.get("X-Own")) == (201, body[::-1], "1")
    d.kill()
    d.start()
    assert result(d, job).body == body[::-1] and origin.count() == 1


def test_an_answer_of_the_apis_is_an_answer(weir, origin):
    d = weir()
    origin.reply(404, b"no such thing")
    job = later(d)
    assert result(d, job).status == 404 and state(d, job)["state"] == "done"


def test_a_failure_is_told_as_a_problem(weir, origin):
    d = weir()
    origin.handler = lambda request, conn: conn.reset()
    job = later(d)
    reply = result(d, job)
    assert reply.status == 502 and problem(reply) == "upstream-failed"
    assert state(d, job)["state"] == "failed"


def test_a_head_has_no_body(weir, origin):
    d = weir()
    origin.handler = lambda request, conn: conn.answer(200, b"12345")
    reply = d.request("HEAD", "/api/1", LATER)
    assert reply.status == 202
    job = {"id": reply.fields.get("Location").rpartition("/")[2]}
    reply = d.request("HEAD", f"/.weir/jobs/{job['id']}/result", [("Prefer", "wait=30")])
    assert reply.status == 200 and reply.fields.get("Content-Length") == "5"


def test_a_hit_comes_at_once(weir, origin):
    d = weir()
    origin.reply(200, b"here", FRESH)
    d.get("/api/1")
    d.wait_stored()
    reply = d.get("/api/1", LATER)
    assert reply.status == 200 and reply.body == b"here" and "hit" in reply.fields.get("Cache-Status")


def test_what_comes_within_wait_comes_as_itself(weir, origin):
    d = weir()
    origin.handler = lambda request, conn: conn.answer(200, request.body or b"none", [("X-Own", "1")])
    reply = d.get("/api/1", [*LATER, ("Prefer", "wait=30")])
    assert (reply.status, reply.body, reply.fields.get("X-Own")) == (200, b"none", "1")
    reply = d.request("POST", "/api/1", [*LATER, ("Prefer", "wait=30")], b"abc")
    assert (reply.status, reply.body) == (200, b"abc")
    assert json.loads(d.get("/.weir/jobs").body)["jobs"] == []


def test_wait_ends(weir, origin):
    d, gate = weir(), Gate(origin)
    reply = d.get("/api/1", [*LATER, ("Prefer", "wait=1")])
    assert reply.status == 202
    gate.open()
    assert result(d, json.loads(reply.body)).body == gate.body


@pytest.mark.parametrize("settings, fields, is_job", [
    ({}, [("Prefer", "respond-async")], False),
    ({"jobs": True}, [("Prefer", "respond-async")], True),
    ({"jobs": True}, [("Prefer", "return=minimal")], False),
    ({}, [("Prefer", "respond-async, return=minimal"), ("Weir-Async", "1")], True),
    ({"jobs": True}, [("Prefer", "return=minimal"), ("Prefer", 'respond-async; x="y", wait=0')], True),
])
def test_whose_a_preference_is(weir, origin, settings, fields, is_job):
    d = weir(**settings)
    seen = []

    def handler(request, conn):
        seen.append(request.fields.joined("Prefer"))
        conn.answer(200, b"x")
    origin.handler = handler
    reply = d.get("/api/1", fields)
    assert reply.status == (202 if is_job else 200)
    if is_job:
        result(d, json.loads(reply.body))
    given = ", ".join(v for n, v in fields if n == "Prefer")
    ours = bool(settings) and is_job
    assert seen == ["return=minimal" if ours and "minimal" in given else "" if ours else given]
    assert reply.fields.get("Preference-Applied") == ("respond-async" if ours else None)


@pytest.mark.parametrize("value, status", [("1", 202), ("0", 200), ("2", 400), ("yes", 400), ("", 400)])
def test_the_fields_value(weir, origin, value, status):
    d = weir()
    assert d.get("/api/1", [("Weir-Async", value)]).status == status


# -- waiting, and leaving ------------------------------------------------------------------------------------------

def test_a_long_wait_ends_with_a_change(weir, origin):
    d, gate = weir(), Gate(origin)
    job = later(d)
    wait_for(d, job, "running")
    with d.connect(timeout=30) as client:
        client.start("GET", f"/.weir/jobs/{job['id']}", [("Prefer", "wait=30")])
        gate.open()
        assert json.loads(client.read_response().body)["state"] == "done"


def test_what_waits_for_its_budget_is_foretold(weir, origin):
    d = weir(**SPENT)
    assert d.get("/api/0").status == 200
    first, second = later(d, "/api/1"), later(d, "/api/2")
    assert (first["state"], first["ahead"], second["ahead"]) == ("queued", 0, 1)
    reply = d.get("/api/3", LATER)
    assert 3500 < int(reply.fields.get("Retry-After")) < 4 * 3600
    assert state(d, first)["eta"].endswith("Z")
    assert state(d, second)["eta"] > state(d, first)["eta"]


def test_a_full_queue_fails_no_job(weir, origin, clock):
    d = weir(limits=["1/h"], queue={"max_wait": "30s", "max_length": 1})
    d.get("/api/0")
    jobs = [later(d, f"/api/{i}", "POST", body=b"x") for i in range(1, 5)]
    assert {state(d, job)["state"] for job in jobs} == {"queued"}
    assert d.get("/api/9", [("Weir-Max-Wait", "forever")]).status == 429
    for done in range(1, 5):
        clock.advance(3601)
        until(lambda: sum(state(d, job)["state"] == "done" for job in jobs) == done, f"{done} are done")
    assert [result(d, job).status for job in jobs] == [200] * 4 and origin.count() == 5


def test_a_queued_one_is_dropped_uncharged(weir, origin, clock):
    d = weir(**SPENT)
    d.get("/api/0")
    first, second = later(d, "/api/1"), later(d, "/api/2")
    assert d.request("DELETE", f"/.weir/jobs/{first['id']}").status == 204
    assert state(d, first)["state"] == "cancelled"
    assert problem(result(d, first)) == "job-cancelled"
    clock.advance(3601)
    assert result(d, second).status == 200
    assert [r.target for r in origin.requests] == ["/0", "/2"]


def test_a_running_one_is_cancelled(weir, origin):
    d, gate = weir(), Gate(origin)
    job = later(d, method="POST", body=b"x")
    wait_for(d, job, "running")
    assert d.request("DELETE", f"/.weir/jobs/{job['id']}").status == 204
    assert state(d, job)["state"] == "cancelled"
    gate.open()


def test_who_leaves_before_the_202_leaves_nothing(weir, origin):
    d, gate = weir(on_abort="drop"), Gate(origin)
    with d.connect() as client:
        client.start("GET", "/api/1", [*LATER, ("Prefer", "wait=30")])
        origin.wait_requests(1)
    until(lambda: json.loads(d.get("/.weir/jobs").body)["jobs"] == [], "no job is left")
    gate.open()


# -- over a restart --------------------------------------------------------------------------------------------------

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


# -- whose it is -----------------------------------------------------------------------------------------------------

def test_for_anybody_else_it_does_not_exist(weir, origin):
    d = weir()
    ann, ben = [("Authorization", "Bearer ann")], [("Authorization", "Bearer ben")]
    job = later(d, fields=ann)
    assert result(d, job, ann).status == 200
    for other in (ben, []):
        for target in (f"/.weir/jobs/{job['id']}", job["result"]):
            reply = d.get(target, other)
            assert reply.status == 404 and problem(reply) == "job-unknown"
        assert d.request("DELETE", f"/.weir/jobs/{job['id']}", other).status == 404
        assert json.loads(d.get("/.weir/jobs", other).body)["jobs"] == []
    assert [j["id"] for j in json.loads(d.get("/.weir/jobs", ann).body)["jobs"]] == [job["id"]]


@pytest.mark.parametrize("fields", [[("Origin", "http://evil.example")], [("Origin", "http://127.0.0.1:1")],
                                    [("Sec-Fetch-Site", "cross-site")], [("Sec-Fetch-Site", "same-site")]])
def test_no_page_asks(weir, origin, fields):
    d = weir(allow_origins=["http://evil.example"])
    for target in ("/.weir/jobs", "/.weir/jobs/events", "/.weir/jobs/x", "/.weir/jobs/x/result"):
        assert d.get(target, fields).status == 403
    assert d.request("POST", "/.weir/batch", fields, b'["/api/1"]').status == 403


@pytest.mark.parametrize("method, target, status, what", [
    ("POST", "/.weir/jobs", 405, "job-method"),
    ("DELETE", "/.weir/jobs", 405, "job-method"),
    ("PUT", "/.weir/jobs/x", 405, "job-method"),
    ("GET", "/.weir/jobs/x", 404, "job-unknown"),
    ("GET", "/.weir/jobs/01JDK3V6ZC9Q8M1T2W7X5Y4R0B", 404, "job-unknown"),
    ("GET", "/.weir/jobs/01JDK3V6ZC9Q8M1T2W7X5Y4R0B/result", 404, "job-unknown"),
    ("GET", "/.weir/jobs/01JDK3V6ZC9Q8M1T2W7X5Y4R0B/nothing", 404, "job-unknown"),
    ("GET", "/.weir/jobs?state=asleep", 400, "job-query"),
    ("GET", "/.weir/jobs?since=x", 400, "job-query"),
    ("GET", "/.weir/jobs?nothing=1", 400, "job-query"),
])
def test_what_is_asked_wrongly(weir, origin, method, target, status, what):
    reply = weir().request(method, target)
    assert reply.status == status and problem(reply) == what


# -- many --------------------------------------------------------------------------------------------------------------

def test_the_list(weir, origin):
    d = weir()
    jobs = []
    for i in range(3):
        jobs.append(later(d, f"/api/{i}")["id"])
        result(d, {"id": jobs[-1]})

    def listed(query=""):
        return json.loads(d.get("/.weir/jobs" + query).body)
    whole = listed()
    assert [j["id"] for j in whole["jobs"]] == jobs and not whole["more"]
    assert [j["id"] for j in listed(f"?state=done&since={whole['jobs'][0]['seq']}")["jobs"]] == jobs[1:]
    assert listed("?state=failed")["jobs"] == [] and listed(f"?since={whole['seq']}")["jobs"] == []


class Events:
    """A client's stream of events; take(n): the next ones, as (id, event, data)."""

    def __init__(self, client, fields=()):
        client.start("GET", "/.weir/jobs/events", fields)
        self.head = client.read_head()
        assert self.head.status == 200 and self.head.fields.get("Content-Type") == "text/event-stream"
        self.pieces, self.text = client.pieces(self.head), b""

    def take(self, count):
        events = []
        while len(events) < count:
            whole, found, rest = self.text.partition(b"\n\n")
            if not found:
                self.text += next(self.pieces)
                continue
            self.text = rest
            if not whole.startswith(b":"):
                lines = dict(line.split(": ", 1) for line in whole.decode().splitlines())
                events.append((lines["id"], lines["event"], json.loads(lines["data"])))
        return events


def test_the_same_key_leads_to_the_same_job(weir, origin):
    d, gate = weir(), Gate(origin)
    key = [("Idempotency-Key", "4711")]
    job = later(d, method="POST", fields=key, body=b"a")
    assert later(d, method="POST", fields=key, body=b"a")["id"] == job["id"]
    d.kill()
    d.start()
    assert later(d, method="POST", fields=key, body=b"a")["id"] == job["id"]
    for target, body in (("/api/1", b"b"), ("/api/2", b"a")):
        reply = d.request("POST", target, [*LATER, *key], body)
        assert reply.status == 422 and problem(reply) == "idempotency-key-reused"
    other = [*key, ("Authorization", "Bearer ben")]
    assert later(d, method="POST", fields=other, body=b"b")["id"] != job["id"]
    gate.open()
    assert result(d, job).body == gate.body
    assert later(d, method="POST", fields=key, body=b"a")["state"] == "done"
    reply = d.request("POST", "/api/1", [*LATER, *key, ("Prefer", "wait=5")], b"a")
    assert reply.status == 200 and reply.body == gate.body
    assert reply.fields.get("Content-Location") == job["result"]


def test_an_expired_one_is_gone(weir, origin, clock):
    d = weir(settings={"jobs": {"keep": "1h"}})
    job = later(d)
    result(d, job)
    clock.advance(3599)
    assert result(d, job).status == 200
    clock.advance(2)
    for _ in range(2):
        for target in (f"/.weir/jobs/{job['id']}", job["result"]):
            reply = d.get(target)
            assert reply.status == 410 and problem(reply) == "job-expired"
        d.kill()
        d.start()
    assert d.get(job["result"], [("Authorization", "x")]).status == 404


def test_a_key_is_free_again_after_its_job(weir, origin, clock):
    d = weir(settings={"jobs": {"keep": "1h"}})
    key = [("Idempotency-Key", "4711")]
    made = []
    for body in (b"a", b"b", b"c"):
        made.append(later(d, method="POST", fields=key, body=body)["id"])
        result(d, {"id": made[-1]})
        assert later(d, method="POST", fields=key, body=body)["id"] == made[-1]
        clock.advance(3601)
    assert len(set(made)) == 3


def test_there_are_only_so_many(weir, origin):
    d = weir(settings={"jobs": {"max": 2}})
    gate = Gate(origin)
    jobs = [later(d, f"/api/{i}") for i in (1, 2)]
    reply = d.get("/api/3", LATER)
    assert reply.status == 503 and problem(reply) == "jobs-full"
    gate.open()
    result(d, jobs[0])
    d.request("DELETE", f"/.weir/jobs/{jobs[0]['id']}")
    later(d, "/api/3")


def test_bodies_have_a_bound(weir, origin):
    d = weir(settings={"jobs": {"max_size": "1MiB"}})
    origin.handler = lambda request, conn: conn.answer(200, b"x" * (900_000 if request.target == "/1" else 600_000))
    read, unread = later(d, "/api/1"), None
    assert len(result(d, read).body) == 900_000
    unread = later(d, "/api/2")            # makes room of what was read
    wait_for(d, unread, "done")
    assert problem(result(d, read)) == "job-expired"
    third = later(d, "/api/3")
    assert wait_for(d, third, "failed")["status"] == 507
    assert problem(result(d, third)) == "job-result-too-large"
    assert len(result(d, unread).body) == 600_000
    reply = d.request("POST", "/api/1", LATER, b"x" * 1_100_000)
    assert reply.status == 503 and problem(reply) == "jobs-full"


# -- the other ways in ---------------------------------------------------------------------------------------------

def test_outside_of_base_url_mode_urls_are_absolute(weir, origin):
    host = [("Host", "api.example")]
    d = weir(aliases=["api.example"])
    reply = d.get("/1", [*LATER, *host])
    assert reply.status == 202
    assert reply.fields.get("Location").startswith(f"{d.url}/.weir/jobs/")
    job = json.loads(reply.body)
    assert job["result"] == reply.fields.get("Location") + "/result"
    assert result(d, job).status == 200


def test_public_url(weir, origin):
    d = weir(aliases=["api.example"], settings={"public_url": "http://weir.example:8080"})
    reply = d.get("/1", [*LATER, ("Host", "api.example")])
    assert reply.fields.get("Location").startswith("http://weir.example:8080/.weir/jobs/")


# -- batches ---------------------------------------------------------------------------------------------------------

def batch_later(d, body, query="", fields=(("Weir-Async", "1"),), timeout=30):
    with d.connect(timeout=timeout) as client:
        return client.request("POST", "/.weir/batch" + query, list(fields), body.encode())


@pytest.mark.parametrize("body, query, fields", [
    ('["/api/1", "/api/2"]', "", [("Weir-Async", "1")]),
    ('["/api/1", "/api/2"]', "?async=true", []),
    ('["/api/1", "/api/2"]', "", [("Prefer", "respond-async")]),
    ('{"requests": ["/api/1", "/api/2"], "async": true}', "", []),
    ('/api/1\n/api/2', "?async=1&order=input", []),
    ('/api/1\n/api/2', "?order=input", [("Weir-Async", "1"), ("Accept", "application/json")]),
])
def test_a_batch_is_a_job(weir, origin, body, query, fields):
    d, gate = weir(), Gate(origin, b"1")
    reply = batch_later(d, body, query, fields)
    assert reply.status == 202, reply
    job = json.loads(reply.body)
    assert job["upstream"] is None and job["method"] == "POST"
    assert ("Preference-Applied" in reply.fields) == (fields[:1] == [("Prefer", "respond-async")])
    wait_for(d, job, "running")
    gate.open()
    reply = result(d, job)
    assert reply.status == 200
    if reply.fields.get("Content-Type") == "application/x-ndjson":
        assert [json.loads(line).get("body") for line in reply.body.splitlines()] == [1, 1, None]
    else:
        assert [entry["body"] for entry in json.loads(reply.body)] == [1, 1]


@pytest.mark.parametrize("body, query, status", [
    ('["/api/1", "/nobody/2"]', "", 400),
    ('/nobody/1\n/api/2', "", 400),
    ('["/api/1"', "", 400),
    ('["/api/1"]', "?async=perhaps", 400),
    ('', "", 400),
])
def test_a_wrong_batch_is_refused_at_once(weir, origin, body, query, status):
    d = weir()
    assert batch_later(d, body, query).status == status
    assert json.loads(d.get("/.weir/jobs").body)["jobs"] == [] and origin.count() == 0


def test_a_batch_waits_for_its_time_and_answers_as_itself(weir, origin):
    d = weir()
    origin.reply(200, b"1", FRESH)
    reply = batch_later(d, '["/api/1"]', fields=[("Prefer", "respond-async, wait=30")])
    assert reply.status == 200 and json.loads(reply.body)[0]["body"] == 1


@pytest.mark.parametrize("items, sent_again", [
    (["/api/1", "/api/2"], True),
    ([{"url": "/api/1", "method": "POST", "body": 1, "headers": {"Idempotency-Key": "x"}}], True),
    ([{"url": "/api/1", "method": "POST", "body": 1}], False),
])
def test_a_batch_after_a_kill(weir, origin, items, sent_again):
    d, gate = weir(), Gate(origin, b"1")
    job = json.loads(batch_later(d, json.dumps(items)).body)
    origin.wait_requests(len(items))
    wait_for(d, job, "running")
    d.kill()
    gate.open()
    d.start()
    reply = result(d, job)
    if sent_again:
        assert reply.status == 200 and all(e["status"] == 200 for e in json.loads(reply.body))
    else:
        assert problem(reply) == "may-have-been-done" and origin.count() == len(items)


@pytest.mark.parametrize("body, fields", [
    (json.dumps([{"url": "/api/1", "headers": {"Authorization": "Bearer geheim-4711"}}]), []),
    (json.dumps(["/api/1?token=geheim-4711"]), []),
    (json.dumps({"requests": ["/api/1"], "upstream": "api", "headers": {"X-Api-Key": "geheim-4711"}}), []),
    (json.dumps({"requests": ["/api/1"], "upstream": "api"}), [("Authorization", "Bearer geheim-4711")]),
    ('"/api/2"\n{"url": "/api/1", "headers": {"Cookie": "session=geheim-4711"}}', []),
], ids=range(5))
def test_an_items_credential_is_never_stored(weir, origin, body, fields):
    d = weir(**SPENT)
    d.get("/api/0")
    reply = batch_later(d, body, fields=[*LATER, *fields])
    assert reply.status == 202, reply
    job = json.loads(reply.body)
    assert b"geheim-4711" not in d.everything_written()
    d.kill()
    d.start()
    assert problem(result(d, job, fields)) == "credential-gone"


def test_a_batch_of_somebody_goes_on_without_him_where_no_item_has_his_credential(weir, origin, clock):
    d = weir(**SPENT)
    d.get("/api/0")
    ann = [("Authorization", "Bearer geheim-4711")]
    job = json.loads(batch_later(d, '["/api/1"]', fields=[*LATER, *ann]).body)
    assert b"geheim-4711" not in d.everything_written()
    d.kill()
    d.start()
    assert state(d, job, ann)["state"] in ("queued", "running")
    clock.advance(3601)
    assert json.loads(result(d, job, ann).body)[0]["status"] == 200
    assert "Authorization" not in origin.requests[-1].fields


# -- events ------------------------------------------------------------------------------------------------------------

def test_events_as_they_complete(weir, origin):
    d = weir()
    held = {f"/{i}": threading.Event() for i in (1, 2)}

    def handler(request, conn):
        conn.wait(held[request.path])
        conn.answer(200 if request.path == "/1" else 404, b"x")
    origin.handler = handler
    jobs = {path: later(d, "/api" + path) for path in held}
    with d.connect(timeout=30) as client, d.connect() as other:
        events = Events(client)
        Events(other, [("Authorization", "Bearer ben")])
        held["/2"].set()
        (seq, *second), = events.take(1)
        held["/1"].set()
        (_, *first), = events.take(1)
    assert second == ["done", {"id": jobs["/2"]["id"], "status": 404, "result": jobs["/2"]["result"]}]
    assert first == ["done", {"id": jobs["/1"]["id"], "status": 200, "result": jobs["/1"]["result"]}]
    with d.connect(timeout=30) as client:
        assert [e[2]["id"] for e in Events(client, [("Last-Event-ID", seq)]).take(1)] == [jobs["/1"]["id"]]
    d.kill()
    d.start()
    with d.connect(timeout=30) as client:
        assert [e[2]["id"] for e in Events(client, [("Last-Event-ID", "0")]).take(2)] == \
            [jobs["/2"]["id"], jobs["/1"]["id"]]


def test_many_events(weir, origin):
    d = weir()
    origin.reply(200, b"x")
    with d.connect(timeout=30) as client:
        events = Events(client)
        made = [later(d, f"/api/{i}")["id"] for i in range(100)]
        assert sorted(e[2]["id"] for e in events.take(100)) == sorted(made)


def test_long_waits_and_events_end_with_weir(weir, origin):
    d = weir(**SPENT)
    d.get("/api/0")
    job = later(d)
    with d.connect(timeout=30) as one, d.connect(timeout=30) as two:
        events = Events(one)
        before = d.counter("requests")
        two.start("GET", f"/.weir/jobs/{job['id']}", [("Prefer", "wait=60")])
        d.wait_counter("requests", before + 1)
        d.stop()
        assert json.loads(two.read_response().body)["state"] == "queued"
        assert b"event" not in b"".join(events.pieces) and events.head.complete


# -- access ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("batch", [False, True])
def test_access_is_asked_again(weir, origin, batch):
    d, gate = weir(), Gate(origin, b"1")
    gate.open()
    job = json.loads(batch_later(d, '["/api/1"]').body) if batch else later(d)
    result(d, job)
    d.write([upstream(origin, access=["10.9.8.7"])])
    d.ctl("reload")
    reply = d.get(job["result"])
    assert reply.status == 403 and problem(reply) == "not-allowed"
    assert d.request("DELETE", f"/.weir/jobs/{job['id']}").status == 204
