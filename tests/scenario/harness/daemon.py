"""A private daemon: its own directories, free ports, its end seen to.

Daemon.start() waits for the event `ready` on standard error and learns the ports from the events
`listening address=...`.  Daemon.stop() sends SIGTERM and demands exit status 0, which
is also how a sanitizer's finding at the end (99, 66) fails the test.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading

import requests

from harness.client import Client, Closed
from harness.settings import merge, render
from harness.wait import WEIR, WEIRCTL, seconds, until

LISTENING = re.compile(r" listening .*?\baddress=\"?([^\s\"]+)\"?")
PROXY_VARIABLES = {name for base in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
                   for name in (base, base.upper())}


def environment(place, **extra):
    """The environment of a program under test: no proxies, no home but `place`."""
    env = {k: v for k, v in os.environ.items() if k not in PROXY_VARIABLES and not k.startswith("XDG_")}
    env.update(HOME=str(place), XDG_RUNTIME_DIR=str(place), LC_ALL="C.UTF-8", TZ="UTC",
               **{k: str(v) for k, v in extra.items()})
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "JOURNAL_STREAM"):
        env.pop(name, None)
    return env


def run(arguments, place, timeout=20.0, **kwargs):
    """Runs a program to its end; .returncode, .stdout, .stderr as text."""
    return subprocess.run([str(a) for a in arguments], env=environment(place), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                          timeout=seconds(timeout), check=False, **kwargs)


def threads_of(pid):
    """Where each thread of a process stands: in frames where there is a debugger, else in the kernel's words."""
    if shutil.which("gdb"):
        return subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all backtrace"], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace").stdout
    lines = []
    for task in sorted(os.listdir(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError):
            facts = [pathlib.Path(f"/proc/{pid}/task/{task}/{name}").read_text(errors="replace").strip()
                     for name in ("comm", "wchan", "syscall")]
            lines.append(f"{task} {' '.join(facts)}")
    return "\n".join(lines)


class Daemon:
    def __init__(self, place, *upstreams, clock=None, name="weir", settings=None, text=None):
        self.place, self.name, self.clock = place, name, clock
        self.directory = place / name
        self.directory.mkdir(exist_ok=True)
        self.config = self.directory / "weir.conf"
        self.access_file = self.directory / "access.log"
        self.admin_path = str(self.directory / "admin.sock")
        self.hold_file = self.directory / "commits-held"
        self.cache, self.state = self.directory / "cache", self.directory / "state"
        self.process = None
        self.lines = []                         # of standard error, over all starts
        self.expected_exit = 0
        self._changed = threading.Condition()
        self._reader = None
        self._first_line = 0
        self.settings = merge({
            "listen": ["127.0.0.1:0"],
            "workers": 2,
            "admin": {"socket": self.admin_path},
            "cache": {"path": str(self.cache)},
            "state": {"path": str(self.state)},
            "log": {"level": "info", "access": str(self.access_file), "format": "json"},
        }, settings or {})
        self.write(upstreams, text)

    def write(self, upstreams, text=None):
        """Writes the configuration anew (for reload)."""
        self.config.write_text(text if text is not None else
                               render({**self.settings, "upstreams": list(upstreams)}))

    # -- life -------------------------------------------------------------------

    def spawn(self, *extra, before=(), **kwargs):
        """Starts the program without waiting for it to be ready; `before`: a program that runs it in its own place."""
        assert WEIR, "no daemon to test: set WEIR or put weir into PATH"
        more = {} if self.clock is None else {"WEIR_CLOCK_FILE": self.clock.path}
        more["WEIR_HOLD_COMMITS"] = self.hold_file
        self._first_line = len(self.lines)
        self.process = subprocess.Popen([*before, WEIR, "-c", str(self.config), *extra], cwd=self.directory,
                                        env=environment(self.directory, **more), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs)
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        return self

    def start(self, **kwargs):
        self.spawn(**kwargs)
        try:
            self.wait_line(r" ready\b")
        except AssertionError:
            self.kill()
            raise
        return self

    def _read(self, stream):
        for line in stream:
            with self._changed:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()
        stream.close()

    def wait_line(self, pattern, timeout=10.0, since=None):
        """The first line of standard error of this start (or from `since` on) that matches."""
        seen = re.compile(pattern)
        begin = self._first_line if since is None else since

        def look():
            return next((line for line in self.lines[begin:] if seen.search(line)), None)
        with self._changed:
            self._changed.wait_for(lambda: look() or not self._reader.is_alive() or self.process.poll() is not None,
                                   seconds(timeout))
        self._settle_reader()
        line = look()
        assert line, f"no line {pattern!r} from the daemon (status {self.process.poll()}):\n" + self.stderr
        return line

    def _settle_reader(self):
        if self.process.poll() is not None:
            self._reader.join(seconds(5))

    def wait_exit(self, timeout=15.0):
        """Waits for the end; its exit status (negative: the signal)."""
        status = self.process.wait(seconds(timeout))
        self._reader.join(seconds(5))
        return status

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """SIGTERM and exit status 0, or AssertionError."""
        if self.process is None:
            return
        process = self.process
        if process.poll() is None:
            self.terminate()
        try:
            status = self.wait_exit()
        except subprocess.TimeoutExpired:
            where = threads_of(self.pid)
            self.kill()
            raise AssertionError(f"the daemon did not end after SIGTERM:\n{where}\n{self.stderr}") from None
        self.process = None
        assert status == self.expected_exit, f"the daemon's exit status is {status}:\n{self.stderr}"

    def kill(self):
        """kill -9; whatever the status."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._reader.join(seconds(5))
            self.process = None

    def restart(self):
        self.stop()
        return self.start()

    @property
    def stderr(self):
        return "\n".join(self.lines[self._first_line:])

    @property
    def pid(self):
        return self.process.pid

    # -- its data port ----------------------------------------------------------

    @property
    def addresses(self):
        return [match[1] for line in self.lines[self._first_line:] if (match := LISTENING.search(line))]

    @property
    def address(self):
        """(host, port) of the first TCP listener on the data port."""
        for text in self.addresses:
            host, _, port = text.rpartition(":")
            if port.isdigit():
                return host.strip("[]"), int(port)
        raise AssertionError("no listening event:\n" + self.stderr)

    @property
    def proxy_address(self):
        """(host, port) of the forward proxy."""
        line = next(line for line in self.lines[self._first_line:] if LISTENING.search(line) and "kind=proxy" in line)
        host, _, port = LISTENING.search(line)[1].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def proxy_url(self):
        return "http://%s:%d" % self.proxy_address

    @property
    def ca(self):
        """Its CA's certificate, PEM; the CA is made by the first who asks."""
        response = self.admin("GET", "/ca")
        assert response.status == 200, response
        return json.loads(response.body)["certificate"]

    @property
    def authority(self):
        return "%s:%d" % self.address

    @property
    def url(self):
        return f"http://{self.authority}"

    def connect(self, **kwargs):
        return Client(self.address, **kwargs)

    def request(self, method="GET", target="/api/", fields=(), body=None, **kwargs):
        """One request on a connection of its own."""
        with self.connect() as client:
            return client.request(method, target, fields, body, **kwargs)

    def get(self, target, fields=(), **kwargs):
        return self.request("GET", target, fields, **kwargs)

    def exchange(self, data, method="GET"):
        """Raw bytes out, one answer back; a str "cut" or "reset" where none came."""
        with self.connect() as client:
            try:
                client.send(data)
                return client.read_response(method)
            except Closed as closed:
                return closed.how
            except (BrokenPipeError, ConnectionResetError):
                return "reset"

    def session(self):
        session = requests.Session()
        session.trust_env = False
        return session

    # -- what it says of itself -------------------------------------------------

    def admin(self, method, target, body=None):
        with Client(self.admin_path) as client:
            return client.request(method, target, body=body)

    def status(self):
        response = self.admin("GET", "/status")
        assert response.status == 200 and response.complete, response
        return json.loads(response.body)

    def counter(self, name):
        return find_key(self.status(), name)

    def wait_counter(self, name, value, timeout=10.0):
        """Waits until a counter of base/counters.def has reached `value`."""
        until(lambda: self.counter(name) >= value, f"counter {name} >= {value}", timeout)

    def wait_stored(self, count=1):
        """Waits until so many responses are committed: from then on an equal request is a plain hit."""
        self.wait_counter("stored", count)

    @contextlib.contextmanager
    def commits_held(self):
        """Nothing is committed to the cache meanwhile: what has ended is on its way to the store."""
        self.hold_file.touch()
        try:
            yield
        finally:
            self.hold_file.unlink()

    def ctl(self, *arguments, **kwargs):
        assert WEIRCTL, "no weirctl to test: set WEIRCTL"
        return run([WEIRCTL, "--socket", self.admin_path, *arguments], self.directory, **kwargs)

    def ctl_json(self, *arguments):
        result = self.ctl(*arguments, "--json")
        assert result.returncode == 0, (result.returncode, result.stdout, result.stderr)
        return json.loads(result.stdout)

    def access(self, count=None, timeout=10.0):
        """The access log's lines in order of time; waits until there are `count`.  Workers write them out once a second,
        or when they are told to open the file anew."""
        def read():
            text = self.access_file.read_text() if self.access_file.exists() else ""
            lines = [json.loads(line) for line in text.splitlines()] if text.endswith("\n") else []
            return sorted(lines, key=lambda line: line["time"])

        def enough():
            there = len(read()) >= count
            if not there and self.process is not None and self.process.poll() is None:
                self.process.send_signal(signal.SIGUSR1)
            return there
        if count is not None:
            until(enough, f"{count} lines in the access log", timeout, every=0.03)
        return read()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def private_kib(self):
        """Anonymous resident memory: the process's own, without the mapped database and code."""
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))

    def everything_written(self):
        """All bytes the daemon has put on disk and on standard error."""
        out = [self.stderr.encode()]
        for root, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(root, name)
                if os.path.isfile(path) and path != str(self.config):
                    with open(path, "rb") as file:
                        out.append(file.read())
        return b"".join(out)


def find_key(tree, name):
    """The value under `name` wherever it stands in a JSON tree (the outermost one)."""
    level = [tree]
    while level:
        following = []
        for node in level:
            if isinstance(node, dict):
                if name in node and not isinstance(node[name], (dict, list)):
                    return node[name]
                following += node.values()
            elif isinstance(node, list):
                following += node
        level = following
    raise AssertionError(f"no {name!r} in {tree}")
