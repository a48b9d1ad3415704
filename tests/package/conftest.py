"""What is built once, and the machine that it is installed on, for all files of tests here."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import machine
import packages

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    if "WEIR_BUILT" in os.environ:
        return pathlib.Path(os.environ["WEIR_BUILT"])
    return packages.build_deb(tmp_path_factory.mktemp("one") / "weir")


@pytest.fixture(scope="session")
def package(built):
    return next(built.glob("weir_*.deb"))


@pytest.fixture(scope="session")
def before(package, tmp_path_factory):
    """The version before: the same, by its number."""
    folder = tmp_path_factory.mktemp("before")
    subprocess.run(["dpkg-deb", "-R", package, folder / "tree"], check=True)
    control = folder / "tree/DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 0.0.1", control.read_text(), flags=re.M))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder / "tree", folder / "weir_0.0.1.deb"], check=True, stdout=subprocess.DEVNULL)
    return folder / "weir_0.0.1.deb"


@pytest.fixture(scope="module")
def booted():
    """A machine of its own for each file, with a user: what one leaves is nothing to another."""
    reason = machine.why_not()
    if reason:
        pytest.skip(reason)
    folder = pathlib.Path(os.environ["WEIR_PACKAGE_DIR"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    host = machine.Machine(folder / "machine")
    try:
        host.run("useradd", "--create-home", "somebody")
        yield host
    finally:
        host.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def there(booted):
    """With an API, and somebody who asks it."""
    for name in ("origin", "asking"):
        booted.write(f"/root/{name}.py", (HERE / f"{name}.py").read_text())
    booted.run("systemd-run", "--unit=origin", "python3", "/root/origin.py")
    return booted
