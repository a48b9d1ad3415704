"""weirctl log and weirctl top, on a terminal and in a pipe."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from harness.client import Client
from harness.daemon import environment
from harness.origin import answer
from harness.settings import retry, upstream
from harness.screen import COLOUR, Terminal
from harness.wait import WEIRCTL, seconds, until

from test_looking import OFF, Tail, log, query_path

FRESH = [("Cache-Control", "max-age=3600")]


@pytest.fixture
def terminal():
    made = []

    def begin(d, *arguments, columns=80, rows=24, **env):
        made.append(Terminal([WEIRCTL, "--socket", d.admin_path, *arguments], {**environment(d.directory), **env}, columns, rows))
        return made[-1]
    yield begin
    for t in made:
        t.kill()


@pytest.fixture
def seen(weir, origin):
    """A daemon that has answered a few requests, some of them odd."""
    origin.script(answer(503), answer(200, b"12345", FRESH), answer(200, b"x" * 2000, FRESH), answer(500))
    d = weir(retry=retry(attempts=2, on=[503]), rules=[{"match": "/x/**"}])
    with d.connect() as client:                        # one after the other, on one worker
        client.get("/api/x/first?api_key=secret", [("Weir-Client", "nightly job")])
        client.get("/api/long?q=" + "y" * 300)
        client.get("/api/broken", [("Weir-Client", b"\x9b31m\xc2\x9b\xe2\x80\xaeevil".decode("latin-1"))])
        client.get("/api/long?q=" + "y" * 300)
        client.get("/nowhere")
    until(lambda: len(log(d)) == 5, "five records")
    return d


# -- log ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("columns", [80, 160, 200])
def test_log_fits_the_terminal(seen, terminal, columns):
    t = terminal(seen, "log", columns=columns)
    assert t.wait_exit() == 0
    lines = COLOUR.sub("", t.text).replace("\r", "").splitlines()
    assert len(lines) == 6 and max(map(len, lines)) <= columns, lines
    assert not set("\x1b\x9b\u202e") & set("".join(lines))
    assert "\x1b[31m" in t.text and [line[13:16] for line in lines[1:]] == ["200", "200", "500", "200", "404"]
    assert ("nightly job" in lines[1]) == (columns >= 110) and "secret" not in t.text


def test_log_without_colour(seen, terminal):
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        t = terminal(seen, "log", **env)
        assert t.wait_exit() == 0 and "\x1b" not in t.text


def test_log_in_a_pipe_is_whole_and_plain(seen):
    result = seen.ctl("log")
    lines = result.stdout.splitlines()
    assert len(lines) == 5 and "\x1b" not in result.stdout and "y" * 300 in lines[1]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} 200 miss ", lines[0]) and "nightly job" in lines[0]


def test_log_filters(seen):
    def shown(*arguments):
        result = seen.ctl("log", *arguments)
        assert result.returncode == 0, result
        return [line.split()[-1] for line in result.stdout.splitlines()]
    assert shown("status>=500") == ["/api/broken"]
    assert shown("status>=400", "url~nowhere") == ["/nowhere"]
    assert shown("client=nightly job") == shown('client="nightly job"') == ["/api/x/first?api_key=***"]
    assert shown("cache=miss attempts>1") == ["/api/x/first?api_key=***"]
    assert len(shown("-n", "2")) == 2 and len(shown("--since", "10m")) == 5
    nothing = seen.ctl("log", "url~never")
    assert nothing.returncode == 0 and nothing.stdout == "" and "no request that is kept fits" in nothing.stderr


def test_log_tells_the_whole_story(seen):
    story = seen.ctl("log", "-v", "attempts>1").stdout
    first = log(seen)[0]
    assert f"#{first['id']} " in story and f"uid {os.getuid()}" in story and "rule /x/**" in story
    assert re.search(r"\+0\.000 s  came: miss, to be asked for upstream \(uri-miss\)", story)
    assert re.search(r"attempt 1, since uri-miss.*: 503 after", story) and re.search(r"attempt 2, since 503, after a wait of", story)
    assert "answered 200, 5 bytes; stored" in story and "secret" not in story
    refused = seen.ctl("log", "-v", "--id", str(log(seen)[-1]["id"])).stdout
    assert "problem     no-upstream" in refused


def test_log_as_json(seen):
    result = seen.ctl("log", "--json", "-n", "3")
    assert [json.loads(line) for line in result.stdout.splitlines()] == log(seen, n=3)


@pytest.mark.parametrize("arguments, status, says", [
    (["statu>=1"], 1, "there is nothing called statu"), (["-n", "x"], 1, "n is how many"), (["--since", "soon"], 1, "since is how long ago"),
    (["--never"], 2, "usage"), (["-n"], 2, "usage"),
])
def test_log_used_wrongly(weir, arguments, status, says):
    result = weir().ctl("log", *arguments)
    assert result.returncode == status and says in result.stderr.lower(), result


def test_log_without_a_daemon(weir):
    d = weir()
    d.stop()
    for command in ("log", "top"):
        result = d.ctl(command)
        assert result.returncode == 1 and "no weir answers" in result.stderr


def test_log_where_nothing_is_kept(weir):
    result = weir(settings=OFF).ctl("log")
    assert result.returncode == 0 and "log.access is off" in result.stderr and result.stdout == ""


@contextlib.contextmanager
def followed(d, *arguments):
    process = subprocess.Popen([WEIRCTL, "--socket", d.admin_path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=environment(d.directory), stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_log_goes_on_under_another_configuration_and_keeps_none_of_them(weir, origin):
    d = weir(settings={"log": {"level": "debug"}})
    d.get("/api/first")
    until(lambda: log(d), "its record")
    assert d.ctl("reload").returncode == 0          # the first is kept, to tell what wants a restart
    with followed(d, "log", "-f", "-n", "1") as process:
        assert process.stdout.readline().endswith("/first\n")
        for i in range(3):
            d.get(f"/api/{i}")
            assert process.stdout.readline().endswith(f"/{i}\n")
            begin = len(d.lines)
            assert d.ctl("reload").returncode == 0
            assert d.wait_line("config_gone left=0", since=begin)


def test_log_follows_and_ends_with_the_daemon(seen):
    with followed(seen, "log", "-f", "-n", "1", "url~/now") as process:
        assert process.stdout.readline().endswith("/nowhere\n")
        seen.get("/api/other")
        seen.get("/now/and/then")
        assert process.stdout.readline().endswith("/now/and/then\n")
        seen.stop()
        assert process.wait(seconds(10)) == 1 and "weir has stopped" in process.stderr.read()


def test_log_on_the_query_socket(seen):
    result = subprocess.run([WEIRCTL, "--socket", query_path(seen), "log"], capture_output=True, text=True, timeout=seconds(20),
                            env=environment(seen.directory), check=False)
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 5


# -- top ------------------------------------------------------------------------------------------------------------

@pytest.fixture
def busy(weir, origin):
    """A daemon where eight wait for a limit, and one asks for what is stored again and again."""
    origin.reply(body=b"x", fields=FRESH)
    d = weir(limits=["6/min burst 1"], queue={"max_wait": "10m"})
    d.get("/api/stored")
    d.wait_stored()
    waiting = [d.connect(timeout=60) for _ in range(8)]
    for i, client in enumerate(waiting):
        client.start("GET", f"/api/slow/{i}?api_key=secret", [("Weir-Client", "batch job"), ("Weir-Max-Wait", "10m")])
    until(lambda: d.status()["upstreams"][0]["waiting"] >= 7, "they wait")
    stop = threading.Event()

    def ask():
        with d.connect() as client:
            while not stop.wait(0.005):
                client.get("/api/stored", [("Weir-Client", "eager")])
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    yield d
    stop.set()
    asking.join()
    for client in waiting:
        client.close()


def test_top_tells_rates_times_and_who_waits(busy):
    with Tail(busy, endpoint="/top", interval="300ms") as tail:
        rows = [tail.row() for _ in range(3)]
    row = rows[-1]
    api = row["upstreams"][0]
    assert 0.2 < row["interval_s"] < 5 and api["name"] == "api" and api["waiting"] >= 7 and api["predicted_wait_s"] > 1
    assert api["hits"] > 0 and api["requests"] >= api["hits"] == api["saved"] and api["hit_share"] > 0.5
    assert api["rate"] == pytest.approx(api["requests"] / row["interval_s"], rel=0.01) and 0 < api["p50_ms"] <= api["p95_ms"]
    assert api["limits"][0]["allowed"] == 1 and api["limits"][0]["left"] == 0 and api["limits"][0]["waiting"] >= 7
    longest = api["longest"]
    assert len(longest) == 4 and longest[0]["client"] == "batch job" and "api_key=***" in longest[0]["target"]
    assert [w["waited_s"] for w in longest] == sorted((w["waited_s"] for w in longest), reverse=True)
    assert row["clients"][0]["client"] == "eager" and row["rules"][0]["rule"].startswith("api")
    assert "secret" not in json.dumps(rows)


def test_top_on_the_query_socket_tells_of_ones_own(busy):
    with Tail(busy, query_path(busy), endpoint="/top", interval="300ms", once=1) as tail:
        row = tail.rows()[0]
    assert "longest" not in row["upstreams"][0] and row["clients"][0]["client"] == "eager"


@pytest.mark.parametrize("parameters, says", [("interval=1ms", "from 100ms"), ("interval=x", "from 100ms"), ("twice=1", "interval")])
def test_a_wrong_parameter_of_top_is_refused(weir, parameters, says):
    r = weir().admin("GET", "/top?" + parameters)
    assert r.status == 400 and says in json.loads(r.body)["detail"]


def test_top_in_a_pipe_is_drawn_once(busy):
    result = busy.ctl("top", "-i", "300ms")
    assert result.returncode == 0 and "\x1b" not in result.stdout
    assert re.search(r"^ api +[0-9.]+ +\d+% ", result.stdout, re.M) and "requests/s" in result.stdout
    assert "batch job" in result.stdout and "/slow/" in result.stdout and "eager" in result.stdout
    assert len([json.loads(line) for line in busy.ctl("top", "--json", "--once", "-i", "300ms").stdout.splitlines()]) == 1
    wrong = busy.ctl("top", "--sort", "luck")
    assert wrong.returncode == 2 and "rate, hits, saved" in wrong.stderr


@pytest.mark.parametrize("columns", [80, 200])
def test_top_fits_and_gives_the_terminal_back(busy, terminal, columns):
    t = terminal(busy, "top", "-i", "200ms", columns=columns)
    picture = t.wait(lambda p: any("batch job" in line for line in p) and p, "a picture")
    assert max(map(len, picture)) <= columns and len(picture) <= 24
    assert any(re.match(r" api +[0-9.]+ ", line) for line in picture) and any("##########" in line for line in picture)
    t.type(" ")
    t.wait(lambda p: "HELD" in p[0], "it is held")
    t.type(" sj")
    t.wait(lambda p: "HELD" not in p[0] and any(line.startswith(">api") for line in p), "it goes on, and one is chosen")
    t.type("q")
    assert t.wait_exit() == 0 and t.is_as_it_was and t.text.endswith("\x1b[?25h\x1b[?1049l")


def test_top_heeds_the_size(busy, terminal):
    t = terminal(busy, "top", "-i", "200ms", columns=200, rows=40)
    t.wait(lambda p: any("batch job" in line for line in p), "a picture")
    t.resize(80, 10)
    t.wait(lambda p: max(map(len, p)) <= 80 and len(p) <= 10 and any("requests/s" in line for line in p), "a small picture")
    t.resize(200, 40)
    t.wait(lambda p: any("batch job" in line for line in p), "a large one again")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_top_gives_the_terminal_back_on_signals(busy, terminal, number):
    t = terminal(busy, "top", "-i", "200ms")
    t.wait(lambda p: any("requests/s" in line for line in p), "a picture")
    t.process.send_signal(number)
    assert t.wait_exit() == -number and t.is_as_it_was and t.text.endswith("\x1b[?25h\x1b[?1049l")


def test_top_shows_the_log_and_comes_back(busy, terminal):
    t = terminal(busy, "top", "-i", "200ms", columns=160)
    t.wait(lambda p: any("requests/s" in line for line in p), "a picture")
    t.type("l")
    until(lambda: "/api/stored" in t.text.rpartition("\x1b[?1049l")[2], "the log's lines")
    t.type("\x03")
    until(lambda: "requests/s" in t.text.rpartition("\x1b[?1049h")[2], "a picture again")
    t.type("q")
    assert t.wait_exit() == 0 and t.is_as_it_was


def test_top_sees_another_configuration(busy, origin, terminal):
    t = terminal(busy, "top", "-i", "200ms", columns=100)
    t.wait(lambda p: any(line.startswith(" api") for line in p), "a picture")
    busy.write([upstream(origin, limits=["6/min burst 1"], queue={"max_wait": "10m"}), upstream(origin, name="newcomer")])
    assert busy.ctl("reload").returncode == 0
    t.wait(lambda p: any(line.startswith(" newcomer") for line in p), "the new upstream")


def test_top_ends_with_the_daemon(weir, terminal):
    d = weir()
    t = terminal(d, "top", "-i", "200ms")
    t.wait(lambda p: any("requests/s" in line for line in p), "a picture")
    d.stop()
    assert t.wait_exit() == 1 and t.is_as_it_was and re.search("no weir answers|weir has stopped", t.text)


def test_the_rarest_give_way_to_the_frequent(weir, origin):
    """More clients than are counted: the one that asks most is told all the same."""
    origin.reply(body=b"x", fields=FRESH)
    d = weir(settings={**OFF, "workers": 1})
    with Tail(d, endpoint="/top", interval="1s") as tail, d.connect() as client:
        for i in range(200):
            client.get("/api/x", [("Weir-Client", f"rare {i}")])
            client.get("/api/x", [("Weir-Client", "frequent")])
        counted = {}
        while counted.get("frequent", 0) < 200:
            for c in tail.row()["clients"]:
                counted[c["client"]] = counted.get(c["client"], 0) + c["requests"]
    assert counted["frequent"] == 200


def test_nobody_looks_any_more_and_no_record_is_made(weir, origin, terminal):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(settings=OFF)
    t = terminal(d, "top", "-i", "200ms")
    t.wait(lambda p: any("requests/s" in line for line in p), "a picture")
    until(lambda: d.get("/api/x") and d.counter("records_made") > 0, "a record")
    t.type("q")
    assert t.wait_exit() == 0

    def is_quiet():
        made = d.counter("records_made")
        d.get("/api/x")
        return d.counter("records_made") == made
    until(is_quiet, "the reader to be forgotten")
