"""The container: its Containerfile is carried out on the machine that is booted, and what it makes is run as an engine runs
it, as its user, with a root that is only read.  The compose example is read by those whom its files are for."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import container
from machine import UPSTREAM, cache_status, get, until

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = SOURCE / "packaging"


@pytest.fixture(scope="module")
def image(there):
    """Out of the tarball; without optimisation, since only what it does is tried."""
    there.bring("/root/weir.tar.xz", os.environ["WEIR_TARBALL"])
    there.run("sh", "-c", "mkdir -p /tmp/box/context && tar xf /root/weir.tar.xz --strip-components=1 -C /tmp/box/context")
    there.bring("/root/contain", pathlib.Path(__file__).with_name("contain"))
    there.run("chmod", "755", "/root/contain")
    made = container.Image(there, "/tmp/box", "/tmp/box/context", (PACKAGING / "Containerfile").read_text(),
                           {"BASE": "this", "CFLAGS": "-O0", "OPTIONS": ""})
    there.write("/tmp/box/context/test.conf", UPSTREAM)
    yield made
    made.remove()
    there.run("rm", "-rf", "/tmp/box")


@pytest.fixture(scope="module")
def box(image):
    image.host.run("cp", "/tmp/box/context/test.conf", f"{image.root}/etc/weir/conf.d/test.conf")
    image.start("box")
    until(lambda: image.first("box") and image.inside(image.first("box"), *image.config["HEALTHCHECK"], check=False).returncode == 0)
    yield image.first("box")
    image.stop("box")


def test_what_it_is_linked_with_is_what_it_installs(image):
    needs = image.host.run("cat", f"{image.root}/usr/share/weir/packages").stdout.split()
    assert {"libmicrohttpd12", "libcurl4", "liblmdb0", "libc6"} <= set(needs)
    assert [name for name in needs if not re.fullmatch("[a-z0-9.+-]+", name)] == []
    linked = image.host.run("sh", "-c", f"ldd {image.root}/usr/sbin/weir {image.root}/usr/bin/weirctl").stdout
    assert "not found" not in linked


def test_it_serves_as_a_user_of_numbers_on_a_root_that_is_only_read(image, box):
    assert "fwd=uri-miss" in cache_status(get(image.host, "/test/cached/box"))
    assert "hit" in cache_status(get(image.host, "/test/cached/box"))
    status = image.host.run("cat", f"/proc/{box}/status").stdout
    assert re.search(r"Uid:\t8080\t8080\t8080\t8080\nGid:\t8080\t8080", status)
    assert re.search(r"CapBnd:\t0+\n", status) and re.search(r"NoNewPrivs:\t1\n", status)
    assert re.search(r"NSpid:.*\t1\n", status), "it is the first process of its own"
    for folder in ("/", "/etc/weir", "/usr/sbin", "/tmp"):
        assert image.inside(box, "touch", f"{folder}/x", check=False).returncode != 0, folder


def test_weirctl_says_inside_how_it_is(image, box):
    assert json.loads(image.inside(box, "weirctl", "--json", "status").stdout)["version"]
    assert "test" in image.inside(box, "weirctl", "limits").stdout


def test_other_containers_call_it_by_its_name_and_others_do_not(image, box):
    def by(host):
        return get(image.host, "/test/cached/box", "-H", f"Host: {host}").split()[1]
    assert (by("weir:8080"), by("evil.example:8080")) == ("200", "403")
    metrics = image.host.run("curl", "-sS", "-H", "Host: weir:9464", "http://127.0.0.1:9464/metrics").stdout
    assert "weir_build_info" in metrics


def test_a_signal_reads_its_configuration_anew_and_another_ends_it(image, box):
    image.host.write(f"{image.root}/etc/weir/conf.d/more.conf", UPSTREAM.replace('"test"', '"another"'))
    image.host.run("kill", "-HUP", box)
    until(lambda: "another" in image.inside(box, "weirctl", "limits").stdout)
    slow = image.host.start("curl", "-sS", "http://127.0.0.1:8080/test/slow/2/box", stdout=subprocess.PIPE)
    until(lambda: any(up["in_flight"] for up in json.loads(image.inside(box, "weirctl", "--json", "status").stdout)["upstreams"]))
    image.host.run("kill", f"-{image.config['STOPSIGNAL'].removeprefix('SIG')}", box)
    assert slow.communicate(timeout=60)[0].strip().isdigit(), "what was in flight has its answer"

    def after(what):
        return image.host.run("systemctl", "show", "-P", what, "box").stdout.strip()
    until(lambda: after("SubState") == "exited")
    assert after("ExecMainStatus") == "0"


def test_it_goes_on_with_what_its_volumes_keep(image, box):
    image.host.run("systemctl", "stop", "box")
    image.start("box")
    until(lambda: image.first("box") and image.inside(image.first("box"), *image.config["HEALTHCHECK"], check=False).returncode == 0)
    assert "hit" in cache_status(get(image.host, "/test/cached/box"))


# -- the example with Prometheus and Grafana --------------------------------------------


def compose():
    done = subprocess.run(["docker-compose", "-f", PACKAGING / "compose.yml", "config"], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return (PACKAGING / "compose.yml").read_text()


def test_compose_takes_its_file_and_what_it_mounts_is_there():
    mounts = re.findall(r"- (\.[^:\n]*):", compose())
    assert len(mounts) >= 6
    assert [path for path in mounts if not (PACKAGING / path).exists()] == ["./conf.d"], "which the reader makes"


def test_compose_publishes_on_loopback_alone():
    ports = re.findall(r'ports: \["(.*?)"\]', compose())
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_takes_its_configuration(tmp_path):
    shutil.copy(PACKAGING / "prometheus.yml", tmp_path)
    shutil.copy(SOURCE / "etc/prometheus/weir.rules.yml", tmp_path)
    done = subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weir:9464" in (tmp_path / "prometheus.yml").read_text()
