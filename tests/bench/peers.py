"""The caches Weir is measured beside, each as its manual would set it up with one worker.

A peer has a name, a command that is looked for, and a configuration it is
started with in a folder of its own; it caches everything under /api for an
hour and passes what is under /pass.  Logs of requests are off everywhere.
"""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=120):
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
    """Memory of the process and all below it that is no file's: anonymous, and what they share among themselves."""
    total = 0
    for p in children(pid):
        try:
            for line in pathlib.Path(f"/proc/{p}/status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


class Peer:
    """One program under test: started in `folder`, listening on `port`, asking the origin on `origin_port`."""

    name = command = ""
    user = None                       # where the program would not run as root
    megabytes = 512                   # of memory for its cache, where it has to be told
    is_floor = False                  # no proxy that anybody would run: what it takes is the least there can be

    def __init__(self, folder, origin_port):
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir(mode=0o755)
        self.origin_port = origin_port
        self.port = free_port()
        self.process = None

    @classmethod
    def is_installed(cls):
        return shutil.which(cls.command, path=PATH) is not None

    def arguments(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self):
        arguments = self.arguments()
        arguments[0] = shutil.which(arguments[0], path=PATH) or arguments[0]
        if self.user is not None and os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, pwd.getpwnam(self.user).pw_uid, -1)
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            cwd=self.folder, env={**os.environ, **self.environment()})
        try:
            wait_for_port(self.port, self.process)
        except RuntimeError as reason:
            raise RuntimeError(f"{reason}:\n{(self.folder / 'output').read_text(errors='replace')[-2000:]}") from None

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
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
    workers = 1
    cache, size = None, "16GiB"       # a cache that is there already; None: one of its own
    more = ""                         # upstreams
    settings = ""

    def upstreams(self):
        common = (f'url = "http://127.0.0.1:{self.origin_port}"; partition = "shared"; '
                  'max_connections = 64; max_idle_connections = 64;')
        return f'''
              {{ name = "api"; {common} ttl = "1h"; }},
              {{ name = "pass"; {common} ttl = "never"; hosts = ( "pass.test = 127.0.0.1:{self.origin_port}" ); }}{self.more}'''

    def arguments(self):
        return [self.command, "-c", self.file("weir.conf", f'''
            listen = ( "127.0.0.1:{self.port}" );
            workers = {self.workers};
            admin = {{ socket = "{self.folder}/admin.sock"; }};
            cache = {{ path = "{self.cache or self.folder / 'cache'}"; max_size = "{self.size}"; }};
            state = {{ path = "{self.folder}/state"; }};
            log = {{ level = "warning"; access = "off"; }};
            upstreams = ({self.upstreams()}
            );
            {self.settings}''')]


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
              proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=c:256m max_size=16g inactive=1d
                               use_temp_path=off;
              upstream origin {{ server 127.0.0.1:{self.origin_port}; keepalive 64; keepalive_requests 1000000000; }}
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
cache store
    total-max-size {self.megabytes}
    max-object-size 16777216
    max-age 3600
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend in
    bind 127.0.0.1:{self.port} backlog 4096
    acl api path_beg /api/
    http-request cache-use store if api
    use_backend cached if api
    default_backend passed
backend cached
    http-response cache-store store
    http-reuse always
    server o 127.0.0.1:{self.origin_port}
backend passed
    http-reuse always
    server o 127.0.0.1:{self.origin_port}
''')]


class Varnish(Peer):
    name, command = "varnish", "varnishd"

    def arguments(self):
        return ["varnishd", "-F", "-n", str(self.folder / "run"), "-a", f"127.0.0.1:{self.port}",
                "-s", f"malloc,{self.megabytes}M", "-T", "none", "-p", "thread_pools=1",
                "-f", self.file("default.vcl", f'''
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.origin_port}"; }}
sub vcl_recv {{
    if (req.url ~ "^/pass/") {{ return (pass); }}
    return (hash);
}}
sub vcl_backend_response {{ set beresp.ttl = 1h; return (deliver); }}
''')]


class TrafficServer(Peer):
    name, command, user = "ats", "traffic_server", "trafficserver"

    def environment(self):
        return {"TS_RUNROOT": str(self.folder / "runroot.yaml")}

    def arguments(self):
        folders = {name: self.folder / name for name in ("etc", "run", "log", "cache", "share")}
        for path in folders.values():
            path.mkdir()
        self.file("runroot.yaml", f"""
prefix: {self.folder}
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: {folders["etc"]}
datadir: {folders["share"]}
includedir: /usr/include
libdir: /usr/lib
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {folders["run"]}
runtimedir: {folders["run"]}
logdir: {folders["log"]}
mandir: /usr/share/man
infodir: /usr/share/info
cachedir: {folders["cache"]}
""")
        self.file("etc/records.config", f"""
CONFIG proxy.config.http.server_ports STRING {self.port}:ip-in=127.0.0.1
CONFIG proxy.config.admin.user_id STRING {self.user}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.cache.threads_per_disk INT 2
CONFIG proxy.config.cache.ram_cache.size INT {self.megabytes << 20}
CONFIG proxy.config.http.cache.required_headers INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.diags.output.diag STRING E
CONFIG proxy.config.net.connections_throttle INT 10000
""")
        self.file("etc/remap.config", f"map / http://127.0.0.1:{self.origin_port}/\n")
        self.file("etc/storage.config", f"{folders['cache']} 8G\n")
        self.file("etc/ip_allow.yaml", """
ip_allow:
  - { apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL }
""")
        self.file("etc/cache.config", "url_regex=/pass/ action=never-cache\n")
        return ["traffic_server"]


class Squid(Peer):
    name, command, user = "squid", "squid", "proxy"

    def arguments(self):
        return ["squid", "-N", "-f", self.file("squid.conf", f"""
http_port 127.0.0.1:{self.port} accel defaultsite=127.0.0.1 no-vhost
cache_peer 127.0.0.1 parent {self.origin_port} 0 no-query originserver name=origin
acl pass urlpath_regex ^/pass/
cache deny pass
http_access allow all
cache_mem {self.megabytes} MB
maximum_object_size_in_memory 16 MB
pinger_enable off
access_log none
cache_store_log none
cache_log {self.folder}/cache.log
pid_filename {self.folder}/pid
coredump_dir {self.folder}
netdb_filename none
shutdown_lifetime 0 seconds
max_filedescriptors 8192
""")]


class Bare(Peer):
    """tests/bench/bare.c: Weir's two libraries in a loop. It stores nothing, so it takes part where nothing is stored."""

    name = "bare"
    command = os.environ.get("WEIR_BARE", "tests/bench/bare")
    is_floor = True

    def arguments(self):
        return [self.command, str(self.port), str(self.origin_port)]


ALL = (Weir, Nginx, Haproxy, Varnish, TrafficServer, Squid, Bare)
