"""weirctl run with a mode of its own: the program is held to it by a token, and nothing that bears one ever goes live."""
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from harness.client import Client
from harness.daemon import environment
from harness.settings import upstream
from harness.tls import TlsClient, connect, trust
from harness.wait import WEIRCTL, seconds, until

FRESH = [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain")]
ASK = """
import os, sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            print(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.code)
    except urllib.error.URLError as error:
        print(error.reason)
"""


@pytest.fixture
def d(weir):
    return weir(settings={"proxy": {"listen": "127.0.0.1:0"}}, aliases=["api.test"])


def run(d, *arguments, **env):
    return subprocess.run([WEIRCTL, "--socket", d.admin_path, "run", *map(str, arguments)], env=environment(d.directory, **env),
                          cwd=d.directory, text=True, capture_output=True, timeout=seconds(40), check=False,
                          stdin=subprocess.DEVNULL)


def asking(d, *urls, options=("--offline",), **env):
    return run(d, *options, "--", sys.executable, "-c", ASK, *urls, **env)


@contextlib.contextmanager
def begun(d, socket=None, mode="offline", **more):
    """A run that this test holds itself: the connection, and the field that its token makes."""
    with Client(socket or d.admin_path) as client:
        body = json.dumps({"mode": mode, **more}).encode()
        client.send(client.head("POST", "/run", [("Content-Length", str(len(body)))], version="HTTP/1.0") + body)
        with client.sock.makefile() as lines:
            head = iter(lines.readline, "\n")
            assert next(head).split()[1] == "200", list(head)
            list(head)
            token = json.loads(lines.readline())["token"]
        yield [("Proxy-Authorization", "Basic " + base64.b64encode(f"{token}:x".encode()).decode())], token


def problem(response):
    assert response.fields.get("Content-Type") == "application/problem+json", response
    return json.loads(response.body)["type"].rpartition(":")[2]


def through(d, fields, target="http://api.test/x", method="GET", body=None):
    with Client(d.proxy_address) as client:
        return client.request(method, target, [("Host", "api.test"), *fields], body=body)


def test_offline_for_one_program_alone(d, origin):
    origin.reply(200, b"1", FRESH)
    ran = asking(d, "https://api.test/x", "http://api.test/x")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "504\n504\n", "") and origin.count() == 0
    assert through(d, []).body == b"1"                                 # anybody else's goes live
    d.wait_stored()
    ran = asking(d, "https://api.test/x", options=["--as", "nightly", "--offline"])
    assert ran.stdout == "200 1\n" and origin.count() == 1
    line = d.access(4)[-1]
    assert (line["client"], line["detail"]) == ("nightly", "offline")
    assert b"weir-run-" not in d.everything_written()                  # neither a log nor a file has a token


def test_its_end_is_the_programs(d, place):
    for command, status in ((["sh", "-c", "exit 7"], 7), (["true"], 0), (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
                            ([place / "absent"], 127), ([place], 126), (["sh", "-c", 'test "$1" = --json', "x", "--json"], 0)):
        ran = run(d, "--offline", "--", *command)
        assert ran.returncode == status, ran
    until(lambda: d.ctl("status").returncode == 0, "it goes on")


def test_signals_are_handed_on(d, place):
    script = f"trap 'echo told; exit 5' TERM; echo ready > {place}/ready; while :; do sleep 0.05; done"
    with subprocess.Popen([WEIRCTL, "--socket", d.admin_path, "run", "--offline", "--", "sh", "-c", script],
                          env=environment(d.directory), stdout=subprocess.PIPE, text=True) as ctl:
        until(lambda: (place / "ready").exists(), "the program runs")
        ctl.send_signal(signal.SIGTERM)
        assert ctl.communicate(timeout=seconds(20))[0] == "told\n" and ctl.returncode == 5


def test_a_token_that_is_over_goes_nowhere(d, origin):
    origin.reply(200, b"1", FRESH)
    context = trust(d.ca)
    with begun(d) as (fields, token):
        kept = TlsClient(d.proxy_address, "api.test:443", context, fields=fields)
        assert kept.get("/x").status == through(d, fields).status == 504
    with kept:                                                         # weirctl is gone, its tunnel is open still
        until(lambda: through(d, fields).status == 403, "the run is over")
        assert problem(kept.get("/x")) == problem(through(d, fields)) == "run-over"
    with Client(d.proxy_address) as client:
        assert problem(client.request("CONNECT", "api.test:443", fields)) == "run-over"
    for user in ("weir-run-", "weir-run-x", token[:-1], token + "x", token.upper().replace("WEIR-RUN", "weir-run")):
        made_up = [("Proxy-Authorization", "Basic " + base64.b64encode(f"{user}:x".encode()).decode())]
        assert problem(through(d, made_up)) == "run-over", user
    assert origin.count() == 0
    ended = d.admin("POST", "/run/end", json.dumps({"token": token}).encode())
    assert problem(ended) == "run-over"


def test_a_weir_that_was_restarted_knows_no_token(d, origin):
    origin.reply(200, b"1", FRESH)
    script = f"{ASK}\nimport time\nprint(flush=True)\nsys.stdin.readline()\nfor url in sys.argv[1:]:\n" \
             "    try: urllib.request.urlopen(url)\n    except urllib.error.HTTPError as e: print(e.code, b'run-over' in e.read())\n"
    port = d.proxy_address[1]
    d.stop()
    d.settings["proxy"]["listen"] = f"127.0.0.1:{port}"                # the program keeps the address that it has
    d.write([upstream(origin, aliases=["api.test"])])
    d.start()
    with subprocess.Popen([WEIRCTL, "--socket", d.admin_path, "run", "--offline", "--",
                           sys.executable, "-c", script, "http://api.test/x"], env=environment(d.directory), text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ctl:
        assert ctl.stdout.readline() == "504\n" and ctl.stdout.readline() == "\n"
        d.restart()
        out, err = ctl.communicate("go on\n", timeout=seconds(40))
    assert out == "403 True\n" and ctl.returncode == 3 and "weir ended while the program ran" in err
    assert origin.count() == 0


def test_what_comes_past_the_proxy_is_counted_and_said(d, origin):
    origin.reply(200, b"1", FRESH)
    for _ in range(3):                                                 # so often that its reply is kept ready
        d.get("/api/x")
        d.wait_stored()
    ran = asking(d, f"{d.url}/api/x", f"{d.url}/api/x", "https://api.test/x", f"{d.url}/.weir/health", NO_PROXY="api.test")
    assert ran.returncode == 3 and ran.stdout.startswith("200 1\n200 1\n"), ran
    assert "weirctl: 2 requests of yours came past the proxy meanwhile, and were not held to offline" in ran.stderr
    ran = run(d, "--offline", "--", "sh", "-c", "exit 7")
    assert ran.returncode == 7 and ran.stderr == ""


def test_several_at_once_are_each_held_to_their_own(d, origin):
    origin.reply(200, b"1", [])
    with begun(d) as (one, token), begun(d, d.admin_path.replace("admin.sock", "query.sock"), **{"as": "two"}) as (two, _):
        assert through(d, one).status == through(d, two).status == 504
        told = d.admin("POST", "/run/end", json.dumps({"token": token}).encode())
        assert json.loads(told.body) == {"requests": 1, "refused": 0, "astray": 0}
        assert problem(through(d, one)) == "run-over" and through(d, two).status == 504
        assert through(d, []).status == 200
    assert [line.get("client") for line in d.access(5)].count("two") == 2


def test_no_tunnel_leads_around_it(daemons, origin):
    d = daemons(upstream(origin, aliases=["api.test"]), settings={"proxy": {"listen": "127.0.0.1:0", "tunnel": "allow",
                                                                            "tunnel_private": ["127.0.0.1"]}}).start()
    ran = asking(d, "https://elsewhere.test/x")
    assert "403" in ran.stdout and "1 connection to hosts of no upstream was refused" in ran.stderr and ran.returncode == 0
    with begun(d) as (fields, _), Client(d.proxy_address) as client:
        assert problem(client.request("CONNECT", origin.authority, fields)) == "run-unseen"
    assert origin.count() == 0 and b"weir-run-" not in d.everything_written()


def test_an_item_of_a_batch_is_held_with_the_batch(d, origin):
    with begun(d) as (fields, _):
        answer = d.request("POST", "/.weir/batch", [*fields, ("Content-Type", "application/json")], body=b'["/api/x", "/api/y"]')
    assert answer.status == 200 and origin.count() == 0, answer
    assert answer.body.count(b'"status":504,"error"') == 2


@pytest.mark.parametrize("arguments, says", [
    (["--offline", "--dry-run", "--", "true"], "a program has one mode"),
    (["--dry-run=reads", "--", "true"], "--dry-run=writes of what may change something"),
    (["--offline"], "lacks an argument"),
])
def test_wrong_use(d, arguments, says):
    ran = run(d, *arguments)
    assert ran.returncode == 2 and says in ran.stderr and "usage: " in ran.stderr


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"mode": "live"}', b'{"mode": "read_only"}', b'{"mode": "replay"}',
                                  b'{"mode": "offline", "as": ""}', json.dumps({"mode": "offline", "as": "x" * 128}).encode()])
def test_a_run_that_is_none(d, body):
    assert problem(d.admin("POST", "/run", body)) == "not-understood"


def test_nobody_answers(place):
    ran = subprocess.run([WEIRCTL, "--socket", place / "absent.sock", "run", "--offline", "--", "true"], text=True,
                         capture_output=True, timeout=seconds(20), check=False)
    assert ran.returncode == 125 and "no weir answers" in ran.stderr


def test_a_dry_run_sends_nothing_that_writes_and_leaves_others_alone(d, origin):
    origin.reply(201, b"made", [])
    post = "import sys, urllib.request\nr = urllib.request.urlopen(urllib.request.Request('https://api.test/x', b'a', method='POST'))\n" \
           "print(r.status, r.headers['Weir-Dry-Run'])\n"
    for option in ("--dry-run", "--dry-run=writes"):
        ran = run(d, option, "--", sys.executable, "-c", post)
        assert ran.returncode == 0 and ran.stdout.startswith("200 would-send"), ran
    assert origin.count() == 0
    assert asking(d, "http://api.test/y", options=["--dry-run=writes"]).stdout == "201 made\n"
    assert asking(d, "http://api.test/y", options=["--dry-run"]).stdout.startswith("200")
    assert origin.count() == 1                                         # what only reads, and may
    assert d.request("POST", "/api/x", body=b"a").status == 201        # nobody else's


def test_what_is_asked_of_it_for_later_is_answered_at_once(d, origin):
    with begun(d, mode="dry_run_writes") as (fields, _):
        answer = through(d, [*fields, ("Weir-Async", "1")], method="POST", body=b"a")
        assert answer.status == 200 and "would-send" in answer.fields.get("Weir-Dry-Run"), answer
        several = d.request("POST", "/.weir/batch", [*fields, ("Content-Type", "application/json"), ("Prefer", "respond-async")],
                            body=b'[{"method": "POST", "url": "/api/x", "body": "a"}]')
        assert several.status != 202, several
    assert origin.count() == 0
