"""Disks that lie, directories that go, files that are something else (sections 5 and 7 of the contract)."""
import os
import random
import shutil

import pytest

from harness.clock import HOUR
from harness.settings import upstream
from harness.wait import until

FRESH = [("Cache-Control", "max-age=86400")]
PAGE = 4096
SMALL, LARGE = b"s" * 1000, b"L" * 300_000


def sized(request, conn):
    conn.answer(200, LARGE if "large" in request.target else SMALL, FRESH)


def filled(daemons, origin, count=40, settings=None, **more):
    d = daemons(upstream(origin, **more), settings=settings).start()
    for i in range(count):
        d.get(f"/api/{'large' if i % 10 == 0 else 'small'}/{i}")
    d.wait_stored(count)
    return d


def damage(path, chance, used):
    """As disks do it: a bit, some bytes, a page that is zero, noise or another page, the end cut off."""
    with open(path, "r+b") as file:
        for _ in range(chance.randint(1, 4)):
            page = chance.randrange(used // PAGE) * PAGE
            kind = chance.randrange(6)
            if kind == 5:
                file.truncate(page + chance.randrange(PAGE))
                return
            file.seek(page)
            content = bytearray(file.read(PAGE).ljust(PAGE, b"\0"))
            if kind == 0:
                content[chance.randrange(64)] ^= 1 << chance.randrange(8)
            elif kind == 1:
                for _ in range(16):
                    content[chance.randrange(PAGE)] = chance.randrange(256)
            elif kind == 2:
                content = bytes(PAGE)
            elif kind == 3:
                content = chance.randbytes(PAGE)
            else:
                file.seek(chance.randrange(used // PAGE) * PAGE)
                content = file.read(PAGE)
            file.seek(page)
            file.write(content)


def comes_up(d, statuses):
    """Within two starts, and goes on."""
    for _ in range(2):
        d.spawn()
        try:
            d.wait_line(r" ready\b")
            for i in range(60):
                answer = d.get(f"/api/{'large' if i % 10 == 0 else 'small'}/{i}")
                assert answer.status in statuses and (answer.status == 429 or answer.body in (SMALL, LARGE))
            assert d.ctl("flush").returncode == 0
            assert d.ctl("limits").returncode == 0
            return
        except (AssertionError, OSError):
            if d.process.poll() is None:
                raise
    raise AssertionError("it does not come up:\n" + d.stderr)


@pytest.mark.parametrize("which, statuses", [("cache", [200]), ("state", [200, 429])])
@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_database_stops_two_starts_at_most(daemons, origin, which, statuses, seed):
    origin.handler = sized
    d = filled(daemons, origin, limits=["100000/h", {"rate": "100000/day", "per": "credential"}])
    d.stop()
    path = getattr(d, which) / "data.mdb"
    damage(path, random.Random(seed * 7 + len(which)), path.stat().st_blocks * 512)
    comes_up(d, statuses)


def test_a_start_proves_itself_in_two_minutes(daemons, origin, clock):
    d = daemons(upstream(origin)).start()
    markers = [d.cache / "starting", d.state / "starting"]
    assert all(m.exists() for m in markers)
    d.kill()
    assert all(m.exists() for m in markers)
    d.start()
    clock.advance(121)
    d.ctl("reopen")                                        # wakes the main thread, whose sleep knows no fake clock
    until(lambda: not any(m.exists() for m in markers), "the markers to go")
    d.stop()
    d.start()
    assert all(m.exists() for m in markers)
    d.stop()
    assert not any(m.exists() for m in markers)


def test_what_is_lost_counts_as_spent(daemons, origin, clock):
    """The state's database is gone for good; a day later all is as it was."""
    d = daemons(upstream(origin, ttl="never", limits=["5/h", {"rate": "100/day", "per": "credential"}])).start()
    for _ in range(3):
        assert d.get("/api/x").status == 200
    d.stop()
    (d.state / "data.mdb").write_bytes(b"noise" * 20000)
    d.start()
    d.wait_line(r" warning state_set_aside note=.*data\.mdb\.damaged-")
    d.wait_line(r" warning ledger_rows_lost budget=.*counts as spent")
    assert d.get("/api/x").status == 429
    assert "counts lost" in d.ctl("limits").stdout
    clock.advance(HOUR + 60)
    d.kill()                                               # what was lost is not forgotten by that
    d.start()
    assert d.get("/api/x").status == 429                   # of the credential's day nothing is known
    clock.advance(24 * HOUR)
    assert d.get("/api/x").status == 200
    assert "counts lost" not in d.ctl("limits").stdout


def test_what_is_not_lost_is_kept(daemons, origin):
    """A page of another bucket's is noise; this one's count is in a row that can be read."""
    d = daemons(upstream(origin, ttl="never", limits=[{"rate": "50/day", "per": "credential"}])).start()
    for i in range(200):
        d.get("/api/x", fields=[("Authorization", f"Bearer {i}")])
    for _ in range(10):
        d.get("/api/x", fields=[("Authorization", "Bearer 0")])
    d.stop()
    path = d.state / "data.mdb"
    content = bytearray(path.read_bytes())
    leaves = [at for at in range(2 * PAGE, len(content), PAGE)
              if content[at + 10] == 2 and b"upstream api" in content[at:at + PAGE]]
    assert len(leaves) > 20
    content[leaves[-1]:leaves[-1] + PAGE] = b"\x55" * PAGE
    path.write_bytes(content)
    d.start()
    statuses = [d.get("/api/x", fields=[("Authorization", f"Bearer {i}")]).status for i in range(200)]
    assert statuses.count(200) > 150


FILES = ["cache/data.mdb", "cache/lock.mdb", "cache/lock", "cache/bodies", "cache/damaged", "cache/starting",
         "state/key", "state/ca.pem", "state/data.mdb"]


@pytest.mark.parametrize("name, kind", [(name, kind) for name in FILES for kind in ("fifo", "link")]
                         + [(name, "directory") for name in ("cache/data.mdb", "state/data.mdb", "state/key")])
def test_what_is_no_file(daemons, origin, tmp_path, name, kind):
    origin.handler = sized
    d = filled(daemons, origin, 10)
    d.stop()
    path = d.cache.parent / name if d.cache.name == "cache" else d.directory / name
    elsewhere = tmp_path / "elsewhere"
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(elsewhere)
    else:
        path.mkdir()
    d.start()
    for i in range(10):
        assert d.get(f"/api/{'large' if i % 10 == 0 else 'small'}/{i}").status == 200
    if name == "state/ca.pem":
        assert "ca.pem is no regular file" in d.ctl("ca").stderr
    assert not elsewhere.exists()


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_a_value_file_that_is_none(daemons, origin, tmp_path, kind):
    place = tmp_path / "token"
    if kind == "fifo":
        os.mkfifo(place)
    else:                                                  # as in a container's secrets
        (tmp_path / "..data").write_text("Bearer abc")
        place.symlink_to(tmp_path / "..data")
    d = daemons(upstream(origin, auth={"header": "Authorization", "value_file": str(place)}))
    d.spawn()
    if kind == "link":
        d.wait_line(r" ready\b")
        d.get("/api/x")
        assert origin.requests[-1].fields.get("Authorization") == "Bearer abc"
    else:
        assert d.wait_exit() == 1 and f"{place}: that is no regular file" in d.stderr, d.stderr
        d.process = None


@pytest.mark.parametrize("which, mode, refused", [("state", 0o777, True), ("state", 0o770, True), ("state", 0o755, False),
                                                  ("cache", 0o777, True), ("cache", 0o755, False)])
def test_who_may_write_there(daemons, origin, which, mode, refused):
    d = daemons(upstream(origin)).start()
    d.stop()
    place = getattr(d, which)
    place.chmod(mode)
    d.spawn()
    if refused:
        assert d.wait_exit() == 1
        assert f"{place} may be written by others (mode {mode:04o})" in d.stderr
        d.process = None
    else:
        d.wait_line(r" ready\b")


# -- the cache's directory goes while Weir runs ----------------------------------------------------------------------

def remove(d, tmp_path):
    shutil.rmtree(d.cache)


def empty(d, tmp_path):
    for entry in d.cache.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def move(d, tmp_path):
    d.cache.rename(tmp_path / "moved")


def only_the_database(d, tmp_path):
    (d.cache / "data.mdb").unlink()


def only_bodies(d, tmp_path):
    shutil.rmtree(d.cache / "bodies")


def replace_by_another(d, tmp_path):
    """As who restores a backup below a running daemon."""
    d.cache.rename(tmp_path / "moved")
    d.cache.mkdir(0o700)


WAYS = [remove, empty, move, only_the_database, only_bodies, replace_by_another]


def stays_true(d, targets):
    """Whatever said `stored` is a hit when it is asked for again, however large it is; soon all of it does."""
    def all_are_hits():
        said = {target: d.get(target).cache for target in targets}
        for target, cache in said.items():
            if not cache.hit and cache.stored:
                assert d.get(target).cache.hit, f"{target} was said to be stored"
        return all(cache.hit for cache in said.values())
    until(all_are_hits, "everything to be stored", 20)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_cache_goes_while_it_runs(daemons, origin, tmp_path, way):
    origin.handler = sized
    d = filled(daemons, origin, 20, settings={"workers": 2})
    targets = [f"/api/large/{i}" for i in range(5)] + [f"/api/small/{i}" for i in range(5)]
    way(d, tmp_path)
    stays_true(d, targets)
    if way is not only_bodies:
        d.wait_line(r" warning cache_gone path=")
        d.wait_line(r" warning cache_begun_anew path=")
        assert len([line for line in d.lines if " cache_begun_anew " in line]) == 1
        stays_true(d, targets)                             # until then, what was moved away still gave hits
    assert d.ctl_json("status")["cache"]["broken"] is False
    assert (d.cache / "data.mdb").exists()
    until(lambda: any((d.cache / "bodies").rglob("0*")), "bodies to be committed")
    d.restart()                                            # and it is on the disk
    asked = len(origin.requests)
    assert all(d.get(target).cache.hit for target in targets) and len(origin.requests) == asked


def test_it_goes_again_and_again_under_load(daemons, origin, tmp_path):
    origin.handler = sized
    d = filled(daemons, origin, 10, settings={"workers": 2})
    with d.connect() as one, d.connect() as two:
        for turn in range(8):
            shutil.rmtree(d.cache, ignore_errors=True)
            for i in range(20):
                assert one.get(f"/api/small/{turn}/{i}").status == 200
                assert two.get(f"/api/large/{i % 3}").body == LARGE
    stays_true(d, [f"/api/large/{i}" for i in range(3)])


def test_what_cannot_be_begun_is_tried_again(daemons, origin, tmp_path):
    """Where the directory was, there is a file now: no service is lost, nothing is promised, and once it is gone it goes on."""
    origin.handler = sized
    d = filled(daemons, origin, 10)
    shutil.rmtree(d.cache)
    d.cache.write_text("in the way")
    for i in range(6):
        answer = d.get(f"/api/large/new{i}")
        assert answer.body == LARGE and not answer.cache.hit and not answer.cache.stored
    assert "Not a directory" in d.wait_line(r" error cache_not_begun ")
    assert d.ctl_json("status")["cache"]["broken"] is True
    until(lambda: d.counter("store_failures") >= 5, "the failures to be counted")
    d.cache.unlink()
    until(lambda: d.get("/api/large/x").cache.hit and d.get("/api/small/x").cache.hit, "it to be stored", 20)
    assert d.ctl_json("status")["cache"]["broken"] is False


# -- body files that are not what was stored ---------------------------------------------------------------------------

def bodies(d):
    return sorted(path for path in (d.cache / "bodies").rglob("*") if path.is_file())


def own(request, conn):
    """A body of its own for each target, all of one length."""
    name = request.target.encode()
    conn.answer(200, name + bytes((i + len(name) + sum(name)) % 251 for i in range(200_000 - len(name))), FRESH)


def with_bodies(daemons, origin, count=6):
    origin.handler = own
    d = daemons(upstream(origin)).start()
    said = {target: d.get(target).body for target in (f"/api/body/{i}" for i in range(count))}
    d.wait_stored(count)
    assert all(d.get(target).cache.hit for target in said) and len(bodies(d)) == count
    return d, said


def swap(d):
    one, two = bodies(d)[:2]
    one.rename(one.with_suffix(".x"))
    two.rename(one)
    one.with_suffix(".x").rename(two)


def write_into(d):
    with open(bodies(d)[0], "r+b") as file:
        file.seek(100_000)
        file.write(b"damage")


def write_in_secret(d):
    """As a disk does it: nobody is told."""
    path = bodies(d)[0]
    before = path.stat()
    write_into(d)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_over_another(d):
    one, two = bodies(d)[:2]
    shutil.copy2(one, two)


def link_to_another(d):
    one, two = bodies(d)[:2]
    two.unlink()
    two.symlink_to(one)


@pytest.mark.parametrize("harm", [swap, write_into, copy_over_another, link_to_another], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("when", ["running", "stopped"])
def test_another_body_is_never_served(daemons, origin, harm, when):
    d, said = with_bodies(daemons, origin)
    if when == "stopped":
        d.stop()
    harm(d)
    if when == "stopped":
        d.start()
    for _ in range(2):
        for target, body in said.items():
            assert d.get(target).body == body, target
    until(lambda: all(d.get(target).cache.hit for target in said), "them to be stored again")


def test_a_disk_that_lies_is_found_in_the_background(daemons, origin):
    d, said = with_bodies(daemons, origin)
    d.stop()
    write_in_secret(d)
    d.start()
    d.wait_line(r" warning cache_records_damaged dropped=1")
    for target, body in said.items():
        assert d.get(target).body == body, target
    d.restart()
    assert all(d.get(target).body == body for target, body in said.items())


def test_a_copied_cache_is_good(daemons, origin, tmp_path):
    """A backup that is restored has other inodes; its bodies are what they were."""
    d, said = with_bodies(daemons, origin)
    d.stop()
    d.cache.rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", d.cache, copy_function=shutil.copyfile)
    d.cache.chmod(0o700)
    d.start()
    asked = len(origin.requests)
    for _ in range(2):
        for target, body in said.items():
            answer = d.get(target)
            assert answer.cache.hit and answer.body == body
    assert len(origin.requests) == asked


def test_no_thread_is_of_a_class_that_a_busy_machine_starves(daemons, origin):
    """The end waits for each of them, and others for the locks that it holds."""
    origin.handler = lambda request, conn: conn.answer(200, b"L" * (8 << 20), FRESH)
    d = daemons(upstream(origin)).start()
    for i in range(8):
        assert d.get(f"/api/{i}").cache.stored
    d.wait_stored(8)
    d.stop()
    d.spawn()
    seen = {}

    def look():
        for thread in os.listdir(f"/proc/{d.pid}/task"):
            try:
                with open(f"/proc/{d.pid}/task/{thread}/comm") as file:
                    seen[file.read().strip()] = os.sched_getscheduler(int(thread))
            except (FileNotFoundError, ProcessLookupError):
                pass                                 # it has just ended
        return "verify" in seen
    until(look, "the thread that reads the body files")
    d.wait_line(r" ready\b")
    look()
    assert set(seen.values()) == {os.SCHED_OTHER}, seen
