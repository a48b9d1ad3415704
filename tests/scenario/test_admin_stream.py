"""Answers of the admin socket that are made as the client takes them: of a thousand upstreams, to clients that read slowly."""
import json
import re
import socket

import pytest

from harness.client import Client
from harness.settings import upstream
from harness.wait import SANITIZER, TRICKS

READERS = 40
NAMES = ["api"] + [f"other-{i:04}" for i in range(1000)]
LIMITS = ["60/min", {"rate": "1000/day", "name": "daily"}]


@pytest.fixture
def many(daemons, origin):
    """A daemon with an API and a thousand others that nobody asks."""
    return daemons(upstream(origin, limits=LIMITS),
                   *(upstream(origin, name=name, limits=LIMITS, url=f"http://{name}.invalid") for name in NAMES[1:])).start()


def as_jansson_writes(body):
    """Indented by two blanks, in the order that it has; how a fraction is written is another matter."""
    def whole(text):
        return re.sub(r"-?\d+\.\d+(e[-+]?\d+)?", "0.0", text)
    return whole(body.decode()) == whole(json.dumps(json.loads(body), indent=2))


def names(body):
    return [row["name"] for row in json.loads(body)["upstreams"]]


def test_a_short_answer_is_whole_before_it_goes_and_has_a_length(weir, origin):
    d = weir(limits=LIMITS)
    for target in ("/status", "/limits", "/limits?name=daily", "/limits?name=none", "/upstreams"):
        answer = d.admin("GET", target)
        assert answer.fields.get("Content-Length") == str(len(answer.body)), target
        assert as_jansson_writes(answer.body), answer.body
    assert [row["limit"] for row in json.loads(d.admin("GET", "/limits?name=daily").body)["limits"]] == ["daily"]
    assert json.loads(d.admin("GET", "/limits?name=none").body) == {"limits": [], "more": []}


def test_each_upstream_is_told_once_and_in_order(many):
    for target in ("/status", "/upstreams"):
        answer = many.admin("GET", target)
        assert answer.complete and names(answer.body) == NAMES and as_jansson_writes(answer.body)
    limits = many.admin("GET", "/limits")
    assert limits.complete and as_jansson_writes(limits.body)
    assert [row["upstream"] for row in json.loads(limits.body)["limits"]] == [name for name in NAMES for _ in LIMITS]
    assert len(many.ctl_json("status")["upstreams"]) == len(NAMES)          # weirctl takes it whole, too


def test_who_reads_slowly_holds_little_and_holds_up_nobody(many):
    size = len(many.admin("GET", "/status").body)
    before = many.private_kib()
    readers = [Client(many.admin_path, timeout=60, receive_buffer=4096) for _ in range(READERS)]
    for reader in readers:
        reader.start("GET", "/status")
        assert reader.sock.recv(1, socket.MSG_PEEK)              # it is on its way, and not taken
    assert many.get("/api/x").status == 200
    assert names(many.admin("GET", "/upstreams").body) == NAMES
    if not SANITIZER:
        assert (many.private_kib() - before) * 1024 < READERS * size / 4
    for reader in readers[::2]:
        reader.close()                                           # in the middle
    for reader in readers[1::2]:
        answer = reader.read_response("GET")
        assert answer.complete and names(answer.body) == NAMES
        reader.close()
    assert many.get("/api/x").status == 200


@pytest.mark.skipif(not TRICKS, reason="such an answer ends the connection")
def test_a_head_of_what_is_long_or_never_ends_is_a_head_alone(many):
    d = many
    with Client(str(d.admin_path)) as client:
        for target in ("/limits", "/metrics", "/log?follow=1", "/status"):
            answer = client.request("HEAD", target)
            assert (answer.status, answer.body, answer.end) == (200, b"", "complete"), target
        assert names(client.request("GET", "/upstreams").body) == NAMES
