"""A real Prometheus: it scrapes a daemon, evaluates the alerts, and answers every query of the Grafana file.

The example configuration is the one that is used, but for its address and its pace.
"""
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness import metrics
from harness.daemon import environment
from harness.settings import retry, upstream
from harness.tls import TlsOrigin
from harness.wait import seconds, until

pytestmark = pytest.mark.real_clients

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES, EXAMPLE = ROOT / "etc/prometheus/weir.rules.yml", ROOT / "etc/prometheus/weir.yml"
RULE_TESTS, DASHBOARD = ROOT / "tests/prometheus/weir.rules.test.yml", ROOT / "etc/grafana/weir.json"
CACHED = [("Cache-Control", "max-age=60")]


def program(name):
    path = shutil.which(name)
    assert path, f"no {name}: install the package prometheus"
    return path


def promtool(place, *arguments, text=None):
    return subprocess.run([program("promtool"), *map(str, arguments)], input=text, env=environment(place), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds(60), check=False)


class Prometheus:
    def __init__(self, place, target):
        self.place = place / "prometheus"
        self.place.mkdir()
        shutil.copy(RULES, self.place)
        example = EXAMPLE.read_text()
        assert '"127.0.0.1:9464"' in example and "scrape_interval: 15s" in example
        (self.place / "weir.yml").write_text(example.replace("127.0.0.1:9464", target).replace(
            "scrape_interval: 15s", "scrape_interval: 500ms\n  scrape_timeout: 500ms\n  evaluation_interval: 500ms"))
        self.lines, self.address, self.is_ready = [], None, False
        self.process = subprocess.Popen(
            [program("prometheus"), f"--config.file={self.place / 'weir.yml'}", f"--storage.tsdb.path={self.place / 'data'}",
             "--web.listen-address=127.0.0.1:0"], env=environment(place), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        until(lambda: (self.address and self.is_ready) or self.process.poll() is not None, "prometheus is ready", 30)
        assert self.address and self.is_ready, "\n".join(self.lines)

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if match := re.search(r'msg="Listening on" address=(\S+)', line):
                self.address = match[1]
            self.is_ready = self.is_ready or "ready to receive web requests" in line

    def ask(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?" + urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds(10)) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        assert body["status"] == "success", body
        return body["data"]

    def query(self, expression):
        """[(labels, value)]"""
        data = self.ask("query", query=expression)
        assert data["resultType"] == "vector", data
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def alerts(self):
        return {rule["name"]: rule for group in self.ask("rules")["groups"] for rule in group["rules"]}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds(20))
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def listener(d):
    return re.search(r"address=(\S+)", d.wait_line(r" listening .*kind=metrics\b"))[1]


@pytest.fixture
def full(daemons, origin, place):
    """A daemon that has been asked for everything that there is to count, and whose API's certificate ends tomorrow."""
    secure = TlsOrigin(place)
    limits = [("X-RateLimit-Limit", "50"), ("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "30"),
              ("X-RateLimit-Resource", "search")]
    again = iter([503])

    def handler(request, conn):
        if "again" in request.path and next(again, None):
            conn.answer(503, b"")
        else:
            conn.answer(500 if "bad" in request.path else 200, b"12345", CACHED + limits)
    origin.handler = handler
    secure.reply(body=b"12345", fields=CACHED)
    with socket.socket() as deaf:       # nobody listens there
        deaf.bind(("127.0.0.1", 0))
        d = daemons(upstream(origin, limits=["1000/day", {"rate": "500/min", "per": "credential", "name": 'by "whom"'}], retry=retry()),
                    upstream(secure, name="secure", tls={"ca_file": secure.ca_file}),
                    upstream(origin, name="short", limits=["2/day"], queue={"max_wait": "1ms"}),
                    {**upstream(origin, name="dead"), "url": "http://127.0.0.1:%d" % deaf.getsockname()[1]},
                    settings={"metrics": {"listen": "127.0.0.1:0"}}).start()
        ask_all(d)
        yield d
    secure.stop()


def ask_all(d):
    for target in ("/api/x", "/api/x", "/api/again", "/api/bad", "/secure/x", "/nobody", "/.weir/health",
                   "/short/1", "/short/2", "/short/3"):
        d.get(target)
    d.request("POST", "/api/x", body=b"abc")
    for i in range(11):
        d.get(f"/dead/{i}")


def expressions(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"].removesuffix(" > 0")


VARIABLES = {"$job": "weir", "$instance": ".*", "$upstream": ".*", "$__rate_interval": "1m"}


def substituted(text):
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def test_promtool_finds_nothing_to_say_against_the_metrics(full, place):
    result = promtool(place, "check", "metrics", text=metrics.of(full).text)
    assert result.returncode == 0 and result.stdout == "", result.stdout


def test_promtool_takes_the_alerts_and_the_example(place):
    for arguments in (("check", "rules", RULES), ("check", "config", EXAMPLE), ("test", "rules", RULE_TESTS)):
        result = promtool(place, *arguments)
        assert result.returncode == 0 and "FAILED" not in result.stdout, result.stdout


def test_each_alert_is_made_to_fire_and_not_to():
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    cases = re.findall(r"- alertname: (\w+)\n\s+eval_time: \S+\n\s+exp_alerts:( \[\])?", RULE_TESTS.read_text())
    assert len(alerts) == 7 and {name for name, none in cases if none} == alerts == {name for name, none in cases if not none}


def test_prometheus_reads_all_of_it(full, place):
    prometheus = Prometheus(place, listener(full))
    try:
        until(lambda: prometheus.query('up{job="weir"} == 1'), "a scrape", 30)
        until(lambda: len(prometheus.ask("query", query="weir_requests_total[1m]")["result"][0]["values"]) >= 4, "some scrapes", 30)
        # Only in OpenMetrics there is such a type.
        assert prometheus.ask("metadata", metric="weir_build")["weir_build"][0]["type"] == "info"
        own = metrics.scrape(("127.0.0.1", int(listener(full).rpartition(":")[2])), metrics.PROMETHEUS_ACCEPTS)
        assert prometheus.query("scrape_samples_scraped")[0][1] == len(own.series)
        assert prometheus.query('weir_budget_left{limit="by \\"whom\\""}')[0][0]["upstream"] == "api"

        dashboard = json.loads(DASHBOARD.read_text())
        asked = list(expressions(dashboard))
        assert len(asked) > 40
        ask_all(full)                   # rates of something
        until(lambda: prometheus.query('sum(rate(weir_http_requests_total{cache="hit"}[1m])) > 0'), "a rate", 30)
        for title, expression in asked:
            values = [value for _, value in prometheus.query(substituted(expression))]
            assert any(value == value for value in values), (title, expression, values)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] != "query":
                continue
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            found = prometheus.ask(f"label/{label}/values", **{"match[]": substituted(metric)})
            assert found, variable
        assert set(found) == {"api", "secure", "short", "dead"}
    finally:
        prometheus.stop()


def test_what_happens_raises_its_alert(full, place):
    good = full.config.read_text()
    full.config.write_text("nonsense = 1;")
    assert full.ctl("reload").returncode != 0
    prometheus = Prometheus(place, listener(full))
    raised = {"WeirApiDown", "WeirReloadFailed", "WeirApiCertificateEnds", "WeirBudgetNearlySpent"}
    try:
        def states():
            rules = prometheus.alerts()
            assert all(rule["health"] in ("ok", "unknown") for rule in rules.values()), rules
            return {name for name, rule in rules.items() if rule["state"] != "inactive"}
        until(lambda: states() == raised, "what is wrong is seen", 30)
        labels = {name: [alert["labels"] for alert in prometheus.alerts()[name]["alerts"]] for name in raised}
        assert {one["upstream"] for one in labels["WeirApiDown"]} == {"dead"}
        assert {one["upstream"] for one in labels["WeirApiCertificateEnds"]} == {"secure"}
        assert ("short", "2/day") in {(one["upstream"], one["limit"]) for one in labels["WeirBudgetNearlySpent"]}
        full.config.write_text(good)
        assert full.ctl("reload").returncode == 0
        until(lambda: states() == raised - {"WeirReloadFailed"}, "what was mended is seen", 30)
    finally:
        prometheus.stop()
