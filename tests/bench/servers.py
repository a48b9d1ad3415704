"""The origin of the bench and where its programs are: shared by the parts of `make bench`."""

import json
import os
import subprocess
import urllib.request

LOAD = os.environ.get("WEIR_LOAD", "tests/bench/load")
ORIGIN = os.environ.get("WEIR_ORIGIN", "tests/bench/origin")


class Program:
    """One that prints its port when it stands and goes when its input ends, for as long as the block lasts."""

    def __init__(self, *arguments):
        self.arguments = [str(argument) for argument in arguments]

    def __enter__(self):
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *reason):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Origin(Program):
    """tests/bench/origin.c."""

    def __init__(self, *file):
        """`file`: where it writes at its end when the requests came."""
        super().__init__(ORIGIN, *file)

    def counts(self):
        """What has reached it since this was last asked: {"requests": N, "most_in_a_second": M}."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/counts", timeout=10) as answer:
            return json.load(answer)
