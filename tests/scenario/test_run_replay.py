"""weirctl run --replay: a program hears what was recorded, without a daemon, a network, or anything of its first run."""
import json
import os
import signal
import sys
import zipfile

import pytest

from harness.replay import Recorder, run

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


@pytest.fixture
def record(daemons, origin, place):
    return Recorder(daemons, origin, place)


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
    ran = run(place, "--replay", folder, "--", "curl", "-s", "https://api.test/list?page=9", "https://other.test/x",
              "http://other.test/y")
    assert ran.returncode == 3 and "the parameter page is 9 and was" in ran.stdout, ran
    assert ran.stderr.splitlines() == ["weirctl: not in the snapshot: GET /list?page=9",
                                       "weirctl: not in the snapshot: CONNECT other.test:443",
                                       "weirctl: not in the snapshot: GET http://other.test/y",
                                       f"weirctl: 0 of 3 requests were answered from {folder}"]


def test_its_end_is_the_programs(recorded, place):
    folder, _ = recorded
    for command, status in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
                            ([place / "absent"], 127), ([place], 126)):
        assert run(place, "--replay", folder, "--", *command).returncode == status, command


def test_what_is_no_snapshot(place):
    empty = place / "empty"
    empty.mkdir()
    (place / "text").write_text("no")
    (place / "hostile").mkdir()
    (place / "hostile" / "snapshot.jsonl").write_text('{"weir": 1, "created": 1, "match": ["method", "url", "body"], "redacted": []}\n')
    for path, status, says in ((place / "absent", 125, "No such file"), (empty, 125, "it is no snapshot"),
                               (place / "text", 125, "text: "), (place / "hostile", 125, "nothing is recorded in it"),
                               ("auto", 2, "takes a folder and a command")):
        ran = run(place, "--replay", path, "--", "touch", place / "ran")
        assert ran.returncode == status and says in ran.stderr, (path, ran)
    assert not os.path.exists(place / "ran")
    assert run(place, "--replay", empty, "--offline", "--", "true").returncode == 2
