"""A machine to install on: systemd, booted in namespaces over this one's files, of which none is changed."""
import os
import pathlib
import re
import shutil
import subprocess
import time

UPSTREAM = 'upstreams = ( { name = "test"; url = "http://127.0.0.1:9000"; limits = ( "100000/s" ); } );\n'
BOOT = pathlib.Path(__file__).with_name("boot")
NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")


def why_not():
    """What stands in the way of one, or None."""
    if os.geteuid() != 0:
        return "only root makes the namespaces of a machine"
    if not os.path.exists("/lib/systemd/systemd"):
        return "systemd is not installed"
    return None


class Machine:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.process = subprocess.Popen(["unshare", *NAMESPACES, "--fork", "--kill-child=KILL", str(BOOT), str(self.folder)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.folder.with_suffix(".log"), "wb"))
        self.init = None
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError("no machine: " + self.folder.with_suffix(".log").read_text())
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children and pathlib.Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
                self.init = children[0]
                if self.run("systemctl", "is-active", "weir-test.target", check=False).stdout == "active\n":
                    return
            time.sleep(0.05)
        raise RuntimeError("systemd did not come up in a minute")

    def command(self, *words):
        # -C is left out: what is started belongs to no unit, as a login's would not.
        return ["nsenter", "-t", self.init, "-m", "-p", "-n", "-u", "-i", "--", "env", "-i", "HOME=/root", "LANG=C.UTF-8",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", *words]

    def run(self, *words, check=True, stdin=None, timeout=120):
        done = subprocess.run(self.command(*words), input=stdin, text=True, capture_output=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *words, **how):
        return subprocess.Popen(self.command(*words), text=True, **how)

    def write(self, path, text):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "write", path, stdin=text)

    def bring(self, path, file):
        subprocess.run(self.command("sh", "-c", 'cat > "$1"', "bring", path), stdin=open(file, "rb"), check=True)

    def files(self):
        """What is there, but what changes by itself."""
        found = self.run("find", "/etc", "/usr", "/lib", "/var/lib", "/var/cache", "/var/log", "/run/systemd/system", "-xdev",
                         "(", "-path", "/var/lib/dpkg", "-o", "-path", "/var/log/journal", "-o", "-path", "/var/lib/systemd",
                         "-o", "-path", "/var/cache/man", ")", "-prune", "-o", "-print")
        return set(found.stdout.splitlines())

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# -- what is asked of a machine that has Weir -------------------------------------------


def get(host, path, *options):
    return host.run("curl", "-sS", "-i", "--max-time", "60", *options, f"http://127.0.0.1:8080{path}").stdout


def cache_status(answer):
    return re.search(r"(?im)^cache-status: weir; (.*?)\r?$", answer)[1]


def as_somebody(host, *words, check=True):
    return host.run("runuser", "-u", "somebody", "--", *words, check=check)


def unit(host, what):
    return host.run("systemctl", "show", "-P", what, "weir").stdout.strip()


def main_pid(host):
    """Never 0, by which a signal would go to all of whoever runs the tests."""
    pid = unit(host, "MainPID")
    assert int(pid) > 0, host.run("systemctl", "status", "weir", check=False).stdout
    return pid


def restart(host):
    """More often than systemd has it of a daemon that fails."""
    host.run("systemctl", "reset-failed", "weir")
    host.run("systemctl", "restart", "weir")


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "not within a minute"
        time.sleep(0.1)


def lost_while(host, *words):
    """Requests that got no answer while a command was run, of more than a few."""
    asking = host.start("python3", "/root/asking.py", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert asking.stdout.readline() == "asking\n"
    host.run(*words)
    count, lost = asking.communicate("stop\n", timeout=120)[0].split("\n", 1)
    assert int(count) > 20
    return lost.strip()
