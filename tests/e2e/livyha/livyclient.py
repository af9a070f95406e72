"""Livy's own Java client, run as a user's program would: compiles LivyClientPeer.java, and talks to it. The jars are
what tests/e2e/livyclient/setup has fetched."""
import glob
import json
import os
import subprocess
from typing import Any

from .build import ROOT
from .javac import compile_java
from .wait import spawn, tail, wait_for
from .zookeeper import JAVA_FLAGS, java

_HERE = os.path.join(ROOT, "tests", "e2e", "livyclient")
_SLF4J = ("/usr/share/java/slf4j-api.jar", "/usr/share/java/slf4j-simple.jar")
CALL_S = 60


def fetched_jars() -> list[str]:
    found = sorted(glob.glob(os.path.join(ROOT, "build", "cache", "livyclient", "jars", "*.jar")))
    if not any("livy-client-http" in jar for jar in found):
        raise RuntimeError("Livy's Java client is not there: run tests/e2e/livyclient/setup first")
    return found


def compile_peer(directory: str) -> str:
    """Compiles into `directory` and returns the class path to run with."""
    return compile_java(os.path.join(_HERE, "LivyClientPeer.java"), directory, ":".join([*fetched_jars(), *_SLF4J]))


class LivyClient:
    """One running LivyClientPeer."""

    def __init__(self, classes: str, directory: str, wrapper: list[str] | None = None) -> None:
        self.log_path = os.path.join(directory, "livyclient.log")
        self.out_path = os.path.join(directory, "livyclient.out")
        self._read = 0  # lines of its output that have been taken
        argv = [*(wrapper or []), java(), *JAVA_FLAGS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes,
                "LivyClientPeer"]
        with open(self.log_path, "ab") as log, open(self.out_path, "wb") as out:
            self.process = spawn(argv, {"PATH": os.environ["PATH"]}, log, stdin=subprocess.PIPE, stdout=out)
        self._next_line(CALL_S)

    def _lines(self) -> list[str]:
        with open(self.out_path, encoding="utf-8") as file:
            return file.read().split("\n")[:-1]

    def _next_line(self, timeout: float) -> dict[str, Any]:
        wait_for(lambda: len(self._lines()) > self._read, timeout, "the Java program answers", self.failure_text)
        self._read += 1
        return dict(json.loads(self._lines()[self._read - 1]))

    def begin(self, command: str) -> None:
        """Says it, and does not wait for the answer, which end() returns."""
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def end(self, timeout: float = CALL_S) -> dict[str, Any]:
        return self._next_line(timeout)

    def do(self, command: str) -> dict[str, Any]:
        """The answer to a command that has to succeed."""
        self.begin(command)
        answer = self.end()
        assert answer["event"] == command.split(" ", 1)[0], f"{command}: {answer}\n{self.failure_text()}"
        return answer

    def fail(self, command: str) -> list[str]:
        """What a command that has to fail throws, outermost first."""
        self.begin(command)
        answer = self.end()
        assert answer["event"] == "failed", f"{command}: {answer}\n{self.failure_text()}"
        return list(answer["thrown"])

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def failure_text(self) -> str:
        return f"--- Java program: its log ends\n{tail(self.log_path)}"
