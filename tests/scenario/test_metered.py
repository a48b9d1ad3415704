"""Limits in any unit: an estimate is reserved, and what the answer says takes its place (contract, budget.md section 3)."""
import gzip
import json
import random
import threading

import pytest

from harness import metrics
from harness.clock import MINUTE
from harness.origin import answer
from harness.wait import until

JSON = [("Content-Type", "application/json")]
EVENTS = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
TOKENS = {"name": "tokens", "rate": "1000/min", "estimate": ["json:/max_tokens"],
          "charge": ["json:/usage/total_tokens", "-1 json:/usage/prompt_tokens_details/cached_tokens"]}


def chat(tokens):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "\u4e2d" * 300}], "max_tokens": tokens}).encode()


def said(total, cached=None):
    usage = {"prompt_tokens": 1, "total_tokens": total}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return json.dumps({"choices": [{"message": {"content": "x" * 5000}}], "usage": usage}).encode()


def ask(d, tokens, **kwargs):
    return d.request("POST", "/api/v1/chat", JSON, body=chat(tokens), **kwargs)


def metered(d, name="tokens"):
    found = next(limit for limit in d.ctl_json("limits")["limits"] if limit["limit"] == name)
    return {"left": found["left"], **{key: found["metered"][key] for key in ("reserved", "settled", "unsettled")}}


def begin(d, tokens):
    client = d.connect()
    client.start("POST", "/api/v1/chat", JSON, body=chat(tokens))
    return client


def stream(*events, gate=None):
    """Events one by one; after the first it waits for the gate."""
    def handler(request, conn):
        conn.head(200, EVENTS)
        for i, event in enumerate(events):
            conn.chunk(b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n")
            if i == 0 and gate is not None:
                conn.wait(gate)
        conn.last_chunk()
    return handler


@pytest.fixture
def metering(weir, clock):
    def make(**settings):
        return weir(**{"limits": [TOKENS], "queue": {"max_wait": "1s"}, "max_in_flight": 60, **settings})
    return make


def test_what_the_answer_says_takes_the_place_of_the_estimate(metering, origin, clock):
    d = metering()
    packed = gzip.compress(said(300, cached=100))
    origin.script(answer(body=said(250), fields=JSON), answer(body=packed, fields=[*JSON, ("Content-Encoding", "gzip")]),
                  answer(body=said(500), fields=JSON))
    assert ask(d, 800).status == 200
    until(lambda: metered(d) == {"left": 750, "reserved": 0, "settled": 250, "unsettled": 0}, "the first")
    assert ask(d, 750).status == 200
    until(lambda: metered(d)["settled"] == 450, "the second: 300 of which 100 came from a cache")
    refused = ask(d, 551)
    assert refused.status == 429 and "tokens" in json.loads(refused.body)["detail"]
    assert 50 <= int(refused.fields.get("Retry-After")) <= 61
    assert origin.count() == 2, "what does not fit is not begun"
    assert ask(d, 550).status == 200
    assert d.counter("metered_settled") == 3 and d.counter("metered_unsettled") == 0


def test_what_never_fits_is_refused_at_once(metering, origin):
    refused = ask(metering(), 1001)
    assert refused.status == 429 and "can never pass" in json.loads(refused.body)["detail"]
    assert refused.fields.get("Retry-After") is None and origin.count() == 0


def test_not_found_is_not_zero_but_a_cost_by_status_is(metering, origin):
    d = metering(limits=[{**TOKENS, "cost": ["5xx 0"]}])
    origin.script(answer(body=b"{}", fields=JSON), answer(status=500, body=b"{}", fields=JSON),
                  answer(body=b'{"usage": {"total_tokens": 7', fields=JSON),
                  answer(body=b"\x1f\x8bnonsense", fields=[*JSON, ("Content-Encoding", "gzip")]))
    for left in (900, 900, 800, 700):
        ask(d, 100)
        until(lambda: metered(d)["left"] == left and metered(d)["reserved"] == 0, f"{left} are left")
    assert metered(d)["unsettled"] == 300 and d.counter("metered_unsettled") == 3


def test_of_a_stream_the_last_value_counts(metering, origin):
    d = metering()
    gate = threading.Event()
    origin.script(stream({"choices": [], "usage": None}, {"usage": {"total_tokens": 40}}, {"usage": {"total_tokens": 90}}, b"[DONE]",
                         gate=gate))
    client = begin(d, 400)
    response = client.read_head("POST")
    pieces = client.pieces(response)
    assert next(pieces).startswith(b"data: "), "the first event passes while the rest is still to come"
    assert metered(d) == {"left": 600, "reserved": 400, "settled": 0, "unsettled": 0}
    assert ask(d, 601).status == 429
    gate.set()
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    until(lambda: metered(d) == {"left": 910, "reserved": 0, "settled": 90, "unsettled": 0}, "the end settles it")


def test_a_client_that_leaves_has_spent_what_was_reserved(metering, origin):
    d = metering(on_abort="drop")
    gate = threading.Event()
    origin.script(stream({"usage": {"total_tokens": 1}}, b"[DONE]", gate=gate))
    client = begin(d, 400)
    client.read_head("POST")
    client.close()
    until(lambda: metered(d) == {"left": 600, "reserved": 0, "settled": 0, "unsettled": 400}, "it is not known, and not zero")
    gate.set()


def test_it_may_go_below_nothing_and_the_next_one_waits(metering, origin, clock):
    d = metering()
    origin.script(answer(body=said(1500), fields=JSON), answer(body=said(1), fields=JSON))
    assert ask(d, 100).status == 200
    until(lambda: metered(d)["settled"] == 1500 and metered(d)["left"] == 0, "more than there was")
    assert ask(d, 1).status == 429
    clock.advance(MINUTE + 1)
    assert ask(d, 1).status == 200


def test_after_a_kill_what_was_open_is_spent(metering, origin):
    d = metering(limits=[{**TOKENS, "rate": "1000/day"}])
    gate = threading.Event()
    origin.script(stream({"usage": None}, b"[DONE]", gate=gate), answer(body=said(1), fields=JSON))
    client = begin(d, 600)
    client.read_head("POST")
    d.kill()
    gate.set()
    client.close()
    d.start()
    refused = ask(d, 401)
    assert refused.status == 429 and int(refused.fields.get("Retry-After")) > 3600


def test_a_long_stream_does_not_fall_out_of_its_window(metering, origin, clock):
    d = metering(timeout={"read": "1h", "total": "2h"})
    gate = threading.Event()
    origin.script(stream({"usage": None}, {"usage": {"total_tokens": 600}}, gate=gate))
    client = begin(d, 600)
    response = client.read_head("POST")
    for _ in range(6):
        clock.advance(MINUTE / 5)
        until(lambda: metered(d)["left"] == 400, "it is reserved as long as it is under way")
    gate.set()
    client.read_body(response)
    until(lambda: metered(d)["settled"] == 600, "settled")
    clock.advance(MINUTE - 10)
    assert ask(d, 401).status == 429, "it counts from its end on"


def test_money_and_fields(metering, origin):
    d = metering(limits=[{"name": "dollars", "rate": "2/day", "scale": 6, "estimate": ["0.00001 json:/max_tokens", "0.5 header:X-Most"],
                          "charge": ["0.0000025 json:/usage/total_tokens", "header:X-Price"]}])
    origin.script(answer(body=said(400), fields=[*JSON, ("X-Price", "0.75")]))
    response = d.request("POST", "/api/v1/chat", [*JSON, ("X-Most", "2")], body=chat(1000))
    assert response.status == 200
    until(lambda: metered(d, "dollars") == {"left": 1249000, "reserved": 0, "settled": 751000, "unsettled": 0}, "0.001 and 0.75")


def test_what_is_reserved_settled_and_unsettled_is_shown_everywhere(metering, origin):
    d = metering(limits=["60/min", {"name": "dollars", "rate": "20/day", "scale": 6, "estimate": ["0.001 json:/max_tokens"],
                                    "charge": ["0.0025 json:/usage/total_tokens"]}])
    gate = threading.Event()
    origin.script(answer(body=said(400), fields=JSON), answer(body=b"{}", fields=JSON), stream({"usage": None}, b"[DONE]", gate=gate))
    assert ask(d, 1000).status == 200 and ask(d, 700).status == 200
    until(lambda: metered(d, "dollars")["reserved"] == 0, "both have ended")
    client = begin(d, 2500)
    client.read_head("POST")
    wanted = {"reserved": 2.5, "settled": 1, "unsettled": 0.7}
    assert metered(d, "dollars") == {"left": 15800000, **{key: round(n * 1e6) for key, n in wanted.items()}}
    m = metrics.of(d)
    told = {key: m.get(f"weir_budget_{key}{'' if key == 'reserved' else '_total'}", upstream="api", limit="dollars") for key in wanted}
    assert told == wanted and m.get("weir_budget_left", upstream="api", limit="dollars") == 15.8
    assert m.get("weir_budget_allowed", upstream="api", limit="dollars") == 20
    assert m.all("weir_budget_settled_total", limit="60/min") == {}, "it counts requests"
    words = "2.5000 reserved, 1.0000 settled, 0.7000 unsettled"
    assert words in d.ctl("limits").stdout
    top = d.ctl_json("top", "--once", "-i", "100ms")["upstreams"][0]["limits"]
    assert [limit.get("metered") for limit in top] == [None, {"scale": 6, **{key: round(n * 1e6) for key, n in wanted.items()}}]
    drawn = d.ctl("top", "-i", "100ms").stdout
    assert f"  dollars      {words}\n" in drawn and " 15.8000" in drawn
    gate.set()
    client.close()


def test_a_body_of_unknown_length_and_one_that_is_held_back(metering, origin):
    d = metering()
    origin.reply(body=said(10), fields=JSON)
    client = d.connect()
    client.send(b"POST /api/v1/chat HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
                % d.authority.encode())
    body = chat(990)
    client.send(b"%x\r\n%s\r\n" % (20, body[:20]))
    client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 20, body[20:]))
    assert client.read_response("POST").status == 200
    assert origin.last.body == body
    until(lambda: metered(d)["settled"] == 10, "settled")
    big = b'{"max_tokens": 5, "x": "' + b"x" * 3000000 + b'"}'
    assert d.request("POST", "/api/v1/big", JSON, body=big).status == 200, "too long to be read first: it goes as it is"
    assert origin.last.body == big
    body, held = chat(50), d.connect()
    held.send(held.head("POST", "/api/v1/chat", [*JSON, ("Expect", "100-continue"), ("Content-Length", str(len(body)))]))
    assert held._line() == b"HTTP/1.1 100 Continue", "it is wanted, though the API has not been asked"
    assert held._line() == b""
    held.send(body)
    assert held.read_response("POST").status == 200


def test_fifty_streams_with_estimates_that_are_off_hold_the_budget(metering, origin, clock):
    """By the origin's own books, which count at the end of each stream, no minute has more than the limit.  An estimate
    that has learned holds nine times in ten; for the tenth there is the margin."""
    d = metering(limits=[{**TOKENS, "rate": "30000/min", "margin": "2%"}], queue={"max_wait": "5m"})
    books, rng, lock = [], random.Random(7), threading.Lock()

    def handler(request, conn):
        most = json.loads(request.body)["max_tokens"]
        cost = rng.randint(most // 3, most)
        with lock:
            books.append(cost)
        stream({"usage": None}, {"usage": {"total_tokens": cost}}, b"[DONE]")(request, conn)
    origin.handler = handler
    results, at_work = [], [50]

    def work(n):
        for i in range(3):
            with d.connect(timeout=120.0) as client:
                results.append(client.request("POST", "/api/v1/chat", JSON, chat(300 + 97 * ((n * 7 + i) % 13))).status)
        with lock:
            at_work[0] -= 1

    def all_that_are_left_wait():
        u, tokens = d.status()["upstreams"][0], metered(d)
        is_spent = tokens["reserved"] == 0 and tokens["left"] < 300 + 97 * 12 or at_work[0] == 0
        return u["in_flight"] == 0 and u["waiting"] == at_work[0] and is_spent
    threads = [threading.Thread(target=work, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        until(all_that_are_left_wait, "the minute to be spent", timeout=60)
        if at_work[0] == 0:
            break
        window = sum(books)
        assert window <= 30000, "one minute of the origin's books"
        assert window >= 27500, "and it is made use of: less than one request's estimate is left"
        books.clear()
        clock.advance(MINUTE + 1)
    for thread in threads:
        thread.join()
    assert results == [200] * 150
    assert metered(d)["unsettled"] == 0
