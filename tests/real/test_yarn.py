"""A real Livy with real jobs on a real YARN: one batch and one interactive session, and what becomes of them when the
active member is stopped, killed, frozen or cut off. All that a client does goes through the front of the member that
survives, in both of its modes.

The tests go in order on one bed; each leaves one member active, one standby, and a batch and a session that run. Those
marked `core` are what the suite `yarn` of tests/run takes; tests/real/run takes all."""
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from realmember import RealMember
from rest import Rest, unique
from timeline import Timeline, Watch, memory_mb
from yarnbed import YarnBed

# pylint: disable=wrong-import-order
from livyha import proc
from livyha.wait import let_pass, wait_for


@dataclass
class Jobs:
    """What runs on YARN and has to survive: as Livy tells it."""
    bed: YarnBed
    batch: dict[str, Any] | None = None
    session: dict[str, Any] | None = None

    def submit(self, client: Rest) -> None:
        """What is lacking; does not wait."""
        if self.batch is None:
            self.batch = client.post("/batches", self.bed.batch())
        if self.session is None:
            self.session = client.post("/sessions", {"kind": "sql", "name": unique("session")})

    def ready(self, client: Rest) -> tuple[dict[str, Any], dict[str, Any]]:
        """Batch and session, running and idle; the session has a temporary view."""
        fresh = self.session is None
        self.submit(client)
        assert self.batch and self.session
        if fresh:
            client.wait_state(f"/sessions/{self.session['id']}", "idle")
            client.sql(self.session["id"], "CREATE TEMPORARY VIEW kept AS SELECT 42 AS answer, 'as before' AS words")
        self.batch = client.wait_state(f"/batches/{self.batch['id']}", "running")
        self.session = client.wait_state(f"/sessions/{self.session['id']}", "idle")
        return self.batch, self.session

    def check_view(self, client: Rest) -> None:
        assert self.session
        assert client.sql(self.session["id"], "SELECT * FROM kept") == [[42, "as before"]]

    def delete_batch(self, client: Rest) -> None:
        """YARN has to see it killed."""
        assert self.batch
        application = self.batch["appId"]
        assert self.bed.yarn.state(application) == "RUNNING"
        assert client.ask("DELETE", f"/batches/{self.batch['id']}").status == 200
        wait_for(lambda: self.bed.yarn.state(application) == "KILLED", 30, f"YARN sees {application} killed",
                 lambda: str(self.bed.yarn.applications()))
        assert client.ask("GET", f"/batches/{self.batch['id']}").status == 404
        self.batch = None


@pytest.fixture(scope="module")
def jobs(yarn_bed: YarnBed) -> Jobs:
    return Jobs(yarn_bed)


@dataclass(frozen=True)
class Fault:
    text: str
    make: Callable[[YarnBed, RealMember], object]
    takes_over: bool = True    # the other member serves then
    frozen: bool = False       # the old Livy still exists meanwhile, stopped
    other_livy: bool = True    # the Livy that serves afterwards is another one


FAULTS = {
    "term": Fault("TERM to the active member", lambda _bed, member: member.stop_begin()),
    "keeper": Fault("kill -9 of its keeper", lambda _bed, member: member.signal(signal.SIGKILL)),
    "elector": Fault("kill -9 of its elector", lambda _bed, member: proc.send(member.wait_elector(), signal.SIGKILL),
                     takes_over=False, other_livy=False),
    "livy": Fault("kill -9 of its Livy", lambda _bed, member: proc.send(member.java() or 0, signal.SIGKILL), takes_over=False),
    "all": Fault("kill -9 of everything at once", lambda bed, member: bed.kill_all(member)),
    "frozen": Fault("everything stopped by SIGSTOP", lambda bed, member: bed.freeze(member), frozen=True),
    "cut": Fault("cut off the network", lambda bed, member: bed.cut(member)),
}
CORE = {("term", "forward"), ("keeper", "redirect"), ("frozen", "forward"), ("cut", "redirect")}
# Each leaves the other member active, as far as it can, so that the next one finds a standby of its own mode.
ORDER = [("term", "forward"), ("keeper", "redirect"), ("frozen", "forward"), ("cut", "redirect"), ("all", "forward"),
         ("term", "redirect"), ("keeper", "forward"), ("frozen", "redirect"), ("cut", "forward"), ("all", "redirect"),
         ("livy", "forward"), ("elector", "forward"), ("livy", "redirect"), ("elector", "redirect")]


def core(fault: str, mode: str) -> Any:
    return pytest.param(fault, mode, marks=pytest.mark.core if (fault, mode) in CORE else (), id=f"{fault}-{mode}")


# What a JVM under YARN is, by a word of its command line.
_JAVA_OF_YARN = {"MiniYarn": "YARN (both of its daemons)", "SleepJob": "the batch: driver",
                 "org.apache.livy.rsc.driver.RSCDriverBootstrapper": "the session: driver",
                 "org.apache.spark.executor.YarnCoarseGrainedExecutorBackend": "an executor"}


def remember_memory(bed: YarnBed, line: Timeline, active: RealMember, standby: RealMember) -> None:
    assert bed.yarn.process
    pids: dict[str, int | None] = {}
    for role, member in (("active", active), ("standby", standby)):
        pids |= {f"{role}: livy-ha": member.pid, f"{role}: livy-ha-elector": member.elector(),
                 f"{role}: livy-ha-relay": member.relay(), f"{role}: Livy": member.java()}
    for pid in proc.descendants(bed.yarn.process.pid):
        arguments = proc.cmdline(pid)
        if os.path.basename(proc.executable(pid)) == "java":
            pids[next((name for word, name in _JAVA_OF_YARN.items() if word in arguments), f"pid {pid}")] = pid
    pids["ZooKeeper"] = bed.zookeeper.servers[0].pid
    line.memory = memory_mb(pids)


@pytest.mark.parametrize(("fault", "mode"), [core(*each) for each in ORDER])
def test_jobs_survive(yarn_bed: YarnBed, jobs: Jobs, report: list[Timeline], fault: str, mode: str) -> None:
    what = FAULTS[fault]
    active, standby = yarn_bed.standing_by(mode)
    client = yarn_bed.front(standby)
    batch, session = jobs.ready(client)
    remember = Timeline("", "")
    remember_memory(yarn_bed, remember, active, standby)
    heir = standby if what.takes_over else active
    watch = Watch(what.text, active, heir, what.frozen)
    watch.line.mode, watch.line.memory = mode, remember.memory
    try:
        watch.begin(lambda: what.make(yarn_bed, active))
        if what.other_livy:
            watch.wait_start()
        watch.wait_answer(client)
        watch.wait_same(client, f"/batches/{batch['id']}", batch, "the batch is right")
        watch.wait_same(client, f"/sessions/{session['id']}", session, "the session is right")
        jobs.check_view(client)
        watch.line.mark("the view answers")
        if what.other_livy:
            watch.tell_history()
        else:
            elector_replaced(active, watch.old_java)
    finally:
        yarn_bed.mend()
        watch.close()
    after_mending(yarn_bed, active, watch.old_java if what.other_livy else 0)
    # Nothing that the old Livy did, thawed or connected again, has changed anything.
    assert client.get(f"/batches/{batch['id']}")["appId"] == batch["appId"]
    assert yarn_bed.yarn.state(session["appId"]) == "RUNNING"
    jobs.delete_batch(client)
    jobs.submit(client)
    report.append(watch.line)


def elector_replaced(member: RealMember, java: int) -> None:
    """Livy has gone on, and does so past the instant at which the session would have ended had nobody taken it over."""
    let_pass(15, lambda: member.java() == java and proc.alive(java), "the same Livy runs on", member.failure_text)


def after_mending(bed: YarnBed, old: RealMember, java: int) -> None:
    """The old member is back or has ended; what it had is gone."""
    if java:
        old.wait_gone(java, what="(the old Livy)")
    bed.settled()
