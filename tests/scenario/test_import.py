"""weirctl import: snapshots, HAR and WARC become hits, and what is private nobody's."""
import base64
import gzip
import json
import zipfile

import pytest

from harness.client import Client
from harness.origin import answer

FRESH = [("Cache-Control", "max-age=86400")]
BINARY = bytes(range(256)) * 1200                   # more than a record holds: a file
CODED = gzip.compress(b'{"n": 1}', mtime=0)
GZIP = [("Accept-Encoding", "gzip")]
BODIES = {"/json": b'{"a": "\xc3\xa4"}', "/binary": BINARY, "/coded": CODED, "/empty?q=1": b""}


@pytest.fixture
def exported(weir, origin, tmp_path):
    """The cache of a daemon in all formats: {format: path}."""
    d = weir()
    for target, body in BODIES.items():
        coded = [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")] if target == "/coded" else []
        origin.reply(body=body, fields=FRESH + coded + [("Content-Type", "application/json" if target != "/binary" else "image/png")])
        assert d.get("/api" + target, GZIP if coded else []).status == 200
    d.wait_stored(len(BODIES))
    paths = {}
    for kind in ("snapshot", "har", "warc"):
        paths[kind] = tmp_path / f"it.{kind}"
        assert d.ctl("export", "--format", kind, "-o", str(paths[kind])).returncode == 0
    paths["zip"] = tmp_path / "it.zip"
    with zipfile.ZipFile(paths["zip"], "w", zipfile.ZIP_DEFLATED) as z:
        for path in paths["snapshot"].rglob("*"):
            if path.is_file():
                z.write(path, "it.weir/" + str(path.relative_to(paths["snapshot"])))
    paths["warc.gz"] = tmp_path / "it.warc.gz"
    paths["warc.gz"].write_bytes(gzip.compress(paths["warc"].read_bytes()))
    d.stop()
    return paths


def imported(d, path, *arguments, status=0):
    result = d.ctl("--json", "import", *arguments, str(path))
    assert result.returncode == status, (result.stdout, result.stderr)
    return json.loads(result.stdout)


@pytest.mark.parametrize("kind", ["snapshot", "zip", "har", "warc", "warc.gz"])
def test_what_is_imported_is_a_hit_byte_for_byte(exported, daemons, weir, origin, kind):
    d = weir()
    seen = len(origin.requests)
    said = imported(d, exported[kind])
    assert said == {"imported": 4, "private": 0, "not_storable": 0, "too_large": 0, "no_answer": 0, "no_upstream": 0}
    for target, body in BODIES.items():
        r = d.get("/api" + target, GZIP if target == "/coded" else [])
        assert r.status == 200 and r.body == body and "hit" in r.cache, (target, r.fields)
    assert len(origin.requests) == seen
    assert imported(d, exported[kind])["imported"] == 4          # again: nothing is there twice
    assert len(json.loads(d.ctl("--json", "ls").stdout)["entries"]) == 4


def test_a_body_of_any_length(weir, origin, tmp_path):
    body = bytes(i * i % 251 for i in range(1_000_003)) + b"\n" * 100 + BINARY * 8
    path = tmp_path / "x.har"
    path.write_text(har(entry(origin.url + "/large", {"size": len(body), "mimeType": "image/png", "text": base64.b64encode(body).decode(),
                                                      "encoding": "base64"})))
    d = weir(rules=[{"match": "/**", "ttl": "forever"}], max_object_size="4MiB")
    assert imported(d, path)["imported"] == 1
    assert d.get("/api/large").body == body and not origin.requests
    path.write_text(path.read_text().replace("/large", "/larger").replace('"text": "', '"text": "' + base64.b64encode(bytes(3 << 20)).decode()))
    said = imported(d, path)
    assert (said["imported"], said["not_storable"]) == (0, 1)


def test_a_body_after_its_line(weir, origin):
    """As a program sends it: what stands in the question comes first, whoever asks."""
    d = weir(rules=[{"match": "/**", "ttl": "forever"}])
    line = json.dumps({"method": "GET", "url": origin.url + "/x", "time": 1, "took": 1, "status": 200, "request": [], "fields": []}).encode()
    for content, status in ((line + b"\nbody\n", 200), (line + b"\n", 200), (line, 400), (line[:-1] + b', "body": ""}\n', 400), (b"\n", 400)):
        answer = d.admin("POST", "/import?body=after", content)
        assert answer.status == status, (content, answer)
    assert d.admin("POST", "/import?body=after", line + b"\nbody\n").status == 200 and d.get("/api/x").body == b"body\n"
    with Client(str(d.directory / "query.sock")) as client:      # who may only read takes no more than a question's room
        answer = client.request("POST", "/import?body=after", body=line + b"\n" + bytes(1 << 20))
        assert answer.status == 413, answer


def har(*entries):
    return json.dumps({"log": {"version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "pages": [], "entries": list(entries)}})


def entry(url, content, status=200, asked=(), fields=(), **more):
    """As Chromium's developer tools save it."""
    return {"_initiator": {"type": "other"}, "_priority": "High", "_resourceType": "fetch", "cache": {}, "connection": "443",
            "pageref": "page_1",
            "request": {"method": "GET", "url": url, "httpVersion": "http/2.0", "queryString": [], "cookies": [], "headersSize": -1, "bodySize": 0,
                        "headers": [{"name": n, "value": v} for n, v in ((":authority", "x"), (":method", "GET"), ("accept", "*/*"), *asked)]},
            "response": {"status": status, "statusText": "", "httpVersion": "http/2.0", "cookies": [], "redirectURL": "", "headersSize": -1,
                         "bodySize": -1, "_transferSize": 100, "_error": None, "content": content,
                         "headers": [{"name": n, "value": v} for n, v in (("cache-control", "max-age=600"), ("content-encoding", "br"), *fields)]},
            "serverIPAddress": "[::1]", "startedDateTime": "2020-01-31T13:00:00.123+01:00", "time": 12.34,
            "timings": {"blocked": 1.2, "dns": -1, "ssl": -1, "connect": -1, "send": 0.1, "wait": 10, "receive": 1, "_queued": 1}} | more


def test_a_har_that_a_browser_saved_is_imported(weir, origin, tmp_path):
    d = weir(rules=[{"match": "/**", "ttl": "forever"}])
    path = tmp_path / "saved.har"
    path.write_text("\ufeff" + har(
        entry(origin.url + "/text", {"size": 6, "mimeType": "text/plain", "text": "grüß"}),
        entry(origin.url + "/png", {"size": 3, "mimeType": "image/png", "text": base64.b64encode(b"\x00\xff\x01").decode(), "encoding": "base64"}),
        entry(origin.url + "/gone", {"size": 7, "mimeType": "text/plain"}),
        entry(origin.url + "/blocked", {"size": 0, "mimeType": "x-unknown"}, status=0),
        entry(origin.url + "/mine", {"size": 1, "mimeType": "text/plain", "text": "m"}, asked=[("authorization", "Bearer of-mine")]),
        entry(origin.url + "/cookie", {"size": 1, "mimeType": "text/plain", "text": "c"}, fields=[("set-cookie", "a=1\nb=2")])))
    assert imported(d, path) == {"imported": 2, "private": 2, "not_storable": 0, "too_large": 0, "no_answer": 2, "no_upstream": 0}
    r = d.get("/api/text")
    assert r.body == "grüß".encode() and "Content-Encoding" not in r.fields and "hit" in r.cache
    assert d.get("/api/png").body == b"\x00\xff\x01"
    row = json.loads(d.ctl("--json", "ls", "/api/text").stdout)["entries"][0]
    assert row["age_s"] > 5 * 365 * 86400                        # from the time it was asked
    assert not origin.requests


def test_what_is_private_becomes_whose_an_admin_says(weir, origin, tmp_path):
    path = tmp_path / "x.har"
    path.write_text(har(entry(origin.url + "/mine", {"size": 1, "mimeType": "text/plain", "text": "m"}, asked=[("authorization", "Bearer of-mine")]),
                        entry(origin.url + "/all", {"size": 1, "mimeType": "text/plain", "text": "a"})))
    d = weir(rules=[{"match": "/**", "ttl": "forever"}])
    assert imported(d, path, "--as", "shared")["imported"] == 2
    assert d.get("/api/mine").body == b"m" and not origin.requests
    result = d.ctl("import", "--as", "auth:api", str(path))
    assert result.returncode == 1 and "adds no credential" in result.stderr
    d.stop()
    token = tmp_path / "token"
    token.write_text("Bearer weirs-own-token")
    token.chmod(0o600)
    d = weir(rules=[{"match": "/**", "ttl": "forever"}], auth={"header": "Authorization", "value_file": str(token)})
    assert imported(d, path)["private"] == 1
    assert imported(d, path, "--as", "auth:api")["imported"] == 2
    assert d.get("/api/mine").body == b"m" and not origin.requests
    result = d.ctl("import", "--as", "shared", str(path))
    assert result.returncode == 1 and "auth:api" in result.stderr


def test_what_cannot_be_imported_says_why(weir, origin, tmp_path):
    d = weir()
    cases = {"other.har": (har(entry("https://nobody.example/", {"size": 0, "mimeType": "x"})), "No upstream has the host"),
             "empty": ("", "none of these"), "text": ("hello", "none of these"), "list.har": ('{"log": {}}', "log.entries"),
             "half.har": ('{"log": {"ent', "no JSON"), "half.warc": ("WARC/1.1\r\nContent-Length: 99\r\n\r\n", "record 1"),
             "bad.zip": ("PK\x03\x04", "zip"), "none": (None, "cannot be opened")}
    for name, (text, said) in cases.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        result = d.ctl("import", str(tmp_path / name))
        assert result.returncode == 1 and said in result.stderr, (name, result.stderr)
    result = d.ctl("import", "--as", "me", str(tmp_path / "text"))
    assert result.returncode == 2 and "auth:UPSTREAM" in result.stderr
    assert d.admin("POST", "/import", b'{"url": 7}').status == 400
