"""A CDN that ignores no-cache: a refresh asks for another URL of it (bust_param)."""
import pytest

from harness.settings import retry

BUST = {"name": "v", "every": "122s"}
FRESH = ("Cache-Control", "max-age=60")
NEW = [("Cache-Control", "no-cache")]


def targets(origin):
    return [r.target for r in origin.requests]


def test_each_refresh_within_the_time_has_the_smallest_number_that_is_free(weir, origin, clock):
    origin.reply(body=b"x", fields=[FRESH])
    d = weir(bust_param=BUST)
    d.get("/api/x?a=1")
    d.wait_stored()
    for _ in range(3):
        d.get("/api/x?a=1", NEW)
    assert targets(origin) == ["/x?a=1", "/x?a=1&v=1", "/x?a=1&v=2", "/x?a=1&v=3"]
    clock.advance(121)
    d.get("/api/x?a=1", NEW)
    clock.advance(1)
    d.get("/api/x?a=1", NEW)
    assert targets(origin)[4:] == ["/x?a=1&v=4", "/x?a=1&v=1"]


def test_numbers_are_counted_for_each_url_and_whoever_asks(weir, origin):
    origin.reply(body=b"x", fields=[FRESH])
    d = weir(bust_param=BUST)
    d.get("/api/x", NEW)
    d.get("/api/x", [*NEW, ("Authorization", "a")])
    d.get("/api/y?token=secret", NEW)
    assert targets(origin) == ["/x?v=1", "/x?v=2", "/y?token=secret&v=1"]


def test_numbers_outlive_a_restart(weir, origin, clock):
    origin.reply(body=b"x", fields=[FRESH])
    d = weir(bust_param=BUST)
    d.get("/api/x", NEW)
    d.restart()
    d.get("/api/x", NEW)
    assert targets(origin) == ["/x?v=1", "/x?v=2"]
    clock.advance(122)
    d.restart()
    d.get("/api/x", NEW)
    assert targets(origin)[2] == "/x?v=1"


def test_every_attempt_has_a_number_of_its_own(weir, origin):
    origin.reply(status=503)
    weir(bust_param=BUST, retry=retry(attempts=3)).get("/api/x", NEW)
    assert targets(origin) == ["/x?v=1", "/x?v=2", "/x?v=3"]


@pytest.mark.parametrize("fields", [NEW, [("Pragma", "no-cache")], [("Cache-Control", "max-age=0")],
                                    [("Weir-Refresh", "soft")], [("Weir-Refresh", "hard")]])
def test_what_is_a_refresh(weir, origin, fields):
    origin.reply(body=b"x", fields=[FRESH])
    d = weir(bust_param=BUST)
    d.get("/api/x")
    d.wait_stored()
    d.get("/api/x", fields)
    assert targets(origin) == ["/x", "/x?v=1"]


def test_stale_answer_is_refreshed_and_the_number_is_no_part_of_the_key(weir, origin, clock):
    origin.reply(body=b"x", fields=[FRESH, ("ETag", '"a"')])
    d = weir(bust_param=BUST)
    d.get("/api/x")
    d.wait_stored()
    clock.advance(61)
    d.get("/api/x?v=77")                                # a client's own is taken out of the key, and replaced
    d.wait_stored(2)
    assert targets(origin) == ["/x", "/x?v=1"] and origin.last.fields.get("If-None-Match") == '"a"'
    assert d.get("/api/x?v=5").cache.hit and d.get("/api/x").cache.hit
