"""Other people's HTTP/2 servers as APIs: nghttpd and nginx, few streams at a time."""
import contextlib
import os
import shutil
import socket
import subprocess

import pytest

from harness.settings import QUIET
from harness.tls import certificate
from harness.wait import seconds, until

NGINX = """
daemon off; master_process off; pid %(place)s/pid; error_log %(place)s/error.log warn;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path %(place)s/b; proxy_temp_path %(place)s/p; fastcgi_temp_path %(place)s/f;
  uwsgi_temp_path %(place)s/u; scgi_temp_path %(place)s/s;
  http2_max_concurrent_streams 2; keepalive_requests 5;
  server {
    listen 127.0.0.1:%(port)d ssl http2;
    ssl_certificate %(certificate)s; ssl_certificate_key %(key)s;
    location / { return 200 "$request_method $request_uri"; }
  }
}
"""


def listens(pid, port):
    """That process and no other: nginx tries for seconds to have a port that somebody else was faster to take."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A"}
    with contextlib.suppress(OSError):          # it ends, or closes one
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") in inodes for fd in os.listdir(f"/proc/{pid}/fd"))
    return False


def started(command):
    """`command(port)` for a port that is free; more than once where somebody else was faster."""
    for _ in range(5):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL)

        until(lambda: process.poll() is not None or listens(process.pid, port), "the server to listen")
        if process.poll() is None:
            return process, port
    raise AssertionError(f"it did not start: {command(port)}")


@pytest.fixture
def server(place):
    """Somebody else's: server(command(port, certificate, key)) is an upstream's entry."""
    running = []

    def start(command):
        ca_file, key = certificate(place, "peer.test")
        process, port = started(lambda port: command(port, ca_file, key))
        running.append(process)
        return {"name": "api", "url": f"https://127.0.0.1:{port}", "tls": {"ca_file": ca_file}, **QUIET}
    yield start
    for process in running:
        process.terminate()
        process.wait(seconds(10))


def post_at_once(d, turns, expected):
    for turn in range(turns):
        clients = [d.connect(timeout=30) for _ in range(25)]
        for i, client in enumerate(clients):
            client.start("POST", f"/api/{turn}/{i}", body=b"abc%d" % i)
        assert [c.read_response().body for c in clients] == [expected(turn, i) for i in range(25)]
        for client in clients:
            client.close()
    assert d.counter("upstream_failures") == 0


@pytest.mark.real_clients
def test_nghttpd_of_two_streams(daemons, server):
    entry_ = server(lambda port, ca_file, key: ["nghttpd", "-a", "127.0.0.1", "-m", "2", "--echo-upload", str(port), key,
                                                ca_file])
    d = daemons({**entry_, "max_connections": 3, "max_in_flight": 0}).start()
    post_at_once(d, 4, lambda turn, i: b"abc%d" % i)


@pytest.mark.real_clients
@pytest.mark.skipif(shutil.which("nginx") is None, reason="its package would start a server of its own")
def test_nginx_that_goes_away_every_five_requests(daemons, server, place):
    """Two streams a connection, and GOAWAY after five requests: not one of many POSTs at once fails."""
    def command(port, ca_file, key):
        (place / "nginx").mkdir(exist_ok=True)
        text = NGINX % {"place": place / "nginx", "port": port, "certificate": ca_file, "key": key}
        (place / "nginx.conf").write_text(text)
        return ["nginx", "-c", str(place / "nginx.conf"), "-e", str(place / "nginx" / "early.log")]
    d = daemons({**server(command), "max_connections": 3, "max_in_flight": 0}).start()
    post_at_once(d, 4, lambda turn, i: b"POST /%d/%d" % (turn, i))
