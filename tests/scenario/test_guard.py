"""What is refused before it reaches anything: malformed requests, foreign hosts, pages in a browser (contract section 7)."""
import os
import subprocess
import sys
import time

import pytest

from harness.client import Closed, Response
from harness.wait import seconds, until

HOST = "Host: localhost\r\n"


def test_chunks_from_http10_close_the_connection(weir, origin):
    """RFC 9112 6.1: its framing is to be taken for faulty; refused, or answered and closed."""
    with weir().connect() as client:
        client.send(f"POST /api/x HTTP/1.0\r\n{HOST}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    f"GET /api/hidden HTTP/1.1\r\n{HOST}\r\n")
        assert client.read_response().status in (200, 400)
        assert client.ended() in ("cut", "reset")
    assert "/hidden" not in [r.target for r in origin.requests]


@pytest.mark.parametrize("target", ["api/x", "x", "?", "#", "127.0.0.1:80", "ftp://localhost/api/x", "http://", "//"])
def test_targets_that_lead_nowhere(weir, origin, target):
    d = weir()
    answer = d.exchange(f"GET {target} HTTP/1.1\r\n{HOST}\r\n")
    assert answer in ("cut", "reset") or 400 <= answer.status < 500
    assert origin.requests == []


def test_hidden_second_request_is_never_seen(weir, origin):
    """The classic of smuggling: what stands behind the ambiguous end must not be taken for a request."""
    d = weir()
    d.exchange(f"POST /api/x HTTP/1.1\r\n{HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
               f"GET /api/hidden HTTP/1.1\r\n{HOST}\r\n")
    d.get("/api/ok")
    assert [r.target for r in origin.requests] == ["/ok"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1",
                                  "[2001:db8::1]", "169.254.169.254", ""])
def test_foreign_host_is_refused(weir, origin, host):
    d = weir()
    response = d.get("/api/x", [("Host", host)])
    assert 400 <= response.status < 500 and origin.requests == []
    assert response.proxy_status is not None and response.cache is not None
    assert d.get("/.weir/health", [("Host", host)]).status >= 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost:%d", "127.0.0.1:%d", "127.0.0.1", "[::1]:%d", "127.0.0.2:%d"])
def test_loopback_names_are_its_own(weir, origin, host):
    d = weir()
    assert d.get("/api/x", [("Host", host % d.address[1] if "%" in host else host)]).status == 200


@pytest.mark.parametrize("fields", [
    [("Origin", "http://evil.example")], [("Origin", "https://evil.example:8080")], [("Origin", "null")],
    [("Sec-Fetch-Site", "cross-site")], [("Sec-Fetch-Site", "same-site")], [("Origin", "http://localhost.evil.example")],
])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_cross_site_request_is_403(weir, origin, method, fields):
    response = weir().request(method, "/api/x", fields)
    assert response.status == 403 and origin.requests == []
    assert "Access-Control-Allow-Origin" not in response.fields


@pytest.mark.parametrize("fields", [[("Sec-Fetch-Site", "none")], [("Sec-Fetch-Site", "same-origin")], []])
def test_same_site_request_passes(weir, origin, fields):
    assert weir().get("/api/x", fields).status == 200


def test_allowed_web_origin_passes(weir, origin):
    d = weir(allow_origins=["https://app.example"])
    assert d.get("/api/x", [("Origin", "https://app.example"), ("Sec-Fetch-Site", "cross-site")]).status == 200
    assert d.get("/api/x", [("Origin", "https://app.example.evil"), ("Sec-Fetch-Site", "cross-site")]).status == 403


def test_head_over_32_kib_is_431(weir, origin):
    d = weir()
    for fields in ([("X-Long", "v" * 40_000)], [(f"X-{i}", "v" * 100) for i in range(500)]):
        with d.connect() as client:
            client.start("GET", "/api/x", fields)
            assert client.read_response().status == 431
    assert origin.requests == []


def test_head_of_20_kib_passes(weir, origin):
    fields = [(f"X-Field-{i}", "v" * 190) for i in range(100)]
    assert weir().get("/api/x", fields).status == 200
    assert [p for p in origin.last.fields if p[0].startswith("X-Field")] == fields


def test_target_too_long_is_refused(weir, origin):
    response = weir().get("/api/" + "x" * 40_000)
    assert response.status in (414, 431) and origin.requests == []


@pytest.mark.parametrize("request_line", ["CONNECT example.com:443", "OPTIONS *", "TRACE /api/x"])
def test_forms_that_no_upstream_serves(weir, origin, request_line):
    d = weir()
    answer = d.exchange(f"{request_line} HTTP/1.1\r\n{HOST}\r\n")
    assert answer in ("cut", "reset") or answer.status != 101
    assert request_line.startswith("TRACE") or origin.requests == []
    assert d.get("/api/ok").status == 200


def test_garbage_is_survived(weir, origin):
    d = weir()
    for data in (b"\0" * 1000, b"\xff" * 70_000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 500, b"GET", b"\r\n" * 5000,
                 b"GET /api/x HTTP/1.1\r\n" + b"A: b\r\n" * 20_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with d.connect() as client:
            try:
                client.send(data)
                client.half_close()
                while client.sock.recv(65536):
                    pass
            except OSError:
                pass
    assert d.get("/api/ok").status == 200 and origin.count() == 1


def test_errors_carry_no_credential(weir, origin):
    d = weir()
    for target, fields in (("/nowhere?api_key=s3cret", []), ("/api/x?token=s3cret", [("Host", "evil.example")])):
        response = d.get(target, fields)
        assert response.status >= 400 and b"s3cret" not in response.body and "s3cret" not in repr(response.fields)
    d.access(2)
    d.stop()
    assert b"s3cret" not in d.everything_written()


@pytest.mark.parametrize("sent", [b"", b"GET /api/x HT", b"GET /api/x HTTP/1.1\r\nHost: localhost\r\n"], ids=["nothing", "line", "fields"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_head_has_a_deadline(weir, origin, sent, first):
    """Bytes that trickle do not put it off; the second request of a connection has one too."""
    d = weir(settings={"server": {"head_timeout": "400ms", "idle_timeout": "400ms"}})
    with d.connect() as client:
        if not first:
            assert client.get("/.weir/health").status == 200
        client.send(sent)
        began = time.monotonic()
        try:
            while client.silent_for(0.1) and time.monotonic() < began + seconds(8):
                if sent:
                    client.send(b"X")
            assert client.read_response().status == 408
        except (Closed, ConnectionError):
            pass                                     # closed without a word: as good
        assert time.monotonic() - began < seconds(4)
    assert origin.requests == [] and d.get("/api/ok").status == 200


def test_body_has_a_deadline(weir, origin):
    d = weir(settings={"server": {"body_timeout": "400ms"}})
    with d.connect() as client:
        client.start("POST", "/api/x", [("Content-Length", "10")])
        client.send(b"abc")
        try:
            assert client.read_response().status in (400, 408, 502, 504)
        except Closed:
            pass
    until(lambda: origin.in_flight == 0, "the upload to be given up")
    assert all(r.body is None for r in origin.requests)


def test_too_many_connections(weir, origin):
    """Over max_connections: refused, closed or waiting, and served again as soon as one leaves."""
    d = weir(settings={"server": {"max_connections": 4}})
    clients = [d.connect() for _ in range(4)]
    for client in clients:
        assert client.get("/api/x").status == 200
    surplus = [d.connect() for _ in range(3)]
    assert clients[0].get("/api/x").status == 200
    for client in clients + surplus:
        client.close()
    until(lambda: isinstance(d.exchange(b"GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n"), Response), "a free place")


def test_one_client_cannot_take_all_the_places(weir, origin):
    """Counted from a quarter of them on: this user gets 2 + 4 of 8, another user and the admin socket are served."""
    d = weir(settings={"server": {"max_connections": 8, "max_connections_per_client": 4}})
    clients = [d.connect() for _ in range(6)]
    for client in clients:
        assert client.get("/api/x").status == 200
    refused = d.exchange(f"GET /api/x HTTP/1.1\r\n{HOST}\r\n")
    assert refused in ("cut", "reset") or refused.status == 503
    assert d.status()
    if os.geteuid() == 0:
        script = f"import urllib.request as u; print(u.urlopen(u.Request('{d.url}/api/x')).status)"
        other = subprocess.run([sys.executable, "-c", script], user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False)
        assert other.stdout == "200\n", other.stderr
    clients.pop().close()
    until(lambda: isinstance(d.exchange(f"GET /api/x HTTP/1.1\r\n{HOST}\r\n"), Response), "a free place")
    for client in clients:
        client.close()


@pytest.mark.parametrize("protocol", ["websocket", "h2c, WebSocket"])
def test_websocket_is_501(weir, origin, protocol):
    with weir().connect() as client:
        response = client.request("GET", "/api/x", [("Connection", "Upgrade"), ("Upgrade", protocol), ("Sec-WebSocket-Version", "13"),
                                                    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
        assert response.status == 501 and response.proxy_status.error == "http_upgrade_failed" and "directly" in response.text
        client.ended()
    assert origin.requests == []


def test_other_upgrades_are_answered_without(weir, origin):
    """RFC 9110 7.8: a server may ignore Upgrade; curl --http2 asks so for http:// URLs."""
    d = weir()
    assert d.get("/api/x", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]).status == 200
    assert {"Upgrade", "HTTP2-Settings"}.isdisjoint(origin.last.fields.names())
