#!/usr/bin/python3
"""Large bodies, hit and passing, by congestion control: each in a network namespace of its own (apart.py).

The machine's default decides otherwise, and it decides much: bbr sets timers to pace what no line needs paced.

    WEIR=./weir WEIR_LOAD=tests/bench/load WEIR_ORIGIN=tests/bench/origin bodies.py
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import apart
import compare

ROWS = ("hit 1 MiB", "hit 8 MiB", "pass 1 MiB", "pass 8 MiB")
PEERS = ("nginx", "haproxy", "varnish", "ats", "bare")


def under(control, seconds, rounds):
    """{row: figures} as compare.py has them."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        file = pathlib.Path(folder) / "figures.json"
        script = pathlib.Path(__file__).with_name("compare.py")
        command = apart.command(control, [sys.executable, str(script), "--seconds", str(seconds),
                                          "--rounds", str(rounds), "--only", ",".join(PEERS), "--json", str(file),
                                          *ROWS])
        # Who interrupts interrupts both, and the other one has peers to stop: it is waited for.
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
            said = run.communicate()[0]
        if run.returncode != 0:
            raise RuntimeError(said[-2000:])
        print("".join(re.findall(r".* drops out of .*\n", said)), end="")
        return json.loads(file.read_text())["scenarios"]


def cell(figures, peer, mib):
    found = figures[peer]
    return f"{peer} {found['rate'] * mib:,.0f} ({found['cpu_us'] / mib:.0f})"


def show(control, rows):
    for name, found in rows.items():
        figures = found["figures"]
        mib = compare.SCENARIOS[name].mib
        others = [p for p in figures if p not in ("weir", "bare")]
        best = max(others, key=lambda p: figures[p]["rate"], default=None)
        ratio = f"{figures['weir']['rate'] / figures[best]['rate']:.2f}" if best else ""
        cells = [cell(figures, "weir", mib), cell(figures, best, mib) if best else "-", ratio,
                 cell(figures, "bare", mib) if "bare" in figures else ""]
        print(f"  {control:6}{name:11}{cells[0]:>18}{cells[1]:>21}{cells[2]:>7}{cells[3]:>19}".rstrip(), flush=True)


def measure(seconds=1, rounds=3):
    """{control: {row: figures}}; printed as they come."""
    print("\nLarge bodies, MiB a second (CPU µs a MiB), and the rate by the best peer's")
    reason = apart.why_not()
    if reason is not None:
        print(f"  left out: no network namespace of its own is to be had here ({reason})")
        return {}
    out = {}
    for control in sorted({"bbr", "cubic"} - set(apart.controls())):
        print(f"  {control}: left out, net.ipv4.tcp_allowed_congestion_control does not list it")
    for control in apart.controls():
        out[control] = under(control, seconds, rounds)
        show(control, out[control])
    return out


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
