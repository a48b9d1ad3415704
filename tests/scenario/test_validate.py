"""validate = "json": which answers it judges, what becomes of those that are not what their type says, and what it leaves
alone."""
import gzip
import zlib

import pytest

from harness.origin import answer
from harness.settings import retry

JSON = [("Content-Type", "application/json")]
GOOD = b'{"ok": true}'
BAD = b"<html>maintenance</html>"


def coded(coding, content_type="application/json"):
    return [("Content-Type", content_type), ("Content-Encoding", coding)]


# Name: status, body, fields of an answer that is nothing to complain of.
PASSES = {
    "json": (200, GOOD, JSON),
    "json_with_a_byte_order_mark": (200, b"\xef\xbb\xbf" + GOOD, JSON),
    "json_in_gzip": (200, gzip.compress(GOOD), coded("gzip")),
    "json_in_two_gzip_members": (200, gzip.compress(b'{"a":') + gzip.compress(b"1}"), coded("x-gzip")),
    "json_in_deflate": (200, zlib.compress(GOOD), coded("deflate")),
    "json_under_a_vendor's_type": (200, GOOD, [("Content-Type", "application/vnd.api+json; charset=utf-8")]),
    "another_charset": (200, GOOD.decode().encode("utf-16"), [("Content-Type", "application/json; charset=utf-16")]),
    "lines_of_json": (200, b'{"a": 1}\n{"a": 2}\n', [("Content-Type", "application/x-ndjson")]),
    "csv": (200, b"a,b\n1,2\n", [("Content-Type", "text/csv")]),
    "image": (200, b"\x89PNG\r\n", [("Content-Type", "image/png")]),
    "no_type": (200, b"", []),
    "much_that_is_the_same_in_gzip": (200, gzip.compress(b'"' + b"a" * (20 << 20) + b'"'), coded("gzip")),
    "event_stream": (200, b"data: x\n\n", [("Content-Type", "text/event-stream")]),
}

# What is a failure, where the method is safe.
FAILS = {
    "html_under_json's_name": (200, BAD, JSON),
    "cut_json": (200, b'{"ok": tr', JSON),
    "nothing_under_json's_name": (200, b"", JSON),
    "two_values": (200, b"{}{}", JSON),
    "html_in_gzip": (200, gzip.compress(BAD), coded("gzip")),
    "gzip_that_is_none": (200, GOOD, coded("gzip")),
    "bomb_in_gzip": (200, gzip.compress(b'"' + b"a" * (48 << 20) + b'"'), coded("gzip")),
    "cut_gzip": (200, gzip.compress(GOOD)[:-4], coded("gzip")),
    "status_203": (203, BAD, JSON),
}


@pytest.mark.parametrize("name", PASSES)
def test_sound_or_none_of_its_business(weir, origin, name):
    status, body, fields = PASSES[name]
    origin.script(answer(status, body, fields))
    d = weir(ttl="1h", validate="json", retry=retry())
    r = d.get("/api/x", [("Accept-Encoding", "gzip, deflate, br")])
    assert (r.status, r.body) == (status, body)
    d.wait_stored()
    assert d.get("/api/x", [("Accept-Encoding", "gzip, deflate, br")]).cache.hit
    assert origin.count() == 1 and d.counter("unsound") == 0


@pytest.mark.parametrize("name", FAILS)
def test_unsound_is_asked_again(weir, origin, name):
    origin.script(answer(*FAILS[name]), answer(200, GOOD, JSON))
    d = weir(ttl="1h", validate="json", retry=retry())
    assert d.get("/api/x").body == GOOD
    d.wait_stored()
    assert d.get("/api/x").cache.hit and origin.count() == 2 and d.counter("unsound") == 1


def test_unsound_to_the_end_is_an_error_and_not_stored(weir, origin):
    origin.script(*[answer(200, BAD, JSON)] * 3, answer(200, GOOD, JSON))
    d = weir(ttl="1h", validate="json", retry=retry(attempts=3))
    r = d.get("/api/x")
    assert r.status == 502 and b"validate" in r.body and origin.count() == 3
    assert d.get("/api/x").body == GOOD


# Method, status, body: what a write has done stands, whatever is said of it.
WRITES = {
    "created_without_a_body": ("POST", 201, b""),
    "accepted_with_html": ("POST", 202, BAD),
    "deleted_without_a_body": ("DELETE", 200, b""),
    "put_with_html": ("PUT", 200, BAD),
    "patched_with_half": ("PATCH", 200, b'{"a":'),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_never_sent_again_for_its_answer(weir, origin, name):
    method, status, body = WRITES[name]
    origin.script(answer(status, body, JSON))
    d = weir(validate="json", retry=retry())
    r = d.request(method, "/api/x", [("Idempotency-Key", '"a"')], body=b"{}")
    assert (r.status, r.body) == (status, body)
    assert origin.count() == 1 and d.counter("unsound") == 1


def test_a_cached_post_that_is_unsound_passes_and_is_not_stored(weir, origin):
    origin.script(answer(200, BAD, JSON), answer(200, GOOD, JSON))
    d = weir(validate="json", retry=retry(), rules=[{"match": "/q", "methods": ["POST"], "ttl": "1h", "key_body": True}])
    assert d.request("POST", "/api/q", body=b"{}").body == BAD
    assert d.request("POST", "/api/q", body=b"{}").body == GOOD
    d.wait_stored()
    assert d.request("POST", "/api/q", body=b"{}").cache.hit and origin.count() == 2


@pytest.mark.parametrize("status", [204, 205, 304, 404, 500])
def test_what_is_no_success_is_not_judged(weir, origin, status):
    origin.script(answer(status, b"" if status < 400 else BAD, JSON))
    d = weir(validate="json", retry=retry(on=()))
    assert d.get("/api/x", [("If-None-Match", '"a"')]).status == status
    assert origin.count() == 1 and d.counter("unsound") == 0


def test_no_coding_is_asked_for_that_could_not_be_read(weir, origin):
    origin.script(*[answer(200, GOOD, JSON)] * 4)
    d = weir(validate="json")
    for wish in ("gzip, deflate, br, zstd", "gzip;q=0.5, *;q=0", "br"):
        d.get("/api/x", [("Accept-Encoding", wish)])
    d.get("/api/x")
    assert [r.fields.get("Accept-Encoding") for r in origin.requests] == ["gzip, deflate", "gzip", "identity", None]


def test_a_coding_that_came_unasked_is_not_judged(weir, origin):
    origin.script(answer(200, b"\x0b\x02", coded("br")))
    r = weir(validate="json", retry=retry()).get("/api/x", [("Accept-Encoding", "br")])
    assert (r.status, r.body) == (200, b"\x0b\x02") and origin.count() == 1


def test_a_body_too_long_to_be_held_is_cut_where_it_breaks(weir, origin):
    long = b'["' + b"x" * (3 << 20) + b'", oops]'
    origin.script(answer(200, gzip.compress(long), coded("gzip")), answer(200, long, JSON), answer(200, GOOD, JSON))
    d = weir(ttl="1h", validate="json")
    assert d.get("/api/x", [("Accept-Encoding", "gzip")]).status == 502       # short as it came, so it was held
    assert d.get("/api/x").status == 200                                       # its head had gone
    assert d.get("/api/x").body == GOOD and d.counter("unsound") == 2
