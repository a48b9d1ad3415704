#!/usr/bin/python3
"""A process a request: what a shell script with curl, or a Python script that is started anew, waits for.

Each process connects, asks through CONNECT with TLS inside (Weir's own CA) for what is stored, and ends. Beside it, in
turn: the same process at nginx, which speaks TLS itself, and at Weir without TLS and CONNECT.

    WEIR=./weir WEIRCTL=./weirctl WEIR_ORIGIN=tests/bench/origin processes.py
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import peers
from servers import Origin

ROUNDS = {"curl": 30, "python": 15}

SCRIPT = """
import ssl, sys, urllib.request as u
url, ca, proxy = sys.argv[1:]
handlers = [u.ProxyHandler({'https': proxy} if proxy else {})]
if ca:
    handlers.append(u.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
u.build_opener(*handlers).open(url, timeout=20).read()
"""


class Weir(peers.Weir):
    def __init__(self, folder, origin_port):
        super().__init__(folder, origin_port)
        self.proxy_port = peers.free_port()
        self.settings = f'proxy = {{ listen = "127.0.0.1:{self.proxy_port}"; }};'

    def upstreams(self):
        return f'''
              {{ name = "api"; url = "http://127.0.0.1:{self.origin_port}"; ttl = "1h"; partition = "shared";
                 hosts = ( "api.test = 127.0.0.1:{self.origin_port}" ); }}'''

    def ca(self):
        command = os.environ.get("WEIRCTL", self.command + "ctl")
        out = subprocess.run([command, "--socket", str(self.folder / "admin.sock"), "ca"], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        return self.file("ca.pem", out)


class TlsNginx(peers.Nginx):
    name = "nginx-tls"

    def file(self, name, text):
        """`listen` as it is, and with TLS."""
        plain = f"listen 127.0.0.1:{self.port} backlog=4096;"
        tls = plain.replace(" backlog", " ssl backlog")
        return super().file(name, text.replace(plain, f"{tls} ssl_certificate {self.folder}/cert.pem; "
                                                      f"ssl_certificate_key {self.folder}/key.pem;"))

    def arguments(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", f"{self.folder}/key.pem", "-out", f"{self.folder}/cert.pem", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                       check=True, capture_output=True)
        return super().arguments()

    def ca(self):
        return f"{self.folder}/cert.pem"


def with_curl(url, ca, proxy):
    return ["curl", "-sf", "-o", "/dev/null", *(["--cacert", ca] if ca else []),
            *(["-x", proxy] if proxy else ["--noproxy", "*"]), url]


def with_python(url, ca, proxy):
    return [sys.executable, "-c", SCRIPT, url, ca, proxy]


def milliseconds(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1000


def compare(ways, rounds):
    """The median of each way, in turn; the first round stores what is asked for."""
    runs = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, command in ways.items():
            took = milliseconds(command)
            if number > 0:
                runs[name].append(took)
    return {name: round(statistics.median(found), 1) for name, found in runs.items()}


def measure():
    """{"a curl process": {"connect_ms": ...}, "a python process": ...}"""
    out = {}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin:
        os.chmod(folder, 0o755)
        kinds = [Weir] + ([TlsNginx] if TlsNginx.is_installed() and shutil.which("openssl") else [])
        running = []
        try:
            for kind in kinds:
                running.append(kind(folder, origin.port))
                running[-1].start()
            weir = running[0]
            targets = {"connect_ms": ("https://api.test/1024", weir.ca(), f"http://127.0.0.1:{weir.proxy_port}"),
                       "plain_ms": (f"http://127.0.0.1:{weir.port}/api/1024", "", "")}
            if len(running) > 1:
                targets["nginx_tls_ms"] = (f"https://localhost:{running[1].port}/api/1024", running[1].ca(), "")
            for name, make in (("curl", with_curl), ("python", with_python)):
                if name == "curl" and shutil.which("curl") is None:
                    continue
                found = compare({way: make(*target) for way, target in targets.items()}, ROUNDS[name])
                if "nginx_tls_ms" in found:
                    found["ratio"] = round(found["connect_ms"] / found["nginx_tls_ms"], 2)
                out[f"a {name} process"] = found
        finally:
            for peer in running:
                peer.stop()
    return out


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
