"""A client of its own process: walks an API's pages by the links that it gives, and prints what it found.

  walk.py LIBRARY URL [SOCKET]

From the first answer (a redirect) to page 1; on by Link's rel="next" and by the body's "next" in turn.  Where
the proxy is, the environment says.  The lines of standard output are the items.
"""
import asyncio
import json
import re
import sys

NEXT = re.compile(r'<([^>]*)>; rel="next"')


def walk(get, url):
    """`get(url)` gives a dict of fields in lower case and the decoded body, redirects followed."""
    turn = 0
    while url:
        fields, body = get(url)
        page = json.loads(body)
        print(*page["items"], sep="\n")
        by_field = NEXT.search(fields.get("link", ""))
        url = by_field[1] if by_field and turn % 2 == 0 else page["next"]
        turn += 1


def lower(fields):
    return {name.lower(): value for name, value in fields}


def with_requests(socket_path, host):
    import requests
    session = requests.Session()

    def get(url):
        response = session.get(url, headers=host, timeout=30)
        response.raise_for_status()
        return lower(response.headers.items()), response.text
    return get


def with_urllib(socket_path, host):
    import urllib.request

    def get(url):
        with urllib.request.urlopen(urllib.request.Request(url, headers=host), timeout=30) as response:
            return lower(response.headers.items()), response.read()
    return get


def with_httpx(socket_path, host):
    import httpx
    client = httpx.Client(transport=httpx.HTTPTransport(uds=socket_path) if socket_path else None, timeout=30, follow_redirects=True)

    def get(url):
        response = client.get(url, headers=host)
        response.raise_for_status()
        return lower(response.headers.items()), response.text
    return get


def with_aiohttp(socket_path, host):
    import aiohttp

    async def fetch(url):
        connector = aiohttp.UnixConnector(path=socket_path) if socket_path else None
        async with aiohttp.ClientSession(connector=connector, trust_env=True, raise_for_status=True) as session:
            async with session.get(url, headers=host) as response:
                return lower(response.headers.items()), await response.text()
    return lambda url: asyncio.run(fetch(url))


def main():
    library, url, *rest = sys.argv[1:]
    host = {"Host": rest.pop(0)[5:]} if rest and rest[0].startswith("host=") else {}
    walk({"requests": with_requests, "urllib": with_urllib, "httpx": with_httpx, "aiohttp": with_aiohttp}[library](rest[0] if rest else None, host), url)


if __name__ == "__main__":
    main()
