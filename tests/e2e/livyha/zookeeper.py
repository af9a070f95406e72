"""Real ZooKeeper servers: one, or an ensemble of three; on loopback, or each in a place of its own (netns.py)."""
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import proc
from .ports import free_port
from .wait import spawn, tail, wait_for

JAVA_FLAGS = ["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
CLASS_PATH = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"


def java() -> str:
    path = shutil.which("java") or "/usr/bin/java"
    if not os.path.exists(path) or not os.path.exists(CLASS_PATH.split(":", 1)[0]):
        raise RuntimeError("no java, or no /usr/share/java/zookeeper.jar: install default-jre-headless and zookeeper")
    return path


@dataclass(frozen=True)
class Place:
    """Where a server listens, and a command to run it under."""
    address: str = "127.0.0.1"
    wrapper: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    peer_ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))


class Server:
    """One server process; it can be stopped and started again on the same data."""

    def __init__(self, directory: str, number: int, tick_ms: int, extra: dict[str, str], place: Place) -> None:
        self.directory = directory
        self.number = number
        self.tick_ms = tick_ms
        self.extra = extra
        self.host, self.port, self.peer_ports = place.address, place.port, place.peer_ports
        self.wrapper = list(place.wrapper)
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = os.path.join(directory, "server.log")

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def log_folder(self) -> str:
        """Where its transaction logs are."""
        return os.path.join(self.directory, "data", "version-2")

    @property
    def pid(self) -> int:
        assert self.process is not None, f"ZooKeeper server {self.number} has not been started"
        return self.process.pid

    def configure(self, ensemble: Iterable["Server"]) -> None:
        data = os.path.join(self.directory, "data")
        os.makedirs(data, exist_ok=True)
        settings = {
            "tickTime": self.tick_ms, "dataDir": data, "clientPort": self.port, "clientPortAddress": self.host,
            "admin.enableServer": "false", "maxClientCnxns": 0, "4lw.commands.whitelist": "*", "initLimit": 20,
            "syncLimit": 5, **self.extra,
        }
        members = list(ensemble)
        if len(members) > 1:
            for server in members:
                settings[f"server.{server.number}"] = "{}:{}:{}".format(server.host, *server.peer_ports)
            with open(os.path.join(data, "myid"), "w", encoding="ascii") as file:
                file.write(f"{self.number}\n")
        with open(os.path.join(self.directory, "zoo.cfg"), "w", encoding="ascii") as file:
            file.writelines(f"{key}={value}\n" for key, value in settings.items())

    def start(self) -> None:
        """Does not wait; see Ensemble.wait_ready."""
        assert self.process is None or self.process.poll() is not None, "already running"
        # No fsync and small log files: these servers need not survive a loss of power, and what a process has written
        # survives its kill. That ZooKeeper 3.8.0 may lose acknowledged writes when its leader is killed, a follower frozen
        # and the old leader comes back (the family of ZOOKEEPER-4643) has nothing to do with it: it does so with fsync, too.
        argv = [*self.wrapper, java(), *JAVA_FLAGS, "-cp", CLASS_PATH, "-Dzookeeper.jmx.log4j.disable=true",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=64",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", os.path.join(self.directory, "zoo.cfg")]
        with open(self.log_path, "ab") as log:
            self.process = spawn(argv, {"PATH": os.environ["PATH"]}, log, cwd=self.directory)

    def ask(self, word: str, timeout: float = 2.0) -> str:
        """A four-letter word; "" where the server does not answer."""
        try:
            with socket.create_connection((self.host, self.port), timeout) as connection:
                connection.sendall(word.encode("ascii"))
                connection.shutdown(socket.SHUT_WR)
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError:
            return ""
        return b"".join(chunks).decode("utf-8", "replace")

    def mode(self) -> str:
        """"standalone", "leader", "follower"; "" while it does not serve."""
        for line in self.ask("srvr").splitlines():
            if line.startswith("Mode: "):
                return line[6:].strip()
        return ""

    def synced_followers(self) -> int:
        """How many followers a leader counts on; 0 where this server is none."""
        for line in self.ask("mntr").splitlines():
            if line.startswith("zk_synced_followers"):
                return int(float(line.split()[1]))
        return 0

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wipe(self) -> None:
        """Loses all data; not while it runs."""
        assert not self.running(), f"ZooKeeper server {self.number} runs"
        shutil.rmtree(os.path.join(self.directory, "data", "version-2"), ignore_errors=True)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.resume()
            self.process.terminate()
            self.process.wait(20)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        proc.send(self.pid, signal.SIGSTOP)
        wait_for(lambda: proc.stopped(self.pid), 10, f"ZooKeeper server {self.number} stopped")

    def resume(self) -> None:
        proc.send(self.pid, signal.SIGCONT)


class Ensemble:
    """One server alone, or several together. Use as a context manager, or call stop."""

    def __init__(self, directory: str, servers: int = 1, tick_ms: int = 500,
                 extra: dict[str, str] | None = None, places: Sequence[Place] | None = None) -> None:
        self.tick_ms = tick_ms
        self.servers: list[Server] = []
        for number in range(1, servers + 1):
            own = os.path.join(directory, f"zk{number}")
            os.makedirs(own, exist_ok=True)
            place = places[number - 1] if places else Place()
            self.servers.append(Server(own, number, tick_ms, extra or {}, place))
        for server in self.servers:
            server.configure(self.servers)

    @property
    def hosts(self) -> str:
        return ",".join(server.address for server in self.servers)

    def start(self) -> "Ensemble":
        for server in self.servers:
            server.start()
        self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 60) -> None:
        """Until each running server serves, as one leader and followers where there are several."""
        running = [server for server in self.servers if server.process and server.process.poll() is None]

        def ready() -> bool:
            dead = [server for server in running if server.process and server.process.poll() is not None]
            assert not dead, f"a ZooKeeper server ended while starting:\n{self.log_tails()}"
            modes = [server.mode() for server in running]
            if len(self.servers) == 1 or not all(modes) or modes.count("leader") != 1:
                return modes == ["standalone"]
            # A follower that was frozen for long says "follower" until it notices that its leader has dropped it.
            return running[modes.index("leader")].synced_followers() == len(running) - 1

        wait_for(ready, timeout, "the ZooKeeper ensemble serves", self.log_tails)

    def leader(self) -> Server:
        return wait_for(lambda: next((s for s in self.servers if s.mode() in ("leader", "standalone")), None), 30,
                        "a ZooKeeper leader", self.log_tails)

    def followers(self) -> list[Server]:
        return [server for server in self.servers if server.mode() == "follower"]

    def pause(self) -> None:
        for server in self.servers:
            server.pause()

    def resume(self) -> None:
        for server in self.servers:
            server.resume()

    def stop(self) -> None:
        """Kills: these servers keep nothing that anybody wants."""
        for server in self.servers:
            server.kill()

    def log_tails(self) -> str:
        return "\n".join(f"--- ZooKeeper {server.number}\n{tail(server.log_path, 15)}" for server in self.servers)

    def __enter__(self) -> "Ensemble":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()
