"""Real clients, each by every way in that it supports, against an API that emits absolute https:// links and pages.

A client that followed a link past Weir would fail: nothing listens at that name.  What reaches the API must have
come through Weir, and the second walk must be answered from the cache, whichever way the first one came.
Marked `real_clients`: they run in plain builds only (a sanitizer learns nothing from them), and there
a program that is missing is a failure.
"""
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from harness.daemon import environment
from harness.settings import Raw, upstream
from harness.wait import WEIRCTL, seconds

pytestmark = pytest.mark.real_clients

HOST = "api.example.test"
PAGES = 3
# Roots that this machine may name for its own clients are not these clients' business.
OF_THIS_MACHINE = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PYTHONPATH", "JAVA_TOOL_OPTIONS", "WGETRC")
ITEMS = [f"item-{n}" for n in range(1, 2 * PAGES + 1)]
CLIENTS = pathlib.Path(__file__).parent / "clients"
NODE_MODULES = pathlib.Path(os.environ["WEIR_NODE_MODULES"])          # run-scenarios sets it


# -- the API ----------------------------------------------------------------------

def links(base, path, page, pages):
    parts = [f'<{base}{path}page={n}>; rel="{rel}"' for rel, n, is_there in
             (("prev", page - 1, page > 1), ("next", page + 1, page < pages), ("last", pages, page < pages), ("first", 1, page > 1)) if is_there]
    return [("Link", ", ".join(parts))]


def send_json(request, conn, tree, fields=()):
    body = json.dumps(tree).encode()
    fields = [("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "max-age=3600"), ("Vary", "Accept-Encoding"), *fields]
    if "gzip" in request.fields.joined("Accept-Encoding"):
        body, fields = gzip.compress(body), [*fields, ("Content-Encoding", "gzip")]
    conn.answer(200, body, fields)


def paging_api(base):
    def handler(request, conn):
        if request.target == "/start":
            return conn.answer(302, b"", [("Location", f"{base}/items?page=1"), ("Cache-Control", "max-age=3600")])
        page = int(re.fullmatch(r"/items\?page=([0-9]+)", request.target)[1])
        return send_json(request, conn, {"items": ITEMS[2 * page - 2:2 * page], "next": f"{base}/items?page={page + 1}" if page < PAGES else None},
                         links(base, "/items?", page, PAGES))
    return handler


def github_api(base):
    """As much of GitHub's shape as its SDKs look at."""
    repository = f"{base}/repos/weir/weir"

    def issue(n):
        return {"number": n, "title": f"title-{n}", "url": f"{repository}/issues/{n}", "repository_url": repository, "id": n, "state": "open"}

    def handler(request, conn):
        path, _, query = request.target.partition("?")
        if path == "/repos/weir/weir":
            return send_json(request, conn, {"id": 1, "name": "weir", "full_name": "weir/weir", "url": repository, "owner": {"login": "weir", "url": f"{base}/users/weir"}})
        if path == "/repos/weir/weir/issues":
            page = int((re.search(r"(?:^|&)page=([0-9]+)", query) or [0, 1])[1])
            return send_json(request, conn, [issue(n) for n in (2 * page - 1, 2 * page)], links(base, "/repos/weir/weir/issues?per_page=2&", page, PAGES))
        return send_json(request, conn, issue(int(re.fullmatch(r"/repos/weir/weir/issues/([0-9]+)", path)[1])))
    return handler


# -- the clients ------------------------------------------------------------------

def program(name):
    path = shutil.which(name)
    assert path, f"{name} is not installed: quickstart check installs what the real clients need"
    return path


def call(d, arguments, run=False, **env):
    """Its standard output; a failure fails the test with what it said. `run`: by weirctl run, which points it at Weir."""
    if run:
        arguments = [WEIRCTL, "--socket", d.admin_path, "run", "--", *arguments]
        env = {**{name: "" for name in OF_THIS_MACHINE if name in os.environ}, **env}
    result = subprocess.run([str(a) for a in arguments], cwd=d.directory, env=environment(d.directory, **env), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds(50), check=False)
    assert result.returncode == 0, f"{arguments}: {result.returncode}\n{result.stdout.decode()}\n{result.stderr.decode()}"
    return result.stdout.decode()


def walk_with(fetch, url):
    """walk.py's walk, for programs that fetch one URL at a time: fetch(url) gives the head and the body of the last answer."""
    items, turn = [], 0
    while url:
        head, body = fetch(url)
        page = json.loads(body)
        items += page["items"]
        by_field = re.search(r'^\s*link:.*<([^>]*)>; rel="next"', head, re.I | re.M)
        url = by_field[1] if by_field and turn % 2 == 0 else page["next"]
        turn += 1
    return items


def curl(d, url, *options, **env):
    def fetch(at):
        head, body = d.directory / "head", d.directory / "body"
        call(d, [program("curl"), "-q", "-sSfL", "--compressed", "-D", head, "-o", body, *options, at], **env)
        return head.read_text(), body.read_bytes()
    return walk_with(fetch, url)


def wget(d, url, *options, **env):
    def fetch(at):
        head, body = d.directory / "head", d.directory / "body"
        # what weirctl run has to say comes by the configuration
        quiet = ["-q", "--tries=1"] if env.get("run") else ["--no-config", "-q", "--tries=1"]
        call(d, [program("wget"), *quiet, "--server-response", "-o", head, "-O", body, *options, at], **env)
        return head.read_text(), body.read_bytes()
    return walk_with(fetch, url)


def python(library, d, url, *options, **env):
    return call(d, [sys.executable, CLIENTS / "walk.py", library, url, *options], **env).split()


def node(d, *arguments, run=False, **env):
    options = []
    if run and call(d, [program("node"), "-p", "process.allowedNodeEnvironmentFlags.has('--use-env-proxy')"]) != "true\n":
        options = ["--import", CLIENTS / "proxied.mjs"]
    return call(d, [program("node"), *options, *arguments], run=run, WEIR_NODE_MODULES=NODE_MODULES, **env)


def node_fetch(d, url, run=False):
    return node(d, CLIENTS / "walk.mjs", url, run=run).split()


PLAIN = f"http://{HOST}/start"
WAYS = {
    "curl-prefix": lambda d: curl(d, d.url + "/api/start"),
    "curl-host": lambda d: curl(d, PLAIN, "--connect-to", f"{HOST}:80:{d.authority}"),
    "curl-proxy": lambda d: curl(d, PLAIN, "--proxy", d.url),
    "curl-proxy-environment": lambda d: curl(d, PLAIN, http_proxy=d.url),
    "curl-tunnel": lambda d: curl(d, PLAIN, "--proxytunnel", "--proxy", d.proxy_url),
    "undici-tunnel": lambda d: node(d, "--import", CLIENTS / "proxied.mjs", CLIENTS / "walk.mjs", PLAIN, https_proxy=d.proxy_url).split(),
    "curl-unix": lambda d: curl(d, PLAIN, "--unix-socket", d.unix_path),
    "curl-unix-prefix": lambda d: curl(d, "http://localhost/api/start", "--unix-socket", d.unix_path),
    "wget-prefix": lambda d: wget(d, d.url + "/api/start"),
    "wget-proxy": lambda d: wget(d, PLAIN, http_proxy=d.url),
    **{f"{library}-prefix": lambda d, library=library: python(library, d, d.url + "/api/start") for library in ("requests", "urllib", "httpx", "aiohttp")},
    **{f"{library}-proxy": lambda d, library=library: python(library, d, PLAIN, http_proxy=d.url) for library in ("requests", "urllib", "httpx", "aiohttp")},
    **{f"{library}-unix": lambda d, library=library: python(library, d, PLAIN, d.unix_path) for library in ("httpx", "aiohttp")},
    "node-fetch-prefix": lambda d: node_fetch(d, d.url + "/api/start"),
}


# Nothing is said to these but their https:// URLs: weirctl run points them at the forward proxy.
SECURE = f"https://{HOST}/start"
UNCHANGED = {
    "curl": lambda d: curl(d, SECURE, run=True),
    "wget": lambda d: wget(d, SECURE, run=True),
    **{library: lambda d, library=library: python(library, d, SECURE, run=True) for library in ("requests", "urllib", "httpx", "aiohttp")},
    "node-fetch": lambda d: node_fetch(d, SECURE, run=True),
}


@pytest.fixture
def started(daemons, origin, place):
    def start(**of_upstream):
        path = str(place / "weir.sock")
        d = daemons(upstream(origin, rewrite_links=True, **of_upstream),
                    settings={"listen": ["127.0.0.1:0", "unix:" + path], "proxy": {"listen": "127.0.0.1:0"}}).start()
        d.unix_path = path
        return d
    return start


def assert_only_through_weir(origin, count):
    assert all("1.1 weir" in r.fields.joined("Via") for r in origin.requests) and origin.count() == count, origin.requests


@pytest.mark.parametrize("way", WAYS)
def test_pages_by_their_links(started, origin, way):
    origin.handler = paging_api(f"https://{HOST}")
    d = started(aliases=[HOST])
    for _ in range(2):
        assert WAYS[way](d) == ITEMS
        d.wait_stored(1 + PAGES)
    assert_only_through_weir(origin, 1 + PAGES)
    assert len(d.access(2 * (1 + PAGES))) == 2 * (1 + PAGES)


def test_ways_share_the_cache(started, origin):
    """Those that wish for the same coding: what one client fetched by its way the others have by theirs."""
    origin.handler = paging_api(f"https://{HOST}")
    d = started(aliases=[HOST])
    assert WAYS["requests-prefix"](d) == ITEMS
    d.wait_stored(1 + PAGES)
    for way in ("requests-proxy", "curl-prefix", "curl-host", "curl-proxy", "curl-unix", "httpx-prefix", "httpx-proxy", "httpx-unix", "aiohttp-unix"):
        assert WAYS[way](d) == ITEMS, way
    assert_only_through_weir(origin, 1 + PAGES)


def test_unchanged_clients_share_the_cache(started, origin):
    """By the HTTPS proxy: https:// URLs, links that are not rewritten, certificates that are verified."""
    origin.handler = paging_api(f"https://{HOST}")
    d = started(aliases=[HOST])
    seen = {}
    for client, walk in UNCHANGED.items():
        before = origin.count()
        assert walk(d) == ITEMS, client
        seen[client] = origin.count() - before
        d.wait_stored(origin.count())
    assert_only_through_weir(origin, origin.count())
    # One walk for each coding that they wish for; the redirect has no Vary. The rest is answered from the cache.
    assert set(seen.values()) <= {0, PAGES, 1 + PAGES} and list(seen.values()).count(0) >= 3, seen


def test_git_through_weir(started, origin):
    commit = "0123456789012345678901234567890123456789"

    def handler(request, conn):
        head = request.path == "/repo.git/HEAD"
        conn.answer(200, b"ref: refs/heads/main\n" if head else f"{commit}\trefs/heads/main\n".encode(), [("Content-Type", "text/plain")])
    origin.handler = handler
    d = started(aliases=[HOST])
    said = call(d, [program("git"), "ls-remote", f"https://{HOST}/repo.git"], run=True, GIT_CONFIG_NOSYSTEM="1")
    assert f"{commit}\trefs/heads/main" in said
    assert_only_through_weir(origin, 2)


# -- SDKs -------------------------------------------------------------------------

TITLES = "".join(f"{n} title-{n}\n" for n in range(1, 2 * PAGES + 1))


def gh(d, config, **env):
    folder = d.directory / "gh"
    folder.mkdir(exist_ok=True)
    (folder / "config.yml").write_text(config)
    # what it prints with --jq is one line for each, on all pages
    return call(d, [program("gh"), "api", "--paginate", "repos/weir/weir/issues?per_page=2", "--jq", r'.[] | "\(.number) \(.title)"'],
                GH_CONFIG_DIR=folder, GH_NO_UPDATE_NOTIFIER="1", **env)


SDKS = {
    "pygithub-prefix": (HOST, lambda d: call(d, [sys.executable, CLIENTS / "pygithub.py", d.url + "/api"])),
    "pygithub-proxy": (HOST, lambda d: call(d, [sys.executable, CLIENTS / "pygithub.py", f"http://{HOST}"], http_proxy=d.url)),
    "octokit-prefix": (HOST, lambda d: call(d, [program("node"), CLIENTS / "octokit.mjs", NODE_MODULES, d.url + "/api"])),
    "pygithub-unchanged": (HOST, lambda d: call(d, [sys.executable, CLIENTS / "pygithub.py", f"https://{HOST}"], run=True)),
    "octokit-unchanged": ("api.github.com", lambda d: node(d, CLIENTS / "octokit.mjs", NODE_MODULES, "https://api.github.com", run=True)),
    "gh-unchanged": ("api.github.com", lambda d: gh(d, "", run=True, GH_TOKEN="token")),
    "gh-unix": ("api.github.com", lambda d: gh(d, f"http_unix_socket: {d.unix_path}\n", GH_TOKEN="token")),
    "gh-proxy": ("api.github.localhost", lambda d: gh(d, "", GH_HOST="github.localhost", GH_ENTERPRISE_TOKEN="token", GH_TOKEN="token", http_proxy=d.url)),
}


@pytest.mark.parametrize("way", SDKS)
def test_sdk(started, origin, way):
    host, run_it = SDKS[way]
    origin.handler = github_api(f"https://{host}")
    d = started(aliases=[host])
    assert run_it(d) == TITLES
    asked = origin.count()
    d.wait_stored(asked)
    assert run_it(d) == TITLES
    assert_only_through_weir(origin, asked)


# -- writes that are not done -------------------------------------------------------

MOCKS = pathlib.Path(__file__).parents[2] / "etc/mocks/github.conf"


def gh_writes(d, config, **env):
    """What gh does by the REST API and by GraphQL, of which even what only reads is a POST."""
    folder = d.directory / "gh"
    folder.mkdir(exist_ok=True)
    (folder / "config.yml").write_text(config)
    env.update(GH_CONFIG_DIR=folder, GH_NO_UPDATE_NOTIFIER="1", GH_TOKEN="token")
    said = call(d, [program("gh"), "api", "repos/weir/weir/issues", "-f", "title=t", "--jq", '"issue \\(.number) \\(.state)"'], **env)
    assert "/issues/1" in call(d, [program("gh"), "issue", "create", "-R", "weir/weir", "-t", "t", "-b", "text"], **env)
    return said


WRITES = {
    "pygithub": lambda d: call(d, [sys.executable, CLIENTS / "pygithub_writes.py", d.url + "/api"]),
    "pygithub-unchanged": lambda d: call(d, [sys.executable, CLIENTS / "pygithub_writes.py", "https://api.github.com"], run=True),
    "octokit": lambda d: call(d, [program("node"), CLIENTS / "octokit_writes.mjs", NODE_MODULES, d.url + "/api"]),
    "gh-unchanged": lambda d: gh_writes(d, "", run=True),
}


@pytest.mark.parametrize("name", WRITES)
def test_an_sdk_goes_through_its_writes_in_a_dry_run(started, origin, name):
    origin.handler = github_api("https://api.github.com")
    d = started(aliases=["api.github.com"], mode="dry_run_writes", rules=Raw(f'(\n@include "{MOCKS}"\n)'))
    assert WRITES[name](d).startswith("issue 1 open\n")
    assert {r.method for r in origin.requests} <= {"GET"}
    assert any(line.get("dry") == 1 and line["status"] == 201 for line in d.access(2))
