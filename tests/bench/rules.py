#!/usr/bin/python3
"""Rules by the thousand: what a hit costs, how long a start and a reload take, and who waits for a reload.

    WEIR=./weir WEIRCTL=./weirctl WEIR_LOAD=tests/bench/load WEIR_ORIGIN=tests/bench/origin rules.py
"""

import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time

import compare
import peers
from servers import LOAD, Origin

COUNTS = (0, 100, 1000, 10_000)
ROUNDS, SECONDS = 3, 1
RELOADED = 1000                                  # rules, while requests come
EVERY = 0.25                                     # seconds from reload to reload
DIFFERS = "X-Number: #"                          # lest a request be known by its bytes, and no rule looked at


class Weir(peers.Weir):
    """Globs that differ early, late and in their middle; what is asked for matches none of them."""

    def __init__(self, folder, origin_port, count):
        self.name = f"rules-{count}"
        super().__init__(folder, origin_port)
        self.count = count

    def upstreams(self):
        forms = ("/v1/kind{0}/*/items", "/v1/*/of{0}/**", "/10{0}/**", "/v{0}/list?page=*")
        rules = ",\n".join(f'{{ match = "{forms[i % len(forms)].format(i)}"; ttl = "5m"; }}' for i in range(self.count))
        return f'''
              {{ name = "api"; url = "http://127.0.0.1:{self.origin_port}"; ttl = "1h"; partition = "shared";
                 rules = ( {rules} ); }}'''

    def start(self):
        begin = time.monotonic()
        super().start()
        self.start_ms = (time.monotonic() - begin) * 1000

    def reload_ms(self):
        command = os.environ.get("WEIRCTL", self.command + "ctl")
        begin = time.monotonic()
        subprocess.run([command, "--socket", str(self.folder / "admin.sock"), "reload"], check=True,
                       capture_output=True)
        return (time.monotonic() - begin) * 1000


def worst_ms(weir, seconds, reloads):
    """The longest that any request of one client took, reloading all the while or not at all."""
    load = subprocess.Popen([LOAD, str(weir.port), "/api/1024", "1", str(seconds), DIFFERS],
                            stdout=subprocess.PIPE, text=True)
    while reloads and load.poll() is None:
        os.kill(weir.process.pid, signal.SIGHUP)
        time.sleep(EVERY)
    out = load.communicate()[0]
    if load.returncode != 0:
        raise RuntimeError("a request failed while the configuration was reloaded")
    return int(re.search(r"worst (\d+) us", out).group(1)) / 1000


def hits(running):
    what = compare.scenario("hits", "/api/1024", fields=(DIFFERS,))
    runs = {weir.count: [] for weir in running}
    for number in range(ROUNDS + 1):
        for weir in running:
            run = compare.load(weir, what, SECONDS, None, number)
            if number > 0:
                runs[weir.count].append(run["cpu_us"])
    return {count: statistics.median(found) for count, found in runs.items()}


def measure():
    """Two figures: "rules", by their number, and "reload in mid-load"."""
    running, out = [], {}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin:
        os.chmod(folder, 0o755)
        try:
            for count in COUNTS:
                running.append(Weir(folder, origin.port, count))
                running[-1].start()
            us = hits(running)
            for weir in running:
                name = f"{weir.count:,} rules" if weir.count > 0 else "no rules"
                out[name] = {"hit_us": round(us[weir.count], 1), "ratio": round(us[weir.count] / us[0], 2),
                             "start_ms": round(weir.start_ms),
                             "reload_ms": round(statistics.median(weir.reload_ms() for _ in range(3)))}
            weir = next(w for w in running if w.count == RELOADED)
            worst = [(worst_ms(weir, 2, False), worst_ms(weir, 2, True)) for _ in range(ROUNDS)]
            calm, reloading = (round(statistics.median(column), 1) for column in zip(*worst))
            out["reload in mid-load"] = {"rules": RELOADED, "longest_ms": reloading, "without_ms": calm}
        finally:
            for weir in running:
                weir.stop()
    return out


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
