"""weirctl run --replay: a program hears what was recorded, without a daemon, a network, or anything of its first run."""
import json
import os
import signal
import subprocess
import sys
import zipfile

import pytest

from harness.daemon import environment
from harness.settings import upstream
from harness.wait import WEIRCTL, seconds

BINARY = bytes(range(256)) * 300
ANALYSIS = """
import hashlib, requests
s = requests.Session()
pages = [s.get('https://api.test/list', params={'page': n}).json() for n in (1, 2)]
made = s.post('https://api.test/items', json={'name': 'x'}, headers={'Authorization': 'Bearer very-secret-value'})
print(pages, made.status_code, made.json(), s.get('https://api.test/none').status_code)
print(hashlib.sha256(s.get('https://api.test/file').content).hexdigest())
with s.get('https://api.test/events', stream=True) as events:
    print([line for line in events.iter_lines() if line])
"""


def api(request, conn):
    path, _, query = request.target.partition("?")
    if path == "/list":
        conn.answer(200, json.dumps({"page": query}).encode(), [("Content-Type", "application/json")])
    elif path == "/items":
        conn.answer(201, b'{"id": 7}', [("Content-Type", "application/json")])
    elif path == "/file":
        conn.answer(200, BINARY, [("Content-Type", "application/octet-stream")])
    elif path == "/events":
        conn.answer(200, b"data: 1\n\ndata: 2\n\n", [("Content-Type", "text/event-stream")], chunked=True)
    else:
        conn.answer(404, b"no", [("Content-Type", "text/plain")])


def run(place, *arguments):
    home = place / "elsewhere"
    home.mkdir(exist_ok=True)
    ran = subprocess.run([WEIRCTL, "run", *map(str, arguments)], env=environment(home, TMPDIR=home), cwd=place, text=True,
                         capture_output=True, timeout=seconds(50), check=False, stdin=subprocess.DEVNULL)
    assert [path for path in home.rglob("*") if path.name.startswith(("weir-run-", "trust-"))] == []    # nothing is left
    return ran


@pytest.fixture
def record(daemons, origin, place):
    """Runs a program, recorded, and takes the API away: the snapshot, and what the program printed."""
    folder = place / "paper.weir"

    def run_first(handler, *command):
        origin.script(handler)
        d = daemons(upstream(origin, aliases=["api.test"], mode="record", snapshot={"path": str(folder)}),
                    settings={"proxy": {"listen": "127.0.0.1:0"}}).start()
        first = d.ctl("run", "--", *command)
        assert first.returncode == 0, first
        d.stop()
        origin.stop()
        lines = folder / "snapshot.jsonl"      # the name of a real API stands there in the place of an alias's address
        lines.write_text(lines.read_text().replace(origin.url, "https://api.test"))
        return folder, first.stdout
    return run_first


@pytest.fixture
def recorded(record):
    return record(api, sys.executable, "-c", ANALYSIS)


def test_an_analysis_again_with_the_network_away(recorded, place):
    folder, first = recorded
    again = run(place, "--replay", folder, "--", sys.executable, "-c", ANALYSIS)
    assert (again.returncode, again.stdout) == (0, first), again
    assert again.stderr == f"weirctl: 6 of 6 requests were answered from {folder}\n"
    packed = place / "paper.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(folder))
    assert run(place, "--replay", packed, "--", sys.executable, "-c", ANALYSIS).stdout == first
    assert "very-secret-value" not in "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_what_is_not_recorded_is_told_and_makes_the_status_3(recorded, place):
    folder, _ = recorded
    ran = run(place, "--replay", folder, "--", "curl", "-s", "https://api.test/list?page=9", "https://other.test/x")
    assert ran.returncode == 3 and "the parameter page is 9 and was" in ran.stdout, ran
    assert ran.stderr.splitlines() == ["weirctl: not in the snapshot: GET /list?page=9",
                                       "weirctl: not in the snapshot: CONNECT other.test:443",
                                       f"weirctl: 0 of 2 requests were answered from {folder}"]


def test_its_end_is_the_programs(recorded, place):
    folder, _ = recorded
    for command, status in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
                            ([place / "absent"], 127), ([place], 126)):
        assert run(place, "--replay", folder, "--", *command).returncode == status, command


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
    again = run(place, "--replay", folder, "--", *command)
    assert "1 passed" in first and "1 passed" in again.stdout and again.returncode == 0, again
    assert again.stderr == f"weirctl: 2 of 2 requests were answered from {folder}\n"


@pytest.mark.real_clients
def test_git_clone(record, place):
    """Of a repository that a plain web server has."""
    own = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

    def git(*arguments):
        return subprocess.run(["git", *map(str, arguments)], env=environment(place, **own), check=True, capture_output=True, text=True,
                              timeout=seconds(30)).stdout
    work, bare = place / "work", place / "repo.git"
    git("init", "-q", "-b", "main", work)
    (work / "data.bin").write_bytes(BINARY)
    git("-C", work, "add", ".")
    git("-C", work, "commit", "-q", "-m", "first")
    git("clone", "-q", "--bare", work, bare)
    git("-C", bare, "update-server-info")

    def serve(request, conn):
        file = place / request.target.partition("?")[0].lstrip("/")
        if file.is_file():
            conn.answer(200, file.read_bytes(), [("Content-Type", "text/plain")])
        else:
            conn.answer(404, b"", [])
    folder, _ = record(serve, "git", "clone", "-q", "https://api.test/repo.git", place / "first")
    again = run(place, "--replay", folder, "--", "git", "clone", "-q", "https://api.test/repo.git", place / "again")
    assert again.returncode == 0 and (place / "again" / "data.bin").read_bytes() == BINARY, again
    assert git("-C", place / "again", "rev-parse", "HEAD") == git("-C", place / "first", "rev-parse", "HEAD")


def test_what_is_no_snapshot(place):
    empty = place / "empty"
    empty.mkdir()
    (place / "text").write_text("no")
    (place / "hostile").mkdir()
    (place / "hostile" / "snapshot.jsonl").write_text('{"weir": 1, "created": 1, "match": ["method", "url", "body"], "redacted": []}\n')
    for path, status, says in ((place / "absent", 125, "No such file"), (empty, 125, "it is no snapshot"),
                               (place / "text", 125, "text: "), (place / "hostile", 125, "nothing is recorded in it"),
                               ("auto", 2, "adds nothing to it")):
        ran = run(place, "--replay", path, "--", "touch", place / "ran")
        assert ran.returncode == status and says in ran.stderr, (path, ran)
    assert not os.path.exists(place / "ran")
    assert run(place, "--replay", empty, "--offline", "--", "true").returncode == 2
