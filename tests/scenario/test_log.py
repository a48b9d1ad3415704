"""The access log: one line of JSON for each request, saying how it came about (item 7)."""
import json
import os
import resource
import re
import signal
import threading

import pytest

from harness.origin import answer, drop
from harness.settings import retry, upstream
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


# -- a full disk, and rotation ---------------------------------------------------------------------------------------

SPARSE = 64 << 20                     # longer than anything else that the daemon writes


def limit_files(d, at_most):
    """No file of the daemon's may grow beyond that: to it, a full disk."""
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (at_most, resource.RLIM_INFINITY))


def fill_up(path, beyond=0):
    with open(path, "ab") as file:
        file.truncate(SPARSE)
    return SPARSE + beyond


def lines_behind(path, offset):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read().split(b"\n")


def counters(d):
    return d.ctl_json("status")["counters"]


def test_a_full_disk_loses_lines_and_tells_once(weir, origin):
    origin.reply(fields=FRESH)
    d = weir(settings={"workers": 1})
    begin = fill_up(d.access_file)
    limit_files(d, begin + 150)                            # half a line goes, then nothing
    target = "/api/" + "x" * 2000
    with d.connect() as client:
        for _ in range(200):
            assert client.get(target).status == 200
        until(lambda: counters(d)["access_lines_lost"] > 0, "lines to be lost")
        d.wait_line(r" error access_log_failed file=.*File too large")
        lost = counters(d)["access_lines_lost"]
        assert 0 < lost < 200 and "lines of the access log" in d.ctl("status").stdout
        limit_files(d, resource.RLIM_INFINITY)
        resumed = d.wait_line(r" warning access_log_resumed lost=\d+")
        assert client.get("/api/last").status == 200
    assert int(resumed.rpartition("=")[2]) == lost
    until(lambda: b"/last" in b"".join(lines_behind(d.access_file, begin)), "the last line")
    torn, *whole = [line for line in lines_behind(d.access_file, begin) if line]
    assert len(torn) == 150 and len(whole) == 201 - lost
    assert all(json.loads(line)["status"] == 200 for line in whole)
    assert counters(d)["access_lines_lost"] == lost
    assert len([line for line in d.lines if "access_log_" in line]) == 2


def test_lines_wait_for_the_disk(weir, origin):
    d = weir(settings={"workers": 2})
    begin = fill_up(d.access_file)
    limit_files(d, begin)
    for i in range(10):
        assert d.get(f"/api/{i}").status == 200
    d.wait_line(r" error access_log_failed ")
    limit_files(d, resource.RLIM_INFINITY)
    assert d.wait_line(r" warning access_log_resumed ").endswith("lost=0")
    until(lambda: len([line for line in lines_behind(d.access_file, begin) if line]) == 10, "all ten lines")
    assert counters(d)["access_lines_lost"] == 0


def test_the_event_log_tells_what_it_lost(daemons, origin):
    d = daemons(upstream(origin))
    events = d.directory / "events.log"
    begin = fill_up(events)
    d.spawn(before=["sh", "-c", 'exec "$@" 2>>events.log', "sh"])
    until(lambda: b" ready " in events.read_bytes()[begin:], "the daemon to be ready")
    limit_files(d, events.stat().st_size)
    for _ in range(3):
        assert d.ctl("reload").returncode == 0             # an event each
    assert counters(d)["log_lines_lost"] == 3
    limit_files(d, resource.RLIM_INFINITY)
    assert d.ctl("reload").returncode == 0
    lines = [line for line in lines_behind(events, begin) if line]
    assert lines[-2].endswith(b" warning log_lines_lost lines=3") and b" info reloaded " in lines[-1]


@pytest.mark.parametrize("how", ["signal", "weirctl"])
def test_rotation_works_whatever_the_configuration_says(weir, origin, how):
    d = weir(settings={"workers": 2})
    d.get("/api/before")
    d.access(1)
    d.config.write_text("this is no configuration")
    old = d.access_file.with_suffix(".1")
    d.access_file.rename(old)
    if how == "signal":
        d.process.send_signal(signal.SIGUSR1)
        until(d.access_file.exists, "the new file")
    else:
        assert d.ctl("reopen").stdout == "reopened\n"
    for i in range(8):
        d.get(f"/api/after{i}")
    assert len(d.access(8)) == 8 and all("/after" in line["target"] for line in d.access(8))
    assert old.read_text().count("\n") == 1
    assert d.ctl("reload").returncode == 1                 # it was broken indeed


def test_a_file_that_cannot_be_opened_is_written_on(weir, origin):
    d = weir(settings={"workers": 1})
    d.get("/api/1")
    d.access(1)
    old = d.access_file.with_suffix(".1")
    d.access_file.rename(old)
    d.access_file.mkdir()
    assert d.ctl("reopen").returncode == 0
    d.wait_line(r" error access_log_not_reopened file=.*Is a directory")
    d.get("/api/2")
    until(lambda: old.read_text().count("\n") == 2, "the second line")


def test_a_directory_that_comes_later(weir, origin, tmp_path):
    place = tmp_path / "logs" / "access.log"
    d = weir(settings={"log": {"access": str(place)}})
    d.wait_line(r" error access_log_failed file=.*No such file")
    d.get("/api/x")
    place.parent.mkdir()
    until(lambda: place.exists() and "/x" in place.read_text(), "the line")
    d.wait_line(r" warning access_log_resumed lost=0")


def test_signals_at_the_start_kill_nothing(daemons, origin):
    d = daemons(upstream(origin))
    d.spawn()
    d.wait_line(r" listening ")
    for _ in range(20):
        d.process.send_signal(signal.SIGUSR1)
    d.wait_line(r" ready\b")
    assert d.get("/api/x").status == 200


def test_a_fifo_that_nobody_reads_holds_nobody_up(weir, origin, tmp_path):
    origin.reply(fields=FRESH)
    place = tmp_path / "access.fifo"
    os.mkfifo(place)
    d = weir(settings={"workers": 1, "log": {"access": str(place)}})
    d.wait_line(r" error access_log_failed ")
    for i in range(3):
        assert d.get(f"/api/{i}").status == 200
    with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        d.wait_line(r" warning access_log_resumed lost=0")
        assert (reader.read() or b"").count(b"\n") == 3
        with d.connect() as client:                        # and none who reads no more
            for _ in range(150):
                assert client.get("/api/" + "x" * 2000).status == 200
        until(lambda: counters(d)["access_lines_lost"] > 0, "lines to be lost")


COMBINED = re.compile(r'(\S+) (\S+) (\S+) \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(\S+) (\S+) HTTP/1\.\d" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')


def test_combined_format(weir, origin):
    d = weir(settings={"log": {"format": "combined"}})
    d.get("/api/x?api_key=secret", [("User-Agent", 'a "b"'), ("Referer", "https://me@page.example/p?token=secret")])
    line = COMBINED.fullmatch(until(d.access_file.read_text, "a line").rstrip("\n"))
    assert line, d.access_file.read_text()
    assert line.group(1, 2, 4, 5, 6) == ("127.0.0.1", "-", "GET", "/api/x?api_key=***", "200")
    assert line[3].startswith(f"uid={os.getuid()}") and line.group(8, 9) == ("page.example/p?***", 'a \\"b\\"')


def test_logfmt_format(weir, origin):
    d = weir(settings={"log": {"format": "logfmt"}})
    d.get("/api/x", [("Weir-Client", "the nightly job")])
    line = until(d.access_file.read_text, "a line")
    assert ' client="the nightly job" ' in line and f" uid={os.getuid()} " in line
    assert " upstream=api target=/api/x status=200 " in line and " cache=miss fwd=uri-miss " in line


def test_every_line_names_its_client(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    with d.connect() as client:
        for _ in range(6):                       # the first a miss, the last from a reply that was ready
            client.get("/api/x")
        client.get("/api/x", [("Weir-Client", "ci")])
    lines = d.access(7)
    assert {line["uid"] for line in lines} == {os.getuid()}
    assert [line["client"].partition(" ")[0] for line in lines[:6]] == [f"uid={os.getuid()}"] * 6
    assert {line["cache"] for line in lines} == {"miss", "hit"} and lines[6]["client"] == "ci"


@pytest.mark.parametrize("ask, name", [(lambda d: d.get("/.weir/x"), "no-endpoint"),
                                       (lambda d: d.get("/nowhere"), "no-upstream"),
                                       (lambda d: d.exchange(b"GET /api/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), None)])
def test_the_problem_is_named(weir, origin, ask, name):
    d = weir()
    ask(d)
    line = one(d)
    assert line["cache"] == "error" and line["error"] == (name or line["error"])


def test_a_shared_answer_says_whose_it_was(weir, origin):
    go = threading.Event()

    def held(request, conn):
        conn.wait(go)
        conn.answer(200, b"one", FRESH)
    origin.handler = held
    d = weir()
    clients = [d.connect() for _ in range(4)]
    clients[0].start("GET", "/api/x")
    origin.wait_requests(1)
    for client in clients[1:]:
        client.start("GET", "/api/x")
    d.wait_counter("requests", 4)
    d.status()
    go.set()
    for client in clients:
        client.read_response()
        client.close()
    lines = d.access(4)
    first = next(line for line in lines if line["cache"] == "miss" and not line["collapsed"])
    shared = [line for line in lines if line["collapsed"]]
    assert shared and {line["shared_with"] for line in shared} == {first["id"]} and "shared_with" not in first
