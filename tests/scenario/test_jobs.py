"""Requests that are answered later: jobs."""
import json
import os
import subprocess
import sys
import threading

import pytest

from harness.jobs import LATER, FRESH, SPENT, batch_later, later, state, wait_for, result, problem, Gate
from harness.settings import upstream
from harness.wait import seconds, until

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


def told(d, job):
    return next(j for j in json.loads(d.get("/.weir/jobs").body)["jobs"] if j["id"] == job["id"])


def test_what_is_told_of_a_wait_is_of_now(weir, origin):
    d = weir(**SPENT)
    assert d.get("/api/0").status == 200
    jobs = [later(d, f"/api/{i}") for i in range(1, 4)]
    before = told(d, jobs[2])
    assert before["ahead"] == 2
    d.request("DELETE", f"/.weir/jobs/{jobs[0]['id']}")
    after = until(lambda: (t := told(d, jobs[2]))["ahead"] == 1 and t, "one went")
    assert after["eta"] < before["eta"] and state(d, jobs[2])["ahead"] == 1
    assert until(lambda: (t := state(d, jobs[1]))["ahead"] == 0 and t, "it is the first")["eta"] < after["eta"]
    # With the 202 of an equal one, and while somebody waits for the result.
    key = [("Idempotency-Key", "k")]
    last = later(d, "/api/9", fields=key)
    assert last["ahead"] == 2
    d.request("DELETE", f"/.weir/jobs/{jobs[1]['id']}")
    until(lambda: later(d, "/api/9", fields=key)["ahead"] == 1, "heard by its key")
    assert json.loads(d.get(last["result"]).body)["ahead"] == 1
    # Who may change Weir hears of the look before.
    d.request("DELETE", f"/.weir/jobs/{jobs[2]['id']}")
    until(lambda: [j["ahead"] for j in json.loads(d.admin("GET", "/jobs").body)["jobs"] if "ahead" in j] == [0], "it is")


def test_a_list_of_many_is_of_now(weir, origin):
    d = weir(settings={"jobs": {"max": 1000}}, **SPENT)
    assert d.get("/api/0").status == 200
    jobs = [later(d, f"/api/{i}") for i in range(40)]
    d.request("DELETE", f"/.weir/jobs/{jobs[0]['id']}")
    until(lambda: [j["ahead"] for j in json.loads(d.get("/.weir/jobs?state=queued").body)["jobs"]] == list(range(39)),
          "each is told its place")


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
    d = weir(settings={"jobs": {"max": 2, "max_share": "100%"}})
    gate = Gate(origin)
    jobs = [later(d, f"/api/{i}") for i in (1, 2)]
    reply = d.get("/api/3", LATER)
    assert reply.status == 503 and problem(reply) == "jobs-full"
    gate.open()
    result(d, jobs[0])
    d.request("DELETE", f"/.weir/jobs/{jobs[0]['id']}")
    later(d, "/api/3")


ASKS_AS_NOBODY = """
import http.client, sys
for target in sys.argv[2:]:
    c = http.client.HTTPConnection(sys.argv[1])
    c.request("GET", target, headers={"Weir-Async": "1"})
    print(c.getresponse().status)
"""


def ask_as_nobody(d, *targets):
    run = subprocess.run([sys.executable, "-I", "-c", ASKS_AS_NOBODY, d.url.removeprefix("http://"), *targets], check=True,
                         timeout=seconds(20), user=65534, group=65534, extra_groups=[], capture_output=True, text=True)
    return [int(status) for status in run.stdout.split()]


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("how", ["new", "after a restart"])
def test_one_user_does_not_take_all_places(weir, origin, how):
    d = weir(settings={"jobs": {"max": 4}}, **SPENT)
    jobs = [later(d, f"/api/{i}") for i in (1, 2)]
    if how != "new":
        d.kill()
        d.start()
    # Another credential makes no other user.
    for fields in ([], [("Authorization", "Bearer other")]):
        reply = d.get("/api/3", [*LATER, *fields])
        assert reply.status == 503 and problem(reply) == "jobs-full" and b"max_share" in reply.body
    assert ask_as_nobody(d, "/api/4", "/api/5", "/api/6") == [202, 202, 503]
    d.request("DELETE", f"/.weir/jobs/{jobs[1]['id']}")
    d.request("DELETE", f"/.weir/jobs/{jobs[1]['id']}")
    until(lambda: d.get("/api/3", LATER).status == 202, "there is room again")


def test_jobs_are_counted(weir, origin):
    d = weir(settings={"jobs": {"max": 4, "max_share": "100%"}}, **SPENT)
    gate = Gate(origin)
    done, queued = later(d, "/api/1", "POST", body=b"x"), later(d, "/api/2")
    wait_for(d, done, "running")
    assert d.status()["jobs"] == {"queued": 1, "running": 1, "done": 0, "failed": 0, "cancelled": 0}
    gate.open()
    result(d, done)
    d.request("DELETE", f"/.weir/jobs/{queued['id']}")
    assert d.get("/api/3", [*LATER, ("Weir-Max-Wait", "1s")]).status == 429
    later(d, "/api/4"), later(d, "/api/4")
    assert d.get("/api/5", LATER).status == 503
    assert d.status()["jobs"] == {"queued": 2, "running": 0, "done": 1, "failed": 0, "cancelled": 1}
    counters = {name: n for name, n in d.status()["counters"].items() if name.startswith("jobs_")}
    assert counters == {"jobs_taken": 5, "jobs_refused": 1, "jobs_done": 1, "jobs_failed": 1, "jobs_cancelled": 1}
    text = d.admin("GET", "/metrics").body.decode()
    assert 'weir_jobs{state="queued"} 2' in text and 'weir_jobs{state="done"} 1' in text
    assert "weir_jobs_taken_total 5" in text
    assert "jobs       2 queued, 0 running, 2 ended, 0 of them failed" in d.ctl("status").stdout


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
