"""Requests that are answered later, as their client sees them."""
import json
import threading

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


def batch_later(d, body, query="", fields=(("Weir-Async", "1"),), timeout=30):
    with d.connect(timeout=timeout) as client:
        return client.request("POST", "/.weir/batch" + query, list(fields), body.encode())


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
