"""What livy-ha-ctl is refused by a cluster that cannot do it just now; the plain refusals are in test_commands."""
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conftest import ClusterMaker
from kazoo.security import make_acl
from livyha import proc
from livyha.build import program
from livyha.cluster import Cluster
from livyha.member import CtlResult, Member
from livyha.orders import done, order, refused
from livyha.programs import ELECTOR, RELAY, Programs
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
    refused(other, "drain", why="): ask another member")
    assert active.serving() is not None


def test_before_zookeepers_time_is_known(make_cluster: ClusterMaker) -> None:
    """known/<id> is somebody else's: no write of ours tells what time it is for ZooKeeper."""
    cluster = make_cluster(2)
    cluster.zk.ensure_path(f"{cluster.root}/known")
    for member in cluster.members:
        cluster.zk.create(f"{cluster.root}/known/{member.name}", b"{}", acl=[make_acl("world", "anyone", read=True)])
    active, _ = settled(cluster)
    refused(active, "pause", "--for", "10s", why="ZooKeeper's time is not known yet: try again in a moment")
    refused(active, "switchover", why="ZooKeeper's time is not known yet: try again in a moment")
    assert "paused" not in cluster.control()
    pid = serving_pid(active)
    done(active, "pause")
    refused(active, "restart", why="ZooKeeper's time is not known yet: try again in a moment")
    assert "restart" not in cluster.control() and serving_pid(active) == pid


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
        refused(active, "drain", why=f"a switchover to {last.name} is under way, asked on {last.name}")
    finally:
        proc.send(elector, signal.SIGCONT)
    cluster.wait(lambda: "switchover" not in cluster.control(), 60, "it is over")


def test_switchover_to_one_whose_keeper_is_stopped(make_cluster: ClusterMaker) -> None:
    """It looks as if it stood well until it is to start Livy: the next one in the queue does, and who has asked is told. By
    then it does not stand any more, and says why."""
    cluster = make_cluster(3)
    for member in cluster.members:
        member.set_mode("slow-term=3000")
    active, (stuck, last) = settled(cluster)
    why = f"{stuck.name} was to take over from {active.name}, but {last.name} did"
    try:
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(refused, last, "switchover", "--to", stuck.name, why=why)
            cluster.wait(lambda: (cluster.control().get("switchover") or {}).get("begun"), 20, "it has begun")
            stuck.pause_process(stuck.pid)
            asking.result()
        assert cluster.active() is last
        active.wait(lambda: active.row(stuck.name).get("role") == "joining", 10, "it stands no more")
        keeper = "the keeper (livy-ha) does not answer: its process is stopped or hangs"
        refused(active, "switchover", "--to", stuck.name, why=f"{stuck.name} does not stand in the queue (joining): {keeper}")
        refused(stuck, "switchover", "--to", stuck.name, why=f"{stuck.name} does not stand: ")
        for command in ("reload", "upgrade"):
            result = order(stuck, command, timeout="2s")
            assert result.code == 5 and "the keeper (livy-ha) does not answer" in result.err, result
        result = order(stuck, "undrain", timeout="2s")
        assert result.code == 5 and f"not over in time: {stuck.name} is drained, " in result.err, result
    finally:
        proc.send(stuck.pid, signal.SIGCONT)
    cluster.wait(lambda: stuck.name in cluster.latch_ids(), 20, "it stands again")


def test_a_drain_that_is_taken_back(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    active = cluster["a"]
    active.set_mode("slow-term=4000")
    settled(cluster)
    results: list[CtlResult] = []
    asking = threading.Thread(target=lambda: results.append(order(active, "drain", "--force")))
    asking.start()
    active.wait(lambda: active.row().get("livy") == "stopping", 10, "Livy is being stopped")
    done(active, "undrain")
    asking.join()
    assert results[0].code == 1 and "it was undrained by somebody before that was over" in results[0].err, results
    cluster.wait_active()


def test_undrain_where_the_store_differs(make_cluster: ClusterMaker) -> None:
    """The drain has gone, but it stands no more than before. So it does once the store is the cluster's again."""
    cluster = make_cluster(1)
    active, _ = settled(cluster)
    store = cluster.node("store")
    assert store is not None
    cluster.zk.set(f"{cluster.root}/store", b"another" + store)
    done(active, "drain", "--force")
    cluster.zk.delete(f"{cluster.root}/leader", recursive=True)
    done(active, "undrain", "--no-wait")  # it looks for the queue, which is not there: it registers anew
    active.wait_log("not standing: this member's state store is")
    done(active, "drain")
    assert f"{active.name} is not drained any more, but does not stand: this member's state store is " in done(active, "undrain")
    cluster.zk.set(f"{cluster.root}/store", store)
    cluster.wait_active()


def test_forget_without_the_right_to(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    active, _ = settled(cluster)
    cluster.zk.create(f"{cluster.root}/known/gone", b"{}")
    active.wait(lambda: active.row("gone").get("role") == "absent", 10, "it is seen as absent")
    everything = cluster.zk.get_acls(f"{cluster.root}/known")[0]
    cluster.zk.set_acls(f"{cluster.root}/known", [make_acl("world", "anyone", read=True, write=True, create=True, admin=True)])
    refused(active, "forget", "gone", why="known/gone could not be deleted: not authenticated")
    assert active.row("gone").get("role") == "absent"
    cluster.zk.set_acls(f"{cluster.root}/known", everything)
    done(active, "forget", "gone")


def test_pause_without_the_right_to(make_cluster: ClusterMaker) -> None:
    """It may read what has been asked for, and not write it; then not even that. The election goes on."""
    cluster = make_cluster(1)
    active, _ = settled(cluster)
    pid, control = serving_pid(active), f"{cluster.root}/control"
    cluster.zk.set_acls(control, [make_acl("world", "anyone", read=True, admin=True)])
    refused(active, "pause", why=f"{control}: not authenticated")
    cluster.zk.set_acls(control, [make_acl("world", "anyone", write=True, admin=True)])
    cluster.zk.set(control, b"{}")  # what the member has read is not the last word: it has to read it again
    refused(active, "pause", why="we have no right to <root>/control: check its ACL, and that of zookeeper.root")
    active.wait_lease_renewed()
    assert serving_pid(active) == pid


def test_reload_with_another_store(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    active, _ = settled(cluster)
    pid = serving_pid(active)
    active.settings["livy.restarts"] = 7
    active.write_conf()
    active.write_livy_conf("livy.spark.master = yarn\nlivy.server.recovery.zk-state-store.key-prefix = another\n")
    refused(active, "reload", why="Livy's state store would change: see the log")
    active.wait_log("reload: Livy's state store would change from", "another")
    shown = {row["key"]: row["value"] for row in active.ctl("config").json["keys"]}
    assert shown["livy.restarts"] != "7" and serving_pid(active) == pid, "nothing of it is in force"


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


def test_upgrade_while_a_program_starts(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    """As after a crash of it; that of an elector can only be asked for by a signal then."""
    cluster = make_cluster(1, fronts=True, zookeeper__session_timeout="10s")
    programs = Programs(cluster)
    for name in (ELECTOR, RELAY):
        programs.install_script(name, f"while [ -e {tmp_path}/hold ]; do sleep 0.05; done; exec {program(name)} \"$@\"")
    active, _ = settled(cluster)
    pid, elector, relay = serving_pid(active), active.wait_elector(), active.wait_relay()
    hold = tmp_path / "hold"
    hold.touch()
    proc.send(relay, signal.SIGKILL)
    active.wait(lambda: not os.path.exists(f"/proc/{relay}"), 15, "the keeper has reaped it")
    refused(active, "upgrade", why="the relay is just being started: try again in a moment")
    hold.unlink()
    active.wait_relay(other_than=relay)
    hold.touch()
    proc.send(elector, signal.SIGKILL)
    active.wait(lambda: not os.path.exists(f"/proc/{elector}"), 15, "the keeper has reaped it")
    active.signal(signal.SIGUSR2)
    active.wait_log("upgrade: the elector is just being started: try again in a moment")
    hold.unlink()
    active.wait_elector(other_than=elector)
    active.wait(lambda: active.ctl("upgrade", timeout="20s").code == 0, 30, "then it is done")
    assert serving_pid(active) == pid
