"""Finished requests as somebody watches them: /log on the admin sockets, who may see what, and what it costs nobody."""
import json
import os
import subprocess
import sys
import urllib.parse

import pytest

from harness.client import Client
from harness.daemon import environment
from harness.origin import answer
from harness.settings import retry, upstream
from harness.wait import SANITIZER, seconds, until

FRESH = [("Cache-Control", "max-age=3600")]
OFF = {"log": {"access": "off"}}


def query_path(d):
    return os.path.join(os.path.dirname(d.admin_path), "query.sock")


class Tail:
    """A reader of /log or /top: rows as they come."""

    def __init__(self, d, path=None, endpoint="/log", receive_buffer=None, **parameters):
        self.client = Client(path or d.admin_path, timeout=20, receive_buffer=receive_buffer)
        self.client.send(f"GET {endpoint}?{urllib.parse.urlencode(parameters)} HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.file = self.client.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def row(self):
        line = self.file.readline()
        assert line.endswith(b"\n"), line
        return json.loads(line)

    def until(self, name):
        """The first value of that name that comes."""
        while name not in (row := self.row()):
            pass
        return row[name]

    def rows(self):
        """All that come until the end."""
        return [json.loads(line) for line in self.file]

    def close(self):
        self.file.close()
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def log(d, path=None, **parameters):
    with Tail(d, path, **parameters) as tail:
        assert tail.status == 200
        return tail.rows()


def targets(rows):
    return [row["target"] for row in rows]


def records(d):
    return d.counter("records_made")


def test_nobody_looks_and_no_record_is_made(weir, origin):
    """The very way of a hit: the counter stands in what makes a record."""
    origin.reply(body=b"x", fields=FRESH)
    d = weir(settings=OFF)
    with d.connect() as client:
        for _ in range(50):
            client.get("/api/x")
        assert records(d) == 0
        with Tail(d, follow=1) as tail:
            client.get("/api/x")
            assert tail.row()["target"] == "/api/x" and records(d) == 1
        until(lambda: (client.get("/api/x"), made := records(d), client.get("/api/x"))[1] == records(d),
              "the reader to be forgotten")
    assert log(d)[0]["kept"] is False


def test_what_is_shown_is_what_the_access_log_has(weir, origin):
    origin.script(answer(503), answer(200, b"12345", FRESH))
    d = weir(retry=retry(attempts=2))
    with d.connect() as client:
        client.get("/api/x?api_key=secret", [("Weir-Client", "ci")])
        client.get("/api/x?api_key=secret", [("Weir-Client", "ci")])
        client.get("/nowhere")
    assert until(lambda: len(rows := log(d)) == 3 and rows, "three records") == d.access(3)
    assert "secret" not in json.dumps(log(d))


def test_the_last_n_and_those_since(daemons, clock, origin):
    d = daemons(upstream(origin)).start()
    for i in range(10):
        d.get(f"/api/{i}")
    until(lambda: len(log(d)) == 10, "all")
    clock.advance(3600)
    d.get("/api/late")
    until(lambda: len(log(d)) == 11, "the last")
    assert targets(log(d, n=3)) == ["/api/8", "/api/9", "/api/late"]
    assert targets(log(d, n=0)) == [] and len(log(d, n=1000)) == 11
    assert targets(log(d, since="10m")) == ["/api/late"] and len(log(d, since="2h")) == 11
    assert targets(log(d, n=2, filter="url~/api/ url!~late")) == ["/api/8", "/api/9"]
    one = log(d, n=1)[0]
    assert log(d, id=one["id"]) == [one]


def test_a_follower_hears_of_each_as_it_ends(weir, origin):
    d = weir()
    with d.connect() as client:                      # of one worker, which ends them one after the other
        for i in range(5):
            client.get(f"/api/{i}")
    until(lambda: len(log(d)) == 5, "five")
    with Tail(d, n=2, follow=1) as tail:
        assert [tail.row()["target"] for _ in range(2)] == ["/api/3", "/api/4"]
        d.get("/api/now")
        assert tail.row()["target"] == "/api/now"
    with Tail(d, follow=1, filter="status>=400") as tail:
        d.get("/api/fine")
        d.get("/nowhere")
        assert tail.row()["target"] == "/nowhere"


def test_many_follow_and_some_leave(weir, origin):
    d = weir(settings=OFF)
    tails = [Tail(d, follow=1) for _ in range(20)]
    for tail in tails[::2]:
        tail.close()
    for i in range(5):
        d.get(f"/api/{i}")
    for tail in tails[1::2]:
        assert [tail.row()["target"] for _ in range(5)] == [f"/api/{i}" for i in range(5)]
        tail.close()


def test_who_does_not_read_hears_what_he_missed_and_holds_nobody_up(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(settings={**OFF, "workers": 1})
    d.get("/api/x")
    with Tail(d, follow=1, receive_buffer=2048) as slow, Tail(d, follow=1, filter="url~never") as quick:
        before = d.private_kib()
        with d.connect() as client:
            for _ in range(40):
                for _ in range(200):
                    client.start("GET", "/api/x?" + "y" * 300)
                for _ in range(200):
                    client.read_response()
            client.get("/api/never")
        assert quick.until("target") == "/api/never"
        assert SANITIZER or d.private_kib() - before < 4000
        seen = dropped = 0
        while True:
            row = slow.row()
            if "dropped" in row:
                dropped += row["dropped"]
            elif row["target"] == "/api/never":
                break
            else:
                seen += 1
        assert dropped > 0 and seen + dropped == 8000, (seen, dropped)


def test_a_stop_does_not_wait_for_who_looks(weir, origin):
    d = weir()
    with Tail(d, follow=1) as tail, Tail(d, follow=1, receive_buffer=2048) as deaf:
        for i in range(300):
            d.get("/api/" + "y" * 1000)
        while True:
            if tail.row()["target"]:
                break
        d.stop()
        assert "stopped_early" not in d.stderr
        deaf.close()


@pytest.mark.parametrize("filter, says", [
    ("statu>=500", 'at character 1: there is nothing called statu; there are url, wait, took, id'),
    ("upstream=api taxa", "at character 14: taxa is no term; one is a name, an operator (= != ~ !~ > >= < <=) and a value"),
    ("status>=abc", "at character 9: abc is not what status takes: a number such as 503, or 5xx"),
    ("wait>1y", "at character 6: 1y is not what queue_ms takes: a duration such as 1s or 250ms"),
    ("upstream>3", "at character 9: upstream takes = != ~ !~"),
    ('url~"a b', "at character 5: the quote that begins"),
    ("cache=", "at character 7: after cache= a value is missing"),
])
def test_a_filter_that_is_none_is_refused_with_where_and_what(weir, filter, says):
    d = weir()
    r = d.admin("GET", "/log?follow=1&filter=" + urllib.parse.quote(filter))
    assert r.status == 400 and says in json.loads(r.body)["detail"], r.body


@pytest.mark.parametrize("parameters, says", [("n=x", "a number up to"), ("n=1000001", "a number up to"), ("since=x", "10m"),
                                              ("follow=yes", "follow=1"), ("m=1", "there are n, since, id, follow and filter"),
                                              ("id=x", "number of a request")])
def test_a_wrong_parameter_is_refused(weir, parameters, says):
    r = weir().admin("GET", "/log?" + parameters)
    assert r.status == 400 and says in json.loads(r.body)["detail"], r.body


def as_nobody(d, target):
    """A request of another user."""
    script = ("import sys, urllib.request\n"
              "urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1]).read()")
    subprocess.run([sys.executable, "-I", "-c", script, d.url + target], check=True, timeout=seconds(20), user=65534,
                   env=environment("/"))


@pytest.mark.skipif(os.geteuid() != 0, reason="asks as another user")
def test_on_the_query_socket_a_user_sees_his_own(weir, origin):
    d = weir()
    with Tail(d, query_path(d), follow=1) as tail:
        as_nobody(d, "/api/theirs")
        d.get("/api/mine")
        assert tail.row()["target"] == "/api/mine"
    until(lambda: len(log(d)) == 2, "both")
    assert targets(log(d, query_path(d))) == ["/api/mine"] and sorted(targets(log(d))) == ["/api/mine", "/api/theirs"]
    theirs = next(row for row in log(d) if row["target"] == "/api/theirs")
    assert theirs["uid"] == 65534 and log(d, query_path(d), id=theirs["id"]) == []


def test_the_process_is_named_on_hits_too(weir, origin):
    """Nobody waits for it: who asks again on the connection is known by then, or soon."""
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    with d.connect() as client:
        client.get("/api/x")
        client.get("/api/x")
        until(lambda: (client.get("/api/x"), log(d, n=1))[1][0].get("pid") == os.getpid(), "the process")
    with d.connect() as client:
        d.wait_stored()
        until(lambda: (client.get("/api/x"), log(d, n=1))[1][0].get("pid") == os.getpid(), "the process, with hits alone")
