"""The RPM: built by Debian's rpmbuild out of the tarball, installed with a database of its own on the machine that is
booted, upgraded while it is asked, and removed."""
import pytest

import packages
from machine import UPSTREAM, cache_status, get, lost_while, main_pid, unit

RPM = ("rpm", "--force-debian", "--nodeps")


@pytest.fixture(scope="module")
def host(there, tmp_path_factory):
    there.bring("/root/weir.rpm", packages.build_rpm(tmp_path_factory.mktemp("rpm")))
    return there


def test_installed_it_is_there_and_unasked_it_does_not_run(host):
    host.untouched = host.files()
    host.run(*RPM, "-i", "/root/weir.rpm")
    assert host.run("getent", "passwd", "weir").stdout.endswith(":/var/lib/weir:/sbin/nologin\n")
    assert host.run("stat", "-c", "%U %a", "/run/weir").stdout == "root 755\n"
    assert unit(host, "ActiveState") == "inactive"
    assert host.run(*RPM, "-V", "weir").stdout == ""


def test_enabled_it_serves(host):
    host.write("/etc/weir/conf.d/test.conf", UPSTREAM)
    host.run("systemctl", "enable", "--now", "weir.socket", "weir-admin.socket", "weir-query.socket", "weir.service")
    assert "fwd=uri-miss" in cache_status(get(host, "/test/cached/of-the-rpm"))
    assert "hit" in cache_status(get(host, "/test/cached/of-the-rpm"))
    assert host.run("ps", "-o", "user=", "-p", main_pid(host)).stdout.strip() == "weir"


def test_an_upgrade_loses_no_request_and_keeps_the_configuration(host):
    host.write("/etc/weir/weir.conf", host.run("cat", "/etc/weir/weir.conf").stdout + "# mine\n")
    pid = main_pid(host)
    assert lost_while(host, *RPM, "-U", "--force", "/root/weir.rpm") == ""
    assert main_pid(host) != pid
    assert host.run("tail", "-n", "1", "/etc/weir/weir.conf").stdout == "# mine\n"
    assert "hit" in cache_status(get(host, "/test/cached/of-the-rpm"))


def test_removed_nothing_runs_and_what_was_changed_is_kept(host):
    host.run(*RPM, "-e", "weir")
    assert host.run("systemctl", "is-active", "weir.service", "weir.socket", "weir-admin.socket", "weir-query.socket",
                    check=False).stdout.split() == ["inactive"] * 4
    expected = ("/var/lib/rpm", "/var/lib/weir", "/var/cache/weir", "/var/log/weir",
                "/usr/share/licenses", "/usr/share/zsh/site-functions")     # folders that Fedora's own packages bring
    left = sorted(name for name in host.files() - host.untouched if not name.startswith(expected))
    assert left == ["/etc/weir", "/etc/weir/conf.d", "/etc/weir/conf.d/test.conf", "/etc/weir/weir.conf.rpmsave"]
