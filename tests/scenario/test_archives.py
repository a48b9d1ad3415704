"""What other people's readers make of a HAR and a WARC of Weir's, and Weir of a HAR that a browser saved.

HAR: har-validator of npm, by the schema of HAR 1.2, and the importer of Chromium's developer tools, which then save what they
read as a person would.  WARC: warcio of npm.  Strict readers of our own are in test_export.py.
"""
import base64
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from harness.chromium import Browser
from harness.daemon import environment
from harness.wait import seconds, until

pytestmark = pytest.mark.real_clients

FRESH = [("Cache-Control", "max-age=86400")]
JSON = ("Content-Type", "application/json")
BINARY = bytes(range(256)) * 1000
CODED = gzip.compress(b'{"n": 1}', mtime=0)
BROTLI = base64.b64decode("CwmAeyJiIjogWzEsIDIsIDMsIDRdfQM=")                         # {"b": [1, 2, 3, 4]}
PLAIN = {"/json": b'{"a": "\xc3\xa4"}', "/binary": BINARY, "/coded": b'{"n": 1}', "/brotli": b'{"b": [1, 2, 3, 4]}', "/empty?q=1": b"",
         "/long": b"x" * 700_000, "/none": b"not here", "/moved": b""}
CLIENTS = pathlib.Path(__file__).parent / "clients"

# The developer tools' own code, which Chromium has inside: what "Import HAR file" and "Export HAR" do.
DEVELOPER_TOOLS = """(async text => {
  const { HARFormat, Importer, Writer } = await import('/devtools/models/har/har.js');
  const { Progress } = await import('/devtools/core/common/common.js');
  const { DevToolsLocale, i18n } = await import('/devtools/core/i18n/i18n.js');
  const data = { settingLanguage: 'en-US', navigatorLanguage: 'en-US', lookupClosestDevToolsLocale: () => 'en-US' };
  DevToolsLocale.DevToolsLocale.instance({ create: true, data });
  i18n.registerLocaleDataForTest('en-US', {});
  const requests = Importer.Importer.requestsFromHARLog(new HARFormat.HARRoot(JSON.parse(text)).log);
  const rows = [];
  for (const r of requests) {
    const content = await r.requestContentData();
    rows.push({ method: r.requestMethod, url: r.url(), status: r.statusCode, type: r.mimeType, error: content.error ?? null,
                text: content.isTextContent ? content.text : null, base64: content.isTextContent ? null : content.base64,
                fields: r.responseHeaders.map(f => [f.name, f.value]), start: r.startTime, end: r.endTime, kind: r.resourceType().name() });
  }
  let saved = '';
  await Writer.Writer.write({ write: async piece => { saved += piece; } }, requests, { sanitize: false }, new Progress.Progress());
  return { rows, saved };
})"""


def fill(d, origin):
    coded = {"/coded": (CODED, "gzip"), "/brotli": (BROTLI, "br")}
    for target, plain in PLAIN.items():
        body, coding = coded.get(target, (plain, None))
        fields = FRESH + ([("Content-Encoding", coding), ("Vary", "Accept-Encoding")] if coding else [])
        fields += [("Content-Type", "image/png")] if target == "/binary" else [JSON]
        fields += [("Location", "/json")] if target == "/moved" else []
        origin.reply({"/none": 404, "/moved": 301}.get(target, 200), body, fields)
        d.get("/api" + target, [("Accept-Encoding", coding)] if coding else [])
    d.wait_stored(len(PLAIN))


@pytest.fixture
def exported(weir, origin, place):
    """The cache of a daemon as HAR and as WARC: their paths."""
    d = weir()
    fill(d, origin)
    paths = [place / "it.har", place / "it.warc"]
    for path in paths:
        assert d.ctl("export", "--format", path.suffix[1:], "-o", str(path)).returncode == 0
    d.stop()
    return paths


def test_readers_of_npm(exported, origin, place):
    ran = subprocess.run([shutil.which("node"), CLIENTS / "archives.mjs", *exported], env=environment(place, WEIR_NODE_MODULES=os.environ["WEIR_NODE_MODULES"]),
                         capture_output=True, text=True, timeout=seconds(50), check=False)
    assert ran.returncode == 0, ran
    said = json.loads(ran.stdout)
    assert said["har"] is None, said["har"]
    info, *records = said["records"]
    assert info["type"] == "warcinfo" and len(records) == 2 * len(PLAIN)
    asked = {r["concurrent"]: r for r in records if r["type"] == "request"}
    answers = {r["url"].removeprefix(origin.url): r for r in records if r["type"] == "response"}
    for target, plain in PLAIN.items():
        body = {"/coded": CODED, "/brotli": BROTLI}.get(target, plain)
        answer, request = answers[target], asked[answers[target]["id"]]
        assert request["method"] == "GET" and request["url"] == answer["url"]
        assert str(answer["status"]) == str({"/none": 404, "/moved": 301}.get(target, 200))
        assert answer["sha256"] == hashlib.sha256(body).hexdigest() and answer["digest"] == f"sha256:{answer['sha256']}", target


def test_developer_tools_read_it_and_what_they_save_is_imported(exported, weir, origin, place):
    text = exported[0].read_text()
    with Browser(place, "--remote-debugging-port=0") as browser:
        active = place / "chromium" / "DevToolsActivePort"
        until(active.exists, "the browser's port")
        tab = browser.tab(f"http://127.0.0.1:{active.read_text().split()[0]}/json/version")
        tab.until("document.readyState == 'complete' && location.port")
        tab.run(f"void (globalThis.har = {json.dumps(text)})")
        told = tab.run(f"{DEVELOPER_TOOLS}(har)")
    entries = {e["request"]["url"]: e for e in json.loads(text)["log"]["entries"]}
    assert len(told["rows"]) == len(PLAIN)
    for row in told["rows"]:
        target, entry = row["url"].removeprefix(origin.url), entries[row["url"]]
        body = row["text"].encode() if row["text"] is not None else base64.b64decode(row["base64"] or "")
        assert body == PLAIN[target] and row["error"] is None, (target, row["error"], body[:50])
        assert (row["method"], row["status"], row["kind"]) == ("GET", entry["response"]["status"], "fetch")
        assert row["fields"] == [[f["name"], f["value"]] for f in entry["response"]["headers"]]
        assert row["type"] == ("image/png" if target == "/binary" else "application/json")
        assert row["end"] >= row["start"] > 0
    saved = place / "saved.har"
    saved.write_text(told["saved"])
    seen = origin.count()
    d = weir(ttl="forever")
    said = json.loads(d.ctl("--json", "import", str(saved)).stdout)
    assert said["imported"] == len(PLAIN), (said, told["saved"][:2000])
    for target, plain in PLAIN.items():
        answer = d.get("/api" + target)
        assert answer.body == plain and "hit" in answer.cache and "Content-Encoding" not in answer.fields, target
    assert origin.count() == seen
