"""Many keys and long keys."""
import hashlib

import pytest

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
