"""Runs CuratorPeer.java: Apache Curator's LeaderLatch as another member of the latch."""
import json
import os
import subprocess
import threading
from typing import Any

from .build import ROOT
from .javac import compile_java
from .wait import boot_ms, spawn, tail, wait_for
from .zookeeper import JAVA_FLAGS, java

_JARS = ("curator-recipes", "curator-framework", "curator-client", "zookeeper", "zookeeper-jute", "guava", "failureaccess",
         "slf4j-api", "slf4j-simple", "netty-all", "netty-common", "netty-buffer", "netty-transport", "netty-handler",
         "netty-codec", "netty-resolver", "netty-transport-native-unix-common", "netty-transport-native-epoll",
         "metrics-core", "snappy-java", "jackson-annotations", "jackson-core", "jackson-databind")


def class_path() -> str:
    """Debian's jars; those marked needed by their absence are told by name."""
    paths = [f"/usr/share/java/{jar}.jar" for jar in _JARS]
    missing = [path for path in paths[:6] if not os.path.exists(path) and "failureaccess" not in path]
    if missing:
        raise RuntimeError(f"missing {', '.join(missing)}: install libcurator-recipes-java libcurator-framework-java "
                           "libcurator-client-java zookeeper")
    return ":".join(path for path in paths if os.path.exists(path))


def compile_peer(directory: str) -> str:
    """Compiles into `directory` and returns the class path to run with."""
    return compile_java(os.path.join(ROOT, "tests", "e2e", "CuratorPeer.java"), directory, class_path())


class CuratorPeer:
    """One running Java participant. Its events carry "at", CLOCK_BOOTTIME in ms when they were read."""

    def __init__(self, classes: str, directory: str, hosts: str, latch: str, name: str,
                 session_ms: int = 4000) -> None:
        self.events: list[dict[str, Any]] = []
        self.log_path = os.path.join(directory, f"curator-{name}.log")
        argv = [java(), *JAVA_FLAGS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes, "CuratorPeer", hosts,
                latch, name, str(session_ms)]
        with open(self.log_path, "ab") as log:
            self.process = spawn(argv, {"PATH": os.environ["PATH"]}, log, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append({**json.loads(line), "at": boot_ms()})

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def last(self, event: str) -> dict[str, Any] | None:
        return next((entry for entry in reversed(self.events) if entry["event"] == event), None)

    def wait_event(self, event: str, timeout: float = 30, after: int = 0) -> dict[str, Any]:
        """The first such event from the events' index `after` on."""
        return wait_for(lambda: next((entry for entry in self.events[after:] if entry["event"] == event), None), timeout,
                        f"Curator says {event}", self.failure_text)

    def leads(self) -> bool:
        """By the latest isLeader or notLeader."""
        said = [entry["event"] for entry in self.events if entry["event"] in ("isLeader", "notLeader")]
        return bool(said) and said[-1] == "isLeader"

    def participants(self) -> dict[str, Any]:
        count = len(self.events)
        self._say("participants")
        return self.wait_event("participants", after=count)

    def close(self) -> None:
        """Leaves the latch in good order."""
        self._say("close")
        self.wait_event("closed")
        self.process.wait(20)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def failure_text(self) -> str:
        return f"--- Curator peer, events: {self.events[-10:]}; its log ends\n{tail(self.log_path)}"
