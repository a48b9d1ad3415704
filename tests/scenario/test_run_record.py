"""weirctl run --record and --replay=auto: what a program asks is kept in a folder of the user's, by a daemon that may not write there."""
import array
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from harness.client import Client
from harness.daemon import environment
from harness.settings import upstream
from harness.wait import WEIRCTL, seconds, until

SECRET = "s3cr3t-token-0123456789"
ASK = """
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    request = urllib.request.Request(url, headers={"Authorization": "Bearer %s"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            print(answer.status, answer.read().decode()[:40])
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode()[:60])
""" % SECRET


def answer(request, conn):
    path = request.target.rpartition("/")[2]
    if path == "login":
        return conn.answer(200, json.dumps({"access_token": SECRET}).encode(), [("Content-Type", "application/json")])
    if path == "big":
        return conn.answer(200, b"0123456789" * 200000, [("Content-Type", "text/plain")])
    if path == "none":
        return conn.answer(204, b"", [])
    return conn.answer(200, b"for " + request.target.encode(), [("Content-Type", "text/plain")])


@pytest.fixture
def d(weir, origin):
    origin.handler = answer
    return weir(settings={"proxy": {"listen": "127.0.0.1:0"}}, aliases=["api.test"])


@pytest.fixture
def tape(place):
    return place / "paper.weir"


def command(d, *arguments):
    return [WEIRCTL, "--socket", d.admin_path, "run", *map(str, arguments)]


def asking(d, *arguments, paths=()):
    urls = [f"https://api.test/{path}" for path in paths]
    return subprocess.run(command(d, *arguments, "--", sys.executable, "-c", ASK, *urls), env=environment(d.directory), text=True,
                          capture_output=True, timeout=seconds(60), check=False, stdin=subprocess.DEVNULL)


def lines(tape):
    return [json.loads(line) for line in (tape / "snapshot.jsonl").read_text().splitlines()][1:]


def told(ran, what):
    assert what in ran.stderr, ran
    return ran


def test_what_was_recorded_is_replayed_without_a_daemon(d, origin, tape):
    ran = told(asking(d, "--record", tape, paths=["a", "big", "none", "a"]), f"4 exchanges were recorded into {tape}")
    assert ran.returncode == 0 and origin.count() == 4, ran
    assert sorted(os.listdir(tape)) == ["bodies", "snapshot.jsonl"]
    assert [line["url"].rpartition("/")[2] for line in lines(tape)] == ["a", "a", "big", "none"]
    assert lines(tape)[0]["url"].startswith("http://api.test/")        # what was asked, not where it led
    files = [p.read_bytes() for p in tape.rglob("*") if p.is_file()]
    assert not any(SECRET.encode() in data for data in files)
    d.stop()
    origin.stop()
    again = asking(d, "--replay", tape, paths=["a", "big", "none", "a"])
    assert (again.returncode, again.stdout) == (0, ran.stdout), again


def test_two_recordings_differ_in_time_alone(d, place):
    texts = []
    for name in "ab":
        assert asking(d, "--record", place / name, paths=["x", "y", "x", "none"]).returncode == 0
        text = (place / name / "snapshot.jsonl").read_text()
        texts.append(re.sub(r'"(time|created)": ?("[^"]*"|\d+)|"took":\d+|\["Date","[^"]*"\]', "", text))
    assert texts[0] == texts[1]
    assert sorted(os.listdir(place / "a/bodies")) == sorted(os.listdir(place / "b/bodies"))


def test_auto_asks_for_what_is_missing_and_adds_it(d, origin, tape):
    assert asking(d, "--record", tape, paths=["a"]).returncode == 0
    ran = told(asking(d, "--replay=auto", tape, paths=["a", "b", "a"]), "2 of 3 requests were answered from")
    assert ran.returncode == 0 and origin.count() == 2 and ran.stdout.count("200 for") == 3, ran
    assert len(lines(tape)) == 2
    assert asking(d, "--replay=auto", tape, paths=["a", "b"]).returncode == 0 and origin.count() == 2
    fresh = tape.parent / "fresh"
    assert asking(d, "--replay", "auto", fresh, paths=["c"]).returncode == 0 and len(lines(fresh)) == 1


def test_a_credential_in_a_body_is_not_kept(d, tape):
    ran = told(asking(d, "--record", tape, paths=["a", "login"]), "a credential stands in the answer's body")
    assert ran.returncode == 4 and "login" in ran.stderr and SECRET not in ran.stderr, ran
    assert len(lines(tape)) == 1
    ran = asking(d, "--record", tape.parent / "masked", "--redact", "json:/access_token", paths=["login"])
    assert ran.returncode == 0 and len(lines(tape.parent / "masked")) == 1, ran
    assert '"json:/access_token"' in (tape.parent / "masked/snapshot.jsonl").read_text()


def test_the_programs_end_and_what_came_past_the_proxy(d, tape):
    assert subprocess.run(command(d, "--record", tape, "--", "sh", "-c", "exit 7"), env=environment(d.directory), check=False,
                          timeout=seconds(40), capture_output=True).returncode == 7
    past = f"import urllib.request; urllib.request.urlopen('{d.url}/api/x')"
    ran = subprocess.run(command(d, "--record", tape, "--", sys.executable, "-c", past), env=environment(d.directory), text=True,
                         check=False, timeout=seconds(40), capture_output=True)
    assert ran.returncode == 3 and "and was not recorded" in ran.stderr, ran


def start(d, tape, place, name, count):
    """A program that asks so many, says so, and waits."""
    script = f"{ASK}\nopen({str(place / name)!r}, 'w').close()\nsys.stdin.read()\n"
    urls = [f"https://api.test/{name}{i}" for i in range(count)]
    ctl = subprocess.Popen(command(d, "--record", tape, "--", sys.executable, "-c", script, *urls), env=environment(d.directory),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until((place / name).exists, "it has asked", timeout=60)
    return ctl


def test_two_programs_record_into_one_folder(d, tape, place):
    one, other = (start(d, tape, place, name, 5) for name in "ab")
    for ctl in (one, other):
        ctl.communicate(timeout=seconds(40))
        assert ctl.returncode == 0
    assert len(lines(tape)) == 10 and sorted(os.listdir(tape)) == ["bodies", "snapshot.jsonl"]


@pytest.mark.parametrize("who", ["weirctl", "weir"])
def test_a_kill_loses_at_most_what_was_in_hand(d, tape, place, who):
    ctl = start(d, tape, place, "k", 5)
    until(lambda: sum(p.read_bytes().count(b"GET") for p in tape.glob("recording-*.journal")) == 5, "five are on the disk")
    if who == "weir":
        d.kill()
        out = ctl.communicate(timeout=seconds(40))
        assert ctl.returncode == 3 and "weir ended while the program ran" in out[1]
        d.start()
    else:
        ctl.send_signal(signal.SIGKILL)
        ctl.communicate(timeout=seconds(40))                           # its pipes: the program's own end
    if who == "weirctl":
        d.wait_line("snapshot_written")
        assert list(tape.glob("recording-*.journal"))
    assert asking(d, "--record", tape, paths=["l"]).returncode == 0    # which takes it over
    assert len(lines(tape)) == 6 and sorted(os.listdir(tape)) == ["bodies", "snapshot.jsonl"]


def test_a_folder_that_is_none(d, place):
    (place / "other").mkdir()
    (place / "other/thesis.tex").write_text("")
    (place / "file").write_text("")
    for path, says in (("other", "holds other files"), ("file", "neither a folder nor a zip"), ("missing/deeper", "cannot be made")):
        ran = told(asking(d, "--record", place / path, paths=["a"]), says)
        assert ran.returncode == 125, ran


@pytest.mark.parametrize("arguments, says", [
    (["--record", "x", "--offline", "--", "true"], "a program has one mode"),
    (["--redact", "json:/a", "--offline", "--", "true"], "it goes with --record"),
    (["--record", "x", "--redact", "cookie", "--", "true"], 'redact "cookie"'),
    (["--replay=auto", "x", "true"], "takes a folder and a command"),
    (["--record", "x"], "lacks an argument"),
])
def test_wrong_use(d, arguments, says):
    ran = subprocess.run(command(d, *arguments), text=True, capture_output=True, timeout=seconds(20), check=False)
    assert ran.returncode == 2 and says in ran.stderr and "usage: " in ran.stderr, ran


# -- the daemon's side: descriptors that are passed in --

def begin(d, mode, *files, path=None, **more):
    """POST /run with descriptors: the answer's status."""
    body = json.dumps({"mode": mode, **more}).encode()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(seconds(20))
        s.connect(path or d.admin_path)
        head = f"POST /run HTTP/1.0\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        s.sendmsg([head + body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else [])
        with s.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def sealed(data=b""):
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    return fd


def test_only_a_file_of_the_callers_own_is_taken(d, place):
    (place / "full").write_text("x")
    (place / "empty").write_text("")
    os.mkfifo(place / "pipe")
    flags = {"full": os.O_RDWR, "empty": os.O_RDONLY, "pipe": os.O_RDWR, "/dev/null": os.O_RDWR, ".": os.O_RDONLY}
    refused = [os.open(place / name, how) for name, how in flags.items()] + [os.open(place / "empty", os.O_RDWR | os.O_APPEND)]
    good = os.open(place / "empty", os.O_RDWR)
    if os.getuid() == 0:
        (place / "theirs").write_text("")
        os.chown(place / "theirs", 12345, -1)
        refused.append(os.open(place / "theirs", os.O_RDWR))
    for fd in refused:
        assert begin(d, "record", fd) == 400, fd
    assert begin(d, "record") == begin(d, "replay", good) == begin(d, "replay", good, good) == 400
    assert begin(d, "replay", good, sealed()) == 400                # not sealed
    assert begin(d, "record", good, redact=["secret"]) == begin(d, "record", good, redact=[1]) == 400
    assert begin(d, "record", good) == 200
    for fd in (*refused, good):
        os.close(fd)


def test_descriptors_that_nobody_asked_for_are_closed(d, place):
    (place / "empty").write_text("")
    fd = os.open(place / "empty", os.O_RDWR)
    paths = (d.admin_path, d.admin_path.replace("admin.sock", "query.sock"))
    taken = 0
    for path in paths:
        for count in (1, 2, 20) * 5:
            assert begin(d, "offline", *[fd] * count, path=path) == 200
            taken += min(count, 2)
    os.close(fd)

    def still():
        count = 0
        for each in os.listdir(f"/proc/{d.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):               # closed meanwhile
                count += os.readlink(f"/proc/{d.pid}/fd/{each}").endswith("/empty")
        return count
    assert taken == 50
    until(lambda: still() == 0, "they are closed")


def test_a_stop_waits_for_no_run(d, tape, place):
    ctl = start(d, tape, place, "s", 3)
    d.stop()                                                           # what was recorded is in the file
    out = ctl.communicate(timeout=seconds(40))
    assert ctl.returncode == 3 and "weir ended while the program ran" in out[1], out
    assert len(lines(tape)) == 3 and sorted(os.listdir(tape)) == ["bodies", "snapshot.jsonl"]


def test_a_disk_that_is_full_ends_the_recording_alone(d, origin, place):
    """/dev/full is no regular file: the limit of a file's size stands for a disk (RLIMIT_FSIZE of the daemon)."""
    import resource
    (place / "empty").write_text("")
    fd = os.open(place / "empty", os.O_RDWR)
    body = json.dumps({"mode": "record"}).encode()
    with socket.socket(socket.AF_UNIX) as s, Client(d.proxy_address) as client:
        s.settimeout(seconds(20))
        s.connect(d.admin_path)
        s.sendmsg([f"POST /run HTTP/1.0\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body],
                  [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        with s.makefile("rb") as lines_:
            while lines_.readline() not in (b"\r\n", b""):
                pass
            token = json.loads(lines_.readline())["token"]
        fields = [("Host", "api.test"), ("Proxy-Authorization", "Basic " + base64.b64encode(f"{token}:x".encode()).decode())]
        assert client.get("http://api.test/a", fields).status == 200
        until(lambda: b"GET" in (place / "empty").read_bytes(), "it is kept")
        kept = os.stat(place / "empty").st_size
        resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (kept, kept))
        for path in ("b", "c"):
            assert client.get(f"http://api.test/{path}", fields).status == 200    # the program goes on
        counts = json.loads(d.admin("POST", "/run/end", json.dumps({"token": token}).encode()).body)
    os.close(fd)
    assert counts["recorded"] == 1 and counts["failed"] == 1 and "cannot be written" in counts["trouble"], counts
    assert os.stat(place / "empty").st_size == kept
    d.wait_line("snapshot_failed")
