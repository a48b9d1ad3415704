"""The command line of weir: --check, --dump-config, --version, --help (item 8)."""
import re

import pytest

from harness.daemon import run
from harness.settings import render
from harness.wait import WEIR


@pytest.fixture
def weir_command(place):
    def command(*arguments):
        return run([WEIR, *arguments], place)
    return command


@pytest.fixture
def config(place):
    path = place / "weir.conf"

    def write(text):
        path.write_text(text)
        return path
    return write


GOOD = render({"listen": ["127.0.0.1:0"], "upstreams": [{"name": "api", "url": "http://127.0.0.1:1", "ttl": "1h"}]})


def test_version(weir_command):
    result = weir_command("--version")
    assert result.returncode == 0 and re.match(r"weir \d+\.\d+", result.stdout) and result.stderr == ""


def test_help_names_every_option(weir_command):
    result = weir_command("--help")
    assert result.returncode == 0 and result.stderr == ""
    for option in ("-c", "--check", "--dump-config", "--version", "--help"):
        assert option in result.stdout


@pytest.mark.parametrize("arguments", [["--nonsense"], ["-c"], ["surplus"], ["-z"]])
def test_wrong_usage(weir_command, arguments):
    result = weir_command(*arguments)
    assert result.returncode not in (0, 99, 66) and result.returncode > 0
    assert result.stderr != "" and result.stdout == ""


def test_check_of_a_good_file_is_silent_or_says_ok(weir_command, config):
    result = weir_command("--check", "-c", config(GOOD))
    assert result.returncode == 0 and len((result.stdout + result.stderr).splitlines()) <= 1


def test_check_starts_nothing(weir_command, config, place):
    weir_command("--check", "-c", config(GOOD))
    assert sorted(p.name for p in place.iterdir()) == ["weir.conf"]


BAD = {
    # name: (text, line, what the message must name)
    "unknown_setting": ('listen = ( "127.0.0.1:0" );\nlisen = 1;\n', 2, "lisen"),
    "wrong_type": ('listen = ( "127.0.0.1:0" );\nworkers = "two";\n', 2, "workers"),
    "bad_duration": ('upstreams = (\n { name = "a"; url = "http://127.0.0.1:1";\n   ttl = "soon"; } );\n', 3, "ttl"),
    "trailing_comma": ('upstreams = (\n { name = "a"; url = "http://127.0.0.1:1"; },\n);\n', 2, "comma"),
    "same_name_twice": ('upstreams = (\n { name = "a"; url = "http://127.0.0.1:1"; },\n { name = "a"; url = "http://127.0.0.1:2"; } );\n',
                        3, "a"),
    "bad_limit": ('upstreams = (\n { name = "a"; url = "http://127.0.0.1:1"; limits = ( "60/fortnight" ); } );\n', 2, "limits"),
    "bad_pattern": ('upstreams = (\n { name = "a"; url = "http://127.0.0.1:1";\n rules = ( { match = "~["; ttl = "1h"; } ); } );\n', 3, "match"),
    "no_url": ('upstreams = (\n { name = "a"; } );\n', 2, "url"),
    "not_a_url": ('upstreams = (\n { name = "a"; url = "ftp://x"; } );\n', 2, "url"),
    "huge_number": ("workers = 99999999999;\n", 1, "workers"),
}


@pytest.mark.parametrize("name", BAD)
def test_check_names_file_line_and_setting(weir_command, config, name):
    text, line, word = BAD[name]
    path = config(text)
    result = weir_command("--check", "-c", path)
    said = (result.stdout + result.stderr).splitlines()
    assert result.returncode == 1
    assert any(f"{path}:{line}:" in s and word in s for s in said), said


def test_check_names_every_error(weir_command, config):
    path = config('workers = "two";\nlisen = 1;\n')
    said = weir_command("--check", "-c", path)
    text = said.stdout + said.stderr
    assert f"{path}:1:" in text and f"{path}:2:" in text


@pytest.mark.parametrize("arguments", [["--check"], []], ids=["check", "start"])
def test_missing_file(weir_command, place, arguments):
    result = weir_command(*arguments, "-c", place / "absent.conf")
    assert result.returncode == 1 and "absent.conf" in result.stderr + result.stdout
    assert len((result.stdout + result.stderr).splitlines()) == 1


def test_start_with_a_bad_file_says_the_same_as_check(weir_command, config):
    path = config(BAD["unknown_setting"][0])
    result = weir_command("-c", path)
    assert result.returncode == 1 and f"{path}:2:" in result.stderr


def test_check_warns_of_a_hidden_rule(weir_command, config):
    path = config('upstreams = (\n { name = "a"; url = "http://127.0.0.1:1"; rules = (\n { match = "/a/**"; ttl = "1h"; },\n'
                  ' { match = "/a/b"; ttl = "2h"; } ); } );\n')
    result = weir_command("--check", "-c", path)
    assert result.returncode == 0 and f"{path}:4:" in result.stdout + result.stderr


def test_dump_can_be_loaded_again_and_is_then_the_same(weir_command, config, place):
    path = config(render({"listen": ["127.0.0.1:0"], "cache": {"path": "/tmp/x", "max_size": "1GiB"}, "upstreams": [
        {"name": "api", "url": "https://api.example.com/v1", "hosts": ["api.example.com"], "limits": ["10/s burst 20", "60/min"],
         "ttl": "origin else 30m", "retry": {"attempts": 4, "on": [429, 503]}, "timeout": {"read": "7s"},
         "rules": [{"match": "/a/**", "ttl": "30d", "status": ["404 1m"]}, {"match": "~^/v[0-9]+/", "methods": ["GET", "POST"], "ttl": "never"}]},
        {"name": "other", "url": "http://127.0.0.1:1", "partition": "shared"}]}))
    first = weir_command("--dump-config", "-c", path)
    assert first.returncode == 0 and first.stderr == ""
    for word in ("10/s burst 20", "origin else 30m", "/a/**", "127.0.0.1:0", "max_wait", "stale_if_error", "7s"):
        assert word in first.stdout, word
    again = place / "again.conf"
    again.write_text(first.stdout)
    second = weir_command("--dump-config", "-c", again)
    assert second.returncode == 0 and second.stdout == first.stdout


def test_dump_hides_no_default(weir_command, config):
    text = weir_command("--dump-config", "-c", config(GOOD)).stdout
    for setting in ("workers", "max_size", "max_object_size", "attempts", "backoff", "connect", "read", "partition", "on_abort", "invalidate"):
        assert re.search(rf"\b{setting}\s*=", text), setting
