"""Every command that README, doc/ and the manuals show is run as it stands there, and every configuration is checked.

A block of ```sh is a script, which bash runs line by line until one fails; so are the lines after `$` of the manuals, their lines
set apart, calls of curl at the head of ADMIN.md's blocks, and commands within a line of text.  The machine of which they speak
(127.0.0.1:8080, /run/weir, /etc/weir/weir.conf) is a private daemon's, words in capitals stand for what STANDS_FOR says.
What is not run here is in ELSEWHERE, with what runs it; no row there may be idle.  Blocks of Python and JavaScript, and scripts
that need an API of their own, have tests of their own: OWN_TESTS.
"""
import functools
import re
import subprocess

import pytest

from harness.papers import ROOT, around, bash, blocks
from harness.settings import upstream
from harness.wait import WEIR, seconds

pytestmark = pytest.mark.real_clients

PAPERS = sorted([ROOT / "README.md", *(ROOT / "doc").glob("*.md"), *(ROOT / "doc").glob("*.[158]")])
NAMES = [str(path.relative_to(ROOT)) for path in PAPERS]
COMMAND = re.compile(r"(?:\w+=\S+ )*(?:weirctl|weir|curl|wget|gh|eval|export|\./quickstart|make|sudo|systemctl|dpkg-buildpackage|rpmbuild|autoreconf|podman|docker|buildah|"
                     r"requests|httpx|aiohttp|urllib|github)[ .]\S")
STANDS_FOR = {"FILE": "weir.conf", "DIR": "copy", "URL": "/inat/v1/taxa/1", "NAME": "me", "COMMAND": "curl -sSf https://api.github.com/repos/o/r"}

# How a command begins, and the test that runs it.
CI, PACKAGE = ".ci/run", "tests/package/test_package.py"
ELSEWHERE = {
    "./quickstart": "tests/package/test_quickstart.py",
    "make": CI, "autoreconf": CI, "dpkg-buildpackage": PACKAGE, "rpmbuild": "tests/package/test_rpm.py", "sudo": PACKAGE, "systemctl": PACKAGE,
    "docker": "tests/package/test_container.py",
    "gh config set": "tests/scenario/test_real_clients.py",             # writes the user's own file
    "curl --http2": "tests/scenario/test_wire.py",                      # says what is not carried
}
# Whole blocks, by the title above them.
OWN_TESTS = {("doc/CLIENTS.md", "Many at once"): "test_batch_clients", ("doc/CLIENTS.md", "Four worked examples"): "test_batch_examples",
             ("doc/CLIENTS.md", "Later"): "test_jobs_clients"}
RECIPES = "doc/RECIPES.md"
# What only names a command, and options of it.
NAMED = re.compile(r"(weirctl|weir) *([a-z]+)?((?: --[\w-]+(?:=\w+)?(?: [A-Z]+)?)*)\s*$")
# weirctl(1): 1 is that nothing matched, as when it was dropped two lines above.
STATUS = {"weirctl purge": (0, 1)}
# These go on until they are stopped.
ENDLESS = re.compile(r"weirctl top\b|weirctl log -f\b|curl -N ")
EXPRESSION = re.compile(r"(?:requests|httpx|aiohttp|urllib|github)\.")
PYTHON = """
import asyncio, aiohttp, github, httpx, requests, urllib.request
token = None

async def look(expression):
    made = eval(expression)
    if isinstance(made, httpx.Client):
        made = made.get("/repos/o/r" if str(made.base_url) else "http://api.github.com/repos/o/r")
    if isinstance(made, aiohttp.ClientSession):
        await made.close()
    elif isinstance(made, (httpx.Response, requests.Response)):
        made.raise_for_status()

for expression in EXPRESSIONS:
    asyncio.run(look(expression))
"""


# -- what the papers show ---------------------------------------------------------------


def mdoc(text):
    """A manual as it is read: (language, text) of what is set apart."""
    plain = text.replace("\\(dq", '"').replace("\\&", "").replace("\\e", "\\")
    apart = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", plain, re.M | re.S)
    found = []
    for block in apart:
        commands = re.findall(r"^\$ (.*)$", block, re.M)
        found.append(("sh", "\n".join(commands) + "\n") if commands else ("python" if block.startswith("import ") else "", block))
    return found + [("sh" if COMMAND.match(line) else "", line + "\n") for line in re.findall(r"^\.Dl (.*)$", plain, re.M)]


def shown(path):
    """(title, language, text) of each block, and of each command within a line."""
    text = path.read_text()
    if path.suffix != ".md":
        return [("", *block) for block in mdoc(text)]
    found = []
    for part in re.split(r"^## ", text, flags=re.M):
        title = part.partition("\n")[0]
        for language, block in blocks(part):
            if path.name == "ADMIN.md" and block.startswith("curl"):
                language, block = "sh", re.match(r"(?:curl .*\n)+", block)[0]
            found.append((title, language, block))
        inline = re.sub(r"^```.*?^```$", "", part, flags=re.M | re.S)
        found += [(title, "inline", line.replace("\n", " ") + "\n") for line in re.findall(r"`([^`]+)`", inline) if COMMAND.match(line)]
    return found


def commands(script):
    """A script's, each with the lines that belong to it, without the remark."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if subprocess.run(["bash", "-n", "-c", part], capture_output=True, check=False).returncode == 0 and not part.rstrip().endswith(("|", "\\")):
            if part.strip():
                yield part
            part = ""
    assert not part, part


def begins_with(command, table):
    return next((start for start in table if re.match(rf"(?:\w+=\S+ )*{re.escape(start)}(?!\w)", command)), None)


@functools.cache
def to_run():
    """{paper: its commands}, and the rows of ELSEWHERE that were needed."""
    found, used = {name: [] for name in NAMES}, set()
    for path, name in zip(PAPERS, NAMES):
        for title, language, text in shown(path):
            if language not in ("sh", "inline") or name == RECIPES or (name, title) in OWN_TESTS and language == "sh":
                continue
            for command in commands(text) if language == "sh" else [text]:
                row = begins_with(command, ELSEWHERE)
                used.add(row)
                if row is None:
                    found[name].append(command)
    return found, used


# -- and whether it is so ---------------------------------------------------------------


def test_what_is_not_run_here_is_run_by_what_is_named():
    _, used = to_run()
    assert used - {None} == set(ELSEWHERE)
    for runner in ELSEWHERE.values():
        assert (ROOT / runner).is_file(), runner
    for (name, title), test in OWN_TESTS.items():
        assert f"\n## {title}\n" in (ROOT / name).read_text() and "CLIENTS.md" in (ROOT / f"tests/scenario/{test}.py").read_text()


def test_every_target_of_make_is_there():
    """Automake's own ones, and those of Makefile.am."""
    makefile = (ROOT / "Makefile.am").read_text()
    known = {"all", "check", "dist", "distcheck", "distclean", "install", *re.findall(r"^([a-z-]+)(?: [a-z -]+)?:(?!=)", makefile, re.M)}
    for path in (ROOT / "HACKING.md", *PAPERS):
        for target in re.findall(r"`make ([a-z][a-z-]*)`", path.read_text()):
            assert target in known, f"{path.name}: make {target}"


def test_every_block_is_of_a_known_kind():
    """What is not run says what it is, so that no command hides in it."""
    for path, name in zip(PAPERS, NAMES):
        for title, language, text in shown(path):
            assert language in ("sh", "inline", "python", "js", "json", "text", ""), (name, language)
            if language == "":
                assert not COMMAND.match(text), (name, title, text)
            if language in ("python", "js") and name != RECIPES:
                assert (name, title) in OWN_TESTS or name == "doc/weirctl.1", (name, title)


# Where a piece of a configuration may belong.
AROUND = ("%s", "upstreams = ( %s );", 'upstreams = ( {{ name = "a"; url = "https://a.example"; {} }} );'.format("%s"),
          'upstreams = ( {{ name = "a"; url = "https://a.example"; rules = ( {{ match = "/**"; {} }} ); }} );'.format("%s"))


def test_every_configuration_is_taken(place):
    """Whole, or as a piece in one of the places where it may stand."""
    file, count = place / "weir.conf", 0

    def check(text):
        file.write_text(f'cache = {{ path = "{place}/cache"; }};\nstate = {{ path = "{place}/state"; }};\n' + text)
        return subprocess.run([WEIR, "--check", "-c", file], env=around(place, CREDENTIALS_DIRECTORY=place), capture_output=True, text=True,
                              timeout=seconds(20), check=False)
    for path, name in zip(PAPERS, NAMES):
        for title, language, text in shown(path):
            if language != "" or not re.match(r"\{? ?\w+ *= *[({\"]", text):
                continue
            for credential in re.findall(r"credential:(\w+)", text):
                (place / credential).write_text("secret")
            tried = []
            assert any(tried.append(check(way % text)) or tried[-1].returncode == 0 for way in AROUND), (name, title, text, [t.stderr for t in tried])
            count += 1
    assert count >= 8


def script_of(command, d, place):
    """The command as it is run here."""
    command = command.rstrip("\n").replace(" ...", " https://api.github.com/repos/o/r")
    named = NAMED.match(command)
    if named and named[2] not in ("jobs", "limits", "status", "env", "ca"):
        program, row, options = named.groups(default="")
        return f"{program} {row} --help > help" + "".join(f" && grep -qe '{option}\\b' help" for option in re.findall(r"--[\w-]+", options))
    for word, stands_for in STANDS_FOR.items():
        command = re.sub(rf"\b{word}\b", stands_for, command)
    for there, here in (("127.0.0.1:8080", d.authority), ("127.0.0.1:3128", d.proxy_url[7:]), ("127.0.0.1:9464", d.metrics_address),
                        ("/run/weir/", f"{d.directory}/"), ("/etc/weir/weir.conf", str(d.config))):
        command = command.replace(there, here)
    if command.startswith("weirctl backup"):
        command = command.partition("#")[0] + " -c weir.conf"                  # that of a user's own Weir is where weir(8) looks
    if command.startswith("weirctl mode"):
        command += "\nweirctl mode --all live"      # for those after it
    if ENDLESS.search(command):
        return f"timeout --preserve-status -s INT 1 {command.partition(' #')[0]} || test $? -eq 130"
    return command


@pytest.mark.parametrize("name", [name for name in NAMES if name != RECIPES])
def test_every_command_does_what_it_says(daemons, origin, place, name):
    """In the order of the page, each with status 0, by a machine on which Weir runs and has something stored."""
    origin.reply(200, b'{"name": "it"}', [("Content-Type", "application/json"), ("Cache-Control", "max-age=3600"), ("Cache-Tag", "taxa")])
    d = daemons(upstream(origin, name="inat", aliases=["api.inaturalist.org"], limits=["60/s", "600/min"]),
                upstream(origin, name="gh", aliases=["api.github.com", "api.github.localhost"]),
                upstream(origin, name="github", aliases=["github.test"], limits=["5000/h window learned"]),
                settings={"listen": ["127.0.0.1:0", f"unix:{place}/weir/weir.sock"], "proxy": {"listen": "127.0.0.1:0"}, "metrics": {"listen": "127.0.0.1:0"},
                          "admin": {"listen": "127.0.0.1:0"}}).start()
    d.get("/inat/v1/taxa/1")
    d.wait_stored(1)
    for program in ("script.py", "analysis.py", "fetch.py", "nightly.py"):
        (place / program).write_text("print('done')\n")
    (place / "script.mjs").write_text("")
    (place / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    (place / "urls.txt").write_text("/inat/v1/taxa/1\n/inat/v1/taxa/2\n")
    (place / "weir.conf").write_text(d.config.read_text())
    bash(place, "weirctl export '/inat/**' --output paper.weir; weirctl ca > weir.pem")
    d.metrics_address = next(re.search(r'address=(\S+)', line)[1] for line in d.lines if "kind=metrics" in line)
    found = dict.fromkeys(to_run()[0][name])
    scripts = {command: script_of(command, d, place) for command in found if not EXPRESSION.match(command)}
    expressions = [script_of(command, d, place) for command in found if EXPRESSION.match(command)]
    if expressions:
        (place / "expressions.py").write_text(f"EXPRESSIONS = {expressions!r}\n{PYTHON}")
        scripts["its expressions"] = "python3 expressions.py"
    failed = []
    for command, script in scripts.items():
        ran = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=place, env=around(place, GH_TOKEN="x", GH_ENTERPRISE_TOKEN="x"),
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds(30), check=False)
        if ran.returncode not in STATUS.get(begins_with(command, STATUS), (0,)):
            failed.append(f"{command.strip()}: exit {ran.returncode}: {ran.stderr.strip() or ran.stdout.strip()}")
    assert not failed, "\n".join(failed)
