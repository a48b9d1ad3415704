"""The worked examples of doc/CLIENTS.md, as they stand there, against an API of the test's."""
import json
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from harness.daemon import environment
from harness.settings import Raw, upstream
from harness.wait import WEIRCTL, seconds, until

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "CLIENTS.md"
COMMANDS = {"sh": ["bash", "-e", "-o", "pipefail", "-c"], "python": ["python3", "-c"],
            "js": ["node", "--input-type=module", "-e"]}
JSON = [("Content-Type", "application/json")]


def blocks(title):
    """What stands in fences after that title: (language, text)."""
    text = PAGE.read_text().partition("## Four worked examples")[2].partition("\n## ")[0].partition(f"**{title}")[2]
    assert text, f"{title}: no such example"
    return re.findall(r"```(\w*)\n(.*?)```", text.partition("\n**")[0], re.S)


def limits(title):
    """Of the configuration that the example shows."""
    return Raw(re.search(r"limits = (\(.*?\));", blocks(title)[0][1])[1])


def start(d, title, place, replace=(), **kwargs):
    language, script = blocks(title)[-1]
    for old, new in replace:
        assert old in script, f"{title}: {old} is not there"
        script = script.replace(old, new)
    script = script.replace("http://127.0.0.1:8080", d.url)
    return subprocess.Popen([*COMMANDS[language], script], cwd=place, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=environment(place, WEIR_URL=d.url), **kwargs)


def end(ran, status=0):
    out, errors = ran.communicate(timeout=seconds(40))
    assert ran.returncode == status, (ran.returncode, out, errors)
    return out, errors


@pytest.mark.real_clients
def test_player_tags_at_the_pace_of_their_limit(daemons, origin, place, clock):
    """Of a second of the daemon's ten more go, and all of them have gone after 48."""
    title = "500 player tags"
    d = daemons(upstream(origin, name="coc", limits=limits(title))).start()

    def player(request, conn):
        number = int(request.target.removeprefix("/v1/players/%23P"))
        if number == 7:
            return conn.answer(404, b"{}", JSON)
        return conn.answer(200, json.dumps({"trophies": number}).encode(), JSON)
    origin.handler = player
    with open(place / "tags", "w+", encoding="ascii") as tags:
        tags.write("".join(f"#P{i}\n" for i in range(500)))
        tags.seek(0)
        ran = start(d, title, place, stdin=tags)
    began = time.monotonic()
    for step in range(49):
        assert origin.count() <= 21 + 10 * (clock.offset + time.monotonic() - began)
        until(lambda: origin.count() >= min(500, 20 + 10 * step), f"those of second {step}")
        clock.advance(1)
        d.status()                      # wakes it, to see what time it is
    out, errors = end(ran)
    got = dict(line.split() for line in out.splitlines())
    assert got == {f"#P{i}": str(i) for i in range(500) if i != 7}
    assert "#P7 failed with 404" in errors and "499 players, 0 of them from the cache" in errors
    assert origin.count() == 500


@pytest.mark.real_clients
def test_the_first_of_ten_mirrors_wins(daemons, origins, place):
    mirrors = [origins() for _ in range(10)]
    over = threading.Event()
    for i, mirror in enumerate(mirrors):
        mirror.handler = lambda request, conn, i=i: (
            conn.answer(200, json.dumps({"of": i}).encode(), JSON) if i == 6 else
            conn.answer(503, b"", []) if i % 2 else (conn.wait(over), conn.answer(200, b"[]", JSON)))
    d = daemons(*(upstream(mirror, name=f"m{i}") for i, mirror in enumerate(mirrors))).start()
    out, _ = end(start(d, "Ten mirrors", place))
    over.set()
    assert json.loads(out) == {"mirror": "m6", "list": {"of": 6}}
    mirrors[6].reply(404, b"")
    for mirror in mirrors:
        mirror.reply(404, b"")
    out, errors = end(start(d, "Ten mirrors", place), status=5)
    assert (out, errors.strip()) == ("", "no mirror has it")


@pytest.mark.real_clients
def test_a_page_of_six_calls(daemons, origins, place):
    shop, cms, track = made = [origins() for _ in range(3)]
    answers = {"/v1/me": {"name": "Ann"}, "/v1/cart": {"items": [1, 2]}, "/v2/news": {"title": "New"},
               "/v2/offers": [1, 2, 3], "/v1/seen": {}}

    def answer(request, conn):
        if request.path == "/v1/orders":
            return conn.answer(500, b"", [])
        return conn.answer(200, json.dumps(answers[request.path]).encode(), JSON)
    for each in made:
        each.handler = answer
    d = daemons(upstream(shop, name="shop"), upstream(cms, name="cms"), upstream(track, name="track")).start()
    out, _ = end(start(d, "A page rendered", place))
    assert out.splitlines() == ["<h1>Hello Ann</h1>", "<p>2 in the cart</p>", "<p>Orders: not now</p>", "<p>New</p>",
                                "<p>3 offers</p>"]
    assert sum(each.count() for each in made) == 6 and track.last.body == b'{"page": "home"}'.replace(b" ", b"")


def test_a_harvest_is_interrupted_and_resumed(daemons, origin, place, clock):
    """A tenth of the example's records and of its limit."""
    title = "A harvest of 20,000 records"
    limit = Raw(limits(title).replace("10000/day", "1000/day"))
    d = daemons(upstream(origin, name="gbif", limits=limit)).start()
    origin.handler = lambda request, conn: conn.answer(200, request.target.encode(), [])
    replace = [("20000", "2000"), ("weirctl", f"exec {WEIRCTL}")]
    harvest = place / "harvest.ndjson"

    def held():
        return [json.loads(line) for line in harvest.read_text().splitlines() if '"id"' in line]
    ran = start(d, title, place, replace)
    until(lambda: origin.count() == 1000 and d.status()["upstreams"][0]["waiting"] > 0, "the day's limit is spent",
          timeout=30)
    ran.send_signal(signal.SIGINT)
    end(ran, status=130)
    first = len(held())
    assert first > 900
    d.restart()                         # what was spent is known after it
    ran = start(d, title, place, replace)
    until(lambda: d.status()["upstreams"][0]["waiting"] > 0, "the rest waits")
    assert origin.count() == 1000
    clock.advance(86400)

    def is_over():
        u = d.status()["upstreams"][0]  # wakes it, to see what time it is
        if origin.count() == 2000 and u["waiting"] > 0:
            clock.advance(86400)        # those whose answers the interruption threw away are one day's limit too many
        return ran.poll() is not None
    until(is_over, "the end of the harvest", timeout=30)
    end(ran)
    got = [entry["id"] for entry in held()]
    assert sorted(got) == list(range(2000)) and {entry["status"] for entry in held()} == {200}
    assert origin.count() == 1000 + 2000 - first
