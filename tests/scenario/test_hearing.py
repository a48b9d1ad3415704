"""What an API says of its limits: heard in every form, cut where nobody can mean it, undone by hand (contract section 5)."""
import gzip
import json
import re
import threading
import time
import zlib
from email.utils import formatdate

import pytest

from harness.origin import answer
from harness.settings import retry, upstream
from harness.wait import seconds, until

ONCE = retry(attempts=1)
QUICK = {"max_wait": "2s"}


def held(d, target="/api/held"):
    """The refusal of a request that the API itself keeps waiting."""
    refused = d.get(target)
    assert refused.status == 429, (refused.status, refused.body)
    return refused, json.loads(refused.body)


def limits(d):
    return d.ctl_json("limits")["limits"]


def counter(d, name):
    return d.ctl_json("status")["counters"][name]


# -- a lockout -------------------------------------------------------------------------

@pytest.mark.parametrize("value", ["99999999999999999999", "1e30", str(int(time.time()) + 40 * 86400), "4000000",
                                   formatdate(time.time() + 86400 * 300, usegmt=True)],
                         ids=["twenty_digits", "1e30", "epoch", "forty_days", "date"])
def test_a_retry_after_that_nobody_can_mean_locks_out_for_an_hour_at_most(weir, origin, clock, value):
    origin.script(answer(429, b"no", [("Retry-After", value)]), answer(200))
    d = weir(limits=["100/min"], queue=QUICK, retry=ONCE)
    assert d.get("/api/a").status == 429
    refused, problem = held(d)
    assert 3500 <= int(refused.fields.get("Retry-After")) <= 3601 and origin.count() == 1
    assert re.search(r"^Retry-After of the API, heard \d\d:\d\d:\d\d$", problem["blocked_by"]), problem
    assert "100/min" not in problem["detail"], "never a false cause"
    assert counter(d, "learned_cut") == 1
    assert d.ctl("flush").returncode == 0 and d.ctl("reload").returncode == 0
    d.kill()
    d.restart()
    refused, problem = held(d)
    assert int(refused.fields.get("Retry-After")) <= 3601
    clock.advance(3605)
    assert d.get("/api/b").status == 200


def test_what_is_cut_is_logged_once(weir, origin):
    origin.reply(200, b"x", [("X-RateLimit-Reset", "-7"), ("X-RateLimit-Remaining", "5")])
    d = weir()
    assert [d.get(f"/api/{i}").status for i in range(5)] == [200] * 5
    assert counter(d, "learned_cut") == 5 and d.stderr.count("upstream_limit_cut") == 1


def test_max_wait_of_learned_is_a_setting(weir, origin):
    origin.script(answer(429, b"no", [("Retry-After", "7200")]))
    d = weir(queue=QUICK, retry=ONCE, learned={"max_wait": "2h"})
    assert d.get("/api/a").status == 429
    assert int(held(d)[0].fields.get("Retry-After")) > 7100


def test_forget_lifts_it_at_once_and_for_good(weir, origin):
    origin.script(answer(429, b"no", [("Retry-After", "3000")]), answer(200))
    d = weir(limits=["100/min"], queue=QUICK, retry=ONCE)
    assert d.get("/api/a").status == 429
    held(d)
    assert d.ctl("limits", "forget", "nobody").returncode == 1
    wrong = d.ctl("limits", "forget", "api", "nothing")
    assert wrong.returncode == 1 and "nothing" in wrong.stderr
    held(d)
    assert json.loads(d.ctl("--json", "limits", "forget", "api").stdout) == {"forgotten": 1}
    assert d.get("/api/b").status == 200
    d.kill()
    d.restart()
    assert d.get("/api/c").status == 200
    assert d.ctl_json("limits", "forget")["forgotten"] == 0
    assert [b["left"] for b in limits(d) if b["limit"] == "100/min"][0] <= 97, "what was spent stays spent"


def test_one_503_does_not_shut_a_healthy_api(weir, origin):
    origin.script(answer(503, b"ill", [("Retry-After", "600")]), answer(200))
    d = weir(limits=["100/min"], queue={"max_wait": "30s"}, retry=ONCE)
    assert d.get("/api/a").status == 503
    assert any(b["kind"] == "health" and b["blocked_for_s"] > 500 for b in limits(d))
    began = time.monotonic()
    assert d.get("/api/b").status == 200 and time.monotonic() - began < seconds(10)
    assert not [b for b in limits(d) if b["kind"] == "health"]
    assert d.get("/api/c").status == 200


def test_an_ill_api_is_probed_and_the_cause_is_told(weir, origin):
    origin.reply(503, b"ill", [("Retry-After", "600")])
    d = weir(limits=["10/s burst 20"], queue={"max_wait": "20s"}, retry=ONCE)
    assert [d.get(f"/api/{i}").status for i in range(2)] == [503, 503]
    refused, problem = held(d)
    assert origin.count() == 2 and int(refused.fields.get("Retry-After")) > 500
    assert problem["blocked_by"].startswith("Retry-After of the API, heard ") and "10/s" not in problem["detail"]
    assert d.ctl("limits", "forget", "api", "Retry-After").returncode == 0
    assert d.get("/api/x").status == 503 and origin.count() == 3


@pytest.mark.slow
def test_an_ill_api_holds_up_no_other_that_shares_its_budget(daemons, origins):
    ill, well = origins(), origins()
    ill.reply(503, b"ill", [("Retry-After", "25")])
    shared = {"budget": "both", "limits": ["100/s"], "queue": {"max_wait": "60s"}}
    d = daemons(upstream(ill, name="ill", **shared), upstream(well, name="well", **shared)).start()
    assert [d.get(f"/ill/{i}").status for i in range(3)] == [503] * 3      # two of them were probes: the next is 4 s away
    waiting = threading.Thread(target=lambda: d.get("/ill/x"), daemon=True)
    waiting.start()
    until(lambda: any(u["name"] == "ill" and u["waiting"] == 1 for u in d.ctl_json("status")["upstreams"]), "it to wait")
    assert d.get("/well/x").status == 200 and ill.count() == 3
    assert d.ctl("limits", "forget", "ill").returncode == 0
    waiting.join(seconds(20))
    assert not waiting.is_alive() and ill.count() == 4


# -- what is heard ---------------------------------------------------------------------

def ahead(s):
    return time.time() + s


FORMS = {
    "seconds": lambda: "50", "fraction": lambda: "49.5", "epoch": lambda: str(int(ahead(50))),
    "epoch_ms": lambda: str(int(ahead(50) * 1000)), "http_date": lambda: formatdate(ahead(50), usegmt=True),
    "utc_date": lambda: formatdate(ahead(50), usegmt=True).replace("GMT", "UTC"),
    "iso": lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ahead(50))),
    "iso_offset": lambda: time.strftime("%Y-%m-%dT%H:%M:%S+01:00", time.gmtime(ahead(3650))),
    "go": lambda: "0m50s",
}


@pytest.mark.parametrize("field", ["Retry-After", "X-RateLimit-Reset"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_heard(weir, origin, form, field):
    """The last: of a 429 that says nothing but when the window resets."""
    origin.script(answer(429, b"no", [(field, FORMS[form]()), ("Date", formatdate(usegmt=True))]))
    d = weir(queue=QUICK, retry=ONCE)
    assert d.get("/api/a").status == 429
    assert 40 <= int(held(d)[0].fields.get("Retry-After")) <= 52 and origin.count() == 1


def test_dates_are_measured_by_the_clock_of_the_api(weir, origin):
    there = time.time() + 7200
    origin.script(answer(429, b"no", [("Retry-After", formatdate(there + 50, usegmt=True)),
                                      ("Date", formatdate(there, usegmt=True))]))
    d = weir(queue=QUICK, retry=ONCE)
    assert d.get("/api/a").status == 429
    assert 40 <= int(held(d)[0].fields.get("Retry-After")) <= 51


@pytest.mark.parametrize("old", [("Age", "3000"), ("X-Cache", "HIT"), ("Cache-Status", "edge; hit")])
def test_an_answer_out_of_a_cache_says_nothing(weir, origin, old):
    origin.reply(200, b"x", [old, ("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "50")])
    d = weir(queue=QUICK)
    assert [d.get(f"/api/{i}").status for i in range(3)] == [200] * 3


@pytest.mark.parametrize("head", [
    [("X-RateLimit-Remaining", "9"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "50")],
    [("X-RateLimit-Remaining", "9, 0"), ("X-RateLimit-Reset", "5, 50")],
    [("X-RateLimit-Remaining", "9"), ("X-RateLimit-Reset", "50"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "50")],
    [("RateLimit", '"day";r=9;t=900'), ("RateLimit", '"min";r=0;t=50')],
], ids=["lines", "list", "families", "structured"])
def test_the_tightest_of_all_holds(weir, origin, head):
    origin.reply(200, b"x", head)
    d = weir(queue=QUICK)
    assert d.get("/api/a").status == 200
    assert 40 <= int(held(d, "/api/a")[0].fields.get("Retry-After")) <= 51


@pytest.mark.parametrize("head", [
    [("X-RateLimit-Remaining", ",".join(["9"] * 40000)), ("X-RateLimit-Reset", "30")],
    [("X-RateLimit-Remaining", ",".join(["9"] * 100))] * 900 + [("X-RateLimit-Reset", "30")],
    [(f"X-RateLimit-Remaining-{i}", "9") for i in range(900)],
    [(f"X-RateLimit-Reset-{i}", "9") for i in range(450)] + [(f"X-RateLimit-Remaining-{i}", "9") for i in range(450)],
    [("Retry-After", "5, " * 80)] * 900,
], ids=["a_list", "lines_of_lists", "names", "names_with_resets", "waits"])
def test_a_head_that_says_too_much_holds_nobody_up(weir, origin, head):
    origin.reply(200, b"x", head)
    d = weir()
    began = time.monotonic()
    assert [d.get(f"/api/{i}").status for i in range(3)] == [502] * 3, "more than a client would be given"
    assert time.monotonic() - began < seconds(3)


@pytest.mark.parametrize("said, shown", [
    (b"search", "search"), (b"caf\xe9", "caf?"), (b"\xff\xfe", "??"), (b"a\tb", "a?b"), (b'a"b\\c', 'a"b\\c'),
    (b"x" * 62 + "é".encode() + b"y", "x" * 62 + "?"),
], ids=["plain", "latin_1", "no_character", "tab", "quotes", "cut_in_a_character"])
def test_a_resource_of_any_bytes_is_listed_and_forgotten(weir, origin, said, shown):
    origin.reply(200, b"x", [("X-RateLimit-Resource", said.decode("latin-1")), ("X-RateLimit-Remaining", "0"),
                             ("X-RateLimit-Reset", "600")])
    d = weir(queue=QUICK)
    assert d.get("/api/a/b").status == 200 and held(d, "/api/a/b")
    assert [b["limit"] for b in limits(d) if b["kind"] == "learned"] == [shown]
    assert json.loads(d.ctl("--json", "limits", "forget", "api", shown).stdout) == {"forgotten": 1}
    assert d.get("/api/a/b").status == 200


def test_tokens_are_no_requests(weir, origin):
    origin.reply(200, b"x", [("x-ratelimit-remaining-requests", "50"), ("x-ratelimit-reset-requests", "6m0s"),
                             ("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s"),
                             ("anthropic-ratelimit-input-tokens-remaining", "0"),
                             ("anthropic-ratelimit-input-tokens-reset", "2099-01-01T00:00:00Z")])
    d = weir(queue=QUICK)
    assert [d.get(f"/api/{i}").status for i in range(3)] == [200] * 3


@pytest.mark.parametrize("coding, pack", [
    ("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes),
    ("gzip", lambda body: gzip.compress(body)[:-4]),
], ids=["gzip", "deflate", "identity", "gzip_cut_off"])
def test_a_body_that_tells_of_a_limit_is_read_in_its_coding(weir, origin, coding, pack):
    body = json.dumps({"message": "You have exceeded a secondary rate limit.", "more": "x" * 500}).encode()
    origin.script(answer(403, pack(body), [] if coding == "identity" else [("Content-Encoding", coding)]))
    d = weir(queue=QUICK, retry=ONCE)
    assert d.get("/api/a").status == 403
    until(lambda: any(b["blocked_for_s"] > 0 for b in limits(d)), "the limit to be learned")
    assert held(d)[1]["blocked_by"].startswith("the body of an answer of the API, heard ")


def test_a_learned_limit_is_told_by_a_name_and_a_number_of_its_own(weir, origin, clock):
    """The window is the API's: its number, capped by ours, and its end."""
    said = lambda left: [("X-RateLimit-Resource", "core"), ("X-RateLimit-Limit", "3"), ("X-RateLimit-Remaining", str(left)),
                         ("X-RateLimit-Reset", "60")]
    origin.script(*[answer(200, b"x", said(left)) for left in (2, 1, 0, 2, 1, 0)])
    d = weir(limits=["10/h window learned"], queue=QUICK)
    assert [d.get(f"/api/{i}").status for i in range(3)] == [200] * 3
    refused, problem = held(d, "/api/3")
    assert int(refused.fields.get("Retry-After")) <= 61 and problem["blocked_by"].startswith("X-RateLimit-Remaining")
    assert [b["allowed"] for b in limits(d) if b["limit"] == "10/h window learned"] == [3]
    clock.advance(62)
    assert [d.get(f"/api/{i}").status for i in range(4, 7)] == [200] * 3
    assert origin.count() == 6


# -- what a hit says -------------------------------------------------------------------

def test_a_hit_counts_down_and_leaves_out_what_has_run_out(weir, origin, clock):
    origin.reply(200, b"x", [("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30"),
                             ("RateLimit", '"min";r=0;t=30, "day";r=9;t=40000'), ("Cache-Control", "max-age=86400")])
    d = weir()
    assert d.get("/api/x").status == 200

    def hit():
        response = d.get("/api/x")
        assert response.cache.hit
        return response.fields

    for _ in range(3):                # kept replies are no exception
        first = hit()
    assert first.get("X-RateLimit-Remaining") == "0" and 1 <= int(first.get("X-RateLimit-Reset")) <= 30
    clock.advance(10)
    later = hit()
    assert 1 <= int(later.get("X-RateLimit-Reset")) <= 20 and re.match(r'"min";r=0;t=(\d+), "day";r=9;t=399\d\d', later.get("RateLimit"))
    clock.advance(3600)
    for _ in range(3):
        gone = hit()
        assert gone.get("X-RateLimit-Remaining") is None and gone.get("X-RateLimit-Reset") is None
        assert gone.get("X-RateLimit-Limit") == "60" and re.match(r'"day";r=9;t=363\d\d', gone.get("RateLimit"))


def test_what_came_out_of_a_cache_is_not_the_newest_word(weir, origin):
    origin.script(answer(200, b"a", [("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "300"), ("Cache-Control", "max-age=600")]),
                  answer(200, b"b", [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "300"), ("Age", "100")]))
    d = weir()
    assert d.get("/api/a").status == d.get("/api/b").status == 200
    assert d.get("/api/a").fields.get("X-RateLimit-Remaining") == "7"
