"""etc/apis as they are shipped, against origins that keep the books as those APIs say that they do.

What an API would refuse, it refuses here, and counts that: it must not come to it.  What answers cost by Weir-Cost is
what the books say in the end.
"""
import datetime
import json
import os
import pathlib
import random
import re
import subprocess
import threading
import time

import pytest

from harness.daemon import environment
from harness.wait import seconds, until

APIS = pathlib.Path(__file__).resolve().parents[2] / "etc" / "apis"
CLIENTS = pathlib.Path(__file__).parent / "clients"
NODE_MODULES = pathlib.Path(os.environ["WEIR_NODE_MODULES"])          # run-scenarios sets it
JSON = [("Content-Type", "application/json")]
EVENTS = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]


class Window:
    """In no minute more than that."""

    def __init__(self, now, most):
        self.now, self.most, self.taken = now, most, []

    def left(self):
        self.taken = [(at, units) for at, units in self.taken if at > self.now() - 60]
        return self.most - sum(units for _, units in self.taken)

    def take(self, units):
        fits = units <= self.left()
        if fits:
            self.taken.append((self.now(), units))
        return fits


class Bucket:
    """Filled again all the time; what was taken too much is put back."""

    def __init__(self, now, most, a_second):
        self.now, self.most, self.a_second, self.level, self.at = now, most, a_second, most, now()

    def left(self):
        self.level = min(self.most, self.level + (self.now() - self.at) * self.a_second)
        self.at = self.now()
        return self.level

    def take(self, units):
        fits = units <= self.left()
        if fits:
            self.level -= units
        return fits


class Api:
    """A handler that answers one request after another as far as the books are concerned."""
    low = 0.15                                  # of the budget: less than one request more


    def __init__(self, clock):
        self.rng, self.lock, self.refused, self.spent = random.Random(11), threading.Lock(), 0, {}
        self.now = lambda: time.monotonic() + clock.offset
        self.wall = lambda: time.time() + clock.offset

    def spend(self, name, units):
        self.spent[name] = self.spent.get(name, 0) + units

    def think(self):
        """So that many are under way at one time."""
        time.sleep(0.02)

    def refuse(self, conn, body, status=429):
        self.refused += 1
        conn.answer(status, json.dumps(body).encode(), [*JSON, *([("Retry-After", "5")] if status == 429 else [])])


def events(conn, fields, *all_of_them):
    conn.head(200, [*EVENTS, *fields])
    for name, event in all_of_them:
        conn.chunk((f"event: {name}\n" if name else "").encode() + b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n")
    conn.last_chunk()


# -- the APIs -----------------------------------------------------------------------

class OpenAI(Api):
    """Counts when a request comes: the larger of max_tokens and a guess by the number of characters."""
    file, target, names = "openai", "/openai/v1/chat/completions", {"dollars": 1e-6}
    clients, turns, step = 30, 3, 61

    def __init__(self, clock):
        super().__init__(clock)
        self.requests, self.tokens = Window(self.now, 500), Window(self.now, 30000)

    def body(self, rng):
        stream = {"stream": True, "stream_options": {"include_usage": True}} if rng.random() < 0.5 else {}
        return {"model": "m", "max_tokens": rng.randint(200, 2000), **stream,
                "messages": [{"role": "user", "content": "x" * rng.randint(100, 4000)}]}

    def __call__(self, request, conn):
        asked = json.loads(request.body)
        characters = sum(len(message["content"]) for message in asked["messages"])
        with self.lock:
            if not self.requests.take(1) or not self.tokens.take(max(asked["max_tokens"], characters // 4)):
                return self.refuse(conn, {"error": {"code": "rate_limit_exceeded"}})
            usage = {"prompt_tokens": characters // 4, "completion_tokens": self.rng.randint(1, asked["max_tokens"])}
            usage["total_tokens"] = sum(usage.values())
            self.spend("dollars", 0.0000025 * usage["prompt_tokens"] + 0.00001 * usage["completion_tokens"])
            fields = [("x-ratelimit-limit-requests", "500"), ("x-ratelimit-remaining-requests", str(self.requests.left())),
                      ("x-ratelimit-reset-requests", "1m0s"), ("x-ratelimit-limit-tokens", "30000"),
                      ("x-ratelimit-remaining-tokens", str(self.tokens.left())), ("x-ratelimit-reset-tokens", "1m0s")]
        self.think()
        if not asked.get("stream"):
            return conn.answer(200, json.dumps({"choices": [{"message": {"content": "y" * 500}}], "usage": usage}).encode(), [*JSON, *fields])
        return events(conn, fields, *((None, {"choices": [{"delta": {"content": "y"}}], "usage": None}) for _ in range(3)),
                      (None, {"choices": [], "usage": usage}), (None, b"[DONE]"))


class Anthropic(Api):
    """Buckets of input and output: what is guessed when a request comes, of the output max_tokens, is held until its end."""
    file, target, names = "anthropic", "/anthropic/v1/messages", {"input-tokens": 1, "output-tokens": 1}
    clients, turns, step = 40, 2, 61

    def __init__(self, clock):
        super().__init__(clock)
        self.buckets = {name: Bucket(self.now, most, most / 60) for name, most in
                        (("requests", 50), ("input-tokens", 30000), ("output-tokens", 8000))}

    def body(self, rng):
        return {"model": "m", "max_tokens": rng.randint(100, 1000), "stream": rng.random() < 0.5,
                "messages": [{"role": "user", "content": "x" * rng.randint(100, 4000)}]}

    def fields(self):
        full = lambda bucket: self.wall() + (bucket.most - bucket.left()) / bucket.a_second      # noqa: E731
        return [field for name, bucket in self.buckets.items() for field in (
            (f"anthropic-ratelimit-{name}-limit", str(bucket.most)), (f"anthropic-ratelimit-{name}-remaining", str(int(bucket.left()))),
            (f"anthropic-ratelimit-{name}-reset", datetime.datetime.fromtimestamp(full(bucket), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")))]

    def __call__(self, request, conn):
        asked = json.loads(request.body)
        characters = sum(len(message["content"]) for message in asked["messages"])
        held = {"requests": 1, "input-tokens": characters * 0.28, "output-tokens": asked["max_tokens"]}
        with self.lock:
            if any(self.buckets[name].left() < units for name, units in held.items()):
                return self.refuse(conn, {"type": "error", "error": {"type": "rate_limit_error"}})
            assert all([self.buckets[name].take(units) for name, units in held.items()])
            fields, used = self.fields(), {"input-tokens": characters // 4, "output-tokens": self.rng.randint(1, asked["max_tokens"])}
        of_input = {"input_tokens": used["input-tokens"] - 9, "cache_creation_input_tokens": 9, "cache_read_input_tokens": 700}
        text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y"}}
        self.think()
        if asked["stream"]:
            message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None, "stop_sequence": None}
            events(conn, fields, ("message_start", {"type": "message_start", "message": {**message, "usage": {**of_input, "output_tokens": 1}}}),
                   ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                   ("ping", {"type": "ping"}), *(("content_block_delta", text) for _ in range(3)),
                   ("content_block_stop", {"type": "content_block_stop", "index": 0}),
                   ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                                      "usage": {"output_tokens": used["output-tokens"]}}),
                   ("message_stop", {"type": "message_stop"}))
        else:
            usage = {**of_input, "output_tokens": used["output-tokens"]}
            conn.answer(200, json.dumps({"type": "message", "content": [], "usage": usage}).encode(), [*JSON, *fields])
        with self.lock:
            for name, units in used.items():
                self.buckets[name].level += held[name] - units
                self.spend(name, units)


class Shopify(Api):
    """A bucket of points: what a query asks for is taken, and what was not found there is given back."""
    file, target, names = "shopify", "/shopify/admin/api/2026-01/graphql.json", {"points": 1}
    clients, turns, step = 10, 20, 5

    def __init__(self, clock):
        super().__init__(clock)
        self.points = Bucket(self.now, 2000, 100)

    def body(self, rng):
        return {"query": "query($first: Int) { products(first: $first) { nodes { id } } }", "variables": {"first": rng.randint(10, 150)}}

    def __call__(self, request, conn):
        requested = 2 + json.loads(request.body)["variables"]["first"]
        with self.lock:
            if not self.points.take(requested):
                return self.refuse(conn, {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}, 200)
            actual = self.rng.randint(2, requested)
            status = {"maximumAvailable": 2000, "currentlyAvailable": int(self.points.left()), "restoreRate": 100}
        self.think()
        conn.answer(200, json.dumps({"data": {"products": {"nodes": []}}, "extensions": {"cost": {
            "requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}}}).encode(), JSON)
        with self.lock:
            self.points.level += requested - actual
            self.spend("points", actual)


class GitHub(Api):
    """An hour's points, of which others have used most: the fields say so.  Beyond them it is 200 with an error."""
    file, target, names = "github-graphql", "/github-graphql/graphql", {"points": 1}
    clients, turns, step, low = 4, 30, 3601, 0.0008

    def __init__(self, clock):
        super().__init__(clock)
        self.left, self.reset = 200, self.wall() + 3600

    def body(self, rng):
        return {"query": "query { rateLimit { cost } search(query: \"x\", type: REPOSITORY, first: 100) { nodes { id } } }"}

    def __call__(self, request, conn):
        with self.lock:
            if self.wall() >= self.reset:
                self.left, self.reset = 5000, self.wall() + 3600
            cost = self.rng.randint(1, 4)
            if cost > self.left:
                return self.refuse(conn, {"errors": [{"type": "RATE_LIMITED"}]}, 200)
            self.left -= cost
            self.spend("points", cost)
            fields = [("X-RateLimit-Limit", "5000"), ("X-RateLimit-Remaining", str(self.left)), ("X-RateLimit-Used", str(5000 - self.left)),
                      ("X-RateLimit-Reset", str(int(self.reset))), ("X-RateLimit-Resource", "graphql")]
        return conn.answer(200, json.dumps({"data": {"rateLimit": {"cost": cost}, "search": {"nodes": []}}}).encode(), [*JSON, *fields])


# -- clients -------------------------------------------------------------------------

def started(daemons, origin, file):
    text, count = re.subn(r'^(    url +=) "https://[^"]+"', rf'\1 "{origin.url}"', (APIS / f"{file}.conf").read_text(), flags=re.M)
    assert count == 1
    text = re.sub(r'^    hosts .*\n', "", text, flags=re.M)
    d = daemons()
    d.write((), 'listen = ( "127.0.0.1:0" );\nadmin = { socket = "%s"; };\ncache = { path = "%s"; };\nstate = { path = "%s"; };\n'
                'log = { access = "%s"; };\n' % (d.admin_path, d.cache, d.state, d.access_file) + text)
    return d.start()


def costs(response):
    """{limit: units} of Weir-Cost, in the head or after the body."""
    text = response.fields.get("Weir-Cost") or response.trailers.get("Weir-Cost") or ""
    assert "unsettled" not in text, text
    return {name: int(units) for name, units in re.findall(r'"([^"]+)";cost=(\d+)', text)}


def is_spent(d, api, waiting):
    """So many wait, for the budget and not for a place or the disk."""
    u = d.status()["upstreams"][0]
    return u["in_flight"] == 0 and 0 < u["waiting"] == waiting and any(limit["left"] <= api.low * limit["allowed"] for limit in u["limits"])


def pass_time(clock, api, origin, is_over):
    """So much that something can be sent, and until it is."""
    before = origin.count()
    clock.advance(api.step)
    until(lambda: origin.count() > before or is_over(), "the next one to go", timeout=40)


def drive(d, clock, api, origin):
    """All clients at once; where all that are left wait for the budget, time passes.  What they paid, and how often it did."""
    paid, failures, at_work, passed = {}, [], [api.clients], 0
    fields = [*JSON, ("Authorization", "Bearer one"), ("Weir-Max-Wait", "12h")]

    def work(n):
        rng = random.Random(n)
        with d.connect(timeout=seconds(50)) as client:
            for _ in range(api.turns):
                response = client.request("POST", api.target, fields, json.dumps(api.body(rng)).encode())
                with api.lock:
                    if response.status != 200:
                        failures.append((response.status, response.fields.get("Retry-After"), response.body))
                    for name, units in costs(response).items():
                        paid[name] = paid.get(name, 0) + units
        with api.lock:
            at_work[0] -= 1

    def all_that_are_left_wait():
        return at_work[0] == 0 or is_spent(d, api, at_work[0])
    threads = [threading.Thread(target=work, args=(n,)) for n in range(api.clients)]
    for thread in threads:
        thread.start()
    while at_work[0] > 0:
        until(all_that_are_left_wait, "the budget to be spent", timeout=40)
        if at_work[0] > 0:
            pass_time(clock, api, origin, lambda: at_work[0] == 0)
            passed += 1
    for thread in threads:
        thread.join()
    assert failures == []
    return paid, passed


@pytest.mark.parametrize("made", [OpenAI, Anthropic, Shopify, GitHub])
def test_the_books_of_the_api_are_never_overdrawn(daemons, origin, clock, made):
    d = started(daemons, origin, made.file)
    origin.handler = api = made(clock)
    paid, passed = drive(d, clock, api, origin)
    assert passed > 0, "there was more to do than the budget allows at once"
    assert api.refused == 0 and origin.count() == api.clients * api.turns
    limits = {limit["limit"]: limit for limit in d.ctl_json("limits")["limits"] if "metered" in limit}
    for name, unit in api.names.items():
        # each answer's amount is rounded up to a unit of the limit
        assert 0 <= paid[name] * unit - api.spent[name] <= unit * api.clients * api.turns, name
        assert limits[name]["metered"]["settled"] == paid[name] and limits[name]["metered"]["unsettled"] == 0


# -- their own SDKs -----------------------------------------------------------------

SDKS = {"openai.mjs": (OpenAI, "/openai/v1", 25), "anthropic.mjs": (Anthropic, "/anthropic", 16)}


@pytest.mark.real_clients
@pytest.mark.parametrize("script", SDKS)
def test_its_own_sdk_streams_through(daemons, origin, clock, place, script):
    """More at one time than a minute's budget has tokens for: each waits for its turn, and then hears event by event."""
    made, base, count = SDKS[script]
    d = started(daemons, origin, made.file)
    origin.handler = api = made(clock)
    node = subprocess.Popen(["node", CLIENTS / script, NODE_MODULES, d.url + base, str(count)], env=environment(place), text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    passed = 0

    def the_rest_waits():
        return node.poll() is not None or is_spent(d, api, count - origin.count())
    while node.poll() is None:
        until(the_rest_waits, "the budget to be spent", timeout=40)
        if node.poll() is None:
            pass_time(clock, api, origin, lambda: node.poll() is not None)
            passed += 1
    said, complaints = node.communicate(timeout=seconds(10))
    assert node.returncode == 0, complaints
    rows = [line.split() for line in said.splitlines()]
    assert [row[:2] for row in rows] == [[str(n), "yyy"] for n in range(count)]
    assert api.refused == 0 and origin.count() == count and passed > 0
    prompt, completion = (sum(int(row[i]) for row in rows) for i in (2, 3))
    if made is OpenAI:
        assert abs(api.spent["dollars"] - (0.0000025 * prompt + 0.00001 * completion)) < 1e-9
    else:
        assert api.spent == {"input-tokens": prompt, "output-tokens": completion}
    settled = {limit["limit"]: limit["metered"] for limit in d.ctl_json("limits")["limits"] if "metered" in limit}
    assert all(settled[name]["settled"] * unit >= api.spent[name] - 1e-9 and settled[name]["unsettled"] == 0 for name, unit in api.names.items())
