"""The figures of status add up, to the requests that came and to what the API has counted itself; the log names the client of
each of them."""
import json
import os
import threading

import pytest

from harness.client import Client
from harness.origin import answer
from harness.settings import retry, upstream
from harness.wait import TRICKS, until

FRESH = [("Cache-Control", "max-age=60")]
OUTCOMES = ("hits", "stale_hits", "revalidated", "misses", "passed", "own", "client_errors", "budget_refused", "unavailable",
            "failed", "unanswered")
ME = f"uid={os.geteuid()}"


def figures(d):
    return d.status()["counters"]


def assert_sound(d, origin):
    """Each request is one of the outcomes, each attempt one of the API's own requests."""
    n = figures(d)
    assert n["requests"] == sum(n[name] for name in OUTCOMES), n
    assert n["upstream_attempts"] == origin.count(), n
    assert n["upstream_failures"] <= n["upstream_attempts"], n
    site = d.status()["upstreams"][0]
    assert (site["attempts"], site["failures"], site["unsent"]) == (n["upstream_attempts"], n["upstream_failures"],
                                                                   n["upstream_unsent"])
    return n


def settled(n):
    """What the answers say that the API was asked."""
    return (n["misses"] + n["passed"] + n["revalidated"] - n["collapsed"] + n["refreshes"] + n["renewals"]
            + n["upstream_retries"])


def validating(request, conn):
    if request.fields.get("If-None-Match") == '"v"':
        conn.answer(304, b"", [("ETag", '"v"'), ("Cache-Control", "max-age=10")])
    else:
        conn.answer(200, b"body", [("ETag", '"v"'), ("Cache-Control", "max-age=10")])


def test_a_day_of_everything(weir, origin, clock):
    origin.handler = validating
    d = weir(stale_while_revalidate="30s", retry=retry())
    d.get("/api/x")
    d.wait_stored()
    for _ in range(3):
        assert d.get("/api/x").cache.hit
    clock.advance(15)                                           # stale, and refreshed for the next one
    assert d.get("/api/x").cache.hit
    origin.wait_requests(2)
    until(lambda: d.get("/api/x").cache.ttl > 0, "it is fresh again")
    clock.advance(100)                                          # stale, and validated
    assert d.get("/api/x").cache.fwd_status == 304
    d.request("POST", "/api/x", body=b"write")
    d.request("HEAD", "/api/head")
    origin.handler = None
    origin.script(answer(503), answer(200, b"at last"))
    assert d.get("/api/retried").body == b"at last"
    d.get("/.weir/health")
    d.request("PURGE", "/api/x")
    d.get("/nowhere")
    d.get("/api/y", [("Weir-TTL", "nonsense")])
    d.get("/api/none", [("Cache-Control", "only-if-cached")])
    n = assert_sound(d, origin)
    assert settled(n) == origin.count()
    assert (n["stale_hits"] >= 1, n["refreshes"] >= 1, n["revalidated"], n["passed"], n["own"], n["client_errors"],
            n["unavailable"]) == (True, True, 1, 1, 2, 2, 1)


def test_a_shared_304_is_revalidated_and_collapsed(weir, origin, clock):
    origin.handler = validating
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    clock.advance(60)
    go = threading.Event()

    def held(request, conn):
        conn.wait(go)
        validating(request, conn)
    origin.handler = held
    clients = [d.connect() for _ in range(3)]
    for client in clients:
        client.start("GET", "/api/x")
    until(lambda: figures(d)["requests"] == 4, "all have asked")
    origin.wait_requests(2)
    go.set()
    assert {client.read_response().body for client in clients} == {b"body"}
    n = assert_sound(d, origin)
    assert (n["revalidated"], n["collapsed"], n["misses"], n["hits"]) == (3, 2, 1, 0) and settled(n) == origin.count()
    for client in clients:
        client.close()


def test_what_never_reached_the_api_is_no_attempt(daemons, origins):
    dead = origins(start=False)
    d = daemons(upstream(dead, retry=retry(attempts=3))).start()
    assert d.get("/api/x").status == 502
    n = assert_sound(d, dead)
    assert (n["failed"], n["upstream_unsent"], n["upstream_failures"], n["upstream_attempts"]) == (1, 3, 0, 0)
    shown = d.ctl("status").stdout
    assert "0 attempts" in shown and "3 never sent" in shown


def test_what_stale_covers_for_is_told_apart(weir, origin, clock):
    origin.script(answer(200, b"old", [("Cache-Control", "max-age=10")]), answer(500))
    d = weir(stale_if_error="1d", retry=retry(attempts=1))
    d.get("/api/x")
    d.wait_stored()
    clock.advance(60)
    assert d.get("/api/x").body == b"old"
    n = assert_sound(d, origin)
    assert (n["misses"], n["stale_hits"], n["covered"], n["upstream_failures"]) == (1, 1, 1, 1)


def test_a_renewed_credential_is_a_second_request_and_reported(weir, origin, clock):
    origin.handler = lambda request, conn: conn.answer(
        200 if request.fields.get("Authorization") == valid[0] else 401, b"answer")
    valid = ["Bearer 1"]
    d = weir(auth={"header": "Authorization", "command": 'echo x >> runs; printf "Bearer "; wc -l < runs'}, ttl="1h")
    d.get("/api/first")
    valid[0] = "Bearer 2"
    clock.advance(3600)
    assert d.get("/api/x").status == 200 and origin.count() == 3
    line = d.access(2)[-1]
    assert line["attempts"] == 2 and [t["outcome"] for t in line["tries"]] == ["401", "200"]
    n = assert_sound(d, origin)
    assert (n["misses"], n["renewals"]) == (2, 1) and settled(n) == 3


# -- the client in the log -------------------------------------------------------------

@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_hits_and_refusals_name_the_client(weir, origin, place, way):
    path = str(place / "data.sock")
    origin.reply(body=b"x", fields=FRESH)
    d = weir(settings={"listen": ["127.0.0.1:0", "unix:" + path]})
    d.get("/api/x")
    d.wait_stored()
    with Client(d.address if way == "tcp" else path) as client:
        for _ in range(8):
            assert client.get("/api/x").cache.hit                # the later ones with a reply that was ready
        assert client.get("/nowhere").status == 404
    lines = d.access(10)[1:]
    assert [line["status"] for line in lines] == [200] * 8 + [404]
    assert {line["client"].split(" ")[0] for line in lines} == {ME}, lines
    if way == "tcp" and TRICKS:
        assert d.counter("hits_repeated") > 0


def test_a_client_that_names_itself_is_that_on_hits(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    with d.connect() as client:
        for _ in range(4):
            client.get("/api/x", [("Weir-Client", "nightly")])
            client.get("/api/x")
    names = [line["client"] for line in d.access(9)[1:]]
    assert names[::2] == ["nightly"] * 4 and all(name.startswith(ME) for name in names[1::2])


@pytest.mark.parametrize("head", [
    "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    pytest.param("GET / HTTP/9.9\r\n\r\n", marks=pytest.mark.mhd_trick("INTAKE", "libmicrohttpd refuses it in its own words, unlogged"))])
def test_what_the_front_refuses_names_the_client(weir, head):
    d = weir(settings={"proxy": {"listen": "127.0.0.1:0"}})
    with Client(d.proxy_address) as client:
        client.send(head.encode())
        assert client.read_response("GET").status >= 400
    assert d.access(1)[0]["client"].startswith(ME)
    n = json.loads(d.ctl("status", "--json").stdout)["counters"]
    assert n["requests"] == n["client_errors"] == 1
