"""A credential that the API has answered with 401 is not sent again for a while (auth.hold)."""

import json

import pytest

from harness.origin import answer
from harness.wait import until

DEAD, GOOD = [("Authorization", "Bearer dead")], [("Authorization", "Bearer good")]


@pytest.fixture
def judge(origin):
    """The API knows these tokens; what it says to others is 401."""
    known = {"Bearer good"}

    def handler(request, conn):
        token = request.fields.get("Authorization") or request.fields.get("X-Api-Key") or ""
        conn.answer(200 if token in known else 401, b"x", [("Cache-Control", "no-store")])
    origin.handler = handler
    return known


def test_a_dead_token_is_not_asked_again(weir, origin, clock, judge):
    d = weir()
    assert d.get("/api/a", DEAD).status == 401 and origin.count() == 1
    held = d.get("/api/b", DEAD)
    problem = json.loads(held.body)
    assert held.status == 401 and problem["type"].endswith(":credential-held") and "WWW-Authenticate" in held.fields
    assert 0 < int(held.fields.get("Retry-After")) <= 60 and "dead" not in held.body.decode()
    assert d.request("POST", "/api/a", DEAD, body=b"x").status == 401 and origin.count() == 1
    assert d.get("/api/a", GOOD).status == 200 and d.get("/api/a").status == 401, "another, and none, go"
    assert origin.count() == 3
    clock.advance(61)
    assert d.get("/api/a", DEAD).status == 401 and origin.count() == 4, "one probe"
    clock.advance(61)
    assert d.get("/api/a", DEAD).status == 401 and origin.count() == 4, "and the time has doubled"
    clock.advance(61)
    judge.add("Bearer dead")
    assert [d.get(f"/api/{i}", DEAD).status for i in range(3)] == [200] * 3
    assert d.counter("credentials_held") == 2


def test_those_who_wait_with_it_are_not_sent(weir, origin, clock, judge):
    d = weir(limits=["1/s burst 1"], max_in_flight=1)
    clients = [d.connect() for _ in range(3)]
    for i, client in enumerate(clients):
        client.start("GET", f"/api/{i}", DEAD)
    until(lambda: d.counter("credentials_held") == 1, "the 401")
    clock.advance(5)
    assert [client.read_response().status for client in clients] == [401] * 3 and origin.count() == 1


@pytest.mark.parametrize("fields", [
    [("Cookie", "session=1")],
    [("Authorization", 'Digest username="u", realm="r", nonce="n", uri="/", response="0"')],
    [("Authorization", "AWS4-HMAC-SHA256 Credential=AK/20250101/eu/s3/aws4_request, SignedHeaders=host, Signature=0")],
    [("Authorization", "Negotiate abcd")], [],
], ids=["cookie", "digest", "aws", "negotiate", "none"])
def test_what_is_no_token_is_never_held(weir, origin, judge, fields):
    d = weir()
    assert [d.get("/api/a", fields).status for _ in range(2)] == [401] * 2 and origin.count() == 2


def test_a_path_that_says_401_to_a_good_token_holds_once(weir, origin, clock):
    def handler(request, conn):
        conn.answer(401 if request.target.startswith("/odd") else 200, b"x", [("Cache-Control", "no-store")])
    origin.handler = handler
    d = weir()
    assert d.get("/api/odd", GOOD).status == 401 and d.get("/api/a", GOOD).status == 401 and origin.count() == 1
    clock.advance(61)
    assert d.get("/api/a", GOOD).status == 200 and d.get("/api/odd", GOOD).status == 401
    assert d.get("/api/a", GOOD).status == 200 and origin.count() == 4


def test_one_that_has_passed_is_dead_when_two_paths_say_so(weir, origin, judge):
    d = weir()
    judge.add("Bearer dead")
    assert d.get("/api/a", DEAD).status == 200
    judge.remove("Bearer dead")
    assert [d.get(f"/api/{path}", DEAD).status for path in ("a", "a", "b", "c", "d")] == [401] * 5
    assert origin.count() == 3, "a and b were asked, and nothing after that"


def test_it_can_be_undone(weir, origin, judge):
    d = weir()
    assert d.get("/api/a", DEAD).status == 401
    assert d.ctl_json("limits", "forget", "api") == {"forgotten": 1}
    assert d.get("/api/a", DEAD).status == 401 and origin.count() == 2


def test_a_hold_of_nothing_holds_nobody(weir, origin, judge):
    d = weir(auth={"hold": "0s"})
    assert [d.get("/api/a", DEAD).status for _ in range(2)] == [401] * 2 and origin.count() == 2


def test_one_that_weir_adds_is_held_until_it_is_another(weir, origin, judge, tmp_path):
    token = tmp_path / "token"
    token.write_text("dead")
    d = weir(auth={"header": "X-Api-Key", "value_file": str(token)})
    assert [d.get(f"/api/{i}").status for i in range(2)] == [401] * 2 and origin.count() == 1
    judge.add("new")
    token.write_text("new")
    assert d.ctl("reload").returncode == 0
    d.wait_line(" reloaded ")
    assert d.get("/api/x").status == 200 and origin.count() == 2


def test_an_old_401_and_one_of_a_hit_say_nothing(weir, origin):
    origin.script(answer(401, b"x", [("Age", "500"), ("Cache-Control", "max-age=1000")]), answer(200, b"x"))
    d = weir()
    assert d.get("/api/a", DEAD).status == 401
    assert d.get("/api/b", DEAD).status == 200
