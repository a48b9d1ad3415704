"""Tunnels: CONNECTs that Weir carries unread, where they may lead, and what bounds them."""
import hashlib
import os
import socket
import threading

import pytest

from harness.client import Client
from harness.settings import upstream
from harness.tls import TlsClient, TlsRelay, connect, trust
from harness.wait import seconds, until


def settings(**proxy):
    return {"proxy": {"listen": "127.0.0.1:0", "tunnel": "allow", "tunnel_private": ["127.0.0.1"], **proxy}}


class Peer:
    """The far end of a tunnel, a bare socket: `accepted()` is the next connection."""

    def __init__(self):
        self._sock = socket.create_server(("127.0.0.1", 0))
        self._sock.settimeout(seconds(10))
        self.target = "127.0.0.1:%d" % self._sock.getsockname()[1]

    def accepted(self):
        sock, _ = self._sock.accept()
        sock.settimeout(seconds(10))
        return sock

    def close(self):
        self._sock.close()


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def tunnels(daemons, origin):
    def start(*more, **proxy):
        return daemons(upstream(origin), *more, settings=settings(**proxy)).start()
    return start


def test_tls_is_carried_unread(tunnels, origin, place):
    relay = TlsRelay(origin, place)
    d = tunnels(tunnel_private=["127.0.0.0/8"])
    origin.reply(body=b"end to end")
    with open(relay.ca_file) as file:
        context = trust(file.read())
    with TlsClient(d.proxy_address, relay.authority, context, fields=[("Proxy-Authorization", "Basic Y2k6eA==")]) as client:
        assert client.get("/secret-path").body == b"end to end"        # the origin's own certificate was verified
    line = d.access(1)[0]
    assert (line["method"], line["target"], line["status"], line["cache"], line["client"]) == (
        "CONNECT", relay.authority, 200, "tunnel", "ci")
    assert line["bytes"] > 0 and line["received_bytes"] > 0 and line["whole"]
    assert d.counter("tunnels") == 1 and d.counter("requests") == 0
    relay.stop()
    d.stop()
    assert b"secret-path" not in d.everything_written()


def test_where_a_tunnel_may_lead(tunnels, origin, peer, daemons):
    d = tunnels(tunnel_private=["listed.localhost", "127.0.0.9"])
    port = peer.target.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1", "10.255.255.1",
                 "169.254.169.254", "[fe80::1]", "[fd00::1]", "192.168.0.1", "127.0.0.8"):
        with Client(d.proxy_address) as client:
            response = connect(client, f"{host}:{port}")
            assert (response.status, response.proxy_status.error) == (403, "destination_ip_prohibited"), (host, response)
    with Client(d.proxy_address) as client:
        response = connect(client, "no-such-host.invalid:443")
        assert (response.status, response.proxy_status.error) == (502, "dns_error")
    peer.close()
    with Client(d.proxy_address) as client:                            # listed, and nobody is there
        response = connect(client, f"127.0.0.9:{port}")
        assert (response.status, response.proxy_status.error) == (502, "connection_refused")


def test_a_tunnel_does_not_lead_back_to_weir(tunnels):
    d = tunnels(tunnel_private=["127.0.0.0/8"])
    for host, port in (d.proxy_address, d.address, ("127.0.0.5", d.address[1])):
        with Client(d.proxy_address) as client:
            response = connect(client, f"{host}:{port}")
            # Nobody listens on 127.0.0.5.
            assert response.status == (403 if host == "127.0.0.1" else 502), response
            if host == "127.0.0.1":
                assert response.proxy_status.error == "proxy_loop_detected"


def test_an_upstream_without_intercept_is_tunnelled_though_others_are_refused(daemons, origin, place):
    relay = TlsRelay(origin, place, name="127.0.0.1")
    origin.reply(body=b"its own certificate")
    d = daemons({"name": "api", "url": relay.url, "intercept": False}, settings=settings(tunnel="deny", tunnel_private=[])).start()
    with open(relay.ca_file) as file:
        context = trust(file.read())
    with TlsClient(d.proxy_address, relay.authority, context) as client:
        assert client.get("/x").body == b"its own certificate"
    with Client(d.proxy_address) as client:
        assert connect(client, origin.authority).status == 403
    assert "api" in [line.get("upstream") for line in d.access(2)] and not (d.state / "ca.pem").exists()
    relay.stop()


def test_much_goes_both_ways_at_each_sides_pace(tunnels, peer):
    d = tunnels()
    up, down = os.urandom(4_000_000), os.urandom(5_000_000)
    with Client(d.proxy_address, receive_buffer=4096) as client:
        assert connect(client, peer.target).status == 200
        far = peer.accepted()
        got = hashlib.sha256()

        def far_side():
            while data := far.recv(65536):                             # to the end: only then the other direction begins
                got.update(data)
            far.sendall(down)
            far.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=far_side)
        thread.start()
        client.send(up)
        client.half_close()                                            # what is on its way still comes
        back = bytearray()
        while data := client.sock.recv(65536):
            back += data
        thread.join()
        assert bytes(back) == down and got.digest() == hashlib.sha256(up).digest()
        far.close()
    line = d.access(1)[0]
    assert (line["bytes"], line["received_bytes"], line["whole"]) == (len(down), len(up), True)


def test_a_broken_side_ends_the_other(tunnels, peer):
    d = tunnels()
    with Client(d.proxy_address) as client:
        connect(client, peer.target)
        far = peer.accepted()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        assert client.ended() in ("cut", "reset")
    with Client(d.proxy_address) as client:
        connect(client, peer.target)
        far = peer.accepted()
        client.reset()
        try:
            assert far.recv(1) == b""
        except ConnectionResetError:
            pass
        far.close()


def test_their_number_is_bounded(tunnels, peer):
    d = tunnels(max_tunnels=2)
    with Client(d.proxy_address) as first, Client(d.proxy_address) as second:
        assert connect(first, peer.target).status == connect(second, peer.target).status == 200
        with Client(d.proxy_address) as third:
            assert connect(third, peer.target).status == 503
        first.close()
        peer.accepted().close()

        def a_place_is_free():
            with Client(d.proxy_address) as client:
                return connect(client, peer.target).status == 200
        until(a_place_is_free, "the place of a tunnel that ended")


def test_silence_and_age_end_a_tunnel(tunnels, peer):
    impatient, short = tunnels(tunnel_idle="300ms"), tunnels(tunnel_life="300ms")
    with Client(impatient.proxy_address) as silent, Client(short.proxy_address) as talking:
        connect(silent, peer.target)
        quiet = peer.accepted()
        connect(talking, peer.target)
        far, ended = peer.accepted(), threading.Event()

        def talk():
            while not ended.wait(0.02):
                try:
                    far.sendall(b".")
                except OSError:
                    return
        thread = threading.Thread(target=talk)
        thread.start()
        try:
            while talking.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        ended.set()
        thread.join()
        assert silent.ended() in ("cut", "reset") and quiet.recv(1) == b""
    assert impatient.access(1)[0]["detail"] == "idle" and short.access(1)[0]["detail"] == "life"


def test_the_daemon_ends_with_tunnels_open(tunnels, peer):
    d = tunnels()
    with Client(d.proxy_address) as client, Client(d.proxy_address) as waiting:
        connect(client, peer.target)
        waiting.send(waiting.head("CONNECT", "no-such-host.invalid:443", [("Host", "x")]))
        d.stop()
        assert client.ended() in ("cut", "reset")
