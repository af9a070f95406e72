"""Hosts of their own for servers and members: network namespaces on one bridge, all in a network, process and mount
namespace of the test run's own. The machine's own network is never touched, and all that a run has made goes with its
first process, however it ends. Packets are dropped where they would arrive, so that the sender notices nothing."""
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import pytest

from .wait import die_with_parent

_INSIDE = "LIVY_HA_TEST_NETNS"
_PREFIX = "10.77.0."
_HUB = _PREFIX + "254"
_TOOLS = ("unshare", "nsenter", "mount", "ip", "iptables-restore")
# The first process of the namespace: it reaps what the daemons leave behind. A private /run keeps the names of the
# namespaces, and the lock of iptables, from the machine's.
_FIRST = f"""mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up || exit 1
export {_INSIDE}=$(readlink /proc/self/ns/net)
"$@"
exit $?"""
_UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


def inside() -> bool:
    return os.environ.get(_INSIDE) == os.readlink("/proc/self/ns/net")


def _why_not() -> str:
    """Why namespaces cannot be had here; "" where they can."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)}: install util-linux, mount, iproute2 and iptables"
    if os.geteuid() != 0:
        return "not root: network namespaces of the test's own need it"
    check = "mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && ip netns add x && " \
            "ip link add br0 type bridge && ip link add v0 type veth peer name v1 netns x && " \
            "echo '*filter\n-A INPUT -s 10.77.0.1 -j DROP\nCOMMIT' | nsenter --net=/run/netns/x iptables-restore --noflush"
    done = subprocess.run([*_UNSHARE, "sh", "-c", check], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else \
        f"no namespaces, bridge, veth or iptables here (root with CAP_SYS_ADMIN and CAP_NET_ADMIN needed): {done.stderr.strip()}"


def require() -> None:
    """Fails where this process is not in namespaces of its own, saying what they need."""
    assert inside(), f"this test needs network namespaces: {_why_not() or 'run it by pytest from the command line'}"


def enter(config: pytest.Config) -> None:
    """Runs this very command line again in namespaces of its own, and exits as it did; returns where it is there already,
    or cannot be."""
    if inside() or _why_not():
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()
    _enter()


def enter_or_exit(program: str) -> None:
    """The same for a program that is nothing without them: it ends, and says what they need."""
    if inside():
        return
    why = _why_not()
    if why:
        sys.exit(f"{program}: {why}")
    _enter()


def _enter() -> NoReturn:
    sys.stdout.flush()
    child = subprocess.Popen([*_UNSHARE, "sh", "-c", _FIRST, "sh", *sys.orig_argv], preexec_fn=die_with_parent)
    signal.signal(signal.SIGTERM, lambda *_: child.kill())  # the whole namespace goes with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the pytest in there as well, which ends in order
    status = child.wait()
    os._exit(status if status >= 0 else 128 - status)


def _run(*argv: str, text: str | None = None) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"


@dataclass(frozen=True)
class Host:
    """A namespace with an address, a host name (UTS) and an /etc/hosts of its own; see Network.add."""
    name: str
    address: str
    hosts_file: str

    @property
    def fqdn(self) -> str:
        return f"{self.name}.bed.test"

    @property
    def wrapper(self) -> list[str]:
        """A command to run another under, by exec alone, so that the process stays the one that was started."""
        script = f'hostname {self.fqdn} && mount --bind "{self.hosts_file}" /etc/hosts && exec "$@"'
        return ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--uts", "--mount", "sh", "-c", script, "sh"]

    def filter(self, rules: Sequence[str]) -> None:
        """Adds rules to iptables, all of them in one instant."""
        text = "\n".join(["*filter", *rules, "COMMIT", ""])
        _run("nsenter", f"--net=/run/netns/{self.name}", "iptables-restore", "-w", "--noflush", text=text)

    def filter_nothing(self) -> None:
        self.filter(["-F INPUT"])


class Network:
    """The hub, where the test itself is (at _HUB), and hosts around it."""

    def __init__(self, directory: str) -> None:
        require()
        self.directory = directory
        self.hosts: list[Host] = []
        _run("ip", "link", "add", "bed", "type", "bridge")
        _run("ip", "addr", "add", f"{_HUB}/24", "dev", "bed")
        _run("ip", "link", "set", "bed", "up")

    def add(self, name: str, number: int) -> Host:
        """`number` is the last one of its address."""
        host = Host(name, f"{_PREFIX}{number}", os.path.join(self.directory, f"{name}.hosts"))
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", f"bed-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", f"bed-{name}", "master", "bed", "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        self.hosts.append(host)
        for each in self.hosts:
            self.name_hosts(each)
        return host

    def name_hosts(self, host: Host, known: Iterable[Host] | None = None) -> None:
        """Which hosts `host` knows by name from now on; all by default. There is no other name service."""
        lines = ["127.0.0.1 localhost\n"]
        lines += [f"{each.address} {each.fqdn} {each.name}\n" for each in (self.hosts if known is None else known)]
        with open(host.hosts_file, "w", encoding="ascii") as file:  # in place: it is mounted elsewhere
            file.writelines(lines)

    def close(self) -> None:
        for host in self.hosts:
            _run("ip", "link", "del", f"bed-{host.name}")  # a namespace goes later than its name: with its last process
            _run("ip", "netns", "del", host.name)
        _run("ip", "link", "del", "bed")
