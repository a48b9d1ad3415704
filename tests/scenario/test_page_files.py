"""The page's files, and what /saved says of the day: what a browser is given, without a browser (test_page.py has one)."""
import json
import re

import pytest

from harness import page
from harness.client import Client
from harness.clock import DAY
from harness.wait import until

FILES = ["/", "/page/page.css", "/page/main.js", "/page/lit-html.js", "/page/icon.svg"]


@pytest.fixture
def paged(weir):
    return lambda **kwargs: weir(settings=page.LISTEN, **kwargs)


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_served_without_a_token_and_with_what_protects_it(paged, path):
    r = page.ask(paged(), target=path)
    assert r.status == 200 and len(r.body) == r.length > 100
    policy = r.fields.get("Content-Security-Policy")
    for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"):
        assert part in policy.split("; ")
    assert "unsafe" not in policy and "http" not in policy
    assert {name: r.fields.get(name) for name in ("X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "X-Frame-Options",
                                                  "Cross-Origin-Resource-Policy", "Set-Cookie")} == {
        "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY",
        "Cross-Origin-Resource-Policy": "same-origin", "Set-Cookie": None}


def test_types_are_said(paged):
    d = paged()
    assert [page.ask(d, target=path).fields.get("Content-Type").partition(";")[0] for path in FILES] == [
        "text/html", "text/css", "text/javascript", "text/javascript", "image/svg+xml"]


@pytest.mark.parametrize("form, status", [("{}", 304), ("W/{}", 304), ('"x", {}', 304), ("*", 304), ('"x"', 200), ("", 200)])
def test_the_tag_is_strong_and_answered(paged, form, status):
    d = paged()
    tag = page.ask(d, target="/").fields.get("ETag")
    assert re.fullmatch('"[0-9a-f]{32}"', tag) and tag != page.ask(d, target="/page/main.js").fields.get("ETag")
    r = page.ask(d, target="/", fields=[("If-None-Match", form.format(tag))])
    assert r.status == status and (r.body == b"") == (status == 304) and r.fields.get("ETag") == tag


def test_head_has_the_length_and_no_body(paged):
    d = paged()
    r = page.ask(d, "HEAD", "/")
    assert r.status == 200 and r.body == b"" and r.length == len(page.ask(d, target="/").body)


@pytest.mark.parametrize("method, path", [("POST", "/"), ("PUT", "/page/main.js"), ("GET", "/page/"), ("GET", "/page/README"), ("GET", "/page/../status"),
                                          ("GET", "/page/lit-html.LICENSE"), ("GET", "/favicon.ico")])
def test_what_is_no_file_wants_a_token(paged, method, path):
    assert page.ask(paged(), method, path, body=b"" if method != "GET" else None).status == 401


def test_the_page_is_not_on_the_sockets_nor_on_the_data_port(paged):
    d = paged()
    assert d.admin("GET", "/").status == 404 and b"<html" not in d.get("/").body


def test_what_every_file_asks_for_is_there_and_here(paged):
    d = paged()
    seen, todo = set(), ["/"]
    while todo:
        path = todo.pop()
        seen.add(path)
        text = page.ask(d, target=path)
        assert text.status == 200, path
        if "lit-html" in path or path.endswith(".svg"):
            continue
        assert not re.search(rb"(?:src|href|url|from|fetch)\s*[=(]?\s*[\"']?(?:https?:)?//", text.body), path
        names = re.findall(rb'(?:src|href)="(/[^"]+)"', text.body) + [b"/page/" + n for n in re.findall(rb'from "\./([^"]+)"', text.body)]
        todo += {n.decode() for n in names} - seen
    assert len(seen) > 10


# -- /saved ------------------------------------------------------------------------


def saved(d, requests=None):
    """Once so many requests are counted: a client has its answer before that."""
    def read():
        return json.loads(d.admin("GET", "/saved").body)
    if requests is not None:
        until(lambda: read()["requests"] == requests, f"{requests} are counted")
    return read()


def test_saved_counts_what_was_not_asked_of_the_api(weir, origin):
    origin.reply(body=b"x" * 1000, fields=[("Cache-Control", "max-age=3600")])
    d = weir()
    d.get("/api/a")
    d.wait_stored()
    before = saved(d, requests=1)
    assert (before["requests"], before["calls"], before["bytes"], before["waiting_s"]) == (1, 0, 0, 0)
    for _ in range(3):
        assert d.get("/api/a").cache.hit
    after = saved(d, requests=4)
    assert (after["requests"], after["calls"], after["bytes"]) == (4, 3, 3000) and after["waiting_s"] > 0
    assert origin.count() == 1 and after["since"] == before["since"]


def test_saved_says_since_when_and_a_new_day_begins_at_nothing(weir, origin, clock):
    origin.reply(fields=[("Cache-Control", "max-age=9999999")])
    d = weir()
    d.get("/api/a")
    d.wait_stored()
    d.get("/api/a")
    first = saved(d, requests=2)
    assert first["calls"] == 1
    clock.advance(DAY)
    d.get("/api/b")                     # whoever comes wakes main
    second = saved(d, requests=1)
    assert (second["calls"], second["requests"]) == (0, 1) and second["since"] > first["since"]
    assert d.get("/api/a").cache.hit
    assert saved(d, requests=2)["calls"] == 1


def test_saved_goes_on_over_a_reload(weir, origin):
    origin.reply(fields=[("Cache-Control", "max-age=3600")])
    d = weir()
    d.get("/api/a")
    d.wait_stored()
    d.get("/api/a")
    before = saved(d, requests=2)
    assert d.ctl("reload").returncode == 0
    assert saved(d) == before


def test_saved_is_the_admins(weir):
    d = weir()

    with Client(d.admin_path.replace("admin.sock", "query.sock")) as client:
        assert client.request("GET", "/saved", [("Host", "localhost")]).status == 403
