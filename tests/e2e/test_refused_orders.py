"""What livy-ha-ctl is refused by a cluster that cannot do it just now; the plain refusals are in test_commands."""
import signal
import time

from conftest import ClusterMaker
from kazoo.security import make_acl
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.orders import done, refused
from livyha.zookeeper import Ensemble

def serving_pid(member: Member) -> int:
    life = member.serving()
    assert life is not None, member.failure_text()
    return life.pid


def settled(cluster: Cluster) -> tuple[Member, list[Member]]:
    """The active one, and the standbys as they stand; every member knows them."""
    cluster.start()
    active = cluster.wait_settled()
    wanted = {member.name: "active" if member is active else "standby" for member in cluster.members}
    for member in cluster.members:
        member.wait(lambda member=member: wanted == {row["id"]: row["role"] for row in (member.status() or {}).get("members", [])},
                    20, "it knows all")
    return active, [cluster[name] for name in cluster.latch_ids()[1:]]


def test_switchover_where_nobody_is_active(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2)
    active, (standby,) = settled(cluster)
    done(standby, "drain")
    done(active, "drain", "--force")
    for member in cluster.members:
        member.wait(lambda member=member: [row["role"] for row in (member.status() or {}).get("members", [])] == 2 * ["drained"],
                    20, "it knows that nobody is active")
    for member in cluster.members:
        refused(member, "switchover", why="there is no active member that could hand over")
    for member in cluster.members:
        done(member, "undrain")
    cluster.wait_active()


def test_switchover_to_one_that_was_not_let_in(make_cluster: ClusterMaker) -> None:
    """Its state store is another one: it says so itself, and nobody else knows it."""
    cluster = make_cluster(2)
    active, (standby,) = settled(cluster)
    other = cluster.add("x")
    other.write_livy_conf("livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n"
                          "livy.server.recovery.zk-state-store.key-prefix = another\n")
    other.start()
    other.wait_log("state store is")
    for member in (active, standby):
        refused(member, "switchover", "--to", "x", why="there is no member x")
    refused(other, "switchover", "--to", "x", why="x has not joined the cluster (this member's state store is")
    assert active.serving() is not None


def test_before_zookeepers_time_is_known(make_cluster: ClusterMaker) -> None:
    """known/<id> is somebody else's: no write of ours tells what time it is for ZooKeeper."""
    cluster = make_cluster(2)
    cluster.zk.ensure_path(f"{cluster.root}/known")
    for member in cluster.members:
        cluster.zk.create(f"{cluster.root}/known/{member.name}", b"{}", acl=[make_acl("world", "anyone", read=True)])
    active, _ = settled(cluster)
    refused(active, "pause", "--for", "10s", why="ZooKeeper's time is not known yet")
    refused(active, "switchover", why="ZooKeeper's time is not known yet")
    assert "paused" not in cluster.control()


def test_while_zookeeper_is_silent(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    cluster = make_cluster(3, own_zookeeper, zookeeper__session_timeout="10s")
    active, (first, second) = settled(cluster)
    for member in (first, second):
        assert member.stop() == 0
        active.wait(lambda member=member: active.row(member.name).get("role") == "absent", 20, "it is seen as absent")
    pid = serving_pid(active)
    own_zookeeper.pause()
    try:
        done(active, "forget", first.name, "--no-wait")
        refused(active, "forget", second.name, why="another member is being forgotten: try again in a moment")
    finally:
        own_zookeeper.resume()
    active.wait(lambda: active.row(first.name) == {}, 20, "the first one is forgotten")
    assert active.row(second.name).get("role") == "absent" and serving_pid(active) == pid


def test_drain_that_zookeeper_does_not_hear(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    """Who stands cannot be found out: the active one keeps its Livy, and is not drained later either."""
    cluster = make_cluster(2, own_zookeeper, zookeeper__session_timeout="10s")
    active, _ = settled(cluster)
    pid = serving_pid(active)
    own_zookeeper.pause()
    try:
        refused(active, "drain", why="ZooKeeper did not say who stands: nothing was changed")
    finally:
        own_zookeeper.resume()
    active.wait(lambda: (active.status() or {}).get("connected"), 20, "it is connected again")
    assert "drained" not in cluster.control() and serving_pid(active) == pid


def test_drain_during_a_switchover(make_cluster: ClusterMaker) -> None:
    """It waits for a standby that does not step back: it is asked for, and not begun."""
    cluster = make_cluster(3)
    active, (between, last) = settled(cluster)
    elector = between.wait_elector()
    between.pause_process(elector)
    try:
        done(last, "switchover", "--to", last.name, "--no-wait", timeout="30s")
        active.wait(lambda: "switchover" in cluster.control(), 10, "it is asked for")
        refused(active, "drain", why=f"is under way, asked on {last.name}")
    finally:
        proc.send(elector, signal.SIGCONT)
    cluster.wait(lambda: "switchover" not in cluster.control(), 60, "it is over")


def test_restart_and_upgrade_in_a_pause_with_livy_down(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    cluster = make_cluster(1, own_zookeeper, zookeeper__session_timeout="10s")
    active, _ = settled(cluster)
    done(active, "pause")
    life = active.serving()
    assert life is not None
    proc.send(life.pid, signal.SIGKILL)
    active.wait(lambda: active.row().get("livy") == "failed", 15, "its Livy's death is seen")
    refused(active, "upgrade", why="Livy is just being started or stopped: try again once it serves")
    own_zookeeper.pause()
    try:
        active.wait(lambda: (active.status() or {}).get("connected") is False, 15, "the connection is given up")
        refused(active, "restart", why="not connected to ZooKeeper: Livy could not be started again")
    finally:
        own_zookeeper.resume()
    active.wait(lambda: (active.status() or {}).get("connected"), 20, "it is connected again")
    done(active, "resume")
    cluster.wait_active()


def test_two_upgrades_at_a_time(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    active, _ = settled(cluster)
    active.pause_process(active.pid)  # the keeper does not get to the first one
    try:
        done(active, "upgrade", "--no-wait")
        refused(active, "upgrade", why="an upgrade is under way already")
    finally:
        proc.send(active.pid, signal.SIGCONT)
    began = time.monotonic()
    active.wait(lambda: active.ctl("upgrade", timeout="20s").code == 0, 30, f"the next one is done, {began}")
