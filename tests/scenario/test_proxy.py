"""The forward proxy: absolute form, CONNECTs that Weir opens with a certificate of its own, and who may not have one."""
import os
import ssl
import stat
import sys
import time

import pytest

from harness.client import Client
from harness.daemon import run
from harness.settings import upstream
from harness.tls import TlsClient, TlsRelay, connect, trust
from harness.wait import WEIR, slowness, until

PROXY = {"proxy": {"listen": "127.0.0.1:0"}}
API = "api.test:443"


@pytest.fixture
def proxy(weir):
    """A daemon with a proxy, whose upstream `api` has the host api.test."""
    def start(settings=None, **of_upstream):
        return weir(settings={**PROXY, **(settings or {})}, **{"aliases": ["api.test"], **of_upstream})
    return start


def tls(d, target=API, name=None, **kwargs):
    return TlsClient(d.proxy_address, target, trust(d.ca), name=name, **kwargs)


# -- plain ----------------------------------------------------------------------


def test_every_way_reaches_the_same_entry(proxy, origin):
    d = proxy(ttl="1h")
    origin.reply(body=b"once")
    assert d.get("/api/x?a=1").cache.fwd == "uri-miss"
    d.wait_stored()
    with Client(d.proxy_address) as client:
        assert client.get("http://api.test/x?a=1", [("Host", "api.test")]).cache.hit
        assert client.get("/x?a=1", [("Host", "api.test")]).cache.hit
        assert client.get("/api/x?a=1").cache.hit                      # the base URL works here too
    with tls(d) as client:
        assert client.get("/x?a=1").cache.hit
    assert origin.count() == 1


@pytest.mark.parametrize("fields, status", [([("Host", "other.test")], 403), ([], 403)], ids=["host", "own_host"])
def test_an_absolute_form_for_another_host_goes_nowhere(proxy, origin, fields, status):
    d = proxy()
    with Client(d.proxy_address) as client:
        response = client.get("http://other.test/x", fields or [("Host", "other.test")])
    assert response.status == status and origin.count() == 0


# -- TLS --------------------------------------------------------------------------


def test_a_strict_client_is_served_over_tls(proxy, origin):
    d = proxy(ttl="1h")
    origin.reply(body=b"hello")
    context = trust(d.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsClient(d.proxy_address, API, context) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"
        names = client.tls.getpeercert()["subjectAltName"]
        first, second = client.get("/x"), client.get("/x")
    assert (first.status, first.body, names) == (200, b"hello", (("DNS", "api.test"),))
    assert second.complete                                             # the connection was kept
    assert origin.last.fields.get("Host") == origin.authority and origin.last.target == "/x"
    assert d.counter("intercepted") == 1


def test_an_address_is_certified_as_such(proxy, origin):
    d = proxy(aliases=["127.0.0.1:4430", "[::1]:443"])
    origin.reply(body=b"by address")
    with tls(d, "127.0.0.1:4430", name="127.0.0.1") as client:
        assert client.get("/x", [("Host", "127.0.0.1:4430")]).body == b"by address"
        assert client.get("/.weir/health", [("Host", "127.0.0.1:4430")]).body == b"by address"   # the API's path
    with tls(d, "[::1]:443", name="::1") as client:
        assert client.get("/x", [("Host", "[::1]")]).body == b"by address"


def test_a_client_without_sni_gets_the_leaf_of_its_connect(proxy, origin):
    d = proxy()
    context = trust(d.ca)
    context.check_hostname = False                                     # else Python insists on SNI
    with Client(d.proxy_address) as client:
        assert connect(client, API).status == 200
        with context.wrap_socket(client.sock) as sock:
            assert sock.getpeercert()["subjectAltName"] == (("DNS", "api.test"),)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_name_of_another_host_gets_no_certificate(proxy, origin, version):
    d = proxy(aliases=["api.test", "also.test"])
    context = trust(d.ca)
    context.minimum_version = context.maximum_version = version
    with TlsClient(d.proxy_address, API, context, name="also.test") as client:
        assert client.get("/x").status == 200                          # another host of that upstream
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        TlsClient(d.proxy_address, API, context, name="evil.test")


def test_what_is_asked_inside_belongs_to_the_upstream(proxy, origin, daemons, origins):
    other = origins()
    d = daemons(upstream(origin, aliases=["api.test"]), upstream(other, name="other", aliases=["other.test"]),
                settings=PROXY).start()
    for host in ("other.test", "evil.test", "localhost", d.authority):
        with tls(d) as client:
            response = client.get("/x", [("Host", host)])
            assert response.status == 421 and client.ended() in ("cut", "reset"), (host, response)
    with tls(d) as client:
        assert client.get("https://other.test/x", [("Host", "api.test")]).status == 421
    assert origin.count() == 0 and other.count() == 0


def test_a_page_of_the_apis_own_site_is_no_other_site(proxy, origin):
    d = proxy()
    with tls(d) as client:
        assert client.get("/x", [("Origin", "https://api.test")]).status == 200
        assert client.get("/x", [("Origin", "https://evil.test")]).status == 403


def test_bodies_go_both_ways(proxy, origin):
    d = proxy(ttl="1h")
    large = os.urandom(3_000_000)
    origin.reply(body=large)
    with tls(d) as client:
        assert client.get("/large").body == large
        d.wait_stored()
        hit = client.get("/large")
        assert hit.cache.hit and hit.body == large                     # from a mapped file
        part = client.get("/large", [("Range", "bytes=1000001-2000000")])
        assert part.status == 206 and part.body == large[1000001:2000001]
        head = client.request("HEAD", "/large")
        assert head.cache.hit and head.length == len(large) and head.body == b""
        origin.reply(body=b"taken")
        assert client.request("POST", "/upload", body=large).body == b"taken"
    assert origin.last.body == large


def test_interim_and_cut_short_answers_over_tls(proxy, origin):
    d = proxy()
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"

    def cut(request, conn):
        conn.send(hints)
        d.wait_counter("upstream_attempts", 1)
        conn.head(200, [("Content-Length", "1000")])
        conn.send(b"x" * 100)
        conn.close()
    origin.script(lambda request, conn: (conn.send(hints), conn.answer(body=b"whole")), cut)
    with tls(d) as client:
        response = client.get("/hints")
        assert response.body == b"whole" and [status for status, _ in response.interim] == [103]
        assert client.get("/cut").end in ("cut", "reset")


# -- plain HTTP inside of a CONNECT -------------------------------------------------


def plain(d, target="api.test:80", fields=()):
    client = Client(d.proxy_address)
    assert connect(client, target, fields).status == 200
    client.host = target.removesuffix(":80")
    return client


def test_plain_http_inside_a_connect_is_served(proxy, origin):
    d = proxy(ttl="1h")
    origin.reply(body=b"hello", fields=[("Location", f"{origin.url}/there")])
    with plain(d, fields=[("Proxy-Authorization", "Basic Y2k6eA==")]) as client:
        first = client.get("/x?a=1")
        d.wait_stored()
        second = client.get("/x?a=1")
        assert (first.status, first.body, second.cache.hit) == (200, b"hello", True)
        assert second.fields.get("Location") == "http://api.test/there"    # it can only follow what is plain
        assert client.request("POST", "/up", body=b"x" * 100_000).status == 200
        assert client.get("http://api.test/x?a=1").cache.hit
    assert origin.last.body == b"x" * 100_000 and not (d.state / "ca.pem").exists()
    assert d.get("/api/x?a=1").cache.hit and d.counter("intercepted") == 1
    assert sorted(line.get("client") for line in d.access(5))[:4] == ["ci"] * 4


def test_what_is_asked_inside_belongs_to_the_upstream_in_the_clear_too(proxy, origin, daemons, origins):
    other = origins()
    d = daemons(upstream(origin, aliases=["api.test"]), upstream(other, name="other", aliases=["other.test"]),
                settings=PROXY).start()
    for target, host in (("/x", "other.test"), ("/x", "evil.test"), ("/x", "localhost"), ("/x", d.authority), ("/other/x", d.authority),
                         ("http://other.test/x", "api.test"), ("/x", "api.test:443")):
        with plain(d) as client:
            response = client.get(target, [("Host", host)])
            assert response.status == 421 and client.ended() in ("cut", "reset"), (host, response)
    assert origin.count() == 0 and other.count() == 0


def test_the_first_byte_inside_tells_tls_from_plain(proxy, origin):
    d = proxy(aliases=["api.test", "127.0.0.1:4430"])
    origin.reply(body=b"hello")
    for target in ("api.test:80", API, "127.0.0.1:4430"):
        with plain(d, target) as client:
            assert client.get("/x", [("Host", target.removesuffix(":443"))]).body == b"hello"
        with tls(d, target, name=target.rpartition(":")[0]) as client:
            assert client.get("/x", [("Host", target)]).body == b"hello"


def test_a_request_right_after_the_connect_and_one_in_pieces(proxy, origin):
    origin.reply(body=b"hello")
    d = proxy()
    with Client(d.proxy_address) as client:
        client.send(client.head("CONNECT", "api.test:80", [("Host", "api.test")]) + client.head("GET", "/x", [("Host", "api.test")]))
        assert client.read_head("CONNECT").status == 200 and client.read_response().body == b"hello"
    with plain(d) as client:
        for byte in client.head("GET", "/x", [("Host", "api.test")]):
            client.send(bytes([byte]))
        assert client.read_response().body == b"hello"


def test_an_https_api_is_reached_from_plain_http(daemons, origin, place):
    relay = TlsRelay(origin, place)
    d = daemons({"name": "api", "url": relay.url, "hosts": [f"api.test = {relay.authority}"], "tls": {"ca_file": relay.ca_file}}, settings=PROXY).start()
    origin.reply(body=b"over https")
    with plain(d) as client:
        assert client.get("/x", [("Host", "api.test")]).body == b"over https"
    relay.stop()


# -- refusals ---------------------------------------------------------------------


def test_a_connect_to_no_upstreams_host_is_refused(proxy, origin):
    d = proxy()
    targets = ["other.test:443", "other.test:80", "api.test:8080", "api.test:8443", "127.0.0.1:22", "localhost:443"]
    for target in targets:
        with Client(d.proxy_address) as client:
            response = connect(client, target)
            assert response.status == 403 and response.proxy_status.error == "http_request_denied", response
            assert response.reason == "Not an upstream's host"             # all of it that most clients show
            assert response.fields.get("Content-Type") == "application/problem+json" and b"proxy.tunnel" in response.body
            assert client.ended() in ("cut", "reset")
    assert origin.connections == 0
    assert {(line["method"], line["target"], line["status"]) for line in d.access(len(targets))} == {
        ("CONNECT", target, 403) for target in targets}


@pytest.mark.parametrize("head, status", [
    ("CONNECT api.test HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
    ("CONNECT api.test:443 HTTP/1.1\r\n\r\n", 400),
    ("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\n\r\n", 400),
    ("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\nX: " + "x" * 40_000 + "\r\n\r\n", 431),
    ("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\nX: " + "x" * 40_000, 431),
], ids=["no_port", "no_host", "two_hosts", "large", "endless"])
def test_a_malformed_connect_is_refused(proxy, head, status):
    d = proxy()
    with Client(d.proxy_address) as client:
        client.send(head)
        assert client.read_head().status == status


def test_connect_on_the_data_port_says_where_to_go(proxy):
    d = proxy()
    with d.connect() as client:
        response = connect(client, API)
    assert response.status == 405 and b"proxy.listen" in response.body


def test_slow_heads_and_handshakes_end(proxy, origin):
    d = proxy(settings={"server": {"head_timeout": "300ms"}})
    with Client(d.proxy_address) as nothing, Client(d.proxy_address) as part, Client(d.proxy_address) as silent, \
         plain(d) as mute, tls(d) as idle:
        part.send("CONNECT api.test:443 HTTP/1.1\r\nHost:")
        assert connect(silent, API).status == 200                      # and then no handshake
        assert part.read_response().status == 408
        for client in (nothing, part, silent, mute, idle):
            assert client.ended() in ("cut", "reset")
    with Client(d.proxy_address) as client:
        assert client.get("http://api.test/x", [("Host", "api.test")]).status == 200


def test_a_handshake_that_halts_costs_nothing(proxy, origin):
    d = proxy()

    def cpu():
        with open(f"/proc/{d.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trust(d.ca).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="api.test").do_handshake()
    with Client(d.proxy_address) as client:
        assert connect(client, API).status == 200
        client.send(hello.read())
        assert client.sock.recv(1) == b"\x16"                          # the server's part is here, and waits for ours
        before = cpu()
        time.sleep(0.7)                                                # real time, which a thread that spins would use up
        assert cpu() - before < 0.08 * slowness


# -- how heads come ---------------------------------------------------------------


def test_a_head_in_pieces_and_what_follows_it_at_once(proxy, origin):
    d = proxy()
    origin.reply(body=b"hello")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trust(d.ca).wrap_bio(incoming, outgoing, server_hostname="api.test")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    with Client(d.proxy_address) as client:                            # the ClientHello right behind the head
        client.send(client.head("CONNECT", API, [("Host", API)]) + outgoing.read())
        assert client.read_head("CONNECT").status == 200
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(bytes(client._buffer) or client.sock.recv(65536))
                client._buffer.clear()
    with Client(d.proxy_address) as client:
        for byte in client.head("CONNECT", API, [("Host", API)]):
            client.send(bytes([byte]))
        assert client.read_head("CONNECT").status == 200
    with Client(d.proxy_address) as client:
        for byte in client.head("GET", "http://api.test/x", [("Host", "api.test")]):
            client.send(bytes([byte]))
        assert client.read_response().body == b"hello"


def test_clients_that_leave_at_the_door_cost_nothing(proxy, origin):
    d = proxy()
    with tls(d) as client:
        client.get("/x")
        before = d.descriptors()
    for data in (b"", b"CONN", b"CONNECT api.test:443 HTTP/1.1\r\n",
                 b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n",
                 b"CONNECT api.test:80 HTTP/1.1\r\nHost: api.test:80\r\n\r\n", b"CONNECT api.test:80 HTTP/1.1\r\nHost: x\r\n\r\nGET"):
        with Client(d.proxy_address) as client:
            client.send(data)
    until(lambda: d.descriptors() < before, "the sockets to be closed")


# -- names ------------------------------------------------------------------------


def test_the_proxy_user_names_the_client(proxy, origin):
    d = proxy(ttl="1h")
    user = [("Proxy-Authorization", "Basic Y2k6c2VjcmV0")]             # ci:secret
    with tls(d, fields=user) as client:
        client.get("/x")
        client.get("/y", [("Weir-Client", "said")])
        d.wait_stored(2)
        assert client.get("/x").cache.hit
    with Client(d.proxy_address) as client:
        client.get("http://api.test/z", [("Host", "api.test"), *user])
    assert sorted(line.get("client") for line in d.access(4)) == ["ci", "ci", "ci", "said"]
    assert all("Proxy-Authorization" not in r.fields and "Weir-Client" not in r.fields for r in origin.requests)
    d.stop()
    assert b"secret" not in d.everything_written() and b"Y2k6c2VjcmV0" not in d.everything_written()


# -- the CA -----------------------------------------------------------------------


def test_the_ca_is_made_at_first_use_and_rotated(proxy, origin):
    d = proxy()
    file = d.state / "ca.pem"
    d.get("/api/x")
    assert not file.exists()
    first = d.ca
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and "PRIVATE KEY" not in first
    with tls(d) as client:
        assert client.get("/x").status == 200
        assert d.admin("POST", "/ca/rotate").status == 200
        assert client.get("/x").status == 200                          # what is open goes on
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsClient(d.proxy_address, API, trust(first))
    with tls(d) as client:
        assert client.get("/x").status == 200
    second = d.ca
    d.restart()
    assert d.ca == second != first
    with TlsClient(d.proxy_address, API, trust(second)) as client:
        assert client.get("/x").status == 200
    d.stop()
    key = file.read_text().split("-----")[2].strip().encode()
    assert key and key not in b"".join(line.encode() for line in d.lines)


def test_without_a_usable_ca_the_client_hears_so(proxy, origin):
    d = proxy()
    (d.state / "ca.pem").write_text("nonsense\n")
    with Client(d.proxy_address) as client:
        response = connect(client, API)
    assert response.status == 500 and b"log" in response.body
    d.wait_line("no_certificate.*weirctl ca rotate")
    assert d.get("/api/x").status == 200


# -- the origin's own TLS -----------------------------------------------------------


def test_from_tls_to_tls(daemons, origin, place):
    relay = TlsRelay(origin, place)
    origin.reply(body=b"far away")
    d = daemons({"name": "api", "url": relay.url, "hosts": [f"api.test = {relay.authority}"], "tls": {"ca_file": relay.ca_file},
                 "retry": {"attempts": 1}}, settings=PROXY).start()
    with tls(d) as client:
        assert client.get("/x").body == b"far away"
    assert relay.connections == 1
    relay.stop()


# -- reload and end ---------------------------------------------------------------


def test_a_reload_takes_the_upstream_away(proxy, origin, daemons):
    d = proxy()
    with tls(d) as client:
        assert client.get("/x").status == 200
        d.write([upstream(origin, name="new", aliases=["new.test"])])
        assert d.ctl("reload").returncode == 0
        until(lambda: d.get("/new/x").status == 200, "the new configuration")
        assert client.get("/x").status == 421
    with tls(d, "new.test:443") as client:
        assert client.get("/x").status == 200


def test_a_busy_proxy_port_is_an_error_where_it_was_asked_for(daemons, origin):
    first = daemons(upstream(origin), settings=PROXY).start()
    second = daemons(upstream(origin), settings={"proxy": {"listen": "%s:%d" % first.proxy_address}}).spawn()
    second.expected_exit = 1
    assert second.wait_exit() == 1 and "in use" in second.stderr


def test_an_upstream_that_is_weir_itself_is_not_called(proxy, origin):
    d = proxy(ttl="1h")
    # A name that only the resolver knows to be this machine's own; the port was any.
    loops = [{"name": name, "url": f"http://{host}:{port}", "retry": {"attempts": 3, "backoff": "1ms"}}
             for name, (host, port) in (("data", ("localhost", d.address[1])), ("door", d.proxy_address))]
    d.write([upstream(origin), *loops])
    assert d.ctl("reload").returncode == 0
    until(lambda: d.get("/data/x").status == 502, "the new configuration")
    for name in ("data", "door"):
        response = d.get(f"/{name}/api/x")
        assert (response.status, response.proxy_status.error) == (502, "proxy_loop_detected"), response
    assert origin.count() == 0 and d.counter("upstream_attempts") == 0


# In a network of its own, so that the ports of the built-in default are free: takes the proxy's, then starts the daemon.
ALONE = """
import fcntl, signal, socket, struct, subprocess, sys
taken = socket.socket()
fcntl.ioctl(taken, 0x8914, struct.pack("16sh14x", b"lo", 1))           # SIOCSIFFLAGS: the loopback device is up
taken.bind(("127.0.0.1", 3128))
taken.listen()
weir = subprocess.Popen(sys.argv[1:], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
for line in weir.stdout:
    print(line, end="")
    if " ready " in line:
        weir.send_signal(signal.SIGTERM)
sys.exit(weir.wait())
"""


def test_a_busy_proxy_port_is_a_warning_for_the_built_in_default(place):
    alone = ["unshare", "--map-root-user", "--net"]
    if run([*alone, "true"], place).returncode != 0:
        pytest.skip("this system gives out no networks")
    if os.geteuid() == 0 and os.path.exists("/etc/weir/weir.conf"):
        pytest.skip("this system has a configuration of its own")
    result = run([*alone, sys.executable, "-c", ALONE, WEIR], place)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "warning no_proxy" in result.stdout and "3128" in result.stdout and "127.0.0.1:8080 kind=data" in result.stdout
