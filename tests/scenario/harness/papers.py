"""What the papers show: their blocks of code, and a daemon that stands for the machine that they speak of."""
import os
import pathlib
import re
import shlex
import subprocess
import sys
from urllib.parse import urlsplit

from harness.daemon import environment
from harness.settings import render
from harness.wait import WEIR, WEIRCTL, seconds

ROOT = pathlib.Path(__file__).resolve().parents[3]


def blocks(text):
    """(language, text) of each block in fences."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)


def section(paper, title):
    """What stands below a title of the second rank."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", (ROOT / paper).read_text(), re.M | re.S)
    assert found, f"{paper}: no section {title}"
    return found[1]


def led_to(text, origins):
    """A configuration whose APIs are led to origins: {url: origin}; the API's own name is an alias of it."""
    for url, origin in origins.items():
        text, count = re.subn(rf'^(.*?url *= )"{re.escape(url)}";', rf'\1"{origin.url}{urlsplit(url).path}"; '
                              f'hosts = ( "{urlsplit(url).hostname} = {origin.authority}" );', text, flags=re.M)
        assert count, url
    return text


def configure(d, text, **settings):
    """The daemon's file: what is private to it, and a paper's text."""
    own = {name: value for name, value in d.settings.items() if name != "upstreams"}
    d.write((), render({**own, **settings}) + text)


def programs(place):
    """A folder for PATH in which weir, weirctl, python3 and pytest are those under test."""
    folder = place / "bin"
    folder.mkdir(exist_ok=True)
    for name, words in (("weir", [WEIR]), ("weirctl", [WEIRCTL]), ("python3", [sys.executable]), ("pytest", [sys.executable, "-m", "pytest"])):
        if not (folder / name).exists():
            (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
            (folder / name).chmod(0o755)
    return folder


def around(place, **more):
    """The environment of a paper's reader, whose weir's sockets are in `place`/weir."""
    return environment(place, PATH=f"{programs(place)}:{os.environ['PATH']}", PYTHONDONTWRITEBYTECODE="1", PYTEST_ADDOPTS="-p no:cacheprovider", **more)


def bash(place, script, timeout=40, status=0, **more):
    """Runs a script line by line until one fails; what it printed."""
    ran = subprocess.run(["bash", "-ex", "-o", "pipefail", "-c", script], cwd=place, env=around(place, **more), stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, errors="replace", timeout=seconds(timeout), check=False)
    assert ran.returncode == status, f"exit {ran.returncode}:\n{ran.stderr}\n{ran.stdout[-2000:]}"
    return ran.stdout
