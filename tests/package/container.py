"""A Containerfile, carried out on a machine of machine.py's: its base is that machine, which is not changed.  What our own
files use is understood, and nothing else."""
import json
import re
import shlex


def instructions(text):
    """(NAME, rest) of each, lines that go on joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", text)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            name, rest = line.split(None, 1)
            yield name.upper(), rest.strip()


class Stage:
    def __init__(self, host, folder):
        """The machine's files, and over them what this stage writes."""
        self.host, self.folder, self.root = host, folder, f"{folder}/root"
        self.work, self.environment, self.config = "/", {}, {"VOLUME": []}
        host.run("sh", "-c", 'mkdir -p "$1/upper" "$1/work" "$1/root" && '
                 'mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root" && '
                 'mount --bind /proc "$1/root/proc" && mount --bind /dev "$1/root/dev" && mount -t tmpfs -o mode=1777 tmpfs "$1/root/tmp"',
                 "stage", folder)

        # No network: what is installed is all there is, but for what a Weir has left on this machine.
        host.run("sh", "-c", 'rm -rf "$1"/var/*/weir "$1/etc/weir" "$1"/var/lib/apt/lists/* && echo "Acquire::Retries 0;" > "$1/etc/apt/apt.conf.d/99none"', "none", self.root)

    def step(self, command):
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        self.host.run("chroot", self.root, "env", "-C", self.work, *settings, "sh", "-ec", command, timeout=500)

    def done(self):
        self.host.run("sh", "-c", 'umount "$1/tmp" "$1/dev" "$1/proc"', "done", self.root)

    def copy(self, source, target):
        """As COPY does: what is in a folder, not the folder."""
        self.host.run("sh", "-c", 'mkdir -p "$2" && cp -a "$1/." "$2/"', "copy", source, self.root + target)


class Image:
    """What a Containerfile leaves: its last stage's root and settings."""

    def __init__(self, host, folder, context, text, arguments):
        stages, known, stage = {}, {}, None
        for name, rest in instructions(text):
            if name == "ARG":
                key, _, value = rest.partition("=")
                known[key] = arguments.get(key, "".join(shlex.split(value)) if value else "")
                if stage:
                    stage.environment[key] = known[key]
            elif name == "FROM":
                assert rest.split()[0] == "${BASE}", rest
                stage = stages[rest.split()[-1]] = Stage(host, f"{folder}/{len(stages)}")
            elif name == "COPY":
                *options, source, target = rest.split()
                stage.copy(stages[options[0].split("=")[1]].root + source if options else context, target)
            elif name == "WORKDIR":
                stage.work = rest
            elif name == "RUN":
                stage.step(rest)
            elif name in ("VOLUME", "ENTRYPOINT", "CMD"):
                stage.config[name] = json.loads(rest)
            elif name == "HEALTHCHECK":
                stage.config[name] = json.loads(rest[rest.index("["):])
            else:
                assert name in ("USER", "EXPOSE", "STOPSIGNAL"), name
                stage.config[name] = rest
        for one in stages.values():
            one.done()
        self.host, self.root, self.config, self.stages = host, stage.root, stage.config, list(stages.values())
        self.written = f"{stage.folder}/upper"
        self.volumes = f"{folder}/volumes"
        for path in self.config["VOLUME"]:          # an empty one begins as the image has the folder
            host.run("sh", "-c", 'mkdir -p "$2$3" && cp -a "$1$3/." "$2$3/" && chown --reference="$1$3" "$2$3" && '
                     'chmod --reference="$1$3" "$2$3"', "volume", self.root, self.volumes, path)

    def start(self, unit):
        host, (uid, gid) = self.host, self.config["USER"].split(":")
        host.run("systemd-run", f"--unit={unit}", "--remain-after-exit", "-p", "KillMode=process", "unshare", "--mount", "--pid", "--fork",
                 "--kill-child=KILL", "/root/contain", self.root, uid, gid, self.volumes,
                 ":".join(self.config["VOLUME"]), *self.config["ENTRYPOINT"], *self.config["CMD"])

    def first(self, unit):
        """The process that is the first of its own; "": there is none (yet)."""
        outer = self.host.run("systemctl", "show", "-P", "MainPID", unit).stdout.strip()
        return self.host.run("cat", f"/proc/{outer}/task/{outer}/children", check=False).stdout.strip()

    def stop(self, unit):
        """Its first process does not end with the one outside: that tie went when it gave up its privileges."""
        first = self.first(unit)
        if first:
            self.host.run("kill", "-KILL", first)
        self.host.run("systemctl", "stop", unit, check=False)
        self.host.run("systemctl", "reset-failed", unit, check=False)

    def inside(self, pid, *words, check=True):
        """As docker exec does it."""
        uid, gid = self.config["USER"].split(":")
        return self.host.run("nsenter", "-t", pid, "-m", "-p", f"--root=/proc/{pid}/root", "--", "setpriv", f"--reuid={uid}", f"--regid={gid}",
                             "--clear-groups", *words, check=check)

    def remove(self):
        self.host.run("sh", "-c", 'for root; do umount "$root"; rm -rf "$(dirname "$root")"; done', "remove", *(one.root for one in self.stages))
