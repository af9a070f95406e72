"""A row of the fault matrix: one fault on a fresh cluster, who serves after it, how long nobody did, and that all three
members come back by themselves. What is told of Livy's lives is the stand-ins' own record. Each row that has run leaves
build/matrix/<test>.json (of the modules test_matrix_*), of which tests/e2e/matrix_table makes the table.

    def test_something(row: Row) -> None:
        row.start("active one cut from …")      # three members, one active: row.active, row.life, row.cluster, row.bed
        row.fault()                             # the instant from which is counted
        row.bed.cut(row.active, …)
        row.expect_another()                    # or expect_same(), expect_again(), expect_any()
        row.expect_history("fenced: .*lease", "elected")
        row.finish()                            # undoes the fault; recovery, history, overlap
"""
import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from . import proc
from .bed import Bed
from .build import ROOT, standby
from .cluster import Cluster
from .member import Member
from .oracle import Life
from .wait import boot_ms, let_pass, wait_for
from .zookeeper import Server

DEFAULT_TIMEOUT = "10s"
DIRECTORY = os.path.join(ROOT, "build", "matrix")
SAME, AGAIN, ANOTHER, NOBODY = "the same Livy", "the same member, Livy started again", "another member", "nobody"
# What a row in which nothing happens may still find in the history: a replaced elector says so.
_HARMLESS = {"adopted", "serving"}


@dataclass
class Record:
    """What a row leaves behind; times in ms, None where they do not apply."""
    order: tuple[str, int, str]   # group, line, test: the order of the table
    fault: str = ""
    timeout: str = ""             # T
    tick_ms: int = 0
    serves: str = NOBODY
    end_ms: float | None = None   # from the fault to the last instant of the old Livy
    gap_ms: float | None = None   # from there to the first of the next one
    start_ms: float | None = None  # from the fault to the first instant of the next one
    overlap_ms: float | None = None
    outside: str = ""             # why no overlap is no claim of this row: docs/safety.md's assumptions do not hold in it
    recovered_ms: float | None = None  # from the fault undone to all members back
    history: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    at: str = ""
    ok: bool = False


def _told(entry: dict[str, Any]) -> str:
    return f"{entry.get('event')}: {entry.get('reason')}"


class Row:
    """Made by the fixture `row`; see above."""

    def __init__(self, bed: Bed, cluster: Any, item: pytest.Item) -> None:
        """`cluster(count, **settings)` makes a Cluster that is ended with the test."""
        self.bed = bed
        self._make = cluster
        line = item.reportinfo()[1] or 0
        self._in_table = os.path.basename(str(item.path)).startswith("test_matrix_")
        group = os.path.splitext(os.path.basename(str(item.path)))[0].removeprefix("test_matrix_")
        self.record = Record((group, line, item.name), at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                             tick_ms=bed.ensemble.tick_ms)
        self.cluster: Cluster
        self.active: Member
        self.life: Life           # the active one's Livy at the time of the fault
        self.hot = False          # standbys hold a Livy
        self._fault_ns = 0
        self._processes: dict[str, int] = {}
        self._history: list[dict[str, Any]] = []
        self._harmless = set(_HARMLESS)
        self._mended = False

    # ---- before the fault -----------------------------------------------------------------------------------

    def start(self, fault: str, on: Server | None = None, prepare: Callable[[Cluster], None] | None = None,
              **settings: object) -> None:
        """Three fresh members under a root of their own; `a` is active, connected to `on` where a server is named.
        Settings as for make_cluster; `prepare` is called before the first member starts."""
        self.record.fault = fault
        settings.setdefault("livy__standby", standby())
        self.cluster = self._make(3, self.bed.ensemble, **settings)
        self.bed.house(self.cluster)
        if prepare is not None:
            prepare(self.cluster)
        self.record.timeout = str(self.cluster["a"].settings["zookeeper.session_timeout"] or DEFAULT_TIMEOUT)
        first = self.cluster["a"]
        if on is None:
            first.start()
        else:
            self.bed.start_on(first, on)
        first.wait_serving(60)
        for member in self.cluster.members[1:]:
            member.start()
        self.active = self.cluster.wait_settled()
        for member in self.cluster.members:
            member.wait_role("active" if member is self.active else "standby")
        # Each knows of all others too: a server may be cut off next, and no member gives up for one that it has not heard of.
        wait_for(self._whole, 20, "each member tells of one active one and two standbys", self.failure_text)
        self.hot = settings["livy__standby"] == "hot"
        if self.hot:
            self._wait_ready()
        if on is not None:
            self.bed.heal()
            self.bed.wait_connected(first, on)
        self.note()

    def _wait_ready(self) -> None:
        """Each standby holds a Livy, and the active one, which may leave the latch to it, knows."""
        for member in self.cluster.members:
            if member is not self.active:
                member.wait_held()
                self.active.wait(lambda: self.active.row(member.name).get("livy") == "held", 20,  # noqa: B023
                                 f"{self.active.name} knows that {member.name} holds a Livy")

    def note(self) -> None:
        """What is so now counts as how it was before the fault."""
        life = self.active.serving()
        assert life is not None, self.failure_text()
        self.life = life
        self._processes = {member.name: member.pid for member in self.cluster.members}
        self._history = self.cluster.wait(
            lambda: [e for e in [self.cluster.history()] if any(entry["event"] == "serving" for entry in e)], 20,
            "history tells that a Livy serves")[0]

    @property
    def timeout_s(self) -> float:
        return float(self.record.timeout.removesuffix("s"))

    @property
    def lease_s(self) -> float:
        """After which a session that nobody renews has ended for certain."""
        return self.timeout_s + 1.5 * self.record.tick_ms / 1000

    def fault(self) -> None:
        """Now, right before it is made."""
        self._fault_ns = boot_ms() * 1_000_000

    # ---- who serves after -----------------------------------------------------------------------------------

    def expect_same(self, seconds: float | None = None) -> None:
        """Nothing happens: the same pid, for as long as a lost lease would need to show (or `seconds`)."""
        let_pass(seconds or self.timeout_s + 0.5, lambda: proc.alive(self.life.pid), "the same Livy lives on", self.failure_text)
        self.record.serves = SAME

    def expect_nobody(self, seconds: float) -> None:
        """No Livy lives for so long from now."""
        let_pass(seconds, lambda: not any(member.livy() for member in self.cluster.members), "no Livy lives", self.failure_text)

    def thaw_process(self, *pids: int) -> None:
        for pid in pids:
            proc.send(pid, signal.SIGCONT)

    def _next(self, timeout: float) -> Life:
        life = self.cluster.wait_new_life(self.life, timeout)
        ended = self.cluster.oracle.life_of(self.life.pid)
        following = [each for each in self.cluster.oracle.lives() if each.first > self.life.first]
        assert ended is not None and not proc.alive(self.life.pid), self.failure_text()
        start = following[0].first
        # What it did after a pause that outlived the next one's start counts as overlap, and not as its end.
        last = max(until for since, until in ended.runs if since < start)
        self.record.end_ms = round((last - self._fault_ns) / 1e6, 1)
        self.record.gap_ms = round((start - last) / 1e6, 1)
        self.record.start_ms = round((start - self._fault_ns) / 1e6, 1)
        self.record.serves = AGAIN if life.name == self.active.name else ANOTHER
        return life

    def expect_another(self, timeout: float = 30) -> Member:
        """Another member serves; returns it."""
        life = self._next(timeout)
        assert self.record.serves == ANOTHER, self.failure_text()
        return self.cluster[life.name]

    def expect_again(self, timeout: float = 30) -> Life:
        """The same member serves again, by another Livy."""
        life = self._next(timeout)
        assert self.record.serves == AGAIN, self.failure_text()
        return life

    def expect_anew(self, timeout: float = 30) -> Life:
        """Livy alone has died: it is started again by the same member, or let go by the next one where that holds one."""
        life = self._next(timeout)
        assert self.record.serves == (ANOTHER if self.hot else AGAIN), self.failure_text()
        return life

    def expect_any(self, timeout: float = 60) -> Member:
        """Whoever; with another Livy than before."""
        return self.cluster[self._next(timeout).name]

    def expect_dead_within(self, seconds: float) -> None:
        """The old Livy had ended so soon after the fault."""
        assert self.record.end_ms is not None and self.record.end_ms <= seconds * 1000, \
            f"the old Livy ended {self.record.end_ms} ms after the fault, {seconds} s were allowed\n{self.failure_text()}"

    # ---- afterwards ------------------------------------------------------------------------------------------

    def expect_history(self, *patterns: str) -> None:
        """Regular expressions on "event: reason"; finish() waits until each has been found."""
        self.record.expected += patterns

    def allow_history(self, *events: str) -> None:
        """In a row where nothing happens: what the history may tell all the same."""
        self._harmless |= set(events)

    def started_again(self, *members: Member) -> None:
        """The row itself has ended these daemons and starts them, as systemd would."""
        for member in members:
            member.start()
            self._processes[member.name] = member.pid

    def _news(self) -> list[dict[str, Any]]:
        return [entry for entry in self.cluster.history() if entry not in self._history]

    def _history_as_expected(self) -> bool:
        told = [_told(entry) for entry in self._news()]
        return all(any(re.search(pattern, line) for line in told) for pattern in self.record.expected)

    def _whole(self) -> bool:
        """One active member and the others standby, as every one of them tells it."""
        active = self.cluster.active()
        wanted = {each.name: "active" if each is active else "standby" for each in self.cluster.members}
        for member in self.cluster.members:
            status = member.status() or {}
            if not status.get("serving") or {row["id"]: row["role"] for row in status["members"]} != wanted:
                return False
        return True

    def look_elsewhere(self, *servers: Server) -> None:
        """The test itself looks at ZooKeeper through the other servers until the faults are undone."""
        self.cluster.forget_client()
        self.cluster.eye = ",".join(server.address for server in self.bed.servers if server not in servers)

    def mend(self) -> None:
        """Undoes the faults."""
        self.bed.mend()
        self.cluster.eye = self.bed.ensemble.hosts
        self.cluster.forget_client()  # its session may have ended, or its ensemble lost what it knows
        self._mended = True

    def finish(self, timeout: float = 60) -> None:
        """Undoes the faults. Then all three are back, none was started by hand, and no two Livys ever lived at once."""
        self.mend()
        mended = boot_ms()
        wait_for(self._whole, timeout, "one active member and two standbys, as each of them tells it", self.failure_text)
        self.record.recovered_ms = boot_ms() - mended
        for member in self.cluster.members:
            assert member.running() and member.pid == self._processes[member.name], \
                f"the daemon {member.name} is not the one that was started\n{self.failure_text()}"
        count = len(self.cluster.members)
        self.cluster.wait(lambda: len(self.cluster.latch()) == count, 15, f"{count} latch nodes, and no other")
        wait_for(self._history_as_expected, 20, f"the history tells {self.record.expected}", self.failure_text)
        self.record.history = [_told(entry) for entry in self._news()]
        if self.record.serves == SAME:
            assert proc.alive(self.life.pid) and self.cluster.oracle.lives()[-1].pid == self.life.pid, self.failure_text()
            told = [line for line in self.record.history if line.partition(":")[0] not in self._harmless]
            assert not told, f"nothing was to happen, the history tells {told}"
            self.record.gap_ms = 0.0
        self._overlap()
        self.record.ok = True

    def _overlap(self) -> None:
        self.record.overlap_ms = self.cluster.overlap_us() / 1000
        if not self.cluster.outside_assumptions:  # else what is found is told, in the table too
            self.cluster.assert_exclusive()
            self.cluster.assert_store_whole()

    def close(self) -> None:
        """Whatever has happened: the bed as it was, and the record on disk."""
        try:
            self.bed.mend()
        finally:
            if self.record.overlap_ms is None and hasattr(self, "cluster"):
                self.record.overlap_ms = self.cluster.overlap_us() / 1000
            if hasattr(self, "cluster"):
                self.record.outside = self.cluster.outside_assumptions
            if self._in_table:
                self._write()

    def _write(self) -> None:
        os.makedirs(DIRECTORY, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join((self.record.order[0], self.record.order[2])))
        with open(os.path.join(DIRECTORY, f"{name}.json"), "w", encoding="utf-8") as file:
            json.dump({"v": 1, **asdict(self.record)}, file, indent=1)
            file.write("\n")

    def failure_text(self) -> str:
        lines = [json.dumps(entry) for entry in self._history_or_nothing()]
        lines += [json.dumps({"asked": member.name, **(member.status() or {})}) for member in self.cluster.members] \
            if self._mended else []
        return "\n".join([f"fault at {self._fault_ns / 1e6:.3f} ms", self.cluster.failure_text(), self.bed.describe(),
                          "--- history", *lines])

    def _history_or_nothing(self) -> list[dict[str, Any]]:
        return self._news() if self._mended else []
