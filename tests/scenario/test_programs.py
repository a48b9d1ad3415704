"""Programs as they are: recorded, their API taken away, and run again from the snapshot, byte for byte.

Marked `real_clients`.  What weirctl run --replay itself does and refuses is in test_run_replay.py.
"""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from harness.daemon import environment
from harness.replay import Recorder, run
from harness.settings import upstream
from harness.wait import seconds

pytestmark = pytest.mark.real_clients

JSON = ("Content-Type", "application/json")
CLIENTS = pathlib.Path(__file__).parent / "clients"
BINARY = bytes(range(256)) * 3000


@pytest.fixture
def record(daemons, origin, place):
    return Recorder(daemons, origin, place)


def again(place, folder, first, *command, requests=None):
    """The same command from the snapshot says the same, and misses nothing."""
    ran = run(place, "--replay", folder, "--", *command)
    assert (ran.returncode, ran.stdout) == (0, first), ran
    told = ran.stderr.splitlines()[-1]
    if requests is not None:
        assert told == f"weirctl: {requests} of {requests} requests were answered from {folder}", ran.stderr
    assert "not in the snapshot" not in ran.stderr, ran.stderr


def api(request, conn):
    path, _, query = request.target.partition("?")
    if path == "/list":
        body = json.dumps({"page": query, "more": "and so on " * 100}).encode()
        coded = "gzip" in request.fields.joined("Accept-Encoding")
        conn.answer(200, gzip.compress(body) if coded else body, [JSON] + ([("Content-Encoding", "gzip")] if coded else []))
    elif path in ("/items", "/upload"):
        conn.answer(201, json.dumps({"bytes": len(request.body)}).encode() if path == "/items" else b"took it", [JSON])
    elif path == "/moved":
        conn.answer(302, b"", [("Location", "/list?page=1")])
    elif path == "/table.csv":
        conn.answer(200, b"n,name\n1,a\n2,b\n9,c\n", [("Content-Type", "text/csv")])
    elif path == "/file":
        conn.answer(200, BINARY, [("Content-Type", "application/octet-stream")])
    else:
        conn.answer(404, b"no", [("Content-Type", "text/plain")])


def program(name):
    path = shutil.which(name)
    assert path, f"{name} is not installed: quickstart check installs what the real clients need"
    return path


def node(*arguments):
    """Through https_proxy, which Node's fetch does not heed by itself before 24."""
    return ["env", f"WEIR_NODE_MODULES={os.environ['WEIR_NODE_MODULES']}", program("node"), "--import", CLIENTS / "proxied.mjs", *arguments]


PROJECT = """
import json, os, urllib.request

def page(n):
    with urllib.request.urlopen(f"https://api.test/list?page={n}") as answer:
        return json.load(answer)

def test_pages():
    assert [page(n)["page"] for n in (1, 2)] == ["page=1", "page=2"]
"""


def test_the_tests_of_a_project(record, place):
    (place / "test_project.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", place / "test_project.py"]
    folder, first = record(api, *command)
    ran = run(place, "--replay", folder, "--", *command)
    assert "1 passed" in first and "1 passed" in ran.stdout and ran.returncode == 0, ran
    assert ran.stderr == f"weirctl: 2 of 2 requests were answered from {folder}\n"


def test_an_analysis_with_node(record, place):
    command = node(CLIENTS / "analysis.mjs", "https://api.test")
    folder, first = record(api, *command)
    assert "201 took it" in first and "true https://api.test/list?page=1" in first
    again(place, folder, first, *command, requests=9)


def test_an_analysis_with_r(record, place):
    command = [program("Rscript"), "--vanilla", CLIENTS / "analysis.R", "https://api.test"]
    folder, first = record(api, *command)
    assert "page=3" in first and "an error" in first and str(len(BINARY)) in first
    again(place, folder, first, *command)


def events(*rows):
    return b"".join(f"event: {row['type']}\ndata: {json.dumps(row)}\n\n".encode() for row in rows)


def language_model(request, conn):
    """As Anthropic documents its Messages API."""
    asked = json.loads(request.body)
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": {"input_tokens": 12, "output_tokens": 1}}
    if asked["model"] == "none":
        conn.answer(404, json.dumps({"type": "error", "error": {"type": "not_found_error", "message": "model: none"}}).encode(), [JSON])
    elif not asked.get("stream"):
        whole = {**message, "content": [{"type": "text", "text": "Something."}], "stop_reason": "end_turn"}
        conn.answer(200, json.dumps(whole).encode(), [JSON])
    else:
        conn.head(200, [("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache"), ("Request-Id", "req_1")])
        conn.send(events({"type": "message_start", "message": message},
                         {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, {"type": "ping"}))
        for n in range(40):
            conn.send(events({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"w\u00f6rd {n} "}}))
        conn.send(events({"type": "content_block_stop", "index": 0},
                         {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 80}},
                         {"type": "message_stop"}))
        conn.close()


def test_an_sdk_with_a_stream_of_events(record, place):
    command = node(CLIENTS / "sdk.mjs", "https://api.test")
    folder, first = record(language_model, *command)
    assert "w\u00f6rd 39" in first and '"output_tokens":80' in first and "404 not_found_error" in first, first
    again(place, folder, first, *command, requests=3)
    assert not [path for path in folder.rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()]


# -- git --

OWN = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def git(place, *arguments):
    return subprocess.run(["git", *map(str, arguments)], env=environment(place, **OWN), check=True, capture_output=True, text=True,
                          timeout=seconds(30)).stdout


@pytest.fixture
def repository(place):
    work, bare = place / "work", place / "repo.git"
    git(place, "init", "-q", "-b", "main", work)
    for n in range(3):
        (work / "data.bin").write_bytes(BINARY * (n + 1))
        (work / f"{n}.txt").write_text(f"{n}\n" * 1000)
        git(place, "-C", work, "add", ".")
        git(place, "-C", work, "commit", "-q", "-m", f"number {n}")
    git(place, "clone", "-q", "--bare", work, bare)
    git(place, "-C", bare, "update-server-info")
    return bare


def as_files(place):
    """A plain web server has the repository."""
    def serve(request, conn):
        file = place / request.target.partition("?")[0].lstrip("/")
        if file.is_file():
            conn.answer(200, file.read_bytes(), [("Content-Type", "text/plain")])
        else:
            conn.answer(404, b"", [])
    return serve


def by_git(place):
    """git's own program answers, as at GitHub: what a clone asks for is negotiated in uploads."""
    def serve(request, conn):
        path, _, query = request.target.partition("?")
        env = {"GIT_PROJECT_ROOT": place, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": request.method,
               "CONTENT_TYPE": request.fields.get("Content-Type") or "", "CONTENT_LENGTH": str(len(request.body)),
               "HTTP_CONTENT_ENCODING": request.fields.get("Content-Encoding") or "", "GIT_PROTOCOL": request.fields.get("Git-Protocol") or "",
               "REMOTE_USER": ""}
        ran = subprocess.run(["git", "http-backend"], input=request.body, env=environment(place, **env), capture_output=True, check=True,
                             timeout=seconds(30))
        head, body = ran.stdout.split(b"\r\n\r\n", 1)
        fields = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        conn.answer(status, body, [(name, value) for name, value in fields if name != "Status"], chunked=True)
    return serve


def test_git_is_held_to_a_mode(daemons, origin, place, repository):
    """It brings no user to a proxy that asks for none, unless it is told to."""
    origin.script(by_git(place))
    d = daemons(upstream(origin, aliases=["api.test"]), settings={"proxy": {"listen": "127.0.0.1:0"}}).start()
    push = ["git", "-C", place / "work", "push", "-q", "https://api.test/repo.git", "main:other"]
    ran = d.ctl("run", "--offline", "--", *push, timeout=30)
    assert ran.returncode not in (0, 3) and "came past the proxy" not in ran.stderr and origin.count() == 0, ran


@pytest.mark.parametrize("server", [as_files, by_git])
def test_git_clone(record, place, repository, server):
    folder, _ = record(server(place), "git", "clone", "-q", "https://api.test/repo.git", place / "first")
    ran = run(place, "--replay", folder, "--", "git", "clone", "-q", "https://api.test/repo.git", place / "again")
    assert ran.returncode == 0 and (place / "again" / "data.bin").read_bytes() == BINARY * 3, ran
    assert git(place, "-C", place / "again", "rev-parse", "HEAD") == git(place, "-C", place / "first", "rev-parse", "HEAD")
    assert git(place, "-C", place / "again", "fsck", "--full") == ""
