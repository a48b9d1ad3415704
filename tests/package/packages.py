"""Packages, out of what is packed for others, so that nothing of this tree is needed."""
import os
import pathlib
import shutil
import subprocess


def tarball():
    return os.environ["WEIR_TARBALL"]


def run(command, folder, log, **environment):
    with open(log, "wb") as out:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False,
                              env={**os.environ, **environment})
    assert done.returncode == 0, log.read_text(errors="replace")[-3000:]


def build_deb(folder):
    folder.mkdir(parents=True)
    subprocess.run(["tar", "xf", tarball(), "--strip-components=1", "-C", str(folder)], check=True)
    run(["dpkg-buildpackage", "-us", "-uc"], folder, folder.parent / "build.log", DEB_BUILD_OPTIONS=f"nocheck parallel={os.cpu_count()}")
    return folder.parent


def build_rpm(folder):
    """What it needs to be built stands in no database of rpm's here.  -O1, since only its installation is tried."""
    if "WEIR_BUILT" in os.environ:
        for built in pathlib.Path(os.environ["WEIR_BUILT"]).glob("RPMS/*/weir-*.rpm"):
            return built
    (folder / "SOURCES").mkdir(parents=True)
    shutil.copy(tarball(), folder / "SOURCES")
    run(["rpmbuild", "-ta", "--nodeps", f"-D_topdir {folder}", f"-D_smp_mflags -j{os.cpu_count()}", "-Ddebug_package %{nil}",
         "-Dbuild_cflags -O1", tarball()], folder, folder / "log")
    return next(folder.glob("RPMS/*/weir-*.rpm"))
