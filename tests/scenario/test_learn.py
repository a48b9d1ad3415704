"""Fields of no known family that the configuration names (learn), and what of a body makes two requests the same."""

import json

import pytest

QUICK = {"max_wait": "1ms"}
JSON = [("Content-Type", "application/json")]
LEARN = [{"limit": "tokens", "remaining": "X-Tokens-Left", "reset": "X-Tokens-Reset"},
         {"remaining": "X-Calls-Left", "reset": "X-Calls-Reset"}]
METERED = {"rate": "1000/min", "name": "tokens", "estimate": ["json:/max"], "charge": ["json:/spent"]}


def test_named_fields_hold_their_limit(weir, origin, clock):
    origin.reply(200, b'{"spent": 1}', [("X-Tokens-Left", "300"), ("X-Tokens-Reset", "20"),
                                       ("Content-Type", "application/json")])
    d = weir(limits=[METERED, "100/min"], max_in_flight=50, learn=LEARN, queue=QUICK)
    ask = lambda most: d.request("POST", "/api/chat", JSON, body=json.dumps({"max": most}).encode())
    assert ask(10).status == 200
    # What the API says counts the reservation, and the settlement gives 9 of that back.
    assert [(b["left"], b["learned_from"]) for b in d.ctl_json("limits")["limits"] if "learned_from" in b] == [(309, "learn")]
    refused = ask(900)
    assert refused.status == 429 and json.loads(refused.body)["blocked_by"].startswith("learn")
    clock.advance(22)
    assert ask(900).status == 200


def test_named_fields_of_requests_hold_all(weir, origin, clock):
    origin.reply(200, b"x", [("X-Calls-Left", "0"), ("X-Calls-Reset", "30"), ("Cache-Control", "max-age=600")])
    d = weir(learn=[LEARN[1]], queue=QUICK)
    assert d.get("/api/a").status == 200
    assert d.get("/api/b").status == 429
    clock.advance(10)
    hit = d.get("/api/a")
    assert hit.cache.hit and (hit.fields.get("X-Calls-Left"), hit.fields.get("X-Calls-Reset")) == ("0", "20")
    clock.advance(22)
    hit = d.get("/api/a")
    assert hit.cache.hit and "X-Calls-Left" not in hit.fields
    assert d.get("/api/b").status == 200


def form(boundary, text):
    return (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n{text}\r\n'
            f'--{boundary}--\r\n').encode(), [("Content-Type", f"multipart/form-data; boundary={boundary}")]


def chat(user):
    return json.dumps({"model": "m", "user": user, "messages": ["hello"]}).encode(), JSON


@pytest.mark.parametrize("one, same, other", [
    (form("a1", "text"), form("b-22", "text"), form("a1", "another")),
    (chat("ann"), chat("bob"), (b'{"model": "n", "user": "ann"}', JSON)),
], ids=["boundary", "ignored_member"])
def test_what_is_no_part_of_what_is_asked_is_no_part_of_the_key(weir, origin, one, same, other):
    d = weir(rules=[{"match": "/**", "methods": ["POST"], "ttl": "1h", "key_body": True, "ignore_body": ["/user"]}])
    assert [d.request("POST", "/api/x", fields, body=body).cache.hit for body, fields in (one, same, other)] == [None, True, None]
    assert [origin.requests[i].body for i in range(2)] == [one[0], other[0]], "what is ignored is sent all the same"
