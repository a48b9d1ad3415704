"""weirctl upstreams check: each way in which an API fails is named in one line that says what to do."""
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from email.utils import formatdate

import pytest

from harness.listener import Listener
from harness.origin import Origin
from harness.settings import upstream
from harness.tls import TlsConnection, TlsOrigin

LONG = 400
QUICK = {"max_wait": "1s"}


def made_certificate(place, label, days=LONG, names="DNS:api.test,IP:127.0.0.1"):
    """A self-signed one that ends in so many days, or has ended."""
    pem, key, request, conf = (str(place / f"{label}.{end}") for end in ("pem", "key", "csr", "conf"))
    (place / f"{label}.db").write_text("")
    (place / f"{label}.conf").write_text(
        f"[ca]\ndefault_ca = a\n[a]\ndatabase = {place}/{label}.db\nnew_certs_dir = {place}\nrand_serial = yes\ndefault_md = sha256\n"
        f"policy = p\nx509_extensions = x\n[p]\ncommonName = supplied\n[x]\nsubjectAltName = {names}\nbasicConstraints = CA:TRUE\n")
    begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + n * 86400)) for n in (-30, days))
    for command in (["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
                     "-subj", f"/CN={label}"],
                    ["ca", "-batch", "-selfsign", "-config", conf, "-keyfile", key, "-in", request, "-out", pem, "-startdate", begin,
                     "-enddate", end, "-notext"]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return pem, key


class SecureOrigin(TlsOrigin):
    def __init__(self, place, label, days=LONG, names="DNS:api.test,IP:127.0.0.1"):
        self.ca_file, key = made_certificate(place, label, days, names)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.ca_file, key)
        Origin.__init__(self)

    connection_class = TlsConnection


class Silent(Listener):
    """Takes connections, and says nothing."""
    scheme = "https"

    def __init__(self):
        super().__init__()
        self.left = threading.Event()

    def _serve(self, sock):
        self.left.wait(60)
        sock.close()


class Plain(Silent):
    """Answers a TLS handshake as a server of plain HTTP does."""

    def _serve(self, sock):
        sock.recv(4096)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.left.wait(60)
        sock.close()


@pytest.fixture
def secure(place):
    made = []

    def make(*args, **kwargs):
        made.append(SecureOrigin(place, *args, **kwargs))
        return made[-1]
    yield make
    for each in made:
        each.stop()


def checked(d, *names, status=None):
    """The rows by upstream, and the same lines as people see them."""
    result = d.ctl("upstreams", "check", *names, "--json", timeout=90)
    rows = {row["upstream"]: row for row in json.loads(result.stdout)["upstreams"]}
    assert result.returncode == (1 if any(not row["ok"] for row in rows.values()) else 0), result
    return rows


def only(d, name="api"):
    return checked(d, name)[name]


def test_all_is_well(daemons, secure):
    o = secure("good")
    o.reply(200, b"", [("Date", formatdate(usegmt=True))])
    d = daemons(upstream(o, tls={"ca_file": o.ca_file})).start()
    row = only(d)
    assert row["ok"] and row["status"] == 200 and row["address"] == "127.0.0.1" and row["credential"] == "none"
    assert row["certificate_days"] in (LONG - 1, LONG) and row["chain"] == 1 and abs(row["clock_ahead_s"]) <= 2
    assert {"dns_ms", "tcp_ms", "tls_ms"} <= row.keys() and "failed" not in row
    assert o.requests[-1].method == "HEAD"
    plain = d.ctl("upstreams", "check")
    assert plain.returncode == 0 and len(plain.stdout.splitlines()) == 1 and "api  ok  https://" in plain.stdout
    assert d.counter("stored") == 0


@pytest.mark.parametrize("label, kwargs, ca, failed, says", [
    ("expired", {"days": -2}, True, "certificate-expired", "days ago"),
    ("othername", {"names": "DNS:other.test"}, True, "certificate-name", "use a name"),
    ("unknown", {}, False, "certificate-ca", "tls.ca_file"),
    ("soon", {"days": 3}, True, "certificate-ends", "in "),
])
def test_certificates(daemons, secure, label, kwargs, ca, failed, says):
    o = secure(label, **kwargs)
    d = daemons(upstream(o, tls={"ca_file": o.ca_file} if ca else {})).start()
    row = only(d)
    assert not row["ok"] and row["failed"] == failed and says in row["detail"], row
    assert "certificate_days" in row
    plain = d.ctl("upstreams", "check", "api")
    assert plain.returncode == 1 and len(plain.stdout.splitlines()) == 1 and "FAILS" in plain.stdout and says in plain.stdout


def test_names_and_connections(daemons):
    refused, full = socket.socket(), socket.socket()
    refused.bind(("127.0.0.1", 0))
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:                        # the kernel drops what comes when the list of those who wait is full
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    silent, plain = Silent(), Plain()
    silent.start()
    plain.start()
    try:
        d = daemons({"name": "nohost", "url": "https://nobody.invalid"},
                    {"name": "refused", "url": "http://127.0.0.1:%d" % refused.getsockname()[1]},
                    {"name": "hole", "url": "http://127.0.0.1:%d" % full.getsockname()[1]},
                    {"name": "silent", "url": silent.url},
                    {"name": "plain", "url": plain.url}).start()
        rows = checked(d)
    finally:
        for each in (silent, plain):
            each.left.set()
            each.stop()
        for sock in [refused, full, *waiting]:
            sock.close()
    assert {name: row["failed"] for name, row in rows.items()} == {
        "nohost": "dns", "refused": "tcp", "hole": "tcp", "silent": "tls", "plain": "tls"}
    for name, says in (("nohost", "resolver"), ("refused", "whether the API is up"), ("hole", "in time"), ("silent", "says nothing"),
                       ("plain", "http:// in url")):
        assert says in rows[name]["detail"], rows[name]


@pytest.mark.parametrize("status", [401, 403])
def test_a_credential_that_is_refused(weir, origin, place, status):
    (place / "token").write_text("secret-of-mine\n")
    origin.reply(status, b"")
    d = weir(auth={"header": "Authorization", "value_file": str(place / "token")})
    row = only(d)
    assert row["failed"] == "credential" and row["credential"] == "refused" and "auth.value_file" in row["detail"]
    assert "secret-of-mine" not in json.dumps(row) and "secret-of-mine" in str(origin.requests[-1].fields)
    origin.reply(204, b"")
    assert only(d)["credential"] == "taken"


def test_without_a_credential_401_is_the_api_s_right(weir, origin):
    origin.reply(401, b"")
    row = only(weir())
    assert row["ok"] and row["status"] == 401


@pytest.mark.parametrize("ahead", [300, -300])
def test_a_clock_that_is_off(weir, origin, ahead):
    origin.handler = lambda request, conn: conn.answer(200, b"", [("Date", formatdate(time.time() + ahead, usegmt=True))])
    row = only(weir())
    assert row["failed"] == "clock" and abs(row["clock_ahead_s"] - ahead) <= 5 and "timedatectl" in row["detail"]


def test_a_budget_that_is_spent(weir, origin):
    d = weir(limits=["1/h"], queue=QUICK)
    assert d.get("/api/x").status == 200
    row = only(d)
    assert row["failed"] == "over-budget" and "1/h" in row["detail"] and origin.count() == 1


def test_an_api_that_fails(weir, origin):
    origin.reply(503, b"")
    row = only(weir())
    assert row["failed"] == "status" and "503" in row["detail"]


def test_its_request_is_paid_for(weir, origin):
    d = weir(limits=["5/h"])
    assert only(d)["ok"]
    assert [b["left"] for b in d.ctl_json("limits")["limits"]] == [4]


def test_each_line_comes_as_it_is_known(daemons, origin):
    """The second is held back by its API; the first is there already."""
    gate = threading.Event()
    slow = Origin()
    slow.handler = lambda request, conn: (gate.wait(30), conn.answer(200, b""))
    try:
        d = daemons(upstream(origin, name="first"), upstream(slow, name="second")).start()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(d.admin_path))
            sock.sendall(b"POST /upstreams/check HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            got = b""
            while b'"first"' not in got:
                got += sock.recv(65536)
            assert b'"second"' not in got
            gate.set()
            while b'"checked"' not in got:
                got += sock.recv(65536)
            assert b'"second"' in got
    finally:
        gate.set()
        slow.stop()


def test_whoever_leaves_meanwhile(daemons, origin):
    gate = threading.Event()
    origin.handler = lambda request, conn: (gate.wait(30), conn.answer(200, b""))
    d = daemons(upstream(origin, name="first"), upstream(origin, name="second")).start()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(d.admin_path))
        sock.sendall(b"POST /upstreams/check HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        origin.wait_requests(1)
    gate.set()
    assert d.ctl("status").returncode == 0


def test_where_nothing_may_be_asked_nothing_is(daemons, origin):
    modes = ("dry_run", "offline", "dry_run_writes", "live")
    origin.reply()
    d = daemons(*(upstream(origin, name=mode, mode=mode) for mode in modes)).start()
    result = d.ctl("upstreams", "check")
    lines = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert result.returncode == 0 and list(lines) == list(modes)
    for mode in modes[:2]:
        assert lines[mode] == f"{mode}  {origin.url}  nothing is asked of it in this mode"
    assert all(lines[mode].startswith("ok") for mode in modes[2:])
    assert [r.method for r in origin.requests] == ["HEAD", "HEAD"]
    assert d.ctl("mode", "live", "dry_run").returncode == 0
    told = d.ctl_json("upstreams", "check", "live")
    assert told["failed"] == 0 and told["upstreams"][0]["mode"] == "dry_run" and origin.count() == 2


@pytest.mark.parametrize("arguments, status, says", [(["check", "nobody"], 1, '"nobody"'), ([], 2, "lacks"), (["nonsense"], 2, '"nonsense"')])
def test_wrong_use(weir, arguments, status, says):
    result = weir().ctl("upstreams", *arguments)
    assert result.returncode == status and says in result.stderr and result.stdout == ""


def test_not_for_who_may_only_read(weir):
    d = weir()
    query = os.path.join(os.path.dirname(d.admin_path), "query.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(query)
        sock.sendall(b"POST /upstreams/check HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert b" 403 " in sock.recv(65536).split(b"\r\n")[0]
