"""The access log: one line of JSON for each request, saying how it came about (item 7)."""
import re

import pytest

from harness.origin import answer, drop
from harness.settings import retry
from harness.wait import until

FRESH = [("Cache-Control", "max-age=3600")]


def one(d, count=1):
    lines = d.access(count)
    assert len(lines) == count, lines
    return lines[-1]


def test_miss_and_hit(weir, origin):
    origin.reply(body=b"12345", fields=FRESH)
    d = weir()
    d.get("/api/x?q=1")
    d.wait_stored()
    miss = one(d)
    assert (miss["method"], miss["status"], miss["bytes"], miss["upstream"], miss["attempts"]) == ("GET", 200, 5, "api", 1)
    assert "/x?q=1" in miss["target"] and (miss["cache"], miss["fwd"]) == ("miss", "uri-miss")
    d.get("/api/x?q=1")
    hit = one(d, 2)
    assert (hit["status"], hit["bytes"], hit["attempts"]) == (200, 5, 0) and hit["cache"] == "hit"
    assert miss["id"] != hit["id"]


def test_times_and_waits(weir, origin):
    d = weir(limits=["2/s burst 1"], queue={"max_wait": "10s"})
    with d.connect() as client:
        client.get("/api/a")
        client.get("/api/b")
    first, second = d.access(2)
    for line in (first, second):
        assert {"time", "predicted_ms", "queue_ms", "upstream_ms", "took_ms"} <= set(line)
        assert 0 <= line["upstream_ms"] <= line["took_ms"]
    assert 300 <= second["queue_ms"] <= second["took_ms"] + 1


def test_attempts(weir, origin):
    origin.script(answer(503), drop, answer(200))
    d = weir(retry=retry(attempts=3))
    timing = d.get("/api/x").fields.get("Server-Timing")
    line = one(d)
    assert line["attempts"] == 3
    assert [(t["cause"], t["outcome"]) for t in line["tries"]] == [("uri-miss", "503"), ("503", "dropped"), ("dropped", "200")]
    assert all(t["waited_ms"] >= 0 and t["took_ms"] >= 0 for t in line["tries"]) and line["tries"][1]["waited_ms"] >= 2
    for i, t in enumerate(line["tries"]):
        wanted = r'weir-attempt-%d;dur=[0-9.]+;desc="%s after [0-9.]+ ms: %s"' % (i + 1, t["cause"], t["outcome"])
        assert re.search(wanted, timing), timing


def test_invalid_body_is_called_that(weir, origin):
    origin.script(answer(200, b"{", [("Content-Type", "application/json")]), answer(200, b"{}"))
    d = weir(retry=retry(attempts=2), validate="json")
    assert d.get("/api/x").body == b"{}"
    assert [t["outcome"] for t in one(d)["tries"]] == ["invalid", "200"]


def test_plain_lines_tell_of_attempts_too(weir, origin):
    origin.script(answer(503), answer(200))
    d = weir(settings={"log": {"format": "plain"}}, retry=retry(attempts=2))
    d.get("/api/x")
    assert re.search(r" tries=503/[0-9.]+ms,200/[0-9.]+ms$", until(d.access_file.read_text, "a line").rstrip())


@pytest.mark.parametrize("method, target, fields, status", [
    ("GET", "/nowhere", [], 404), ("GET", "/api/x", [("Host", "evil.example")], None), ("GET", "/api/x", [("Weir-TTL", "x")], 400),
    ("GET", "/.weir/health", [], 200), ("POST", "/api/x", [], 200), ("HEAD", "/api/x", [], 200),
])
def test_every_request_has_a_line(weir, origin, method, target, fields, status):
    d = weir()
    response = d.request(method, target, fields)
    line = one(d)
    assert line["method"] == method and line["status"] == response.status == (status or response.status)


def test_refused_by_the_budget(weir, origin):
    d = weir(limits=["1/h"], queue={"max_wait": "2s"})
    d.get("/api/a")
    d.get("/api/b")
    line = one(d, 2)
    assert line["status"] == 429 and line["attempts"] == 0


def test_line_comes_when_the_body_is_through(weir, origin):
    origin.reply(body=b"x" * 300_000, chunked=True)
    d = weir()
    d.get("/api/x")
    assert one(d)["bytes"] == 300_000


def test_odd_targets_stay_one_line_of_json(weir, origin):
    d = weir()
    targets = ['/api/"quote"', "/api/back\\slash", "/api/%0a%0d", "/api/\xe4\xff", "/api/" + "x" * 5000]
    for target in targets:
        d.get(target)
    assert len(d.access(len(targets))) == len(targets)


def test_plain_format(weir, origin):
    d = weir(settings={"log": {"format": "plain"}})
    d.get("/api/x")
    d.stop()
    lines = d.access_file.read_text().splitlines()
    assert len(lines) == 1 and "GET" in lines[0] and "200" in lines[0] and "/x" in lines[0]


def test_off_writes_nothing(weir, origin):
    d = weir(settings={"log": {"access": "off"}})
    d.get("/api/x")
    d.stop()
    assert not d.access_file.exists()


def test_stderr_takes_the_lines(weir, origin):
    d = weir(settings={"log": {"access": "stderr"}})
    d.get("/api/marked")
    d.wait_line("marked")


def test_200_requests_have_200_lines(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    clients = [d.connect() for _ in range(4)]
    for _ in range(50):
        for client in clients:
            client.start("GET", "/api/x")
        for client in clients:
            client.read_response()
    for client in clients:
        client.close()
    lines = d.access(200)
    assert len(lines) == 200 and len({line["id"] for line in lines}) == 200


def test_server_timing_on_the_answer(weir, origin):
    response = weir().get("/api/x")
    timing = response.fields.joined("Server-Timing")
    assert "upstream" in timing and "dur=" in timing
