"""weirctl export: what is stored as a snapshot, as HAR 1.2 and as WARC 1.1, which strict readers take."""
import base64
import gzip
import hashlib
import json
import re
import zipfile

import pytest

FRESH = [("Cache-Control", "max-age=3600")]
BINARY = bytes(range(256)) * 1000
CODED = gzip.compress(b'{"n": 1}', mtime=0)
SECRET = "s3cr3t-0f-mine"


@pytest.fixture
def filled(weir, origin):
    d = weir()
    for target, body, fields, asked in (
            ("/json", b'{"a": "\xc3\xa4"}', [("Content-Type", "application/json")], []),
            ("/binary", BINARY, [("Content-Type", "image/png")], []),
            ("/coded", CODED, [("Content-Type", "application/json"), ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")],
             [("Accept-Encoding", "gzip")]),
            ("/empty?q=1", b"", [("X-Odd", "\xe4")], []),
            ("/mine?api_key=" + SECRET, b"mine", [("Link", f"</?api_key={SECRET}>; rel=next")], [])):
        origin.reply(body=body, fields=FRESH + fields)
        assert d.get("/api" + target, asked).status == 200
    d.wait_stored(5)
    return d


def export(d, tmp_path, name, *arguments, status=0):
    path = tmp_path / name
    result = d.ctl("export", "-o", str(path), *arguments)
    assert result.returncode == status, (result.stdout, result.stderr)
    return path


def test_a_snapshot_of_the_cache_is_a_folder_that_diffs(filled, origin, tmp_path):
    path = export(filled, tmp_path, "a.weir")
    first, *lines = [json.loads(line) for line in (path / "snapshot.jsonl").read_text().splitlines()]
    assert first["weir"] == 1 and first["match"] == ["method", "url", "body"] and "authorization" in first["redacted"]
    by_url = {line["url"].removeprefix(origin.url): line for line in lines}
    assert set(by_url) == {"/json", "/binary", "/coded", "/empty?q=1", "/mine?api_key={api_key}"}
    for target, body in (("/json", b'{"a": "\xc3\xa4"}'), ("/binary", BINARY), ("/coded", CODED)):
        answer = by_url[target]["response"]
        kept = (path / "bodies" / answer["body"]).read_bytes()
        assert kept == body and answer["bytes"] == len(body)
        assert answer["body"].split(".")[0] == hashlib.sha256(body).hexdigest()
    assert by_url["/empty?q=1"]["response"]["body"] is None
    assert ["Accept-Encoding", "gzip"] in [[n.title(), v] for n, v in by_url["/coded"]["request"]["headers"]]
    for file in [path / "snapshot.jsonl", *(path / "bodies").iterdir()]:
        assert SECRET.encode() not in file.read_bytes()
    second = export(filled, tmp_path, "b.weir")
    assert (path / "snapshot.jsonl").read_text().split("\n", 1)[1] == (second / "snapshot.jsonl").read_text().split("\n", 1)[1]


def test_a_zip_of_it(filled, tmp_path):
    folder, packed = export(filled, tmp_path, "a.weir"), export(filled, tmp_path, "a.zip")
    with zipfile.ZipFile(packed) as z:
        files = {name: z.read(name) for name in z.namelist()}
    there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for each in (files, there):
        each["snapshot.jsonl"] = each["snapshot.jsonl"].split(b"\n", 1)[1]                # line 1 says when
    assert files == there and list(files) == sorted(files, key=lambda name: ("/" in name, name))
    assert not [path for path in tmp_path.iterdir() if path.name not in ("a.weir", "a.zip")]
    result = filled.ctl("export", "-o", str(packed))
    assert result.returncode == 1 and "File exists" in result.stderr
    result = filled.ctl("export", "-o", str(tmp_path / "no" / "x.zip"))
    assert result.returncode == 1 and "No such file" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] in "ax") == ["a.weir", "a.zip"]


# HAR 1.2 (softwareishard.com/blog/har-12-spec): what must be there, and of which kind.
NAMED = {"name": str, "value": str}
HAR = {"startedDateTime": str, "time": (int, float), "cache": dict,
       "request": {"method": str, "url": str, "httpVersion": str, "cookies": list, "headers": [NAMED], "queryString": [NAMED],
                   "headersSize": int, "bodySize": int},
       "response": {"status": int, "statusText": str, "httpVersion": str, "cookies": list, "headers": [NAMED],
                    "content": {"size": int, "mimeType": str}, "redirectURL": str, "headersSize": int, "bodySize": int},
       "timings": {"send": (int, float), "wait": (int, float), "receive": (int, float)}}
OPTIONAL = {"text", "encoding", "compression", "postData", "comment", "params", "pageref", "serverIPAddress", "connection"}


def check_har(value, shape, where="entry"):
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        for name, kind in shape.items():
            check_har(value[name], kind, f"{where}.{name}")
        assert all(name in shape or name in OPTIONAL or name.startswith("_") for name in value), (where, set(value) - set(shape))
    elif isinstance(shape, list):
        for item in value:
            check_har(item, shape[0], where)
    else:
        assert isinstance(value, shape), where


def test_a_har_keeps_to_its_standard(filled, origin, tmp_path):
    log = json.loads(export(filled, tmp_path, "a.har", "--format", "har").read_text())["log"]
    assert log["version"] == "1.2" and log["creator"]["name"] == "Weir"
    for entry in log["entries"]:
        check_har(entry, HAR)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["startedDateTime"])
        assert entry["time"] == sum(t for t in entry["timings"].values() if t >= 0)
    contents = {e["request"]["url"].removeprefix(origin.url): e["response"]["content"] for e in log["entries"]}
    assert contents["/json"]["text"] == '{"a": "ä"}' and "encoding" not in contents["/json"]
    assert base64.b64decode(contents["/binary"]["text"]) == BINARY and contents["/binary"]["encoding"] == "base64"
    assert contents["/coded"]["text"] == '{"n": 1}' and base64.b64decode(contents["/coded"]["_body"]) == CODED
    assert SECRET not in json.dumps(log)


def warc_records(data):
    """The grammar of ISO 28500:2017, 5 and annex B, and nothing else: (fields, block) of each record."""
    while data:
        head, data = data.split(b"\r\n\r\n", 1)
        version, *lines = head.split(b"\r\n")
        assert version == b"WARC/1.1"
        fields = {}
        for line in lines:
            match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\x00-\x08\x0a-\x1f\x7f]*)", line)
            assert match and match[1].lower() not in fields, line
            fields[match[1].decode().lower()] = match[2].decode()
        assert {"warc-record-id", "content-length", "warc-date", "warc-type"} <= set(fields)
        assert re.fullmatch(r"<urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}>", fields["warc-record-id"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", fields["warc-date"])
        length = int(fields["content-length"])
        block, data = data[:length], data[length:]
        assert len(block) == length and data.startswith(b"\r\n\r\n")
        data = data[4:]
        yield fields, block


def test_a_warc_keeps_to_its_standard(filled, origin, tmp_path):
    records = list(warc_records(export(filled, tmp_path, "a.warc", "--format", "warc").read_bytes()))
    assert records[0][0]["warc-type"] == "warcinfo" and records[0][0]["content-type"] == "application/warc-fields"
    ids = [fields["warc-record-id"] for fields, _ in records]
    assert len(set(ids)) == len(ids) == 11
    bodies = {}
    for fields, block in records[1:]:
        assert re.fullmatch(r"[!-~]+", fields["warc-target-uri"]) and not set("<>{}") & set(fields["warc-target-uri"])
        head, body = block.split(b"\r\n\r\n", 1)
        assert fields["warc-payload-digest"] == "sha256:" + hashlib.sha256(body).hexdigest()
        if fields["warc-type"] == "request":
            assert fields["content-type"] == "application/http;msgtype=request" and fields["warc-concurrent-to"] in ids
            assert re.match(rb"GET /\S* HTTP/1\.1\r\nHost: ", head)
        else:
            assert fields["warc-type"] == "response" and fields["content-type"] == "application/http;msgtype=response"
            assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: %d" % len(body) in head
            bodies[fields["warc-target-uri"].removeprefix(origin.url)] = body
    assert bodies["/binary"] == BINARY and bodies["/coded"] == CODED and bodies["/empty?q=1"] == b""
    assert "/mine?api_key=%7Bapi_key%7D" in bodies or "/mine?api_key=***" in bodies


def test_a_part_of_the_cache_and_what_is_refused(filled, origin, tmp_path):
    path = export(filled, tmp_path, "part.weir", "/api/json")
    assert len((path / "snapshot.jsonl").read_text().splitlines()) == 2
    assert json.loads(filled.ctl("--json", "export", "-o", str(tmp_path / "none"), "/api/nothing").stdout)["exported"] == 0
    for arguments, status, said in (([], 2, "-o PATH"), (["-o", str(tmp_path / "x"), "--format", "pdf"], 2, "snapshot, har or warc"),
                                    (["-o", str(path), "--format", "har"], 1, "cannot be made"),
                                    (["-o", str(tmp_path / "no" / "x")], 1, "cannot be made"),
                                    (["-o", str(tmp_path / "y"), "--upstream", "none"], 1, "no upstream")):
        result = filled.ctl("export", *arguments)
        assert result.returncode == status and said in result.stderr, (arguments, result.stderr)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.tex").write_text("")
    result = filled.ctl("export", "-o", str(tmp_path / "thesis"))
    assert result.returncode == 1 and "a.tex" in result.stderr
