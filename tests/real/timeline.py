"""When what happened in a fail-over: seen from outside, told by livy-ha's history, and by the times in Livy's own log."""
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from realmember import RealMember, listens
from rest import Rest

# pylint: disable=wrong-import-order
from livyha import proc
from livyha.wait import wait_for

LIMIT_S = 180
_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+ (.*)$")
# The steps of a start, each from the one before to its line in Livy's log; none of the lines: that step is not told apart.
STEPS = (
    ("JVM, configuration", r""),
    ("spark-submit --version", r"LineBufferedStream: .*\bversion \d"),
    ("YARN client, Curator", r"CuratorFrameworkImpl: Starting|ZooKeeperManager|Using ZooKeeperStateStore"),
    ("ZooKeeper, connection", r"State change: CONNECTED"),
    ("ZooKeeper, records", r"InteractiveSessionManager: Recovered \d+"),
    ("Jetty", r"Server: Started"),
)


# Tells when a process has ended. On its own, and before others where it may, so that a busy machine does not add to it.
_EYE = """
import os, select, sys, time
end = os.pidfd_open(int(sys.argv[1]))
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
except OSError:
    pass
print("looks", flush=True)
select.select([end], [], [])
print(time.time(), flush=True)
"""


@dataclass
class Timeline:
    """Times in seconds since the fault."""
    scenario: str
    mode: str
    fault: float = 0.0  # time.time()
    marks: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)  # of the start of Livy, each its own duration
    memory: dict[str, float] = field(default_factory=dict)  # MB

    def mark(self, what: str) -> None:
        self.marks[what] = time.time() - self.fault


@dataclass
class Report:
    """Of a whole run."""
    lines: list[Timeline] = field(default_factory=list)
    zookeeper: str = ""  # its version
    notes: list[str] = field(default_factory=list)  # paragraphs on what is no fail-over


def start_steps(log: str, started: float, answered: float) -> dict[str, float]:
    """How long each step of the first start of Livy that `log` tells of took; the last one is the way to the first answer."""
    steps: dict[str, float] = {}
    before = started
    pending = list(STEPS)
    for line in log.splitlines():
        found = _LINE.match(line)
        if not found or not pending:
            continue
        for number, (name, pattern) in enumerate(pending):
            if re.search(pattern, found.group(2)):
                at = datetime.strptime(found.group(1), "%Y-%m-%d %H:%M:%S,%f").timestamp()
                if at < started - 0.01:
                    break
                steps[name] = at - before
                before = at
                pending = pending[number + 1:]
                break
    steps["first answer"] = answered - before
    return steps


class Watch:
    """Looks on while `heir` takes over from `victim` (the same member, where Livy is restarted there)."""

    def __init__(self, scenario: str, victim: RealMember, heir: RealMember, frozen: bool = False) -> None:
        self.line = Timeline(scenario, str(heir.settings["front.mode"]))
        self.victim, self.heir, self.frozen = victim, heir, frozen
        java = victim.java()
        assert java is not None, victim.failure_text()
        self.old_java = java
        self._held = heir.java()  # of a hot standby; it is no Livy that serves before it listens
        self._old = os.pidfd_open(java)
        self._log_from = len(heir.log())

        self._eye: subprocess.Popen[str] | None = None

    def close(self) -> None:
        if self._eye:
            self._eye.kill()
            self._eye.communicate()
        os.close(self._old)

    def begin(self, fault: Callable[[], object], ends: bool = True) -> None:
        """Now; `ends`: the old Livy ends by it."""
        if ends:
            self._eye = subprocess.Popen([sys.executable, "-c", _EYE, str(self.old_java)], stdout=subprocess.PIPE, text=True)
            assert self._eye.stdout and self._eye.stdout.readline() == "looks\n"
        self.line.fault = time.time()
        fault()

    def _old_dead(self) -> bool:
        return bool(select.select([self._old], [], [], 0)[0])

    def _look(self) -> bool:
        """True once the heir's Livy is a JVM, or listens where it was held. The heir first: an old one that lives after that
        look would be a second Livy."""
        java = self.heir.java()
        runs = java not in (None, self.old_java) and (java != self._held or listens(java, self.heir.port))
        dead = self._old_dead()
        if runs:
            assert dead or (self.frozen and proc.stopped(self.old_java)), \
                f"two Livys: {self.victim.name}'s {self.old_java} and {self.heir.name}'s {java}"
            self.line.marks.setdefault("Livy's JVM runs", time.time() - self.line.fault)
        return "Livy's JVM runs" in self.line.marks

    def wait_start(self) -> None:
        wait_for(self._look, LIMIT_S, f"{self.heir.name} starts Livy", self.heir.failure_text)

    def wait_answer(self, client: Rest) -> None:
        wait_for(lambda: client.get("/version"), LIMIT_S, f"{client.url} answers", self.heir.failure_text)
        self.line.mark("first answer")

    def wait_same(self, client: Rest, path: str, before: dict[str, Any], what: str) -> None:
        """Until `path` is as it was before: same id, application and state."""
        def same() -> bool:
            now = client.get(path)
            if now is None:
                return False
            assert (now["id"], now["name"]) == (before["id"], before["name"]), (now, before)
            assert now["appId"] in (None, before["appId"]), (now, before)
            assert now["state"] not in ("dead", "error", "killed", "success"), now
            return (now["appId"], now["state"]) == (before["appId"], before["state"])
        wait_for(same, LIMIT_S, f"{path} is again as {before}", lambda: f"{client.get(path)}\n{self.heir.failure_text()}")
        self.line.mark(what)

    def tell_history(self) -> None:
        """What livy-ha says of the same; and when the old Livy ended, where it had to by now."""
        if self._eye:
            self.line.marks["the old Livy is dead"] = float(self._eye.communicate(timeout=LIMIT_S)[0]) - self.line.fault
            self._eye = None
        def events() -> list[dict[str, Any]] | None:
            told = self.heir.ctl("history").json
            told = told.get("history", []) if isinstance(told, dict) else told
            recent = [each for each in told if _at(each) > self.line.fault - 0.05]
            return recent if any(each["event"] == "serving" for each in recent) else None
        names = {"elected": f"{self.heir.name} is elected", "started": "livy-ha starts Livy", "serving": "livy-ha has seen it"}
        for event in self.heir.wait(events, 30, "the history tells of the Livy that serves"):
            if event["event"] in names and event["member"] == self.heir.name:
                self.line.marks.setdefault(names[event["event"]].replace(self.heir.name, "the heir"),
                                           max(0.0, _at(event) - self.line.fault))
        marks = self.line.marks
        self.line.steps = start_steps(self.heir.log()[self._log_from:], self.line.fault + marks["livy-ha starts Livy"],
                                      self.line.fault + marks["first answer"])


def _at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"].replace("Z", "+00:00")).timestamp()


def memory_mb(pids: dict[str, int | None]) -> dict[str, float]:
    """Resident, of each."""
    return {name: proc.status_value(pid, "VmRSS") / 1024 for name, pid in pids.items() if pid}
