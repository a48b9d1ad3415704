"""Start, stop, and what stands in the way of a start: each one clear line (item 8)."""
import grp
import os
import pathlib
import shutil
import signal
import socket
import struct
import threading

import pytest

import harness.daemon
from harness.client import Client
from harness.daemon import environment
from harness.settings import upstream
from harness.wait import SANITIZER, seconds, until

FRESH = [("Cache-Control", "max-age=3600")]


def complaints(d):
    """The lines of standard error that are errors or warnings, or no events at all."""
    return [line for line in d.lines[d._first_line:] if " info " not in line and " debug " not in line]


def assert_refuses_to_start(d, *words):
    """Ends with a status other than 0 and exactly one line that says why."""
    d.spawn()
    status = d.wait_exit()
    d.process = None
    assert status not in (0, 99, 66) and status > 0, (status, d.stderr)
    said = complaints(d)
    assert len(said) == 1, f"one clear line, not {len(said)}:\n" + "\n".join(said)
    for word in words:
        assert str(word) in said[0], f"{word!r} is missing in: {said[0]}"


def thread_names(d):
    names = []
    for task in pathlib.Path(f"/proc/{d.pid}/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass                                     # it has just ended
    return names


def test_threads_carry_names(weir, origin, tmp_path):
    """Each its own, so that top and ps -L say who is busy; the program's is main's alone, by which pgrep finds it."""
    go = tmp_path / "go"
    d = weir({"workers": 3}, auth={"header": "Authorization",
                                   "command": f"until test -e {go}; do sleep 0.05; done; echo t"})
    with d.connect() as client:
        client.start("GET", "/api/x")
        until(lambda: "command" in thread_names(d), "the thread that runs the command")
        names = thread_names(d)
        go.touch()
        assert client.read_response().status == 200
    assert set(names) - {"config", "verify"} == {"weir", "worker 0", "worker 1", "worker 2", "upstream", "jobs", "writer",
                                                 "command"}
    assert names.count("weir") == (2 if SANITIZER == "thread" else 1)       # that one has a thread of its own


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_signal_ends_it_with_status_0(weir, origin, number):
    d = weir()
    d.get("/api/x")
    d.process.send_signal(number)
    assert d.wait_exit() == 0


@pytest.mark.parametrize("held_at", ["head", "body"])
def test_sigterm_answers_what_is_in_flight(weir, origin, held_at):
    go = threading.Event()

    def handler(request, conn):
        if held_at == "body":
            conn.head(200, [("Content-Length", "10")])
            conn.send(b"first")
        conn.wait(go)
        conn.send(b"later") if held_at == "body" else conn.answer(body=b"firstlater")
    origin.handler = handler
    d = weir()
    with d.connect() as waiting, d.connect() as idle:
        assert idle.get("/.weir/health").status == 200
        waiting.start("GET", "/api/x")
        origin.wait_requests(1)
        d.terminate()
        idle.ended()                                 # idle connections are let go at once

        def refused():
            try:
                Client(d.address).close()
                return False
            except ConnectionRefusedError:
                return True
        until(refused, "the listener to be closed")
        assert d.process.poll() is None, "it waits for what is in flight"
        go.set()
        response = waiting.read_response()
        assert (response.status, response.body, response.end) == (200, b"firstlater", "complete")
    assert d.wait_exit() == 0


def test_sigterm_with_an_upload_in_flight(weir, origin):
    d = weir()
    with d.connect() as client:
        client.start("POST", "/api/x", [("Content-Length", "10")])
        client.send(b"first")
        origin.wait_requests(1)
        d.terminate()
        d.wait_line("stop|shut|drain|term", timeout=5)
        client.send(b"later")
        assert client.read_response().status == 200
    assert d.wait_exit() == 0 and origin.last.body == b"firstlater"


def test_what_takes_longer_than_the_drain_is_broken_off(weir, origin):
    never = threading.Event()
    origin.handler = lambda request, conn: conn.wait(never)
    d = weir(settings={"server": {"drain": "100ms"}})
    with d.connect() as client:
        client.start("GET", "/api/x")
        origin.wait_requests(1)
        d.terminate()
        assert d.wait_exit(5) == 0                   # the client's own time-out would be 10 s
        client.ended()
    never.set()


def test_idle_connections_do_not_hold_the_end_up(weir, origin):
    d = weir()
    clients = [d.connect() for _ in range(20)]
    for client in clients[:10]:
        client.get("/api/x")
    clients[0].send(b"GET /api/half HTTP/1.1\r\nHos")
    d.terminate()
    assert d.wait_exit(5) == 0
    for client in clients:
        client.close()


def test_start_and_stop_at_once(daemons, origin):
    for _ in range(5):
        d = daemons(upstream(origin)).start()
        d.stop()


def test_signal_before_it_is_ready(daemons, origin):
    d = daemons(upstream(origin))
    d.spawn()
    d.terminate()
    assert d.wait_exit() in (0, -signal.SIGTERM)
    d.process = None


def test_second_instance_on_the_same_cache(daemons, origin):
    first = daemons(upstream(origin)).start()
    second = daemons(upstream(origin), settings={"cache": {"path": str(first.cache)}})
    assert_refuses_to_start(second, first.cache)
    assert first.get("/api/x").status == 200


def test_second_instance_on_the_same_state(daemons, origin):
    first = daemons(upstream(origin)).start()
    second = daemons(upstream(origin), settings={"state": {"path": str(first.state)}})
    assert_refuses_to_start(second, first.state)
    assert first.get("/api/x").status == 200


def test_busy_port(daemons, origin):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        address = "127.0.0.1:%d" % busy.getsockname()[1]
        assert_refuses_to_start(daemons(upstream(origin), settings={"listen": [address]}), address)


def test_second_instance_on_the_same_admin_socket(daemons, origin):
    first = daemons(upstream(origin)).start()
    second = daemons(upstream(origin), settings={"admin": {"socket": first.admin_path}})
    assert_refuses_to_start(second, first.admin_path)
    assert first.ctl("status").returncode == 0, "the first one keeps its socket"


def test_socket_left_by_a_killed_instance_is_no_obstacle(daemons, origin):
    d = daemons(upstream(origin)).start()
    d.kill()
    assert os.path.exists(d.admin_path)
    d.start()
    assert d.get("/api/x").status == 200 and d.ctl("status").returncode == 0


def test_unix_socket_serves_the_data_port(daemons, origin, place):
    path = str(place / "data.sock")
    d = daemons(upstream(origin), settings={"listen": ["127.0.0.1:0", {"address": "unix:" + path, "mode": "0600"}]}).start()
    assert os.stat(path).st_mode & 0o777 == 0o600
    with Client(path) as client:
        assert client.get("/api/x").body == b"origin"
    d.stop()
    assert not os.path.exists(path) and not os.path.exists(d.admin_path), "sockets are removed at the end"


def test_unix_socket_has_its_mode_and_group(daemons, origin, place):
    path, group = str(place / "data.sock"), grp.getgrgid(os.getgroups()[-1] if os.getgroups() else os.getegid())
    d = daemons(upstream(origin), settings={"listen": [{"address": "unix:" + path, "mode": "0640", "group": group.gr_name}]}).start()
    stat = os.stat(path)
    assert stat.st_mode & 0o777 == 0o640 and stat.st_gid == group.gr_gid
    with Client(path) as client:
        assert client.get("/api/x").status == 200
    d.stop()
    d.settings["listen"][0]["group"] = "no-such-group"
    d.write([upstream(origin)])
    d.expected_exit = 1
    d.spawn()
    assert d.wait_exit() == 1 and "no-such-group" in d.stderr


def test_ipv6(daemons, origin):
    """By prefix under its own address, and links lead back to it."""
    d = daemons(upstream(origin), settings={"listen": ["127.0.0.1:0", "[::1]:0"]}).start()
    port = int(next(a for a in d.addresses if a.startswith("[::1]:")).rpartition(":")[2])
    origin.reply(302, b"", [("Location", "/there")])
    with Client(("::1", port)) as client:
        response = client.get("/api/x")
        assert response.status == 302 and response.fields.get("Location") == "/api/there"
        origin.reply(302, b"", [("Location", origin.url + "/there")])
        assert client.get("/api/x").fields.get("Location") == f"http://[::1]:{port}/api/there"


# What systemd does: the sockets stand at 3 and up, and the variables name this very process.
ACTIVATE = 'n=3; for fd in $FDS; do eval "exec $n<&$fd"; n=$((n+1)); done; LISTEN_PID=$$ LISTEN_FDS=$((n-3)) exec env -u FDS "$@"'


def activated(d, sockets, names):
    fds = " ".join(str(s.fileno()) for s in sockets)
    d.spawn(before=["bash", "-c", f'FDS="{fds}" LISTEN_FDNAMES={names}; export LISTEN_FDNAMES; {ACTIVATE}', "bash"],
            pass_fds=[s.fileno() for s in sockets])
    for each in sockets:
        each.close()


def listening(family, address):
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen(8)
    return sock


def test_sockets_that_systemd_opened(daemons, origin, place):
    """They stand for what the configuration says of their address; what else it says is opened; clients that came before are served."""
    paths = {name: str(place / f"{name}.sock") for name in ("data", "admin", "own")}
    data, proxy, metrics = (listening(socket.AF_INET, ("127.0.0.1", 0)) for _ in range(3))
    unix, admin = (listening(socket.AF_UNIX, paths[name]) for name in ("data", "admin"))
    address, proxy_address, metrics_address = data.getsockname(), proxy.getsockname(), metrics.getsockname()
    d = daemons(upstream(origin, aliases=["api.example.test"]),
                settings={"listen": ["%s:%d" % address, "unix:" + paths["own"]], "admin": {"socket": paths["admin"]},
                          "proxy": {"listen": "%s:%d" % proxy_address}})
    d.admin_path = paths["admin"]
    with Client(address) as early:
        early.start("GET", "/api/early")
        activated(d, [data, unix, admin, proxy, metrics], "data:other:admin:proxy:metrics")
        d.wait_line(r" ready\b")
        assert early.read_response().status == 200
    for way in (paths["data"], paths["own"]):
        with Client(way) as client:
            assert client.get("/api/x").status == 200
    with Client(proxy_address) as client:
        assert client.get("http://api.example.test/x").status == 200
    with Client(metrics_address) as client:
        assert client.get("/metrics").status == 200 and client.get("/status").status == 404
    assert d.status()
    kinds = sorted(line.rpartition("kind=")[2] for line in d.lines if " listening " in line)
    assert kinds == ["admin", "data", "data", "data", "metrics", "proxy", "query"]
    d.stop()
    assert os.path.exists(paths["data"]) and os.path.exists(paths["admin"]) and not os.path.exists(paths["own"])


def units():
    """The shipped socket units: file name, what stands in them by key."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "systemd"
    for file in sorted(folder.glob("*.socket")):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        yield file.name, dict(line.split("=", 1) for line in lines if "=" in line)


def test_shipped_units_cover_every_listener_and_lose_nobody(daemons, origin, place):
    """Each with the kind that it names; who comes while the daemon is away waits on any of them, and is served by the next."""
    sockets, names, ways = [], [], {}
    for name, unit in units():
        assert name == "weir.socket" or unit["Service"] == "weir.service"
        if unit["ListenStream"].startswith("/run/weir/"):
            path = str(place / unit["ListenStream"].rpartition("/")[2])
            sockets.append(listening(socket.AF_UNIX, path))
            ways[name] = path
        else:
            sockets.append(listening(socket.AF_INET, ("127.0.0.1", 0)))
            ways[name] = sockets[-1].getsockname()
        names.append(unit["FileDescriptorName"])
    assert sorted(names) == ["admin", "data", "data", "metrics", "proxy", "query"]
    host, port = ways["weir.socket"]
    d = daemons(upstream(origin), settings={"listen": [f"{host}:{port}"], "admin": {"socket": ways["weir-admin.socket"]}})
    d.admin_path = ways["weir-admin.socket"]
    targets = {"weir-admin.socket": "/status", "weir-query.socket": "/status", "weir-metrics.socket": "/metrics"}
    for _ in range(2):
        waiting = {name: Client(way) for name, way in ways.items()}
        for name, client in waiting.items():
            client.start("GET", targets.get(name, "/api/x"), [("Host", "localhost")] if name in targets else [])
        activated(d, [each.dup() for each in sockets], ":".join(names))
        d.wait_line(r" ready\b")
        for name, client in waiting.items():
            assert client.read_response().status == 200, name
            client.close()
        kinds = sorted(line.rpartition("kind=")[2] for line in d.lines[d._first_line:] if " listening " in line)
        assert kinds == sorted(names)
        d.stop()
        assert all(os.path.exists(way) for way in ways.values() if isinstance(way, str))


def test_group_of_a_socket_that_systemd_opened_is_its_units(daemons, origin, place):
    """The documented setting says whose the socket is to be; that it cannot be done is no reason not to start."""
    path = str(place / "admin.sock")
    d = daemons(upstream(origin), settings={"admin": {"socket": path, "group": "no-such-group"}})
    d.admin_path = path
    activated(d, [listening(socket.AF_UNIX, path)], "admin")
    d.wait_line(r" ready\b")
    assert "SocketGroup" in d.wait_line(r" socket_group ")
    assert d.status()


def test_socket_of_systemds_that_other_machines_reach(daemons, origin):
    d = daemons(upstream(origin))
    d.expected_exit = 1
    activated(d, [listening(socket.AF_INET, ("0.0.0.0", 0))], "data")
    assert d.wait_exit() == 1 and "allow_remote" in d.stderr


def test_several_listeners(daemons, origin):
    d = daemons(upstream(origin), settings={"listen": ["127.0.0.1:0", "127.0.0.1:0"]}).start()
    ports = [int(a.rpartition(":")[2]) for a in d.addresses if a.startswith("127.0.0.1:")]
    assert len(ports) == 2
    for port in ports:
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/api/x").status == 200


# -- directories and databases ------------------------------------------------------

@pytest.mark.parametrize("which", ["cache", "state"])
def test_file_where_a_directory_is_due(daemons, origin, place, which):
    in_the_way = place / "in-the-way"
    in_the_way.write_text("a file")
    assert_refuses_to_start(daemons(upstream(origin), settings={which: {"path": str(in_the_way)}}), in_the_way)
    assert in_the_way.read_text() == "a file"


@pytest.mark.parametrize("which", ["cache", "state"])
def test_directory_that_may_not_be_written(daemons, origin, place, which):
    """As root every directory may be written: then the daemon is started without that right."""
    closed = place / "closed"
    closed.mkdir(mode=0o555)
    d = daemons(upstream(origin), settings={which: {"path": str(closed)}})
    d.spawn(before=["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else ())
    status = d.wait_exit()
    d.process = None
    said = complaints(d)
    assert status > 0 and len(said) == 1 and str(closed) in said[0], (status, d.stderr)
    closed.chmod(0o755)


def data_file(d):
    """The database of the cache: the LMDB file below its directory."""
    return max(d.cache.rglob("data.mdb"), key=lambda p: p.stat().st_size)


DAMAGE = {
    "truncated": lambda path: os.truncate(path, 8 * 4096),       # its pages reach far beyond
    "cut_within_the_first_page": lambda path: os.truncate(path, 1000),
    "overwritten": lambda path: path.write_bytes(b"\xa5" * path.stat().st_size),
    "meta_pages_overwritten": lambda path: path.write_bytes(b"\0" * 8192 + path.read_bytes()[8192:]),
    "another_kind_of_file": lambda path: path.write_bytes(b"#!/bin/sh\n" * 5000),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_cache_is_set_aside_and_a_new_one_begun(weir, origin, name):
    origin.reply(body=b"y" * 3000, fields=FRESH)
    d = weir()
    for i in range(30):
        d.get(f"/api/{i}")
    d.wait_stored(30)
    d.stop()
    path = data_file(d)
    DAMAGE[name](path)
    damaged = path.read_bytes()
    d.start()
    said = complaints(d)
    assert len(said) == 1 and str(d.cache) in said[0], said
    kept = [p for p in d.directory.rglob("*") if p.is_file() and p.stat().st_size >= len(damaged)
            and p.read_bytes()[:len(damaged)] == damaged]
    assert kept, "the damaged one is set aside, not deleted"
    miss = d.get("/api/1")
    assert miss.status == 200 and not miss.cache.hit
    d.wait_stored()
    assert d.get("/api/1").cache.hit
    d.restart()
    assert complaints(d) == [] and d.get("/api/1").cache.hit


def write_newer_format(path):
    """The record `format` of the table meta: a 32-bit number behind its key."""
    old, new = (b"format" + struct.pack("<I", number) for number in (1, 99))
    content = path.read_bytes()
    assert old in content, "no format version in the database"
    path.write_bytes(content.replace(old, new))


def test_cache_of_a_newer_format_is_set_aside(weir, origin):
    origin.reply(body=b"y", fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    d.stop()
    path = data_file(d)
    write_newer_format(path)
    d.start()
    said = complaints(d)
    assert len(said) == 1 and str(d.cache) in said[0], said
    mark = b"format" + struct.pack("<I", 99)
    assert [p for p in d.directory.rglob("*") if p.is_file() and mark in p.read_bytes()], "set aside, not deleted"
    assert not d.get("/api/x").cache.hit
    d.wait_stored()
    assert d.get("/api/x").cache.hit


@pytest.mark.parametrize("content", [b"\xa5" * 100_000, b""], ids=["noise", "empty"])
def test_damaged_ledger_does_not_stop_it(weir, origin, clock, content):
    d = weir(limits=["100/day"])
    d.get("/api/x")
    d.stop()
    next(d.state.rglob("data.mdb")).write_bytes(content)
    d.start()
    d.wait_line(" ledger_rows_lost ")
    said = complaints(d)
    assert len(said) == 2 and str(d.state) in said[0] and " ledger_rows_lost " in said[1], said
    assert d.get("/api/y").status == 429                   # what was lost counts as spent
    clock.advance(25 * 3600)
    assert d.get("/api/y").status == 200


def test_empty_database_file_is_begun_anew(weir, origin):
    origin.reply(body=b"y", fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    d.stop()
    os.truncate(data_file(d), 0)
    d.start()
    assert d.get("/api/x").status == 200
    d.wait_stored()
    assert d.get("/api/x").cache.hit


def test_pages_overwritten_in_the_middle_give_no_wrong_answer(weir, origin):
    """Silent damage behind intact meta pages: a miss, never a wrong body, never a crash."""
    origin.handler = lambda request, conn: conn.answer(body=request.target.encode() * 500, fields=FRESH)
    d = weir()
    for i in range(50):
        d.get(f"/api/{i}")
    d.wait_stored(50)
    d.stop()
    path = data_file(d)
    content = bytearray(path.read_bytes())
    for at in range(5 * 4096 + 100, len(content) - 200, 3 * 4096):
        content[at:at + 64] = b"\x5a" * 64
    path.write_bytes(content)
    d.start()
    for i in range(50):
        response = d.get(f"/api/{i}")
        assert response.status == 200 and response.body == b"/%d" % i * 500


def test_cache_directory_deleted_while_stopped(weir, origin):
    origin.reply(body=b"y", fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    d.stop()
    shutil.rmtree(d.cache)
    d.start()
    assert complaints(d) == []
    assert not d.get("/api/x").cache.hit


def test_body_file_that_is_gone_is_a_miss(weir, origin):
    origin.reply(body=b"z" * 600_000, fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    large = [p for p in d.cache.rglob("*") if p.is_file() and p.stat().st_size == 600_000]
    assert large, "a large body stands beside the database"
    for path in large:
        path.unlink()
    response = d.get("/api/x")
    assert (response.status, len(response.body), response.end) == (200, 600_000, "complete")
    assert origin.count() == 2


def test_kill_9_loses_nothing_that_was_stored_and_leaves_no_orphans(weir, origin):
    origin.reply(body=b"z" * 600_000, fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    go = threading.Event()

    def broken(request, conn):
        conn.head(200, [("Content-Length", "900000"), *FRESH])
        conn.send(b"z" * 700_000)
        conn.wait(go)
    origin.handler = broken
    with d.connect() as client:
        client.start("GET", "/api/y")
        next(client.pieces(client.read_head()))
        d.kill()
    go.set()
    d.start()
    hit = d.get("/api/x")
    assert hit.cache.hit and hit.body == b"z" * 600_000
    origin.reply(body=b"whole")
    assert d.get("/api/y").body == b"whole"


def test_state_holds_a_key_that_only_the_daemon_reads(weir, origin):
    d = weir()
    files = [p for p in d.state.rglob("*") if p.is_file()]
    assert files and all(p.stat().st_mode & 0o077 == 0 for p in files)
    assert d.state.stat().st_mode & 0o077 == 0 and d.cache.stat().st_mode & 0o077 == 0


def test_no_proxy_variable_turns_it_upon_itself(daemons, origin, monkeypatch):
    """A daemon started in a shell that points at a proxy calls the origin, not that proxy."""
    plain = environment

    def pointed(place, **extra):
        return {**plain(place, **extra), "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "all_proxy": "http://127.0.0.1:9"}
    monkeypatch.setattr(harness.daemon, "environment", pointed)
    assert daemons(upstream(origin)).start().get("/api/x").body == b"origin"


def test_readiness_is_told_to_a_service_manager(daemons, origin, monkeypatch, place):
    """Type=notify: READY=1 after the listeners are up, STOPPING=1 at the end."""
    plain, path = environment, str(place / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(seconds(10))
        monkeypatch.setattr(harness.daemon, "environment", lambda p, **extra: {**plain(p, **extra), "NOTIFY_SOCKET": path})
        d = daemons(upstream(origin)).start()
        assert b"READY=1" in manager.recv(4096)
        d.stop()
        said = b""
        while b"STOPPING=1" not in said:
            said += manager.recv(4096)


def test_the_watchdog_is_told_by_time_and_not_by_the_connection(daemons, origin, monkeypatch, place):
    """WATCHDOG=1 is a datagram that wakes the service manager."""
    plain, path = environment, str(place / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(seconds(10))
        monkeypatch.setattr(harness.daemon, "environment", lambda p, **extra: {
            **plain(p, **extra), "NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(600 * 1000 * 1000)})
        d = daemons(upstream(origin)).start()
        said = [manager.recv(4096)]
        for _ in range(5):            # no more than a socket's queue of datagrams holds
            with d.connect() as client:
                assert client.get("/api/x").status == 200
        d.stop()
        while b"STOPPING=1" not in said[-1]:
            said.append(manager.recv(4096))
    assert sum(b"WATCHDOG=1" in one for one in said) <= 1
