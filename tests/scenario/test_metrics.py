"""/metrics: what it counts, in both formats; metrics.listen: that alone and nothing else, and for no hostile page."""
import json
import os
import re
import socket
import ssl
import threading

import pytest

from harness import metrics
from harness.client import Client
from harness.settings import retry, upstream
from harness.tls import TlsOrigin
from harness.wait import SANITIZER, TRICKS, until

COUNTERS = os.path.join(os.path.dirname(__file__), "../../src/base/counters.def")
CACHED = [("Cache-Control", "max-age=60")]


def listener(d, kind="metrics"):
    line = d.wait_line(rf" listening .*kind={kind}\b")
    host, _, port = re.search(r"address=(\S+)", line)[1].rpartition(":")
    return host, int(port)


@pytest.fixture
def scraped(weir):
    def start(settings=None, **of_upstream):
        return weir(settings={"metrics": {"listen": "127.0.0.1:0"}, **(settings or {})}, **of_upstream)
    return start


def ask(d, method="GET", target="/metrics", fields=(("Host", "localhost"),), body=None):
    with Client(listener(d)) as client:
        return client.request(method, target, fields, body, host=False)


# -- formats -----------------------------------------------------------------------


@pytest.mark.parametrize("accept,kind", [
    (None, metrics.TEXT), ("*/*", metrics.TEXT), ("text/plain", metrics.TEXT),
    (metrics.PROMETHEUS_ACCEPTS, metrics.OPEN),
    ("application/openmetrics-text", metrics.OPEN),
    ("application/openmetrics-text;version=0.0.1", metrics.TEXT),
    ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.3", metrics.TEXT),
    ("application/openmetrics-text; version=1.0.0; q=0", metrics.TEXT),
    ("text/html, APPLICATION/OpenMetrics-Text ; version=1.0.0 ; q=0.5", metrics.OPEN),
])
def test_the_format_is_what_accept_prefers(scraped, accept, kind):
    d = scraped()
    r = ask(d, fields=[("Host", "localhost")] + ([("Accept", accept)] if accept else []))
    assert r.status == 200 and r.fields.get("Content-Type") == kind and r.fields.get("Cache-Control") == "no-store"
    metrics.Metrics(r.body.decode(), kind == metrics.OPEN)


def test_both_formats_say_the_same(scraped, origin):
    d = scraped(limits=["60/min"])
    d.get("/api/x")
    text, open_ = metrics.of(d), metrics.of(d, metrics.PROMETHEUS_ACCEPTS)
    assert text.series == open_.series
    assert {name.removesuffix("_total").removesuffix("_info") for name in text.types} == set(open_.types)


def test_every_counter_is_there(scraped):
    m = metrics.of(scraped())
    with open(COUNTERS) as file:
        names = re.findall(r'^COUNTER\(\w+,\s*"(\w+)",\s*"(.*)"\)', file.read(), re.M)
    assert len(names) >= 40
    for name, text in names:
        assert m.types[f"weir_{name}_total"] == "counter" and m.help[f"weir_{name}_total"] == text
        assert (f"weir_{name}_total", ()) in m.samples


# -- who may -------------------------------------------------------------------------


def test_it_is_the_same_on_all_sockets(scraped):
    d = scraped(limits=["60/min"])
    query = os.path.join(os.path.dirname(d.admin_path), "query.sock")
    everywhere = [metrics.scrape(where).series for where in (listener(d), query, d.admin_path)]
    assert everywhere[0] == everywhere[1] == everywhere[2]


@pytest.mark.parametrize("target", ["/", "/status", "/limits", "/upstreams", "/ca", "/flush", "/purge", "/reload", "/api/x",
                                    "/metrics/", "/metricsx", "/.weir/health", "/favicon.ico", "//metrics"])
@pytest.mark.parametrize("method", ["GET", "POST", "PURGE"])
def test_nothing_else_is_there(scraped, origin, target, method):
    d = scraped()
    r = ask(d, method, target)
    assert r.status == 404 and origin.count() == 0 and "metrics.listen" in json.loads(r.body)["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PURGE"])
def test_it_is_only_read(scraped, method):
    r = ask(scraped(), method)
    assert r.status == 405 and r.fields.get("Allow") == "GET, HEAD"


def test_it_takes_no_content(scraped):
    d = scraped()
    for method in ("GET", "POST"):
        r = ask(d, method, body=b"x" * 100)
        assert r.status == 413 and b"weir_" not in r.body
    assert metrics.of(d).get("weir_open_connections") >= 0


@pytest.mark.skipif(SANITIZER is not None, reason="a sanitizer's own memory is more")
def test_a_call_in_many_pieces_takes_little_memory(scraped):
    """Anybody on this machine may send one to the query socket."""
    d = scraped()
    query = os.path.join(os.path.dirname(d.admin_path), "query.sock")
    before = d.private_kib()
    with Client(query) as client:
        client.send(b"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n")
        for _ in range(255):
            client.send(b"x" * 4096)
        until(lambda: d.private_kib() > before + 500, "it has come")
        assert d.private_kib() < before + 8 * 1024
        client.send(b"x" * 4096)
        assert client.read_response("POST").status == 403


def test_no_api_is_reached_through_it(scraped, origin):
    d = scraped()
    with Client(listener(d)) as client:
        r = client.request("GET", origin.url + "/metrics", [("Host", origin.authority)], host=False)
        assert r.status in (403, 404) and origin.count() == 0
    with Client(listener(d)) as client:
        client.send(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % ((origin.authority.encode(),) * 2))
        assert client.read_response("GET").status in (403, 404, 501)
    assert origin.count() == 0


def test_what_changes_something_says_how_it_is_asked(scraped):
    r = scraped().admin("GET", "/flush")
    assert r.status == 405 and r.fields.get("Allow") == "POST"


@pytest.mark.skipif(not TRICKS, reason="such an answer ends the connection")
def test_head_says_what_get_would(scraped):
    d = scraped()
    with Client(listener(d)) as client:
        for _ in range(2):              # the connection goes on
            r = client.request("HEAD", "/metrics", [("Host", "localhost")], host=False)
            assert r.status == 200 and r.body == b"" and r.fields.get("Content-Type") == metrics.TEXT
        assert client.request("GET", "/metrics", [("Host", "localhost")], host=False).status == 200


@pytest.mark.parametrize("fields", [
    [("Host", "evil.example")],
    [("Host", "api.example.org:9464")],
    [("Host", "localhost"), ("Origin", "http://evil.example")],
    [("Host", "localhost"), ("Origin", "null")],
    [("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")],
    [("Host", "localhost"), ("Sec-Fetch-Site", "same-site")],
    [("Host", "localhost"), ("Host", "localhost")],
])
def test_no_page_of_another_site_reads_it(scraped, fields):
    r = ask(scraped(), fields=fields)
    assert r.status in (400, 403) and b"weir_" not in r.body


def test_a_person_may_look_at_it_in_a_browser(scraped):
    d = scraped()
    assert ask(d, fields=[("Host", "127.0.0.1:%d" % listener(d)[1]), ("Sec-Fetch-Site", "none")]).status == 200
    assert ask(d, fields=[("Host", "localhost"), ("Sec-Fetch-Site", "same-origin")]).status == 200


def test_a_name_of_weirs_own_may_be_asked_for(scraped):
    d = scraped(settings={"server": {"allow_hosts": ["weir.example.org"]}})
    assert ask(d, fields=[("Host", "weir.example.org:9464")]).status == 200


def test_the_query_socket_tells_of_those_upstreams_that_one_may_use(daemons, origin):
    d = daemons(upstream(origin, name="mine"), upstream(origin, name="theirs", access=["user:4294967294"]),
                settings={"metrics": {"listen": "127.0.0.1:0"}}).start()
    query = os.path.join(os.path.dirname(d.admin_path), "query.sock")

    def seen(where):
        return {dict(labels)["upstream"] for labels in metrics.scrape(where).all("weir_in_flight")}
    assert seen(query) == {"mine"} and seen(d.admin_path) == seen(listener(d)) == {"mine", "theirs"}


@pytest.mark.parametrize("way", ["upstream", "via", "tunnel"])
def test_nothing_leads_back_to_it(daemons, origin, way):
    """Known only when it runs: a port that was not in the configuration."""
    d = daemons(upstream(origin), settings={
        "metrics": {"listen": "127.0.0.1:0"},
        "proxy": {"listen": "127.0.0.1:0", "tunnel": "allow", "tunnel_private": ["127.0.0.1"]}}).start()
    own = "%s:%d" % listener(d)
    if way == "tunnel":
        with Client(d.proxy_address) as client:
            client.send(f"CONNECT {own} HTTP/1.1\r\nHost: {own}\r\n\r\n".encode())
            assert client.read_response("GET").status in (403, 502)
        return
    d.write([{**upstream(origin), **({"url": f"http://{own}"} if way == "upstream" else {"via": f"http://{own}"})}])
    assert d.ctl("reload").returncode == 0
    r = d.get("/api/metrics")
    assert r.status == 502 and re.search("Weir itself|Weir's own", json.loads(r.body)["detail"]) and origin.count() == 0


def test_an_address_that_is_weirs_own_is_no_apis(daemons, origin):
    d = daemons({**upstream(origin), "url": "http://127.0.0.1:9464"}, settings={"metrics": {"listen": "127.0.0.1:9464"}})
    d.expected_exit = 1
    d.spawn("--check").wait_exit()
    assert "Weir's own address for metrics" in d.stderr


# -- what is counted ---------------------------------------------------------------


def requests(m, name="api", **labels):
    return m.sum("weir_http_requests_total", upstream=name, **labels)


def test_requests_by_method_status_and_cache(weir, origin):
    def handler(request, conn):
        conn.answer(404 if "none" in request.path else 200, b"12345", CACHED if request.method == "GET" else ())
    origin.handler = handler
    d = weir()
    for _ in range(3):
        d.get("/api/x", [("X-Each", "1")])
        d.wait_stored()
    d.get("/api/none")
    d.request("POST", "/api/x", body=b"abc")
    d.get("/nobody")
    until(lambda: requests(metrics.of(d)) == 5 and requests(metrics.of(d), "") == 1, "all counted")
    m = metrics.of(d)
    assert requests(m, method="safe", status="2xx", cache="hit") == 2
    assert requests(m, method="safe", status="2xx", cache="miss") == 1
    assert requests(m, method="safe", status="4xx", cache="miss") == 1
    assert requests(m, method="unsafe", status="2xx", cache="pass") == 1
    assert requests(m, "", method="safe", status="4xx", cache="error") == 1
    assert m.get("weir_http_sent_bytes_total", upstream="api") == 25
    assert m.get("weir_http_received_bytes_total", upstream="api") == 3
    assert m.get("weir_api_received_bytes_total", upstream="api") == 15
    assert m.get("weir_requests_total") == requests(m) + requests(m, "")


def test_a_reply_that_was_ready_counts_as_any_hit(weir, origin):
    origin.reply(body=b"123", fields=CACHED)
    d = weir(settings={"workers": 1})
    with d.connect() as client:
        client.get("/api/x")
        d.wait_stored()
        for _ in range(20):
            client.get("/api/x")
    until(lambda: requests(metrics.of(d)) == 21, "all counted")
    m = metrics.of(d)
    assert m.get("weir_hits_repeated_total") > 0 or not TRICKS
    assert requests(m, method="safe", status="2xx", cache="hit") == 20
    assert m.get("weir_client_seconds_count", upstream="api") == 21
    assert m.get("weir_http_sent_bytes_total", upstream="api") == 63


@pytest.fixture
def deaf():
    """A port at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_all_requests_are_in_it_whatever_became_of_them(daemons, origin, deaf):
    origin.reply(500)
    d = daemons(upstream(origin, limits=["2/h"], queue={"max_wait": "1ms"}), {**upstream(origin, name="other"), "url": f"http://127.0.0.1:{deaf}"},
                settings={"workers": 1}).start()
    for target in ("/api/a", "/api/b", "/api/c", "/other/x", "/", "/.weir/health"):
        d.get(target)
    d.get("/api/x", [("Cache-Control", "only-if-cached")])
    d.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
    until(lambda: metrics.of(d).sum("weir_http_requests_total") == metrics.of(d).get("weir_requests_total") == 8, "all counted")
    m = metrics.of(d)
    assert requests(m, cache="refused", status="4xx") == 1 == m.get("weir_budget_refusals_total", upstream="api")
    assert requests(m, cache="unavailable", status="5xx") == 1
    assert requests(m, "other", cache="failed", status="5xx") == 1
    assert requests(m, "", cache="own", status="2xx") >= 1


def test_histograms_add_up(weir, origin, clock):
    d = weir(limits=["1/min"], queue={"max_wait": "5m"})
    d.get("/api/a")
    waits = threading.Thread(target=d.get, args=("/api/b",))
    waits.start()
    until(lambda: metrics.of(d).get("weir_waiting", upstream="api") == 1, "one waits")
    m = metrics.of(d)
    assert m.get("weir_budget_waiting", upstream="api", limit="1/min") == 1
    assert m.get("weir_budget_left", upstream="api", limit="1/min") == 0
    assert 0 < m.get("weir_predicted_wait_seconds", upstream="api") <= 120
    clock.advance(61)
    waits.join()
    until(lambda: metrics.of(d).get("weir_client_seconds_count", upstream="api") == 2, "both counted")
    m = metrics.of(d)
    for name, long in (("weir_client_seconds", 1), ("weir_queue_seconds", 1), ("weir_api_seconds", 0)):
        buckets = sorted((float(dict(labels)["le"]), n) for labels, n in m.all(name + "_bucket", upstream="api").items())
        counts = [n for _, n in buckets]
        assert counts == sorted(counts) and counts[-1] == m.get(name + "_count", upstream="api") == 2
        assert 2 - next(n for le, n in buckets if le > 15) == long, (name, buckets)
        assert (m.get(name + "_sum", upstream="api") > 59) == bool(long)


def test_attempts_and_retries_by_cause(weir, origin):
    answers = iter([503, 503, 200])
    origin.handler = lambda request, conn: conn.answer(next(answers), b"")
    d = weir(retry=retry())
    assert d.get("/api/x").status == 200
    m = metrics.of(d)
    assert m.get("weir_attempts_total", upstream="api", outcome="status") == 2
    assert m.get("weir_attempts_total", upstream="api", outcome="ok") == 1
    assert m.get("weir_retries_total", upstream="api", cause="status") == 2
    assert m.sum("weir_retries_total") == 2 == m.get("weir_upstream_retries_total")


def test_an_api_that_is_dead_opens_the_breaker(daemons, origin, deaf):
    d = daemons({**upstream(origin), "url": f"http://127.0.0.1:{deaf}"}).start()
    for i in range(11):
        d.get(f"/api/{i}")
    m = metrics.of(d)
    assert m.get("weir_breaker_open", upstream="api") == 1 == m.get("weir_breaker_opened_total", upstream="api")
    assert m.get("weir_attempts_total", upstream="api", outcome="unreached") == 10


def test_what_an_api_says_of_its_limits(weir, origin):
    origin.reply(fields=[("X-RateLimit-Limit", "50"), ("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "30"),
                         ("X-RateLimit-Resource", "a-name-of-the-apis")])
    d = weir()
    d.get("/api/x")
    m = metrics.of(d)
    assert m.get("weir_budget_heard_total", upstream="api") == 1
    assert m.get("weir_budget_left", upstream="api", limit="learned") == 7 and "a-name-of-the-apis" not in m.text
    assert d.ctl("limits", "forget").returncode == 0
    assert metrics.of(d).get("weir_budget_forgotten_total", upstream="api") == 1


def test_nothing_of_a_client_becomes_a_label(weir, origin):
    origin.reply(fields=CACHED)
    d = weir(limits=[{"rate": "100/min", "per": "credential"}])
    before = metrics.of(d).series
    for i in range(30):
        d.request(f"M{i}" if i % 2 else "GET", f"/api/secret-{i}?key=hush-{i}",
                  [("Authorization", f"Bearer hush-{i}"), ("Weir-Client", f"who-{i}"), ("User-Agent", f"agent-{i}")])
        d.get(f"/nobody-{i}", [("Host", f"host-{i}.example")])
    m = metrics.of(d)
    assert not re.search(r"hush|secret|who-|agent|nobody-|host-\d|M1", m.text)
    new = m.series - before
    assert {name for name, _ in new} == {"weir_http_requests_total"} and len(new) < 10, new


def test_counts_go_over_to_the_next_configuration(daemons, origin):
    origin.reply(fields=CACHED)
    d = daemons(upstream(origin, name="stays"), upstream(origin, name="goes"), settings={"workers": 2}).start()
    for name in ("stays", "goes"):
        d.get(f"/{name}/x")
    d.get("/nobody")
    until(lambda: metrics.of(d).sum("weir_http_requests_total") == 3, "all counted")
    d.write([upstream(origin, name="new"), upstream(origin, name="stays", ttl="1h")])
    assert d.ctl("reload").returncode == 0
    m = metrics.of(d)
    assert requests(m, "stays") == 1 == requests(m, "") and requests(m, "new") == 0
    assert m.get("weir_client_seconds_count", upstream="stays") == 1 == m.get("weir_attempts_total", upstream="stays", outcome="ok")
    assert not m.all("weir_http_requests_total", upstream="goes")
    d.write([upstream(origin, name="stays"), upstream(origin, name="goes")])
    assert d.ctl("reload").returncode == 0
    assert requests(metrics.of(d), "goes") == 0 and requests(metrics.of(d), "stays") == 1


@pytest.mark.parametrize("before,after", [(4, 1), (1, 4)])
def test_the_next_configuration_may_name_another_number_of_workers(daemons, origin, before, after):
    """Only a restart changes it: there are as many as before, whatever a configuration says."""
    origin.reply(fields=CACHED)
    d = daemons(upstream(origin), settings={"workers": before}).start()
    for change in (after, before, after):
        d.settings["workers"] = change
        d.write([upstream(origin), upstream(origin, name="new")])
        assert d.ctl("reload").returncode == 0
    clients = [d.connect() for _ in range(8)]               # spread over all workers
    for client in clients:
        for name in ("api", "new"):
            assert client.get(f"/{name}/x").status == 200
    for client in clients:
        client.close()
    until(lambda: requests(metrics.of(d)) == 8 == requests(metrics.of(d), "new"), "all counted")


def test_a_request_that_was_under_way_counts_after_the_reload(daemons, origin):
    gate = threading.Event()

    def handler(request, conn):
        conn.wait(gate)
        conn.answer(200, b"")
    origin.handler = handler
    d = daemons(upstream(origin)).start()
    waits = threading.Thread(target=d.get, args=("/api/a",))
    waits.start()
    origin.wait_requests(1)
    assert d.ctl("reload").returncode == 0
    gate.set()
    waits.join()
    until(lambda: requests(metrics.of(d), cache="miss") == 1, "it is counted")


def test_reloads(weir, origin):
    d = weir()
    first = metrics.of(d)
    assert first.get("weir_config_last_reload_successful") == 1 and first.sum("weir_config_reloads_total") == 0
    good = d.config.read_text()
    d.config.write_text("nonsense = 1;")
    assert d.ctl("reload").returncode != 0
    m = metrics.of(d)
    stamp = "weir_config_last_reload_success_timestamp_seconds"
    assert m.get("weir_config_last_reload_successful") == 0 and m.get(stamp) == first.get(stamp)
    d.config.write_text(good)
    assert d.ctl("reload").returncode == 0
    m = metrics.of(d)
    assert m.get("weir_config_last_reload_successful") == 1 and m.get(stamp) > first.get(stamp)
    assert m.get("weir_config_reloads_total", result="failure") == 1 == m.get("weir_config_reloads_total", result="success")


def test_when_the_apis_certificate_ends(daemons, place):
    origin = TlsOrigin(place)
    try:
        d = daemons(upstream(origin, tls={"ca_file": origin.ca_file}), upstream(origin, name="unasked")).start()
        name = "weir_api_certificate_expiry_timestamp_seconds"
        assert not metrics.of(d).all(name)
        assert d.get("/api/x").status == 200
        ends = ssl._ssl._test_decode_cert(origin.ca_file)["notAfter"]
        assert metrics.of(d).get(name, upstream="api") == ssl.cert_time_to_seconds(ends)
        assert not metrics.of(d).all(name, upstream="unasked")
    finally:
        origin.stop()


def test_the_store_and_who_is_connected(weir, origin):
    origin.reply(fields=CACHED, body=b"x" * 1000)
    d = weir()
    with d.connect() as client:
        client.get("/api/x")
        d.wait_stored()
        m = metrics.of(d)
        assert m.get("weir_store_records") == 1 and 0 < m.get("weir_store_bytes") < m.get("weir_store_max_bytes") == 2 ** 31
        assert m.get("weir_open_connections") >= 2 and m.get("weir_open_tunnels") == 0
        assert m.get("weir_api_connections", upstream="api") == 1
    assert m.get("weir_store_broken") == 0 and m.get("process_resident_memory_bytes") > 1 << 20
    assert len(m.all("weir_build_info")) == 1


def test_a_limits_name_is_escaped_and_one_called_learned_is_told_once(weir, origin):
    origin.reply(fields=[("X-RateLimit-Limit", "50"), ("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "30"),
                         ("X-RateLimit-Resource", "search")])
    d = weir(limits=[{"rate": "60/min", "match": "/nothing/**", "name": "learned"},
                     {"rate": "5/s burst 9", "name": 'a "quoted" \\ name'}])
    d.get("/api/x")
    m = metrics.of(d)
    assert set(dict(labels)["limit"] for labels in m.all("weir_budget_left", upstream="api")) == \
        {"learned", 'a \\"quoted\\" \\\\ name'}
    assert m.get("weir_budget_allowed", upstream="api", limit="learned") == 60


# -- how much ------------------------------------------------------------------------


def test_fifty_upstreams_are_under_300_kib_and_no_traffic_adds_a_series_without_bound(daemons, origin):
    names = [f"upstream-{i:02}" for i in range(50)]
    answers = [(200, CACHED), (200, ()), (404, CACHED), (500, ()), (304, ())]
    origin.handler = lambda request, conn: conn.answer(*[(s, b"", f) for s, f in answers][int(request.path[-1]) % 5])
    d = daemons(*(upstream(origin, name=name, limits=["60/min", "10000/day"]) for name in names)).start()
    for name in names:
        with d.connect() as client:
            for i in range(5):
                client.get(f"/{name}/{i}")
        d.request("POST", f"/{name}/0", body=b"x")
    for accept in (None, metrics.PROMETHEUS_ACCEPTS):
        m = metrics.of(d, accept)
        assert len({dict(labels)["upstream"] for labels in m.all("weir_in_flight")}) == 50
        assert len(m.text) < 300 * 1024, len(m.text)


def test_one_who_stops_reading_holds_up_nobody(daemons, origin):
    names = [f"other-{i:04}" for i in range(300)]
    d = daemons(upstream(origin), *(upstream(origin, name=name) for name in names),
                settings={"workers": 1, "metrics": {"listen": "127.0.0.1:0"}}).start()
    with Client(listener(d), receive_buffer=4096) as slow, Client(listener(d), receive_buffer=4096) as gone:
        slow.start("GET", "/metrics", [("Host", "localhost")], host=False)
        gone.start("GET", "/metrics", [("Host", "localhost")], host=False)
        assert d.get("/api/x").status == 200
        gone.reset()
        for _ in range(3):
            assert metrics.of(d).get("weir_in_flight", upstream="other-0299") == 0
        response = slow.read_response("GET")
        assert response.complete and metrics.Metrics(response.body.decode(), False).get("weir_in_flight", upstream="api") == 0


# -- the papers ----------------------------------------------------------------------

ADMIN = os.path.join(os.path.dirname(__file__), "../../doc/ADMIN.md")
ROW = re.compile(r"\| `(\w+)` \| (\w+) \| ([\w, ]*) \| (.*) \|")


def test_the_table_of_metrics_is_what_is_served(daemons, place):
    """tools/update-sources writes it from the tables that the daemon is made of; here their labels meet what is said."""
    secure = TlsOrigin(place)
    try:
        d = daemons(upstream(secure, limits=["60/min", {"name": "bytes", "rate": "1000/min", "charge": ["body"]}], tls={"ca_file": secure.ca_file})).start()
        assert d.get("/api/x").status == 200
        m = metrics.of(d, metrics.PROMETHEUS_ACCEPTS)
    finally:
        secure.stop()
    served = []
    for name, kind in m.types.items():
        have = [dict(labels) for (of, labels) in m.samples if of in [name + end for end in metrics.ENDS[kind]]]
        assert have and len({frozenset(labels) - {"le"} for labels in have}) == 1, name
        sample = name + {"counter": "_total", "info": "_info"}.get(kind, "")
        served.append((sample, kind, frozenset(have[0]) - {"le"}, m.help[name]))
    with open(ADMIN) as file:
        page = file.read()
    rows = ROW.findall(page[page.index("<!-- metrics:"):page.index("<!-- end of metrics")])
    assert [(name, kind, frozenset(filter(None, labels.split(", "))), text) for name, kind, labels, text in rows] == served


def test_status_and_upstreams_tell_how_long_it_took(weir, origin):
    origin.reply(fields=CACHED)
    d = weir()
    nothing = {"count": 0, "p50_s": None, "p95_s": None}
    assert d.status()["upstreams"][0]["latency"] == {"client": nothing, "queue": nothing, "api": nothing}
    with d.connect() as client:
        client.get("/api/x")
        d.wait_stored()
        for _ in range(9):
            client.get("/api/x")
    until(lambda: d.status()["upstreams"][0]["latency"]["client"]["count"] == 10, "all counted")
    for target in ("/status", "/upstreams"):
        latency = json.loads(d.admin("GET", target).body)["upstreams"][0]["latency"]
        assert {name: of["count"] for name, of in latency.items()} == {"client": 10, "queue": 1, "api": 1}
        assert 0 < latency["client"]["p50_s"] <= latency["client"]["p95_s"] and 0 < latency["api"]["p50_s"] < 10
