"""The agent in Livy's JVM: what is held stays held, what is let go goes on, and no lease is outlived."""
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from livyha import gate, proc
from livyha.build import program
from livyha.cluster import Cluster
from livyha.gate import HeldLivy
from livyha.member import Member
from livyha.wait import let_pass, wait_for

MakeLivy = Callable[..., HeldLivy]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return gate.compile_livy(str(tmp_path_factory.mktemp("livy")))


@pytest.fixture
def make_livy(tmp_path: str, classes: str) -> Iterator[MakeLivy]:
    made: list[HeldLivy] = []

    def make(class_path: str = classes, **options: object) -> HeldLivy:
        made.append(HeldLivy(str(tmp_path), class_path, **options))  # type: ignore[arg-type]
        return made[-1]
    yield make
    for livy in made:
        livy.destroy()


def held(livy: HeldLivy) -> HeldLivy:
    livy.hear(gate.READY)
    assert livy.hear(gate.HELD).text in ("Lorg/apache/livy/sessions/SessionManager;", "Lorg/apache/livy/server/recovery/SessionStore;")
    livy.hear(gate.LOADED)
    return livy


def test_held_until_let_go(make_livy: MakeLivy) -> None:
    livy = held(make_livy())
    let_pass(1, lambda: livy.told() == ["begun"], "neither thread passes")
    livy.say(gate.OPEN, gate.now_ms() + 60000)
    livy.hear(gate.OPENED)
    livy.wait_listening()
    assert sorted(livy.told()) == ["begun", "listening", "sessions", "store"]


@pytest.mark.parametrize("first", ["sessions.SessionManager$", "server.recovery.StateStore$",
                                   "server.recovery.ZooKeeperStateStore", "server.recovery.ZooKeeperManager"])
def test_connects_to_zookeeper_before_it_is_held(make_livy: MakeLivy, first: str) -> None:
    livy = held(make_livy(first=f"org.apache.livy.{first}"))
    assert livy.told() == ["begun", "first"]


def test_held_before_it_makes_its_store_directory(make_livy: MakeLivy) -> None:
    livy = make_livy(first="org.apache.livy.server.recovery.FileSystemStateStore")
    livy.hear(gate.READY)
    assert livy.hear(gate.HELD).text == "Lorg/apache/livy/server/recovery/FileSystemStateStore;"
    livy.hear(gate.LOADED)
    assert livy.told() == ["begun"]


def test_let_go_too_late(make_livy: MakeLivy) -> None:
    livy = held(make_livy())
    livy.say(gate.OPEN, gate.now_ms())
    livy.wait_end(gate.LEASE_STATUS)
    assert livy.told() == ["begun"]


def test_let_go_before_it_is_held(make_livy: MakeLivy) -> None:
    livy = make_livy()
    livy.say(gate.OPEN, gate.now_ms() + 60000)
    livy.wait_listening()


@pytest.mark.parametrize("until_open", [False, True])
def test_let_go_before_its_java_runs(make_livy: MakeLivy, until_open: bool) -> None:
    """The timer that ends a Java without the agent is cleared all the same, and the keeper hears that the agent is there."""
    livy = make_livy(let_go=True, until_open=until_open, garbage=True)
    assert {livy.next_said().type, livy.next_said().type} == {gate.OPENED, gate.READY}, "of two threads"
    livy.wait_listening()
    wait_for(lambda: proc.usage(livy.process.pid).cpu_s > 1 or livy.process.poll() is not None, 60, "it has worked for a second")
    assert livy.process.poll() is None, livy.stderr()


@pytest.mark.parametrize("when", ["held", "serving"])
def test_ends_with_its_keeper(make_livy: MakeLivy, when: str) -> None:
    livy = held(make_livy())
    if when == "serving":
        livy.say(gate.OPEN, gate.now_ms() + 60000)
        livy.wait_listening()
    livy.channel.close()
    livy.wait_end(gate.ORPHANED_STATUS)


@pytest.mark.parametrize("packet", [b"x", b"\0" * 280, b"HLG1" + b"\xff" * 276])
def test_nonsense_from_the_keeper_ends_it(make_livy: MakeLivy, packet: bytes) -> None:
    livy = held(make_livy())
    livy.channel.send(packet)
    livy.wait_end(gate.ORPHANED_STATUS)
    assert livy.told() == ["begun"]


@pytest.mark.parametrize("hold", [True, False])
def test_the_lease_ends_it(make_livy: MakeLivy, hold: bool) -> None:
    livy = make_livy(hold=hold)
    if hold:
        held(livy)
    else:
        livy.wait_listening()  # guarded only: nothing is held
    livy.lease(gate.now_ms() + 300)
    livy.say(gate.LEASE)  # earlier than before
    livy.wait_end(gate.LEASE_STATUS)


def test_a_lease_that_counts_until_it_is_let_go(make_livy: MakeLivy) -> None:
    """livy.guard = "none": the lease of the letting go is known, whenever that is read, and after it nobody looks."""
    livy = held(make_livy(until_open=True))
    livy.lease(gate.now_ms() + 5000)
    livy.say(gate.OPEN, gate.now_ms() - 1000)  # that of the word is over, and was renewed
    livy.hear(gate.OPENED)
    livy.wait_listening()
    let_pass(5.5, lambda: livy.process.poll() is None, "it outlives the lease", livy.stderr)
    late = held(make_livy(until_open=True))
    late.lease(gate.now_ms() - 1)
    late.say(gate.OPEN, gate.now_ms() + 60000)
    late.wait_end(gate.LEASE_STATUS)
    assert late.told() == ["begun"]


def test_a_lease_that_is_over_before_the_start(make_livy: MakeLivy) -> None:
    livy = make_livy(hold=False, kill_at=1)
    livy.wait_end(gate.LEASE_STATUS)
    assert livy.told() == []


@pytest.mark.parametrize("garbage", [False, True], ids=["idle", "garbage-collections"])
def test_a_lease_that_is_renewed_never_ends_it(make_livy: MakeLivy, garbage: bool) -> None:
    """Renewed by 3 s every 50 ms, and by nobody after that: it dies at the last instant, and not before."""
    livy = make_livy(hold=False, garbage=garbage, kill_at=gate.now_ms() + 30000)
    livy.wait_listening()
    stop = threading.Event()
    last = [0]

    def renew() -> None:
        while not stop.wait(0.05):
            last[0] = gate.now_ms() + 3000
            livy.lease(last[0])
    thread = threading.Thread(target=renew)
    thread.start()
    wait_for(lambda: last[0] != 0, 5, "renewed")
    livy.say(gate.LEASE)
    try:
        let_pass(5, lambda: livy.process.poll() is None, "it lives", livy.stderr)
    finally:
        stop.set()
        thread.join()
    let_pass(1, lambda: livy.process.poll() is None, "until the instant that was said last")
    livy.wait_end(gate.LEASE_STATUS)
    assert gate.now_ms() >= last[0]


def test_a_livy_that_the_list_does_not_fit(make_livy: MakeLivy, tmp_path: str) -> None:
    livy = make_livy(gate.compile_livy(os.path.join(tmp_path, "other"), without="org/apache/livy/server/WebServer"))
    assert "org/apache/livy/server/WebServer.class" in livy.hear(gate.REFUSED).text
    livy.wait_end(gate.REFUSED_STATUS)
    assert livy.told() == [], "none of its code has run"
    assert "this Livy is not one that can be held" in livy.stderr()


@pytest.mark.parametrize("options", ["", "hold", "channel=x", "hold,channel=99999", "channel=1", "nonsense"])
def test_not_started_by_hand(make_livy: MakeLivy, options: str) -> None:
    livy = make_livy(options=options)
    livy.wait_end(gate.REFUSED_STATUS)
    assert livy.told() == []


def test_classes_are_written_down_and_loaded_by_the_next(make_livy: MakeLivy, tmp_path: str) -> None:
    record = os.path.join(tmp_path, "classes, and a comma")
    livy = held(make_livy(record=record))
    livy.say(gate.OPEN, gate.now_ms() + 60000)
    livy.hear(gate.OPENED)
    livy.wait_listening()
    livy.say(gate.RECORD)
    count = livy.hear(gate.RECORDED).count
    with open(record, encoding="utf-8") as file:
        names = file.read().split()
    assert count == len(names) > 100 and "org.apache.livy.server.WebServer" in names
    assert not [name for name in names if "$$Lambda" in name or name.startswith("[")]
    with open(record, "a", encoding="utf-8") as file:
        file.write("org.apache.livy.server.batch.BatchSession\nno.such.Thing\n")
    other = make_livy(record=record)
    other.hear(gate.READY)
    other.hear(gate.HELD)
    assert other.hear(gate.LOADED).count > count * 0.9
    assert other.told() == ["begun"], "loaded, not initialised"
    other.say(gate.OPEN, gate.now_ms() + 60000)
    other.hear(gate.OPENED)
    other.wait_listening()


@pytest.mark.parametrize("beside", [True, False])
def test_without_a_record(make_livy: MakeLivy, tmp_path: str, beside: bool) -> None:
    """Then there is a list beside the agent."""
    library = shutil.copy(gate.agent(), tmp_path)
    if beside:
        shutil.copy(os.path.join(os.path.dirname(gate.agent()), "livy-classes"), tmp_path)
    livy = make_livy(record=os.path.join(tmp_path, "missing", "classes"), library=library)
    livy.hear(gate.READY)
    livy.hear(gate.HELD)
    loaded = livy.hear(gate.LOADED).count
    assert (loaded > 50) if beside else (loaded == 0), "of the list, what is in the JDK"
    livy.say(gate.OPEN, gate.now_ms() + 60000)
    livy.hear(gate.OPENED)
    livy.wait_listening()
    livy.say(gate.RECORD)
    said = livy.hear(gate.RECORDED)
    assert said.count == 0 and "No such file" in said.text
    assert livy.process.poll() is None, "that costs Livy nothing"


# ---- under livy-ha: livy.guard = "process" ---------------------------------------------------------------------------

SESSION_S = 4.0  # zookeeper.session_timeout of the clusters made here


@pytest.fixture
def guarded(make_cluster: Callable[..., Cluster], tmp_path: str, classes: str) -> Cluster:
    return make_cluster(2, livy__guard="process", livy__command=gate.launcher(str(tmp_path), classes))


def serving_pid(member: Member) -> int | None:
    row = member.row() if member.running() else {}
    return row.get("livy_pid") if (row.get("role"), row.get("livy")) == ("active", "serving") else None


def wait_serving(member: Member) -> int:
    return member.wait(lambda: serving_pid(member), 60, "its Livy serves")


def started_at(pid: int) -> float:
    """CLOCK_BOOTTIME seconds, to a tick."""
    return proc.start_ticks(pid) / os.sysconf("SC_CLK_TCK")


def test_keeper_and_elector_both_stopped(guarded: Cluster) -> None:
    """Nobody of ours is left who could kill: Livy ends by itself with its lease, before the next one begins."""
    first, second = guarded.members
    first.start()
    old = wait_serving(first)
    second.start()
    second.wait_role("standby")
    pidfd = os.pidfd_open(old)
    stopped = time.clock_gettime(time.CLOCK_BOOTTIME)
    first.pause_process(first.wait_elector())
    first.pause_process(first.pid)
    assert select.select([pidfd], [], [], 30)[0], "it ends"
    ended = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.close(pidfd)
    assert ended - stopped < SESSION_S, "before anybody else can be elected"
    new = wait_serving(second)
    assert started_at(new) >= ended - 0.02, "and before the next one is started"


def test_a_guarded_livy_lives_on_while_its_lease_is_renewed(guarded: Cluster) -> None:
    member = guarded.members[0].start()
    pid = wait_serving(member)
    elector = member.wait_elector()
    let_pass(2 * SESSION_S, lambda: proc.alive(pid), "two sessions long", member.failure_text)
    member.signal(signal.SIGHUP)
    proc.send(elector, signal.SIGKILL)
    member.wait_elector(other_than=elector)
    let_pass(SESSION_S, lambda: proc.alive(pid), "over the elector's death too", member.failure_text)
    assert serving_pid(member) == pid
    assert member.stop() == 0


def test_a_guarded_livy_ends_with_a_killed_keeper(guarded: Cluster) -> None:
    member = guarded.members[0].start()
    pid = wait_serving(member)
    member.kill()
    member.wait_gone(pid, 5, "(Livy)")


def test_a_guard_that_is_not_installed_is_refused(guarded: Cluster, tmp_path: str) -> None:
    member = guarded.members[0]
    away = os.path.join(tmp_path, "bin")
    os.makedirs(away)
    copy = os.path.join(away, "livy-ha")
    shutil.copy(program("livy-ha"), copy)
    done = subprocess.run([copy, "-c", member.conf_path, "--check-config"], env=member.env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 78 and "livy.guard" in done.stderr and "liblivy-ha-gate.so" in done.stderr, done
