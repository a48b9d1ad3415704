"""An error names its cause and what to do about it: what a client said wrongly, whom Weir took it for, why the API was not
reached."""
import json
import os
import pwd

import pytest

from harness.client import Client
from harness.listener import Listener
from harness.origin import raw
from harness.settings import retry
from harness.tls import TlsOrigin

# -- what the client said --------------------------------------------------------

FIELDS = {
    "dry_run": ("Weir-Dry-Run", "2", '"writes" or "show"'),
    "async": ("Weir-Async", "yes", "1 is wanted"),
    "unheard_of": ("Weir-Tll", "1h", "Weir-TTL"),
    "bad_duration": ("Weir-TTL", "1 hour", '"1h"'),
    "bad_word": ("Weir-Refresh", "yes", '"soft" or "hard"'),
    "bad_priority": ("weir-priority", "urgent", '"interactive" or "batch"'),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", FIELDS)
def test_an_own_field_that_is_not_understood_sends_nothing(weir, origin, name, method):
    field, value, wanted = FIELDS[name]
    d = weir()
    r = d.request(method, "/api/x", [(field, value)], body=b"x" if method == "POST" else None)
    detail = json.loads(r.body)["detail"]
    assert r.status == 400 and field in detail and f'"{value}"' in detail and wanted in detail
    assert origin.count() == 0


def test_a_field_stays_the_own_one_when_connection_names_it(weir, origin):
    """It is between the client and Weir in any case: it must not become a request that writes."""
    r = weir().request("POST", "/api/x", [("Connection", "Weir-Dry-Run"), ("Weir-Dry-Run", "1")], body=b"x")
    assert r.status == 200 and r.fields.get("Weir-Dry-Run").startswith("would-send") and origin.count() == 0


def test_what_was_said_is_told_in_readable_bytes_alone(weir):
    r = weir().get("/api/x", [("Weir-TTL", "\xe9" + "y" * 500)])
    assert r.status == 400 and '"?yyy' in json.loads(r.body)["detail"] and len(r.body) < 600


def test_max_wait_lengthens_and_shortens(weir, origin):
    d = weir(limits=["2/s burst 1"], queue={"max_wait": "100ms"})
    assert d.get("/api/1").status == 200
    assert d.get("/api/2").status == 429
    assert d.get("/api/3", [("Weir-Max-Wait", "30s")]).status == 200
    assert d.get("/api/4", [("Weir-Max-Wait", "1ms")]).status == 429
    assert origin.count() == 2


# -- whom Weir took it for ---------------------------------------------------------

@pytest.mark.parametrize("way", ["tcp", "unix", "connect"])
def test_access_says_whom_it_took_the_client_for(weir, origin, place, way):
    path = str(place / "data.sock")
    d = weir(access=["user:4294967294"], hosts=["api.test"],
             settings={"listen": ["127.0.0.1:0", "unix:" + path], "proxy": {"listen": "127.0.0.1:0"}})
    with Client({"tcp": d.address, "unix": path, "connect": d.proxy_address}[way]) as client:
        r = client.request("CONNECT", "api.test:443") if way == "connect" else client.get("/api/x")
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert r.status == 403 and f"user {me} ({os.geteuid()})" in json.loads(r.body)["detail"] and origin.count() == 0


# -- why the API was not reached -----------------------------------------------------

def said(d, status, error, outcome, *parts):
    r = d.get("/api/x")
    assert (r.status, r.proxy_status.error) == (status, error), r.text
    for part in parts:
        assert part in json.loads(r.body)["detail"]
    assert d.access(1)[-1]["tries"][-1]["outcome"] == outcome


def test_a_name_that_does_not_resolve_was_not_refused(weir, origin):
    said(weir(url="http://" + "a" * 64 + ".test"), 502, "dns_error", "no_name", "cannot be resolved")


class PlainServer(Listener):
    """Answers whatever comes first as a web server without TLS does."""

    def __init__(self):
        super().__init__()
        self.start()

    def _serve(self, sock):
        with sock:
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def test_tls_where_none_is_spoken(weir):
    plain = PlainServer()
    said(weir(url=f"https://127.0.0.1:{plain.port}"), 502, "tls_protocol_error", "no_tls", "does not speak TLS", "http://")
    plain.stop()


def test_http_where_tls_is_spoken(weir, origin):
    origin.handler = raw(b"\x15\x03\x01\x00\x02\x02\x46")
    said(weir(), 502, "http_protocol_error", "dropped", "not HTTP", "https://")


@pytest.fixture
def tls_origin(place):
    with_tls = TlsOrigin(place)
    yield with_tls
    with_tls.stop()


def test_an_authority_of_ones_own_names_ca_file(weir, tls_origin):
    said(weir(url=tls_origin.url), 502, "tls_certificate_error", "no_tls", "tls.ca_file")


def test_a_certificate_for_another_name(weir, tls_origin):
    said(weir(url=f"https://localhost:{tls_origin.port}", tls={"ca_file": tls_origin.ca_file}),
         502, "tls_certificate_error", "no_tls", "for another name")


def test_a_ca_file_that_holds_nothing_of_use(weir, tls_origin, place):
    broken = place / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    said(weir(url=tls_origin.url, tls={"ca_file": str(broken)}), 502, "proxy_configuration_error", "unusable", "tls.ca_file")


def test_nobody_listens(weir, origins):
    dead = origins(start=False)
    said(weir(url=dead.url, retry=retry(attempts=1)), 502, "connection_refused", "refused", "refused the connection")
