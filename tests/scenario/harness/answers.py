"""How an origin answers: handlers that many tests have."""

FRESH = [("Cache-Control", "max-age=3600")]


def numbered(fields=(), status=200):
    """Each answer's body is its number: a hit shows by the old one."""
    def handler(request, conn):
        conn.answer(status, b"%d" % (conn.origin.requests.index(request) + 1), fields)
    return handler


def validating(etag='"v1"', fields=(), body=b"body"):
    """304 to the right If-None-Match, else 200."""
    def handler(request, conn):
        if request.fields.get("If-None-Match") == etag:
            conn.answer(304, b"", [("ETag", etag), *fields])
        else:
            conn.answer(200, body, [("ETag", etag), *fields])
    return handler
