"""debian/tests, run as the archive runs them: by autopkgtest, on the machine that is booted."""
import os

import pytest


@pytest.fixture(scope="module")
def summary(there, package):
    """What it says of each test.  There is no network: of packages there are those that are installed, and ours."""
    there.bring("/root/weir.deb", package)
    there.bring("/root/weir.tar.xz", os.environ["WEIR_TARBALL"])
    there.run("sh", "-c", "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*; mkdir /root/source && "
              "tar xf /root/weir.tar.xz --strip-components=1 -C /root/source")
    done = there.run("autopkgtest", "--no-built-binaries", "--ignore-restrictions=isolation-container,breaks-testbed",
                     "--output-dir=/root/autopkgtest", "/root/weir.deb", "/root/source/", "--", "null", check=False, timeout=500)
    print(done.stdout, done.stderr)
    return dict(line.split(None, 1) for line in there.run("cat", "/root/autopkgtest/summary").stdout.splitlines())


def test_what_is_installed_serves_and_is_upgraded(summary):
    assert summary["installed"] == "PASS"


def test_what_is_purged_is_gone(summary):
    assert summary["purged"] == "PASS"
