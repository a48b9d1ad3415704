"""The Debian package: built, looked at, installed on a machine that is booted for it, upgraded while it is asked,
removed and purged."""
import hashlib
import os
import re
import subprocess
import time

import pytest

import packages
from machine import UPSTREAM, as_somebody, cache_status, get, lost_while, main_pid, restart, unit, until


# -- what it is -------------------------------------------------------------------------


def test_lintian_has_nothing_to_say(built):
    said = subprocess.run(["lintian", "--allow-root", "--display-info", "--pedantic", "--fail-on", "none", *built.glob("*.changes")],
                          text=True, capture_output=True, check=True)
    assert [line for line in said.stdout.splitlines() if line[:2] in ("E:", "W:", "I:", "P:")] == []


def test_built_in_another_folder_it_is_the_same_bytes(built, tmp_path_factory):
    again = packages.build_deb(tmp_path_factory.mktemp("two") / "somewhere-else")
    digest = {name: hashlib.sha256((again / name).read_bytes()).hexdigest() for name in os.listdir(again) if name.endswith(".deb")}
    assert len(digest) == 2
    assert digest == {name: hashlib.sha256((built / name).read_bytes()).hexdigest() for name in digest}


def test_it_is_small_and_its_symbols_are_apart(package):
    """Of its 570 KiB the daemon takes 430 and weirctl 90, most of it code, which is compiled for size."""
    assert package.stat().st_size < 600 * 1024
    assert list(package.parent.glob("weir-dbgsym_*.deb"))


def test_it_needs_nothing_but_debians_main(package):
    """A section of another part of the archive has its name before it: contrib/net."""
    needs = subprocess.run(["dpkg-deb", "-f", package, "Depends"], text=True, capture_output=True, check=True).stdout
    names = re.findall(r"(?:^|[,|]) *([a-z0-9.+-]+)", needs)
    shown = subprocess.run(["apt-cache", "show", *names], text=True, capture_output=True, check=False).stdout
    sections = dict(re.findall(r"^Package: (.*?)$.*?^Section: (.*?)$", shown, re.M | re.S))
    assert len(sections) > 5
    assert [name for name in names if "/" in sections.get(name, "")] == []


def test_the_unit_exposes_no_more_than_it_says(package, tmp_path):
    """13 is 1.3: sockets, the local clients' names (PrivateUsers, netlink) and the network are its work."""
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    unit = tmp_path / "lib/systemd/system/weir.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=13", unit], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


# -- what it does -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(there, before, package):
    there.bring("/root/before.deb", before)
    there.bring("/root/after.deb", package)
    there.untouched = there.files()
    return there


def test_installed_it_runs_and_a_second_answer_is_a_hit(host):
    began = time.monotonic()
    host.run("dpkg", "-i", "/root/before.deb")
    host.write("/etc/weir/conf.d/test.conf", UPSTREAM)
    host.run("systemctl", "reload", "weir")
    assert "fwd=uri-miss" in cache_status(get(host, "/test/cached"))
    assert "hit" in cache_status(get(host, "/test/cached"))
    print(f"from the package to the first hit: {time.monotonic() - began:.1f} s")


def test_it_runs_as_its_own_user_and_its_directories_are_its_own(host):
    assert host.run("ps", "-o", "user=", "-p", main_pid(host)).stdout.strip() == "weir"
    for folder in ("/var/lib/weir", "/var/cache/weir"):
        assert host.run("stat", "-c", "%U %a", folder).stdout.split() == ["weir", "700"]


def test_anybody_may_ask_how_it_is_and_the_group_may_change_it(host):
    assert "test" in as_somebody(host, "weirctl", "status").stdout
    assert as_somebody(host, "weirctl", "mode", "test", "offline", check=False).returncode != 0
    host.run("usermod", "-a", "-G", "weir", "somebody")
    as_somebody(host, "weirctl", "mode", "test", "offline")
    as_somebody(host, "weirctl", "mode", "test", "live")


def test_a_program_is_run_through_it(host):
    host.run("systemctl", "enable", "weir-proxy.socket")
    restart(host)
    said = as_somebody(host, "weirctl", "run", "--", "curl", "-sSi", "http://127.0.0.1:9000/cached/run", check=False)
    assert said.returncode == 0, said.stderr


def test_what_it_says_is_in_the_journal_with_its_fields(host):
    before = host.run("cat", "/etc/weir/weir.conf").stdout
    host.write("/etc/weir/weir.conf", before + 'log = { access = "journal"; };\n')
    restart(host)
    get(host, "/test/cached/of-the-journal")
    until(lambda: host.run("journalctl", "-t", "weir-access", "WEIR_STATUS=200", "WEIR_UPSTREAM=test", "-o", "json", check=False).stdout)
    host.write("/etc/weir/weir.conf", before)
    restart(host)


def test_a_user_has_one_of_their_own(host):
    """Started by the first who connects, with what is built in."""
    host.run("systemctl", "stop", "weir.socket", "weir-proxy.socket", "weir.service")
    uid = host.run("id", "-u", "somebody").stdout.strip()
    host.run("systemctl", "start", f"user@{uid}.service")

    def ctl(*words):
        return as_somebody(host, "env", f"XDG_RUNTIME_DIR=/run/user/{uid}", *words, check=False).stdout
    assert ctl("systemctl", "--user", "is-active", "weir.socket") == "inactive\n", "nobody has one unasked"
    ctl("systemctl", "--user", "enable", "--now", "weir.socket")
    assert "inat" in get(host, "/.weir/health") + ctl("weirctl", "status")
    assert ctl("systemctl", "--user", "is-active", "weir.service") == "active\n"
    ctl("systemctl", "--user", "enable", "weir-proxy.socket")
    ctl("systemctl", "--user", "restart", "weir.service")
    assert ctl("systemctl", "--user", "is-active", "weir.service", "weir-proxy.socket") == "active\nactive\n"
    host.run("systemctl", "stop", f"user@{uid}.service")
    host.run("systemctl", "start", "weir.socket", "weir-proxy.socket", "weir.service")


def test_systemd_knows_when_a_reload_is_over(host):
    """A signal sent by hand is no job of systemd's: the unit leaves its state and comes back as the daemon says."""
    def reload_as(text):
        changed = unit(host, "StateChangeTimestampMonotonic")
        host.write("/etc/weir/conf.d/test.conf", text)
        host.run("kill", "-HUP", main_pid(host))
        until(lambda: unit(host, "StateChangeTimestampMonotonic") != changed and unit(host, "SubState") == "running")
        return as_somebody(host, "weirctl", "status").stdout
    assert "another" in reload_as(UPSTREAM.replace('"test"', '"another"'))
    assert "another" in reload_as("upstreams = ("), "what cannot be read changes nothing"
    assert "another" not in reload_as(UPSTREAM)


def test_the_boot_is_known_though_nothing_of_the_kernel_is(host):
    assert host.run("nsenter", "-t", main_pid(host), "-m", "test", "-e", "/proc/sys", check=False).returncode != 0
    told = re.search("WEIR_BOOT_ID=([0-9a-f]{32})", host.run("cat", f"/proc/{main_pid(host)}/environ").stdout)[1]
    assert told == host.run("cat", "/proc/sys/kernel/random/boot_id").stdout.strip().replace("-", "")


def test_the_access_log_is_rotated(host):
    """By a timer of logrotate's own, as its package brings it: as root, with what other packages bring."""
    before = host.run("cat", "/etc/weir/weir.conf").stdout
    host.write("/etc/weir/weir.conf", before + 'log = { access = "/var/log/weir/access.log"; };\n')
    restart(host)

    def rotate():
        host.run("logrotate", "--force", "--state", "/root/logrotate.state", "/etc/logrotate.d/weir")

    def ask(path):
        get(host, f"/test{path}")
        until(lambda: path in host.run("cat", "/var/log/weir/access.log").stdout)
    ask("/cached/one")
    rotate()
    ask("/cached/two")
    assert "/cached/one" not in host.run("cat", "/var/log/weir/access.log").stdout
    assert "/cached/one" in host.run("cat", "/var/log/weir/access.log.1").stdout
    rotate()
    assert "/cached/one" in host.run("zcat", "/var/log/weir/access.log.2.gz").stdout
    assert set(host.run("stat", "-c", "%U", "/var/log/weir/access.log", "/var/log/weir/access.log.1").stdout.split()) == {"weir"}
    host.run("systemctl", "stop", "weir")
    host.run("sh", "-c", "echo more >> /var/log/weir/access.log")
    rotate()
    assert unit(host, "ActiveState") == "inactive", "a daemon that was stopped is not started for its log"
    host.write("/etc/weir/weir.conf", before)
    restart(host)


def test_a_daemon_that_hangs_is_started_again(host):
    """systemd is told every now and then that it lives; stopped, it says nothing, and is killed."""
    host.run("sh", "-c", "mkdir -p /run/systemd/system/weir.service.d && "
             "printf '[Service]\\nWatchdogSec=1s\\n' > /run/systemd/system/weir.service.d/quick.conf && systemctl daemon-reload")
    restart(host)
    pid = main_pid(host)
    host.run("kill", "-STOP", pid)
    until(lambda: unit(host, "MainPID") not in (pid, "0"))
    host.run("sh", "-c", "rm -r /run/systemd/system/weir.service.d && systemctl daemon-reload && systemctl restart weir")
    assert "hit" in cache_status(get(host, "/test/cached"))


def test_an_upgrade_loses_no_request(host):
    host.write("/etc/weir/weir.conf", host.run("cat", "/etc/weir/weir.conf").stdout + "# mine\n")
    pid = main_pid(host)
    assert lost_while(host, "dpkg", "--force-confold", "-i", "/root/after.deb") == ""
    assert main_pid(host) != pid
    assert host.run("tail", "-n", "1", "/etc/weir/weir.conf").stdout == "# mine\n"
    assert "hit" in cache_status(get(host, "/test/cached"))


def test_removed_it_is_gone_and_purged_nothing_is_left(host):
    host.run("dpkg", "-r", "weir")
    assert host.run("systemctl", "is-active", "weir.service", "weir.socket", check=False).stdout.split() == ["inactive", "inactive"]
    assert host.run("tail", "-n", "1", "/etc/weir/weir.conf").stdout == "# mine\n"
    host.run("rm", "/etc/weir/conf.d/test.conf")
    host.run("dpkg", "-P", "weir")
    assert sorted(host.files() - host.untouched) == []
    assert host.run("getent", "passwd", "weir", check=False).returncode != 0
