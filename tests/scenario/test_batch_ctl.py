"""weirctl batch: many requests from the shell."""
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import pytest

from harness.daemon import environment
from harness.wait import WEIRCTL, seconds

FRESH = [("Cache-Control", "max-age=3600"), ("Content-Type", "application/json")]


def echo(request, conn):
    if request.path == "/missing":
        return conn.answer(404, b"no such thing", [])
    return conn.answer(200, json.dumps({"path": request.target}).encode(), FRESH)


def batch(d, lines, *arguments):
    return subprocess.run([WEIRCTL, "--socket", d.admin_path, "batch", *arguments], text=True, capture_output=True,
                          input="".join(line + "\n" for line in lines), timeout=seconds(30), check=False,
                          env=environment(d.directory))


def entries(text):
    return [json.loads(line) for line in text.splitlines()]


def test_lines_in_lines_out(weir, origin):
    d = weir()
    origin.handler = echo
    ran = batch(d, ["/api/1", "", "  /api/2  ", '{"url": "/api/3", "id": "three"}', '"/api/4"'])
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [(e["id"], e["body"]["path"]) for e in entries(ran.stdout)] == [
        (0, "/1"), (1, "/2"), ("three", "/3"), (3, "/4")]


def test_options_reach_the_daemon(weir, origin):
    d = weir()
    origin.handler = echo
    ran = batch(d, [f"/api/{i}" for i in range(9)], "--take", "2", "--order", "completed", "--concurrency", "1",
                "--accept", "2xx,404", "--max-wait", "5s")
    assert ran.returncode == 0 and len(entries(ran.stdout)) == 2


@pytest.mark.parametrize("lines, arguments, status, says", [
    (["/api/1", "/api/missing"], [], 3, ""),
    (["/api/1", "/api/missing"], ["--accept", "2xx,404"], 0, ""),
    (["/nobody/1"], [], 1, "Item 0: url: no upstream"),
    (["/api/1"], ["--concurrency", "1000"], 1, "concurrency: a number from 1 up"),
    (["/api/1"], ["--order", "up"], 1, "order:"),
    ([], [], 0, ""),
    (["/api/1"], ["nothing-there"], 1, "nothing-there: No such file"),
    (["/api/1"], ["a", "b"], 2, "usage: "),
])
def test_exit_status(weir, origin, lines, arguments, status, says):
    d = weir()
    origin.handler = echo
    ran = batch(d, lines, *arguments)
    assert ran.returncode == status and says in ran.stderr, (ran.returncode, ran.stderr)


def test_no_daemon(weir):
    d = weir()
    d.terminate()
    d.wait_exit()
    ran = batch(d, ["/api/1"])
    assert ran.returncode == 1 and "no weir answers" in ran.stderr


def test_weir_url_needs_no_socket(weir, origin, place):
    d = weir()
    origin.handler = echo
    ran = subprocess.run([WEIRCTL, "--socket", "/nonexistent", "batch"], input="/api/1\n", capture_output=True, text=True,
                         timeout=30, check=False, env=environment(place, WEIR_URL=d.url))
    assert ran.returncode == 0 and entries(ran.stdout)[0]["status"] == 200
    for wrong in ("http://127.0.0.1:1", "nonsense", "https://127.0.0.1:1"):
        ran = subprocess.run([WEIRCTL, "batch"], input="/api/1\n", capture_output=True, text=True, timeout=30,
                             check=False, env=environment(place, WEIR_URL=wrong))
        assert ran.returncode == 1 and f"no weir answers at {wrong}" in ran.stderr


def test_bodies_into_files(weir, origin, place):
    """Byte for byte, and nowhere else than in the directory."""
    d = weir()
    bodies = {"/json": b'{"n": 12345678901234567890,\r\n "s": "\\u00e4"}', "/bin": bytes(range(256)) * 300,
              "/text": "grüße\n".encode(), "/none": b""}
    origin.handler = lambda request, conn: conn.answer(200, bodies[request.target], [])
    lines = [json.dumps({"url": "/api" + target, "id": name}) for name, target in
             {"../../up": "/json", ".hidden": "/bin", "a/b": "/text", "none": "/none"}.items()]
    ran = batch(d, lines, "-o", str(place / "out"))
    assert ran.returncode == 0, ran.stderr
    assert sorted(os.listdir(place / "out")) == ["_._.._up", "_hidden", "a_b", "none"]
    assert json.loads((place / "out/_._.._up").read_bytes()) == json.loads(bodies["/json"])
    assert b"12345678901234567890" in (place / "out/_._.._up").read_bytes()
    assert (place / "out/_hidden").read_bytes() == bodies["/bin"]
    assert (place / "out/a_b").read_bytes() == bodies["/text"]
    assert (place / "out/none").read_bytes() == b""


def test_interrupted_and_resumed(weir, origin, place):
    """What was done is kept, and nothing is asked twice."""
    d = weir()
    go = threading.Event()

    def some(request, conn):
        if int(request.target[1:]) >= 5:
            conn.wait(go)
        conn.answer(200, b"1", [])
    origin.handler = some
    (place / "in").write_text("".join(f"/api/{i}\n" for i in range(20)))
    out = place / "out"
    command = [WEIRCTL, "--socket", d.admin_path, "batch", "--concurrency", "8", "--resume", str(out), str(place / "in")]
    with subprocess.Popen(command, env=environment(place)) as ran:
        origin.wait_requests(13)
        while not out.exists() or len(out.read_bytes().splitlines()) < 5:
            if ran.poll() is not None:
                break
            os.sched_yield()
            ran.send_signal(signal.SIGINT)
        assert ran.wait(timeout=30) == 130
    asked = {r.target for r in origin.requests}
    held = {e["id"] for e in entries(out.read_text())}
    assert held == set(range(5)) and len(asked) < 20
    with open(out, "a", encoding="utf-8") as file:
        file.write('{"id":19,"status":200,"hea')
    go.set()
    origin.requests.clear()
    again = d.ctl(*command[3:])
    assert again.returncode == 0, again.stderr
    assert {e["id"] for e in entries(out.read_text()) if "id" in e} == set(range(20))
    assert not {r.target for r in origin.requests} & {f"/{i}" for i in range(5)}


@pytest.mark.parametrize("columns, bar", [(160, rb"\r\[ +\] [01] of 40"), (60, rb"\r[01] of 40, 0 hits, 0 failed, \d+m")])
def test_the_bar_names_the_limit(weir, origin, place, columns, bar):
    """And fits the terminal."""
    d = weir(limits=["1/min"])
    origin.reply(200, b"1")
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = b""
    (place / "in").write_text("".join(f"/api/{i}\n" for i in range(40)))
    with subprocess.Popen([WEIRCTL, "--socket", d.admin_path, "batch", str(place / "in")], stdout=subprocess.DEVNULL,
                          stderr=side, env=environment(place)) as ran:
        try:
            while (b" left" if columns < 100 else b" left, waiting for the limit of api: 1/min\x1b") not in shown:
                shown += os.read(main, 65536)
            ran.send_signal(signal.SIGINT)
            assert ran.wait(timeout=seconds(30)) == 130
        finally:
            ran.kill()
    os.close(side)
    os.close(main)
    assert re.search(bar, shown)
    assert max(len(line) for line in re.split(rb"[\r\n]|\x1b\[K", shown)) < columns


def test_a_bar_on_a_terminal(weir, origin, place):
    d = weir()
    origin.handler = echo
    main, side = pty.openpty()
    ran = subprocess.run([WEIRCTL, "--socket", d.admin_path, "batch"], input=b"/api/1\n/api/2\n", stdout=subprocess.PIPE,
                         stderr=side, timeout=30, check=False, env=environment(place))
    os.close(side)
    shown = b""
    try:
        while piece := os.read(main, 65536):
            shown += piece
    except OSError:
        pass
    os.close(main)
    assert ran.returncode == 0 and shown.endswith(b"[####################] 2 of 2, 0 hits, 0 failed\x1b[K\r\n")
    assert b"\x1b" not in ran.stdout
