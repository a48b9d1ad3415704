"""Weir-Cost: what an answer cost of limits in any unit, for the one who pays; before its body, or of a stream after it."""
import json
import threading

import pytest

from harness.origin import answer
from harness.wait import until

JSON = [("Content-Type", "application/json")]
TOKENS = {"name": "tokens", "rate": "100000/min", "estimate": ["json:/max_tokens"], "charge": ["json:/usage/total_tokens"]}
DOLLARS = {"name": "dollars", "rate": "20/day", "scale": 6, "estimate": ["0.00001 json:/max_tokens"],
           "charge": ["0.0000025 json:/usage/total_tokens"]}


def said(total, length=0):
    return json.dumps({"usage": {"total_tokens": total}, "text": "x" * length}).encode()


def cost(response):
    """(of the head, of the trailers)"""
    return response.fields.get("Weir-Cost"), response.trailers.get("Weir-Cost")


def ask(d, tokens=100, fields=(), **kwargs):
    return d.request("POST", "/api/v1/chat", [*JSON, *fields], body=json.dumps({"max_tokens": tokens}).encode(), **kwargs)


def cut(request, conn):
    body = said(1)
    conn.head(200, [*JSON, ("Content-Length", str(len(body) + 1))])
    conn.send(body)
    conn.close()


# What the API does, in turn; what the answer says in its head, and after its body.
CASES = {
    "of_a_known_length": ([answer(body=said(250), fields=JSON)], '"tokens";cost=250, "dollars";cost=625;scale=6', None),
    "in_chunks": ([answer(body=said(250), fields=JSON, chunked=True)], None, '"tokens";cost=250, "dollars";cost=625;scale=6'),
    "after_the_apis_own_trailers": ([answer(body=said(1), fields=JSON, chunked=True, trailers=[("X-Sum", "5"), ("Weir-Cost", '"tokens";cost=9')])],
                                    None, '"tokens";cost=1, "dollars";cost=3;scale=6'),
    "of_another_weir": ([answer(body=said(1), fields=[*JSON, ("Weir-Cost", '"tokens";cost=9')])], '"tokens";cost=1, "dollars";cost=3;scale=6', None),
    "not_said": ([answer(body=b"{}", fields=JSON)], '"tokens";cost=100;unsettled, "dollars";cost=1000;scale=6;unsettled', None),
    "without_a_body": ([answer(status=204)], '"tokens";cost=100;unsettled, "dollars";cost=1000;scale=6;unsettled', None),
    "too_long_to_wait_for": ([answer(body=said(7, 1200000), fields=JSON)], None, None),
}


@pytest.mark.parametrize("name", CASES)
def test_an_answer_says_what_it_cost(weir, origin, name):
    script, head, trailer = CASES[name]
    d = weir(limits=["600/min", TOKENS, DOLLARS])
    origin.script(*script)
    response = ask(d)
    assert cost(response) == (head, trailer)
    assert response.fields.get("Trailer") == ("Weir-Cost" if trailer else None)
    assert response.trailers.get("X-Sum") == ("5" if "trailers" in name else None)


def test_an_attempt_that_was_tried_again_is_paid_for_too(weir, origin):
    retry = {"attempts": 2, "backoff": "1ms"}
    d = weir(limits=[TOKENS], retry=retry)
    target, body = "/api/v1/chat", json.dumps({"max_tokens": 100}).encode()
    origin.script(answer(status=503), answer(body=said(40), fields=JSON), answer(status=503), answer(body=said(40), fields=JSON, chunked=True))
    again = [*JSON, ("Idempotency-Key", "1")]
    assert cost(d.request("POST", target, again, body=body)) == ('"tokens";cost=140;unsettled', None)
    assert cost(d.request("POST", target, again, body=body))[1].endswith(";unsettled"), "and after a stream"
    d = weir(limits=[{**TOKENS, "cost": ["5xx 0"]}], retry=retry)
    origin.script(answer(status=503), answer(body=said(40), fields=JSON))
    assert cost(d.request("POST", target, again, body=body)) == ('"tokens";cost=40', None)


def test_what_breaks_off_before_its_client_has_heard_of_it(weir, origin):
    d = weir(limits=[{**TOKENS, "estimate": ["50"]}], retry={"attempts": 2, "backoff": "1ms"})
    origin.script(cut, answer(body=said(3), fields=JSON))
    response = d.get("/api/a")
    assert response.status == 200 and cost(response) == ('"tokens";cost=53;unsettled', None), "a GET is asked again"
    origin.script(cut)
    response = ask(d)
    assert response.status == 502 and response.fields.get("Weir-Cost") == '"tokens";cost=50;unsettled', "a POST is not"
    assert response.fields.get("Content-Type") == "application/problem+json"


def test_a_hit_costs_nothing_and_of_those_who_share_one_pays(weir, origin):
    d = weir(limits=[TOKENS], ttl="1h")
    gate = threading.Event()

    def handler(request, conn):
        conn.wait(gate)
        conn.answer(200, said(40), JSON)
    origin.handler = handler
    clients = [d.connect() for _ in range(3)]
    for client in clients:
        client.start("GET", "/api/a")
    until(lambda: origin.count() == 1, "it is asked")
    gate.set()
    answers = [client.read_response("GET") for client in clients]
    assert sorted(cost(a)[0] or "" for a in answers) == ["", "", '"tokens";cost=40']
    assert all(a.cache.hit or a.cache.collapsed for a in answers if cost(a)[0] is None)
    d.wait_stored()
    hit = d.get("/api/a")
    assert hit.cache.hit and cost(hit) == (None, None)


def test_what_was_never_sent_cost_nothing(weir, origin):
    d = weir(limits=[{**TOKENS, "rate": "100/min"}])
    refused = ask(d, 101)
    assert refused.status == 429 and cost(refused) == (None, None) and origin.count() == 0
    assert ask(d, fields=[("Weir-Cost", "1")]).status == 400, "no field of a request"


def test_a_client_of_http_1_0_hears_of_no_trailer(weir, origin):
    d = weir(limits=[TOKENS])
    origin.reply(body=said(250), fields=JSON, chunked=True)
    client = d.connect()
    body = b'{"max_tokens": 1}'
    client.send(b"POST /api/v1/chat HTTP/1.0\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (d.authority.encode(), len(body), body))
    response = client.read_response("POST")
    assert response.body == said(250) and response.fields.get("Trailer") is None and cost(response) == (None, None)


def test_where_requests_are_counted_there_is_no_such_field(weir, origin):
    d = weir(limits=["600/min"])
    origin.reply(body=said(250), fields=JSON, chunked=True)
    response = ask(d)
    assert cost(response) == (None, None) and response.fields.get("Trailer") is None
