"""A machine to install on: systemd, booted in namespaces over this one's files, of which none is changed."""
import os
import pathlib
import shutil
import subprocess
import time

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
