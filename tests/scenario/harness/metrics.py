"""What /metrics says, as Python values.

A strict reader of both formats: a line that neither has, a metric that begins twice, or lines of one that do not stand
together, is an AssertionError.  Prometheus itself reads it in test_prometheus.py.
"""
import re

from harness.client import Client

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# What Prometheus 2.42 sends.
PROMETHEUS_ACCEPTS = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}


class Metrics:
    def __init__(self, text, is_open):
        self.text, self.types, self.help, self.samples = text, {}, {}, {}
        lines = text.splitlines()
        assert text.endswith("\n")
        if is_open:
            assert lines.pop() == "# EOF"
        family = None
        for line in lines:
            if line.startswith("# HELP "):
                _, _, family, self.help[family] = self._new(line, self.help)
            elif line.startswith("# TYPE "):
                _, _, name, self.types[name] = self._new(line, self.types)
                assert name == family, line
            else:
                self._sample(line, family, is_open)
        assert set(self.types) == set(self.help)

    @staticmethod
    def _new(line, known):
        parts = line.split(" ", 3)
        assert len(parts) == 4 and parts[3] and parts[2] not in known, line
        return parts

    def _sample(self, line, family, is_open):
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        kind = self.types[family]
        ends = ENDS[kind] if is_open or kind == "histogram" else ("",)
        assert name in [family + end for end in ends], (line, family)
        found = LABEL.findall(labels or "")
        assert ",".join(f'{k}="{v}"' for k, v in found) == (labels or ""), line
        key = (name, tuple(sorted(found)))
        assert key not in self.samples and len(dict(found)) == len(found), line
        self.samples[key] = float(value)

    def get(self, name, **labels):
        """The one sample of these labels."""
        return self.samples[name, tuple(sorted(labels.items()))]

    def all(self, name, **labels):
        """Those that have these labels among theirs: {rest of the labels: value}."""
        return {tuple(sorted(set(have) - set(labels.items()))): value for (of, have), value in self.samples.items()
                if of == name and set(labels.items()) <= set(have)}

    def sum(self, name, **labels):
        return sum(self.all(name, **labels).values())

    @property
    def series(self):
        return set(self.samples)


def scrape(address, accept=None, host="localhost"):
    """`address`: a socket's path, or (host, port)."""
    with Client(address) as client:
        response = client.request("GET", "/metrics", [("Host", host)] + ([("Accept", accept)] if accept else []), host=False)
    assert response.status == 200 and response.complete, response
    kind = response.fields.get("Content-Type")
    assert kind in (TEXT, OPEN), kind
    return Metrics(response.body.decode(), kind == OPEN)


def of(daemon, accept=None):
    return scrape(daemon.admin_path, accept)
