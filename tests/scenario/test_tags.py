"""Tags and groups of stored responses: who gives them, and what is dropped by one."""
import json

import pytest

from harness.settings import upstream

FRESH = [("Cache-Control", "max-age=3600")]


def tagged(fields):
    """An origin that says so of every answer to a safe request; a POST answers what its body asks for."""
    def handle(request, conn):
        if request.method == "POST":
            conn.answer(body=b"done", fields=[("Cache-Group-Invalidation", request.body.decode())])
        else:
            conn.answer(body=request.target.encode(), fields=FRESH + fields(request.target))
    return handle


def ask(d, *targets):
    """Which of them were hits."""
    return [bool(d.get(t).cache.hit) for t in targets]


def purge(d, **what):
    answer = d.admin("POST", "/purge", json.dumps(what).encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body).get("dropped")


FIELDS = {
    "cache_tag": [("Cache-Tag", "taxa, other")],
    "surrogate_key": [("Surrogate-Key", "other taxa")],
    "cache_groups": [("Cache-Groups", '"other", "taxa"')],
}


@pytest.mark.parametrize("kind", FIELDS)
def test_purge_by_tag(weir, origin, kind):
    origin.handler = tagged(lambda t: FIELDS[kind] if t.startswith("/t") else [])
    d = weir()
    paths = ["/api/t1", "/api/t2?x", "/api/other"]
    first = d.get(paths[0])
    for name, value in FIELDS[kind]:
        assert first.fields.get(name) == value      # passed on as it came
    ask(d, *paths)
    assert ask(d, *paths) == [True] * 3
    assert purge(d, tag="nobody-has-this") == 0
    assert purge(d, tag="taxa") == 2
    assert ask(d, *paths) == [False, False, True]


def test_tags_of_a_rule(weir, origin):
    origin.handler = tagged(lambda t: [])
    d = weir(rules=[{"match": "/a/**", "ttl": "1h", "tags": ["taxa", "all"]}, {"match": "/b/**", "tags": ["all"]}])
    paths = ["/api/a/1", "/api/b/1", "/api/c"]
    ask(d, *paths)
    assert purge(d, tag="taxa") == 1
    assert ask(d, *paths) == [False, True, True]
    assert purge(d, tag="all") == 2


@pytest.fixture
def two(daemons, origins, origin):
    """A daemon with two upstreams, "api" and "two", whose origins answer alike."""
    def start(handler):
        other = origins()
        origin.handler = other.handler = handler
        return daemons(upstream(origin), upstream(other, "two")).start()
    return start


def test_a_tag_alone_is_of_all_upstreams_and_with_one_its_own(two):
    d = two(tagged(lambda t: [("Cache-Tag", "taxa")]))
    paths = ["/api/1", "/two/1"]
    ask(d, *paths)
    assert purge(d, tag="taxa", upstream="two") == 1
    assert ask(d, *paths) == [True, False]
    assert purge(d, tag="taxa") == 2


def test_a_tag_together_with_a_url(weir, origin):
    origin.handler = tagged(lambda t: [("Cache-Tag", "taxa")] if t != "/a/3" else [])
    d = weir()
    paths = ["/api/a/1", "/api/b/1", "/api/a/3"]
    ask(d, *paths)
    listed = d.admin("POST", "/purge", b'{"tag": "taxa", "url": "/api/a/**", "dry_run": true}').body.splitlines()
    assert [json.loads(line)["url"].endswith("/a/1") for line in listed[:-1]] == [True]
    assert purge(d, tag="taxa", url="/api/a/**") == 1
    assert ask(d, *paths) == [False, True, True]


@pytest.mark.parametrize("tag", ["", "x" * 257])
def test_a_tag_that_cannot_be(weir, tag):
    answer = weir().admin("POST", "/purge", json.dumps({"tag": tag}).encode())
    assert answer.status == 400 and b"1 to 256" in answer.body


def test_tags_outlive_a_crash_and_follow_a_304(weir, origin, clock):
    said = ["one"]

    def handle(request, conn):
        fields = [("Cache-Control", "max-age=60"), ("ETag", '"e"'), ("Cache-Tag", said[0])]
        if request.fields.get("If-None-Match") == '"e"':
            conn.answer(304, fields=fields)
        else:
            conn.answer(body=b"x", fields=fields)
    origin.handler = handle
    d = weir()
    ask(d, "/api/1")
    d.wait_stored(1)
    d.kill()
    d.start()
    said[0] = "two"
    clock.advance(61)
    assert d.get("/api/1").body == b"x"
    d.admin("GET", "/entries")      # settles what waits
    assert ask(d, "/api/1") == [True]
    assert purge(d, tag="one") == 0
    assert purge(d, tag="two") == 1


# -- groups (RFC 9875) --

def test_an_unsafe_answer_invalidates_groups_of_its_origin(two):
    d = two(tagged(lambda t: [("Cache-Groups", '"taxa"')] if t.startswith("/t") else [("Cache-Tag", "taxa")]))
    paths = ["/api/t1", "/api/t2", "/api/other", "/two/t1"]
    ask(d, *paths)
    answer = d.request("POST", "/api/write", body=b'"nothing", "taxa"')
    assert answer.fields.get("Cache-Group-Invalidation") == '"nothing", "taxa"'
    assert ask(d, *paths) == [False, False, True, True]


@pytest.mark.parametrize("said", ['taxa', '"taxa', '"taxa", 1', '("taxa")', ''])
def test_what_is_no_list_of_strings_invalidates_nothing(weir, origin, said):
    origin.handler = tagged(lambda t: [("Cache-Groups", '"taxa"')])
    d = weir()
    ask(d, "/api/1")
    d.request("POST", "/api/write", body=said.encode())
    assert ask(d, "/api/1") == [True]


def test_a_safe_answer_invalidates_nothing(weir, origin):
    origin.handler = tagged(lambda t: [("Cache-Groups", '"taxa"'), ("Cache-Group-Invalidation", '"taxa"')])
    d = weir()
    ask(d, "/api/1")
    assert ask(d, "/api/2", "/api/1") == [False, True]
    assert d.request("OPTIONS", "/api/x").status == 200
    assert ask(d, "/api/1") == [True]


def test_invalidation_does_not_cascade(weir, origin):
    groups = {"/1": '"a", "b"', "/2": '"b"'}
    origin.handler = tagged(lambda t: [("Cache-Groups", groups[t])])
    d = weir()
    ask(d, "/api/1", "/api/2")
    d.request("POST", "/api/write", body=b'"a"')
    assert ask(d, "/api/1", "/api/2") == [False, True]


def test_a_write_that_failed_invalidates_what_it_names_all_the_same(weir, origin):
    def handle(request, conn):
        if request.method == "POST":
            conn.answer(409, fields=[("Cache-Group-Invalidation", '"taxa"')])
        else:
            conn.answer(body=b"x", fields=FRESH + [("Cache-Groups", '"taxa"')])
    origin.handler = handle
    d = weir()
    ask(d, "/api/1")
    assert d.request("POST", "/api/1").status == 409
    assert ask(d, "/api/1") == [False]


def test_invalidate_off_leaves_groups_alone(weir, origin):
    origin.handler = tagged(lambda t: [("Cache-Groups", '"taxa"')])
    d = weir(invalidate="off")
    ask(d, "/api/1")
    d.request("POST", "/api/write", body=b'"taxa"')
    assert ask(d, "/api/1") == [True]
