"""A page in a browser on the same machine tries to reach Weir, and cannot, but for the upstream that allows its origin.

A real Chromium, since what a browser lets through and which fields it sends is its business; real_clients: see
test_real_clients.py.  "evil.example" leads to this machine, as after DNS rebinding.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.parse

import pytest

from harness.daemon import environment
from harness.settings import upstream
from harness.wait import until

pytestmark = pytest.mark.real_clients

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
         "--host-resolver-rules=MAP evil.example 127.0.0.1"]
PAGE = pathlib.Path(__file__).parent / "clients" / "page.html"


@pytest.fixture
def browser(place):
    """browser(url): opens it in a Chromium without a past, that ends with the test."""
    running = []

    def start(url):
        path = shutil.which("chromium")
        assert path, "chromium is not installed: quickstart check installs what the real clients need"
        with open(place / "chromium.log", "wb") as log:
            running.append(subprocess.Popen([path, *FLAGS, f"--user-data-dir={place}/chromium", url], env=environment(place), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True))
    yield start
    for each in running:
        try:
            os.killpg(each.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        each.wait()
    print("--- chromium:\n" + (place / "chromium.log").read_text(errors="replace")[-2000:])


def test_page_cannot_reach_weir(daemons, origins, browser):
    api, site = origins(), origins()
    api.handler = lambda request, conn: conn.answer(200, b"the secret", [("X-Total", "7"), ("Access-Control-Allow-Origin", "*")])
    site.handler = lambda request, conn: conn.answer(200, PAGE.read_bytes() if request.path == "/page" else b"", [("Content-Type", "text/html")])
    page_origin = f"http://evil.example:{site.port}"
    d = daemons(upstream(api), upstream(api, name="open", path="/open", allow_origins=[page_origin], limits=["1000/s"]),
                settings={"admin": {"listen": "127.0.0.1:0"}}).start()
    port = d.address[1]
    admin = re.search(r"listening address=(127\.0\.0\.1:[0-9]+) kind=admin", d.stderr)[1]
    work = {"bases": [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost", "evil.example")], "admin": [f"http://{admin}"],
            "open": f"http://127.0.0.1:{port}/open"}
    browser(f"{page_origin}/page#" + urllib.parse.quote(json.dumps(work)))
    site.wait_for(lambda: any(r.path == "/report" and r.body for r in site.requests), "the page's report", timeout=50)
    report = json.loads(next(r.body for r in site.requests if r.path == "/report"))

    assert report["read"] == [] and len(report["blocked"]) == 8 * 7
    assert [r for r in api.requests if not r.path.startswith("/open/")] == []
    assert report["allowed"] == {"get": "the secret", "field": "7", "put": "the secret"}
    put = next(r for r in api.requests if r.method == "PUT")
    assert put.fields.get("X-Token") == "t" and put.fields.get("Origin") == page_origin
    # the attempts came as far as Weir
    until(lambda: len([line for line in d.access() if line["status"] in (403, 501)]) > 40, "the attempts in the access log")
    assert {line["status"] for line in d.access()} <= {200, 204, 403, 501}
