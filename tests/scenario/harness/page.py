"""The admin's TCP address, where the page is: its address, links and tokens, as a program sees them."""
import json
import re
import urllib.parse

from harness.client import Client

LISTEN = {"admin": {"listen": "127.0.0.1:0"}}


def address(d):
    """(host, port) of admin.listen."""
    host, port = re.findall(r"listening address=(127\.0\.0\.1):([0-9]+) kind=admin", d.stderr)[-1]
    return host, int(port)


def link(d, *arguments):
    """What `weirctl dashboard` prints."""
    result = d.ctl("dashboard", "--print", *arguments)
    assert result.returncode == 0, result
    return result.stdout.strip()


def code_of(url):
    return urllib.parse.urlsplit(url).fragment.removeprefix("code=")


def ask(d, method="GET", target="/status", fields=(), body=None, token=None):
    fields = list(fields) + ([("Authorization", f"Bearer {token}")] if token else [])
    with Client(address(d)) as client:
        return client.request(method, target, fields, body)


def exchange(d, code, fields=()):
    return ask(d, "POST", "/session", fields, json.dumps({"code": code}).encode())


def token(d):
    """A session's."""
    response = exchange(d, code_of(link(d)))
    assert response.status == 200, response
    return json.loads(response.body)["token"]
