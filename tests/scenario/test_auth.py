"""The credential that Weir adds (setting auth): on which requests, from where, and that nobody sees it."""
import threading

import pytest

from harness.client import Client
from harness.daemon import run
from harness.settings import upstream
from harness.wait import WEIR, seconds, until

SECRET = "s3cret-Value/42"
ALL = ["GET", "HEAD", "POST", "PUT"]


@pytest.fixture
def token(place):
    path = place / "token"
    path.write_text(f"Bearer {SECRET}\n")
    return path


@pytest.fixture
def with_token(weir, token):
    def start(settings=None, auth=None, **of_upstream):
        return weir(settings=settings, auth={"header": "Authorization", "value_file": str(token), **(auth or {})}, **of_upstream)
    return start


@pytest.mark.parametrize("methods, has_it", [(None, ["GET", "HEAD"]), (ALL, ALL)])
def test_it_is_put_on_the_methods_that_are_named(with_token, origin, methods, has_it):
    d = with_token(auth={"methods": methods} if methods else None)
    for method in ALL:
        d.request(method, f"/api/{method}", body=b"x" if method[0] == "P" else None)
    assert [r.method for r in origin.requests if r.fields.get("Authorization") == f"Bearer {SECRET}"] == has_it
    assert [r.method for r in origin.requests if "Authorization" not in r.fields] == [m for m in ALL if m not in has_it]


def test_a_client_that_brings_one_keeps_it(with_token, origin):
    d = with_token(ttl="1h")
    d.get("/api/x")
    d.wait_stored()
    d.get("/api/x", [("Authorization", "Bearer mine")])
    assert origin.last.fields.all("Authorization") == ["Bearer mine"] and origin.count() == 2


def test_clients_without_one_share_what_it_fetched(with_token, origin):
    """The partition is the upstream's name: a new value, another client, and the entry is still there."""
    d = with_token(ttl="1h")
    d.get("/api/x")
    d.wait_stored()
    assert d.get("/api/x").cache.hit
    assert d.get("/api/x", [("Cookie", "a=1")]).cache.fwd == "uri-miss"          # other credentials count beside it
    assert d.request("PURGE", "/api/x").status == 200
    assert d.get("/api/x").cache.fwd == "uri-miss"


def test_vary_on_it_selects(with_token, origin):
    origin.reply(200, b"x", [("Vary", "Authorization, X-Other"), ("Cache-Control", "max-age=60")])
    d = with_token()
    d.get("/api/x")
    d.wait_stored()
    assert d.get("/api/x").cache.hit


@pytest.mark.parametrize("target, sent", [("/x", "/x?key={}"), ("/x?", "/x?key={}"), ("/x?a=1&", "/x?a=1&key={}"), ("/x?a=%23&b", "/x?a=%23&b&key={}"),
                                          ("/x?key=mine", "/x?key=mine"), ("/x?k%65y=mine", "/x?k%65y=mine")])
def test_it_may_be_a_parameter(with_token, origin, token, target, sent):
    token.write_text(SECRET)
    d = with_token(auth={"header": None, "param": "key"})
    d.get("/api" + target)
    assert origin.last.target == sent.format("s3cret-Value%2F42") and "Authorization" not in origin.last.fields


@pytest.mark.parametrize("name", ["X-Tenant-Token", "X-Api-Key"])
def test_any_field_may_carry_it(with_token, origin, name):
    """What auth sets is a credential where a client brings it, too: hashed, and never logged."""
    d = with_token(auth={"header": name}, ttl="1h")
    d.get("/api/x")
    d.wait_stored()
    assert origin.last.fields.get(name) == f"Bearer {SECRET}"
    assert d.get("/api/x", [(name, "mine")]).cache.fwd == "uri-miss"


def test_what_the_api_repeats_is_not_passed_on(with_token, origin, token):
    token.write_text(SECRET)
    encoded = "s3cret-Value%2F42"
    origin.reply(200, b"x", [("Link", f"<{origin.url}/x?key={encoded}&page=2>; rel=next, <{origin.url}/x?page=9&key={encoded}>; rel=last"),
                             ("X-Echo", f"you said {SECRET}!"), ("Content-Location", f"/x?key={encoded}"), ("Cache-Control", "max-age=60")])
    d = with_token(auth={"header": None, "param": "key"})
    for _ in range(2):
        response = d.get("/api/x")
        assert response.fields.get("Link") == f"<{d.url}/api/x?page=2>; rel=next, <{d.url}/api/x?page=9>; rel=last"
        assert response.fields.get("Content-Location") == "/api/x" and response.fields.get("X-Echo") == "you said ***!"
        d.wait_stored()
    d.access(2)
    d.stop()
    assert SECRET.encode() not in d.everything_written() and encoded.encode() not in d.everything_written()


def test_it_stands_nowhere(with_token, origin, token):
    d = with_token(settings={"log": {"level": "debug"}}, ttl="1h")
    assert d.get("/api/x").status == 200
    d.wait_stored()
    origin.stop()
    assert d.get("/api/y").status == 502
    dumped = run([WEIR, "-c", d.config, "--dump-config"], d.directory).stdout
    shown = dumped + d.admin("GET", "/status").text + d.admin("GET", "/limits").text
    d.access(2)
    d.stop()
    assert SECRET not in shown and SECRET.encode() not in d.everything_written()


@pytest.mark.parametrize("source", ["env", "credential"])
def test_other_places_of_it(daemons, origin, place, monkeypatch, source):
    monkeypatch.setenv("WEIR_TEST_TOKEN", f"Bearer {SECRET}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))
    (place / "api").write_text(f" Bearer {SECRET}\r\n\n")
    where = {"env": "env:WEIR_TEST_TOKEN", "credential": "credential:api"}[source]
    d = daemons(upstream(origin, auth={"header": "Authorization", "value_file": where})).start()
    d.get("/api/x")
    assert origin.last.fields.get("Authorization") == f"Bearer {SECRET}"


@pytest.mark.parametrize("source, says, checked", [
    ("/nonexistent/token", '"/nonexistent/token" is not there', 1),
    ("env:WEIR_TEST_NOTHING", "WEIR_TEST_NOTHING is not set", 0), ("credential:api", "LoadCredential=api", 0)])
def test_it_has_to_be_there_at_the_start(daemons, origin, source, says, checked):
    d = daemons(upstream(origin, auth={"header": "Authorization", "value_file": source}))
    d.expected_exit = 1
    d.spawn()
    assert d.wait_exit() == 1 and "upstreams.api.auth.value_file" in d.stderr and says in d.stderr
    # Anybody may check a file: what only the daemon has is no error there.
    assert run([WEIR, "-c", d.config, "--check"], d.directory).returncode == checked


@pytest.mark.parametrize("text, says", [("", "is empty"), ("one\ntwo", "more than one line"), ("x" * 20000, "longer than 16 KiB")])
def test_a_reload_reads_it_again_or_keeps_what_was(with_token, origin, token, text, says):
    d = with_token()
    token.write_text(text)
    refused = d.ctl("reload")
    assert refused.returncode != 0 and says in refused.stderr + refused.stdout
    d.get("/api/x")
    assert origin.last.fields.get("Authorization") == f"Bearer {SECRET}"
    token.write_text("Bearer another")
    assert d.ctl("reload").returncode == 0
    d.wait_line(" reloaded ")
    until(lambda: d.get("/api/x") and origin.last.fields.get("Authorization") == "Bearer another", "the new value")


# -- a command ------------------------------------------------------------------

COUNTING = 'echo x >> runs; printf "Bearer token-"; wc -l < runs'


@pytest.fixture
def with_command(weir):
    def start(command, auth=None, **of_upstream):
        return weir(auth={"header": "Authorization", "command": command, **(auth or {})}, **of_upstream)
    return start


def tokens(origin):
    return [r.fields.get("Authorization") for r in origin.requests]


def test_command_runs_once(with_command, origin):
    d = with_command(COUNTING)
    for n in range(5):
        assert d.get(f"/api/{n}").status == 200
    assert tokens(origin) == ["Bearer token-1"] * 5


def test_command_runs_again_after_a_401(with_command, origin, clock):
    valid = ["Bearer token-1"]

    def handler(request, conn):
        conn.answer(200 if request.fields.get("Authorization") == valid[0] else 401, b"x")
    origin.handler = handler
    d = with_command(COUNTING)
    assert d.get("/api/a").status == 200
    valid[0] = "Bearer token-2"
    clock.advance(3600)
    assert d.get("/api/b").status == 200
    assert d.get("/api/c").status == 200
    assert tokens(origin) == ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-2"]


def test_an_api_that_refuses_every_token_is_not_asked_for_ever(with_command, origin, clock):
    origin.reply(401, b"no", [("WWW-Authenticate", "Bearer")])
    d = with_command(COUNTING)
    for n in range(3):
        assert d.get(f"/api/{n}").status == 401
    assert tokens(origin) == ["Bearer token-1"], "it is held after the first"
    clock.advance(61)
    assert d.get("/api/later").status == 401
    assert tokens(origin)[1:] == ["Bearer token-1", "Bearer token-2"]


def test_a_401_of_a_clients_own_token_is_the_clients(with_command, origin):
    origin.reply(401, b"no")
    assert with_command(COUNTING).get("/api/x", [("Authorization", "Bearer mine")]).status == 401
    assert tokens(origin) == ["Bearer mine"]


def test_nobody_else_waits_for_a_command(with_command, origin):
    """One worker, a command that does not end: those that need nothing of it are served; those that do, all get the one value."""
    d = with_command("while [ ! -e go ]; do sleep 0.02; done; " + COUNTING, auth={"methods": ALL})
    waiting = [d.connect() for _ in range(6)]
    body = b"b" * 3_000_000
    for client in waiting[:5]:
        client.start("GET", f"/api/{client.sock.getsockname()[1]}")
    sender = threading.Thread(target=lambda: waiting[5].start("POST", "/api/upload", body=body))
    sender.start()
    for _ in range(4):
        assert d.get("/api/mine", [("Authorization", "Bearer mine")]).status == 200
    assert waiting[0].silent_for(0.1)
    (d.directory / "go").write_text("")
    assert [client.read_response().status for client in waiting] == [200] * 6
    sender.join(seconds(10))
    assert sorted(tokens(origin)) == ["Bearer mine"] * 4 + ["Bearer token-1"] * 6
    assert next(r for r in origin.requests if r.method == "POST").body == body


def test_a_client_that_leaves_while_the_command_runs(with_command, origin):
    d = with_command("while [ ! -e go ]; do sleep 0.02; done; " + COUNTING)
    for end in (Client.close, Client.reset):
        with d.connect() as client:
            client.start("GET", "/api/x")
            client.silent_for(0.05)
            end(client)
    (d.directory / "go").write_text("")
    assert d.get("/api/y").status == 200 and tokens(origin)[-1] == "Bearer token-1"


@pytest.mark.parametrize("command, says", [("echo oops >&2; exit 3", "ended with status 3"), ("true", "is empty"), ("kill -9 $$", "was killed"),
                                           ("printf 'a\\nb'", "more than one line")])
def test_a_command_that_fails(with_command, origin, command, says, clock):
    d = with_command(f"echo x >> runs; {command}")
    for _ in range(3):
        response = d.get("/api/x")
        assert response.status == 502 and says in response.text and "Retry-After" in response.fields
    assert (d.directory / "runs").read_text() == "x\n" and origin.requests == []
    clock.advance(60)
    assert d.get("/api/x").status == 502
    assert (d.directory / "runs").read_text() == "x\nx\n"


def test_connections_that_end_while_a_command_starts(with_command, clock):
    """Until it executes, the new process holds copies of their sockets: nothing may come of those any more."""
    d = with_command("false")
    for _ in range(30):
        clock.advance(60)                       # it is run again
        clients = [d.connect() for _ in range(4)]
        for client in clients:
            assert client.get("/.weir/health").status == 200
        with d.connect() as asking:
            asking.start("GET", "/api/x")
            for client in clients:
                client.close()
            assert asking.read_response().status == 502


def test_stale_covers_for_a_command_that_fails(with_command, origin, clock):
    d = with_command("[ ! -e gone ] && echo Bearer x", ttl="1m", stale_if_error="1d")
    d.get("/api/x")
    d.wait_stored()
    (d.directory / "gone").write_text("")
    assert d.ctl("reload").returncode == 0
    d.wait_line(" reloaded ")
    clock.advance(300)
    response = d.get("/api/x")
    assert response.status == 200 and response.cache.detail == "stale-if-error" and origin.count() == 1


def test_a_running_command_does_not_outlive_the_daemon(with_command, origin):
    d = with_command("echo $$ > pid; exec sleep 600")
    with d.connect() as client:
        client.start("GET", "/api/x")
        until(lambda: (d.directory / "pid").exists() and (d.directory / "pid").read_text().strip(), "the command to run")
        pid = (d.directory / "pid").read_text().strip()
    d.stop()
    until(lambda: not alive(pid), "the command to end")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
