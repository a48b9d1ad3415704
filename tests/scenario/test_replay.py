"""Recorded exchanges, and the same ones replayed with the API gone: mode = "record" and "replay"."""
import gzip
import json
import threading
import time

import pytest

from harness.origin import Origin
from harness.settings import upstream
from harness.wait import until

JSON = ("Content-Type", "application/json")
BINARY = bytes(range(256)) * 40
LONG = bytes((i * 7 + i // 251) % 256 for i in range(300_000))
FORM = (b"--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n" + BINARY + b"\r\n--cut--\r\n")


def pieces(*parts, end=b"", fields=()):
    def handler(request, conn):
        conn.head(200, [("Content-Type", "text/event-stream"), *fields])
        for part in parts:
            conn.send(part)
        if end is not None:
            conn.close()
    return handler


def early(request, conn):
    conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
    conn.answer(200, b"after a hint", [("Content-Type", "text/plain")])


def cut(request, conn):
    conn.head(200, [("Content-Length", "1000"), ("Content-Type", "text/plain")])
    conn.send(b"half of it")
    conn.close()


def silent(request, conn):
    conn.wait_gone(30)


def counted():
    """Answers that tell each request apart."""
    numbers = iter(range(1, 1000))
    return lambda request, conn: conn.answer(200, b"answer %d" % next(numbers), [("Cache-Control", "max-age=60")])


def ranged(request, conn):
    first, last = (int(n) for n in request.fields.get("Range", "bytes=0-99").removeprefix("bytes=").split("-"))
    conn.answer(206, BINARY[first:last + 1], [("Content-Range", f"bytes {first}-{last}/{len(BINARY)}")])


def simple(status=200, body=b"", fields=(), **kwargs):
    return lambda request, conn: conn.answer(status, body, fields, **kwargs)


# name, what the API does, requests: (method, target, fields, body)
EXCHANGES = {
    "json": (simple(200, b'{"a": 1}', [JSON]), [("GET", "/json?b=2&a=1", (), None)]),
    "redirect": (simple(302, b"", [("Location", "/api/json")]), [("GET", "/redirect", (), None)]),
    "not_found": (simple(404, b'{"error": "none"}', [JSON]), [("GET", "/nothing", (), None)]),
    "server_error": (simple(503, b"later", [("Retry-After", "1")]), [("GET", "/error", (), None)]),
    "cut": (cut, [("GET", "/cut", (), None)]),
    "dropped": (lambda request, conn: conn.close(), [("GET", "/dropped", (), None)]),
    "binary": (simple(200, BINARY, [("Content-Type", "image/png")]), [("GET", "/binary", (), None)]),
    "long": (simple(200, LONG, [("Content-Type", "application/octet-stream")]), [("GET", "/long", (), None)]),
    "gzip": (simple(200, gzip.compress(b'{"z": 1}', mtime=0), [JSON, ("Content-Encoding", "gzip")]),
             [("GET", "/gzip", (("Accept-Encoding", "gzip"),), None)]),
    "no_content": (simple(204), [("DELETE", "/drop/1", (), None)]),
    "empty": (simple(200, b""), [("GET", "/empty", (), None)]),
    "head": (simple(200, b"", [("Content-Length", "12345"), ("ETag", '"h"')]), [("HEAD", "/head", (), None)]),
    "early_hints": (early, [("GET", "/early", (), None)]),
    "trailers": (simple(200, b"with a sum", [("Trailer", "Checksum")], chunked=True, trailers=[("Checksum", "abc")]),
                 [("GET", "/trailers", (("TE", "trailers"),), None)]),
    "events": (pieces(b"data: 1\n\n", b"data: 2\n\n"), [("GET", "/events", (("Accept", "text/event-stream"),), None)]),
    "uploaded": (simple(201, b'{"id": 7}', [JSON]), [("POST", "/item", (JSON,), b'{"name": "x"}')]),
    "long_upload": (simple(201, b"took it"), [("PUT", "/upload/long", (), LONG * 6)]),
    "multipart": (simple(201, b"a form"),
                  [("POST", "/form", (("Content-Type", "multipart/form-data; boundary=cut"),), FORM)]),
    "bodies_apart": (lambda request, conn: conn.answer(200, b"for " + request.body),
                     [("POST", "/search", (), b"one"), ("POST", "/search", (), b"two")]),
    "ranges": (ranged, [("GET", "/range", (("Range", f"bytes={at}-{at + 9}"),), None) for at in (0, 100)]),
    "chunked": (simple(200, b"in chunks", chunked=True), [("GET", "/chunked", (), None)]),
}


def told(answer):
    """What must be the same: all but what Weir says of the way."""
    ours = ("cache-status", "server-timing", "via", "proxy-status", "content-length", "transfer-encoding", "connection",
            "ratelimit", "ratelimit-policy", "date", "age")
    fields = sorted((n.lower(), v) for n, v in answer.fields.pairs if n.lower() not in ours)
    interim = [(status, [p for p in f.pairs if p[0].lower() != "date"]) for status, f in answer.interim]
    if json_problem(answer):
        return answer.status, json.loads(answer.body)["type"]
    return answer.status, answer.body, answer.end, fields, interim, answer.trailers.pairs


def json_problem(answer):
    return (answer.fields.get("Content-Type") or "").startswith("application/problem+json")


def ask_all(d, names=EXCHANGES):
    out = {}
    for name in names:
        out[name] = [told(d.request(method, "/api" + target, fields, body))
                     for method, target, fields, body in EXCHANGES[name][1]]
    return out


def serve(request, conn):
    for handler, requests in EXCHANGES.values():
        if any(request.target.startswith(target) for _, target, _, _ in requests):
            handler(request, conn)
            return
    conn.answer(404, b"no such exchange")


@pytest.fixture
def tape(place):
    return place / "paper.weir"


@pytest.fixture
def api(origins):
    origin = origins()
    origin.handler = serve
    return origin


def recording(origin, tape, **snapshot):
    return upstream(origin, mode="record", snapshot={"path": str(tape), **snapshot})


def replaying(origin, tape, **snapshot):
    return upstream(origin, mode="replay", snapshot={"path": str(tape), **snapshot})


def recorded(d, count):
    d.stop()
    assert re_written(d) == count, d.stderr


def re_written(d):
    return sum(int(line.rsplit("exchanges=", 1)[1]) for line in d.stderr.splitlines() if "snapshot_written" in line)


def lines(tape):
    return [json.loads(line) for line in (tape / "snapshot.jsonl").read_text().splitlines()][1:]


def test_everything_comes_again_without_the_api(daemons, api, tape):
    d = daemons(recording(api, tape)).start()
    first = ask_all(d)
    requests = sum(len(each[1]) for each in EXCHANGES.values())
    assert api.count() == requests
    recorded(d, requests)
    api.stop()
    again = daemons(replaying(api, tape)).start()
    replayed = ask_all(again)
    for name in EXCHANGES:
        assert replayed[name] == first[name], name
    assert ask_all(again) == first                                        # and again
    assert again.counter("replayed") == 2 * requests and again.counter("upstream_attempts") == 0


def test_it_says_that_it_replays(daemons, api, tape):
    d = daemons(recording(api, tape)).start()
    assert "detail=record" in d.get("/api/json?b=2&a=1").fields.get("Cache-Status")
    d.stop()
    again = daemons(replaying(api, tape)).start()
    answer = again.get("/api/json?b=2&a=1")
    assert answer.fields.get("Cache-Status") == "weir; detail=replay"
    line = again.access(1)[-1]
    assert (line["cache"], line["detail"], line["status"]) == ("replay", "replay", 200)
    assert again.status()["upstreams"][0]["mode"] == "replay"


def test_what_is_cached_is_recorded_too_and_never_replayed(daemons, origin, tape):
    origin.handler = counted()
    d = daemons(upstream(origin)).start()
    assert d.get("/api/a").body == b"answer 1"
    d.wait_stored()
    d.stop()
    d.write([recording(origin, tape)])
    d.start()
    assert d.get("/api/a").body == b"answer 2"
    d.stop()
    d.write([upstream(origin)])
    d.start()
    until(lambda: d.get("/api/a", [("Cache-Control", "no-cache")]).body == b"answer 3", "another answer in the cache")
    d.stop()
    d.write([replaying(origin, tape)])
    d.start()
    assert d.get("/api/a").body == b"answer 2"
    assert origin.count() == 3


@pytest.mark.parametrize("order, wanted", [("last", [3, 3, 3, 3]), ("sequence", [1, 2, 3, 3])])
def test_equal_requests(daemons, origin, tape, order, wanted):
    origin.handler = counted()
    d = daemons(recording(origin, tape)).start()
    for _ in range(3):
        d.get("/api/a")
        time.sleep(0.002)
    recorded(d, 3)
    again = daemons(replaying(origin, tape, order=order)).start()
    assert [again.get("/api/a").body for _ in wanted] == [b"answer %d" % n for n in wanted]


def test_a_miss_names_the_nearest(daemons, api, tape):
    d = daemons(recording(api, tape)).start()
    d.get("/api/json?b=2&a=1")
    recorded(d, 1)
    again = daemons(replaying(api, tape)).start()
    missing = again.get("/api/json?b=3&a=1")
    assert missing.status == 504 and json_problem(missing)
    problem = json.loads(missing.body)
    assert problem["type"].endswith(":not-recorded")
    assert "b" in problem["detail"] and "/json?b=2&a=1" in problem["detail"]
    assert api.count() == 1 and again.counter("not_recorded") == 1


@pytest.mark.parametrize("miss", ["fetch", "record"])
def test_a_miss_that_is_asked_for(daemons, api, tape, miss):
    d = daemons(recording(api, tape)).start()
    d.get("/api/json?b=2&a=1")
    recorded(d, 1)
    again = daemons(replaying(api, tape, miss=miss)).start()
    assert again.get("/api/json?b=2&a=1").body == b'{"a": 1}' and api.count() == 1
    assert again.request("POST", "/api/item", [JSON], b'{"name": "y"}').status == 201
    assert api.last.body == b'{"name": "y"}'
    assert again.get("/api/empty").status == 200 and api.count() == 3
    long = b"0123456789" * 300000                                         # looked for as a whole, and sent after that
    assert again.request("POST", "/api/item", [JSON], long).status == 201 and api.last.body == long
    if miss == "record":                                                  # what was added is found at once
        until(lambda: (again.get("/api/empty"), again.counter("replayed"))[1] >= 2, "the recorded one is found")
        asked = api.count()
        assert again.request("POST", "/api/item", [JSON], b'{"name": "y"}').status == 201
        assert again.get("/api/empty").status == 200 and api.count() == asked
    again.stop()
    assert len(lines(tape)) == (1 if miss == "fetch" else api.count())


def test_two_programs_at_once(daemons, origin, tape):
    origin.handler = lambda request, conn: conn.answer(200, b"for " + request.target.encode())
    d = daemons(recording(origin, tape)).start()

    def run(name):
        for i in range(20):
            assert d.get(f"/api/{name}/{i}").status == 200
    both = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for each in both:
        each.start()
    for each in both:
        each.join()
    recorded(d, 40)
    origin.stop()
    again = daemons(replaying(origin, tape)).start()
    for name in "ab":
        for i in range(20):
            assert again.get(f"/api/{name}/{i}").body == f"for /{name}/{i}".encode()


def test_a_spent_budget_and_a_missing_secret_hold_nobody(daemons, api, tape, place):
    secret = place / "key"
    secret.write_text("key-1234567890")
    auth = {"param": "api_key", "value_file": str(secret)}
    d = daemons({**recording(api, tape), "auth": auth}).start()
    assert d.get("/api/json?b=2&a=1").status == 200 and "api_key=key-1234567890" in api.last.target
    recorded(d, 1)
    written = b"".join(p.read_bytes() for p in tape.rglob("*") if p.is_file())
    assert b"key-1234567890" not in written
    secret.unlink()
    api.stop()
    again = daemons({**replaying(api, tape), "auth": auth, "limits": ["1/h"]}).start()
    assert [again.get("/api/json?b=2&a=1").status for _ in range(5)] == [200] * 5


def test_events_keep_their_pace(daemons, origin, tape):
    def events(request, conn):
        conn.head(200, [("Content-Type", "text/event-stream")])
        for i in range(3):
            conn.send(b"data: %d\n\n" % i)
            time.sleep(0.15)
        conn.close()
    origin.handler = events
    d = daemons(recording(origin, tape, timing=True)).start()
    whole = b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert d.get("/api/events").body == whole
    recorded(d, 1)
    origin.stop()
    again = daemons(replaying(origin, tape, timing=True)).start()
    begun = time.monotonic()
    assert again.get("/api/events").body == whole and time.monotonic() - begun >= 0.25


def test_times_of_today(daemons, origin, tape, clock):
    then = "Tue, 01 Jan 2019 00:00:00 GMT"
    origin.reply(200, b"x", [("Date", then), ("Last-Modified", then), ("Set-Cookie", f"a=b; Expires={then}; Path=/")])
    d = daemons(recording(origin, tape)).start()
    d.get("/api/a")
    recorded(d, 1)
    clock.advance(86400)
    for how, day in (("recorded", "Tue, 01 Jan 2019"), ("now", "Wed, 02 Jan 2019")):
        again = daemons(replaying(origin, tape, time=how)).start()
        answer = again.get("/api/a")
        assert answer.fields.get("Date").startswith(day) and answer.fields.get("Last-Modified").startswith(day)
        assert f"Expires={day}" in answer.fields.get("Set-Cookie")


def test_only_what_was_got_is_kept_of_what_is_tried_again(daemons, origin, tape):
    origin.script(lambda r, c: c.answer(503, b"no"), lambda r, c: c.close(), lambda r, c: c.answer(200, b"yes"))
    d = daemons({**recording(origin, tape), "retry": {"attempts": 3, "backoff": "5ms", "on": [503]}}).start()
    assert d.get("/api/a").body == b"yes" and origin.count() == 3
    recorded(d, 1)
    assert [line["response"]["status"] for line in lines(tape)] == [200]


def test_a_kill_loses_at_most_the_exchange_in_hand(daemons, origin, tape):
    origin.handler = lambda request, conn: conn.answer(200, b"for " + request.target.encode())
    d = daemons(recording(origin, tape)).start()
    for i in range(10):
        d.get(f"/api/{i}")
    until(lambda: sum(p.read_bytes().count(b"GET") for p in tape.glob("recording-*.journal")) >= 10, "ten exchanges on the disk")
    d.kill()
    again = daemons(replaying(origin, tape)).start()
    assert all(again.get(f"/api/{i}").body == f"for /{i}".encode() for i in range(10))


def test_a_write_that_is_replayed_drops_nothing(daemons, origin, tape):
    origin.handler = counted()
    d = daemons(upstream(origin)).start()
    d.get("/api/a")
    d.wait_stored()
    d.stop()
    d.write([recording(origin, tape)])
    d.start()
    d.request("POST", "/api/b", body=b"x")
    d.stop()
    purged = d.lines and 0
    d.write([replaying(origin, tape)])
    d.start()
    assert d.request("POST", "/api/b", body=b"x").body == b"answer 2"
    assert d.counter("purged") == purged


@pytest.mark.parametrize("settings, words", [
    ({"mode": "replay"}, "wants a snapshot"),
    ({"mode": "record"}, "wants a snapshot"),
    ({"mode": "replay", "snapshot": {"path": "missing.weir"}}, "missing.weir"),
    ({"mode": "live", "snapshot": {"path": "x", "redact": ["secret"]}}, "redact"),
    ({"mode": "live", "snapshot": {"path": "x", "order": "first"}}, "order"),
])
def test_what_cannot_be_replayed_is_said_at_the_start(daemons, origin, settings, words):
    d = daemons({**upstream(origin), **settings})
    d.expected_exit = 1
    d.spawn()
    assert d.wait_exit() == 1 and words in d.stderr


def test_modes_at_run_time(daemons, api, tape):
    d = daemons(recording(api, tape)).start()
    assert d.get("/api/json?b=2&a=1").status == 200
    recorded(d, 1)
    live = daemons(upstream(api, snapshot={"path": str(tape)})).start()
    assert live.get("/api/empty").status == 200 and api.count() == 2
    refused = live.ctl("mode", "api", "record")
    assert refused.returncode != 0 and "snapshot" in refused.stderr
    assert live.ctl("mode", "api", "replay").returncode == 0
    assert live.get("/api/json?b=2&a=1").body == b'{"a": 1}'
    assert live.get("/api/empty").status == 504 and api.count() == 2
    assert live.ctl("mode", "api", "live").returncode == 0
    assert live.get("/api/empty").status == 200
