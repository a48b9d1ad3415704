"""Many requests in one: POST /.weir/batch."""
import base64
import http.client
import json
import threading

import pytest

from harness.settings import upstream
from harness.wait import SANITIZER, until

FRESH = [("Cache-Control", "max-age=3600"), ("Content-Type", "application/json")]
LINES = [("Content-Type", "application/x-ndjson")]


def post(d, body, query="", fields=(), timeout=30):
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    with d.connect(timeout=timeout) as client:
        return client.request("POST", "/.weir/batch" + query, fields, text.encode() if isinstance(text, str) else text)


def entries(reply):
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def lines(reply):
    assert reply.status == 200, reply.body
    return [json.loads(line) for line in reply.body.splitlines()]


def echo(request, conn):
    """Says what it was asked."""
    conn.answer(200, json.dumps({"path": request.target}).encode(), FRESH)


def told(request, conn):
    conn.answer(200, json.dumps({"method": request.method, "path": request.target, "body": request.body.decode(),
                                 "type": request.fields.get("Content-Type")}).encode(),
                [("Content-Type", "application/json")])


def test_list_in_its_order(weir, origin):
    d = weir()
    origin.handler = echo
    all_of_it = entries(post(d, [f"/api/{i}" for i in range(100)]))
    assert [e["id"] for e in all_of_it] == list(range(100))
    assert [e["body"]["path"] for e in all_of_it] == [f"/{i}" for i in range(100)]
    assert {e["status"] for e in all_of_it} == {200}
    assert all(e["headers"]["content-type"] == "application/json" for e in all_of_it)
    again = entries(post(d, [f"/api/{i}" for i in range(100)]))
    assert all("weir; hit" in e["headers"]["cache-status"] for e in again) and origin.count() == 100


def test_keys_in_their_order(weir, origin):
    d = weir()
    origin.handler = echo
    reply = post(d, '{"zebra": "/api/1", "ä\\u0061": {"url": "/api/2"}, "requests": "/api/3"}')
    assert list(entries(reply)) == ["zebra", "äa", "requests"]
    assert entries(reply)["requests"]["body"]["path"] == "/3"


def test_lines_come_back_as_lines(weir, origin):
    d = weir()
    origin.reply(200, b'{\n  "n": 12345678901234567890123,\r\n "s": "a\\nb"\n}', FRESH)
    reply = post(d, '/api/1\n\n{"url": "/api/2", "id": "two"}\r\n"/api/3"')
    assert reply.fields.get("Content-Type") == "application/x-ndjson"
    got = lines(reply)
    assert {e["id"] for e in got[:-1]} == {0, "two", 2}
    assert b'{  "n": 12345678901234567890123, "s": "a\\nb"}' in reply.body
    last = got[-1]
    assert last.pop("elapsed") >= 0
    assert last == {"done": True, "ok": 3, "failed": 0, "hits": 0, "upstream": 3}


@pytest.mark.parametrize("text, fields, shape", [
    ('{"a": "/api/1"}', [], dict),
    ('{"url": "/api/1"}', [], dict),
    ('{"url": "/api/1"}', LINES, bytes),
    ('{"url": "/api/1"}\n{"url": "/api/2"}', [], bytes),
    ('"/api/1"', [], bytes),
    ('/api/1', [], bytes),
    ('["/api/1"]', LINES, list),
    ('{"requests": ["/api/1"], "order": "input"}', [], list),
    ('{"requests": {"k": "/api/1"}, "max_wait": "5s"}', [], dict),
    ('{"requests": "/api/1"}', [], dict),
    (' [] ', [], list),
    ('{}', [], dict),
])
def test_the_shape_says_what_it_is(weir, origin, text, fields, shape):
    d = weir()
    origin.handler = echo
    reply = post(d, text, fields=fields)
    assert reply.status == 200
    if shape is bytes:
        assert lines(reply)[-1]["done"]
    else:
        assert isinstance(json.loads(reply.body), shape)


@pytest.mark.parametrize("body, member, value", [
    (b'{"a": 1}', "body", {"a": 1}),
    (b'12', "body", 12),
    (b'"text"', "body", "text"),
    ("grüße \"x\"\n\x01".encode(), "body_text", "grüße \"x\"\n\x01"),
    (b"\xef\xbb\xbf[1]", "body_text", "\ufeff[1]"),
    (bytes(range(256)), "body_base64", bytes(range(256))),
    (b"\xff" * 100001, "body_base64", b"\xff" * 100001),
    ("ü".encode() * 50001, "body_text", "ü" * 50001),
    (json.dumps(["x" * 99] * 30000).encode(), "body", ["x" * 99] * 30000),
    (b"", None, None),
], ids=range(10))
def test_a_body_is_what_it_is(weir, origin, body, member, value):
    d = weir()
    origin.reply(200, body, FRESH)
    for _ in range(2):                 # as it comes, and as it is stored
        for entry in entries(post(d, ["/api/1", "/api/1"])):
            there = [name for name in entry if name.startswith("body")]
            assert there == ([member] if member else [])
            if member:
                got = base64.b64decode(entry[member]) if member == "body_base64" else entry[member]
                assert got == value
        d.wait_stored()
    assert origin.count() == 1


@pytest.mark.parametrize("item, method, body, content_type", [
    ({"method": "POST", "body": {"n": 1}}, "POST", '{"n": 1}', "application/json"),
    ({"method": "PUT", "body_text": "grüße"}, "PUT", "grüße", "text/plain; charset=utf-8"),
    ({"method": "PATCH", "body_base64": "YWJj", "headers": {"Content-Type": "a/b"}}, "PATCH", "abc", "a/b"),
    ({"method": "DELETE"}, "DELETE", "", None),
])
def test_items_that_send_something(weir, origin, item, method, body, content_type):
    d = weir()
    origin.handler = told
    entry, = entries(post(d, [{"url": "/api/x", **item}]))
    assert entry["body"] == {"method": method, "path": "/x", "body": body, "type": content_type}


def test_a_number_goes_as_it_was_written(weir, origin):
    d = weir()
    origin.handler = told
    entry, = entries(post(d, '[{"url": "/api/x", "method": "POST", "body": [12345678901234567890123, 1.50]}]'))
    assert entry["body"]["body"] == "[12345678901234567890123, 1.50]"


WRONG = [
    ('["/nobody/1"]', "Item 0: url: no upstream"),
    ('["/api/1", "http://elsewhere.example/"]', "Item 1: url: no upstream"),
    ('["/.weir/health"]', "Item 0: url: what begins with /.weir/"),
    ('["/.weir/batch"]', "Item 0: url: what begins with /.weir/"),
    ('["api/1"]', "Item 0: url: a path"),
    ('["/api/a b"]', "Item 0: url: it holds a character"),
    ('["/api/1#top"]', "Item 0: url: it holds a character"),
    ('[7]', "Item 0: a URL as a string"),
    ('{"k": null}', 'Item "k": a URL as a string'),
    ('[{"method": "GET"}]', "Item 0: url:"),
    ('[{"url": "/api/1", "uri": 1}]', 'Item 0: "uri" is no member'),
    ('[{"url": "/api/1", "method": "G T"}]', "method: a method"),
    ('[{"url": "/api/1", "method": "CONNECT"}]', "method: CONNECT"),
    ('[{"url": "/api/1", "body": 1}]', "method: a request with a body"),
    ('[{"url": "/api/1", "method": "POST", "body": 1, "body_text": ""}]', "one of them is wanted"),
    ('[{"url": "/api/1", "method": "POST", "body_base64": "a"}]', "body_base64: base64"),
    ('[{"url": "/api/1", "headers": ["a"]}]', "headers: an object"),
    ('[{"url": "/api/1", "headers": {"a b": "c"}}]', "headers: a name"),
    ('[{"url": "/api/1", "headers": {"a": "b\\nc: d"}}]', "headers: a value"),
    ('[{"url": "/api/1", "headers": {"Host": "x"}}]', "headers: Host"),
    ('[{"url": "/api/1", "headers": {"Transfer-Encoding": "chunked"}}]', "headers: Host"),
    ('[{"url": "/api/1", "headers": {"Origin": "http://x"}}]', "headers: Host"),
    ('[{"url": "/api/1", "headers": {"Weir-Nonsense": "1"}}]', "Weir-Nonsense"),
    ('[{"url": "/api/1", "headers": {"Weir-Async": "1"}}]', "Weir-Async: an item is not answered later by itself"),
    ('[{"url": "/api/1", "max_wait": "soon"}]', "Weir-Max-Wait"),
    ('[{"url": "/api/1", "ttl": 5}]', "ttl: a duration"),
    ('[{"url": "/api/1", "priority": "high"}]', "Weir-Priority"),
    ('[{"url": "/api/1", "id": 1.5}]', "id: a string or a whole number"),
    ('[{"url": "/api/1", "id": "a"}, {"url": "/api/2", "id": "a"}]', "Item 1: id: another item has it"),
    ('["/api/1", {"url": "/api/2", "id": 0}]', "Item 1: id: another item has it"),
    ('{"a": "/api/1", "a": "/api/2"}', 'Item "a": id: another item has it'),
    ('{"requests": ["/api/1"], "order": "backwards"}', "order:"),
    ('{"requests": ["/api/1"], "take": 0}', "take:"),
    ('{"requests": ["/api/1"], "accept": ["9999"]}', "accept:"),
    ('{"requests": ["/api/1"], "concurrency": 17}', "concurrency: a number from 1 up to the setting"),
    ('{"requests": ["/api/1"], "headers": {"a": 1}}', "headers:"),
    ('{"requests": ["/api/1"], "progress": "0s"}', "progress:"),
    ('{"requests": ["/api/1"], "upstream": "nobody"}', "upstream: no upstream has that name"),
    ('{"requests": ["/api/1"], "headers": {"X-A": "1"}}', "headers: they are for the items of the upstream"),
    ('{"requests": ["/api/1"], "upstream": "api", "headers": {"Host": "x"}}', "none of Host, Content-Length"),
    ('{"requests": ["/api/1"], "upstream": "api", "headers": {"transfer-encoding": "chunked"}}', "none of Host"),
    ('{"requests": ["/api/1"], "odrer": "input"}', '"odrer" is no option: order, take'),
    ('{"odrer": "input", "requests": ["/api/1"]}', '"odrer" is no option: order, take'),
    ('{"requests": ["/api/1"], "take": 1, "take": 2}', "take: it stands there twice"),
    ('{"requests": ["/api/1"], "requests": ["/api/1"]}', 'requests: it stands there twice'),
    ('["/api/1"', "stops being JSON at byte 9"),
    ('["/api/1",]', "stops being JSON at byte 10"),
    ('["/api/1"] ["/api/2"]', "stops being JSON at byte 11"),
    ("   ", "There is nothing in it"),
    ("api/1\n/api/2\n", "Item 0: url: a path"),
    ('{"url": \n', "stops being JSON"),
]


@pytest.mark.parametrize("text, says", WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_before_anything_is_sent(weir, origin, text, says):
    d = weir()
    reply = post(d, text)
    assert reply.status == 400 and says in json.loads(reply.body)["detail"], reply.body
    assert reply.fields.get("Content-Type") == "application/problem+json"
    assert origin.count() == 0
    assert d.get("/.weir/health").status == 200


@pytest.mark.parametrize("query, says", [
    ("?takes=1", 'The query\'s "takes" is no option: order, take'),
    ("?headers=1", 'The query\'s "headers" is no option'),
    ("?take=1&take=1", "take: it stands there twice"),
    ("?upstream=nobody", "upstream: no upstream has that name"),
    ("?concurrency=17", "concurrency: a number from 1 up to the setting"),
    ("?order=%ff", "The query is not in UTF-8"),
])
def test_a_wrong_option_of_the_query(weir, origin, query, says):
    d = weir()
    for body in ('["/api/1"]', "/api/1\n"):
        reply = post(d, body, query)
        assert reply.status == 400 and says in json.loads(reply.body)["detail"], reply.body
    assert origin.count() == 0


def test_a_later_line_that_is_wrong_fails_alone(weir, origin):
    d = weir()
    origin.handler = echo
    got = {str(e.get("id")): e for e in lines(post(d, '/api/1\nnonsense\n{"url":\n/api/4\n[1]\n'))}
    assert [got[k]["status"] for k in "01234"] == [200, 400, 400, 200, 400]
    assert "error" in got["1"] and got["None"]["failed"] == 3


def test_bounds(weir, origin):
    d = weir(settings={"batch": {"max_requests": 3, "max_body": "2KiB", "concurrency": 2}})
    origin.handler = echo
    assert post(d, ["/api/1"] * 3).status == 200
    reply = post(d, ["/api/1"] * 4)
    assert reply.status == 413 and "batch.max_requests, 3 items" in json.loads(reply.body)["detail"]
    reply = post(d, ["/api/" + "x" * 2048])
    assert reply.status == 413 and "batch.max_body, 2048 bytes" in json.loads(reply.body)["detail"]
    got = lines(post(d, "/api/1\n" * 50 + "/api/" + "x" * 4000 + "\n/api/2\n"))
    assert got[-1]["ok"] == 51 and got[-1]["failed"] == 1


def test_concurrency_is_held(weir, origin):
    d = weir(**{"max_in_flight": 50})
    go, under_way, most = threading.Event(), [], []

    def hold(request, conn):
        under_way.append(request)
        most.append(len(under_way))
        conn.wait(go)
        under_way.remove(request)
        conn.answer(200, b"1", [])
    origin.handler = hold
    client = threading.Thread(target=post, args=(d, {"requests": [f"/api/{i}" for i in range(12)], "concurrency": 3}))
    client.start()
    origin.wait_requests(3)
    go.set()
    client.join()
    assert max(most) == 3 and origin.count() == 12


def test_take_gives_the_first_that_are_acceptable(weir, origin):
    d = weir()
    go = threading.Event()

    def mirrors(request, conn):
        if request.target == "/bad":
            return conn.answer(500, b"", [])
        if request.target == "/slow":
            conn.wait(go)
        return conn.answer(200, b"1", [])
    origin.handler = mirrors
    reply = post(d, {"requests": ["/api/slow", "/api/bad", "/api/good"], "take": 1,
                     "upstream": "api"})
    go.set()
    assert [e["id"] for e in entries(reply)] == [2]
    assert entries(post(d, {"requests": ["/api/bad"], "take": 1})) == []
    got = entries(post(d, {"requests": ["/api/bad", "/api/good"], "take": 2, "accept": ["5xx", 200], "order": "input"}))
    assert [e["status"] for e in got] == [500, 200]


def test_order_of_completion(weir, origin):
    d = weir()
    go = threading.Event()

    def slow(request, conn):
        if request.target == "/0":
            conn.wait(go)
        conn.answer(200, b"1", [])
        if request.target == "/3":
            go.set()
    origin.handler = slow
    got = entries(post(d, {"requests": [f"/api/{i}" for i in range(4)], "order": "completed"}))
    assert [e["id"] for e in got][-1] == 0 and sorted(e["id"] for e in got) == [0, 1, 2, 3]


def test_what_is_done_early_waits_for_its_turn(weir, origin):
    """Small ones and large ones, many more than there are places."""
    d = weir()
    go = threading.Event()

    def first_is_slow(request, conn):
        if request.target == "/0":
            conn.wait(go)
        n = int(request.target[1:])
        conn.answer(200, json.dumps(["x" * (200000 if n % 40 == 7 else 10), n]).encode(), FRESH)
        if n == 299:
            go.set()
    origin.handler = first_is_slow
    got = entries(post(d, [f"/api/{i}" for i in range(300)], timeout=60))
    assert [e["id"] for e in got] == list(range(300)) and [e["body"][1] for e in got] == list(range(300))


def test_equal_safe_items_are_asked_once(weir, origin):
    """Also where nothing may be stored; writes are never merged."""
    d = weir()
    origin.reply(200, b'{"a": [1,\n2]}', [("Cache-Control", "no-store")])
    got = entries(post(d, ["/api/1"] * 50 + [{"url": "/api/2", "headers": {"Accept": "a/b"}}] + ["/api/2"] * 20))
    assert [e["body"] for e in got] == [{"a": [1, 2]}] * 71 and [e["id"] for e in got] == list(range(71))
    assert origin.count() == 3
    got = lines(post(d, "/api/3\n" * 60))
    assert origin.count() == 4 and got[-1]["hits"] == 59 and got[-1]["upstream"] == 1
    entries(post(d, [{"url": "/api/1", "method": "POST", "body": 1}] * 5))
    assert origin.count(method="POST") == 5


def test_credentials_do_not_spread(daemons, origin, origins):
    other = origins()
    for o in (origin, other):
        o.reply(200, b"1")
    d = daemons(upstream(origin), upstream(other, name="other")).start()
    mine = [("Authorization", "Bearer outer")]
    entries(post(d, ["/api/1", "/other/1"], fields=mine))
    assert origin.last.fields.get("Authorization") is None and other.last.fields.get("Authorization") is None
    entries(post(d, {"requests": ["/api/2", "/other/2", {"url": "/api/3", "headers": {"Authorization": "Bearer own"}}],
                     "upstream": "api", "headers": {"X-Extra": "1"}, "concurrency": 1}, fields=mine))
    by_origin = {(o is origin, r.target): (r.fields.get("Authorization"), r.fields.get("X-Extra"))
                 for o in (origin, other) for r in o.requests}
    assert by_origin[True, "/2"] == ("Bearer outer", "1")
    assert by_origin[False, "/2"] == (None, None)
    assert by_origin[True, "/3"] == ("Bearer own", "1")


@pytest.mark.parametrize("fields", [
    [("Origin", "http://127.0.0.1:1")], [("Origin", "null")], [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "same-site")],
])
def test_no_page_may_send_one(weir, origin, fields):
    d = weir(allow_origins=["http://127.0.0.1:1"])
    assert post(d, ["/api/1"], fields=fields).status == 403 and origin.count() == 0


def test_who_leaves_takes_what_is_queued(weir, origin):
    d = weir(settings={"workers": 1}, limits=["1/h"], max_in_flight=1)
    origin.reply(200, b"1", FRESH)
    client = d.connect(timeout=30)
    client.start("POST", "/.weir/batch", [], b'["/api/1", "/api/2", "/api/3"]')
    origin.wait_requests(1)
    until(lambda: d.status()["upstreams"][0]["waiting"] == 2, "two wait")
    client.close()
    until(lambda: d.status()["upstreams"][0]["waiting"] == 0, "nobody waits")
    assert origin.count() == 1


def test_one_that_fails_stands_in_its_place(weir, origin):
    d = weir(retry={"attempts": 1})

    def cut(request, conn):
        if request.target == "/cut":
            conn.head(200, [("Content-Length", "10")])
            conn.send(b"abc")
            return conn.close()
        return conn.answer(200, b"1", [])
    origin.handler = cut
    got = entries(post(d, ["/api/1", "/api/cut", "/api/3", {"url": "/api/4", "headers": {"Cache-Control": "only-if-cached"}}]))
    assert [e["status"] for e in got] == [200, 502, 200, 504]
    assert got[1]["error"]["status"] == 502 and "body" not in got[1]
    assert got[3]["error"]["title"] == "Not in the cache"


def test_events(weir, origin):
    d = weir()
    origin.reply(200, b"{\n}", FRESH)
    reply = post(d, ["/api/1"], fields=[("Accept", "text/event-stream")])
    assert reply.fields.get("Content-Type") == "text/event-stream"
    one, done, rest = reply.body.split(b"\n\n")
    assert json.loads(one.removeprefix(b"data: "))["body"] == {} and rest == b""
    assert done.startswith(b"event: done\ndata: {")


def test_progress_is_told(weir, origin):
    d = weir()
    go = threading.Event()
    origin.handler = lambda request, conn: (conn.wait(go) if request.target == "/1" else None, conn.answer(200, b"1", []))
    raw = http.client.HTTPConnection(*d.address, timeout=30)
    raw.request("POST", "/.weir/batch?progress=1s&order=completed", "/api/0\n/api/1\n")
    reply = raw.getresponse()
    assert json.loads(reply.readline())["id"] == 0
    progress = json.loads(reply.readline())["progress"]
    assert progress.pop("eta") > 0 and progress == {"done": 1, "failed": 0, "of": 2, "hits": 0}
    go.set()
    while b'"done":true' not in reply.readline():
        pass
    raw.close()


def progress_of(d, query, body, seen):
    """The first progress that is told of which `seen` holds."""
    raw = http.client.HTTPConnection(*d.address, timeout=30)
    raw.request("POST", "/.weir/batch?progress=1s" + query, body, {"Accept": "application/x-ndjson"})
    reply = raw.getresponse()
    while not seen(told := json.loads(reply.readline()).get("progress", {})):
        pass
    raw.close()
    return told


@pytest.mark.parametrize("body", ["".join(f"/api/{i}\n" for i in range(61)), json.dumps([f"/api/{i}" for i in range(61)])])
def test_the_end_is_foretold_from_the_budget(weir, origin, body):
    """One has gone at once, the others go one a minute: what the first one took says nothing of that."""
    d = weir(limits=["1/min"])
    origin.reply(200, b"1")
    p = progress_of(d, "&order=completed", body, lambda p: "waits" in p)
    assert 58 * 60 < p["eta"] <= 61 * 60 and p["of"] == 61
    assert p["waits"]["upstream"] == "api" and p["waits"]["limit"] == "1/min" and 0 < p["waits"]["for"] <= 16 * 60


def test_refusals_are_waited_for_inside(weir, origin):
    """However often the API says 429: they are no failures that add up.  One asked alone hears of it."""
    d = weir(retry={"attempts": 2, "backoff": "10ms", "max_backoff": "10ms"})
    refused = []

    def refuse(request, conn):
        if request.target == "/alone" or refused.count(request.target) < 6:
            refused.append(request.target)
            return conn.answer(429, b"no", [])
        return conn.answer(200, b"1", [])
    origin.handler = refuse
    assert [e["status"] for e in entries(post(d, ["/api/1", "/api/2", {"url": "/api/3", "method": "POST"}]))] == [200] * 3
    assert d.get("/api/alone").status == 429
    got, = entries(post(d, [{"url": "/api/4", "max_wait": "0s"}]))
    assert got["status"] == 429


@pytest.mark.parametrize("of_batch, of_upstream", [
    ({"concurrency": 1}, {}), ({}, {"limits": ["1/h"]}), ({}, {"max_in_flight": 1})])
def test_nothing_is_sent_after_the_first_that_is_taken(weir, origin, of_batch, of_upstream):
    d = weir(**of_upstream)
    origin.reply(200, b"1", [])
    assert len(entries(post(d, {"requests": [f"/api/{i}" for i in range(10)], "take": 1, **of_batch}))) == 1
    assert d.get("/.weir/health").status == 200
    until(lambda: d.status()["upstreams"][0]["waiting"] == 0, "nobody waits")
    assert origin.count() == 1


def test_each_item_has_its_line_in_the_log(weir, origin):
    d = weir()
    origin.reply(200, b"1", FRESH)
    entries(post(d, ["/api/1", "/api/2"]))
    log = d.access(3)
    outer, = [line for line in log if line["target"] == "/.weir/batch"]
    assert [line.get("batch") for line in log if line is not outer] == [outer["id"]] * 2


def test_a_client_that_does_not_read_stops_the_asking(weir, origin):
    d = weir(settings={"workers": 1})
    origin.handler = lambda request, conn: conn.answer(200, b'"' + b"x" * 100000 + b'"', [])
    client = d.connect(timeout=60)
    body = "".join(f"/api/{i}\n" for i in range(500)).encode()
    client.start("POST", "/.weir/batch", [], body)
    origin.wait_requests(20)
    seen = -1
    while seen != origin.count():       # it comes to a stop
        seen = origin.count()
        assert d.get("/.weir/health").status == 200
        for _ in range(20):
            d.status()
    assert seen < 400
    assert len(client.read_response().body.splitlines()) == 501
    assert origin.count() == 500


def test_a_hundred_thousand_lines_in_little_memory(weir, origin):
    d = weir()
    origin.reply(200, b'{"x": "' + b"y" * 1000 + b'"}', FRESH)
    post(d, [f"/api/{i}" for i in range(50)])
    d.wait_stored(50)
    before = d.private_kib()
    reply = post(d, "".join(f"/api/{i % 50}\n" for i in range(100000)), timeout=60)
    assert reply.body.count(b"\n") == 100001
    assert SANITIZER or d.private_kib() - before < 64 * 1024


def test_an_upstream_that_is_not_for_the_client_fails_alone(daemons, origin, origins):
    d = daemons(upstream(origin), upstream(origins(), name="closed", access=["203.0.113.0/24"])).start()
    origin.reply(200, b"1")
    got = entries(post(d, ["/api/1", "/closed/1", "/api/2"]))
    assert [e["status"] for e in got] == [200, 403, 200]
    assert got[1]["error"]["type"].endswith(":not-allowed")


def test_lines_are_asked_as_they_come(weir, origin):
    d = weir()
    origin.reply(200, b"1")
    with d.connect(timeout=30) as client:
        client.send(client.head("POST", "/.weir/batch", [("Transfer-Encoding", "chunked")]))
        for i in range(3):
            client.send(b"7\r\n/api/%d\n\r\n" % i)
            origin.wait_requests(i + 1)
        client.send(b"0\r\n\r\n")
        assert [json.loads(line).get("id") for line in client.read_response().body.splitlines()] == [0, 1, 2, None]


def test_only_post(weir, origin):
    d = weir()
    assert d.get("/.weir/batch").status == 405
    assert d.request("POST", "/.weir/batch").status == 400
