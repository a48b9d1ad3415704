"""The caches Weir is measured beside, each as its manual would set it up with one worker.

A peer has a name, a command that is looked for, and a configuration it is
started with in a folder of its own; it caches everything under /api for an
hour and passes what is under /pass.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=20):
    """Until something accepts, or the process has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
            time.sleep(0.02)
    raise RuntimeError(f"{process.args[0]} does not listen on {port}")


def children(pid):
    """The process and all below it."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            for child in (task / "children").read_text().split():
                found += children(int(child))
        except OSError:
            pass
    return found


def cpu_seconds(pid):
    """User and system time of the process and all below it."""
    ticks = 0
    for p in children(pid):
        try:
            fields = pathlib.Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def private_kib(pid):
    """Anonymous memory of the process and all below it."""
    total = 0
    for p in children(pid):
        try:
            for line in pathlib.Path(f"/proc/{p}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


class Peer:
    """One program under test: started in `folder`, listening on `port`, asking the origin on `origin_port`."""

    name = command = ""

    def __init__(self, folder, origin_port):
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir(mode=0o755)
        self.origin_port = origin_port
        self.port = free_port()
        self.process = None

    @classmethod
    def is_installed(cls):
        return shutil.which(cls.command, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is not None

    def arguments(self):
        raise NotImplementedError

    def start(self):
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        arguments = self.arguments()
        arguments[0] = shutil.which(arguments[0], path=path) or arguments[0]
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(arguments, stdout=output, stderr=output, cwd=self.folder)
        wait_for_port(self.port, self.process)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)


class Weir(Peer):
    name = "weir"
    command = os.environ.get("WEIR", "weir")

    def arguments(self):
        common = f'url = "http://127.0.0.1:{self.origin_port}"; partition = "shared"; max_connections = 64;'
        return [self.command, "-c", self.file("weir.conf", f'''
            listen = ( "127.0.0.1:{self.port}" );
            workers = 1;
            admin = {{ socket = "{self.folder}/admin.sock"; }};
            cache = {{ path = "{self.folder}/cache"; max_size = "4GiB"; }};
            state = {{ path = "{self.folder}/state"; }};
            log = {{ level = "warning"; access = "off"; }};
            upstreams = (
              {{ name = "api"; {common} ttl = "1h"; }},
              {{ name = "pass"; {common} ttl = "never"; hosts = ( "pass.test" ); }}
            );''')]


class Nginx(Peer):
    name = command = "nginx"

    def arguments(self):
        return ["nginx", "-e", f"{self.folder}/error.log", "-c", self.file("nginx.conf", f'''
            daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
            events {{ worker_connections 4096; }}
            http {{
              access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
              client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/temp;
              fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
              proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=c:100m max_size=4g inactive=1d
                               use_temp_path=off;
              upstream origin {{ server 127.0.0.1:{self.origin_port}; keepalive 64; }}
              server {{
                listen 127.0.0.1:{self.port} backlog=4096;
                proxy_http_version 1.1; proxy_set_header Connection "";
                location /api/ {{ proxy_pass http://origin/; proxy_cache c; proxy_cache_valid 200 1h;
                                  proxy_ignore_headers Cache-Control Expires; }}
                location /pass/ {{ proxy_pass http://origin/; proxy_buffering on; }}
              }}
            }}''')]


class Haproxy(Peer):
    name = command = "haproxy"

    def arguments(self):
        return ["haproxy", "-db", "-f", self.file("haproxy.cfg", f'''
global
    nbthread 1
    maxconn 8192
    tune.bufsize 16384
cache store
    total-max-size 1024
    max-object-size 2097152
    max-age 3600
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend in
    bind 127.0.0.1:{self.port}
    acl api path_beg /api/
    http-request cache-use store if api
    default_backend origin
backend origin
    http-request set-path %[path,regsub(^/(api|pass),,)]
    http-response set-header Cache-Control max-age=3600
    http-response cache-store store
    http-reuse always
    server o 127.0.0.1:{self.origin_port}
''')]


class Varnish(Peer):
    name, command = "varnish", "varnishd"

    def arguments(self):
        return ["varnishd", "-F", "-n", str(self.folder / "run"), "-a", f"127.0.0.1:{self.port}",
                "-s", "malloc,1G", "-T", "none", "-p", "thread_pools=1", "-p", "thread_pool_min=5",
                "-f", self.file("default.vcl", f'''
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.origin_port}"; }}
sub vcl_recv {{
    if (req.url ~ "^/pass/") {{ set req.url = regsub(req.url, "^/pass", ""); return (pass); }}
    set req.url = regsub(req.url, "^/api", "");
    return (hash);
}}
sub vcl_backend_response {{ set beresp.ttl = 1h; return (deliver); }}
''')]


ALL = (Weir, Nginx, Haproxy, Varnish)
