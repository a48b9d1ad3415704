"""Asks Weir until it hears a line on standard input: new connections, kept ones, and answers that take a while.  Prints
how many answers came and each request that got none."""
import http.client
import sys
import threading
import time

stop = threading.Event()
answers, lost = [], []


def ask(connection, path):
    """Once more on a new connection where a kept one has been closed before a byte of the answer, as clients do."""
    for fresh in (connection.sock is None, True):
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()
            if fresh:
                raise
            continue
        answers.append(answer.status)
        if answer.status != 200:
            lost.append(f"{path}: {answer.status}")
        return


def client(path, kept, number):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    n = 0
    while not stop.is_set():
        n += 1
        try:
            ask(connection, path.format(n=f"{number}-{n}"))
        except OSError as error:
            lost.append(f"{path}: {error!r}")
            connection.close()
        if not kept:
            connection.close()
        time.sleep(0.01)


threads = [threading.Thread(target=client, args=how) for how in (
    ("/test/cached", True, 1), ("/test/cached", False, 2), ("/test/new/{n}", True, 3), ("/test/new/{n}", False, 4),
    ("/test/slow/0.7/{n}", True, 5), ("/test/slow/0.7/{n}", False, 6))]
for thread in threads:
    thread.start()
print("asking", flush=True)
sys.stdin.readline()
stop.set()
for thread in threads:
    thread.join()
print(len(answers))
print("\n".join(lost))
