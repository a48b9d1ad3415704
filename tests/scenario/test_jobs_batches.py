"""Batches that are answered later."""
import json

import pytest

from harness.jobs import LATER, FRESH, SPENT, batch_later, state, wait_for, result, problem, Gate


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
