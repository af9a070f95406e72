"""The agent in Livy's JVM (src/gate), with a small Java program in Livy's place and the test in the keeper's."""
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass

from .build import ROOT, build_dir
from .wait import wait_for

MAGIC = 0x31474C48
FORM = "<IIqII256s"
NEVER = (1 << 63) - 1
READY, REFUSED, HELD, LOADED, OPENED, RECORDED, OPEN, LEASE, RECORD = range(1, 10)
REFUSED_STATUS, LEASE_STATUS, ORPHANED_STATUS = 93, 94, 95

_CLASSES = {
    "org/apache/livy/sessions/SessionManager": "public static void use() { org.apache.livy.server.LivyServer.tell(\"sessions\"); }",
    "org/apache/livy/server/recovery/SessionStore": "public static void use() { org.apache.livy.server.LivyServer.tell(\"store\"); }",
    "org/apache/livy/server/batch/BatchSession": "static { org.apache.livy.server.LivyServer.tell(\"initialised\"); }",
    "org/apache/livy/server/interactive/InteractiveSession": "",
    "org/apache/livy/server/WebServer": "public static void listen() throws java.io.IOException { new java.net.ServerSocket(0); "
                                        "org.eclipse.jetty.server.ServerConnector.use(); }",
    "org/eclipse/jetty/server/ServerConnector": "public static void use() { }",
    # What a Livy makes of its store before SessionStore: all but the last only connect.
    "org/apache/livy/sessions/SessionManager$": "",
    "org/apache/livy/server/recovery/StateStore$": "",
    "org/apache/livy/server/recovery/ZooKeeperStateStore": "",
    "org/apache/livy/server/recovery/ZooKeeperManager": "",
    "org/apache/livy/server/recovery/FileSystemStateStore": "",
}


def agent() -> str:
    return os.path.join(build_dir(), "liblivy-ha-gate.so")


def now_ms() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)


def compile_livy(directory: str, without: str = "") -> str:
    """The classes, but `without` one; returns the class path."""
    javac = shutil.which("javac")
    if javac is None:
        raise RuntimeError("no javac: install default-jdk-headless")
    sources = [os.path.join(ROOT, "tests", "e2e", "gatelivy", "LivyServer.java")]
    for name, body in _CLASSES.items():
        package, _, simple = name.rpartition("/")
        path = os.path.join(directory, "src", name + ".java")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"package {package.replace('/', '.')};\npublic class {simple} {{ {body} }}\n")
        sources.append(path)
    classes = os.path.join(directory, "classes")
    done = subprocess.run([javac, "-proc:none", "-d", classes, *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if without:
        os.unlink(os.path.join(classes, without + ".class"))
    return classes


def launcher(directory: str, class_path: str, more: str = "", opts: str = "$LIVY_SERVER_JAVA_OPTS") -> str:
    """A bin/livy-server for this Livy, with the contract of Livy's own: LIVY_CONF_DIR's livy-env.sh and livy.conf. `opts`:
    what it makes of LIVY_SERVER_JAVA_OPTS."""
    path = os.path.join(directory, "livy-server")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""#!/bin/sh
set -a
. "$LIVY_CONF_DIR/livy-env.sh"
set +a
port=$(sed -n 's/^livy.server.port *= *//p' "$LIVY_CONF_DIR/livy.conf" | tail -n 1)
exec java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 {opts} {more} -Dtold={directory}/told-$$ \\
    -Dport="$port" -cp {class_path} org.apache.livy.server.LivyServer
""")
    os.chmod(path, 0o755)
    return path


@dataclass
class Said:
    type: int
    count: int
    text: str


class HeldLivy:
    """One JVM under the agent; the test holds the keeper's end of the channel and writes the page."""

    def __init__(self, directory: str, class_path: str, hold: bool = True, kill_at: int = NEVER, record: str = "",
                 garbage: bool = False, options: str | None = None, first: str = "", library: str = "",
                 until_open: bool = False, let_go: bool = False) -> None:
        self.told_path = os.path.join(directory, f"told-{time.monotonic_ns()}")
        self.stderr_path = self.told_path + ".err"
        self.channel, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        page = os.memfd_create("lease")
        os.ftruncate(page, mmap.PAGESIZE)
        self.page = mmap.mmap(page, mmap.PAGESIZE)
        self.lease(kill_at)
        if let_go:  # before its Java runs
            self.say(OPEN, now_ms() + 60000)
        given = (f"{'hold,' if hold else ''}channel={end.fileno()},page={page}" + (",until-open" if until_open else "")
                 + (f",record={record}" if record else ""))
        with open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                 f"-agentpath:{library or agent()}={given if options is None else options}", f"-Dtold={self.told_path}",
                 f"-Dgarbage={str(garbage).lower()}", *([f"-Dfirst={first}"] if first else []), "-cp", class_path, "org.apache.livy.server.LivyServer"],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, pass_fds=(end.fileno(), page),
                preexec_fn=lambda: signal.setitimer(signal.ITIMER_PROF, 0.4) if hold else None)  # gate.h: the agent clears it
        end.close()
        os.close(page)

    def lease(self, kill_at: int) -> None:
        self.page[:8] = struct.pack("<q", kill_at)

    def say(self, kind: int, kill_at: int = 0) -> None:
        self.channel.send(struct.pack(FORM, MAGIC, kind, kill_at, 0, 0, b""))

    def hear(self, kind: int, timeout: float = 30) -> Said:
        """The next message, which has to be of this kind."""
        said = self.next_said(timeout)
        assert said.type == kind, said
        return said

    def next_said(self, timeout: float = 30) -> Said:
        self.channel.settimeout(timeout)
        packet = self.channel.recv(4096)
        assert packet, f"the channel is at its end; {self.stderr()}"
        magic, got, _, count, _, text = struct.unpack(FORM, packet)
        assert magic == MAGIC, (got, text)
        return Said(got, count, text.rstrip(b"\0").decode())

    def told(self) -> list[str]:
        try:
            with open(self.told_path, encoding="utf-8") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def stderr(self) -> str:
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_listening(self) -> None:
        wait_for(lambda: "listening" in self.told(), 20, "it serves", self.stderr)

    def wait_end(self, status: int, timeout: float = 20) -> None:
        assert self.process.wait(timeout) == status, self.stderr()

    def destroy(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.channel.close()
        self.page.close()
