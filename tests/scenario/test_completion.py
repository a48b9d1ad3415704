"""What completes weirctl's line: asked of the commands' rows, by bash, zsh and fish themselves."""
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.daemon import run
from harness.wait import WEIRCTL

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "etc/completion"
COMMANDS = {"status", "limits", "ls", "show", "purge", "flush", "compact", "reload", "reopen", "check", "ca", "env", "run"}
ENVIRONMENT = {"PATH": f"{os.path.dirname(os.path.abspath(WEIRCTL or ''))}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def told(place, *words, socket=None):
    """What weirctl says that the last word may become, without the help."""
    before = ["--socket", str(socket)] if socket else []
    result = run([WEIRCTL, "complete", "--", *before, *words], place)
    assert result.returncode == 0 and result.stderr == ""
    return [line.split("\t")[0] for line in result.stdout.splitlines()]


def test_rows_complete_commands_options_and_words(place):
    assert COMMANDS <= set(told(place, "")) and "complete" not in told(place, "")
    for words, expected in ((["lim"], ["limits"]), (["ls", "--lo"], ["--long"]), (["--js"], ["--json"]),
                            (["ls", "--sort", ""], ["size", "age", "hits", "expires"]), (["ls", "--sort", "a"], ["age"]),
                            (["ls", "--sort=a"], ["--sort=age"]), (["ls", "--sort", "=", "a"], ["age"]),
                            (["ls", "-c", ""], [":file"]), (["check", "x"], [":file"]), (["run", "py"], [":program"]),
                            (["run", "--", "py"], [":program"]), (["run", "python3", "--js"], [":file"]),
                            (["ca", ""], ["rotate"]), (["ca", "rotate", ""], []), (["limits", "forg"], ["forget"]),
                            (["ls", "--", "--lo"], []), (["nonsense", ""], sorted(told(place, "")))):
        got = told(place, *words)
        assert (sorted(got) if words[0] == "nonsense" else got) == expected, words


def test_every_option_of_help_is_completed(place):
    for command in told(place, ""):
        text = run([WEIRCTL, command, "--help"], place).stdout
        assert sorted(set(re.findall(r"^  (?:-\S,|   ) (--[\w-]+)", text, re.M))) == sorted(told(place, command, "--")), command


def test_names_come_from_the_daemon(place, weir):
    d = weir(limits=[{"rate": "60/min", "name": "a minute's"}])
    d.get("/api/x")
    assert told(place, "ls", "--upstream", "", socket=d.admin_path) == ["api"]
    assert told(place, "limits", "forget", "a", socket=d.admin_path) == ["api"]
    assert told(place, "limits", "forget", "api", "", socket=d.admin_path) == ["a minute's"]
    assert told(place, "limits", "forget", "other", "", socket=d.admin_path) == []
    assert told(place, "ls", "--upstream", "", socket=place / "absent.sock") == []


# -- the shells --

def typed(shell, line, place, keys=b"\t"):
    """Types the line and a tab into the shell at a terminal, and returns what the line has become."""
    start = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    prepare = {"bash": f"bind 'set enable-bracketed-paste off'; . {SCRIPTS}/bash/weirctl",
               "zsh": f"unsetopt zle_bracketed_paste; fpath=({SCRIPTS}/zsh $fpath); autoload -Uz compinit; "
                      f"compinit -u -d {place}/dump; bindkey -e"}[shell]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place)
        os.execvpe(start[0], start, ENVIRONMENT | {"HOME": str(place)})
    seen = b""

    def wait(what):
        nonlocal seen
        end = time.monotonic() + 30
        while not re.search(what, seen):
            assert time.monotonic() < end, seen
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 65536)
        return re.search(what, seen)
    try:
        os.write(terminal, f"{prepare}; echo re''ady\n".encode())
        wait(rb"ready\r\n")
        os.write(terminal, line.encode() + keys + b"\x01printf '[%s]' \x05; echo e''nd\n")
        return re.findall(r"\[(.*?)\]", wait(rb"(\[[^\r\n]*\])end").group(1).decode())[1:]
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shell_at_a_terminal(place, weir, shell):
    assert shutil.which(shell), f"install the package {shell}"
    d = weir(limits=["60/min"])
    (place / "my file.conf").write_text("")
    for line, expected in (("weirctl stat", ["status"]), ("weirctl ls --lon", ["ls", "--long"]),
                           ("weirctl ls --sort=ex", ["ls", "--sort=expires"]),
                           (f"weirctl --socket {d.admin_path} ls --upstream a", ["--socket", str(d.admin_path), "ls", "--upstream", "api"]),
                           (f"weirctl --socket {d.admin_path} limits forget api 6",
                            ["--socket", str(d.admin_path), "limits", "forget", "api", "60/min"]),
                           ("weirctl check my", ["check", "my file.conf"])):
        assert typed(shell, line, place) == expected, line


def test_fish(place, weir):
    assert shutil.which("fish"), "install the package fish"
    d = weir()

    def ask(line):
        result = subprocess.run(["fish", "--no-config", "-c", f"source {SCRIPTS}/fish/weirctl.fish; complete -C '{line}'"],
                                env=ENVIRONMENT | {"HOME": str(place)}, cwd=place, capture_output=True, text=True, timeout=60, check=True)
        return [x.split("\t")[0] for x in result.stdout.splitlines()]
    (place / "mine.conf").write_text("")
    assert COMMANDS <= set(ask("weirctl "))
    assert ask("weirctl ls --lon") == ["--long"] and ask("weirctl ls --sort=ex") == ["--sort=expires"]
    assert ask(f"weirctl --socket {d.admin_path} ls --upstream ") == ["api"]
    assert ask("weirctl check mi") == ["mine.conf"]


def test_bash_lists_all_commands(place):
    script = f'. {SCRIPTS}/bash/weirctl; COMP_WORDS=(weirctl ""); COMP_CWORD=1; _weirctl; printf "%s\\n" "${{COMPREPLY[@]}}"'
    result = subprocess.run(["bash", "-c", script], env=ENVIRONMENT, cwd=place, capture_output=True, text=True, timeout=60, check=True)
    assert COMMANDS <= set(result.stdout.split()) and result.stderr == ""


@pytest.mark.parametrize("arguments, says", [
    (["ls", "--nonsense"], "--nonsense"), (["ls", "--sort"], "--sort"), (["ls", "a", "b"], '"b"'), (["show"], "lacks"),
    (["status", "x"], '"x"'), (["status", "--as", "x"], "--as"), (["ca", "wrong"], "wrong"), (["nonsense"], '"nonsense"')])
def test_wrong_use_says_what_is_wrong_and_what_is_right(place, arguments, says):
    result = run([WEIRCTL, *arguments], place)
    assert result.returncode == 2 and result.stdout == "" and says in result.stderr.splitlines()[0] and "--help" in result.stderr
