"""The Debian package: built, looked at, installed on a machine that is booted for it, upgraded while it is asked,
removed and purged."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

import machine

SOURCE = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent
UPSTREAM = 'upstreams = ( { name = "test"; url = "http://127.0.0.1:9000"; limits = ( "100000/s" ); } );\n'


def build(folder, tarball):
    """Out of what is packed for others, so that nothing of this tree is needed."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "xf", tarball, "--strip-components=1", "-C", str(folder)], check=True)
    with open(folder.parent / "build.log", "wb") as log:
        done = subprocess.run(["dpkg-buildpackage", "-us", "-uc"], cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                              stderr=log, check=False, env={**os.environ, "DEB_BUILD_OPTIONS": f"nocheck parallel={os.cpu_count()}"})
    assert done.returncode == 0, (folder.parent / "build.log").read_text()[-3000:]
    return folder.parent


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    if "WEIR_BUILT" in os.environ:
        return pathlib.Path(os.environ["WEIR_BUILT"])
    return build(tmp_path_factory.mktemp("one") / "weir", os.environ["WEIR_TARBALL"])


@pytest.fixture(scope="session")
def package(built):
    return next(built.glob("weir_*.deb"))


@pytest.fixture(scope="session")
def before(built, package, tmp_path_factory):
    """The version before: the same, by its number."""
    folder = tmp_path_factory.mktemp("before")
    subprocess.run(["dpkg-deb", "-R", package, folder / "tree"], check=True)
    control = folder / "tree/DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 0.0.1", control.read_text(), flags=re.M))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder / "tree", folder / "weir_0.0.1.deb"], check=True, stdout=subprocess.DEVNULL)
    return folder / "weir_0.0.1.deb"


# -- what it is -------------------------------------------------------------------------


def test_lintian_has_nothing_to_say(built):
    said = subprocess.run(["lintian", "--allow-root", "--display-info", "--pedantic", "--fail-on", "none", *built.glob("*.changes")],
                          text=True, capture_output=True, check=True)
    assert [line for line in said.stdout.splitlines() if line[:2] in ("E:", "W:", "I:", "P:")] == []


def test_built_in_another_folder_it_is_the_same_bytes(built, tmp_path_factory):
    again = build(tmp_path_factory.mktemp("two") / "somewhere-else", os.environ["WEIR_TARBALL"])
    digest = {name: hashlib.sha256((again / name).read_bytes()).hexdigest() for name in os.listdir(again) if name.endswith(".deb")}
    assert len(digest) == 2
    assert digest == {name: hashlib.sha256((built / name).read_bytes()).hexdigest() for name in digest}


def test_it_is_small_and_its_symbols_are_apart(package):
    """Of its 540 KiB the daemon takes 410 and weirctl 85."""
    assert package.stat().st_size < 560 * 1024
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
    """15 is 1.5: sockets, the local clients' names (ProtectProc, PrivateUsers, netlink) and the network are its work."""
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    unit = tmp_path / "lib/systemd/system/weir.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15", unit], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


# -- what it does -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(before, package):
    reason = machine.why_not()
    if reason:
        pytest.skip(reason)
    folder = pathlib.Path(os.environ["WEIR_PACKAGE_DIR"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    there = machine.Machine(folder / "machine")
    try:
        there.write("/root/before.deb", "")
        for name, deb in (("before", before), ("after", package)):
            subprocess.run(there.command("sh", "-c", f"cat > /root/{name}.deb"), stdin=open(deb, "rb"), check=True)
        for name in ("origin", "asking"):
            there.write(f"/root/{name}.py", (HERE / f"{name}.py").read_text())
        there.run("systemd-run", "--unit=origin", "python3", "/root/origin.py")
        there.run("useradd", "--create-home", "somebody")
        there.untouched = there.files()
        yield there
    finally:
        there.stop()
        shutil.rmtree(folder, ignore_errors=True)


def get(host, path, *options):
    return host.run("curl", "-sS", "-i", "--max-time", "60", *options, f"http://127.0.0.1:8080{path}").stdout


def cache_status(answer):
    return re.search(r"(?im)^cache-status: weir; (.*?)\r?$", answer)[1]


def as_somebody(host, *words, check=True):
    return host.run("runuser", "-u", "somebody", "--", *words, check=check)


def main_pid(host):
    return host.run("systemctl", "show", "-P", "MainPID", "weir").stdout.strip()


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "not within a minute"
        time.sleep(0.1)


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
    host.run("systemctl", "restart", "weir")
    said = as_somebody(host, "weirctl", "run", "--", "curl", "-sSi", "http://127.0.0.1:9000/cached/run", check=False)
    assert said.returncode == 0, said.stderr


def test_what_it_says_is_in_the_journal_with_its_fields(host):
    before = host.run("cat", "/etc/weir/weir.conf").stdout
    host.write("/etc/weir/weir.conf", before + 'log = { access = "journal"; };\n')
    host.run("systemctl", "restart", "weir")
    get(host, "/test/cached/of-the-journal")
    until(lambda: host.run("journalctl", "-t", "weir-access", "WEIR_STATUS=200", "WEIR_UPSTREAM=test", "-o", "json", check=False).stdout)
    host.write("/etc/weir/weir.conf", before)
    host.run("systemctl", "restart", "weir")


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


def test_a_daemon_that_hangs_is_started_again(host):
    """systemd is told every now and then that it lives; stopped, it says nothing, and is killed."""
    host.run("sh", "-c", "mkdir -p /run/systemd/system/weir.service.d && "
             "printf '[Service]\\nWatchdogSec=1s\\n' > /run/systemd/system/weir.service.d/quick.conf && systemctl daemon-reload")
    host.run("systemctl", "restart", "weir")
    pid = main_pid(host)
    host.run("kill", "-STOP", pid)
    until(lambda: main_pid(host) not in (pid, "0"))
    host.run("sh", "-c", "rm -r /run/systemd/system/weir.service.d && systemctl daemon-reload && systemctl restart weir")
    assert "hit" in cache_status(get(host, "/test/cached"))


def test_an_upgrade_loses_no_request(host):
    host.write("/etc/weir/weir.conf", host.run("cat", "/etc/weir/weir.conf").stdout + "# mine\n")
    pid = main_pid(host)
    asking = host.start("python3", "/root/asking.py", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert asking.stdout.readline() == "asking\n"
    said = host.run("dpkg", "--force-confold", "-i", "/root/after.deb")
    count, lost = asking.communicate("stop\n", timeout=120)[0].split("\n", 1)
    assert lost.strip() == ""
    assert int(count) > 20
    assert main_pid(host) != pid, said.stdout
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
