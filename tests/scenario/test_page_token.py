"""The admin's TCP address: a token for everything but the page's files, and nothing for pages of other sites."""
import json
import os
import re
import shutil
import subprocess

import pytest

from harness import page
from harness.client import Client
from harness.clock import HOUR, MINUTE
from harness.daemon import environment
from harness.settings import upstream
from harness.wait import WEIRCTL, until

READS = ["/status", "/limits", "/upstreams", "/entries", "/ca", "/metrics", "/nothing"]
CHANGES = ["/flush", "/purge", "/reload", "/limits/forget", "/compact", "/reopen", "/ca/rotate", "/session/end", "/dashboard"]


@pytest.fixture
def paged(weir):
    return lambda **kwargs: weir(settings=page.LISTEN, **kwargs)


@pytest.mark.parametrize("method, path", [("GET", p) for p in READS] + [("POST", p) for p in CHANGES])
def test_without_a_token_nothing_is_answered(paged, method, path):
    d = paged()
    for fields in ([], [("Authorization", "Bearer")], [("Authorization", "Bearer wrong")], [("Authorization", "Basic d2Vpcjp3ZWly")],
                   [("Cookie", "token=" + page.token(d))]):
        r = page.ask(d, method, path, fields, b"{}" if method == "POST" else None)
        assert r.status == 401 and r.fields.get("WWW-Authenticate") == 'Bearer realm="weir"'
        assert "weirctl dashboard" in json.loads(r.body)["detail"]


def test_with_one_it_reads_and_changes(paged, origin):
    origin.reply(fields=[("Cache-Control", "max-age=60")])
    d = paged()
    d.get("/api/x")
    d.wait_stored()
    token = page.token(d)
    status = page.ask(d, token=token)
    assert status.status == 200 and json.loads(status.body)["counters"]["stored"] == 1
    assert status.fields.get("X-Content-Type-Options") == "nosniff" and status.fields.get("Cache-Control") == "no-store"
    assert page.ask(d, "POST", "/flush", token=token).status == 200
    assert not d.get("/api/x").cache.hit


def test_the_fields_name_is_any_case_and_it_is_said_once(paged):
    d = paged()
    token = page.token(d)
    assert page.ask(d, fields=[("authorization", f"bearer  {token}")]).status == 200
    assert page.ask(d, fields=[("Authorization", f"Bearer {token}")] * 2).status == 401


def test_a_link_works_once(paged):
    d = paged()
    url = page.link(d)
    host, port = page.address(d)
    assert re.fullmatch(rf"http://{host}:{port}/#code=[A-Za-z0-9_-]{{43}}", url)
    first = page.exchange(d, page.code_of(url))
    assert first.status == 200 and json.loads(first.body)["expires_in_s"] == 12 * HOUR
    assert first.fields.get("Set-Cookie") is None
    again = page.exchange(d, page.code_of(url))
    assert again.status == 403 and "used before" in json.loads(again.body)["detail"]
    assert page.ask(d, token=json.loads(first.body)["token"]).status == 200
    until(lambda: "page_link_refused" in d.stderr, "the log tells of it")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"no", b'{"code": 7}', b'{"code": ""}', b'{"code": "' + b"A" * 43 + b'"}'])
def test_what_is_no_code_is_exchanged_for_nothing(paged, body):
    d = paged()
    r = page.ask(d, "POST", "/session", body=body)
    assert r.status in (400, 403) and b"token\":" not in r.body


def test_a_code_is_no_token_and_a_token_is_no_code(paged):
    d = paged()
    code = page.code_of(page.link(d))
    assert page.ask(d, token=code).status == 401
    assert page.exchange(d, page.token(d)).status == 403


def test_both_end(paged, clock):
    d = paged()
    late, token = page.code_of(page.link(d)), page.token(d)
    clock.advance(2 * MINUTE)
    assert page.exchange(d, late).status == 403
    assert page.ask(d, token=token).status == 200
    clock.advance(12 * HOUR)
    assert page.ask(d, token=token).status == 401


def test_a_session_is_ended_by_who_has_it(paged):
    d = paged()
    token, other = page.token(d), page.token(d)
    assert page.ask(d, "POST", "/session/end", token=token).status == 200
    assert page.ask(d, token=token).status == 401 and page.ask(d, token=other).status == 200


def test_a_session_makes_no_other(paged):
    d = paged()
    assert page.ask(d, "POST", "/dashboard", token=page.token(d)).status == 403


def test_a_restart_ends_all(paged):
    d = paged()
    token = page.token(d)
    d.restart()
    assert page.ask(d, token=token).status == 401


def test_a_token_is_written_nowhere(paged):
    d = paged()
    url = page.link(d)
    token = page.token(d)
    page.exchange(d, page.code_of(url))
    page.ask(d, token=token)
    d.stop()
    assert token.encode() not in d.everything_written() and page.code_of(url).encode() not in d.everything_written()


@pytest.mark.parametrize("fields", [
    [("Origin", "http://evil.example")], [("Origin", "null")], [("Origin", "https://{own}")], [("Origin", "http://localhost:{port}")],
    [("Origin", "http://127.0.0.1:{data}")], [("Sec-Fetch-Site", "cross-site")], [("Sec-Fetch-Site", "same-site")],
    [("Origin", "http://{own}"), ("Sec-Fetch-Site", "same-site")], [("Host", "evil.example:{port}")],
    [("Host", "evil.example:{port}"), ("Origin", "http://evil.example:{port}"), ("Sec-Fetch-Site", "same-origin")],
])
@pytest.mark.parametrize("method, target", [("GET", "/"), ("GET", "/status"), ("POST", "/session"), ("POST", "/flush"), ("OPTIONS", "/status")])
def test_from_elsewhere_it_is_refused_even_with_a_token(paged, fields, method, target):
    d = paged()
    code, token = page.code_of(page.link(d)), page.token(d)
    own = "%s:%d" % page.address(d)
    fields = [(n, v.format(own=own, port=page.address(d)[1], data=d.address[1])) for n, v in fields]
    body = json.dumps({"code": code}).encode() if method == "POST" else None
    r = page.ask(d, method, target, fields, body, token)
    assert r.status == 403 and not any(n.lower().startswith("access-control") for n, _ in r.fields.pairs)
    assert page.exchange(d, code, [("Origin", f"http://{own}"), ("Sec-Fetch-Site", "same-origin")]).status == 200


def test_who_shows_no_token_sends_no_mebibyte(paged):
    d = paged()
    with Client(page.address(d)) as client:
        client.send(b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n" + b" " * 5000)
        assert client.read_response("POST").status == 413


def test_the_query_socket_makes_no_link(paged):
    d = paged()
    with Client(os.path.join(os.path.dirname(d.admin_path), "query.sock")) as client:
        assert client.request("POST", "/dashboard", [("Host", "localhost")], body=b"").status == 403


# -- weirctl dashboard --------------------------------------------------------------


def test_without_an_address_it_says_which_setting_is_missing(weir):
    result = weir().ctl("dashboard")
    assert result.returncode == 1 and "admin { listen" in result.stderr


def test_json_has_the_link_and_its_time(paged):
    d = paged()
    answer = d.ctl_json("dashboard")
    assert answer["expires_in_s"] == 120 and page.exchange(d, page.code_of(answer["url"])).status == 200


def test_print_is_for_dashboard_alone(weir):
    assert weir().ctl("status", "--print").returncode == 2


# A user's browser, as far as weirctl knows it: notes what it was given.
XDG_OPEN = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$0.asked.new\" && mv \"$0.asked.new\" \"$0.asked\"\n"


def dashboard_of(uid, d, **variables):
    """weirctl dashboard, as the user of that number, who may use the admin socket."""

    for path in (d.place, d.directory):
        os.chmod(path, 0o755)
    os.chmod(d.admin_path, 0o666)
    before = ["setpriv", f"--reuid={uid}", "--clear-groups"] if os.geteuid() == 0 else []
    return subprocess.run([*before, WEIRCTL, "--socket", d.admin_path, "dashboard"], env=environment(d.directory, **variables), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)


@pytest.fixture
def desktop(place):
    """A directory for PATH with an xdg-open; the file it writes."""
    folder = place / "bin"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "xdg-open").write_text(XDG_OPEN)
    (folder / "xdg-open").chmod(0o755)
    return folder


@pytest.mark.parametrize("display", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_where_there_is_a_display_the_browser_gets_a_link_for_this_user_alone(paged, desktop, display):
    d = paged()
    uid = 12345 if os.geteuid() == 0 else os.geteuid()
    result = dashboard_of(uid, d, PATH=f"{desktop}:{os.environ['PATH']}", **{display: ":7"})
    assert result.returncode == 0 and "opened http://127.0.0.1" in result.stdout and "code=" not in result.stdout + result.stderr
    asked = desktop / "xdg-open.asked"
    until(asked.exists, "the browser is called")
    url = asked.read_text().strip()
    mine = page.exchange(d, page.code_of(url))
    if os.geteuid() == uid:
        assert mine.status == 200
    else:  # whoever read it in the list of processes
        assert mine.status == 403 and "the user alone" in json.loads(mine.body)["detail"]


@pytest.mark.parametrize("variables", [{}, {"DISPLAY": ""}, {"DISPLAY": ":7"}])
def test_where_there_is_none_or_no_browser_it_is_printed(paged, place, variables):
    d = paged()
    uid = 12345 if os.geteuid() == 0 else os.geteuid()
    (place / "bin").mkdir()
    (place / "bin" / "setpriv").symlink_to(shutil.which("setpriv"))
    result = dashboard_of(uid, d, PATH=place / "bin", **variables)
    assert result.returncode == 0 and page.exchange(d, page.code_of(result.stdout.strip())).status == 200
    assert ("no browser could be opened" in result.stderr) == (variables.get("DISPLAY") == ":7")


# -- it is Weir's own address ----------------------------------------------------------


@pytest.mark.parametrize("way", ["upstream", "via", "tunnel"])
def test_nothing_leads_to_it(daemons, origin, way):
    """Known only when it runs: a port that was not in the configuration."""
    d = daemons(upstream(origin), settings={**page.LISTEN, "proxy": {
        "listen": "127.0.0.1:0", "tunnel": "allow", "tunnel_private": ["127.0.0.1"]}}).start()
    own = "%s:%d" % page.address(d)
    if way == "tunnel":
        with Client(d.proxy_address) as client:
            client.send(f"CONNECT {own} HTTP/1.1\r\nHost: {own}\r\n\r\n".encode())
            assert client.read_response("GET").status in (403, 502)
        return
    d.write([{**upstream(origin), **({"url": f"http://{own}"} if way == "upstream" else {"via": f"http://{own}"})}])
    assert d.ctl("reload").returncode == 0
    r = d.get("/api/status")
    assert r.status == 502 and re.search("Weir itself|Weir's own", json.loads(r.body)["detail"]) and origin.count() == 0


def test_the_configuration_may_not_name_it(daemons, origin):
    d = daemons({**upstream(origin), "url": "http://127.0.0.1:8099"}, settings={"admin": {"listen": "127.0.0.1:8099"}})
    d.expected_exit = 1
    d.spawn("--check").wait_exit()
    assert "Weir's own admin address" in d.stderr
