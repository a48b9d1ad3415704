"""The origin of the bench and where its programs are: shared by the parts of `make bench`."""

import json
import os
import subprocess
import urllib.request

LOAD = os.environ.get("WEIR_LOAD", "tests/bench/load")
ORIGIN = os.environ.get("WEIR_ORIGIN", "tests/bench/origin")


class Origin:
    """tests/bench/origin.c, for as long as the block lasts."""

    def __init__(self, file=None):
        """`file`: where it writes at its end when the requests came."""
        self.arguments = [ORIGIN] if file is None else [ORIGIN, str(file)]

    def __enter__(self):
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *reason):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def counts(self):
        """What has reached it since this was last asked: {"requests": N, "most_in_a_second": M}."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/counts", timeout=10) as answer:
            return json.load(answer)
