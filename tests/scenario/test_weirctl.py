"""weirctl: status, limits, purge, flush, compact, reload, each with --json (item 7)."""
import json
import os

import pytest

from harness.daemon import find_key, run
from harness.origin import answer
from harness.queueing import enqueue
from harness.wait import WEIRCTL, until

FRESH = [("Cache-Control", "max-age=3600")]


@pytest.fixture
def filled(weir, origin):
    """A daemon with /a/1 /a/2?q=1 /a/2?q=2 /a/b/3 /c in store."""
    def start(**settings):
        origin.reply(body=b"x", fields=FRESH)
        d = weir(**settings)
        for target in STORED:
            d.get("/api" + target)
        d.wait_stored(len(STORED))
        return d
    return start


STORED = ["/a/1", "/a/2?q=1", "/a/2?q=2", "/a/b/3", "/c"]


def left(d, origin):
    """Which of STORED are still hits; asks with only-if-cached, so nothing is fetched."""
    return [t for t in STORED if d.get("/api" + t, [("Cache-Control", "only-if-cached")]).status == 200]


def test_status(filled):
    d = filled()
    d.get("/api/c")
    until(lambda: d.counter("hits") == 1, "the hit to be counted")
    status = d.ctl_json("status")
    for name, value in (("requests", 6), ("misses", 5), ("hits", 1), ("stored", 5), ("upstream_attempts", 5), ("upstream_retries", 0),
                        ("collapsed", 0)):
        assert find_key(status, name) == value, name
    plain = d.ctl("status")
    assert plain.returncode == 0 and "api" in plain.stdout and plain.stderr == ""


def test_limits(weir, origin):
    d = weir(limits=["60/min", {"rate": "10/h", "name": "hourly"}])
    for i in range(3):
        d.get(f"/api/{i}")
    text = json.dumps(d.ctl_json("limits"))
    assert "60/min" in text and "hourly" in text and '"left": 57' in text and '"left": 7' in text
    plain = d.ctl("limits")
    assert plain.returncode == 0 and "60/min" in plain.stdout and "hourly" in plain.stdout and "57" in plain.stdout


def test_limits_say_what_the_api_said_and_who_waits(weir, origin):
    origin.script(answer(200, b"x", [("X-RateLimit-Limit", "50"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "3000"),
                                     ("X-RateLimit-Resource", "core")]))
    d = weir(limits=["60/h", {"rate": "90/h", "per": "credential", "name": "each"}], queue={"max_wait": "2h"})
    d.get("/api/v1/first", [("Authorization", "ann")])
    clients = enqueue(d, ["/api/v1/a", "/api/v1/b", "/api/v1/c"], lambda t: [("Authorization", "ann"), ("Weir-Client", "ci"),
                                                                  ("Weir-Priority", "batch" if t == "/api/v1/c" else "interactive")])
    told, each, shared = (next(b for b in d.ctl_json("limits")["limits"] if b["limit"] == name) for name in ("core", "each", "60/h"))
    assert (told["left"], told["allowed"], told["learned_from"]) == (0, 50, "X-RateLimit-Remaining")
    assert 2900 < told["resets_in_s"] < 3010 and "credential" in told and "credential" in each and "credential" not in shared
    assert (each["kind"], each["left"], "learned_from" in each) == ("sliding", 89, False)
    for bucket in (told, each, shared):
        assert bucket["waiting"] == 3
        assert sorted((c["client"], c["priority"], c["waiting"]) for c in bucket["clients"]) == [
            ("ci", "batch", 1), ("ci", "interactive", 2)]
    plain = next(line for line in d.ctl("limits").stdout.splitlines() if " core " in line)
    assert "learned from X-RateLimit-Remaining" in plain and "3 waiting:" in plain and "ci (batch) 1" in plain
    assert {b["limit"] for b in d.status()["upstreams"][0]["limits"]} == {"core", "each", "60/h"}
    for client in clients:
        client.close()


def test_flush(filled, origin):
    d = filled()
    result = d.ctl_json("flush")
    assert find_key(result, "dropped") == 5
    assert left(d, origin) == []
    d.get("/api/c")
    d.wait_stored(6)
    assert left(d, origin) == ["/c"]


def test_flush_in_words(filled, origin):
    d = filled()
    result = d.ctl("flush")
    assert result.returncode == 0 and "5" in result.stdout and left(d, origin) == []


def test_compact_gives_disk_space_back(filled, origin):
    def disk():
        return os.stat(d.cache / "data.mdb").st_blocks * 512
    d = filled()
    origin.reply(body=b"x" * 60000, fields=FRESH)
    for i in range(40):
        d.get(f"/api/large/{i}")
    d.wait_stored(45)
    d.ctl("flush")
    before = disk()
    returned = d.ctl_json("compact")["returned_bytes"]
    assert returned > 40 * 60000 * 0.8 and disk() <= before - returned + 65536
    d.get("/api/c")
    d.wait_stored(46)
    assert d.get("/api/c").cache.hit and "returned" in d.ctl("compact").stdout


def test_flush_stays_after_a_restart(filled, origin):
    d = filled()
    d.ctl("flush")
    d.restart()
    assert left(d, origin) == []


@pytest.mark.parametrize("what, remain", [
    ("%s/a/1", ["/a/2?q=1", "/a/2?q=2", "/a/b/3", "/c"]),
    ("%s/a/2?q=1", ["/a/1", "/a/2?q=2", "/a/b/3", "/c"]),
    ("%s/a/*", ["/a/b/3", "/c"]),
    ("%s/a/**", ["/c"]),
    ("%s/**", []),
    ("%s/nothing", STORED),
    ("%s/{c,d}", ["/a/1", "/a/2?q=1", "/a/2?q=2", "/a/b/3"]),
], ids=["url", "url_with_query", "star", "star_star", "all", "nothing", "alternatives"])
def test_purge(filled, origin, what, remain):
    """What matches nothing is exit 1, and says so all the same."""
    d = filled()
    result = d.ctl("purge", what % origin.url, "--json")
    assert result.returncode == (1 if remain == STORED else 0)
    assert json.loads(result.stdout) == {"dropped": len(STORED) - len(remain)}
    assert left(d, origin) == remain


def test_purge_by_weirs_own_url(filled, origin):
    """The address a person has at hand is the one they asked Weir for."""
    d = filled()
    assert find_key(d.ctl_json("purge", d.url + "/api/c"), "dropped") == 1
    assert left(d, origin) == STORED[:4]


def test_purge_takes_every_partition(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(ttl="1h")
    for who in ("ann", "bob"):
        d.get("/api/x", [("Authorization", who)])
    d.wait_stored(2)
    assert find_key(d.ctl_json("purge", origin.url + "/x"), "dropped") == 2
    for who in ("ann", "bob"):
        assert not d.get("/api/x", [("Authorization", who)]).cache.hit


def test_purge_method_on_the_data_port(filled, origin):
    d = filled()
    response = d.request("PURGE", "/api/a/1")
    assert response.status in (200, 204)
    assert left(d, origin) == STORED[1:]
    assert all(r.method == "GET" for r in origin.requests)


def test_purge_method_drops_only_the_callers_own(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(ttl="1h")
    for who in ("ann", "bob"):
        d.get("/api/x", [("Authorization", who)])
    d.wait_stored(2)
    d.request("PURGE", "/api/x", [("Authorization", "ann")])
    assert d.get("/api/x", [("Authorization", "bob")]).cache.hit
    assert not d.get("/api/x", [("Authorization", "ann")]).cache.hit


def test_purge_of_a_large_body_frees_its_file(weir, origin):
    origin.reply(body=b"x" * 600_000, fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()

    def large():
        return [p for p in d.cache.rglob("*") if p.is_file() and p.stat().st_size == 600_000]
    assert large()
    d.ctl("purge", origin.url + "/x")
    until(lambda: not large(), "the body file to be unlinked")


def test_reload(filled):
    d = filled()
    result = d.ctl("reload")
    assert result.returncode == 0
    assert isinstance(d.ctl_json("reload"), dict)


@pytest.mark.parametrize("command", [["status"], ["limits"], ["flush"], ["purge", "http://x/y"], ["reload"]])
def test_no_daemon_is_one_clear_line(place, command):
    for extra in ([], ["--json"]):
        result = run([WEIRCTL, "--socket", place / "absent.sock", *command, *extra], place)
        assert result.returncode not in (0, 99, 66) and result.returncode > 0
        assert len(result.stderr.splitlines()) == 1 and "absent.sock" in result.stderr and result.stdout == ""


@pytest.mark.parametrize("arguments", [["nonsense"], [], ["purge"], ["status", "--nonsense"]])
def test_wrong_usage(place, arguments):
    result = run([WEIRCTL, *arguments], place)
    assert result.returncode not in (0, 99, 66) and result.returncode > 0 and result.stderr != ""


def test_help_and_version(place):
    result = run([WEIRCTL, "--help"], place)
    assert result.returncode == 0
    for word in ("status", "limits", "purge", "flush", "reload", "--json", "--socket"):
        assert word in result.stdout
    assert run([WEIRCTL, "--version"], place).returncode == 0


def test_admin_socket_is_the_owners_alone(weir):
    d = weir()
    assert os.stat(d.admin_path).st_mode & 0o777 == 0o600


def test_admin_paths_are_not_on_the_data_port(weir, origin):
    d = weir()
    for path in ("/status", "/flush", "/.weir/status", "/.weir/flush"):
        assert d.get(path).status in (403, 404)
    assert origin.requests == []


@pytest.mark.parametrize("request_line", ["GET /nowhere", "PUT /status", "GET /flush", "GET /purge", "BREW /status"])
def test_admin_refuses_what_it_does_not_know(filled, origin, request_line):
    d = filled()
    method, path = request_line.split()
    assert d.admin(method, path).status in (400, 404, 405, 501)
    assert left(d, origin) == STORED
