"""The examples of doc/CLIENTS.md, "Many at once", as they stand there."""
import json
import pathlib
import re
import subprocess

import pytest

from harness.daemon import environment
from harness.settings import upstream

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "CLIENTS.md"
COMMANDS = {"sh": ["sh", "-e"], "python": ["python3", "-"], "js": ["node", "--input-type=module", "-"]}

pytestmark = pytest.mark.real_clients


def example(language):
    text = PAGE.read_text().partition("## Many at once")[2]
    return re.search(rf"```{language}\n(.*?)```", text, re.S).group(1)


@pytest.mark.parametrize("language", COMMANDS)
def test_example(daemons, origin, place, language):
    d = daemons(upstream(origin, name="gh")).start()
    origin.handler = lambda request, conn: conn.answer(
        200, json.dumps({"name": request.target[7:]}).encode(), [("Content-Type", "application/json")])
    script = example(language).replace("http://127.0.0.1:8080", d.url)
    ran = subprocess.run(COMMANDS[language], input=script, capture_output=True, text=True, timeout=60, check=False,
                         env=environment(place))
    assert ran.returncode == 0, ran.stderr
    if language == "sh":
        assert sorted(ran.stdout.split()) == ['[0,200,"1"]', '[1,200,"2"]', '[2,200,"3"]']
    else:
        lines = ran.stdout.replace("['1', '2']", "1,2").splitlines()
        assert sorted(lines[:2]) == ["completed 200 1", "completed 200 2"]
        assert lines[2:] == ["list 1,2", "dict 2", "first 200"]
