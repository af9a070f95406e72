"""One store, one cluster: the claim that a cluster lays on its state store keeps every other cluster off it."""
import json
import os
import time
from collections.abc import Iterator

import pytest
from conftest import ClusterMaker
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError, NotEmptyError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.oracle import Life
from livyha.wait import let_pass, wait_for
from livyha.zookeeper import Ensemble

FEW_SECONDS = 10  # what "within a few seconds" may come to on a machine that does other things too


def claim_path(cluster: Cluster) -> str:
    return f"/{cluster.store_prefix}-livy-ha"


def second_cluster(make_cluster: ClusterMaker, first: Cluster, count: int = 1, ensemble: Ensemble | None = None,
                   **settings: object) -> Cluster:
    """Another cluster on the first one's store; its stand-ins are judged together with the first one's."""
    second = make_cluster(0, ensemble or first.zookeeper, **settings)
    second.oracle_dir, second.oracle, second.store_prefix = first.oracle_dir, first.oracle, first.store_prefix
    for number in range(count):
        second.add(f"rival{number}")
    return second


def lives_of(member: Member) -> list[Life]:
    return [life for life in member.oracle.lives() if life.name == member.name]


def assert_refused(member: Member, *texts: str) -> None:
    """It does not stand, and its status and log say why."""
    member.wait_role("drained")
    member.wait_log("not standing", *texts)
    shown = member.ctl("status", as_json=False).out
    assert all(text in shown for text in texts), shown


def delete(cluster: Cluster, path: str) -> None:
    cluster.zk.delete(path)


def answers_quickly(member: Member) -> None:
    began = time.monotonic()
    assert member.ctl("status").code in (0, 3)
    assert time.monotonic() - began < 2, "its loop is blocked"


@pytest.fixture
def store(own_zookeeper: Ensemble) -> Iterator[Ensemble]:
    """An ensemble of its own for the state store; a test may stop or freeze it."""
    yield own_zookeeper
    own_zookeeper.resume()


def kazoo_for(ensemble: Ensemble) -> KazooClient:
    client = KazooClient(hosts=ensemble.hosts, timeout=20)
    client.start(timeout=30)
    return client


def test_second_cluster_is_refused_until_the_claim_is_deleted(make_cluster: ClusterMaker) -> None:
    first = make_cluster(2).start()
    claim = json.loads(first.zk.get(claim_path(first))[0])
    assert (claim["root"], claim["zookeeper"]) == (first.root, first.zookeeper.hosts)
    assert claim["cluster"] in (first.node("store") or b"").decode()

    second = second_cluster(make_cluster, first, 2)
    for member in second.members:
        member.start()
    for member in second.members:
        assert_refused(member, first.root, first.zookeeper.hosts, f"delete the node {claim_path(first)}")
    let_pass(2, lambda: not any(lives_of(member) for member in second.members) and not second.latch(),
             "the second cluster starts no Livy and does not stand")
    assert first.active() is not None

    for member in first.members:
        assert member.stop() == 0
    let_pass(2, lambda: not any(lives_of(member) for member in second.members),
             "a cluster that is only stopped keeps its store")
    pids = [member.elector() for member in second.members]
    delete(first, claim_path(first))
    second.wait_active(FEW_SECONDS)
    second.wait_settled()
    assert [member.elector() for member in second.members] == pids, "without a restart"
    assert json.loads(first.zk.get(claim_path(first))[0])["root"] == second.root

    first.members[0].start()  # and now the other way round
    assert_refused(first.members[0], second.root)


def test_whole_restart_keeps_the_claim(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    before = cluster.zk.exists(claim_path(cluster))
    assert before.ephemeralOwner == 0
    for member in cluster.members:
        assert member.stop() == 0
    cluster.start()
    assert cluster.zk.exists(claim_path(cluster)).mzxid == before.mzxid
    members = sorted(cluster.latch_ids())
    assert members == ["a", "b"]


def test_claim_does_not_touch_livys_own_nodes(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    cluster.zk.ensure_path(f"/{cluster.store_prefix}/v1/batch")
    cluster.start()
    assert cluster.zk.get_children(f"/{cluster.store_prefix}") == ["v1"]
    assert cluster.zk.get_children(f"/{cluster.store_prefix}/v1/batch") == []


def test_root_removed_and_made_anew_keeps_its_store(make_cluster: ClusterMaker) -> None:
    """The claim lies in the ensemble that has the root: there is one root of that name only."""
    cluster = make_cluster(1).start()
    assert cluster["a"].stop() == 0
    cluster.zk.delete(cluster.root, recursive=True)
    cluster["a"].start().wait_serving()


def remove_root(cluster: Cluster) -> None:
    def removed() -> bool:
        try:
            cluster.zk.delete(cluster.root, recursive=True)
        except (NoNodeError, NotEmptyError):  # its members make it anew meanwhile
            return False
        return True
    cluster.wait(removed, FEW_SECONDS, f"{cluster.root} is removed")


def test_root_removed_while_running_keeps_a_store_elsewhere(make_cluster: ClusterMaker, store: Ensemble) -> None:
    """The members know the cluster's id, and write it down again."""
    cluster = make_cluster(1, livy__state_store_url=store.hosts).start()
    member = cluster["a"]
    life = member.serving()
    written = cluster.node("store")
    remove_root(cluster)
    # A Livy of between two tries at removing it does not count.
    cluster.wait(lambda: cluster.node("store") == written, FEW_SECONDS, "the store is written down again as it was")
    member.wait_serving(other_than=life)
    assert member.stop() == 0
    member.start().wait_serving(FEW_SECONDS)


def test_members_removed_while_running(make_cluster: ClusterMaker) -> None:
    """Told once, and made again with the parent; Livy knows nothing of it."""
    cluster = make_cluster(1).start()
    member = cluster["a"]
    life = member.serving()
    removal = cluster.zk.transaction()  # at once: the member makes its own again within milliseconds
    removal.delete(f"{cluster.root}/members/a")
    removal.delete(f"{cluster.root}/members")
    assert removal.commit() == [True, True]
    cluster.wait(lambda: cluster.node("members/a"), FEW_SECONDS, "members/a is there again")
    assert member.log().count("was removed by somebody") == 1
    member.wait(lambda: member.row().get("livy") == "serving", FEW_SECONDS, "it sees itself again")
    serving = member.serving()
    assert serving and serving.pid == life.pid


def test_root_removed_while_stopped_loses_a_store_elsewhere(make_cluster: ClusterMaker, store: Ensemble) -> None:
    """Nobody knows the id any more: it may be another cluster with the same names. The operator decides."""
    cluster = make_cluster(1, livy__state_store_url=store.hosts).start()
    member = cluster["a"]
    assert member.stop() == 0
    remove_root(cluster)
    lives = len(cluster.oracle.lives())
    member.start()
    assert_refused(member, cluster.root, f"delete the node {claim_path(cluster)}", store.hosts)
    assert len(cluster.oracle.lives()) == lives
    client = kazoo_for(store)
    try:
        client.delete(claim_path(cluster))
    finally:
        client.stop()
        client.close()
    member.wait_serving(FEW_SECONDS)


@pytest.mark.parametrize("store_first", [False, True])
def test_same_root_in_two_ensembles(make_cluster: ClusterMaker, store: Ensemble, store_first: bool) -> None:
    """One has the store in its own ensemble, the other one reaches it from another ensemble."""
    at_home = make_cluster(1, store)
    away = second_cluster(make_cluster, at_home, 1, make_cluster(0).zookeeper, livy__state_store_url=store.hosts)
    away.root = at_home.root
    away.members.clear()
    away.add("rival0")
    first, second = (at_home, away) if store_first else (away, at_home)
    first.start()
    second.members[0].start()
    assert_refused(second.members[0], first.zookeeper.hosts, claim_path(at_home))
    let_pass(2, lambda: not lives_of(second.members[0]), "the second cluster starts no Livy")
    assert first.members[0].stop() == 0
    delete(at_home, claim_path(at_home))
    second.members[0].wait_serving(FEW_SECONDS)


def test_hosts_in_another_order_are_the_same_ensemble(make_cluster: ClusterMaker) -> None:
    """The ways to write one ensemble are one store, and one claim."""
    cluster = make_cluster(1)
    port = cluster.zookeeper.servers[0].port
    cluster["a"].settings["zookeeper.hosts"] = f"127.0.0.1:{port},LOCALHOST:{port}"
    cluster["a"].settings["livy.state_store_url"] = f"localhost:{port},127.0.0.1:{port}"
    cluster["a"].write_conf()
    cluster.start()
    assert json.loads(cluster.zk.get(claim_path(cluster))[0])["own"] is True


@pytest.mark.parametrize("way", ["kill", "pause"])
def test_store_away_at_start(make_cluster: ClusterMaker, store: Ensemble, way: str) -> None:
    cluster = make_cluster(2, livy__state_store_url=store.hosts)
    getattr(store.servers[0], way)()
    for member in cluster.members:
        member.start()
    for member in cluster.members:
        member.wait_log("not registered yet", store.hosts, "is not to be reached")
        assert member.row()["role"] == "joining"
        assert store.hosts in member.ctl("status", as_json=False).out
    deadline = time.monotonic() + 6  # a whole attempt and the beginning of another
    while time.monotonic() < deadline:
        answers_quickly(cluster["a"])
    assert not cluster.oracle.lives()
    assert all(member.running() for member in cluster.members)
    if way == "kill":
        store.servers[0].start()
    else:
        store.servers[0].resume()
    cluster.wait_settled(FEW_SECONDS + 10)


def test_running_livy_does_not_need_the_store_to_answer(make_cluster: ClusterMaker, store: Ensemble) -> None:
    """Once a member has its claim, neither an elector's death nor a fail-over asks the store again."""
    cluster = make_cluster(2, livy__state_store_url=store.hosts).start()
    active = cluster.active()
    assert active is not None
    life = active.serving()
    assert life is not None
    store.servers[0].kill()

    elector = active.elector()
    assert elector is not None
    proc.send(elector, 9)
    active.wait_elector(other_than=elector)
    active.wait_log("adopting session")
    let_pass(3, lambda: proc.alive(life.pid), "its Livy goes on")
    active.wait_role("active")

    active.kill()
    cluster.wait_new_life(life, FEW_SECONDS)
    assert cluster.oracle.gaps()[-1].ns < 1.5e9, cluster.oracle.describe()


def test_elsewhere_store_is_claimed_once_and_its_handle_closed(make_cluster: ClusterMaker, store: Ensemble) -> None:
    cluster = make_cluster(2, livy__state_store_url=store.hosts).start()
    client = kazoo_for(store)
    try:
        claim = json.loads(client.get(claim_path(cluster))[0])
        assert (claim["root"], claim["zookeeper"], claim["own"]) == (cluster.root, cluster.zookeeper.hosts, False)
        assert client.get_acls(claim_path(cluster))[0] == OPEN_ACL_UNSAFE
        assert cluster.zk.exists(claim_path(cluster)) is None
        # The stand-in does not connect to its store: what is left are this test's client and the question.
        wait_for(lambda: connections(store) == 2, FEW_SECONDS, "the members have closed their handles")
    finally:
        client.stop()
        client.close()


def connections(ensemble: Ensemble) -> int:
    return sum(1 for line in ensemble.servers[0].ask("cons").splitlines() if line.strip())


def test_nothing_to_claim_without_recovery(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, livy__recovery=False).start()
    assert cluster.zk.exists(claim_path(cluster)) is None
    assert (cluster.node("store") or b"").startswith(b"none\n")


def test_claim_has_the_acl_of_the_other_nodes(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, zookeeper__auth_digest="livy:secret").start()
    acl = cluster.zk.get_acls(claim_path(cluster))[0]
    assert acl == cluster.zk.get_acls(f"{cluster.root}/store")[0]
    assert any(entry.id.scheme == "digest" and entry.id.id.startswith("livy:") for entry in acl), acl


def test_no_right_to_make_the_claim(make_cluster: ClusterMaker) -> None:
    """An administrator makes it instead: an empty node is a claim that is still to be laid."""
    cluster = make_cluster(1)
    cluster.zk.add_auth("digest", "admin:admin")
    chroot = f"/locked_{cluster.store_prefix}"
    cluster.zk.create(chroot, acl=CREATOR_ALL_ACL + READ_ACL_UNSAFE)
    member = cluster["a"]
    member.settings["livy.state_store_url"] = cluster.zookeeper.hosts + chroot
    member.write_conf()
    member.start().wait_log("not registered yet", "no right to create", chroot + claim_path(cluster), "administrator")
    assert member.row()["role"] == "joining"
    assert not cluster.oracle.lives()
    cluster.zk.create(chroot + claim_path(cluster), acl=OPEN_ACL_UNSAFE)
    member.wait_serving(FEW_SECONDS)
    assert json.loads(cluster.zk.get(chroot + claim_path(cluster))[0])["root"] == cluster.root


def use_directory(cluster: Cluster, url: str) -> None:
    for member in cluster.members:
        member.write_livy_conf("livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n"
                               "livy.server.recovery.mode = recovery\nlivy.server.recovery.state-store = filesystem\n"
                               f"livy.server.recovery.state-store.url = {url}\n")


def test_file_store(make_cluster: ClusterMaker) -> None:
    """livy.recovery = false: the user's own set, for which a local disk is only warned of."""
    first = make_cluster(2, livy__recovery=False)
    directory = os.path.join(first.directory, "store", "sessions")
    claim = os.path.join(directory, ".livy-ha-claim")
    use_directory(first, f"file://{directory}")
    first.start()
    with open(claim, encoding="utf-8") as file:
        assert json.load(file)["root"] == first.root
    assert os.stat(directory).st_mode & 0o777 == 0o700

    second = second_cluster(make_cluster, first, 1, livy__recovery=False)
    use_directory(second, f"file:{directory}")
    rival = second.members[0].start()
    assert_refused(rival, first.root, first.zookeeper.hosts, f"delete the file {claim}")
    for member in first.members:
        assert member.stop() == 0
    let_pass(2, lambda: not lives_of(rival), "the second cluster starts no Livy")
    os.unlink(claim)
    rival.wait_serving(FEW_SECONDS)


def test_hdfs_is_said_to_be_unguarded(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    use_directory(cluster, "hdfs://namenode/livy")
    cluster.start()
    cluster["a"].wait_log("claim on the state store", "none can be laid", "hdfs://namenode/livy")
