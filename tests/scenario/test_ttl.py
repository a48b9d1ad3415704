"""Rules: which one matches, and every kind of ttl, applied when a stored answer is read (contract section 3)."""
import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from harness.clock import DAY, HOUR, MINUTE
from harness.settings import upstream


def numbered(fields=(), status=200):
    def handler(request, conn):
        conn.answer(status, b"%d" % (conn.origin.requests.index(request) + 1), fields)
    return handler


NOTHING, SIXTY = [], [("Cache-Control", "max-age=60")]
FORBIDDEN = [("Cache-Control", "no-store, private, max-age=0")]

# ttl, what the origin says, the ages at which it is still a hit, the age at which it is asked again (None: never)
KINDS = [
    ("duration_without_a_word", "1h", NOTHING, [1, 59 * MINUTE], 61 * MINUTE),
    ("duration_over_a_longer_max_age", "30s", SIXTY, [1, 15], 31),
    ("duration_over_a_shorter_max_age", "1h", SIXTY, [61, 59 * MINUTE], 61 * MINUTE),
    ("duration_over_no_store", "1h", FORBIDDEN, [1, 59 * MINUTE], 61 * MINUTE),
    ("milliseconds", "90500ms", NOTHING, [75], 91),
    ("days", "30d", NOTHING, [29 * DAY], 31 * DAY),
    ("forever", "forever", FORBIDDEN, [DAY, 3650 * DAY], None),
    ("origin_max_age", "origin", SIXTY, [1, 45], 61),
    ("origin_without_a_word", "origin", NOTHING, [], 0),
    ("origin_no_store", "origin", FORBIDDEN, [], 0),
    ("else_where_nothing_is_said", "origin else 1h", NOTHING, [61, 59 * MINUTE], 61 * MINUTE),
    ("else_gives_way_to_max_age", "origin else 1h", SIXTY, [45], 61),
    ("else_gives_way_to_no_store", "origin else 1h", FORBIDDEN, [], 0),
    ("never", "never", SIXTY, [], 0),
]


@pytest.mark.parametrize("ttl, fields, hits, asked", [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
@pytest.mark.parametrize("where", ["upstream", "rule"])
def test_ttl(weir, origin, clock, where, ttl, fields, hits, asked):
    origin.handler = numbered(fields)
    d = weir(ttl=ttl) if where == "upstream" else weir(ttl="never", rules=[{"match": "/x", "ttl": ttl}])
    d.get("/api/x")
    if hits:
        d.wait_stored()
    for age in hits:
        clock.advance(age - clock.offset)
        hit = d.get("/api/x")
        assert hit.cache.hit and hit.body == b"1", age
    if asked is not None:
        clock.advance(asked - clock.offset)
        assert d.get("/api/x").body == b"2"


@pytest.mark.parametrize("ttl", ["until 04:00 Europe/Berlin", "origin else until 04:00 Europe/Berlin"])
def test_until_a_time_of_day(weir, origin, clock, ttl):
    origin.handler = numbered()
    d = weir(ttl=ttl)
    here = datetime.now(ZoneInfo("Europe/Berlin"))
    ends = here.replace(hour=4, minute=0, second=0)
    if (ends - here).total_seconds() < HOUR:            # not at its edge
        clock.advance(2 * HOUR)
        ends = here.replace(hour=4, minute=0, second=0) + timedelta(days=1)
    begun = clock.offset
    d.get("/api/x")
    d.wait_stored()
    left = ends.timestamp() - here.timestamp() - begun
    clock.advance(left - 30 * MINUTE)
    assert d.get("/api/x").cache.hit
    clock.advance(31 * MINUTE)
    assert d.get("/api/x").body == b"2"
    clock.advance(23 * HOUR - 30 * MINUTE)              # days of clocks that change included
    assert d.get("/api/x").cache.hit or left > 20 * HOUR
    told = json.loads(d.ctl("explain", "--json", "/api/y").stdout)["would"]
    assert told["kept"]["how"] == ("until" if ttl.startswith("until") else "origin-else-until")
    assert "until 04:00 Europe/Berlin" in told["text"]


def test_revalidate_asks_each_time_and_sends_no_body_twice(weir, origin):
    def handler(request, conn):
        if request.fields.get("If-None-Match") == '"v"':
            conn.answer(304, b"", [("ETag", '"v"')])
        else:
            conn.answer(200, b"body", [("ETag", '"v"'), ("Cache-Control", "max-age=3600")])
    origin.handler = handler
    d = weir(ttl="revalidate")
    assert d.get("/api/x").body == b"body"
    d.wait_stored()
    for _ in range(3):
        assert d.get("/api/x").body == b"body"
    assert origin.count() == 4 and all(r.fields.get("If-None-Match") == '"v"' for r in origin.requests[1:])


STATUSES = [
    # status, the ttl of the rule, its `status`, hit?
    (200, "1h", [], True), (203, "1h", [], True), (300, "1h", [], True), (301, "1h", [], True), (308, "1h", [], True),
    (404, "1h", [], False), (302, "1h", [], False), (500, "1h", [], False), (201, "1h", [], False),
    (404, "1h", ["404 1m"], True), (410, "1h", ["4xx 1m"], True), (404, "1h", ["4xx never"], False),
    (404, "1h", ["404 1m", "4xx never"], True), (503, "1h", ["5xx never"], False), (302, "1h", ["302 1m"], True),
    (200, "1h", ["200 never"], False), (500, "never", ["500 1m"], True),
]


@pytest.mark.parametrize("status, ttl, listed, hit", STATUSES)
def test_ttl_by_status(weir, origin, status, ttl, listed, hit):
    origin.handler = numbered(status=status)
    rule = {"match": "/**", "ttl": ttl}
    if listed:
        rule["status"] = listed
    d = weir(rules=[rule])
    d.get("/api/x")
    if hit:
        d.wait_stored()
    again = d.get("/api/x")
    assert (again.status, again.body, bool(again.cache.hit)) == (status, b"1" if hit else b"2", hit)


def test_ttl_of_a_status_runs_out(weir, origin, clock):
    origin.handler = numbered(status=404)
    d = weir(rules=[{"match": "/**", "ttl": "1h", "status": ["404 1m"]}])
    d.get("/api/x")
    d.wait_stored()
    clock.advance(45)
    assert d.get("/api/x").cache.hit
    clock.advance(16)
    assert d.get("/api/x").body == b"2"


PATTERNS = [
    # pattern, targets that match, targets that do not
    ("/v1/x", ["/v1/x", "/v1/x?q=1"], ["/v1/x/", "/v1/xy", "/v1", "/V1/x"]),
    ("/v1/*", ["/v1/x", "/v1/", "/v1/x?a/b"], ["/v1/x/y", "/v1"]),
    ("/v1/*/c", ["/v1/b/c"], ["/v1/b/b/c", "/v1/c"]),
    ("/v1/**", ["/v1", "/v1/", "/v1/x", "/v1/x/y/z?q"], ["/v10", "/v2/x"]),
    ("/**/c", ["/a/c", "/a/b/c"], ["/a/b/d"]),
    ("/v?/x", ["/v1/x", "/v2/x"], ["/v/x", "/v10/x", "/v//x"]),
    ("/{a,b}/x", ["/a/x", "/b/x"], ["/c/x", "/ab/x"]),
    ("/x.{json,xml}", ["/x.json", "/x.xml?q"], ["/x.txt", "/xajson"]),
    ("~^/v[0-9]+/places/", ["/v1/places/", "/v22/places/7?x"], ["/v/places/", "/a/v1/places/"]),
    ("/%23tag", ["/%23tag"], ["/%2523tag", "/%23Tag"]),
]


@pytest.mark.parametrize("pattern, yes, no", PATTERNS, ids=[p[0] for p in PATTERNS])
def test_pattern(weir, origin, pattern, yes, no):
    origin.handler = numbered()
    d = weir(ttl="never", rules=[{"match": pattern, "ttl": "1h"}])
    for target in yes:
        assert d.get("/api" + target).cache.stored, f"{target} is matched"
    for target in no:
        assert not d.get("/api" + target).cache.stored, f"{target} is not matched"


def test_first_match_wins_and_says_so(weir, origin):
    origin.handler = numbered()
    d = weir(rules=[{"match": "/a/special", "ttl": "never"}, {"match": "/a/**", "ttl": "1h"}, {"match": "/a/late", "ttl": "never"}])
    assert not d.get("/api/a/special").cache.stored
    assert d.get("/api/a/late").cache.stored
    d.wait_stored()
    assert d.get("/api/a/late").cache.hit


def test_rule_of_another_method_is_passed_over(weir, origin):
    origin.handler = numbered()
    d = weir(rules=[{"match": "/x", "methods": ["POST"], "ttl": "1h", "key_body": True}, {"match": "/x", "ttl": "never"}])
    assert not d.get("/api/x").cache.stored
    assert d.request("POST", "/api/x", body=b"q").cache.stored


def test_rule_sees_the_path_without_the_base_of_the_url(weir, origin):
    origin.handler = numbered()
    d = weir(path="/base", ttl="never", rules=[{"match": "/x", "ttl": "1h"}])
    assert d.get("/api/x").cache.stored and origin.last.target == "/base/x"


def test_detail_names_the_reason(weir, origin):
    origin.handler = numbered([("Cache-Control", "no-store")])
    assert weir().get("/api/x").cache.detail == "no-store"


@pytest.mark.parametrize("old, new, fields, age, was, then", [
    ("1h", "1m", NOTHING, 5 * MINUTE, True, False),
    ("1m", "1h", NOTHING, 5 * MINUTE, False, True),
    ("1h", "never", NOTHING, 5 * MINUTE, True, False),
    ("1h", "origin", SIXTY, 5 * MINUTE, True, False),
    ("origin", "1d", SIXTY, 5 * HOUR, False, True),
    ("30d", "7d", NOTHING, 8 * DAY, True, False),
    ("1h", "forever", NOTHING, 300 * DAY, False, True),
])
def test_changed_rule_takes_effect_on_what_is_stored(daemons, origin, clock, old, new, fields, age, was, then):
    origin.handler = numbered(fields)
    d = daemons(upstream(origin, ttl=old)).start()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(age)
    if was:                                          # a look that would fetch anew is not taken
        assert d.get("/api/x").cache.hit
    d.write([upstream(origin, ttl=new)])
    assert d.ctl("reload").returncode == 0
    response = d.get("/api/x")
    assert bool(response.cache.hit) == then
    assert response.body == (b"1" if then else b"2")


def test_an_answer_from_the_future_is_stale(weir, origin, clock):
    """The wall clock was wrong by an hour when it was stored, and is then set right."""
    origin.handler = numbered()
    d = weir(ttl="30m")
    assert d.get("/api/x").body == b"1"
    d.wait_stored()
    for _ in range(4):                                     # often enough to be kept ready
        assert d.get("/api/x").cache.hit
    clock.set_wall(-HOUR)
    answer = d.get("/api/x")
    assert answer.body == b"2" and answer.cache.fwd == "stale"
    d.wait_stored(2)
    again = d.get("/api/x")
    assert again.cache.hit and again.body == b"2" and int(again.fields.get("Age")) == 0
    clock.set_wall(HOUR)
    assert d.get("/api/x").body == b"3"                     # an hour has gone by, as far as anybody knows


def test_an_answer_from_the_future_covers_for_an_error_within_its_window(weir, origin, clock):
    origin.handler = numbered()
    d = weir(ttl="30m", stale_if_error="1d", retry={"attempts": 1})
    d.get("/api/x")
    d.wait_stored()
    origin.handler = numbered(status=503)
    clock.set_wall(-HOUR)
    stale = d.get("/api/x")
    assert stale.body == b"1" and int(stale.fields.get("Age")) >= 0
    clock.set_wall(-2 * DAY)
    assert d.get("/api/x").status == 503


def test_what_was_stored_before_the_clock_was_set_back_is_as_old_as_it_is(weir, origin, clock):
    """Neither fresh again when the clock comes to the time at which it was stored, nor for longer than its lifetime."""
    origin.handler = numbered()
    d = weir(ttl="2h")

    def set_back(seconds):
        clock.set_wall(-seconds)
        assert d.ctl("reopen").returncode == 0             # wakes the main thread: a fake clock cannot
        d.wait_line(r" warning clock_set_back seconds=")
    assert d.get("/api/old").body == b"1"
    d.wait_stored()
    clock.advance(1.5 * HOUR)
    assert d.get("/api/young").body == b"2"
    d.wait_stored(2)
    set_back(HOUR)                                         # 1.5 h old: half an hour by the clock
    answer = d.get("/api/old")
    assert answer.cache.hit and int(answer.fields.get("Age")) in range(5395, 5410)
    clock.advance(0.6 * HOUR)                              # 2.1 h
    assert d.get("/api/old").body == b"3"
    clock.advance(0.5 * HOUR)                              # the young one is no longer from the future: 1.1 h
    answer = d.get("/api/young")
    assert answer.cache.hit and int(answer.fields.get("Age")) in range(3950, 3970)
    d.wait_stored(3)
    d.restart()
    clock.advance(HOUR)                                    # 2.1 h, over a restart too
    assert d.get("/api/young").body == b"4"
    d.wait_stored()
    assert int(d.get("/api/young").fields.get("Age")) == 0
