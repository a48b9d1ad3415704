"""Reload: all at once or not at all, and nobody in flight hurt (contract section 3)."""
import errno
import os
import signal
import threading

import pytest

from harness.settings import upstream
from harness.wait import until

FRESH = [("Cache-Control", "max-age=3600")]


@pytest.mark.parametrize("how", ["weirctl", "sighup"])
def test_reload_with_an_error_keeps_the_old_and_says_why(weir, origin, how):
    origin.reply(body=b"x", fields=FRESH)
    d = weir()
    d.get("/api/x")
    d.wait_stored()
    begin = len(d.lines)
    d.config.write_text(d.config.read_text().replace('name = "api"', 'name = "api";\n    tttl = "1h"'))
    if how == "weirctl":
        result = d.ctl("reload")
        assert result.returncode != 0 and "tttl" in result.stderr + result.stdout
        assert d.ctl("reload", "--json").returncode != 0
    else:
        d.process.send_signal(signal.SIGHUP)
        d.wait_line("tttl", since=begin)
    assert d.get("/api/x").cache.hit
    assert d.get("/api/new").status == 200


def test_sighup_takes_the_new_configuration(daemons, origin, origins):
    other = origins()
    other.reply(body=b"other")
    d = daemons(upstream(origin)).start()
    assert d.get("/new/x").status == 404
    d.write([upstream(origin), upstream(other, name="new")])
    d.process.send_signal(signal.SIGHUP)
    until(lambda: d.get("/new/x").status == 200, "the new upstream")
    assert d.get("/api/x").status == 200
    d.write([upstream(other, name="new")])
    assert d.ctl("reload").returncode == 0
    until(lambda: d.get("/api/x").status == 404, "the old upstream to go")


def test_reload_is_answered_when_it_is_in_effect(daemons, origin):
    origin.reply(body=b"x")
    d = daemons(upstream(origin, ttl="never")).start()
    with d.connect() as client:
        for n in range(60):
            d.write([upstream(origin, ttl="never", set_headers=[f"X-Round: {n}"])])
            assert d.admin("POST", "/reload").status == 200
            client.get("/api/x")
            assert origin.last.fields.get("X-Round") == str(n)


def test_reload_loses_no_request_in_flight(weir, origin):
    go = threading.Event()

    def handler(request, conn):
        conn.wait(go)
        conn.answer(body=request.target.encode(), fields=FRESH)
    origin.handler = handler
    d = weir(max_in_flight=2)
    clients = [d.connect() for _ in range(6)]
    for i, client in enumerate(clients):
        client.start("GET", f"/api/{i}")
    origin.wait_requests(2)
    for ttl in ("1h", "2h", "3h"):
        d.write([upstream(origin, ttl=ttl)])
        assert d.ctl("reload").returncode == 0
    go.set()
    assert [c.read_response().body for c in clients] == [b"/%d" % i for i in range(6)]
    for client in clients:
        assert client.get("/api/0").body == b"/0"
        client.close()


def test_reload_names_what_only_a_restart_changes(weir, origin):
    d = weir()
    d.settings["workers"] = 1
    d.settings["cache"]["path"] = str(d.directory / "elsewhere")
    d.write([upstream(origin)])
    begin = len(d.lines)
    result = d.ctl("reload")
    assert result.returncode == 0
    said = result.stdout + result.stderr + "\n".join(d.lines[begin:])
    assert "cache" in said and "workers" in said and d.get("/api/x").status == 200


# -- while one is being read: a file of conf.d that is a pipe holds it for as long as a test wants --

class Held:
    def __init__(self, daemon):
        self.folder = daemon.config.parent / "conf.d"
        self.folder.mkdir()
        self.pipe = self.folder / "10.conf"
        os.mkfifo(self.pipe)
        self.end = None

    def reached(self):
        """Waits until the daemon has opened the pipe, which is then out of the way of the next one who reads."""
        def opened():
            try:
                self.end = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as err:
                assert err.errno == errno.ENXIO
                return False
            return True
        until(opened, "the daemon to read the pipe")
        self.pipe.unlink()

    def let_go(self, text=b"# nothing\n"):
        os.write(self.end, text)
        os.close(self.end)


def test_requests_go_on_while_a_configuration_is_read(daemons, origin):
    origin.reply(body=b"x", fields=FRESH)
    d = daemons(upstream(origin)).start()
    held = Held(d)
    with d.connect() as old:
        old.get("/api/old")
        d.process.send_signal(signal.SIGHUP)
        held.reached()
        for n in range(20):
            assert old.get(f"/api/{n}").status == 200
            with d.connect() as new:
                assert new.get(f"/api/{n}").cache.hit and new.get(f"/api/new{n}").status == 200
        assert d.ctl("status").returncode == 0 and d.ctl("limits").returncode == 0
        held.let_go(b'upstreams = ( { name = "more"; url = "%s"; } );\n' % origin.url.encode())
        until(lambda: d.get("/more/x").status == 200, "the new configuration")
        assert old.get("/more/x").cache.hit


@pytest.mark.parametrize("workers", [1, 2])
def test_weirctl_reload_holds_no_worker(daemons, origin, workers):
    origin.reply(body=b"x", fields=FRESH)
    d = daemons(upstream(origin), settings={"workers": workers}).start()
    held = Held(d)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(d.ctl("reload")))
    asking.start()
    held.reached()
    for n in range(10):
        with d.connect() as client:
            assert client.get(f"/api/{n}").status == 200
    assert not answers
    held.let_go()
    asking.join()
    assert answers[0].returncode == 0


def test_sighup_while_a_configuration_is_read_is_not_lost(daemons, origin):
    origin.reply(body=b"x")
    d = daemons(upstream(origin)).start()
    held = Held(d)
    d.process.send_signal(signal.SIGHUP)
    held.reached()                    # the main file has been read: what changes now, this one does not see
    d.write([upstream(origin), upstream(origin, name="later")])
    begin = len(d.lines)
    for _ in range(5):
        d.process.send_signal(signal.SIGHUP)
    held.let_go()
    until(lambda: d.get("/later/x").status == 200, "the configuration of the second signal")
    assert sum(" reloaded " in line for line in d.lines[begin:]) >= 2


def test_two_reloads_at_once_are_in_order(daemons, origin):
    origin.reply(body=b"x")
    d = daemons(upstream(origin)).start()
    held = Held(d)
    answers = {}

    def ask(name):
        answers[name] = d.ctl("reload")
    first = threading.Thread(target=ask, args=("first",))
    first.start()
    held.reached()
    d.write([upstream(origin), upstream(origin, name="later")])
    second = threading.Thread(target=ask, args=("second",))
    second.start()
    held.let_go(b"upstreams = nonsense;\n")
    first.join()
    second.join()
    assert answers["first"].returncode != 0 and "nonsense" in answers["first"].stderr + answers["first"].stdout
    assert answers["second"].returncode == 0
    assert d.get("/later/x").status == 200


@pytest.mark.parametrize("how", ["sighup", "weirctl"])
def test_stop_while_a_configuration_is_read(daemons, origin, how):
    d = daemons(upstream(origin)).start()
    held = Held(d)
    answers = []
    asking = None
    if how == "sighup":
        d.process.send_signal(signal.SIGHUP)
    else:
        asking = threading.Thread(target=lambda: answers.append(d.ctl("reload")))
        asking.start()
    held.reached()
    d.process.send_signal(signal.SIGTERM)
    assert d.wait_exit() == 0
    os.close(held.end)
    assert "left_behind" not in d.stderr
    if asking is not None:
        asking.join()
        assert answers[0].returncode != 0


def test_ten_thousand_rules_are_taken_and_left_again(daemons, origin):
    origin.reply(body=b"x")
    many = [{"match": f"/v1/item{n}/**", "ttl": "1h"} for n in range(10000)]
    d = daemons(upstream(origin, rules=many)).start()
    assert not d.get("/api/v1/item9999/x").cache.hit and d.get("/api/v1/item9999/x").cache.hit
    for n in range(3):
        d.write([upstream(origin, rules=many[:10 + n])])
        assert d.ctl("reload").returncode == 0
        d.write([upstream(origin, rules=many)])
        assert d.ctl("reload").returncode == 0
    assert d.get("/api/v1/item9999/x").cache.hit


def test_a_thousand_upstreams_keep_their_budgets_over_a_reload(daemons, origin):
    origin.reply(body=b"x")
    many = [upstream(origin, name=f"u{n}", limits=["1/day"], ttl="never", budget=f"b{n // 2}") for n in range(1000)]
    d = daemons(*many).start()
    assert d.get("/u998/x").status == 200
    for _ in range(2):
        assert d.ctl("reload").returncode == 0
    for name in ("u998", "u999"):       # one budget
        assert d.get(f"/{name}/x", [("Weir-Max-Wait", "0s")]).status == 429
    assert d.get("/u997/x").status == 200 and d.get("/u0/x").status == 200
