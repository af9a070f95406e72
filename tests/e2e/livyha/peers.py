"""What stands between clients and the members: HAProxy, nginx and keepalived, run for real with the configuration files
that the project ships, in which nothing but the names of the hosts and the address is changed."""
import os
import re
import signal
import subprocess
import time
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from . import proc
from .bed import Bed
from .build import ROOT
from .client import Answer, Client, Loop, get
from .cluster import Cluster
from .member import Member
from .wait import boot_ms, spawn, tail, wait_for

FRONT, ADMIN = 8998, 8997  # the defaults: each member has a host of its own
LIVYAPI = os.path.join(ROOT, "tests", "e2e", "livyapi")
HUB = "10.77.0.254"
_SHIPPED = os.path.join(ROOT, "conf")


def front_of(member: Member) -> tuple[str, int]:
    return (member.address, FRONT)


def admin_of(member: Member) -> tuple[str, int]:
    return (member.address, ADMIN)


def open_fronts(bed: Bed, cluster: Cluster, mode: str, **settings: Any) -> Cluster:
    """Gives the members of a cluster that has not been started hosts, fronts and admin ports, and starts them."""
    bed.house(cluster)
    for member in cluster.members:
        member.settings.update({"front.listen": f"0.0.0.0:{FRONT}", "front.mode": mode, "admin.listen": f"0.0.0.0:{ADMIN}",
                                "front.advertise": f"http://{member.address}:{FRONT}",
                                **{key.replace("__", "."): value for key, value in settings.items()}})
        member.write_conf()
    cluster.start()
    for member in cluster.members:
        wait_ready(member)
    return cluster


def status_of(target: tuple[str, int], path: str) -> int:
    """The status of a GET, 0 where nobody answers."""
    try:
        return get(target, path, timeout=5).status
    except OSError:
        return 0


def wait_ready(member: Member, timeout: float = 30) -> None:
    member.wait(lambda: status_of(admin_of(member), "/readyz") == 200, timeout, "its front is ready")


def kill_everything(member: Member) -> None:
    """kill -9 of all processes of the member, of which none has the time to see another one die."""
    assert member.running()
    pids = proc.descendants(member.pid)
    member.elector()
    member.pause_process(member.pid)
    for pid in pids:
        proc.send(pid, signal.SIGKILL)
    member.signal(signal.SIGKILL)
    member.wait_exit(10)
    for pid in pids:
        member.wait_gone(pid)


def posts(cluster: Cluster) -> Counter[str]:
    """The POSTs that the stand-ins have carried out."""
    found: Counter[str] = Counter()
    for life in cluster.oracle.lives():
        found.update(life.posts)
    return found


def shipped(name: str, changes: Mapping[str, str], directory: str) -> str:
    """A configuration file of the project with these texts replaced, each of which it has to have; the copy's path."""
    with open(os.path.join(_SHIPPED, name), encoding="utf-8") as file:
        text = file.read()
    for old, new in changes.items():
        assert old in text, f"conf/{name} has no {old}"
        text = text.replace(old, new)
    path = os.path.join(directory, os.path.basename(name))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def host_names(members: Sequence[Member]) -> dict[str, str]:
    return {f"livy-{member.name}.example.com": member.address for member in members}


class Peer:
    """A program that runs until stop()."""

    def __init__(self, name: str, argv: Sequence[str], directory: str) -> None:
        self.name = name
        self.log_path = os.path.join(directory, f"{name}.log")
        with open(self.log_path, "ab") as log:
            self.process: subprocess.Popen[bytes] = spawn(argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, log, cwd=directory)

    def log(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def failure_text(self) -> str:
        return f"--- {self.name}: {'running' if self.process.poll() is None else 'ended'}; its log ends\n{tail(self.log_path)}"

    def wait_answers(self, target: tuple[str, int], timeout: float = 30) -> None:
        """Until a request through it is answered by Livy, or sent on to it."""
        wait_for(lambda: status_of(target, "/version") in (200, 307), timeout, f"{self.name} passes a request on",
                 self.failure_text)

    def close(self) -> None:
        self.stop()

    def stop(self, timeout: float = 20) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


def check_config(argv: Sequence[str]) -> None:
    """A program's own check of a configuration file; no warning may be left."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, env={"PATH": os.environ["PATH"]})
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(argv)}: exit status {done.returncode}\n{said}"
    assert "warn" not in said.lower(), f"{' '.join(argv)}:\n{said}"


def haproxy_config(members: Sequence[Member], directory: str) -> str:
    return shipped("haproxy/livy-ha.cfg", host_names(members), directory)


class HAProxy(Peer):
    ACTIVE, ANY = (HUB, 8998), (HUB, 8999)

    def __init__(self, members: Sequence[Member], directory: str) -> None:
        self.members = list(members)
        super().__init__("haproxy", ["haproxy", "-db", "-f", haproxy_config(members, directory)], directory)
        self.wait_answers(self.ACTIVE)
        self.wait_answers(self.ANY)

    def wait_down(self, section: str, member: Member) -> None:
        """Until its checks have found that member out; as long as they have not run, HAProxy takes a server for up."""
        wait_for(lambda: f"Server {section}/livy-{member.name} is DOWN" in self.log(), 20, f"{member.name} is down in {section}",
                 self.failure_text)

    def _last_word(self, server: str) -> str:
        words = re.findall(rf"Server {server} is (UP|DOWN)", self.log())
        return words[-1] if words else "UP"

    def wait_known(self, active: Member) -> None:
        """Until its checks have seen that all members run, and who is active."""
        def known() -> bool:
            return all(self._last_word(f"livy-active/livy-{member.name}") == ("UP" if member is active else "DOWN") and
                       self._last_word(f"livy-any/livy-{member.name}") == "UP" and
                       self._last_word(f"livy-ready/livy-{member.name}") == "UP" for member in self.members)
        wait_for(known, 20, f"HAProxy knows that all are there, and {active.name} is active", self.failure_text)

    def served_by(self, section: str) -> list[str]:
        """The server of each request of a section, in the order in which they ended."""
        words = [word for line in self.log().splitlines() if ' HTTP/1.1"' in line for word in line.split()]
        return [word.partition("/")[2] for word in words if word.startswith(f"{section}/")]


def nginx_config(members: Sequence[Member], directory: str) -> str:
    """As Debian's nginx.conf has it: modules-enabled/*.conf beside the http block, conf.d/*.conf within."""
    for folder in ("conf.d", "modules-enabled"):
        os.makedirs(os.path.join(directory, folder), exist_ok=True)
    shipped("nginx/livy-ha.conf", host_names(members), os.path.join(directory, "conf.d"))
    stream = shipped("nginx/livy-ha-stream.conf", host_names(members), os.path.join(directory, "modules-enabled"))
    os.rename(stream, os.path.join(os.path.dirname(stream), "90-livy-ha-stream.conf"))
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"user root;\npid {directory}/nginx.pid;\nerror_log stderr info;\n"
                   "include /etc/nginx/modules-enabled/50-mod-stream.conf;\n"
                   f"include {directory}/modules-enabled/*.conf;\nevents {{ worker_connections 512; }}\n"
                   f"http {{\n  access_log {directory}/access.log;\n  include {directory}/conf.d/*.conf;\n}}\n")
    return path


class Nginx(Peer):
    HTTP, STREAM = (HUB, 8998), (HUB, 8999)

    def __init__(self, members: Sequence[Member], directory: str) -> None:
        super().__init__("nginx", ["nginx", "-e", "stderr", "-c", nginx_config(members, directory), "-g", "daemon off;"],
                         directory)
        self.wait_answers(self.HTTP)
        self.wait_answers(self.STREAM)


class Keepalived(Peer):
    """One on a member's host."""
    ADDRESS = "10.77.0.98"

    def __init__(self, bed: Bed, member: Member, directory: str) -> None:
        self.host = bed.host(member)
        folder = os.path.join(directory, f"keepalived-{member.name}")
        os.makedirs(folder)
        path = shipped("keepalived/keepalived.conf", {"192.0.2.98": self.ADDRESS}, folder)
        super().__init__(f"keepalived-{member.name}", [*self.host.wrapper, "keepalived", "--dont-fork", "--log-console",
                         "--no-syslog", "--vrrp", "--use-file", path, "--pid", f"{folder}/pid", "--vrrp_pid",
                         f"{folder}/vrrp.pid"], folder)

    def has_address(self) -> bool:
        done = subprocess.run(["ip", "-n", self.host.name, "-o", "addr", "show", "dev", "eth0"], capture_output=True, text=True,
                              check=True)
        return f" {self.ADDRESS}/" in done.stdout


class Follower(Loop):
    """A client in a closed loop that follows a 307 as curl -L and Python's requests do, with its method and its body. What it
    is sent to may be gone by then, and until its lease has ended nobody knows: as a connection that was refused has done no
    harm, it asks again from the start, as docs/clients.md says."""

    PATIENCE_MS = 20_000

    def _ask(self, client: Client, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        began = boot_ms()
        while True:
            answer = client.ask(method, path, body, **headers)
            if answer.status != 307:
                return answer
            where = urllib.parse.urlsplit(answer.headers["location"])
            try:
                with Client((where.hostname or "", where.port or 80)) as other:
                    answer = other.ask(method, path, body, **headers)
            except ConnectionRefusedError:
                if boot_ms() - began > self.PATIENCE_MS:
                    raise
            if answer.status != 307 or boot_ms() - began > self.PATIENCE_MS:
                return answer
            time.sleep(0.05)
