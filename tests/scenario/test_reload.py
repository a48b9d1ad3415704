"""Reload: all at once or not at all, and nobody in flight hurt (contract section 3)."""
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
