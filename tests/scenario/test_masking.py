"""No credential is in a snapshot: every one that went through is looked for in everything that was written."""
import base64
import gzip
import json
import shutil
import subprocess
import urllib.parse
import zlib

import pytest

from harness.settings import upstream

JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain")
# One for each place, with what every encoding writes in another way.
SECRETS = {name: f"{name}/s3cr3t+of&mine=\u00e4".encode() if name == "json" else f"{name}/s3cr3t+of&mine=".encode() for name in (
    "bearer", "apikey", "cookie", "query", "basicpassword", "own", "form", "setcookie", "json", "later", "header", "listed", "answer",
    "path")}
QUOTED = {name: urllib.parse.quote(value, safe="") for name, value in SECRETS.items()}


def field(name):
    return SECRETS[name].decode()


def forms(value):
    """How it may be written, without the characters that depend on what stands beside it."""
    yield value
    yield urllib.parse.quote(value, safe="").encode()
    yield urllib.parse.quote(value, safe="").lower().encode()
    yield urllib.parse.quote(value).encode()
    yield urllib.parse.quote_plus(value).encode()
    yield urllib.parse.quote(urllib.parse.quote(value, safe=""), safe="").encode()
    yield json.dumps(value.decode())[1:-1].encode()
    yield value.replace(b"/", b"\\/")
    yield value.hex().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            coded = encode(b"x" * before + value + b"xxx")
            yield coded[(before * 8 + 5) // 6:(before + len(value)) * 8 // 6]


def plain(data):
    """A file, and what it is without its coding."""
    yield data
    for wbits in (31, 15, -15):
        try:
            yield zlib.decompress(data, wbits)
        except zlib.error:
            pass
    for program in ("brotli", "zstd"):
        if shutil.which(program):
            ran = subprocess.run([program, "-dc"], input=data, capture_output=True, check=False)
            if ran.returncode == 0:
                yield ran.stdout


def found_in(folder):
    """(credential, how it is written, file) of all that stand there."""
    for path in sorted(folder.rglob("*")):
        for text in plain(path.read_bytes()) if path.is_file() else ():
            for name, value in SECRETS.items():
                for form in forms(value):
                    if form in text:
                        yield name, form, path.name


REQUEST = [("Authorization", "Bearer " + field("bearer")), ("X-Api-Key", field("apikey")), ("Cookie", f"sid={field('cookie')}; theme=dark"),
           ("X-Listed", field("listed"))]
BASIC = base64.b64encode(b"somebody:" + SECRETS["basicpassword"]).decode()


def again(name):
    """How an API says a credential again in fields: as it is, in a link, in a cookie, in a redirect."""
    return [("X-Echo", f"you are {field(name)}"), ("Link", f'<https://a.test/?api_key={QUOTED[name]}&p=2>; rel="next"'),
            ("Location", f"https://a.test/{QUOTED[name]}/x"), ("X-Basic", base64.b64encode(b"u:" + SECRETS[name]).decode()),
            ("Set-Cookie", f"last={QUOTED[name]}; Path=/")]


def echo(name, coding=None, how=lambda value: value):
    """... and in a body."""
    body = b'{"you sent": "' + how(SECRETS[name]) + b'", "more": "' + b"and so on " * 40 + b'"}'
    body = gzip.compress(body) if coding == "gzip" else zlib.compress(body) if coding == "deflate" else body
    return lambda request, conn: conn.answer(200, body, [JSON] + ([("Content-Encoding", coding)] if coding else []))


def early(request, conn):
    conn.send(f"HTTP/1.1 103 Early Hints\r\nLink: </s?token={QUOTED['bearer']}>; rel=preload\r\n\r\n".encode())
    conn.answer(200, b"fine", [TEXT, ("Trailer", "X-Sum")], chunked=True, trailers=[("X-Sum", field("bearer"))])


def events(request, conn):
    conn.head(200, [("Content-Type", "text/event-stream")])
    conn.send(b"data: 1\n\ndata: " + SECRETS["apikey"] + b"\n\n")
    conn.close()


def answer(status=200, body=b"fine", fields=(TEXT,)):
    return lambda request, conn: conn.answer(status, body, fields)


def linked(name):
    page = f'{{"next": "https://a.test/list?page=2&api_key={QUOTED[name]}&x=1", "html": "<a href=\\"?x&amp;token={QUOTED[name]}\\">"}}'
    return answer(200, page.encode(), [JSON])


# name: (what the API does, kept?, method, target, fields, body)
FORM = [("Content-Type", "application/x-www-form-urlencoded")]
EXCHANGES = {
    "fields": (answer(), True, "GET", f"/fields?api_key={QUOTED['query']}&q=1", REQUEST, None),
    "basic": (answer(), True, "GET", "/basic", [("Authorization", "Basic " + BASIC)], None),
    "said_again": (answer(301, b"", [f for name in ("bearer", "apikey", "cookie", "query") for f in again(name)]), True, "GET",
                   f"/again?api_key={QUOTED['query']}", REQUEST, None),
    "its_own_again": (answer(200, b"fine", again("own")), True, "GET", "/own/again", [], None),
    "basic_again": (answer(200, b"fine", again("basicpassword")), True, "GET", "/basic/again", [("Authorization", "Basic " + BASIC)], None),
    "early_and_trailers": (early, True, "GET", "/early", REQUEST + [("TE", "trailers")], None),
    "referer": (answer(), True, "GET", "/referer", REQUEST + [("Referer", f"https://a.test/?api_key={QUOTED['query']}&b=1"),
                                                            ("X-Other", f"is {field('bearer')}")], None),
    "set_cookie": (answer(200, b"fine", [("Set-Cookie", f"session={field('setcookie').replace('=', '')}; HttpOnly")]), True, "GET", "/cookie", [], None),
    "form": (answer(), True, "POST", "/form", FORM, f"client_secret={QUOTED['form']}&grant=x".encode()),
    "redacted_json": (answer(200, json.dumps({"access_token": field("json"), "n": 1}).encode(), [JSON]), True, "POST", "/token", [JSON],
                      json.dumps({"access_token": field("json"), "a": 1}).encode()),
    "redacted_field": (answer(200, b"fine", [("X-Session", field("answer"))]), True, "GET", "/session", [("X-Session", field("header"))], None),
    "links_in_a_body": (linked("query"), True, "GET", f"/list?api_key={QUOTED['query']}", [], None),
    "in_a_body": (echo("bearer"), False, "GET", "/echo/1", REQUEST, None),
    "in_a_body_gzip": (echo("bearer", "gzip"), False, "GET", "/echo/2", REQUEST, None),
    "in_a_body_deflate": (echo("apikey", "deflate"), False, "GET", "/echo/3", REQUEST, None),
    "in_a_body_base64": (echo("bearer", how=lambda v: base64.b64encode(b"ab" + v)), False, "GET", "/echo/4", REQUEST, None),
    "in_a_body_quoted": (echo("cookie", how=lambda v: urllib.parse.quote(v, safe="").encode()), False, "GET", "/echo/5", REQUEST, None),
    "in_a_body_json": (echo("apikey", how=lambda v: v.replace(b"/", b"\\/").replace(b"&", b"\\u0026")), False, "GET", "/echo/6", REQUEST, None),
    "of_basic_in_a_body": (echo("basicpassword"), False, "GET", "/echo/7", [("Authorization", "Basic " + BASIC)], None),
    "its_own_in_a_body": (echo("own"), False, "GET", "/own/echo/8", [], None),
    "in_events": (events, False, "GET", "/events", REQUEST, None),
    "in_an_upload": (answer(), False, "PUT", "/upload", REQUEST, b"a file of " + SECRETS["bearer"]),
    "in_a_path": (answer(), True, "GET", f"/path/{QUOTED['path']}/x", [("X-Api-Key", field("path"))], None),
    "known_later": (answer(200, b"your token is " + SECRETS["later"], [TEXT]), False, "GET", "/login", [], None),
    "used_then": (answer(), True, "GET", "/then", [("Authorization", "Token " + field("later"))], None),
}


def serve(request, conn):
    path = request.target.partition("?")[0]
    handler = next((each[0] for each in EXCHANGES.values() if path == each[3].partition("?")[0]), answer(404))
    handler(request, conn)


@pytest.fixture
def recorded(daemons, origin, place):
    origin.script(serve)
    tape, own = place / "paper.weir", place / "own"
    own.write_text("Bearer " + field("own"))
    own.chmod(0o600)
    rest = upstream(origin, mode="record", snapshot={"path": str(tape), "redact": ["json:/access_token", "header:X-Session"]},
                    credential_headers=["Authorization", "Cookie", "X-Api-Key", "X-Listed"])
    mine = upstream(origin, name="mine", path="/own", mode="record", snapshot={"path": str(tape)}, auth={"header": "Authorization", "value_file": str(own)})
    d = daemons(rest, mine).start()
    for name, (_, _, method, target, fields, body) in EXCHANGES.items():
        prefix = "/mine" if name.startswith("its_own") else "/api"
        assert d.request(method, prefix + target.removeprefix("/own"), fields, body).complete, name
    d.stop()
    return d, tape


def test_no_credential_is_written(recorded):
    d, tape = recorded
    assert list(found_in(tape)) == []
    written = d.everything_written()
    # The log has the path as it was asked.
    assert [name for name, value in SECRETS.items() if name != "path" for form in forms(value) if form in written] == []


def test_what_can_be_masked_is_kept_and_nothing_else(recorded, origin):
    d, tape = recorded
    first, *lines = [json.loads(line) for line in (tape / "snapshot.jsonl").read_text().splitlines()]
    kept = {line["url"].removeprefix(origin.url).partition("?")[0] for line in lines}
    for name, (_, wanted, _, target, _, _) in EXCHANGES.items():
        path = "/path/" if name == "in_a_path" else target.partition("?")[0]
        assert any(each.startswith(path) for each in kept) == wanted, (name, sorted(kept))
    by_path = {line["url"].removeprefix(origin.url).partition("?")[0]: line for line in lines}
    assert by_path["/fields"]["url"].endswith("/fields?api_key={api_key}&q=1")
    assert {n.lower() for n, _ in by_path["/fields"]["request"]["headers"]}.isdisjoint({"authorization", "x-api-key", "cookie", "x-listed"})
    links = [v for n, v in by_path["/again"]["response"]["headers"] if n == "Link"]
    assert links and all(v == '<https://a.test/?api_key=***&p=2>; rel="next"' for v in links)
    bodies = {line["url"]: (tape / "bodies" / line["response"]["body"]).read_text() for line in lines if line["response"]["body"]}
    assert '"access_token": "{access_token}"' in bodies[origin.url + "/token"]
    assert "api_key={api_key}&x=1" in bodies[by_path["/list"]["url"]]
    assert {"authorization", "x-listed", "header:x-session", "json:/access_token"} <= set(first["redacted"])
    named = {path.name for path in (tape / "bodies").iterdir()}
    assert named == {line[side]["body"] for line in lines for side in ("request", "response") if line[side]["body"]}
