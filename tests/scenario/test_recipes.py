"""The recipes of doc/RECIPES.md, as they stand there, against an API of the test's; and README's fifteen programs."""
import json
import subprocess

import pytest

from harness.papers import ROOT, around, bash, blocks, configure, led_to, section
from harness.settings import upstream
from harness.wait import seconds, until

pytestmark = pytest.mark.real_clients

PAPER = "doc/RECIPES.md"
INAT = "https://api.inaturalist.org"
JSON = [("Content-Type", "application/json")]
PROXY = {"proxy": {"listen": "127.0.0.1:0"}}


def shown(title, language):
    return [text for kind, text in blocks(section(PAPER, title)) if kind == language]


def taxa(request, conn):
    conn.answer(200, json.dumps({"results": [{"name": "name of " + request.target.rpartition("/")[2].rpartition("=")[2]}]}).encode(), JSON)


@pytest.fixture
def inat(daemons, origin):
    """A daemon with the recipe's configuration, or as it is built in where that has none."""
    def start(text=f'upstreams = ( {{ name = "inat"; url = "{INAT}"; ttl = "origin else 30m"; }} );'):
        origin.script(taxa)
        d = daemons(settings=PROXY)
        configure(d, led_to(text, {INAT: origin}))
        return d.start()
    return start


def python(place, d, *scripts):
    """As one program."""
    text = "\n".join(scripts).replace("http://127.0.0.1:8080", d.url if d else "")
    (place / "program.py").write_text(text)
    return bash(place, "python3 program.py")


def test_a_notebook(inat, origin, place):
    d = inat()
    cells = shown("A notebook", "python")
    assert python(place, d, *cells, "print(names)") == "['name of 48662', 'name of 47219', 'name of 3']\n"
    d.wait_stored(3)
    anew = 'url = "https://api.inaturalist.org/v1/taxa/3"\nrequests.get(url, headers={"Cache-Control": "no-cache"})'
    assert anew.splitlines()[1] in section(PAPER, "A notebook")
    assert python(place, d, *cells, "print(names[2])", anew) == "name of 3\n"
    assert [r.target for r in origin.requests] == ["/v1/taxa/48662", "/v1/taxa/47219", "/v1/taxa/3", "/v1/taxa/3"]
    assert "`weirctl purge '/inat/**'`" in section(PAPER, "A notebook")
    bash(place, "weirctl purge '/inat/**'")
    assert d.status()["cache"]["records"] == 0


NIGHTLY = """
import requests
session = requests.Session()
for n in range(1000):
    session.get(f"https://api.inaturalist.org/v1/taxa/{n}").raise_for_status()
"""


def test_a_bot(inat, origin, place):
    """Four fifths of a minute's 60 are the job's; what is left is the bot's alone, and then it hears when to come back."""
    (config,) = shown("A bot", "")
    d = inat(config)
    (place / "nightly.py").write_text(NIGHTLY)
    job = subprocess.Popen(["bash", "-c", "exec " + shown("A bot", "sh")[0]], cwd=place, env=around(place), stdin=subprocess.DEVNULL)
    try:
        until(lambda: origin.count() >= 48 and "nightly" in d.admin("GET", "/limits").body.decode(), "the job's share, and that it waits", timeout=30)
        said = python(place, d, *shown("A bot", "python"), "for n in range(12): print(look_up(n))\nprint(look_up('more'))\nprint(look_up(3))")
        *found, busy, again = said.splitlines()
        assert found == [f"name of {n}" for n in range(12)] and again == "name of 3"
        assert busy.startswith("Busy; ask again in ") and 0 < int(busy.split()[4]) <= 60
        assert origin.count() == 60 and job.poll() is None
    finally:
        job.kill()
        job.wait()


PROJECT = """
import json
import urllib.request

def test_names():
    for n in (1, 2):
        with urllib.request.urlopen(f"https://api.inaturalist.org/v1/taxa/{n}") as answer:
            assert json.load(answer)["results"][0]["name"] == f"name of {n}"
"""


def test_ci(inat, origin, place):
    d = inat()
    tests = place / "tests/test_names.py"
    tests.parent.mkdir()
    tests.write_text(PROJECT)
    record, replay, more = shown("CI", "sh")
    assert "1 passed" in bash(place, record) and origin.count() == 2
    tests.write_text(PROJECT.replace("(1, 2)", "(1, 3)"))
    assert "1 passed" in bash(place, more)
    assert [r.target for r in origin.requests] == ["/v1/taxa/1", "/v1/taxa/2", "/v1/taxa/3"]
    d.stop()
    origin.stop()
    tests.write_text(PROJECT.replace("(1, 2)", "(1, 2, 3)"))
    assert "1 passed" in bash(place, replay)
    swallowed = PROJECT.replace("(1, 2)", "(1, 9)").replace("    for", "    try:\n      for").replace("        with", "          with").replace(
        "            assert", "              assert") + "    except OSError:\n      pass\n"
    tests.write_text(swallowed)
    assert "1 passed" in bash(place, replay, status=3)


def test_a_teams_machine(daemons, origin, place):
    """Whoever is in none of the groups is turned away; nobody sees the key, and the API gets it."""
    (config,) = shown("A team's machine", "")
    key = place / "coscine.key"
    key.write_text("Bearer the-team's-key")
    (request, look) = shown("A team's machine", "sh")[0].splitlines()
    url = "https://coscine.rwth-aachen.de/coscine/api/v2"
    origin.reply(200, b"[]", [*JSON, ("Cache-Control", "private, max-age=60")])
    config = config.replace("credential:coscine", str(key))
    # The groups that there are differ by machine: once the one of everybody here, once none of theirs.
    d = daemons()
    configure(d, led_to(config.replace("group:science", f"user:{place.owner()}"), {url: origin}))
    d.start()
    for _ in range(2):
        assert bash(place, request.replace("http://127.0.0.1:8080", d.url)) == "[]"
        d.wait_stored(1)
    assert origin.count() == 1 and origin.last.target == "/coscine/api/v2/projects"
    assert origin.last.fields.get("Authorization") == "Bearer the-team's-key"
    assert "coscine" in bash(place, look)
    configure(d, led_to(config.replace("group:science", "10.1.2.3/32"), {url: origin}))
    d.ctl("reload")
    assert d.get("/coscine/projects").status == 403 and origin.count() == 1
    assert b"the-team's-key" not in d.everything_written()


def test_a_flaky_api(daemons, origin, place, clock):
    """Dropped, broken off in the middle, and dead: the program hears none of it. Then failures to order."""
    config, faults = shown("A flaky API", "")
    (request,) = shown("A flaky API", "sh")
    url = "https://api.example.org"
    d = daemons()
    configure(d, led_to(config.replace('backoff = "500ms"', 'backoff = "5ms"'), {url: origin}))
    d.start()
    request = request.replace("http://127.0.0.1:8080", d.url)

    def dropped(request, conn):
        conn.reset()
    half = lambda request, conn: conn.answer(200, b'{"price": ', JSON)                                                   # noqa: E731
    whole = lambda request, conn: conn.answer(200, b'{"price": 1}', [*JSON, ("Cache-Control", "max-age=60")])            # noqa: E731
    origin.script(dropped, half, whole)
    assert bash(place, request) == '{"price": 1}' and origin.count() == 3
    d.wait_stored(1)
    clock.advance(3600)
    origin.reply(502, b"", [])
    assert bash(place, request) == '{"price": 1}'
    origin.script(whole)
    configure(d, led_to(faults, {url: origin}).replace('delay = "2s"', 'delay = "2ms"'))
    assert d.ctl("reload").returncode == 0
    assert sorted(d.get("/flaky/v1/prices").status for _ in range(10)) == [200] * 8 + [503] * 2


def test_fifteen_programs_and_one_key(daemons, origin, place):
    """As README begins: the API counts, and would say 429 to the 61st of a minute. No program is told so, and none is let through."""
    count = []

    def api(request, conn):
        count.append(request.target)
        conn.answer(200 if len(count) <= 60 else 429, b"{}", [*JSON, ("Cache-Control", "max-age=600")])
    origin.script(api)
    d = daemons(upstream(origin, name="inat", aliases=["api.inaturalist.org"], limits=["60/min"]), settings=PROXY).start()
    (place / "script.py").write_text("import os, urllib.request\nfor n in range(6):\n"
                                     f"    urllib.request.urlopen(f'{INAT}/v1/taxa/{{(4 * int(os.environ[\"NUMBER\"]) + n) % 60}}').read()\n")
    _, run, limits = (line.partition("#")[0] for line in blocks((ROOT / "README.md").read_text())[0][1].splitlines())
    programs = [subprocess.Popen(["bash", "-c", "exec " + run], cwd=place, env=around(place, NUMBER=n), stdin=subprocess.DEVNULL) for n in range(15)]
    try:
        assert [each.wait(seconds(50)) for each in programs] == [0] * 15
    finally:
        for each in programs:
            each.kill()
    assert len(count) == len(set(count)) == 60
    assert "60/min" in bash(place, limits)
