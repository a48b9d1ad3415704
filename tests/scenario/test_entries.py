"""weirctl ls, show and purge: on a daemon that runs, and on the cache of one that does not."""
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from harness.client import Client
from harness.daemon import environment, run
from harness.origin import answer
from harness.terminal import on_terminal
from harness.wait import SANITIZER, WEIR, WEIRCTL, seconds

FRESH = [("Cache-Control", "max-age=3600"), ("Content-Type", "application/json")]
RULES = [{"match": "/long/**", "ttl": "30d"}, {"match": "/short/**", "ttl": "1ms"}, {"match": "/ever/**", "ttl": "forever"}]


@pytest.fixture
def filled(weir, origin):
    """A daemon with /long/1 (100 bytes), /short/2 (20 bytes, stale), /c?q=1 (50 bytes) in store, and /c?q=1 of ann."""
    def start(**settings):
        d = weir(rules=RULES, **settings)
        for target, size, fields in (("/long/1", 100, []), ("/short/2", 20, []), ("/c?q=1", 50, []),
                                     ("/c?q=1", 50, [("Authorization", "Bearer of-ann-alone")])):
            origin.reply(body=b"x" * size, fields=FRESH)
            assert d.get("/api" + target, fields).status == 200
        return d
    return start


def below(origin, rows):
    """Their URLs without the origin's address."""
    return [row["url"].removeprefix(origin.url) for row in rows]


@pytest.fixture(params=["running", "stopped"])
def ask(request):
    """weirctl on a daemon that runs, or on the same one's cache after it has ended."""
    def ask(d, *arguments, **kwargs):
        if request.param == "running":
            return d.ctl(*arguments, **kwargs)
        d.stop()
        return run([WEIRCTL, *arguments, "-c", d.config], d.directory, **kwargs)
    ask.how = request.param
    return ask


def listed(result, status=0):
    assert result.returncode == status, (result.stdout, result.stderr)
    return json.loads(result.stdout)["entries"]


# -- ls ---------------------------------------------------------------------------

def test_ls_tells_everything_of_each(filled, origin, ask):
    d = filled()
    rows = {(row["url"].removeprefix(origin.url), row["whose"]): row for row in listed(ask(d, "ls", "--json"))}
    assert len(rows) == 4
    long = rows["/long/1", "shared"]
    assert {k: long[k] for k in ("method", "status", "type", "size", "state", "rule", "upstream")} == {
        "method": "GET", "status": 200, "type": "application/json", "size": 100, "state": "fresh", "rule": "/long/**",
        "upstream": "api"}
    assert 29 * 86400 < long["left_s"] <= 30 * 86400 and 0 <= long["age_s"] < 600
    short = rows["/short/2", "shared"]
    assert short["state"] == "stale" and short["left_s"] < 0
    assert rows["/c?q=1", "shared"]["rule"] is None
    (own,) = (whose for url, whose in rows if url == "/c?q=1" and whose != "shared")
    assert re.fullmatch("[0-9a-f]{10}", own)
    assert long["hits"] == (0 if ask.how == "running" else None)


@pytest.mark.parametrize("arguments, targets", [
    ([], {"/long/1", "/short/2", "/c?q=1"}),
    (["--stale"], {"/short/2"}),
    (["/api/long/**"], {"/long/1"}),
    (["/api/c?q=1"], {"/c?q=1"}),
    (["/api/c"], set()),
    (["--upstream", "api"], {"/long/1", "/short/2", "/c?q=1"}),
    (["--whose", "shared", "/api/c?q=1"], {"/c?q=1"}),
], ids=["all", "stale", "glob", "url", "another_url", "upstream", "whose"])
def test_ls_which(filled, origin, ask, arguments, targets):
    assert set(below(origin, listed(ask(filled(), "ls", "--json", *arguments)))) == targets


def test_ls_sorted(filled, origin):
    d = filled()
    for _ in range(3):
        d.get("/api/long/1")
    sizes = [row["size"] for row in listed(d.ctl("ls", "--json", "--sort", "size"))]
    assert sizes == [100, 50, 50, 20]
    ages = [row["age_s"] for row in listed(d.ctl("ls", "--json", "--sort", "age"))]
    assert ages == sorted(ages, reverse=True)
    left = [row["left_s"] for row in listed(d.ctl("ls", "--json", "--sort", "expires"))]
    assert left == sorted(left)
    hits = listed(d.ctl("ls", "--json", "--sort", "hits"))
    assert below(origin, hits)[0] == "/long/1" and hits[0]["hits"] == 3 and hits[1]["hits"] == 0


def test_ls_with_a_limit(filled, origin, ask):
    result = ask(filled(), "ls", "--json", "--sort", "size", "--limit", "2")
    told = json.loads(result.stdout)
    assert [row["size"] for row in told["entries"]] == [100, 50] and told["listed"] == 2 and told["more"] is True


def test_ls_in_words(filled, origin, ask):
    result = ask(filled(), "ls", "-l")
    assert result.returncode == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    line = next(line for line in lines if "/long/1" in line)
    assert line.startswith("200     100 B ") and line.endswith(f"api  /long/**  shared  application/json  GET  {origin.url}/long/1")


def test_what_was_just_answered_is_listed(weir, origin):
    """Though its commit would come seconds later."""
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    for i in range(20):
        d.get(f"/api/{i}")
        assert f"/{i}" in below(origin, listed(d.ctl("ls", "--json")))


def test_credentials_are_masked_and_found_again(weir, origin, ask):
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    d.get("/api/a?api_key=very-secret-key&q=1")
    result = ask(d, "ls", "--json")
    (row,) = listed(result)
    assert row["url"] == origin.url + "/a?api_key=***&q=1" and "very-secret" not in result.stdout
    for url in (row["url"], "/api/a?api_key=very-secret-key&q=1"):
        shown = run([WEIRCTL, "show", "--json", url, *(["--socket", d.admin_path] if ask.how == "running" else
                                                       ["-c", d.config])], d.directory)
        assert listed(shown)[0]["url"] == row["url"] and "very-secret" not in shown.stdout


@pytest.mark.parametrize("arguments, says", [
    (["ls", "~("], "parenthesis"),
    (["ls", "nonsense"], "is no URL"),
    (["ls", "--sort", "colour"], "size, age, hits or expires"),
    (["ls", "--limit", "0"], "from 1 on"),
    (["ls", "--sort", "age", "--limit", "1000000"], "at most 10000"),
    (["ls", "--upstream", "nobody"], 'no upstream "nobody"'),
    (["show", "/api/nothing"], "Not stored"),
    (["show", "-H", "nonsense", "/api/c?q=1"], "Name: value"),
    (["show", "-H", "Authorization: Bearer x", "/api/c?q=1"], "whose"),
    (["purge", "--older-than", "soon"], "no time"),
    (["purge", "--upstream", "nobody"], 'no upstream "nobody"'),
])
def test_what_is_asked_wrongly(filled, origin, ask, arguments, says):
    result = ask(filled(), *arguments)
    assert result.returncode == 1 and says in result.stderr and result.stdout == "", result


@pytest.mark.parametrize("arguments", [["ls", "a", "b"], ["ls", "--colour"], ["show"], ["purge"], ["purge", "--dry-run"],
                                       ["show", "--body", "--head", "/api/x"], ["show", "--body", "--json", "/api/x"]])
def test_wrong_usage(tmp_path, arguments):
    result = run([WEIRCTL, *arguments], tmp_path)
    assert result.returncode == 2 and "sage: weirctl" in result.stderr and result.stdout == ""


# -- show -------------------------------------------------------------------------

def test_show(filled, origin, ask):
    result = ask(filled(), "show", "/api/long/1")
    assert result.returncode == 0
    for part in (origin.url + "/long/1", "fresh for 29d", "100 B in the database", "/long/**", "shared",
                 "Content-Type: application/json"):
        assert part in result.stdout, part


def test_show_head(filled, origin, ask):
    lines = ask(filled(), "show", "--head", "/api/long/1").stdout.splitlines()
    assert lines[0] == "HTTP/1.1 200" and "Cache-Control: max-age=3600" in lines


@pytest.mark.parametrize("size", [0, 1, 60000, 3_000_000], ids=["empty", "one_byte", "in_the_database", "in_a_file"])
def test_show_body_byte_for_byte(weir, origin, ask, size):
    body = bytes(i * 7 % 256 for i in range(min(size, 251))) * (size // 251 + 1)
    body = body[:size]
    origin.reply(body=body, fields=FRESH)
    d = weir()
    assert d.get("/api/x").body == body
    with open(d.directory / "out", "wb") as out:
        if ask.how == "running":
            command = [WEIRCTL, "--socket", d.admin_path, "show", "--body", "/api/x"]
        else:
            d.stop()
            command = [WEIRCTL, "show", "-c", str(d.config), "--body", "/api/x"]
        status = subprocess.run(command, env=environment(d.directory), stdout=out, timeout=seconds(20), check=False).returncode
    assert status == 0 and (d.directory / "out").read_bytes() == body


def test_show_of_variants(weir, origin, ask):
    d = weir()
    for language in ("de", "en"):
        origin.reply(body=language.encode(), fields=[*FRESH, ("Vary", "Accept-Language")])
        d.get("/api/x", [("Accept-Language", language)])
    entries = listed(ask(d, "show", "--json", "/api/x"))
    assert [e["vary"] for e in entries] == [{"accept-language": "en"}, {"accept-language": "de"}]
    where = ["--socket", d.admin_path] if ask.how == "running" else ["-c", str(d.config)]
    for language in ("de", "en"):
        result = run([WEIRCTL, "show", *where, "--body", "-H", f"Accept-Language: {language}", "/api/x"], d.directory)
        assert (result.returncode, result.stdout) == (0, language)
    assert run([WEIRCTL, "show", *where, "--body", "-H", "Accept-Language: fr", "/api/x"], d.directory).returncode == 1


def test_show_of_what_match_headers_tells_apart(weir, origin, ask):
    d = weir(match_headers=["X-Lang", "X-Api-Key"])
    for fields in ([("X-Lang", "de")], [("X-Lang", "de, en")], []):
        origin.reply(body=str(dict(fields).get("X-Lang")).encode(), fields=FRESH)
        d.get("/api/x", fields)
    assert len(listed(ask(d, "show", "--json", "/api/x"))) == 3
    where = ["--socket", d.admin_path] if ask.how == "running" else ["-c", str(d.config)]

    def shown(*fields):
        more = [part for field in fields for part in ("-H", field)]
        return run([WEIRCTL, "show", *where, "--body", *more, "/api/x"], d.directory)
    assert shown("X-Lang: de").stdout == "de" and shown("x-lang: de, en").stdout == "de, en"
    assert shown("Accept: */*").stdout == "None"        # a request without it has a key of its own
    assert shown("X-Lang: fr").returncode == 1


def test_show_of_whose(filled, origin):
    d = filled()
    both = listed(d.ctl("show", "--json", "/api/c?q=1"))
    assert len(both) == 2 and {e["whose"] for e in both} > {"shared"}
    (own,) = (e["whose"] for e in both if e["whose"] != "shared")
    assert [e["whose"] for e in listed(d.ctl("show", "--json", "--whose", own, "/api/c?q=1"))] == [own]


def test_a_credential_that_an_api_says_again_is_not_shown(weir, origin):
    d = weir(ttl="1h")
    origin.reply(body=b"x", fields=[("Link", "<https://h/x?api_key=very-secret-key>; rel=next")])
    d.get("/api/a?api_key=very-secret-key")
    for arguments in (("show", "/api/a?api_key=***"), ("show", "--json", "/api/a?api_key=***")):
        result = d.ctl(*arguments)
        assert result.returncode == 0 and "very-secret" not in result.stdout and "https://h/x?api_key=***" in result.stdout


# -- purge ------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, dropped, remain", [
    (["/api/long/1"], 1, {"/short/2", "/c?q=1"}),
    (["/api/**"], 4, set()),
    (["--expired"], 1, {"/long/1", "/c?q=1"}),
    (["--older-than", "0s"], 4, set()),
    (["--older-than", "1h"], 0, {"/long/1", "/short/2", "/c?q=1"}),
    (["--upstream", "api"], 4, set()),
    (["--expired", "/api/long/**"], 0, {"/long/1", "/short/2", "/c?q=1"}),
    (["--whose", "shared"], 3, {"/c?q=1"}),
], ids=["url", "glob", "expired", "older_than_nothing", "older_than_an_hour", "upstream", "all_at_once", "whose"])
def test_purge(filled, origin, ask, arguments, dropped, remain):
    """With --dry-run the same is listed and stays."""
    d = filled()
    where = ["--socket", d.admin_path] if ask.how == "running" else ["-c", str(d.config)]
    dry = json.loads(ask(d, "purge", "--json", "--dry-run", *arguments).stdout)
    assert dry["would_drop"] == dropped == len(dry["entries"])
    result = run([WEIRCTL, "purge", *where, "--json", *arguments], d.directory)
    assert json.loads(result.stdout) == {"dropped": dropped} and result.returncode == (0 if dropped else 1)
    assert set(below(origin, listed(run([WEIRCTL, "ls", "--json", *where], d.directory)))) == remain


def test_purge_in_words(filled, origin, ask):
    d = filled()
    where = ["--socket", d.admin_path] if ask.how == "running" else ["-c", str(d.config)]
    dry = ask(d, "purge", "--dry-run", "--expired")
    assert dry.returncode == 0 and "/short/2" in dry.stdout and dry.stdout.endswith("would drop 1 responses\n")
    result = run([WEIRCTL, "purge", *where, "--expired"], d.directory)
    assert (result.returncode, result.stdout) == (0, "dropped 1 responses\n")
    result = run([WEIRCTL, "purge", *where, "--expired"], d.directory)
    assert (result.returncode, result.stdout) == (1, "dropped 0 responses\n")


def test_a_dry_run_is_asked_of_the_socket_itself(filled, origin):
    d = filled()
    response = d.admin("POST", "/purge", b'{"url": "/api/**", "dry_run": true}')
    lines = [json.loads(line) for line in response.body.splitlines()]
    assert response.status == 200 and len(lines) == 5 and lines[-1] == {"listed": 4, "more": False}
    assert d.admin("POST", "/purge", b'{"url": "/api/**", "drirun": true}').status == 400
    assert len(listed(d.ctl("ls", "--json"))) == 4


def test_what_is_purged_offline_stays_gone(filled, origin):
    d = filled()
    d.stop()
    assert run([WEIRCTL, "purge", "-c", d.config, "/api/long/**"], d.directory).returncode == 0
    d.start()
    origin.reply(body=b"anew", fields=FRESH)
    assert d.get("/api/long/1").body == b"anew"
    assert d.get("/api/c?q=1").cache.hit


# -- who may ----------------------------------------------------------------------

def query(d, target):
    with Client(str(d.directory / "query.sock")) as client:
        return client.request("GET", target)


def test_the_query_socket_tells_of_shared_ones_alone(filled, origin):
    d = filled()
    rows = [json.loads(line) for line in query(d, "/entries").body.splitlines()]
    assert rows[-1] == {"listed": 3, "more": False} and {row["whose"] for row in rows[:-1]} == {"shared"}
    shown = json.loads(query(d, "/entry?url=/api/c%3fq=1").body)["entries"]
    assert [e["whose"] for e in shown] == ["shared"]
    own = next(row["whose"] for row in listed(d.ctl("ls", "--json")) if row["whose"] != "shared")
    assert query(d, f"/entry?url=/api/c%3fq=1&whose={own}").status == 404
    assert query(d, f"/entry?url=/api/c%3fq=1&whose={own}&body=1").status == 404


def test_the_query_socket_tells_nothing_of_what_the_caller_may_not_use(filled, origin):
    d = filled(access=["127.0.0.0/8"])  # which no user of a unix socket is
    assert [json.loads(line) for line in query(d, "/entries").body.splitlines()] == [{"listed": 0, "more": False}]


# -- without a daemon -------------------------------------------------------------

def offline(d, *arguments, **kwargs):
    return run([WEIRCTL, *arguments, "-c", d.config], d.directory, **kwargs)


def test_a_daemon_that_runs_is_asked_by_its_configuration(filled, origin):
    """It has the directory, and the configuration says where it listens."""
    d = filled()
    assert len(listed(offline(d, "ls", "--json"))) == 4
    assert offline(d, "purge", "/api/long/**").stdout == "dropped 1 responses\n"


def test_a_daemon_that_has_the_directory_and_no_socket(filled, origin):
    d = filled()
    os.unlink(d.admin_path)
    result = offline(d, "ls")
    assert result.returncode == 1 and f"in use by another weir (pid {d.pid})" in result.stderr
    assert d.admin_path in result.stderr


def test_reading_changes_nothing(filled, origin):
    d = filled()
    d.stop()

    def files():
        return {str(path.relative_to(d.cache)): (path.stat().st_mtime_ns, path.stat().st_size)
                for path in sorted(d.cache.rglob("*"))}
    before = files()
    assert offline(d, "ls").returncode == 0 and offline(d, "show", "/api/long/1").returncode == 0
    assert offline(d, "purge", "--dry-run", "--expired").returncode == 0
    assert files() == before


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user wants root")
def test_root_acts_as_the_directorys_owner(filled, origin):
    d = filled()
    d.stop()
    for path in [d.cache, *d.cache.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.chmod(d.place, 0o755)
    os.chmod(d.directory, 0o755)
    assert len(listed(offline(d, "ls", "--json"))) == 4
    assert offline(d, "purge", "/api/long/**").returncode == 0
    assert {path.stat().st_uid for path in d.cache.rglob("*")} == {65534}


def break_meta(d):
    with open(d.cache / "data.mdb", "r+b") as file:
        file.truncate(5000)


def mark_damaged(d):
    (d.cache / "damaged").touch()


def overwrite(d):
    with open(d.cache / "data.mdb", "r+b") as file:
        file.write(os.urandom(os.path.getsize(d.cache / "data.mdb")))


@pytest.mark.parametrize("harm, says", [
    (lambda d: shutil.rmtree(d.cache), "No such file or directory"),
    (lambda d: (d.cache / "data.mdb").unlink(), "there is no database in"),
    (break_meta, "damaged"),
    (overwrite, "damaged"),
    (mark_damaged, "damaged"),
], ids=["no_directory", "no_database", "cut_short", "overwritten", "found_damaged"])
@pytest.mark.parametrize("arguments", [("ls",), ("purge", "/api/**")], ids=["read", "change"])
def test_a_directory_that_is_of_no_use(filled, origin, harm, says, arguments):
    """It is said and nothing is begun, mended or set aside."""
    d = filled()
    d.stop()
    harm(d)
    before = sorted(str(p) for p in d.directory.rglob("*"))
    result = offline(d, *arguments)
    assert result.returncode == 1 and "The cache cannot be used" in result.stderr and says in result.stderr
    assert result.stdout == ""
    after = sorted(str(p) for p in d.directory.rglob("*") if p.name not in ("lock", "lock.mdb"))
    assert after == [p for p in before if os.path.basename(p) not in ("lock", "lock.mdb")]


def test_a_configuration_with_an_error(filled, origin):
    d = filled()
    d.stop()
    d.config.write_text("upstreams = 7;\n")
    result = offline(d, "ls")
    assert result.returncode == 1 and f"{d.config}:1" in result.stderr and "broke off" not in result.stderr


def test_a_socket_without_a_daemon_and_without_a_configuration(tmp_path):
    result = run([WEIRCTL, "--socket", tmp_path / "nobody.sock", "ls"], tmp_path)
    assert result.returncode == 1 and "no weir answers at" in result.stderr


def test_the_users_own_cache_is_found_without_a_word(tmp_path):
    """No daemon, no -c: the configuration that weir would run on says where."""
    result = run([WEIRCTL, "ls"], tmp_path)
    assert result.returncode == 1 and "The cache cannot be used" in result.stderr, result


def test_other_endpoints_want_a_daemon(filled, origin):
    d = filled()
    d.stop()
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen([WEIR, "-c", str(d.config), "--offline"], stdin=theirs.fileno(),
                                env=environment(d.directory)) as process:
        theirs.close()
        ours.settimeout(seconds(10))
        ours.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        head = ours.recv(65536)
    assert head.startswith(b"HTTP/1.0 503 ") and process.returncode == 0


def test_offline_without_a_request(tmp_path):
    result = run([WEIR, "--offline"], tmp_path)
    assert result.returncode == 2 and "no request" in result.stderr


# -- on a terminal ----------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07\x1b[31m"


@pytest.fixture
def hostile(weir, origin):
    """Types with what a terminal obeys, a wide URL, one of 8 KiB."""
    d = weir(ttl="1h")
    origin.reply(body=b"x", fields=[("Content-Type", "text/plain; x=\u009b31m\u202egnp".encode().decode("latin-1"))])
    d.get("/api/long/" + "a" * 8000)
    d.get("/api/wide/" + ("\u6c34" * 60).encode().decode("latin-1"))
    return d


@pytest.mark.parametrize("columns", [80, 160])
def test_a_terminal_is_never_obeyed_and_not_overrun(hostile, columns):
    status, out, _ = on_terminal(hostile, columns, "ls")
    text = out.decode()
    assert status == 0 and "\x1b" not in text and "\u009b" not in text and "\u202e" not in text
    lines = text.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert sum(2 if "\u2e80" <= c <= "\u9fff" else 1 for c in line) <= columns, line
    assert any("\u2026" in line for line in lines)


@pytest.mark.parametrize("arguments", [("ls", "-l"), ("show", "/api/long/" + "a" * 8000), ("show", "--head", "/api/long/" + "a" * 8000)])
def test_types_are_escaped(hostile, arguments):
    for text in (on_terminal(hostile, 80, *arguments)[1].decode(), hostile.ctl(*arguments).stdout):
        assert "\x1b" not in text and "\u009b" not in text and "\u202e" not in text
        assert "\\u{9b}31m\\u{202e}gnp" in text


def test_a_body_on_a_terminal(weir, origin):
    """Text is shown with what is hostile in it escaped; what is no text is not shown, and how to get at it is said."""
    d = weir(ttl="1h")
    origin.reply(body='{"a": "b"}\n\u6c34 \u009b31m\n'.encode(), fields=[("Content-Type", "application/json")])
    d.get("/api/text")
    status, out, _ = on_terminal(d, 80, "show", "--body", "/api/text")
    assert status == 0 and out.decode() == '{"a": "b"}\n\u6c34 \\u{9b}31m\n'
    for target, body in (("/api/escapes", HOSTILE.encode()), ("/api/gzip", gzip.compress(b"x" * 100)), ("/api/nul", b"a\0b")):
        origin.reply(body=body, fields=[("Content-Type", "text/plain")])
        d.get(target)
        status, out, errors = on_terminal(d, 80, "show", "--body", target)
        assert status == 1 and out == b"" and b"> FILE" in errors
        assert d.ctl("show", "--body", target, timeout=10).returncode == 0


# -- streams ----------------------------------------------------------------------

def test_a_reader_that_stops_costs_nobody_anything(weir, origin):
    """Neither other requests nor memory; and when it reads on, all of it comes."""
    count = 3000
    origin.reply(body=b"x", fields=FRESH)
    d = weir(settings={"workers": 1})
    with d.connect() as client:
        for i in range(count):
            client.request("GET", f"/api/{'n' * 200}/{i}")
    d.wait_stored(count)
    with socket.socket(socket.AF_UNIX) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(d.admin_path)
        slow.sendall(b"GET /entries HTTP/1.0\r\nHost: weir\r\n\r\n")
        slow.settimeout(seconds(20))
        got = slow.recv(1000)
        before = d.private_kib()
        for i in range(50):
            assert d.get(f"/api/{'n' * 200}/{i}").cache.hit
        assert d.get("/api/new").status == 200
        assert d.private_kib() < before + (64 if SANITIZER else 8) * 1024
        while piece := slow.recv(65536):
            got += piece
    urls = re.findall(rb'"url":"[^"]*/n+/(\d+)"', got)
    assert len(urls) == count and len(set(urls)) == count and b'"more": false' in got


def test_a_client_that_leaves_ends_its_walk(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    for i in range(50):
        d.get(f"/api/{i}")
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(d.admin_path)
            client.sendall(b"GET /entries?sort=size HTTP/1.1\r\nHost: weir\r\n\r\n")
    assert len(listed(d.ctl("ls", "--json"))) == 50


# -- tags -------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, dropped", [(["--tag", "taxa"], 2), (["--tag", "taxa", "/api/a"], 1),
                                                (["--tag", "taxa", "--upstream", "api"], 2), (["--tag", "none"], 0)])
def test_purge_and_ls_by_tag(weir, origin, ask, arguments, dropped):
    d = weir()
    for target, tag in (("/a", "taxa, other"), ("/b", "taxa"), ("/c", "other")):
        origin.reply(body=b"x", fields=[*FRESH, ("Cache-Tag", tag)])
        d.get("/api" + target)
    where = ["--socket", d.admin_path] if ask.how == "running" else ["-c", str(d.config)]
    assert len(listed(ask(d, "ls", "--json", *arguments))) == dropped
    result = run([WEIRCTL, "purge", *where, "--json", *arguments], d.directory)
    assert json.loads(result.stdout) == {"dropped": dropped} and result.returncode == (0 if dropped else 1)
    assert len(listed(run([WEIRCTL, "ls", "--json", *where], d.directory))) == 3 - dropped
