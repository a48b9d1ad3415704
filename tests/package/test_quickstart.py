"""quickstart, on a machine that is booted for it: as an ordinary user with and without sudo, as root, by every option, and undone.

The builds are real, without optimisation; only apt-get is not, which has no network there.
"""
import os
import re
import subprocess

import pytest

HOME = "/home/somebody"
OWN = f"{HOME}/.config/weir/weir.conf"
SHIPPED = f"{HOME}/weir/etc/weir.conf"
# Of the packages that it asks for one is missing, until somebody who is root has fetched the lists and installed it.
APT_GET = """#!/bin/sh
test "$(id -u)" = 0 || { echo "apt-get: not root" >&2; exit 100; }
echo "$*" >> /root/apt-get
case $1 in
update) touch /root/lists ;;
install) test -e /root/lists && touch /usr/lib/missing-is-there ;;
esac
"""
DPKG_QUERY = """#!/bin/sh
for word; do :; done
test "$word" != liblmdb-dev || test -e /usr/lib/missing-is-there || { echo not-installed; exit; }
exec /usr/bin/dpkg-query.real "$@"
"""
SUDO = """#!/bin/sh
exec /usr/bin/setpriv-as-root --reuid=0 --regid=0 --clear-groups -- "$@"
"""
# It is built three times, each with other paths in it: what asks for none of them is compiled once.
GCC = r"""#!/bin/sh
for word; do
    case $before in -o) out=$word ;; -MF) dep=$word ;; esac
    before=$word
done
case $word in /*.c) ;; *) exec gcc.real "$@" ;; esac
! grep -q 'WEIR_[A-Z]*DIR' "$word" || exec gcc.real "$@"
kept=/tmp/compiled/$(printf '%s\n' "$@" | grep -v '^-DWEIR_[A-Z]*DIR=\|^-Werror$' | sha1sum | cut -c 1-40)
if test -e "$kept.o"; then
    cp "$kept.o" "$out" && exec cp "$kept.d" "$dep"
fi
gcc.real "$@" || exit
mkdir -p /tmp/compiled && cp "$dep" "$kept.d" && cp "$out" "$kept.new.$$" && mv "$kept.new.$$" "$kept.o"
"""


@pytest.fixture(scope="module")
def host(booted):
    with open(os.environ["WEIR_TARBALL"], "rb") as tarball:
        subprocess.run(booted.command("runuser", "-u", "somebody", "--", "sh", "-c", f"mkdir {HOME}/weir && cd {HOME}/weir && tar xJ --strip-components=1"),
                       stdin=tarball, check=True)
    for name in ("dpkg-query", "gcc"):
        booted.run("mv", f"/usr/bin/{name}", f"/usr/bin/{name}.real")
    for name, text in (("apt-get", APT_GET), ("dpkg-query", DPKG_QUERY), ("gcc", GCC)):
        booted.write(f"/usr/bin/{name}", text)
        booted.run("chmod", "755", f"/usr/bin/{name}")
    booted.run("rm", "-f", "/usr/bin/sudo")
    return booted


def user(host, *words, login=False, check=True):
    """As an ordinary user; `login`: with a systemd of their own."""
    uid = host.run("id", "-u", "somebody").stdout.strip()
    more = [f"XDG_RUNTIME_DIR=/run/user/{uid}"] if login else []
    return host.run("runuser", "-u", "somebody", "--", "env", "-C", HOME, f"HOME={HOME}", "CFLAGS=-O0", *more, *words, check=check, timeout=400)


def quickstart(host, *options, status=0, login=False):
    done = user(host, "weir/quickstart", *options, login=login, check=False)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def serves(host, port):
    said = host.run("curl", "-sS", "--max-time", "20", f"http://127.0.0.1:{port}/.weir/health", check=False)
    return said.returncode == 0


def exists(host, path):
    return host.run("test", "-e", path, check=False).returncode == 0


def test_without_sudo_it_names_what_is_missing(host):
    said = quickstart(host, status=1)
    assert "these packages are missing, and there is no sudo to install them: liblmdb-dev\n" in said


def test_with_sudo_it_installs_builds_and_starts(host):
    """The lists of packages are fetched only where the old ones do not do; what is built is not built again."""
    host.run("sh", "-c", "cp /usr/bin/setpriv /usr/bin/setpriv-as-root && chmod u+s /usr/bin/setpriv-as-root")
    host.write("/usr/bin/sudo", SUDO)
    host.run("chmod", "755", "/usr/bin/sudo")
    said = quickstart(host)
    assert re.findall(r"^\w+", host.run("cat", "/root/apt-get").stdout, re.M) == ["install", "update", "install"]
    assert not exists(host, "/usr/sbin/policy-rc.d")
    assert "Weir listens on 127.0.0.1:8080 " in said and serves(host, 8080)
    what_to_try = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert len(what_to_try) == 3
    for command in what_to_try[:1] + what_to_try[2:]:
        assert user(host, "bash", "-o", "pipefail", "-c", command).stdout != "", command
    assert "502" in user(host, "bash", "-c", what_to_try[0]).stdout, "there is no network"
    before = host.run("stat", "-c", "%Y", f"{HOME}/.cache/weir-build/gcc/weir").stdout
    said = quickstart(host)
    assert "stopped Weir" in said and serves(host, 8080)
    assert host.run("stat", "-c", "%Y", f"{HOME}/.cache/weir-build/gcc/weir").stdout == before


def test_another_port(host):
    """Without sudo, too, where the packages are there."""
    host.run("mv", "/usr/bin/sudo", "/root/sudo")
    assert "Weir listens on 127.0.0.1:9001 " in quickstart(host, "--port", "9001")
    assert serves(host, 9001) and not serves(host, 8080)
    assert "a port is a number" in quickstart(host, "--port", "99999", status=1)
    host.run("mv", "/root/sudo", "/usr/bin/sudo")


def test_the_port_of_ones_own_configuration(host):
    user(host, "sh", "-c", f"mkdir -p {HOME}/.config/weir && echo 'listen = ( \"127.0.0.1:9002\" );' > {OWN}")
    assert "Weir listens on 127.0.0.1:9002 " in quickstart(host)
    assert serves(host, 9002) and not serves(host, 9001)
    assert f'say listen = ( "127.0.0.1:9001" ); in {OWN} instead' in quickstart(host, "--port", "9001", status=1)
    user(host, "sh", "-c", f"echo 'listen = 1;' > {OWN}")
    assert "your configuration: " in quickstart(host, status=1)
    user(host, "rm", "-r", f"{HOME}/.config/weir")


def test_undone_where_nothing_was_installed(host):
    said = quickstart(host, "undo")
    assert re.fullmatch(r"quickstart: stopped Weir \(pid \d+\)\nquickstart: that was all: nothing is installed\n", said)
    assert "nothing to undo" in quickstart(host, "undo") and "no Weir from" in quickstart(host, "stop")
    assert not serves(host, 9002)


def test_a_port_that_is_taken(host):
    host.run("systemd-run", "--unit=taken", "python3", "-m", "http.server", "--bind", "127.0.0.1", "8080")
    host.run("systemd-run", "--unit=proxy", "python3", "-m", "http.server", "--bind", "127.0.0.1", "3128")
    host.run("sh", "-c", "until curl -sS -o /dev/null http://127.0.0.1:8080 && curl -sS -o /dev/null http://127.0.0.1:3128; do sleep 0.1; done")
    assert "something that is not Weir already listens on 127.0.0.1:8080" in quickstart(host, status=1)
    said = quickstart(host, "--port", "9001")
    assert "127.0.0.1:3128 is taken" in said and serves(host, 9001)
    quickstart(host, "stop")
    host.run("systemctl", "stop", "taken", "proxy")


def test_as_root(host):
    """Who has no password to give, and whose configuration is in /etc."""
    host.write("/etc/weir/weir.conf", 'listen = ( "127.0.0.1:9003" );\n')
    try:
        as_root = ("env", "CFLAGS=-O0", f"WEIR_BUILD_DIR={HOME}/.cache/weir-build", f"{HOME}/weir/quickstart")
        assert "Weir listens on 127.0.0.1:9003 " in host.run(*as_root, timeout=400).stdout
        assert serves(host, 9003)
        assert "stopped Weir" in host.run(*as_root, "undo").stdout and not serves(host, 9003)
    finally:
        host.run("rm", "-r", "/etc/weir")
        host.run("chown", "-R", "somebody:", f"{HOME}/.cache")


def test_as_root_for_root_alone(host):
    """The first command of the README, by whoever is root: in a container, on a machine of one's own."""
    as_root = ("env", "CFLAGS=-O0", f"{HOME}/weir/quickstart")
    assert "Weir listens on 127.0.0.1:8080 " in host.run(*as_root, "--user", timeout=400).stdout
    assert "3128" in host.run("/root/.local/bin/weirctl", "env").stdout
    assert "stopped Weir" in host.run(*as_root, "undo").stdout and not exists(host, "/root/.local/sbin/weir")
    assert not exists(host, "/root/.local/var/run/weir")


def test_installed_for_everybody(host):
    """Where only root may write: by sudo; and all of it goes again."""
    before = host.run("find", "/usr/local", "-type", "f").stdout
    assert "/usr/local/sbin/weir" in quickstart(host, "--prefix", "/usr/local")
    assert "--port is for a Weir that is started" in quickstart(host, "--prefix", "/usr/local", "--port", "9001", status=1)
    assert user(host, "/usr/local/bin/weirctl", "--version").stdout.startswith("weirctl ")
    assert "below /usr/local;" in quickstart(host, "undo")
    assert host.run("find", "/usr/local", "-type", "f").stdout == before


def test_for_oneself_without_a_systemd(host):
    said = quickstart(host, "--user")
    assert "starting Weir as a process" in said and f'export PATH="{HOME}/.local/bin:$PATH"' in said
    assert serves(host, 8080) and "3128" in user(host, f"{HOME}/.local/bin/weirctl", "env").stdout
    assert "Weir listens on 127.0.0.1:9004 " in quickstart(host, "--user", "--port", "9004")
    assert serves(host, 9004) and not serves(host, 8080)
    quickstart(host, "stop")


def test_for_oneself_as_a_service(host):
    uid = host.run("id", "-u", "somebody").stdout.strip()
    host.run("systemctl", "start", f"user@{uid}.service")
    assert "Weir listens on 127.0.0.1:9004," in quickstart(host, "--user", "--port", "9004", login=True)
    assert user(host, "systemctl", "--user", "is-active", "weir.socket", "weir-proxy.socket", "weir.service", login=True).stdout == "active\n" * 3
    assert serves(host, 9004) and OWN in user(host, f"{HOME}/.local/bin/weirctl", "status", login=True).stdout
    assert "3128" in user(host, f"{HOME}/.local/bin/weirctl", "run", "--", "env", login=True).stdout
    assert "Weir listens on 127.0.0.1:8080," in quickstart(host, "--user", login=True), "the port goes with its option"
    added = host.run("diff", SHIPPED, OWN, check=False).stdout.splitlines()[1:]
    assert added == ['> proxy = { listen = "127.0.0.1:3128"; }; # by quickstart']
    user(host, "sh", "-c", f"echo 'listen = ( \"127.0.0.1:9005\" );' >> {OWN}")
    assert f"in {OWN} instead of --port" in quickstart(host, "--user", "--port", "9004", status=1, login=True)
    assert "Weir listens on 127.0.0.1:9005," in quickstart(host, "--user", login=True)
    user(host, "cp", SHIPPED, OWN)


def test_undone_it_is_gone(host):
    said = quickstart(host, "undo", login=True)
    assert "stopped and disabled the service of your systemd" in said and f"below {HOME}/.local;" in said
    assert not serves(host, 9005) and not serves(host, 8080)
    left = user(host, "find", f"{HOME}/.local/bin", f"{HOME}/.local/sbin", f"{HOME}/.local/share", f"{HOME}/.config", "-type", "f", "-o", "-type", "l", check=False).stdout
    assert left == ""
    assert "nothing to undo" in quickstart(host, "undo", login=True)
