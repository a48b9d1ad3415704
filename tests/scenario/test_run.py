"""weirctl run, env and ca: a program is pointed at Weir by its environment alone."""
import json
import os
import signal
import ssl
import subprocess
import sys

import pytest

from harness.daemon import environment
from harness.settings import upstream
from harness.wait import WEIRCTL, seconds

NAMES = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "NODE_USE_ENV_PROXY",
         "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "WGETRC",
         "PYTHONPATH", "JAVA_TOOL_OPTIONS", "AWS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "PERL_LWP_SSL_CA_FILE", "PERL_LWP_ENV_PROXY",
         "PHP_INI_SCAN_DIR", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "DENO_CERT",
         "GIT_HTTP_PROXY_AUTHMETHOD"}
# Set where the user had them; what this test runs in may have some.
OPTIONAL = {"PIP_CERT", "CARGO_HTTP_CAINFO", "NIX_SSL_CERT_FILE", "npm_config_cafile", "NPM_CONFIG_CAFILE",
            "JULIA_SSL_CA_ROOTS_PATH", "BUNDLE_SSL_CA_CERT", "WEBSOCKET_CLIENT_CA_BUNDLE", "HEX_CACERTS_PATH", "HTTPS_CA_FILE",
            "ALL_PROXY", "all_proxy", "PIP_PROXY", "CARGO_HTTP_PROXY", "npm_config_proxy", "npm_config_https_proxy"}
CLEARED = NAMES | OPTIONAL


@pytest.fixture
def proxy(weir):
    return lambda **more: weir(settings={"proxy": {"listen": "127.0.0.1:0"}}, aliases=["api.test"], **more)


def ctl(d, *arguments, **env):
    """With only so much of this test's own environment; `env` is added."""
    clean = {k: v for k, v in environment(d.directory, **env).items() if k in env or k not in CLEARED}
    return subprocess.run([WEIRCTL, "--socket", d.admin_path, *map(str, arguments)], env=clean, cwd=d.directory, text=True,
                          capture_output=True, timeout=seconds(20), check=False, stdin=subprocess.DEVNULL)


def variables(d, *arguments, **env):
    result = ctl(d, "env", "--json", *arguments, **env)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_the_status_is_the_commands(proxy, place):
    d = proxy()
    for command, status in ((["sh", "-c", "exit 7"], 7), (["true"], 0), (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
                            ([place / "absent"], 127), ([place], 126), (["sh", "-c", 'test "$1" = --json', "x", "--json"], 0)):
        assert ctl(d, "run", "--", *command).returncode == ctl(d, "run", *command).returncode == status, command
    assert ctl(d, "run").returncode == ctl(d, "run", "--").returncode == ctl(d, "status", "--as", "x").returncode == 2


def test_nothing_else_is_changed(proxy):
    d = proxy()
    before = {k: v for k, v in environment(d.directory).items() if k not in CLEARED}
    result = ctl(d, "run", "--", "env", "-0")
    after = dict(entry.split("=", 1) for entry in result.stdout.split("\0") if entry)
    assert set(after) - set(before) == NAMES
    assert {k: after[k] for k in before} == before
    assert after["https_proxy"] == after["HTTP_PROXY"] == d.proxy_url
    assert variables(d) == {k: after[k] for k in NAMES}


def test_env_is_for_a_shell_and_again_within_itself(proxy):
    d = proxy()
    name = "it's $HOME; \"a b\""
    script = f'eval "$("$0" --socket {d.admin_path} env --as "$1")" && "$0" --socket {d.admin_path} env --json --as "$1"'
    had = {"PYTHONPATH": "/it's/$HOME/\"a b\""}
    clean = {k: v for k, v in environment(d.directory).items() if k not in CLEARED}
    result = subprocess.run(["sh", "-c", script, WEIRCTL, name], env={**clean, **had}, text=True, capture_output=True,
                            timeout=seconds(20), check=True)
    assert json.loads(result.stdout) == variables(d, "--as", name, **had)      # the second time changes nothing
    host, port = d.proxy_address
    assert variables(d, "--as", name)["https_proxy"] == f"http://it%27s%20%24HOME%3B%20%22a%20b%22:x@{host}:{port}"


def test_as_names_the_client(proxy, origin):
    d = proxy()
    fetch = "import urllib.request; print(urllib.request.urlopen('https://api.test/x').read())"
    result = ctl(d, "run", "--as", "nightly job", "--", sys.executable, "-c", fetch)
    assert result.stdout == "b'origin'\n", result
    assert d.access(1)[0]["client"] == "nightly job"


def test_the_roots_that_were_trusted_stay_trusted(proxy, place):
    d = proxy()
    own = place / "own.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    place / "own.key", "-out", own, "-days", "1", "-subj", "/CN=own root"], check=True, capture_output=True)
    wgetrc = place / "my-wgetrc"
    wgetrc.write_text("tries = 3")
    had = {"SSL_CERT_FILE": own, "NODE_EXTRA_CA_CERTS": own, "NO_PROXY": "intranet.example", "PYTHONPATH": "/lib/mine",
           "JAVA_TOOL_OPTIONS": "-Xmx1g", "WGETRC": wgetrc}
    now = variables(d, **had)
    assert variables(d, **{**had, **now}) == now                       # below itself: nothing grows, nothing is lost
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"):
        assert own.read_text() in read(now[name]) and d.ca in read(now[name])
    assert now["NO_PROXY"] == "localhost,127.0.0.1,::1,intranet.example"
    assert now["PYTHONPATH"].endswith(":/lib/mine") and now["JAVA_TOOL_OPTIONS"].startswith("-Xmx1g -D")
    assert read(now["WGETRC"]).splitlines() == ["tries = 3", f"ca_certificate = {now['SSL_CERT_FILE']}"]
    plain = variables(d)                                               # the system's, where there are some
    system = ssl.create_default_context().get_ca_certs()
    assert len(ssl.create_default_context(cafile=plain["SSL_CERT_FILE"]).get_ca_certs()) >= len(system) + 1
    assert "PRIVATE" not in read(plain["SSL_CERT_FILE"]) + read(plain["NODE_EXTRA_CA_CERTS"])


@pytest.mark.parametrize("had, both", [
    ({}, ""), ({"no_proxy": "a.test"}, ",a.test"), ({"NO_PROXY": "a.test, b.test"}, ",a.test,b.test"),
    ({"no_proxy": "a.test,c.test", "NO_PROXY": "b.test,A.test,localhost"}, ",a.test,c.test,b.test"),
    ({"no_proxy": "", "NO_PROXY": ",b.test,"}, ",b.test"),
])
def test_no_proxy_of_either_case_is_kept_in_both(proxy, had, both):
    now = variables(proxy(), **had)
    assert now["no_proxy"] == now["NO_PROXY"] == "localhost,127.0.0.1,::1" + both


def test_no_proxy_for_everything_is_told(proxy):
    assert "take it out" in ctl(proxy(), "env", NO_PROXY="*").stderr


def test_variables_that_would_lead_past_weir_are_replaced_where_they_are_set(proxy, place):
    d = proxy()
    own = place / "corporate.pem"
    own.write_text("-----BEGIN CERTIFICATE-----\ncorporate\n-----END CERTIFICATE-----\n")
    files = ["AWS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "PIP_CERT", "CARGO_HTTP_CAINFO", "npm_config_cafile", "HTTPS_CA_FILE",
             "WEBSOCKET_CLIENT_CA_BUNDLE"]
    proxies = ["ALL_PROXY", "all_proxy", "npm_config_https_proxy", "PIP_PROXY"]
    now = variables(d, **{name: own for name in files}, **{name: "socks5://elsewhere:1080" for name in proxies})
    assert {now[name] for name in files} == {now["SSL_CERT_FILE"]}
    assert read(now["SSL_CERT_FILE"]).count("corporate") == 1               # and what they named is trusted still
    assert {now[name] for name in proxies} == {now["https_proxy"]}


def test_php_reads_its_own_directories_and_weirs(proxy):
    d = proxy()
    now = variables(d)
    assert now["PHP_INI_SCAN_DIR"].startswith(":/")
    assert now["SSL_CERT_FILE"] in read(now["PHP_INI_SCAN_DIR"][1:] + "/weir.ini")
    mine = variables(d, PHP_INI_SCAN_DIR="/etc/mine")["PHP_INI_SCAN_DIR"]
    assert mine == "/etc/mine" + now["PHP_INI_SCAN_DIR"]
    assert variables(d, PHP_INI_SCAN_DIR=mine)["PHP_INI_SCAN_DIR"] == mine


@pytest.mark.real_clients
@pytest.mark.parametrize("command", [
    ["perl", "-MLWP::UserAgent", "-e", 'my $r = LWP::UserAgent->new->get("https://api.test/x"); print $r->decoded_content'],
    ["perl", "-MHTTP::Tiny", "-e", 'print HTTP::Tiny->new(verify_SSL => 1)->get("https://api.test/x")->{content}'],
    ["php", "-r", '$c = curl_init("https://api.test/x"); curl_setopt($c, CURLOPT_RETURNTRANSFER, true); echo curl_exec($c);'],
    [sys.executable, "-c", 'import httplib2; print(httplib2.Http().request("https://api.test/x")[1].decode(), end="")'],
    [sys.executable, "-c", 'import botocore.httpsession as h, botocore.awsrequest as a; '
                           's = h.URLLib3Session(verify=True, proxies={"https": __import__("os").environ["https_proxy"]}); '
                           'print(s.send(a.AWSRequest("GET", "https://api.test/x").prepare()).text, end="")'],
], ids=["perl_lwp", "perl_http_tiny", "php_curl", "httplib2", "botocore"])
def test_programs_of_other_languages_are_reached(proxy, origin, command):
    d = proxy()
    result = ctl(d, "run", "--", *command)
    assert result.stdout == "origin", result
    assert origin.count() == 1


def test_java_gets_every_root(proxy):
    d = proxy()
    now = variables(d)
    options = dict(option[2:].split("=", 1) for option in now["JAVA_TOOL_OPTIONS"].split() if option.startswith("-D"))
    with open(options["javax.net.ssl.trustStore"], "rb") as file:
        store = file.read()
    count = read(now["SSL_CERT_FILE"]).count("BEGIN CERTIFICATE")
    assert store[:12] == bytes.fromhex("feedfeed00000002") + count.to_bytes(4, "big")
    at, last = 12, b""
    for _ in range(count):
        at += 4
        at += 2 + int.from_bytes(store[at:at + 2], "big") + 8
        at += 2 + int.from_bytes(store[at:at + 2], "big")
        length = int.from_bytes(store[at:at + 4], "big")
        last = store[at + 4:at + 4 + length]
        at += 4 + length
    assert len(store) - at == 20 and last == ssl.PEM_cert_to_DER_cert(d.ca)
    host, port = d.proxy_address
    assert (options["https.proxyHost"], options["http.proxyPort"]) == (host, str(port))


def test_certifi_says_where_the_bundle_is(proxy, place):
    d = proxy()
    (place / "site" / "certifi").mkdir(parents=True)
    (place / "site" / "certifi" / "__init__.py").write_text("from .core import contents, where\n__version__ = '1'\n")
    (place / "site" / "certifi" / "core.py").write_text("def where(): return 'the real one'\ndef contents(): return where()\n")
    script = ("import certifi, certifi.core\n"
              "print(certifi.where(), certifi.core.where(), certifi.__version__, certifi.contents() == open(certifi.where()).read())")
    result = ctl(d, "run", "--", sys.executable, "-S", "-c", script, PYTHONPATH=place / "site")
    bundle = variables(d)["SSL_CERT_FILE"]
    assert result.stdout.split() == [bundle, bundle, "1", "True"], result
    result = ctl(d, "run", "--", sys.executable, "-S", "-c", "import certifi")
    assert "ModuleNotFoundError: No module named 'certifi'" in result.stderr


def test_run_says_why_it_cannot(weir, daemons, origin):
    d = weir()
    result = ctl(d, "run", "--", "true")
    assert result.returncode == 125 and "proxy = { listen" in result.stderr
    assert ctl(d, "env").returncode == 1
    d.stop()
    result = ctl(d, "run", "--", "true")
    assert result.returncode == 125 and "no weir answers" in result.stderr


def test_files_are_not_put_where_others_can_write(proxy):
    d = proxy()
    directory = os.path.dirname(variables(d)["SSL_CERT_FILE"])
    os.chmod(directory, 0o777)
    result = ctl(d, "run", "--", "true")
    assert result.returncode == 125 and directory in result.stderr


def test_ca_prints_the_certificate_and_says_what_to_do(proxy):
    d = proxy()
    shown = ctl(d, "ca")
    assert shown.returncode == 0 and shown.stdout == d.ca
    for word in ("SHA-256", "weirctl run", "update-ca-certificates", "--fresh", "rotate"):
        assert word in shown.stderr
    rotated = ctl(d, "ca", "rotate")
    assert rotated.returncode == 0 and rotated.stdout == d.ca != shown.stdout and "removed" in rotated.stderr
    assert json.loads(ctl(d, "ca", "--json").stdout)["certificate"] == d.ca
    assert ctl(d, "ca", "nonsense").returncode == 2


def test_a_damaged_ca_is_said_and_mended(proxy):
    d = proxy()
    (d.state / "ca.pem").write_text("nonsense\n")
    result = ctl(d, "ca")
    assert result.returncode == 1 and "weirctl ca rotate" in result.stderr and result.stdout == ""
    assert ctl(d, "ca", "rotate").returncode == 0
    assert ctl(d, "ca").returncode == 0


def test_an_address_of_all_is_reached_on_loopback(daemons, origin):
    d = daemons(upstream(origin), settings={"proxy": {"listen": "0.0.0.0:0"}, "server": {"allow_remote": True}}).start()
    assert variables(d)["https_proxy"] == "http://127.0.0.1:%d" % d.proxy_address[1]
