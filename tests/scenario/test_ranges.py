"""Ranges (RFC 9110 14, RFC 9111 3.3, 3.4): out of a stored whole, out of a stored part, and a part completed."""
import email

import pytest


BODY = b"0123456789" * 3
FRESH = ("Cache-Control", "max-age=60")


class Ranged:
    """An origin that serves one range of BODY; `etag` and `length` may be set to deceive."""

    def __init__(self, etag='"v1"', fields=(FRESH,)):
        self.etag, self.fields, self.body, self.lie = etag, list(fields), BODY, 0

    def __call__(self, request, conn):
        fields = [*self.fields, *([("ETag", self.etag)] if self.etag else [])]
        wanted = request.fields.get("Range")
        condition = request.fields.get("If-Range")
        if self.etag and request.fields.get("If-None-Match") == self.etag:
            return conn.answer(304, b"", fields)
        if wanted is None or (condition is not None and condition != self.etag):
            return conn.answer(200, self.body, fields)
        first, last = wanted.removeprefix("bytes=").split("-")
        size = len(self.body)
        first, last = (size - int(last), size - 1) if first == "" else (int(first), int(last) if last else size - 1)
        return conn.answer(206, self.body[first:last + 1],
                           [*fields, ("Content-Range", f"bytes {first}-{last + self.lie}/{size}")])


def sent(origin):
    return [r.fields.get("Range") for r in origin.requests]


def get(d, wanted=None, fields=()):
    before = d.counter("stored")
    r = d.get("/api/x", [*([("Range", wanted)] if wanted else []), *fields])
    if r.cache.stored and r.cache["fwd-status"] != 304:
        d.wait_counter("stored", before + 1)
    return r


def test_part_is_stored_and_answers_what_it_holds(weir, origin):
    origin.handler = Ranged()
    d = weir()
    first = get(d, "bytes=10-19")
    assert (first.status, first.body, first.fields.get("Content-Range")) == (206, BODY[10:20], "bytes 10-19/30")
    assert first.cache.stored
    for wanted, body, content_range in [("bytes=10-19", BODY[10:20], "bytes 10-19/30"),
                                        ("bytes=12-14", BODY[12:15], "bytes 12-14/30")]:
        r = get(d, wanted)
        assert (r.status, r.body, r.fields.get("Content-Range")) == (206, body, content_range)
        assert r.fields.all("Content-Range") == [content_range] and r.cache.hit
    assert origin.count() == 1


@pytest.mark.parametrize("wanted", ["bytes=5-12", "bytes=20-", "bytes=-5", "bytes=10-12,14-15"])
def test_part_does_not_answer_more_than_it_holds(weir, origin, wanted):
    origin.handler = Ranged()
    d = weir()
    get(d, "bytes=10-19")
    if "," in wanted:
        origin.reply(status=200, body=BODY, fields=[FRESH])
    assert get(d, wanted).cache.fwd == "partial"
    assert sent(origin) == ["bytes=10-19", wanted]


def test_part_that_contradicts_its_body_is_not_stored(weir, origin):
    origin.handler = held = Ranged()
    held.lie = 1
    d = weir()
    assert get(d, "bytes=10-19").status == 206
    r = get(d, "bytes=10-19")
    assert r.cache.fwd == "uri-miss" and r.cache.detail == "partial" and not r.cache.stored
    assert origin.count() == 2


@pytest.mark.parametrize("part, lacking", [("bytes=0-9", "bytes=10-"), ("bytes=20-29", "bytes=0-19"),
                                           ("bytes=-1", "bytes=0-28")])
def test_part_is_completed(weir, origin, part, lacking):
    origin.handler = Ranged()
    d = weir()
    get(d, part)
    r = get(d)
    assert (r.status, r.body, r.fields.get("Content-Range"), r.cache.fwd) == (200, BODY, None, "partial")
    assert r.fields.get("Content-Length") == str(len(BODY)) and r.cache.stored
    assert sent(origin) == [part, lacking]
    assert origin.requests[1].fields.get("If-Range") == '"v1"'
    whole = get(d)
    assert whole.cache.hit and whole.body == BODY and get(d, "bytes=3-12").body == BODY[3:13]
    assert origin.count() == 2


def test_part_of_another_representation_is_not_completed(weir, origin):
    origin.handler = held = Ranged()
    d = weir()
    get(d, "bytes=0-9")
    held.etag, held.body = '"v2"', b"another"
    assert get(d).body == b"another"                    # If-Range made it the whole
    assert get(d).cache.hit and sent(origin) == ["bytes=0-9", "bytes=10-"]


def test_origin_that_ignores_if_range_is_asked_for_the_whole(weir, origin):
    held = Ranged()

    def handler(request, conn):
        if request.fields.get("If-Range"):
            return conn.answer(206, b"x" * 20, [FRESH, ("ETag", '"v2"'), ("Content-Range", "bytes 10-29/30")])
        return held(request, conn)
    origin.handler = handler
    d = weir()
    get(d, "bytes=0-9")
    assert get(d).body == BODY
    assert sent(origin) == ["bytes=0-9", "bytes=10-", None]


def test_part_without_a_strong_validator_is_not_completed(weir, origin):
    origin.handler = Ranged(etag=None)
    d = weir()
    get(d, "bytes=0-9")
    assert get(d).body == BODY and sent(origin) == ["bytes=0-9", None]


def test_completion_that_is_cut_short_is_neither_whole_nor_stored(weir, origin):
    origin.handler = held = Ranged()
    d = weir()
    get(d, "bytes=0-9")

    def cut(request, conn):
        conn.head(206, [FRESH, ("ETag", '"v1"'), ("Content-Range", "bytes 10-29/30"), ("Content-Length", "20")])
        conn.send(b"01234")
        conn.close()
    origin.handler = cut
    r = d.get("/api/x")
    assert r.end != "complete"
    origin.handler = held
    assert get(d).body == BODY and get(d, "bytes=0-9").cache.hit


def test_stale_part_is_validated(weir, origin, clock):
    origin.handler = Ranged()
    d = weir()
    get(d, "bytes=10-19")
    clock.advance(61)
    r = get(d, "bytes=10-14")
    assert (r.status, r.body) == (206, BODY[10:15])
    assert origin.requests[1].fields.get("If-None-Match") == '"v1"'
    assert get(d, "bytes=10-14").cache.hit and origin.count() == 2


def test_part_never_covers_for_the_whole(weir, origin, clock):
    origin.handler = Ranged()
    d = weir(stale_if_error="1d")
    get(d, "bytes=10-19")
    clock.advance(61)
    origin.reply(status=503)
    assert get(d).status == 503 and get(d, "bytes=0-4").status == 503
    assert get(d, "bytes=10-14").body == BODY[10:15]


def test_several_ranges_of_a_stored_whole(weir, origin):
    origin.handler = Ranged(fields=[FRESH, ("Content-Type", "text/plain")])
    d = weir()
    get(d)
    r = get(d, "bytes=0-1, 5-6, -3")
    assert r.status == 206 and r.fields.get("Content-Range") is None and r.cache.hit
    parts = email.message_from_bytes(b"Content-Type: " + r.fields.get("Content-Type").encode() + b"\r\n\r\n"
                                     + r.body).get_payload()
    assert [(p["Content-Type"], p["Content-Range"], p.get_payload()) for p in parts] == [
        ("text/plain", "bytes 0-1/30", "01"), ("text/plain", "bytes 5-6/30", "56"), ("text/plain", "bytes 27-29/30", "789")]
    assert origin.count() == 1


def test_part_of_json_need_not_be_json(weir, origin):
    origin.handler = held = Ranged()
    held.body = b'{"a": 1}'
    r = get(weir(validate="json"), "bytes=0-3")
    assert (r.status, r.body) == (206, b'{"a"') and origin.count() == 1


def test_part_tells_that_a_range_lies_behind_the_end(weir, origin):
    origin.handler = Ranged()
    d = weir()
    get(d, "bytes=10-19")
    r = d.get("/api/x", [("Range", "bytes=30-")])
    assert (r.status, r.fields.get("Content-Range")) == (416, "bytes */30") and origin.count() == 1
