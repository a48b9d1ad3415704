"""Requests that wait: many at once, one behind the other, and an origin that lets them through one by one."""
import threading

from harness.wait import seconds, until


def fire(d, count, target="/api/%d", fields=()):
    """`count` requests at once, each on a connection of its own."""
    clients = [d.connect(timeout=30) for _ in range(count)]
    for i, client in enumerate(clients):
        client.start("GET", target % i, fields)
    return clients


def collect(clients):
    responses = [client.read_response() for client in clients]
    for client in clients:
        client.close()
    return responses


class Gate:
    """Holds each answer until the test lets one more go."""

    def __init__(self):
        self.turns = threading.Semaphore(0)

    def __call__(self, request, conn):
        assert self.turns.acquire(timeout=seconds(20))
        conn.answer(body=request.target.encode())

    def open(self, count=1000):
        self.turns.release(count)


def waiting(d):
    return sum(u["waiting"] for u in upstreams_of(d))


def upstreams_of(d):
    """The upstreams' part of the status, a list of objects."""
    part = d.status()["upstreams"]
    return list(part.values()) if isinstance(part, dict) else part


def enqueue(d, targets, fields=lambda t: []):
    """One client after the other, each seen waiting before the next begins."""
    clients = []
    for target in targets:
        before = waiting(d)
        client = d.connect(timeout=30)
        client.start("GET", target, fields(target))
        clients.append(client)
        until(lambda: waiting(d) > before, f"{target} in the queue")
    return clients
