"""The lease: whatever freezes or loses its session, Livy is dead before another may start."""
import shutil
import signal
import socket
import struct
from collections.abc import Iterator

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.oracle import Life
from livyha.wait import boot_ms, let_pass
from livyha.zookeeper import Ensemble

T_NS = 4_000_000_000  # the session time-out of these tests


@pytest.fixture
def pair(make_cluster: ClusterMaker) -> Cluster:
    return make_cluster(2).start()


@pytest.fixture
def thawed() -> Iterator[list[int]]:
    """Pids to be continued whatever happens."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        proc.send(pid, signal.SIGCONT)


def _taken_over(cluster: Cluster, active: Member, life: Life, frozen_at: int) -> Life:
    """Waits for the other member's Livy; the old one must have died within the lease."""
    new = cluster.wait_new_life(life, 40)
    ended = cluster.oracle.life_of(life.pid)
    assert ended is not None and not proc.alive(life.pid)
    assert new.name != active.name
    assert ended.last / 1e6 - frozen_at < T_NS / 1e6, f"Livy outlived its session time-out\n{cluster.failure_text()}"
    cluster.assert_exclusive()
    return new


def test_elector_stopped(pair: Cluster, thawed: list[int]) -> None:
    active = pair.wait_settled()
    life, elector = active.serving(), active.wait_elector()
    assert life is not None
    thawed.append(elector)
    frozen_at = boot_ms()
    active.pause_process(elector)
    _taken_over(pair, active, life, frozen_at)
    proc.send(elector, signal.SIGCONT)
    # The keeper replaces the elector that did not renew, and the member stands in the queue again.
    pair.wait(lambda: len(pair.latch()) == 2, 30, "both members stand in the queue again")
    active.wait_role("standby")
    pair.assert_exclusive()


def test_keeper_stopped(pair: Cluster, thawed: list[int]) -> None:
    active = pair.wait_settled()
    life = active.serving()
    assert life is not None
    thawed.append(active.pid)
    frozen_at = boot_ms()
    active.pause_process(active.pid)
    _taken_over(pair, active, life, frozen_at)
    active.signal(signal.SIGCONT)
    active.wait_role("standby", 40)
    pair.assert_exclusive()


def test_livy_stopped_does_not_hold_the_latch_up(pair: Cluster) -> None:
    """A stopped Livy dies of SIGKILL as any other: an orderly stop of its member is over within stop_grace."""
    active = pair.wait_settled()
    life = active.serving()
    assert life is not None
    active.pause_process(life.pid)
    before = boot_ms()
    assert active.stop() == 0
    assert boot_ms() - before < 5000 + 3000
    pair.wait_new_life(life)


def test_zookeeper_frozen_for_longer_than_the_lease(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    cluster = make_cluster(2, own_zookeeper).start()
    active = cluster.wait_settled()
    life = active.serving()
    assert life is not None
    frozen_at = boot_ms()
    own_zookeeper.pause()
    try:
        active.wait_gone(life.pid, 10, "(Livy, without a lease)")
        assert boot_ms() - frozen_at < T_NS / 1e6
        active.wait(lambda: active.row().get("livy") == "none", 10, "status says that no Livy runs")
        assert active.ctl("status").code == 3
    finally:
        own_zookeeper.resume()
    cluster.wait_new_life(life, 40)
    cluster.wait_settled()
    cluster.assert_exclusive()


def test_zookeeper_frozen_for_a_moment(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    """Shorter than the lease: nothing happens."""
    cluster = make_cluster(2, own_zookeeper).start()
    active = cluster.wait_settled()
    life, latch = active.serving(), cluster.latch()
    assert life is not None
    own_zookeeper.pause()
    let_pass(1, lambda: proc.alive(life.pid), "Livy lives through a frozen second", cluster.failure_text)
    own_zookeeper.resume()
    let_pass(5, lambda: proc.alive(life.pid), "Livy lives on for longer than the time-out", cluster.failure_text)
    assert cluster.latch() == latch


def test_zookeeper_restarted(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    """A server that is back before the lease ends keeps the session: Livy goes on."""
    cluster = make_cluster(2, own_zookeeper).start()
    active = cluster.wait_settled()
    life = active.serving()
    assert life is not None
    own_zookeeper.servers[0].kill()
    own_zookeeper.servers[0].start()
    own_zookeeper.wait_ready()
    cluster.wait_settled()
    cluster.assert_exclusive()


def test_zookeeper_lost_its_data(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    """The session is unknown to a server that begins anew: Livy dies, the members join again."""
    cluster = make_cluster(2, own_zookeeper).start()
    life = cluster.wait_settled().serving()
    assert life is not None
    server = own_zookeeper.servers[0]
    server.kill()
    shutil.rmtree(f"{server.directory}/data/version-2")
    server.start()
    cluster.wait_new_life(life, 60)
    cluster.forget_client()  # the test's own client knows of changes that the server has forgotten, and is refused
    cluster.wait_settled()
    cluster.assert_exclusive()


def test_latch_node_deleted_by_hand(pair: Cluster) -> None:
    active = pair.wait_settled()
    life = active.serving()
    node = pair.latch_node(active)
    assert life is not None and node is not None
    deleted_at = boot_ms()
    pair.zk.delete(node)
    active.wait_gone(life.pid, 3, "(Livy, whose latch node is gone)")
    assert boot_ms() - deleted_at < 1500, "killed at once, not at the lease's end"
    new = pair.wait_new_life(life)
    assert new.name != active.name, "the member that is first in the queue now takes over"
    pair.wait(lambda: len(pair.latch()) == 2, 20, "the first one stands in the queue again")
    pair.assert_exclusive()


def test_standby_node_deleted_by_hand(pair: Cluster) -> None:
    active = pair.wait_settled()
    life = active.serving()
    standby = pair.standbys()[0]
    node = pair.latch_node(standby)
    assert life is not None and node is not None
    pair.zk.delete(node)
    pair.wait(lambda: pair.latch_node(standby) not in (None, node), 20, "the standby makes itself a new node")
    assert proc.alive(life.pid)


def _session_closed_by_a_third_party(cluster: Cluster, member: Member) -> None:
    """Attaches to the member's session with its id and password, which ZooKeeper takes for a reconnect, and closes
    it. The password is what ZooKeeper makes of the id with a secret that is no secret."""
    node = cluster.latch_node(member)
    assert node is not None
    session = cluster.zk.exists(node).ephemeralOwner
    connect = struct.pack(">iqiqi16s?", 0, 0, 4000, session, 16, _password(session), False)
    close = struct.pack(">ii", 1, -11)
    # Both at once: the member reconnects within milliseconds and takes its session back, now and then before the close.
    packets = b"".join(struct.pack(">i", len(packet)) + packet for packet in (connect, close))

    def stolen() -> bool:
        with socket.create_connection(("127.0.0.1", cluster.zookeeper.servers[0].port), 10) as thief:
            thief.sendall(packets)
            while thief.recv(4096):
                pass  # until ZooKeeper has closed the connection
        return cluster.zk.exists(node) is None

    cluster.wait(stolen, 10, "the session's node is gone")


def _password(session: int) -> bytes:
    """ZooKeeperServer.generatePasswd: java.util.Random(id ^ 0xB3415C00).nextBytes(16)."""
    state = ((session ^ 0xB3415C00) ^ 0x5DEECE66D) & ((1 << 48) - 1)
    found = b""
    while len(found) < 16:
        state = (state * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        found += (state >> 16).to_bytes(4, "little")
    return found


def test_session_closed_by_a_third_party(pair: Cluster) -> None:
    """A stranger who holds the session's id and password ends it. The lease is a promise of ZooKeeper's about a session
    that nobody closes, so the next member does not rely on it: it waits until the old Livy has stopped answering. That
    Livy ends as soon as its member hears of it, within the lease at the latest, and the cluster is whole again."""
    active = pair.wait_settled()
    life = active.serving()
    assert life is not None
    closed_at = boot_ms()
    _session_closed_by_a_third_party(pair, active)
    pair.wait_new_life(life)
    ended = pair.oracle.life_of(life.pid)
    assert ended is not None and ended.last / 1e6 - closed_at < T_NS / 1e6
    pair.wait(lambda: len(pair.latch()) == 2, 20, "both stand in the queue again")
    pair.assert_exclusive()


def test_lease_is_told(pair: Cluster) -> None:
    """lease_left_ms is renewed: over three seconds it never falls below what one missed heartbeat costs."""
    active = pair.wait_settled()
    active.wait_role("active")
    active.wait(lambda: (active.row().get("lease_left_ms") or 0) > 0, 15, "a lease is told")
    until, least = boot_ms() + 3000, 10 ** 9
    while boot_ms() < until:
        least = min(least, active.row()["lease_left_ms"])
    # In the steady state T - 2h - tick/2 - eps - K is 2.65 s; a busy machine may delay some heartbeats.
    assert 500 < least <= 4000


def test_standby_has_no_lease(pair: Cluster) -> None:
    pair.wait_settled()
    standby = pair.standbys()[0]
    assert standby.wait_role("standby")["lease_left_ms"] is None


def test_ensemble_loses_a_follower_then_its_leader(make_cluster: ClusterMaker,
                                                   tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three servers: a silent follower costs no fail-over, whoever is connected to it; nor does a dead leader."""
    with Ensemble(str(tmp_path_factory.mktemp("zk")), servers=3) as ensemble:
        cluster = make_cluster(2, ensemble, zookeeper__session_timeout="6s").start()
        life = cluster.wait_settled().serving()
        assert life is not None
        for follower in ensemble.followers():
            follower.pause()
            let_pass(8, lambda: proc.alive(life.pid), "Livy lives on without one follower", cluster.failure_text)
            follower.resume()
            ensemble.wait_ready()
        ensemble.leader().kill()
        let_pass(8, lambda: proc.alive(life.pid), "Livy lives on without the first leader", cluster.failure_text)
        cluster.assert_exclusive()
