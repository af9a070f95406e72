"""The latch is Curator's LeaderLatch: a Java program lists our members, waits for them, is waited for."""
from collections.abc import Callable, Iterator

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.curator import CuratorPeer, compile_peer
from livyha.wait import let_pass, wait_for


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_peer(str(tmp_path_factory.mktemp("classes")))


@pytest.fixture
def make_peer(classes: str) -> Iterator[Callable[[Cluster, str], CuratorPeer]]:
    made: list[CuratorPeer] = []

    def make(cluster: Cluster, name: str) -> CuratorPeer:
        made.append(CuratorPeer(classes, cluster.directory, cluster.zookeeper.hosts, f"{cluster.root}/leader", name))
        made[-1].wait_event("started")
        return made[-1]
    yield make
    for peer in made:
        peer.kill()


PeerMaker = Callable[[Cluster, str], CuratorPeer]


def _wait_participants(peer: CuratorPeer, ids: list[str]) -> None:
    wait_for(lambda: peer.participants()["ids"] == ids, 30, f"Curator lists {ids}", peer.failure_text)


def _assert_no_livy(cluster: Cluster) -> None:
    alive = [life.pid for life in cluster.oracle.lives() if proc.alive(life.pid)]
    assert not alive, f"a Livy of ours runs while Java leads\n{cluster.failure_text()}"


def test_java_lists_our_members_in_order(make_cluster: ClusterMaker, make_peer: PeerMaker) -> None:
    cluster = make_cluster(3)
    for member in cluster.members:  # one after the other, so that the order is known
        member.start()
        cluster.wait(lambda member=member: member.name in cluster.latch_ids(), 30, "the member stands in the queue")
    peer = make_peer(cluster, "java")
    _wait_participants(peer, ["a", "b", "c", "java"])
    said = peer.participants()
    assert (said["leader"], said["leading"]) == ("a", False)
    assert not peer.leads()


def test_java_takes_over_from_us_and_we_from_java(make_cluster: ClusterMaker, make_peer: PeerMaker) -> None:
    cluster = make_cluster(2)
    cluster["a"].start()
    life = cluster["a"].wait_serving()
    peer = make_peer(cluster, "java")
    _wait_participants(peer, ["a", "java"])
    cluster["b"].start()
    _wait_participants(peer, ["a", "java", "b"])

    assert cluster["a"].stop() == 0
    peer.wait_event("isLeader")
    assert not proc.alive(life.pid)
    cluster["b"].wait_role("standby")
    let_pass(2, lambda: len(cluster.oracle.lives()) == 1, "nothing of ours runs while Java leads", cluster.failure_text)
    assert cluster["b"].ctl("status").code == 3
    _wait_participants(peer, ["java", "b"])

    peer.close()
    cluster["b"].wait_serving()
    assert cluster.latch_ids() == ["b"]


def test_java_leads_first(make_cluster: ClusterMaker, make_peer: PeerMaker) -> None:
    """And when it dies without a word, we take over after its session has ended."""
    cluster = make_cluster(1)
    peer = make_peer(cluster, "java")
    peer.wait_event("isLeader")
    cluster["a"].start().wait_role("standby")
    _assert_no_livy(cluster)
    peer.kill()
    cluster["a"].wait_serving(30)


def test_killed_member_lets_java_in(make_cluster: ClusterMaker, make_peer: PeerMaker) -> None:
    cluster = make_cluster(1).start()
    peer = make_peer(cluster, "java")
    _wait_participants(peer, ["a", "java"])
    cluster["a"].kill()
    event = peer.wait_event("isLeader")
    _assert_no_livy(cluster)
    last = cluster.oracle.lives()[-1].last
    assert event["at"] - last / 1e6 < 3000, "the session was closed, not left to its time-out of 4 s"


def test_leadership_goes_round(make_cluster: ClusterMaker, make_peer: PeerMaker) -> None:
    """Several times over, with Curator's predecessor watch on our node and ours on Curator's."""
    cluster = make_cluster(1).start()
    member = cluster["a"]
    for number in range(3):
        peer = make_peer(cluster, f"java{number}")
        _wait_participants(peer, ["a", f"java{number}"])
        assert member.stop() == 0
        peer.wait_event("isLeader")
        _assert_no_livy(cluster)
        member.start().wait_role("standby")
        peer.close()
        member.wait_serving()
    assert len(cluster.oracle.lives()) == 4
