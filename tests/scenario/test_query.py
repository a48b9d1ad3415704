"""The query socket: anybody on this machine may read there what concerns them, and change nothing."""
import http.client
import json
import os
import stat
import subprocess

import pytest

from harness.client import Client
from harness.daemon import environment
from harness.settings import upstream
from harness.wait import WEIRCTL, seconds, until

READS = ["/status", "/limits", "/upstreams", "/ca", "/metrics"]
CHANGES = ["/limits/forget", "/limits/set", "/flush", "/purge", "/reload", "/compact", "/reopen", "/ca/rotate"]


def query(d):
    return os.path.join(os.path.dirname(d.admin_path), "query.sock")


def ask(d, method, path, body=None):
    with Client(query(d)) as client:
        return client.request(method, path, [("Host", "localhost")], body=body)


def test_it_stands_beside_the_admin_socket_for_everybody(weir):
    d = weir()
    assert stat.S_IMODE(os.stat(query(d)).st_mode) == 0o666 and stat.S_IMODE(os.stat(d.admin_path).st_mode) == 0o600
    d.stop()
    assert not os.path.exists(query(d))


@pytest.mark.parametrize("path", READS)
def test_what_reads_is_answered(weir, path):
    assert ask(weir(), "GET", path).status == 200


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
def test_what_changes_is_refused(weir, origin, path, method):
    origin.reply(fields=[("Cache-Control", "max-age=60")])
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    r = ask(d, method, path, body=b'{"url": "**"}' if method != "GET" else None)
    assert r.status == 403 and "admin.group" in json.loads(r.body)["detail"]
    assert d.get("/api/x").cache.hit


def test_no_api_is_reached_through_it(weir, origin):
    d = weir()
    assert ask(d, "GET", "/api/x").status == 404
    assert ask(d, "GET", origin.url + "/x").status == 404 and origin.count() == 0


def test_only_upstreams_that_access_lets_one_use_are_told_of(daemons, origin):
    d = daemons(upstream(origin, name="mine", access=[f"user:{os.geteuid()}"], limits=["10/min"]), upstream(origin, name="all"),
                upstream(origin, name="theirs", access=["user:4294967294"], limits=["10/min"])).start()
    assert {u["name"] for u in json.loads(ask(d, "GET", "/status").body)["upstreams"]} == {"mine", "all"}
    assert {u["name"] for u in json.loads(ask(d, "GET", "/upstreams").body)["upstreams"]} == {"mine", "all"}
    assert {row["upstream"] for row in json.loads(ask(d, "GET", "/limits").body)["limits"]} == {"mine"}
    assert len(d.status()["upstreams"]) == 3


def test_nor_is_it_told_how_many_use_the_others(daemons, origin):
    d = daemons(upstream(origin, name="theirs", access=["127.0.0.2"], limits=[{"rate": "9/min", "per": "credential"}])).start()
    for i in range(40):
        other = http.client.HTTPConnection(*d.address, timeout=seconds(10), source_address=("127.0.0.2", 0))
        other.request("GET", "/theirs/x", headers={"Authorization": f"Bearer {i}"})
        assert other.getresponse().status == 200
        other.close()
    assert d.ctl_json("limits")["more"] == [{"upstream": "theirs", "buckets": 20}], "whoever may change sees all"
    assert json.loads(ask(d, "GET", "/limits").body) == {"limits": [], "more": []}



def test_who_waits_is_not_told(weir, origin):
    d = weir(limits=["1/h"], queue={"max_wait": "1d"})
    assert d.get("/api/1").status == 200
    with d.connect() as client:
        client.start("GET", "/api/2", [("Weir-Client", "secret project")])
        by_admin = until(lambda: (row := json.loads(d.ctl("limits", "--json").stdout)["limits"][0])["waiting"] and row, "it waits")
        asked = ask(d, "GET", "/limits")
        assert by_admin["clients"][0]["client"] == "secret project"
        assert json.loads(asked.body)["limits"][0]["waiting"] == 1 and b"secret" not in asked.body


@pytest.mark.parametrize("setting, path", [("", None), ("elsewhere", "elsewhere")])
def test_it_may_stand_elsewhere_or_nowhere(weir, place, setting, path):
    there = str(place / path) if path else None
    d = weir(settings={"admin": {"query": there or ""}})
    assert not os.path.exists(query(d))
    if there:
        with Client(there) as client:
            assert client.get("/status", [("Host", "localhost")]).status == 200


def weirctl(d, runtime, *arguments):
    return subprocess.run([WEIRCTL, *arguments], env={**environment(d.directory), "XDG_RUNTIME_DIR": runtime}, text=True,
                          capture_output=True, timeout=seconds(20), check=False, stdin=subprocess.DEVNULL)


def test_weirctl_reads_there_where_the_admin_socket_is_not_for_it(weir, place):
    (place / "weir").mkdir(mode=0o700, exist_ok=True)
    runtime = place / "runtime"
    (runtime / "weir").mkdir(parents=True, mode=0o700)
    d = weir(settings={"admin": {"query": str(runtime / "weir" / "query.sock")}, "proxy": {"listen": "127.0.0.1:0"}})
    for command in (["status"], ["limits"], ["ca"], ["env"], ["run", "--", "true"]):
        result = weirctl(d, runtime, *command)
        assert result.returncode == 0, result
    refused = weirctl(d, runtime, "flush")
    assert refused.returncode == 1 and "no weir answers" in refused.stderr


def test_weirctl_reads_beside_the_socket_that_it_is_told_of_and_may_not_use(weir):
    d = weir(settings={"proxy": {"listen": "127.0.0.1:0"}})
    os.chmod(d.admin_path, 0)
    plain = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []

    def told(*arguments):
        return subprocess.run([*plain, WEIRCTL, "--socket", d.admin_path, *arguments], env=environment(d.directory), text=True,
                              capture_output=True, timeout=seconds(20), check=False, stdin=subprocess.DEVNULL)

    for command in (["status"], ["limits"], ["ca"], ["env"]):
        result = told(*command)
        assert result.returncode == 0, result
    refused = told("flush")
    assert refused.returncode == 1 and f"{d.admin_path} is not for you: Permission denied" in refused.stderr, refused
    gone = told("--socket", d.admin_path + "x", "status")
    assert gone.returncode == 1 and "no weir answers" in gone.stderr, gone


@pytest.mark.parametrize("head, body, status", [
    (b"Transfer-Encoding: gzip", b"", 400),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"0\r\n\r\n", 400),
    pytest.param(b"Content-Length: +3", b"abc", 400, marks=pytest.mark.mhd_trick("INTAKE", "libmicrohttpd refuses it in HTML")),
    (b"Content-Length: 2000000", b"a" * 1100000, 413),
], ids=["unknown-coding", "both", "no-number", "too-large"])
@pytest.mark.parametrize("which", ["admin", "query"])
def test_a_body_that_cannot_be_read_is_refused_at_once(weir, which, head, body, status):
    d = weir()
    with Client(d.admin_path if which == "admin" else query(d)) as client:
        client.send(b"POST /purge HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n" + body)
        response = client.read_response("POST")
    assert response.status == status and json.loads(response.body)["status"] == status
