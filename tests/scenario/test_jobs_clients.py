"""The examples of doc/CLIENTS.md, "Later", as they stand there."""
import json
import pathlib
import re
import subprocess

import pytest

from harness.daemon import environment
from harness.settings import upstream
from harness.wait import WEIRCTL

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "CLIENTS.md"
COMMANDS = {"sh": ["sh", "-e"], "python": ["python3", "-"], "js": ["node", "--input-type=module", "-"]}

pytestmark = pytest.mark.real_clients


def example(language):
    text = PAGE.read_text().partition("\n## Later\n")[2].partition("\n## ")[0]
    return re.search(rf"```{language}\n(.*?)```", text, re.S).group(1)


@pytest.mark.parametrize("language", COMMANDS)
@pytest.mark.parametrize("stored", [False, True])
def test_example(daemons, origin, place, language, stored):
    """Where it has to be asked for, and where a hit comes at once."""
    d = daemons(upstream(origin, name="gh", ttl="1h" if stored else None)).start()
    origin.handler = lambda request, conn: conn.answer(
        200, json.dumps({"name": request.target[7:]}).encode(), [("Content-Type", "application/json")])
    if stored:
        for i in (1, 2):
            assert d.get(f"/gh/items/{i}").status == 200
        d.wait_stored(2)
    script = example(language).replace("http://127.0.0.1:8080", d.url).replace("weirctl", WEIRCTL)
    ran = subprocess.run(COMMANDS[language], input=script, capture_output=True, text=True, timeout=60, check=False,
                         cwd=place, env=environment(place, WEIR_URL=d.url))
    assert ran.returncode == 0, ran.stderr
    wanted = {"sh": [*([] if stored else ["done 200"]), "result 1"], "python": ["completed 1", "completed 2", "again 1"],
              "js": ["first 200", "result 1", "result 2"]}[language]
    said = ran.stdout.splitlines()
    assert sorted(said) == sorted(wanted) and said[-1] == wanted[-1]
    assert origin.count() == (1 if language == "sh" and not stored else 2)
