"""Many keys and long keys."""
import hashlib

import pytest

from harness.settings import upstream
from harness.wait import until

FRESH = [("Cache-Control", "max-age=3600")]
BATCH = 50


def body_of(target):
    return hashlib.md5(target.encode(), usedforsecurity=False).hexdigest().encode()


def by_target(request, conn):
    conn.answer(body=body_of(request.target), fields=FRESH)


def ask_all(client, targets):
    """Pipelined in batches; each answer must be the one of its target. Returns the number of hits."""
    hits = 0
    for at in range(0, len(targets), BATCH):
        batch = targets[at:at + BATCH]
        client.send(b"".join(client.head("GET", "/api" + t) for t in batch))
        for target in batch:
            response = client.read_response()
            assert (response.status, response.body) == (200, body_of(target)), target
            hits += "; hit" in response.fields.get("Cache-Status")
    return hits


@pytest.mark.slow
def test_10000_different_keys(weir, origin):
    origin.handler = by_target
    d = weir()
    targets = [f"/item/{i}?page={i % 7}" for i in range(10_000)]
    with d.connect(timeout=30) as client:
        assert ask_all(client, targets) == 0
        assert origin.count() == 10_000
        d.wait_counter("stored", 10_000, timeout=20)
        assert ask_all(client, targets) == 10_000
        assert origin.count() == 10_000


def long_targets():
    return {
        "path_of_3000": "/" + "p" * 3000,
        "query_of_3000": "/x?q=" + "q" * 3000,
        "of_511": "/" + "a" * 510, "of_512": "/" + "a" * 511, "of_513": "/" + "a" * 512,
        "parameters_3000": "/x?" + "&".join(f"p{i}=v" for i in range(3000)),
        "of_20000": "/" + "n" * 20_000,
    }


@pytest.mark.parametrize("name", long_targets())
def test_long_key(weir, origin, name):
    """Two targets that differ in their last byte only are two entries, before and after a restart."""
    origin.handler = by_target
    d = weir()
    targets = [long_targets()[name] + end for end in "AB"]
    for target in targets:
        assert d.get("/api" + target).body == body_of(target)
        assert origin.last.target == target
    d.wait_stored(2)
    for _ in range(2):
        for target in targets:
            hit = d.get("/api" + target)
            assert hit.cache.hit and hit.body == body_of(target)
        d.restart()
    assert origin.count() == 2


def test_keys_that_look_alike_are_not_the_same(weir, origin):
    origin.handler = by_target
    d = weir()
    targets = ["/a", "/a/", "/a?", "/A", "/%61", "/a?b", "/a?b=", "/a?b&", "/a//", "/./a", "/a?b=1&c=2", "/a?c=2&b=1", "/a?b=1&b=1"]
    with d.connect() as client:
        assert ask_all(client, targets) == 0
        d.wait_stored(len(targets))
        assert ask_all(client, targets) == len(targets)


def test_many_variants_of_one_url(weir, origin):
    def handler(request, conn):
        conn.answer(body=request.fields.get("X-Variant").encode(), fields=[("Vary", "X-Variant"), *FRESH])
    origin.handler = handler
    d = weir()
    with d.connect() as client:
        for turn in range(2):
            for i in range(40):
                response = client.get("/api/x", [("X-Variant", f"v{i}")])
                assert response.text == f"v{i}" and (turn == 0 or response.status == 200)
            until(lambda: d.counter("stored") >= 40, "forty variants in store")
    assert origin.count() <= 80


# -- identities: several tokens, one principal --------------------------------------

@pytest.fixture
def tokens(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"token-{name}\n")
    return [{"name": "team", "value_files": [str(tmp_path / "one"), str(tmp_path / "two")]}]


@pytest.mark.parametrize("first, second", [
    ([("Authorization", "Bearer token-one")], [("Authorization", "Bearer token-two")]),
    ([("Authorization", "token-one")], [("Authorization", "token  token-two")]),
    ([("X-Api-Key", "token-one")], [("Authorization", "Bearer token-two")]),
    ("?token=token-one", "?token=token-two"),
], ids=["bearer", "bare_and_behind_a_scheme", "in_different_fields", "in_a_parameter"])
def test_tokens_of_one_principal_share_what_is_stored(weir, origin, tokens, first, second):
    origin.reply(body=b"x", fields=[("Cache-Control", "private, max-age=3600")])
    d = weir(identities=tokens)

    def ask(with_):
        return d.get("/api/x" + (with_ if isinstance(with_, str) else ""), with_ if isinstance(with_, list) else [])
    ask(first)
    d.wait_stored()
    assert ask(second).cache.hit and origin.count() == 1
    assert not d.get("/api/x", [("Authorization", "Bearer token-three")]).cache.hit
    assert not d.get("/api/x").cache.hit
    # Another credential beside the token still counts.
    assert not d.get("/api/x", [("Authorization", "Bearer token-one"), ("Cookie", "a=1")]).cache.hit


@pytest.mark.parametrize("target, fields", [
    ("/api/x", [("Authorization", "Bearer token-one"), ("Authorization", "Bearer somebody-else's")]),
    ("/api/x?token=token-one&token=somebody-else's", []),
], ids=["field", "parameter"])
def test_another_credential_of_the_same_name_counts(weir, origin, tokens, target, fields):
    """The API may read the second one: what it says then is not the principal's."""
    origin.reply(body=b"x", fields=[("Cache-Control", "private, max-age=3600")])
    d = weir(identities=tokens)
    mine = (target.replace("token-one", "token-two").partition("&")[0], [("Authorization", "Bearer token-two")] if fields else [])
    d.get(*mine)
    d.wait_stored()
    assert not d.get(target, fields).cache.hit and d.get(*mine).cache.hit and origin.count() == 2


def test_tokens_of_one_principal_have_budgets_of_their_own(weir, origin, tokens):
    d = weir(identities=tokens, limits=[{"rate": "1/h", "per": "credential"}], queue={"max_wait": "0s"})
    assert [d.get(f"/api/{i}", [("Authorization", "Bearer token-" + who)]).status
            for i, who in enumerate(["one", "one", "two", "two"])] == [200, 429, 200, 429]


def test_budgets_are_told_apart_under_a_shared_partition_too(weir, origin):
    d = weir(partition="shared", limits=[{"rate": "1/h", "per": "credential"}], queue={"max_wait": "0s"})
    assert [d.get(f"/api/{i}", [("Authorization", who)]).status for i, who in enumerate("aab")] == [200, 429, 200]


def test_token_that_cannot_be_read_stops_the_start(daemons, origin, tmp_path):
    d = daemons(upstream(origin, identities=[{"name": "team", "value_files": [str(tmp_path / "none")]}]))
    d.expected_exit = 1
    d.spawn()
    assert d.wait_exit() == 1 and "upstreams.api.identities.team.value_files" in d.stderr


def test_sort_params_makes_one_key_and_sends_what_came(weir, origin):
    origin.handler = by_target
    d = weir(ttl="1h", sort_params=True)
    first = d.get("/api/x?b=2&a=1&id=9&id=3")
    assert origin.last.target == "/x?b=2&a=1&id=9&id=3"
    for other in ("/api/x?a=1&b=2&id=9&id=3", "/api/x?id=9&b=2&id=3&a=1"):
        hit = d.get(other)
        assert hit.cache.hit and hit.body == first.body, other
    assert not d.get("/api/x?a=1&b=2&id=3&id=9").cache.hit      # a list in another order may be another
    assert d.request("PURGE", "/api/x?a=1&id=9&id=3&b=2").status == 200
    assert not d.get("/api/x?b=2&a=1&id=9&id=3").cache.hit
