"""Fixtures: each test has its own directory, origin(s) and daemon(s); none of them outlives it."""
import os
import pathlib
import shutil
import signal
import tempfile
import threading

import pytest

pytest.register_assert_rewrite("harness")

from harness.clock import Clock                                    # noqa: E402
from harness.daemon import Daemon                                  # noqa: E402
from harness.origin import Origin                                  # noqa: E402
from harness.settings import upstream                              # noqa: E402
from harness.wait import SANITIZER, TRICKS, WEIR, WEIRCTL, slowness        # noqa: E402

TEST_SECONDS = 60
# Files about one thread's work: papers, command lines, rules, parsing.  A thread sanitizer finds no more there than in
# the others, which are marked `threads`.
OF_ONE_THREAD = {"access", "admin_doc", "auth", "batch_ctl", "bust_param", "causes", "cli", "completion", "entries",
                 "explain", "guard", "harness", "hosts", "jars", "keys", "limits_set", "links", "malformed", "masking",
                 "mode", "no_vary_search", "page", "page_files", "page_token", "papers", "prometheus", "query", "query_method",
                 "ranges", "recipes", "run", "shipped", "steering", "tags", "targets", "upstreams_check", "validate", "via", "weirctl", "wire",
                 "writes"}
# Files that are marked `mhd`: what src/front/mhd/ does with and without its tricks shows in them.
OF_MHD = {"batch", "cache", "connections", "cut_short", "events", "expect", "figures", "guard", "lifecycle", "malformed",
          "many", "proxy", "query", "ranges", "repeat", "run", "sockets", "stalled", "streaming", "targets", "tunnel",
          "uncommitted", "uploads", "wire", "writes"}


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds of real time by its nature")
    config.addinivalue_line("markers", "real_clients: other people's programs; not with a sanitizer's build, see below")
    config.addinivalue_line("markers", "threads: a thread sanitizer may find something there")
    config.addinivalue_line("markers", "mhd: leans on the glue to libmicrohttpd")
    config.addinivalue_line("markers", "mhd_trick(name, why): what libmicrohttpd 0.9.75 cannot do without that trick of "
                                       "src/front/mhd/tricks.h")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """By their file; and what is Weir's own is the same for every client: real ones run with plain builds, and always there."""
    for item in items:
        about = item.path.stem.removeprefix("test_")
        if about not in OF_ONE_THREAD:
            item.add_marker("threads")
        if about in OF_MHD:
            item.add_marker("mhd")
    left_out = [item for item in items if SANITIZER and item.get_closest_marker("real_clients")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in items if not TRICKS else []:
        for mark in item.iter_markers("mhd_trick"):
            item.add_marker(pytest.mark.skip(reason="needs {}: {}".format(*mark.args)))


def pytest_terminal_summary(terminalreporter, config):
    """What has failed, a line each, for tests/run-scenarios; nothing where a sanitizer has complained: a race that shows
    once is one."""
    reports = [r for kind in ("failed", "error") for r in terminalreporter.stats.get(kind, [])]
    texts = [r.longreprtext + "".join(text for _, text in r.sections) for r in reports]
    file = os.environ.get("WEIR_FAILED")
    if not file or any("Sanitizer" in text or "runtime error:" in text for text in texts):
        return
    names = dict.fromkeys(r.nodeid for r in reports if "::" in r.nodeid)
    with open(file, "w", encoding="utf-8") as out:
        for name in names:
            path, rest = name.split("::", 1)
            out.write(f"{(config.rootpath / path).resolve()}::{rest}\n")


def pytest_report_header(config):
    return f"weir: {WEIR}, weirctl: {WEIRCTL}, sanitizer: {SANITIZER}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that hangs fails by name instead of holding the run up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def too_long(signum, frame):
        raise AssertionError(f"the test took longer than {TEST_SECONDS * slowness:g} s")
    old = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(int(TEST_SECONDS * slowness))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@pytest.fixture
def place():
    """A directory with a short name (unix sockets allow 107 bytes), gone at the end."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def clock(place):
    moved = Clock(place / "clock")
    yield moved
    moved.close()


@pytest.fixture
def origins():
    """Makes origins; a handler that failed fails the test."""
    made = []

    def make(*args, **kwargs):
        made.append(Origin(*args, **kwargs))
        return made[-1]
    yield make
    for each in made:
        each.stop()
    errors = [error for each in made for error in each.errors]
    assert not errors, "the origin's script: " + "; ".join(errors)


@pytest.fixture
def origin(origins):
    return origins()


@pytest.fixture
def daemons(place, clock, origins):
    """Makes daemons that are not started; at the end each must leave with status 0 on SIGTERM."""
    made = []

    def make(*upstreams, **kwargs):
        kwargs.setdefault("name", f"weir{len(made)}" if made else "weir")
        made.append(Daemon(place, *upstreams, clock=clock, **kwargs))
        return made[-1]
    yield make
    failures = []
    for each in made:
        try:
            each.stop()
        except AssertionError as failure:
            failures.append(str(failure))
        finally:
            each.kill()
            print(f"--- standard error of {each.name}:\n" + "\n".join(each.lines[-200:]))
    assert not failures, "\n".join(failures)


@pytest.fixture
def weir(daemons, origin):
    """Starts a daemon whose one upstream `api` is `origin`: weir(ttl="1h", limits=["1/s"])."""
    def start(settings=None, path="", **of_upstream):
        return daemons(upstream(origin, path=path, **of_upstream), settings=settings).start()
    return start
