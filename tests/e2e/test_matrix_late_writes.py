"""What a dead Livy leaves behind in a frozen ZooKeeper server (rule 8), and whether the oracle of the state store
would see it."""
from collections.abc import Iterator

import pytest
from conftest import ClusterMaker
from kazoo.client import KazooClient
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.oracle import Life
from livyha.store import Writer
from livyha.wait import boot_ms, let_pass
from livyha.zookeeper import Ensemble, Server

TICK_MS, T_MS = 500, 4000


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """Three servers whose leader does not drop a frozen follower within the test: with the default syncLimit of 5 it
    does so after 5 ticks, and what the follower has been handed is lost with its connection."""
    with Ensemble(str(tmp_path_factory.mktemp("zk")), servers=3, tick_ms=TICK_MS, extra={"syncLimit": "60"}) as ensemble:
        yield ensemble


def _writer(life: Life, acks: int = 1) -> Writer | None:
    writer = life.writer
    return writer if writer and len(writer.acks) >= acks else None


def _frozen_with_a_write(cluster: Cluster, life: Life, follower: Server, leader: Server) -> bool:
    """Freezes the follower. False, and thawed again, where it had passed its last write on to the leader already."""
    follower.pause()

    def stalled() -> Writer | None:
        writer = _writer(life)
        return writer if writer and boot_ms() - writer.acks[-1].ns // 1_000_000 > 150 else None
    writer = cluster.wait(stalled, 10, "Livy waits for an answer")
    eye = KazooClient(hosts=leader.address, timeout=20)
    try:
        eye.start(timeout=10)
        if eye.get(f"/{cluster.store_prefix}/counter")[1].version == writer.last_version:
            return True
    finally:
        eye.stop()
        eye.close()
    follower.resume()
    cluster.wait(lambda: _writer(life, len(writer.acks) + 5), 15, "Livy writes on")
    return False


def _handed_to_a_frozen_follower(cluster: Cluster, follower: Server, leader: Server) -> tuple[Member, Life, Member]:
    """a's Livy writes by way of `follower`, which is frozen with a write in hand; all others go by way of the leader,
    so that they lose no time with the frozen one."""
    first, second = cluster.members
    for member in cluster.members:
        member.settings |= {"zookeeper.hosts": leader.address, "livy.state_store_url": cluster.zookeeper.hosts}
        member.write_conf()
    first.set_mode(f"store-server={follower.address}")
    second.set_mode(f"store-server={leader.address}")
    first.start()
    life = first.wait_serving()
    second.start()
    cluster.wait_settled()
    cluster.wait(lambda: _writer(life, 20), 15, "Livy writes to its store")
    cluster.wait(lambda: _frozen_with_a_write(cluster, life, follower, leader), 30, "a write waits in the frozen follower")
    return first, life, second


def _killed_and_succeeded(cluster: Cluster, first: Member, life: Life) -> tuple[Writer, Life]:
    before = _writer(life)
    assert before is not None and proc.alive(life.pid)
    first.kill()
    new = cluster.wait_new_life(life)
    cluster.wait(lambda: _writer(new, 20), 15, "the successor writes to the store")
    found = new.writer
    assert found is not None and found.value == before.last_value, "the waiting write has not been carried out so far"
    return before, new


def _counts_on(cluster: Cluster, life: Life, more: int = 60) -> Writer:
    """The successor's record, `more` acknowledged writes later."""
    now = _writer(life)
    assert now is not None
    return cluster.wait(lambda: _writer(life, len(now.acks) + more), 20, "the successor writes on")


def _skips(writer: Writer) -> int:
    """How many writes of others came between the writer's own."""
    return writer.last_version - writer.version - len(writer.acks)


def test_write_that_a_dead_livy_left_is_carried_out_while_its_session_lives(make_cluster: ClusterMaker,
                                                                            patient: Ensemble) -> None:
    """Rule 8, what is left: nothing that livy-ha does stops it. docs/safety.md says so."""
    cluster = make_cluster(2, patient, writing_ms=10)
    cluster.outside_assumptions = "a ZooKeeper server was frozen with a write of Livy's in hand"
    leader, follower = patient.leader(), patient.followers()[0]
    try:
        first, life, _second = _handed_to_a_frozen_follower(cluster, follower, leader)
        before, new = _killed_and_succeeded(cluster, first, life)
        ended = cluster.oracle.life_of(life.pid)
        assert ended is not None and before.session in leader.ask("dump"), "the dead Livy's session lives"
        follower.resume()
        cluster.wait(lambda: _skips(_counts_on(cluster, new)) == 1, 20, "the dead Livy's write is carried out")
        print(f"carried out up to {boot_ms() - ended.last // 1_000_000} ms after Livy's death")
    finally:
        follower.resume()
        patient.wait_ready()
    faults = cluster.oracle.store_faults()
    assert len(faults) == 1 and "overwritten" in faults[0], "the oracle sees it, and nothing else"
    assert cluster.oracle.overlap_us() == 0


def test_write_that_a_dead_livy_left_is_refused_once_its_session_has_ended(make_cluster: ClusterMaker,
                                                                           patient: Ensemble) -> None:
    """Rule 8: Livy's own session has the lease's T, so that no write of a dead Livy's is carried out later than about
    T + 1.5 ticks after its death, however long the server was frozen."""
    cluster = make_cluster(2, patient, writing_ms=10)
    leader, follower = patient.leader(), patient.followers()[0]
    try:
        first, life, _second = _handed_to_a_frozen_follower(cluster, follower, leader)
        before, new = _killed_and_succeeded(cluster, first, life)
        ended = cluster.oracle.life_of(life.pid)
        assert ended is not None
        cluster.wait(lambda: before.session not in leader.ask("dump"), 20, "the dead Livy's session has ended")
        lived_on = boot_ms() - ended.last // 1_000_000
        print(f"the session of the dead Livy lived on for {lived_on} ms")
        assert lived_on <= T_MS + 1.5 * TICK_MS + 500
        follower.resume()
        patient.wait_ready()  # it has caught up: what it had in hand has been dealt with
        assert _skips(_counts_on(cluster, new)) == 0
    finally:
        follower.resume()
        patient.wait_ready()
    cluster.assert_store_whole()


def test_oracle_sees_a_foreign_write(make_cluster: ClusterMaker) -> None:
    """Whoever writes beside the active Livy is found out, although the next count is written over it."""
    cluster = make_cluster(1, writing_ms=10).start()
    cluster.outside_assumptions = "the test writes to Livy's store"
    life = cluster["a"].serving()
    assert life is not None
    cluster.wait(lambda: _writer(life, 5), 15, "Livy writes to its store")
    assert cluster.oracle.store_faults() == []
    cluster.zk.set(f"/{cluster.store_prefix}/counter", b"1 nobody")
    cluster.wait(cluster.oracle.store_faults, 10, "the foreign write is seen")


def test_restarted_livy_counts_on(make_cluster: ClusterMaker) -> None:
    """Its own death costs no count: the new one begins where the old one was, or with what was under way."""
    cluster = make_cluster(1, writing_ms=5).start()
    member = cluster["a"]
    for _ in range(3):
        life = member.wait_serving()
        cluster.wait(lambda life=life: _writer(life, 20), 15, "Livy writes to its store")  # type: ignore[misc]
        proc.send(life.pid, 9)
        member.wait_serving(30, other_than=life)
    let_pass(0.3, member.running, "the member runs", member.failure_text)
    writers = [life.writer for life in cluster.oracle.lives()]
    assert all(writers), "each has written"
