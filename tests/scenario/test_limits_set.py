"""weirctl limits set: what is left, said by hand; held at once, after a restart, and refused where it cannot be."""
import json

import pytest

from harness.origin import answer
from harness.queueing import collect, fire, waiting
from harness.wait import until

QUICK = {"max_wait": "1s"}


def left(d, name):
    return [b["left"] for b in d.ctl_json("limits")["limits"] if b["limit"] == name]


def test_more_and_fewer_at_once_and_after_a_restart(weir, origin):
    origin.reply(200, b"x")
    d = weir(limits=["3/h"], queue=QUICK)
    assert [d.get(f"/api/{i}").status for i in range(4)] == [200, 200, 200, 429]
    assert d.ctl_json("limits", "set", "api", "3/h", "2") == {"set": 1, "left": 2}
    assert left(d, "3/h") == [2] and d.get("/api/a").status == 200
    plain = d.ctl("limits", "set", "api", "3/h", "0")
    assert plain.returncode == 0 and "0 left" in plain.stdout
    assert d.get("/api/b").status == 429
    d.restart()
    assert d.get("/api/c").status == 429 and left(d, "3/h") == [0]
    assert d.ctl("limits", "set", "api", "3/h", "3").returncode == 0
    d.restart()
    assert left(d, "3/h") == [3] and d.get("/api/d").status == 200


def test_before_the_first_request(weir, origin):
    d = weir(limits=["3/h"], queue=QUICK)
    assert d.ctl_json("limits", "set", "api", "3/h", "1")["set"] == 1
    assert [d.get(f"/api/{i}").status for i in range(2)] == [200, 429]


def test_what_waits_goes_on(weir, origin):
    origin.reply(200, b"x")
    d = weir(limits=["1/h"], queue={"max_wait": "2h"})
    assert d.get("/api/a").status == 200
    clients = fire(d, 1)
    until(lambda: waiting(d) == 1, "the request to wait")
    assert d.ctl("limits", "set", "api", "1/h", "1").returncode == 0
    assert collect(clients)[0].status == 200


def test_of_each_credential(weir, origin):
    d = weir(limits=[{"rate": "5/h", "per": "credential", "name": "each"}], queue=QUICK)
    nobody = d.ctl("limits", "set", "api", "each", "1")
    assert nobody.returncode == 1 and "credential" in nobody.stderr
    for who in ("ann", "bob"):
        d.get("/api/x", [("Authorization", who)])
    assert d.ctl_json("limits", "set", "api", "each", "1")["set"] == 2
    assert left(d, "each") == [1, 1]


def test_what_the_api_said_is_dropped(weir, origin):
    origin.script(answer(200, b"x", [("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "3000")]))
    d = weir(limits=["60/h"], queue=QUICK)
    assert d.get("/api/a").status == 200 and d.get("/api/b").status == 429
    assert d.ctl_json("limits", "set", "api", "60/h", "7")["set"] == 1
    assert left(d, "60/h") == [7] and d.get("/api/c").status == 200


@pytest.mark.parametrize("arguments, status, says", [
    (["api", "3/h"], 2, "how many"), (["api", "3/h", "many"], 2, '"many"'), (["api", "3/h", "-1"], 2, ""),
    (["api", "3/h", "1.5"], 2, '"1.5"'), (["api", "3/h", "4"], 1, "allows 3 at most"), (["api", "other", "1"], 1, '"other"'),
    (["nobody", "3/h", "1"], 1, '"nobody"'), (["api", "3/h", "99999999999999999999"], 2, "whole number")])
def test_what_cannot_be_set(weir, arguments, status, says):
    d = weir(limits=["3/h"])
    result = d.ctl("limits", "set", *arguments)
    assert result.returncode == status and result.stdout == "" and says in result.stderr, result.stderr
    assert left(d, "3/h") == [3]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"upstream": "api", "limit": "3/h"}', b'{"upstream": "api", "left": 1}',
                                  b'{"upstream": "api", "limit": "3/h", "left": "1"}', b'{"upstream": "api", "limit": "3/h", "left": -1}',
                                  b'{"upstream": 1, "limit": "3/h", "left": 1}', b'{"limit": "3/h", "left": 1}'])
def test_what_the_endpoint_refuses(weir, body):
    d = weir(limits=["3/h"])
    reply = d.admin("POST", "/limits/set", body)
    assert reply.status == 400 and "whole number" in json.loads(reply.body)["detail"]
