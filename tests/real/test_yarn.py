"""A real Livy with real jobs on a real YARN: one batch and one interactive session, and what becomes of them when the
active member is stopped, killed, frozen or cut off. All that a client does goes through the front of the member that
survives, in both of its modes.

The tests go in order on one bed; each leaves one member active, one standby, and a batch and a session that run. Those
marked `core` are what the suite `yarn` of tests/run takes; tests/real/run takes all."""
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kazoo.client import KazooClient

from realmember import RealMember
from rest import ENDED, Rest, unique
from timeline import Report, Watch, memory_mb
from yarnbed import HOT, START_S, YarnBed

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
        self.submit(client)
        assert self.batch and self.session
        if self.session["appId"] is None:  # it has just been made
            client.wait_state(f"/sessions/{self.session['id']}", "idle")
            client.sql(self.session["id"], "CREATE TEMPORARY VIEW kept AS SELECT 42 AS answer, 'as before' AS words")
            self.check_view(client)  # the first one of a session takes seconds
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

    def delete_session(self, client: Rest) -> None:
        """A driver of Livy 0.7 that has told of a statement to a server that no longer answers keeps what is unanswered, and
        takes a later server's answer of the same number for it: it then closes that one's connection. So no session goes
        through two such faults."""
        assert self.session
        application = self.session["appId"]
        assert client.ask("DELETE", f"/sessions/{self.session['id']}").status == 200
        wait_for(lambda: self.bed.yarn.state(application) in ("FINISHED", "KILLED"), 30, f"YARN sees {application} ended",
                 lambda: str(self.bed.yarn.applications()))
        self.session = None


@pytest.fixture(scope="module")
def jobs(yarn_bed: YarnBed) -> Jobs:
    return Jobs(yarn_bed)


@dataclass(frozen=True)
class Fault:
    text: str
    make: Callable[[YarnBed, RealMember], object]
    takes_over: bool = True    # the other member serves then
    frozen: bool = False       # the old Livy still exists meanwhile, stopped
    silent: bool = False       # its connections end without a word, see Jobs.delete_session
    other_livy: bool = True    # the Livy that serves afterwards is another one


FAULTS = {
    "term": Fault("TERM to the active member", lambda _bed, member: member.stop_begin()),
    "keeper": Fault("kill -9 of its keeper", lambda _bed, member: member.signal(signal.SIGKILL)),
    "elector": Fault("kill -9 of its elector", lambda _bed, member: proc.send(member.wait_elector(), signal.SIGKILL),
                     takes_over=False, other_livy=False),
    "livy": Fault("kill -9 of its Livy", lambda _bed, member: proc.send(member.java() or 0, signal.SIGKILL), takes_over=HOT),
    "all": Fault("kill -9 of everything at once", lambda bed, member: bed.kill_all(member)),
    "frozen": Fault("everything stopped by SIGSTOP", lambda bed, member: bed.freeze(member), frozen=True,
                    silent=True),
    "cut": Fault("cut off the network", lambda bed, member: bed.cut(member), silent=True),
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


def memory(bed: YarnBed, active: RealMember, standby: RealMember) -> dict[str, float]:
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
    return memory_mb(pids)


@pytest.mark.parametrize(("fault", "mode"), [core(*each) for each in ORDER])
def test_jobs_survive(yarn_bed: YarnBed, jobs: Jobs, report: Report, fault: str, mode: str) -> None:
    what = FAULTS[fault]
    active, standby = yarn_bed.standing_by(mode)
    client = yarn_bed.front(standby)
    batch, session = jobs.ready(client)
    heir = standby if what.takes_over else active
    watch = Watch(what.text, active, heir, what.frozen)
    watch.line.mode, watch.line.memory = mode, memory(yarn_bed, active, standby)
    try:
        watch.begin(lambda: what.make(yarn_bed, active), ends=what.other_livy and not what.frozen)
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
    if what.silent:
        jobs.delete_session(client)
    jobs.submit(client)
    report.lines.append(watch.line)


def elector_replaced(member: RealMember, java: int) -> None:
    """Livy has gone on, and does so past the instant at which the session would have ended had nobody taken it over."""
    let_pass(15, lambda: member.java() == java and proc.alive(java), "the same Livy runs on", member.failure_text)


def after_mending(bed: YarnBed, old: RealMember, java: int) -> None:
    """The old member is back or has ended; what it had is gone."""
    if java:
        old.wait_gone(java, what="(the old Livy)")
    bed.settled()


# ---- a batch whose spark-submit still runs ---------------------------------------------------------------------------


def submitting(member: RealMember) -> bool:
    """True while a spark-submit of the member's Livy runs."""
    java = member.java()
    return java is not None and any("org.apache.spark.deploy.SparkSubmit" in proc.cmdline(pid) for pid in proc.descendants(java))


@pytest.mark.parametrize("fault", [pytest.param("keeper", marks=pytest.mark.core), "term"])
def test_batch_in_submission_is_found_again(yarn_bed: YarnBed, jobs: Jobs, report: Report, fault: str) -> None:
    """spark-submit outlives its Livy (livy.orphan_grace); the next one finds the application by its tag."""
    active, standby = yarn_bed.standing_by("forward")
    client = yarn_bed.front(standby)
    jobs.ready(client)  # so that no spark-submit but the one of this test runs
    wait_for(lambda: not submitting(active), 60, "no spark-submit runs")
    made = client.post("/batches", yarn_bed.batch(prefix="orphan"))
    path = f"/batches/{made['id']}"
    active.wait(lambda: submitting(active), 60, "spark-submit runs")
    assert client.get(path)["appId"] is None and not yarn_bed.by_tag("batch", made["id"])
    watch = Watch(f"spark-submit still running: {FAULTS[fault].text}", active, standby)
    try:
        watch.begin(lambda: FAULTS[fault].make(yarn_bed, active))
        watch.wait_start()
        watch.wait_answer(client)
        found = client.wait_state(path, "running")
        watch.line.mark("the batch is right")
        watch.tell_history()
    finally:
        watch.close()
    assert [found["appId"]] == yarn_bed.by_tag("batch", made["id"]), "one application, and that one"
    assert found["name"] == made["name"]
    report.lines.append(watch.line)
    assert client.ask("DELETE", path).status == 200
    wait_for(lambda: yarn_bed.yarn.state(found["appId"]) == "KILLED", 30, "YARN sees it killed")
    yarn_bed.settled()


# ---- ten batches while the active member changes ---------------------------------------------------------------------


def test_batches_submitted_during_a_switchover(yarn_bed: YarnBed, jobs: Jobs, report: Report) -> None:
    """Each POST that was answered with 201 is there afterwards, once; what was refused is not there."""
    active, standby = yarn_bed.standing_by("forward")
    client = yarn_bed.front(standby)
    jobs.ready(client)
    bodies = [yarn_bed.batch(prefix="ten") for _ in range(10)]
    answers: dict[str, int] = {}

    def post(body: dict[str, Any]) -> None:
        answers[body["name"]] = client.ask("POST", "/batches", body, timeout=START_S).status

    threads = [threading.Thread(target=post, args=(body,)) for body in bodies]
    for thread in threads[:5]:
        thread.start()
    wait_for(lambda: answers or submitting(active), 60, "the first are on their way")
    begin = time.monotonic()
    switch = threading.Thread(target=lambda: active.ctl("switchover", timeout=f"{START_S}s"))
    switch.start()
    wait_for(lambda: active.row().get("livy") != "serving", 60, "the old Livy is being stopped", active.failure_text)
    for thread in threads[5:]:
        thread.start()
    for thread in [*threads, switch]:
        thread.join()
    took = time.monotonic() - begin
    assert yarn_bed.settled() == (standby, active)
    listed = client.get("/batches?size=1000")["sessions"]
    names = [each["name"] for each in listed]
    accepted = [name for name, status in answers.items() if status == 201]
    assert sorted(name for name in names if name.startswith("ten-")) == sorted(accepted), answers
    ids = {each["name"]: each["id"] for each in listed}

    def applications() -> list[int]:
        return [len(yarn_bed.by_tag("batch", ids[name])) for name in accepted]
    wait_for(lambda: 0 not in applications(), START_S, "each has its application", lambda: f"{applications()}")
    for name in accepted:
        found = client.get(f"/batches/{ids[name]}")
        assert found["state"] not in ENDED, found
    assert applications() == [1] * len(accepted)
    for name in accepted:
        assert client.ask("DELETE", f"/batches/{ids[name]}").status == 200
    report.notes.append("Ten batches were sent during a switchover (5 right before it, 5 once the old Livy was being stopped; it took "
                        f"{took:.1f} s): "
                        f"{len(accepted)} were accepted, and each was there afterwards with one application in YARN.")


# ---- a store with many records -----------------------------------------------------------------------------------------

RECORDS = 1000  # of each kind
FIRST_ID = 100_000  # far from those that Livy gives


class Store:
    """Livy's records in ZooKeeper, multiplied."""

    def __init__(self, hosts: str) -> None:
        self._client = KazooClient(hosts=hosts)
        self._client.start(timeout=30)

    def multiply(self, kind: str, original: int, change: dict[str, Any]) -> None:
        """As many as RECORDS of the record that Livy itself has written, each with an id, a name and a tag of its own."""
        record = json.loads(self._client.get(f"/livy/v1/{kind}/{original}")[0])
        for number in range(FIRST_ID, FIRST_ID + RECORDS):
            own = {**record, **change, "id": number, "name": f"stored-{kind}-{number}", "appTag": f"livy-stored-{kind}-{number}"}
            self._client.create(f"/livy/v1/{kind}/{number}", json.dumps(own).encode())

    def clear(self, kind: str) -> None:
        for name in self._client.get_children(f"/livy/v1/{kind}"):
            if name.isdigit() and int(name) >= FIRST_ID:
                self._client.delete(f"/livy/v1/{kind}/{name}")

    def close(self) -> None:
        self._client.stop()
        self._client.close()


@pytest.fixture
def store(yarn_bed: YarnBed) -> Iterator[Store]:
    made = Store(yarn_bed.zookeeper.hosts)
    try:
        yield made
    finally:
        made.clear("batch")
        made.clear("interactive")
        made.close()


def start_seconds(member: RealMember) -> float:
    """How long the member's last start of Livy took, from the order to the first answer, as its history tells."""
    events = [each for each in member.ctl("history").json if each["event"] == "serving" and each["member"] == member.name]
    return events[-1]["took_ms"] / 1000


def test_two_thousand_records(yarn_bed: YarnBed, jobs: Jobs, report: Report, store: Store) -> None:
    """Livy reads all of its records before it answers: that has to fit into livy.start_timeout, with room."""
    active, standby = yarn_bed.settled()
    batch, session = jobs.ready(yarn_bed.front(active))
    before = start_seconds(active)
    application = batch["appId"]
    store.multiply("batch", batch["id"], {})
    jobs.delete_batch(yarn_bed.front(active))  # so that the application of all of them has ended
    store.multiply("interactive", session["id"], {"appId": application, "rscDriverUri": "rsc://nobody:x@10.77.0.20:9"})
    batch, session = jobs.ready(yarn_bed.front(active))
    took = []
    for _ in range(2):
        result = active.ctl("switchover", timeout=f"{START_S}s")
        assert result.code == 0, result
        active, standby = yarn_bed.settled()
        took.append(start_seconds(active))
        client = yarn_bed.front(standby)
        assert client.get("/batches?size=1")["total"] >= RECORDS
        client.wait_state(f"/batches/{batch['id']}", "running")
        client.wait_state(f"/sessions/{session['id']}", "idle")
        jobs.check_view(client)
    limit = next(each for each in active.ctl("config").json["keys"] if each["key"] == "livy.start_timeout")
    assert max(took) < float(str(limit["value"]).strip('"').removesuffix("s")) / 3, (took, limit)
    report.notes.append(f"With {2 * RECORDS} stored records ({RECORDS} batches whose application has ended, {RECORDS} sessions "
                        f"whose driver is gone) a start took {' and '.join(f'{each:.1f} s' for each in took)}, the one before "
                        f"{before:.1f} s; "
                        "`livy.start_timeout` is 300 s by default. What takes longer than `front.hold` (30 s), clients notice as 503 "
                        "with Retry-After.")
