"""Another mode for an upstream at run time: weirctl mode."""
import json

import pytest

from harness.settings import upstream

FRESH = [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain")]


def modes(d):
    return {u["name"]: (u["mode"], u["mode_until"]) for u in d.status()["upstreams"]}


def test_offline_and_back(weir, origin):
    d = weir()
    origin.reply(200, b"1", FRESH)
    assert d.get("/api/a").status == 200 and modes(d) == {"api": ("live", None)}
    d.wait_stored()
    for _ in range(3):                                   # so often that its reply is kept ready
        assert "detail=offline" not in d.get("/api/a").fields.get("Cache-Status")
    ran = d.ctl("mode", "api", "offline")
    assert ran.returncode == 0 and ran.stdout.split() == ["api", "offline"]
    assert modes(d) == {"api": ("offline", None)}
    stored = d.get("/api/a")
    assert stored.status == 200 and "hit" in stored.fields.get("Cache-Status")
    assert "detail=offline" in stored.fields.get("Cache-Status")
    missing = d.get("/api/b")
    assert missing.status == 504 and json.loads(missing.body)["type"].endswith(":not-cached")
    assert origin.count() == 1
    assert [line["detail"] for line in d.access(6)[-2:]] == ["offline", "offline"]
    assert d.ctl("mode", "api", "live").returncode == 0
    assert d.get("/api/b").status == 200 and modes(d) == {"api": ("live", None)}


def test_read_only(weir, origin):
    d = weir()
    origin.reply(200, b"1", FRESH)
    assert d.ctl("mode", "--all", "read_only").returncode == 0
    refused = d.request("POST", "/api/a", body=b"x")
    assert refused.status == 403 and json.loads(refused.body)["type"].endswith(":read-only") and origin.count() == 0
    seen = d.get("/api/a")
    assert seen.status == 200 and "detail=read-only" in seen.fields.get("Cache-Status")


def test_all_or_one(daemons, origin, origins):
    d = daemons(upstream(origin), upstream(origins(), name="other"), upstream(origins(), name="still", mode="offline")).start()
    answer = d.ctl_json("mode", "--all", "offline")
    assert [m["upstream"] for m in answer["modes"]] == ["api", "other", "still"]
    assert {m for m, _ in modes(d).values()} == {"offline"}
    assert d.ctl("mode", "other", "live").returncode == 0
    assert modes(d) == {"api": ("offline", None), "other": ("live", None), "still": ("offline", None)}


def test_it_ends_by_itself(weir, origin, clock):
    d = weir()
    origin.reply(200, b"1", FRESH)
    ran = d.ctl("mode", "api", "offline", "--for", "2h")
    assert ran.returncode == 0 and ran.stdout.startswith("api          offline for ")
    mode, ends = modes(d)["api"]
    assert mode == "offline" and ends is not None
    assert d.get("/api/a").status == 504
    clock.advance(2 * 3600 + 1)
    assert d.get("/api/a").status == 200 and modes(d) == {"api": ("live", None)}


@pytest.mark.parametrize("end", ["restart", "kill", "reload"])
def test_it_outlives(weir, origin, end):
    d = weir()
    origin.reply(200, b"1", FRESH)
    assert d.ctl("mode", "api", "offline").returncode == 0
    if end == "reload":
        assert d.ctl("reload").returncode == 0
    else:
        if end == "kill":
            d.kill()
        d.restart() if end == "restart" else d.start()
    assert modes(d) == {"api": ("offline", None)} and d.get("/api/a").status == 504


def test_a_changed_mode_line_counts_more(weir, origin):
    d = weir()
    assert d.ctl("mode", "api", "offline").returncode == 0
    d.write([upstream(origin, mode="read_only")])
    assert d.ctl("reload").returncode == 0
    assert modes(d) == {"api": ("read_only", None)}
    d.restart()
    assert modes(d) == {"api": ("read_only", None)}


@pytest.mark.parametrize("arguments, status, says", [
    (["api"], 2, "usage: "),
    (["--all", "api", "live"], 2, "usage: "),
    (["nobody", "live"], 1, "no upstream of that name"),
    (["api", "asleep"], 1, "MODE is live, offline, read_only, dry_run"),
    (["api", "replay"], 1, "replay wants a snapshot"),
    (["api", "offline", "--for", "soon"], 1, "a duration of at least a second"),
    (["api", "offline", "--for", "10ms"], 1, "a duration of at least a second"),
])
def test_what_is_wrong_is_said(weir, arguments, status, says):
    d = weir()
    ran = d.ctl("mode", *arguments)
    assert ran.returncode == status and says in ran.stderr, ran
    assert modes(d) == {"api": ("live", None)}

