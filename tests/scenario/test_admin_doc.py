"""doc/ADMIN.md and the endpoints' rows say the same, and each row says what it needs."""
import http.client
import json
import pathlib
import re

import pytest

from harness.client import Client
from harness.origin import answer
from harness.settings import upstream
from harness.wait import seconds

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "doc/ADMIN.md").read_text()
ROW = re.compile(r'const struct endpoint endpoint_(\w+)\s*=\s*\{\s*"([^"]+)",\s*HTTP_(\w+),\s*\w+,\s*([^}]*?)\s*\};')
ROWS = {m[1]: (m[2] + "NAME" * m[2].endswith("/"), m[3], {word.strip() for word in m[4].split("|")})
        for path in sorted((ROOT / "src/admin").glob("*.c")) for m in ROW.finditer(path.read_text())}
LISTED = re.findall(r"^    X\((\w+)\)", (ROOT / "src/admin/admin.c").read_text(), re.M)
SECTIONS = dict(re.findall(r"^## ((?:GET|POST) /\S+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


def test_each_endpoint_has_a_row_that_says_what_it_needs():
    assert set(LISTED) == set(ROWS) and len(ROWS) > 15
    for path, _, needs in ROWS.values():
        assert len(needs & {"ON_QUERY_SOCKET", "ON_ADMIN_SOCKET_ALONE"}) == 1, (path, needs)
        assert needs <= {"ON_QUERY_SOCKET", "ON_ADMIN_SOCKET_ALONE", "WITHOUT_DAEMON"}, (path, needs)


def test_each_endpoint_has_its_section():
    for path, method, needs in ROWS.values():
        section = SECTIONS.get(f"{method} {path}")
        if section is None:
            assert f"| `{method} {path}`" in PAGE, f"doc/ADMIN.md does not describe {method} {path}"
        elif needs & {"ON_ADMIN_SOCKET_ALONE"}:
            assert "On `admin.sock`" in section and "both sockets" not in section, path
        else:
            assert "`query.sock`" in section or "both sockets" in section or "as `/entries`" in section, path
    known = {f"{method} {path}" for path, method, _ in ROWS.values()}
    assert set(SECTIONS) <= known, set(SECTIONS) - known


def test_each_member_of_a_finished_request_is_described():
    members = re.findall(r'^    (?:\{ |[A-Z]+_FIELD\( *)"(\w+)"', (ROOT / "src/engine/record.c").read_text(), re.M)
    assert len(members) > 20
    assert [name for name in members if f'"{name}":' not in SECTIONS["GET /log"] and f"`{name}`" not in SECTIONS["GET /log"]] == []


ONCE = {"/top": "?once=1&interval=100ms"}         # else it has no end


def test_what_changes_something_is_for_the_admin_socket_alone(weir):
    """Whatever the method, on query.sock a row of the other kind is refused, and nothing else is."""
    d = weir()
    query = d.admin_path.replace("admin.sock", "query.sock")
    for path, method, needs in ROWS.values():
        for asked in {method, "GET", "POST", "PUT"}:
            with Client(query) as client:
                r = client.request(asked, path + ONCE.get(path, ""), [("Host", "localhost")], body=b"{}" if asked != "GET" else None)
            refused = r.status == 403 and json.loads(r.body)["type"].endswith(":not-here")
            assert refused == ("ON_ADMIN_SOCKET_ALONE" in needs), (asked, path, r.status)


# How each that is served there is asked for what is not the caller's; "": as it is.
WANTS = {"/status": "", "/limits": "", "/upstreams": "", "/ca": "", "/metrics": "", "/log": "", "/top": ONCE["/top"],
         "/entries": "?url=**", "/entry": "?url=/theirs/hidden", "/errors/NAME": "", "/explain": b'{"url": "/theirs/hidden"}', "/run": b"{}", "/run/end": b"{}"}


def test_what_is_served_to_all_tells_nothing_of_others(daemons, origin):
    """An upstream that is not for the caller, and what is stored under another's credential."""
    origin.reply(200, b"x", [("Cache-Control", "max-age=600")])
    d = daemons(upstream(origin, name="theirs", access=["127.0.0.2"], limits=["9/min"]), upstream(origin, name="all")).start()
    for target, fields in (("/theirs/hidden", {}), ("/all/concealed", {"Authorization": "Bearer mine"})):
        other = http.client.HTTPConnection(*d.address, timeout=seconds(10), source_address=("127.0.0.2", 0))
        other.request("GET", target, headers=fields)
        assert other.getresponse().status == 200
        other.close()
    d.wait_stored(2)
    assert b"hidden" in d.admin("GET", "/entries").body and b"theirs" in d.admin("GET", "/status").body
    query = d.admin_path.replace("admin.sock", "query.sock")
    for path, method, needs in ROWS.values():
        if "ON_QUERY_SOCKET" not in needs:
            continue
        wanted = WANTS[path]                    # a new endpoint says here how
        with Client(query) as client:
            r = client.request(method, path + ("" if isinstance(wanted, bytes) else wanted), [("Host", "localhost")],
                               body=wanted if isinstance(wanted, bytes) else None)
        # /entry says again what it was asked for; all lines of the log are of this one user.
        for secret in (b"hidden", b"concealed", b"theirs") if path not in ("/entry", "/log", "/top") else ():
            assert secret not in r.body, (path, r.body)
        if path == "/explain":
            assert json.loads(r.body)["denied"] is True
        if path == "/entry":
            assert r.status == 404


# -- members --

def members(section):
    """The paths that a section's table names: `a`, `b.c`, `list[].d`."""
    return [name for row in re.findall(r"^\| (`[^|]*`) \|", section, re.M) for name in re.findall(r"`([^`]+)`", row)]


def values_at(value, path):
    for part in path.split("."):
        name = part.removesuffix("[]")
        value = [v[name] for v in value if isinstance(v, dict) and name in v]
        if part.endswith("[]"):
            value = [item for v in value for item in v]
    return value


# Not in every answer: where they come is another test's.
SELDOM = {"limits[].credential", "limits[].lost_ago_s", "limits[].metered", "failed", "detail", "tls_ms", "certificate_days", "chain",
          ("POST /upstreams/check", "mode")}
ASKED = {"POST /limits/set": b'{"upstream": "api", "limit": "60/h", "left": 5}',
         "POST /mode": b'{"upstream": "api", "mode": "read_only", "for": "1h"}'}


@pytest.mark.parametrize("endpoint", sorted(name for name, section in SECTIONS.items() if "| member | |" in section))
def test_every_documented_member_comes_and_every_one_that_comes_is_documented(weir, origin, endpoint):
    origin.script(answer(200, b"x", [("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "10"), ("X-RateLimit-Reset", "3000")]))
    d = weir(limits=["60/h"], settings={"proxy": {"listen": "127.0.0.1:0"}})
    assert d.get("/api/a").status == 200
    reply = d.admin(*endpoint.split(), ASKED.get(endpoint))
    assert reply.status == 200, reply.body
    got = json.loads(reply.body.splitlines()[0] if endpoint.endswith("/check") else reply.body)
    documented = members(SECTIONS[endpoint])
    assert documented
    for path in documented:
        assert values_at([got], path) or path in SELDOM or (endpoint, path) in SELDOM, path
    tops = {path.split(".")[0].removesuffix("[]") for path in documented}
    assert set(got) <= tops, set(got) - tops
    for name in tops:
        deeper = {path.split(".")[1] for path in documented if path.startswith((f"{name}[].", f"{name}."))}
        for item in values_at([got], name + "[]") if deeper and isinstance(got[name], list) else [got[name]] if deeper else []:
            assert set(item) <= deeper, (name, set(item) - deeper)
