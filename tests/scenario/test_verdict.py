"""What a body says that its status does not: retry.never, retry.refused, complete."""

import gzip
import json

import pytest

from harness.origin import answer
from harness.settings import retry

JSON = [("Content-Type", "application/json")]
QUOTA = json.dumps({"error": {"code": "insufficient_quota"}}).encode()
BUSY = json.dumps({"error": {"code": "rate_limit_exceeded"}}).encode()
THROTTLED = json.dumps({"errors": [{"extensions": {"code": "THROTTLED"}}], "data": None}).encode()
GOOD = b'{"data": {}}'
SAYS = {**retry(), "never": ["json:/error/code = insufficient_quota"],
        "refused": ["json:/errors/0/extensions/code = THROTTLED"]}
POSTS = [{"match": "/**", "methods": ["POST"], "ttl": "1h", "key_body": True}]


def ask(d, method, target="/api/x"):
    return d.request(method, target, JSON, body=b'{"q": 1}') if method == "POST" else d.get(target)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("first, status, asked", [
    (answer(429, QUOTA, JSON), 429, 1), (answer(429, BUSY, JSON), 200, 2), (answer(429, b"no", []), 200, 2),
    (answer(200, THROTTLED, JSON), 200, 2), (answer(200, gzip.compress(THROTTLED), [*JSON, ("Content-Encoding", "gzip")]), 200, 2),
    (answer(200, GOOD, JSON), 200, 1),
    (answer(400, THROTTLED, JSON), 200, 2), (answer(200, QUOTA, JSON), 200, 1),
], ids=["never", "listed", "listed_and_no_json", "refused", "refused_in_gzip", "nothing", "refused_400", "never_200"])
def test_a_body_says_whether_it_is_tried_again(weir, origin, method, first, status, asked):
    origin.script(first, answer(200, GOOD, JSON))
    d = weir(ttl="1h", retry=SAYS, rules=POSTS)
    got = ask(d, method)
    assert (got.status, origin.count()) == (status, asked)
    assert got.end == "complete" and (asked == 1 or got.body == GOOD)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("body", [THROTTLED, QUOTA], ids=["refused", "never"])
def test_what_is_no_success_is_not_stored_and_drops_nothing(weir, origin, method, body):
    origin.script(answer(200, GOOD, JSON), *[answer(200, body, JSON)] * 8)
    d = weir(ttl="1h", retry={**SAYS, "attempts": 1}, rules=POSTS)
    assert d.get("/api/kept").status == 200
    d.wait_stored()
    for count in (2, 3):
        got = ask(d, method)
        assert (got.status, got.body, origin.count()) == (200, body, count) and not got.cache.stored
    assert d.request("PUT", "/api/kept", JSON, body=b"{}").body == body
    assert d.get("/api/kept").cache.hit, "a write that was refused has written nothing"


def test_a_refusal_that_is_told_to_the_end_is_given_as_it_is(weir, origin):
    origin.script(*[answer(200, THROTTLED, JSON)] * 3)
    d = weir(ttl="1h", retry=SAYS)
    assert d.get("/api/x").body == THROTTLED
    assert origin.count() == 3 and d.counter("refused_in_body") == 3


def test_a_long_body_passes_before_its_end_and_is_not_stored_where_that_refuses(weir, origin):
    long = b'{"x": "%s", "error": {"code": "insufficient_quota"}}' % (b"y" * 200_000)
    origin.script(answer(200, long, JSON), answer(200, GOOD, JSON))
    d = weir(ttl="1h", retry=SAYS)
    assert d.get("/api/x").body == long
    assert d.get("/api/x").body == GOOD


def test_a_long_body_under_a_listed_status_is_tried_again_before_its_end(weir, origin):
    origin.script(answer(429, b'{"x": "%s"}' % (b"y" * 200_000), JSON), answer(200, GOOD, JSON))
    d = weir(retry=SAYS)
    assert d.get("/api/x").body == GOOD and origin.count() == 2


TYPE = [("Content-Type", "text/event-stream")]
WHOLE = b"data: 1\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("how", ["length", "chunked", "close"])
@pytest.mark.parametrize("body, stored", [(WHOLE, True), (b"data: 1\n\n", False), (gzip.compress(WHOLE), True)],
                         ids=["whole", "without_its_mark", "gzip"])
def test_a_stream_is_stored_only_with_its_mark(weir, origin, how, body, stored):
    fields = TYPE + ([] if body[:2] != b"\x1f\x8b" else [("Content-Encoding", "gzip")])

    def handler(request, conn):
        if how == "close":
            conn.head(200, fields)
            conn.send(body)
            conn.close()
        else:
            conn.answer(200, body, fields, chunked=how == "chunked")
    origin.handler = handler
    d = weir(ttl="1h", complete="data: [DONE]", rules=POSTS)
    accepts = [*JSON, ("Accept-Encoding", "gzip")]
    first, again = (d.request("POST", "/api/chat", accepts, body=b'{"stream": true}') for _ in range(2))
    assert (first.body, again.body) == (body, body) and not first.cache.hit
    assert bool(again.cache.hit) == stored and origin.count() == (1 if stored else 2)
