"""explain: what would happen and why; nothing of it happens, and then it does happen so."""
import json
import os
import re
import shutil
import subprocess

import pytest

from harness.client import Client
from harness.daemon import environment
from harness.origin import answer
from harness.settings import upstream
from harness.terminal import on_terminal
from harness.wait import WEIRCTL, seconds, until

FRESH = [("Cache-Control", "max-age=60")]
ME = f"user:{os.geteuid()}"
NOBODY = "user:4294967294"
RULES = [
    {"match": "/v1/taxa/**", "ttl": "30d"}, {"match": "/never", "ttl": "never"}, {"match": "/mine", "partition": "credential", "ttl": "1h"},
    {"match": "/swr", "ttl": "60s", "stale_while_revalidate": "1h"}, {"match": "/vary", "ttl": "1h"},
    {"match": "/graphql", "methods": ["POST"], "ttl": "10m", "key_body": True},
]


def explain(d, target, method="GET", fields=(), body=None, path=None):
    question = {"url": target, "method": method, "headers": [list(f) for f in fields], **({} if body is None else {"body": body})}
    with Client(path or d.admin_path) as client:
        r = client.request("POST", "/explain", [("Host", "localhost")], body=json.dumps(question).encode())
    assert r.status == 200, r
    return json.loads(r.body)


def query(d):
    return os.path.join(os.path.dirname(d.admin_path), "query.sock")


def entries(d):
    r = d.admin("GET", "/entries")
    return sorted(json.dumps({k: v for k, v in json.loads(line).items() if k not in ("age_s", "left_s")}) for line in r.body.splitlines())


def timeless(tree):
    """Without what only the clock moves."""
    if isinstance(tree, dict):
        return {k: timeless(v) for k, v in tree.items() if k not in ("resets_in_s", "blocked_for_s", "predicted_wait_s", "connections")}
    return [timeless(each) for each in tree] if isinstance(tree, list) else tree


SOUGHT = ("peer_cached", "peer_passes", "peer_unknown")    # by a thread that still looks for who has had his answer


def state_of(d):
    """All that is counted and stored."""
    s = d.status()
    return {k: v for k, v in s["counters"].items() if k not in SOUGHT}, s["cache"], timeless(s["upstreams"]), s["flights"], entries(d), d.access()


@pytest.fixture
def varied(daemons, origin, clock):
    """Every kind of upstream, and answers in the store that are fresh, stale and somebody's."""
    def script(request, conn):
        fields = list(FRESH) + ([("Vary", "Accept")] if request.path == "/vary" else []) + [("ETag", '"1"')]
        conn.answer(body=b"x", fields=fields)
    origin.handler = script
    d = daemons(upstream(origin, name="api", rules=RULES, limits=["1000/min"]),
                upstream(origin, name="tight", limits=["1/h"], queue={"max_wait": "1s"}),
                upstream(origin, name="patient", limits=["1/h"], queue={"max_wait": "2h"}),
                upstream(origin, name="spent", limits=["1/h"], ttl="60s", stale_if_error="1h", queue={"max_wait": "1s"}),
                upstream(origin, name="theirs", access=[NOBODY]), upstream(origin, name="reader", mode="read_only"),
                upstream(origin, name="off", mode="offline")).start()
    for target in ("/api/v1/taxa/1", "/api/old", "/api/swr", "/api/vary", "/tight/t", "/patient/p", "/spent/s"):
        assert d.get(target).status == 200
    d.get("/api/mine", [("Authorization", "Bearer one")])
    d.wait_stored(8)
    clock.advance(90)
    d.get("/api/new")
    d.wait_stored(9)
    d.access(9)
    return d


BEARER = [("Authorization", "Bearer two")]
CASES = {
    "hit": ("GET", "/api/v1/taxa/1", (), None), "hit_of_head": ("HEAD", "/api/v1/taxa/1", (), None),
    "hit_304": ("GET", "/api/v1/taxa/1", [("If-None-Match", '"1"')], None), "hit_of_a_range": ("GET", "/api/v1/taxa/1", [("Range", "bytes=0-0")], None),
    "stale_while_revalidate": ("GET", "/api/swr", (), None), "max_stale": ("GET", "/api/old", [("Cache-Control", "max-stale")], None),
    "revalidated": ("GET", "/api/old", (), None), "miss": ("GET", "/api/none", (), None), "miss_of_query": ("GET", "/api/v1/taxa/1?a=b", (), None),
    "vary": ("GET", "/api/vary", [("Accept", "text/html")], None), "other_partition": ("GET", "/api/mine", BEARER, None),
    "own_partition": ("GET", "/api/mine", [("Authorization", "Bearer one")], None),
    "no_cache": ("GET", "/api/v1/taxa/1", [("Cache-Control", "no-cache")], None), "no_store": ("GET", "/api/none", [("Cache-Control", "no-store")], None),
    "refresh": ("GET", "/api/v1/taxa/1", [("Weir-Refresh", "hard")], None), "weir_ttl": ("GET", "/api/old", [("Weir-TTL", "1h")], None),
    "only_if_cached_hit": ("GET", "/api/v1/taxa/1", [("Cache-Control", "only-if-cached")], None),
    "only_if_cached": ("GET", "/api/none", [("Cache-Control", "only-if-cached")], None), "never": ("GET", "/api/never", (), None),
    "write": ("POST", "/api/x", (), "a=b"), "delete": ("DELETE", "/api/none", (), None), "key_body": ("POST", "/api/graphql", (), "{\"query\": \"{a}\"}"),
    "mutation": ("POST", "/api/graphql", (), "{\"query\": \"mutation {a}\"}"), "precondition": ("GET", "/api/x", [("If-Match", '"1"')], None),
    "over_budget": ("GET", "/tight/y", (), None), "stale_over_budget": ("GET", "/spent/s", (), None),
    "over_weir_max_wait": ("GET", "/patient/y", [("Weir-Max-Wait", "1s")], None), "denied": ("GET", "/theirs/x", (), None),
    "read_only": ("POST", "/reader/x", (), "a"), "read_only_get": ("GET", "/reader/x", (), None), "offline": ("GET", "/off/x", (), None),
    "no_upstream": ("GET", "/nix/x", (), None), "own": ("GET", "/.weir/health", (), None), "no_endpoint": ("GET", "/.weir/nix", (), None),
    "bad_field": ("GET", "/api/x", [("Weir-Nix", "1")], None), "bad_target": ("GET", "/api/a\"b c", (), None),
    "foreign_host": ("GET", "/api/x", [("Host", "evil.example")], None), "other_site": ("GET", "/api/x", [("Origin", "https://evil.example")], None),
    "websocket": ("GET", "/api/x", [("Upgrade", "websocket")], None),
}


def plain_status(text):
    return re.sub(r"ttl=-?\d+", "ttl=N", text or "")


@pytest.mark.parametrize("case", CASES)
def test_it_happens_as_was_said_and_nothing_before(varied, origin, case):
    d = varied
    method, target, fields, body = CASES[case]
    seen, before = origin.count(), state_of(d)
    told = explain(d, target, method, fields, body)
    on_query = explain(d, target, method, fields, body, query(d))
    assert state_of(d) == before and origin.count() == seen, "something was counted, stored, touched or sent"
    would = told["would"]
    assert on_query["would"]["do"] == would["do"] or case == "denied"
    if case == "bad_target":
        assert would["status"] == 400
        return
    r = d.request(method, target, fields, body.encode() if body is not None else None)
    line = d.access(len(before[5]) + 1)[-1]
    if told["denied"]:
        assert r.status == 403 and on_query["would"]["status"] == 403 and on_query["would"]["cache"] == line["cache"]
    elif would["do"] == "ask":
        real = {"revalidated": "miss"}.get(line["cache"], line["cache"])
        assert real == would["cache"] and "forward" in would and f"fwd={would['forward']}" in r.fields.joined("Cache-Status"), (line, would)
        assert origin.count() == seen + 1
        sent = {n.lower(): v for n, v in origin.last.fields.pairs}
        for header in told["sends"]["headers"]:
            if isinstance(header["value"][-1], str):
                assert sent[header["name"].lower()] == "".join(header["value"]), header
    else:
        assert r.status == would["status"] and line["cache"] == would["cache"], (r, would)
        assert plain_status(r.fields.joined("Cache-Status")) == plain_status(would.get("cache_status"))
        assert origin.count() <= seen + (case == "stale_while_revalidate")


def test_a_wait_is_foretold_and_names_the_limit(varied):
    told = explain(varied, "/patient/y")
    assert told["would"]["do"] == "ask" and 3400 < told["would"]["queue"]["wait_s"] < 3600 and told["would"]["queue"]["limit"] == "1/h"
    assert "1/h: 1 of 1 used" in told["would"]["text"], told["would"]
    limits = next(s for s in told["settings"] if s["name"] == "limits")
    assert '"1/h"' in varied.config.read_text().splitlines()[limits["place"]["line"] - 1]


def test_rule_and_setting_are_named_by_file_and_line(varied):
    told = explain(varied, "/api/v1/taxa/7")
    lines = varied.config.read_text().splitlines()
    assert told["upstream"]["name"] == "api" and told["rule"]["number"] == 1 and told["rule"]["match"] == "/v1/taxa/**"
    ttl = next(s for s in told["settings"] if s["name"] == "ttl")
    assert told["rule"]["place"]["file"] == str(varied.config) and ttl["value"] == '"30d"'
    assert lines[ttl["place"]["line"] - 1].strip() == 'ttl = "30d";'
    assert told["rule"]["place"]["line"] <= ttl["place"]["line"]
    assert explain(varied, "/reader/x", "POST", body="a")["settings"][0]["name"] == "mode"


def test_the_nearest_stored_key_and_what_differs(varied):
    d = varied
    near = explain(d, "/api/v1/taxa/1?locale=de&page=2")["stored"]["nearest"][0]
    assert near["url"].endswith("/v1/taxa/1") and [(x["in"], x["name"], x["stored"], x["asked"]) for x in near["differs_in"]] == [
        ("query", "locale", None, "de"), ("query", "page", None, "2")]
    vary = explain(d, "/api/vary", fields=[("Accept", "text/html")])["stored"]
    assert vary["other_variant"] and vary["nearest"][0]["differs_in"] == [{"in": "vary", "name": "accept", "stored": None, "asked": "text/html"}]
    assert explain(d, "/api/nothing/like/it")["stored"]["nearest"] == []
    shared = explain(d, "/api/v1/taxa/1", fields=BEARER)["stored"]
    assert [x["in"] for x in shared["nearest"][0]["differs_in"]] == ["whose"]


def test_what_is_stored_for_others_is_told_to_admins_alone(varied):
    d = varied
    stored = explain(d, "/api/mine", fields=BEARER)["stored"]
    assert [o["url"].endswith("/mine") for o in stored["others"]["found"]] == [True] and stored["others"]["is_all"]
    told = explain(d, "/api/mine", fields=BEARER, path=query(d))
    assert told["stored"]["nearest"] == [] and "others" not in told["stored"] and "misses" not in told


def test_of_an_upstream_that_one_may_not_use_nothing_is_told(varied):
    told = explain(varied, "/theirs/secret?a=b", path=query(varied))
    assert told["denied"] and told["upstream"] is None and told["rule"] is None and told["settings"] == [] and told["would"]["status"] == 403
    assert "theirs" not in json.dumps({k: v for k, v in told.items() if k not in ("would", "request")})
    assert explain(varied, "/theirs/x")["denied"] and explain(varied, "/theirs/x")["upstream"]["name"] == "theirs"


def test_the_last_misses_and_the_line_to_write(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(rules=[{"match": "/v1/**", "ttl": "1h", "ignore_params": ["utm"]}, {"match": "/headed", "ttl": "1h", "match_headers": ["X-Trace", "X-Lang"]}])
    for i in range(9):
        d.get(f"/api/v1/taxa/1?_={i}&q=x")
    d.get("/api/v1/other")
    misses = explain(d, "/api/v1/taxa/1?_=77&q=x")["misses"]
    assert misses["count"] == 10 and misses["reasons"] == {"uri-miss": 10}
    assert [(m["in"], m["name"], m["misses"], m["line"]) for m in misses["differ_in"]] == [("query", "_", 9, 'ignore_params = ( "utm", "_" );')]
    for i in range(5):
        d.get("/api/headed", [("X-Trace", str(i)), ("X-Lang", "de")])
    misses = explain(d, "/api/headed")["misses"]
    assert misses["differ_in"][0]["line"] == 'match_headers = ( "X-Lang" );' and misses["differ_in"][0]["misses"] == 5
    for i in range(30):
        d.get("/api/v1/taxa/1", [("Authorization", f"Bearer {i}")])
    misses = explain(d, "/api/v1/taxa/1")["misses"]
    assert misses["count"] == 20 and misses["differ_in"][0]["in"] == "whose" and misses["differ_in"][0]["line"] == 'partition = "shared";'
    assert "Bearer" not in json.dumps(misses)


def test_misses_that_were_not_stored_say_why(weir, origin):
    origin.reply(body=b"x", fields=[("Cache-Control", "no-store")])
    d = weir()
    for _ in range(3):
        d.get("/api/x")
    misses = explain(d, "/api/x")["misses"]
    assert misses["not_stored"] == [{"reason": "no-store", "misses": 3, "line": 'ttl = "10m";'}] and misses["again"] == 2


def test_credentials_are_left_out(varied):
    d = varied
    told = explain(d, "/api/none?key=geheim&a=b", fields=[("Authorization", "Bearer geheim"), ("Cookie", "sid=geheim"), ("X-Api-Key", "geheim")])
    assert "geheim" not in json.dumps(told)
    assert told["sends"]["url"][1:] == [{"secret": "KEY"}, "&a=b"]
    assert {"name": "Authorization", "value": ["Bearer ", {"secret": "AUTHORIZATION"}]} in told["sends"]["headers"]


def test_curl_is_quoted_and_sends_the_same(varied, origin, tmp_path):
    d = varied
    arguments = ["-H", "X-Odd: it's $(touch x) `touch y` \"z\"", "-H", "Authorization: Bearer geheim", origin.url + "/a'b?q=$(touch%20z)&key=geheim"]
    r = d.ctl("explain", "--curl", *arguments)
    assert r.returncode == 0 and "geheim" not in r.stdout, r
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    seen = origin.count()
    ran = subprocess.run(["sh", "-c", r.stdout], cwd=tmp_path, env={"PATH": os.environ["PATH"], "AUTHORIZATION": "T", "KEY": "K"},
                         capture_output=True, check=False)
    assert ran.returncode == 0 and origin.count() == seen + 1 and os.listdir(tmp_path) == [], ran
    sent = dict(origin.last.fields.pairs)
    assert origin.last.target == "/a'b?q=$(touch%20z)&key=K" and sent["Authorization"] == "Bearer T" and sent["X-Odd"] == "it's $(touch x) `touch y` \"z\""


def test_the_terminal_gets_no_control_characters(weir, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = weir(rules=[{"match": "/**", "match_headers": ["X-A"]}])
    r = d.ctl("explain", "-H", "X-A: \u202eabc\u009b31m", "/api/x")
    assert r.returncode == 0 and "\u202e" not in r.stdout and "\u009b" not in r.stdout and "\\u{202e}" in r.stdout


@pytest.mark.parametrize("arguments, status, says", [
    ([], 2, "one URL is wanted"), (["/a", "/b"], 2, "one URL"), (["-H", "nocolon", "/api/x"], 2, "Name: value"), (["bla"], 1, "is no URL"),
    (["-X", "G ET", "/api/x"], 1, "is no method"), (["-H", "X: a\nb", "/api/x"], 1, "Send"), (["--nix", "/x"], 2, "nix"),
])
def test_wrong_use(weir, arguments, status, says):
    r = weir().ctl("explain", *arguments)
    assert r.returncode == status and says in r.stderr and r.stdout == "", r


def test_a_service_of_weirs_own_is_not_begun(weir):
    d = weir()
    before = state_of(d)
    assert explain(d, "/.weir/batch", "POST", body="[]")["would"]["do"] == "answer" and state_of(d) == before


def test_no_daemon(weir):
    d = weir()
    d.stop()
    r = d.ctl("explain", "/api/x")
    assert r.returncode == 1 and r.stderr.startswith("weirctl: ")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"url": 1}', b'{"url": "/x", "headers": {}}', b'{"url": "/x", "headers": [["a"]]}',
                                  b'{"url": "/x", "nix": "1"}', b'{"url": "/x", "headers": [["a b", "c"]]}', b'{"url": "/x", "headers": [["a", "b\\n"]]}'])
def test_what_is_not_understood(weir, body):
    r = weir().admin("POST", "/explain", body=body)
    assert r.status == 400 and "url" in json.loads(r.body)["detail"]


def test_who_leaves_in_the_midst_costs_nothing(weir, origin):
    d = weir()
    for _ in range(20):
        client = Client(d.admin_path)
        client.start("POST", "/explain", [("Host", "localhost")], body=b'{"url": "/api/x"}')
        client.close()
    assert explain(d, "/api/x")["would"]["do"] == "ask"


def test_an_equal_request_that_is_under_way_is_shared(weir, origin):
    import threading
    go = threading.Event()
    origin.handler = lambda request, conn: (conn.wait(go), conn.answer(body=b"x", fields=FRESH))
    d = weir()
    with d.connect() as client:
        client.start("GET", "/api/x")
        until(lambda: origin.count() == 1, "it is at the API")
        told = explain(d, "/api/x")
        assert told["would"]["queue"]["shares"] and "share the answer" in told["would"]["text"]
        go.set()
        assert client.read_response().status == 200


# -- another configuration, and what was done ----------------------------------


def other_config(d, tmp_path, **changes):
    """The daemon's configuration with other rules, in a file that only the tester may read."""
    path = tmp_path / "other.conf"
    text = d.config.read_text()
    for old, new in changes.items():
        assert old in text, text
        text = text.replace(old, new)
    path.write_text(text)
    path.chmod(0o600)
    return path


def ctl(d, *arguments):
    """What it starts goes by the daemon's clock."""
    return subprocess.run([WEIRCTL, "--socket", d.admin_path, "explain", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment(d.directory, WEIR_CLOCK_FILE=d.clock.path), timeout=seconds(20), check=False)


def judged(d, path, *arguments):
    r = ctl(d, "--config", str(path), "--json", *arguments)
    assert r.returncode == 0, r
    return json.loads(r.stdout)


@pytest.mark.parametrize("changes, target, do, cache", [
    ({}, "/api/v1/taxa/1", "serve", "hit"),
    ({'ttl = "30d"': 'ttl = "10s"'}, "/api/v1/taxa/1", "ask", "miss"),
    ({'match = "/v1/taxa/**"': 'match = "/v2/**"'}, "/api/v1/taxa/1", "ask", "miss"),
    ({'ttl = "30d"': 'ttl = "30d"; ignore_params = ( "a" )'}, "/api/v1/taxa/1?a=b", "serve", "hit"),
    ({'name = "api"': 'name = "apis"'}, "/api/v1/taxa/1", "answer", "error"),
    ({'ttl = "30d"': 'ttl = "never"'}, "/api/v1/taxa/1", "ask", "bypass"),
], ids=["the_same", "shorter", "another_path", "ignored_parameter", "no_upstream", "never"])
def test_another_configuration(varied, tmp_path, changes, target, do, cache):
    d = varied
    before = state_of(d)
    told = judged(d, other_config(d, tmp_path, **changes), target)
    assert (told["config"]["would"]["do"], told["config"]["would"]["cache"]) == (do, cache), told["config"]["would"]
    assert state_of(d) == before
    if not changes:
        assert told["differs"] == []
    else:
        assert told["differs"] and "facts" not in told["running"]
    if "rule" in told["config"] and told["config"]["rule"]:
        assert told["config"]["rule"]["place"]["file"] == str(tmp_path / "other.conf")


def test_another_configuration_says_what_then_happens(varied, tmp_path):
    """It is put in place, and does so."""
    d = varied
    path = other_config(d, tmp_path, **{'ttl = "30d"': 'ttl = "10s"', 'stale_while_revalidate = "1h"': 'stale_while_revalidate = "1s"'})
    targets = ["/api/v1/taxa/1", "/api/swr", "/api/old", "/api/new", "/api/none", "/api/vary", "/nix/x"]
    told = {t: judged(d, path, t)["config"]["would"] for t in targets}
    d.config.write_text(path.read_text())
    assert d.ctl("reload").returncode == 0
    for target in targets:
        r, would = d.get(target), told[target]
        cache = r.cache
        assert (r.status == would["status"] and plain_status(r.fields.joined("Cache-Status")) == plain_status(would["cache_status"])
                if would["do"] != "ask" else cache.fwd == would["forward"]), (target, r, would)


def test_of_ones_own_answers_too(varied, tmp_path):
    d = varied
    one = ["-H", "Authorization: Bearer one", "/api/mine"]
    assert judged(d, other_config(d, tmp_path), *one)["config"]["would"]["cache"] == "hit"
    shared = judged(d, other_config(d, tmp_path, **{'partition = "credential"': 'partition = "shared"'}), *one)
    assert shared["config"]["would"]["cache"] == "miss" and "partition" in shared["differs"], "under a shared key nothing is stored"


def test_a_configuration_with_errors_says_where(varied, tmp_path):
    path = other_config(varied, tmp_path, **{'ttl = "30d"': 'ttl = "30 days"'})
    r = varied.ctl("explain", "--config", str(path), "/api/x")
    assert r.returncode == 1 and "other.conf:" in r.stderr and "ttl" in r.stderr and r.stdout == ""
    r = varied.ctl("explain", "--config", str(tmp_path / "nix.conf"), "/api/x")
    assert r.returncode == 1 and "nix.conf" in r.stderr


def test_the_comparison_is_readable(varied, tmp_path):
    r = ctl(varied, "--config", str(other_config(varied, tmp_path, **{'ttl = "30d"': 'ttl = "10s"'})), "/api/v1/taxa/1")
    assert r.returncode == 0 and re.search(r"^now +serve what is stored", r.stdout, re.M) and re.search(r"^differs +.*settings", r.stdout, re.M), r.stdout


def test_no_daemon_opens_a_path_that_a_client_names(weir):
    r = weir().admin("POST", "/explain", body=b'{"url": "/api/x", "config": "/etc/passwd"}')
    assert r.status == 400
    r = weir().admin("POST", "/explain", body=b'{"url": "/api/x", "facts": []}')
    assert r.status == 400, "facts are for weir --explain"


def test_what_was_done(weir, origin):
    origin.script(answer(503), answer(200, b"x", FRESH))
    d = weir(retry={"attempts": 2, "backoff": "5ms", "on": [503], "share": "100%"}, rules=[{"match": "/v1/**", "ttl": "1h"}])
    d.get("/api/v1/x?key=geheim")
    line = d.access(1)[0]
    r = d.ctl("explain", "--id", str(line["id"]))
    assert r.returncode == 0 and "geheim" not in r.stdout and "rule /v1/**" in r.stdout and "miss, forwarded: uri-miss" in r.stdout, r
    assert "1: because of uri-miss" in r.stdout and "2: because of 503" in r.stdout and "the answer is stored" in r.stdout
    assert d.ctl_json("explain", "--id", str(line["id"]))["tries"][0]["outcome"] == "503"
    unknown = d.ctl("explain", "--id", "99999")
    assert unknown.returncode == 1 and "not remembered" in unknown.stderr
    assert d.ctl("explain", "--id", "x").returncode == 2 and d.ctl("explain", "--id", "1", "/api/x").returncode == 2


# -- on a terminal -------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_lines_fit_the_terminal(varied, columns):
    d = varied
    target = "/api/v1/taxa/" + "long/" * 40 + "?q=" + "x" * 300
    status, out, errors = on_terminal(d, columns, "explain", "-H", "X-A: " + "w" * 200, target)
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in out.decode().split("\n")]
    assert status == 0 and errors == b"" and max(map(len, lines)) <= columns and len(lines) > 6, lines
    assert all(line == line.rstrip() for line in lines), lines
    assert "".join(line[11:] for line in lines).replace(" ", "").count("long/" * 40), "nothing is left out"
    assert any(line.startswith("would ") for line in lines) and b"\x1b[1m" in out
