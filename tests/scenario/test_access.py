"""Who may ask: users, groups and addresses (setting access), and pages of allowed origins (CORS)."""
import grp
import os
import pwd

import pytest

from harness.client import Client
from harness.settings import upstream

ME, MY_GROUP = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
SOMEBODY_ELSE = next(p.pw_name for p in pwd.getpwall() if p.pw_uid != os.geteuid())
ANOTHER_GROUP = next(g.gr_name for g in grp.getgrall() if g.gr_gid not in {os.getegid(), *os.getgroups(), *os.getgrouplist(ME, os.getegid())})


@pytest.mark.parametrize("access, by_unix, by_tcp", [
    ([f"user:{ME}"], 200, 200), ([f"user:{SOMEBODY_ELSE}"], 403, 403), ([f"group:{MY_GROUP}"], 200, 200), ([f"group:{ANOTHER_GROUP}"], 403, 403),
    (["127.0.0.0/8"], 403, 200), (["::1", "10.0.0.0/8"], 403, 403), ([], 403, 403), ([f"user:{SOMEBODY_ELSE}", f"user:{os.geteuid()}"], 200, 200),
], ids=["user", "another_user", "group", "another_group", "network", "other_networks", "nobody", "two_users"])
def test_access(daemons, origin, place, access, by_unix, by_tcp):
    path = str(place / "weir.sock")
    d = daemons(upstream(origin, access=access), upstream(origin, name="open"), settings={"listen": ["127.0.0.1:0", "unix:" + path]}).start()
    for way, expected in ((path, by_unix), (d.address, by_tcp)):
        with Client(way) as client:
            response = client.get("/api/x")
            assert response.status == expected and (expected == 200 or "access" in response.text)
        with Client(way) as client:
            assert client.get("/open/x").status == 200
    assert origin.count() == 2 + [by_unix, by_tcp].count(200)


@pytest.mark.parametrize("intercept", [True, False])
def test_connect_asks_too(daemons, origin, intercept):
    """What goes through a tunnel is not looked at any more."""
    hosts = {"mine": "mine.example.test", "theirs": "theirs.example.test"}
    d = daemons(upstream(origin, name="mine", aliases=[hosts["mine"]], access=[f"user:{ME}"], intercept=True),
                upstream(origin, name="theirs", aliases=[hosts["theirs"]], access=[f"user:{SOMEBODY_ELSE}"], intercept=intercept),
                settings={"proxy": {"listen": "127.0.0.1:0", "tunnel": "allow"}}).start()
    for name, status in (("mine", 200), ("theirs", 403)):
        with Client(d.proxy_address) as client:
            client.start("CONNECT", f"{hosts[name]}:443")
            assert client.read_head("HEAD").status == status, name


# -- pages of allowed origins ---------------------------------------------------

APP = "https://app.example"
FROM_APP = [("Origin", APP), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")]


def cors(response):
    return {n.lower(): v for n, v in response.fields if n.lower().startswith("access-control-")}


def test_page_of_an_allowed_origin_may_read(weir, origin):
    origin.reply(200, b"x", [("Access-Control-Allow-Origin", "https://other.example"), ("Access-Control-Allow-Credentials", "true"),
                             ("Cache-Control", "max-age=60"), ("X-Total", "7")])
    d = weir(allow_origins=[APP])
    for _ in range(2):
        response = d.get("/api/x", FROM_APP)
        assert response.status == 200
        assert cors(response) == {"access-control-allow-origin": APP, "access-control-expose-headers": "*"}
        assert "Origin" in response.fields.joined("Vary")
        d.wait_stored()
    assert origin.count() == 1
    assert cors(d.get("/nowhere/x", FROM_APP)) == {}
    origin.stop()
    failed = d.get("/api/other", FROM_APP)
    assert failed.status == 502 and cors(failed)["access-control-allow-origin"] == APP       # it may read why, too


def test_other_clients_get_what_the_api_says(weir, origin):
    origin.reply(200, b"x", [("Access-Control-Allow-Origin", "*")])
    assert cors(weir(allow_origins=[APP]).get("/api/x")) == {"access-control-allow-origin": "*"}


def preflight(origin=APP, method="PUT", names="x-token, content-type"):
    return [("Origin", origin), ("Access-Control-Request-Method", method), ("Access-Control-Request-Headers", names),
            ("Access-Control-Request-Private-Network", "true"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "cross-site")]


def test_preflight_is_answered(weir, origin):
    d = weir(allow_origins=[APP])
    with d.connect() as client:
        response = client.request("OPTIONS", "/api/x", preflight())
        assert response.status == 204
        assert cors(response) == {"access-control-allow-origin": APP, "access-control-allow-methods": "PUT", "access-control-max-age": "600",
                                  "access-control-allow-headers": "x-token, content-type", "access-control-allow-private-network": "true",
                                  "access-control-expose-headers": "*"}
        assert origin.requests == []
        assert client.request("PUT", "/api/x", FROM_APP, body=b"x").status == 200        # the connection is still good
    assert d.request("OPTIONS", "/api/x", [("Origin", APP)]).status == 200 and origin.last.method == "OPTIONS"


@pytest.mark.parametrize("fields, status, missing", [
    (preflight(origin="https://evil.example"), 403, "access-control-allow-origin"), (preflight(origin="null"), 403, "access-control-allow-origin"),
    (preflight(method="P UT"), 204, "access-control-allow-methods"), (preflight(names="a b"), 204, "access-control-allow-headers"),
], ids=["origin", "null", "method", "names"])
def test_preflight_that_is_not(weir, origin, fields, status, missing):
    response = weir(allow_origins=[APP]).request("OPTIONS", "/api/x", fields)
    assert response.status == status and missing not in cors(response) and origin.requests == []


def test_document_below_weirs_own_name_is_no_page_of_weirs(weir, origin):
    """An API's HTML, opened in a browser through Weir, may not use Weir by the name it was opened by."""
    origin.reply(200, b"<script>", [("Content-Type", "text/html"), ("Content-Security-Policy", "default-src *"), ("Cache-Control", "max-age=60")])
    d = weir()
    for _ in range(2):
        opened = d.get("/api/page", [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "none")])
        assert opened.fields.all("Content-Security-Policy") == ["default-src *", "sandbox"]
        d.wait_stored()
    for fetched in ([], [("Sec-Fetch-Mode", "cors")]):      # a script's fetch becomes no document
        assert d.get("/api/page", fetched).fields.all("Content-Security-Policy") == ["default-src *"]
