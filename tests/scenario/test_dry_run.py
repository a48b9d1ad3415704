"""Dry run, and mocks: nothing is sent, and what is answered instead."""
import json
import pathlib
import re
import time

import pytest

from harness.client import Client
from harness.settings import Raw, upstream

MOCKS = pathlib.Path(__file__).parents[2] / "etc/mocks"
FRESH = [("Cache-Control", "max-age=60"), ("Content-Type", "application/json")]
OURS = {"status": 201, "headers": ["X-Mock: ours", "Cache-Control: max-age=60"], "body": '{"id": 7}'}


def is_dry(r, word="would-send", cost=1, rule=None):
    said = f"{word}; cost={cost}; wait=0s" + (f'; rule="{rule}"' if rule else "")
    assert r.fields.get("Weir-Dry-Run") == said, r.fields
    assert r.fields.joined("Cache-Control") == "no-store"
    if word != "would-serve":
        assert r.fields.get("Cache-Status") == "weir; fwd=bypass; detail=dry-run"
    return r


def test_nothing_is_sent(weir, origin):
    d = weir(mode="dry_run", limits=["60/h"])
    for method in ("GET", "POST", "DELETE", "PUT", "PATCH"):
        r = is_dry(d.request(method, "/api/a", body=b"x" if method != "GET" else None))
        assert r.status == 200 and r.body == b"{}" and r.fields.get("Content-Type") == "application/json"
    assert d.request("HEAD", "/api/a").body == b""
    assert origin.count() == 0 and d.counter("requests") == 6
    lines = d.access(6)
    assert all(line["dry"] == 1 and line["detail"] == "dry-run" and line["cache"] == "dry" for line in lines)
    assert d.ctl_json("limits")["limits"][0]["left"] == 60 and d.status()["cache"]["records"] == 0


@pytest.mark.parametrize("accept, json_is_taken", [
    (None, True), ("*/*", True), ("application/vnd.github+json", True), ("text/html, application/*;q=0.1", True),
    ("text/html", False), ("text/csv, application/json;q=0", False), ("text/event-stream", False)])
def test_what_accept_has(weir, accept, json_is_taken):
    r = weir(mode="dry_run").request("POST", "/api/a", [("Accept", accept)] if accept else [], body=b"x")
    assert r.status == 200 and r.body == (b"{}" if json_is_taken else b"")
    assert r.fields.get("Content-Type") == ("application/json" if json_is_taken else None)


def test_writes_alone(weir, origin):
    origin.reply(200, b"1", FRESH)
    d = weir(mode="dry_run_writes", limits=["60/h"])
    read = d.get("/api/a")
    assert read.body == b"1" and "Weir-Dry-Run" not in read.fields and "dry-run-writes" in read.fields.get("Cache-Status")
    d.wait_stored()
    is_dry(d.request("POST", "/api/a", body=b"x"))
    assert "hit" in d.get("/api/a").fields.get("Cache-Status")       # nothing was dropped
    assert [r.method for r in origin.requests] == ["GET"]
    assert sorted((line["method"], "dry" in line) for line in d.access(3)) == [("GET", False), ("GET", False), ("POST", True)]


def test_the_order_of_what_is_answered(weir, origin):
    origin.reply(200, b'"stored"', [("Cache-Control", "max-age=1"), ("Content-Type", "application/json")])
    d = weir(rules=[{"match": "/ours/**", "methods": ["GET", "POST"], "mock": OURS}], mock={"body": "theirs"})
    for path in ("/api/ours/1", "/api/x"):
        assert d.get(path).body == b'"stored"'
    d.wait_stored(2)
    assert d.ctl("mode", "api", "dry_run").returncode == 0
    for method in ("GET", "POST"):
        r = d.request(method, "/api/ours/1", body=b"x" if method == "POST" else None)
        is_dry(r, *(("would-send", 0) if method == "POST" else ("would-serve", 0)), rule="/ours/**")
        assert r.status == 201 and r.body == b'{"id": 7}' and r.fields.get("X-Mock") == "ours"
        assert r.fields.joined("Cache-Control") == "no-store"
    assert d.get("/api/x").body == b'"stored"'
    assert d.get("/api/y").body == b"theirs" and d.get("/api/y").fields.get("Content-Type") == "text/plain; charset=utf-8"
    assert d.request("POST", "/api/x", body=b"x").body == b"theirs"
    assert origin.count() == 2


def test_what_is_stored_is_answered_fresh_or_not(weir, origin, clock):
    origin.reply(200, b"1", FRESH)
    d = weir()
    d.get("/api/a")
    d.wait_stored()
    r = is_dry(d.get("/api/a", [("Weir-Dry-Run", "1")]), "would-serve", 0)
    assert r.body == b"1" and "hit" in r.fields.get("Cache-Status") and "detail=dry-run" in r.fields.get("Cache-Status")
    clock.advance(3600)
    r = d.get("/api/a", [("Weir-Dry-Run", "1")])
    assert is_dry(r, cost=int(re.search("cost=([0-9]+)", r.fields.get("Weir-Dry-Run"))[1])).body == b"1"
    for _ in range(3):
        assert d.get("/api/a", [("Weir-Dry-Run", "1"), ("Cache-Control", "only-if-cached")]).status == 504
    assert origin.count() == 1


@pytest.mark.parametrize("word", ["1", "writes", "show"])
def test_one_request(weir, origin, word):
    d = weir()
    r = d.request("POST", "/api/a", [("Weir-Dry-Run", word)], body=b"x")
    assert r.status == 200 and origin.count() == 0 and r.fields.get("Weir-Dry-Run").startswith("would-send; cost=")
    d.request("POST", "/api/a", body=b"x")
    assert origin.count() == 1 and "Weir-Dry-Run" not in origin.last.fields


@pytest.mark.parametrize("target, fields, says", [
    ("/api/a", [("Weir-Dry-Run", "yes")], '"1", "writes" or "show"'), ("/api/a", [("Weir-Dry-Run", "")], '"1", "writes" or "show"'),
    ("/api/a", [("Weir-Dry-Run", "1"), ("Weir-Dry-Run", "1")], "twice"), ("/api/a", [("Weir-Dryrun", "1")], "no such field"),
    ("/.weir/batch", [("Weir-Dryrun", "1")], "no such field"), ("/.weir/health", [("Weir-Dryrun", "1")], "no such field")])
def test_who_asks_for_it_wrongly_does_not_write(weir, origin, target, fields, says):
    r = weir().request("POST", target, fields, body=b'["/api/a"]')
    assert r.status == 400 and says in json.loads(r.body)["detail"] and origin.count() == 0


def test_a_whole_batch(weir, origin):
    d = weir()
    r = d.request("POST", "/.weir/batch", [("Weir-Dry-Run", "1")], body=b'["/api/a", {"method": "POST", "url": "/api/b", "body": {"a": 1}}]')
    assert [item["status"] for item in json.loads(r.body)] == [200, 200] and origin.count() == 0
    assert json.loads(r.body)[0]["body"] == {} and json.loads(r.body)[1]["headers"]["weir-dry-run"].startswith("would-send; ")


def test_a_batch_for_later(weir, origin):
    d = weir()
    r = d.request("POST", "/.weir/batch", [("Weir-Dry-Run", "1"), ("Weir-Async", "1")], body=b'[{"method": "POST", "url": "/api/b", "body": {"a": 1}}]')
    assert r.status == 202
    result = json.loads(d.get(json.loads(r.body)["result"], [("Prefer", "wait=30")]).body)
    assert [item["status"] for item in result] == [200] and origin.count() == 0
    r = d.request("POST", "/api/b", [("Weir-Dry-Run", "1"), ("Weir-Async", "1")], body=b"x")
    assert r.status == 200 and r.fields.get("Weir-Dry-Run").startswith("would-send") and origin.count() == 0


def test_there_is_no_dry_run_of_what_is_no_request_to_an_api(weir):
    r = weir().request("DELETE", "/.weir/jobs/1", [("Weir-Dry-Run", "1")])
    assert r.status == 400 and "there is no dry run of this" in json.loads(r.body)["detail"]


def test_show(weir, origin, place):
    (place / "key").write_text("Bearer of-the-daemon")
    d = weir(set_headers=["X-Set: by-weir"], auth={"header": "Authorization", "value_file": str(place / "key"), "methods": ["POST"]},
             credential_headers=["X-Api-Key"])
    r = d.request("POST", "/api/a?api_key=very-secret-1&b=%2F", [("Weir-Dry-Run", "show"), ("X-Api-Key", "very-secret-2"), ("Connection", "X-Hop"),
                                                                    ("X-Hop", "1"), ("Weir-Client", "me"), ("X-Other", "very-secret-1")],
                  body=b'{"token": "very-secret-2"}')
    assert r.status == 200 and r.fields.get("Content-Type") == "message/http" and origin.count() == 0
    head, _, body = r.body.decode().partition("\r\n\r\n")
    line, *fields = head.split("\r\n")
    assert line == "POST /a?api_key=***&b=%2F HTTP/1.1" and body == '{"token": "***"}'
    assert {f"Host: {origin.authority}", "X-Set: by-weir", "X-Api-Key: ***", "Authorization: ***", "X-Other: ***"} <= set(fields)
    assert f"Content-Length: {len(body)}" in fields
    assert "very-secret" not in r.body.decode() and "of-the-daemon" not in r.body.decode()
    assert not [f for f in fields if f.startswith(("Weir-", "X-Hop", "Connection"))]


def test_long_bodies_are_taken_and_go_nowhere(weir, origin):
    d = weir()
    for word in ("1", "show"):
        r = d.request("PUT", "/api/a", [("Weir-Dry-Run", word), ("Expect", "100-continue")], body=b"x" * 3_000_000)
        assert r.status == 200 and ("; body=omitted" in r.fields.get("Weir-Dry-Run")) == (word == "show")
    assert origin.count() == 0 and [line["received_bytes"] for line in d.access(2)] == [3_000_000] * 2


def test_a_body_that_is_too_long_for_the_key(weir, origin):
    d = weir(rules=[{"match": "/**", "methods": ["POST"], "key_body": True, "ttl": "1h", "mock": {"status": 503, "share": "100%"}}])
    assert d.request("POST", "/api/a", body=b"x" * 3_000_000).status == 503
    assert d.request("POST", "/api/a", [("Weir-Dry-Run", "show")], body=b"x" * 3_000_000).fields.get("Weir-Dry-Run").endswith("; body=omitted")
    assert origin.count() == 0 and [line["received_bytes"] for line in d.access(2)] == [3_000_000] * 2


def test_nothing_is_charged_and_the_wait_is_told(weir, origin):
    d = weir(limits=[{"rate": "2/h", "cost": ["POST 2", "* 1"]}])
    for _ in range(5):
        assert "would-send; cost=2; wait=0s" in d.request("POST", "/api/a", [("Weir-Dry-Run", "1")], body=b"x").fields.get("Weir-Dry-Run")
    assert d.request("POST", "/api/a", body=b"x").status == 200
    said = d.get("/api/b", [("Weir-Dry-Run", "1")]).fields.get("Weir-Dry-Run")
    assert re.fullmatch("would-refuse; cost=1; wait=3[56][0-9][0-9]s", said), said
    assert re.search("would-send; cost=1; wait=3[56]", d.get("/api/b", [("Weir-Dry-Run", "1"), ("Weir-Max-Wait", "2h")]).fields.get("Weir-Dry-Run"))


def test_a_purge_drops_nothing(weir, origin):
    origin.reply(200, b"1", FRESH)
    d = weir()
    d.get("/api/a")
    d.wait_stored()
    assert json.loads(d.request("PURGE", "/api/a", [("Weir-Dry-Run", "1")]).body) == {"dropped": 0}
    assert "hit" in d.get("/api/a").fields.get("Cache-Status")


def test_read_only_stays_what_it_is(weir, origin):
    d = weir(mode="offline")
    assert d.request("POST", "/api/a", [("Weir-Dry-Run", "writes")], body=b"x").status == 504
    assert d.request("POST", "/api/a", [("Weir-Dry-Run", "1")], body=b"x").status == 200
    assert origin.count() == 0


# -- mocks ------------------------------------------------------------------------

def test_a_mocks_members(weir, place):
    (place / "answer.json").write_bytes(b'{"from": "a file"}')
    d = weir(mode="dry_run", rules=[{"match": "/file", "mock": {"body_file": str(place / "answer.json")}},
                                    {"match": "/gone", "methods": ["DELETE"], "mock": {"status": 204}},
                                    {"match": "/slow", "mock": {"delay": "200ms", "headers": ["Content-Type: text/x-slow"], "body": "{}"}}])
    r = d.get("/api/file")
    assert r.body == b'{"from": "a file"}' and r.fields.get("Content-Type") == "application/json"
    r = d.request("DELETE", "/api/gone")
    assert r.status == 204 and r.body == b""
    assert d.request("HEAD", "/api/file").fields.get("Content-Length") == "18"
    began = time.monotonic()
    r = d.get("/api/slow")
    assert r.fields.get("Content-Type") == "text/x-slow" and time.monotonic() - began >= 0.2
    (place / "answer.json").write_bytes(b"[2]")
    assert d.ctl("reload").returncode == 0 and d.get("/api/file").body == b"[2]"


def test_one_that_leaves_meanwhile(weir):
    d = weir(mode="dry_run", mock={"delay": "1h"})
    with Client(d.address) as client:
        client.start("POST", "/api/a", body=b"x")
        d.wait_counter("requests", 1)
    d.wait_counter("client_gone", 1)


@pytest.mark.parametrize("of_rule", [True, False])
def test_a_share_injects_faults_in_any_mode(weir, origin, of_rule):
    origin.reply(200, b"1", FRESH)
    mock = {"status": 429, "headers": ["Retry-After: 7"], "delay": "1ms", "share": "20%"}
    d = weir(**({"rules": [{"match": "/**", "mock": mock}]} if of_rule else {"mock": mock}))
    seen = [d.get("/api/a") for _ in range(30)]
    faults = [r for r in seen if r.status == 429]
    assert len(faults) == 6 and {r.status for r in seen} == {200, 429}
    for r in faults:
        assert r.fields.get("Retry-After") == "7" and r.fields.joined("Cache-Control") == "no-store"
        assert r.fields.get("Cache-Status") == "weir; fwd=bypass; detail=injected-429-after-1ms" and "Weir-Dry-Run" not in r.fields
    lines = d.access(30)
    assert sum(line["detail"] == "injected-429-after-1ms" and line["cache"] == "mock" for line in lines if "detail" in line) == 6
    assert not any("dry" in line for line in lines) and origin.count() == 1
    counters = d.status()["counters"]
    assert (counters["mocked"], counters["own"], counters["client_errors"], counters["hits"]) == (6, 6, 0, 23)
    assert d.ctl("mode", "api", "read_only").returncode == 0
    assert [d.get("/api/a").status for _ in range(10)].count(429) == 2


def test_an_injected_error_is_no_failure_of_the_apis(weir, origin):
    origin.reply(200, b"1")
    d = weir(mock={"status": 503, "share": "50%"})
    seen = [d.get("/api/a").status for _ in range(10)]
    assert seen.count(503) == 5
    counters = d.status()["counters"]
    assert (counters["failed"], counters["upstream_failures"], counters["mocked"]) == (0, 0, 5)
    text = d.admin("GET", "/metrics").body.decode()
    assert 'weir_http_requests_total{upstream="api",method="safe",status="5xx",cache="own"} 5' in text
    assert re.search('cache="failed"} [1-9]', text) is None


def test_without_a_share_a_mock_is_for_dry_runs(weir, origin):
    origin.reply(200, b"1", FRESH)
    assert weir(mock=OURS).get("/api/a").body == b"1"


# -- modes -------------------------------------------------------------------------

def test_a_dry_run_outlives(weir, origin):
    d = weir()
    assert d.ctl("mode", "api", "dry_run_writes").returncode == 0
    for end in ("reload", "restart", "kill"):
        if end == "reload":
            assert d.ctl("reload").returncode == 0
        else:
            d.kill() if end == "kill" else None
            d.start() if end == "kill" else d.restart()
        assert d.request("POST", "/api/a", body=b"x").fields.get("Weir-Dry-Run"), end
        assert d.status()["upstreams"][0]["mode"] == "dry_run_writes"
    assert origin.count() == 0


def test_no_tunnel_while_something_is_held_back(daemons, origin):
    d = daemons(upstream(origin, intercept=False), settings={"proxy": {"listen": "127.0.0.1:0"}}).start()

    def connect(*fields):
        with Client(d.proxy_address) as client:
            client.send(client.head("CONNECT", origin.authority, [("Host", origin.authority), *fields]))
            return client.read_head("CONNECT").status
    for mode, status in (("live", 200), ("dry_run", 403), ("read_only", 403), ("live", 200)):
        assert d.ctl("mode", "api", mode).returncode == 0
        assert connect() == status, mode
    assert connect(("Weir-Dry-Run", "1")) == 400


def test_explain_says_so(weir, origin):
    d = weir(mode="dry_run", rules=[{"match": "/a", "mock": OURS}])
    told = d.ctl_json("explain", "/api/a")
    assert told["would"]["status"] == 201 and told["would"]["detail"] == "dry-run" and origin.count() == 0
    assert "answer 201 by itself, in a dry run" in d.ctl("explain", "/api/a").stdout
    assert d.ctl("mode", "api", "dry_run_writes").returncode == 0
    assert 'mode = "dry_run_writes"  (set at run time)' in d.ctl("explain", "-X", "POST", "/api/b").stdout


@pytest.mark.parametrize("name", ["github", "inat", "gbif", "wikipedia", "crossref", "nominatim"])
def test_the_mocks_that_are_shipped(daemons, origin, name):
    """They are read as they stand, for each shipped upstream, beside rules of one's own; JSON bodies are JSON."""
    rules = Raw(f'(\n@include "{MOCKS / name}.conf"\n, {{ match = "/mine"; ttl = "1h"; }} )')
    d = daemons(upstream(origin, mode="dry_run_writes", rules=rules)).start()
    assert "warning" not in d.stderr
    for method in ("POST", "DELETE"):
        r = d.request(method, "/api/whatever", body=b"x")
        assert r.status in (200, 201, 204) and r.fields.get("Weir-Dry-Run").startswith("would-send; ")
        assert r.body == b"" or json.loads(r.body) is not None
    texts = re.findall(r'^ +body = ((?:"(?:[^"\\]|\\.)*"\s*)+)', (MOCKS / f"{name}.conf").read_text(), re.M)
    bodies = ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)).replace('\\"', '"').replace("\\\\", "\\") for text in texts]
    assert bodies and all(json.loads(body) is not None for body in bodies if body[0] in '{["')
