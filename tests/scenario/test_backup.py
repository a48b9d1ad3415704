"""weirctl backup and restore: cache and state while the daemon runs, and back while it does not."""
import json
import os
import pathlib
import stat
import threading

import pytest

BIG = bytes(range(256)) * 1024                       # too long for a record: a body file


def answer(request, conn):
    body = BIG if b"big" in request.target.encode() else b"small " + request.target.encode()
    conn.answer(body=body, fields=[("Cache-Control", "max-age=1000")])


def ctl(d, command, *arguments):
    return d.ctl(command, "--config", d.config, *arguments)


def hit(d, path):
    response = d.get(path)
    return "hit" in response.fields.joined("Cache-Status"), response.body


@pytest.fixture
def filled(weir, origin):
    origin.handler = answer
    d = weir()
    for path in ("/api/small", "/api/big"):
        assert not hit(d, path)[0]
    assert d.ctl("mode", "api", "read_only").returncode == 0
    return d


def test_what_was_there_is_there_again(filled, tmp_path):
    d, copy = filled, tmp_path / "copy"
    said = ctl(d, "backup", copy, "--json")
    assert said.returncode == 0, said.stderr
    manifest = json.loads((copy / "weir-backup.json").read_text())
    assert json.loads(said.stdout) == manifest and manifest["cache"]["bytes"] > len(BIG)
    assert [stat.S_IMODE(os.stat(p).st_mode) for p in (copy, copy / "state/key")] == [0o700, 0o600]

    assert d.ctl("flush").returncode == 0 and d.ctl("mode", "api", "live").returncode == 0
    d.stop()
    said = ctl(d, "restore", copy)
    assert said.returncode == 0 and "before-restore-" in said.stdout, said
    d.start()
    assert hit(d, "/api/small") == (True, b"small /small") and hit(d, "/api/big") == (True, BIG)
    modes = json.loads(d.ctl("--json", "status").stdout)
    assert "read_only" in json.dumps(modes)


def test_it_is_one_moment_while_others_write(filled, tmp_path):
    d, done = filled, threading.Event()

    def write():
        n = 0
        while not done.is_set():
            d.get(f"/api/{'big' if n % 5 == 0 else 'small'}{n}")
            n += 1
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(3):
            assert ctl(d, "backup", tmp_path / str(n)).returncode == 0
    finally:
        done.set()
        writer.join()
    d.stop()
    assert ctl(d, "restore", tmp_path / "2").returncode == 0
    d.start()
    assert hit(d, "/api/big") == (True, BIG)
    assert "cache_set_aside" not in d.stderr


def test_nothing_is_restored_under_a_daemon_that_runs(filled, tmp_path):
    d = filled
    assert ctl(d, "backup", tmp_path / "copy").returncode == 0
    said = ctl(d, "restore", tmp_path / "copy")
    assert said.returncode == 1 and "stop it first" in said.stderr
    assert hit(d, "/api/big") == (True, BIG)


@pytest.mark.parametrize("wrong, why", [
    ("not empty", "is not empty"), ("no backup", "no backup of weir's"), ("newer", "newer form"), ("nowhere", "No such file"),
    ("broken off", "broken off")])
def test_what_is_wrong_is_said_and_nothing_changes(filled, tmp_path, wrong, why):
    d, copy = filled, tmp_path / "copy"
    assert ctl(d, "backup", copy).returncode == 0
    d.stop()
    manifest = copy / "weir-backup.json"
    if wrong == "not empty":
        said = ctl(d, "backup", copy)
    elif wrong == "no backup":
        said = ctl(d, "restore", pathlib.Path(d.config).parent)
    elif wrong == "newer":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "weir_backup": 2}))
        said = ctl(d, "restore", copy)
    elif wrong == "broken off":
        manifest.unlink()
        said = ctl(d, "restore", copy)
    else:
        said = ctl(d, "restore", tmp_path / "nowhere")
    assert said.returncode == 1 and why in said.stderr and said.stderr.startswith("weir: "), said
    d.start()
    assert hit(d, "/api/big") == (True, BIG)
