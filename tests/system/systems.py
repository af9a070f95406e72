"""Debian systems of their own on this machine: each is booted by systemd-nspawn on an overlay of one cached base
(tests/system/base), on a host of livyha.netns' network, in a memory cgroup that is its whole memory. To be used within
the namespaces that livyha.netns has entered: all of it but the cgroups goes with them, however the run ends."""
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from livyha import proc
from livyha.netns import Host
from livyha.overlay import overlay
from livyha.wait import spawn, tail, wait_for

_T = TypeVar("_T")
_CGROUPS = "/sys/fs/cgroup"
_REBOOT = 133  # systemd-nspawn --keep-unit: the system inside wants to be booted again


class Cgroups:
    """A cgroup of the test's own in the memory hierarchy, with a limit, and in systemd's; version 1 and 2 of cgroups."""

    def __init__(self, name: str, memory: int) -> None:
        self._made: list[str] = []
        prefix = os.environ["LIVY_HA_TEST_CGROUP"]  # tests/system/run removes what a run that was killed has left of them
        unified = not os.path.isdir(f"{_CGROUPS}/memory")
        if unified:
            with open(f"{_CGROUPS}/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write("+memory")  # nothing where it is given on already
        for hierarchy in [""] if unified else ["memory", "systemd", "unified"]:
            path = os.path.join(_CGROUPS, hierarchy, f"{prefix}-{name}")
            if os.path.isdir(os.path.dirname(path)):
                os.mkdir(path)
                self._made.append(path)
        limit = "memory.max" if unified else "memory.limit_in_bytes"
        with open(os.path.join(self._made[0], limit), "w", encoding="ascii") as file:
            file.write(str(memory))

    @property
    def wrapper(self) -> list[str]:
        """A command to run another under, by exec alone, in there."""
        enter = " && ".join(f'echo $$ > "{path}/cgroup.procs"' for path in self._made)
        return ["sh", "-c", f'{enter} && exec "$@"', "sh"]

    def oom_kills(self) -> int:
        for name in ("memory.events", "memory.oom_control"):
            try:
                with open(os.path.join(self._made[0], name), encoding="ascii") as file:
                    return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
            except FileNotFoundError:
                continue
        raise AssertionError("the kernel does not count what it kills for want of memory")

    def remove(self) -> None:
        for path in self._made:
            for directory, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass  # a process is not gone yet: the group stays, empty and without effect


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class System:
    """`shared` is a directory that all systems have at /srv/shared."""

    def __init__(self, host: Host, lower: str, directory: str, shared: str, memory: int = 384 << 20) -> None:
        self.host = host
        self.name = host.name
        os.makedirs(directory)
        self.root = overlay(lower, directory)
        self.shared = shared
        self.console = os.path.join(directory, "console.log")
        self.cgroups = Cgroups(self.name, memory)
        self.process: subprocess.Popen[bytes] | None = None
        self.write("/etc/hostname", f"{host.name}\n")
        os.makedirs(self.path("/var/log/journal"), exist_ok=True)  # so that it outlives a reboot

    # ---- its files ----------------------------------------------------------------------------------------

    def path(self, inside: str) -> str:
        return self.root + inside

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        with open(self.path(inside), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(inside), mode)

    def read(self, inside: str) -> str:
        with open(self.path(inside), encoding="utf-8") as file:
            return file.read()

    # ---- its life -----------------------------------------------------------------------------------------

    def power_on(self) -> None:
        # @memlock: a host's systemd gives its services LimitMEMLOCK=infinity and mlockall(), nspawn by itself does not.
        argv = [*self.cgroups.wrapper, "systemd-nspawn", "--quiet", "--directory", self.root, "--boot", "--register=no",
                "--system-call-filter=@memlock",
                "--keep-unit", f"--network-namespace-path=/run/netns/{self.name}", f"--machine={self.name}",
                "--resolv-conf=off", "--timezone=off", f"--bind={self.shared}:/srv/shared", "--console=pipe",
                f"--bind-ro={self.host.hosts_file}:/etc/hosts"]
        with open(self.console, "ab") as log:
            self.process = spawn(argv, {"PATH": os.environ["PATH"]}, log)

    def init(self) -> int | None:
        """The pid of the systemd inside."""
        if self.process is None:
            return None
        return next((pid for pid in proc.children(self.process.pid)
                     if os.path.basename(proc.executable(pid)) == "systemd"), None)

    def booted(self) -> bool:
        return self.init() is not None and self.run("systemctl", "is-system-running", check=False).out.strip() in (
            "running", "degraded")

    def wait_booted(self) -> "System":
        self.wait(self.booted, 90, "the system is booted")
        return self

    def reboot(self) -> None:
        """Asks the system itself, and boots it again once it has gone down."""
        process = self.process
        assert process is not None
        self.run("systemctl", "--no-block", "reboot")
        self.wait(lambda: process.poll() is not None, 120, "the system has gone down")
        assert process.returncode == _REBOOT, f"systemd-nspawn ended with {process.returncode}:\n{tail(self.console)}"
        self.power_on()
        self.wait_booted()

    def power_off(self) -> None:
        """As by pulling the plug."""
        if self.process is None:
            return
        init = self.init()
        if init is not None:
            proc.send(init, signal.SIGKILL)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None

    def destroy(self) -> None:
        self.power_off()
        self.cgroups.remove()
        subprocess.run(["umount", "--lazy", self.root], check=False)

    def has_process(self, pid: int) -> bool:
        """`pid` is the system's own number for it."""
        init = self.init()
        return init is not None and os.path.exists(f"/proc/{init}/root/proc/{pid}")

    # ---- what runs in it ------------------------------------------------------------------------------------

    def run(self, *argv: str, check: bool = True, timeout: float = 120) -> Done:
        init = self.init()
        assert init is not None, f"{self.name} does not run:\n{tail(self.console)}"
        done = subprocess.run(["nsenter", "--target", str(init), "--all", "env", "-i", "LANG=C.UTF-8", "TERM=dumb",
                               "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *argv],
                              capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
        assert not check or done.returncode == 0, \
            f"{self.name}: {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.run("systemctl", "show", "--value", "--property", name, "livy-ha.service").out.strip()

    def journal(self, after: str = "") -> list[dict[str, Any]]:
        """What journalctl has of the service, all its fields; after the entry with that cursor where one is given. (One that
        its own filters leave out is none to it: choose among the result by priority, not by journalctl's option.)"""
        option = [f"--after-cursor={after}"] if after else []
        done = self.run("journalctl", "--no-pager", "--output=json", "--unit=livy-ha", *option)
        return [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]

    def last_entry(self) -> str:
        """The cursor of the service's last one."""
        return str(self.journal()[-1]["__CURSOR"])

    def warnings(self, after: str) -> list[str]:
        """What the service has said since that was at least a warning."""
        return [str(entry["MESSAGE"]) for entry in self.journal(after) if int(entry["PRIORITY"]) <= 4]

    def wait(self, condition: Callable[[], _T | None], timeout: float, what: str) -> _T:
        return wait_for(condition, timeout, f"{self.name}: {what}", self.failure_text)

    def failure_text(self) -> str:
        text = f"--- the console of {self.name}\n{tail(self.console, 15)}\n"
        if self.init() is not None:
            text += f"--- its journal\n{self.run('journalctl', '--no-pager', '-n', '60', check=False).out}"
        return text
