"""A program that is recorded, and runs again with its API gone."""
import subprocess

from harness.daemon import environment
from harness.settings import upstream
from harness.wait import WEIRCTL, seconds


def run(place, *arguments):
    """weirctl run, where nothing is that the first run had: no daemon, no API, another home."""
    home = place / "elsewhere"
    home.mkdir(exist_ok=True)
    ran = subprocess.run([WEIRCTL, "run", *map(str, arguments)], env=environment(home, TMPDIR=home), cwd=place, text=True,
                         capture_output=True, timeout=seconds(50), check=False, stdin=subprocess.DEVNULL)
    assert [path for path in home.rglob("*") if path.name.startswith(("weir-run-", "trust-"))] == []    # nothing is left
    return ran


class Recorder:
    """record(handler, *command) runs it against an API at https://api.test, which is taken away: the snapshot, and what it printed."""

    def __init__(self, daemons, origin, place):
        self._daemons, self._origin = daemons, origin
        self.folder = place / "paper.weir"

    def __call__(self, handler, *command):
        self._origin.script(handler)
        d = self._daemons(upstream(self._origin, aliases=["api.test"]), settings={"proxy": {"listen": "127.0.0.1:0"}}).start()
        first = d.ctl("run", "--record", self.folder, "--", *command, timeout=50)
        assert first.returncode == 0, first
        d.stop()
        self._origin.stop()
        return self.folder, first.stdout
