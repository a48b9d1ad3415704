"""Each problem that Weir can answer with has a type, and a page that explains it."""
import json
import pathlib
import re

import pytest

TABLE = pathlib.Path(__file__).parents[2] / "src/http/problem.def"
ROWS = re.findall(r'PROBLEM\((\w+), (\d+), "([a-z0-9-]+)", "([^"]+)"', TABLE.read_text())
SOURCES = TABLE.parents[1]


def test_the_table_is_read_whole():
    assert len(ROWS) == TABLE.read_text().count("\nPROBLEM(") > 50


def test_each_has_its_page(weir):
    d = weir()
    for _, status, name, title in ROWS:
        page = d.get(f"/.weir/errors/{name}")
        assert page.status == 200 and page.fields.get("Content-Type") == "text/plain; charset=utf-8"
        first, empty, *rest = page.body.decode().splitlines()
        assert first == f"{title} ({status})" and empty == "" and len(rest) == 2
        assert d.admin("GET", f"/errors/{name}").body == page.body
    assert d.request("HEAD", f"/.weir/errors/{ROWS[0][2]}").body == b""
    assert d.get("/.weir/errors/nonsense").status == d.admin("GET", "/errors/nonsense").status == d.admin("GET", "/errors/").status == 404


def test_each_that_the_code_makes_is_in_the_table():
    known = {row[0] for row in ROWS} | {"NONE", "COUNT", "TYPE", "PAGES", "MEDIA_TYPE", "ONE_LINE", "INDENTED", "BYTES"}
    made = set()
    for path in SOURCES.rglob("*.c"):
        made |= set(re.findall(r"\bPROBLEM_([A-Z0-9_]+)\b", path.read_text()))
    assert made <= known, made - known
    unused = {row[0] for row in ROWS} - made
    assert not unused, unused


@pytest.mark.parametrize("target, fields, name", [
    ("/nobody/x", [], "no-upstream"),
    ("/.weir/nothing", [], "no-endpoint"),
    ("/api/x", [("Cache-Control", "only-if-cached")], "not-cached"),
    ("/api/x", [("Weir-Max-Wait", "soon")], "malformed-request"),
    ("/api/x", [("Sec-Fetch-Site", "cross-site")], "other-site"),
    ("/api/x", [("Upgrade", "websocket"), ("Connection", "Upgrade")], "websocket"),
    ("/api/x", [("Host", "elsewhere.example")], "unknown-host"),
    ("/api/x", [("X-Long", "x" * 40000)], "head-too-large"),
])
def test_the_type_leads_to_the_page(weir, target, fields, name):
    """A tag never leads to the API, as a relative type inside a CONNECT would."""
    d = weir()
    reply = d.get(target, fields)
    problem = json.loads(reply.body)
    assert problem["type"] == f"tag:weir,2026:{name}" and problem["status"] == reply.status
    assert d.get("/.weir/errors/" + problem["type"].rpartition(":")[2]).status == 200


def test_the_admin_socket_says_types_too(weir):
    d = weir()
    assert json.loads(d.admin("GET", "/nothing").body)["type"] == "tag:weir,2026:no-endpoint"
