"""The fault matrix: ZooKeeper, its servers, data and sessions. A row each; see livyha/matrix.py."""
import signal

import pytest
from livyha import proc
from livyha.bed import Bed
from livyha.matrix import Row
from livyha.member import Member
from livyha.thief import close_session, kept_session
from livyha.wait import let_pass
from livyha.zookeeper import Server

LEASE_ENDED = "fenced: the lease ended without renewal"
NOT_IN_ORDER = "elected: .*did not leave in order"


def _server(bed: Bed, role: str) -> Server:
    return bed.leader() if role == "leader" else bed.followers()[0]


def _finish_without_a_lease(row: Row) -> None:
    """Livy has ended for want of ZooKeeper, and before its session could."""
    row.expect_dead_within(row.timeout_s)
    row.expect_history(LEASE_ENDED)
    row.finish()


# ---- servers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["follower", "leader"])
def test_leader_killed(row: Row, on: str) -> None:
    leader = row.bed.leader()
    row.start(f"ZooKeeper leader killed, the active one connected to {'it' if on == 'leader' else 'a follower'}",
              on=_server(row.bed, on))
    row.fault()
    row.bed.kill(leader)
    row.expect_same()
    row.finish()


@pytest.mark.parametrize("on", ["follower", "leader"])
def test_leader_frozen(row: Row, on: str) -> None:
    """No write for syncLimit ticks and an election: ridden out where T is long enough."""
    leader = row.bed.leader()
    row.start(f"ZooKeeper leader frozen, the active one connected to {'it' if on == 'leader' else 'a follower'}",
              on=_server(row.bed, on), zookeeper__session_timeout="6s")
    row.fault()
    row.bed.freeze(leader)
    row.expect_same()
    row.finish()


def test_leader_frozen_for_longer_than_the_lease(row: Row) -> None:
    """Where it is not: Livy ends. The session has a full T with the new leader, so the same member begins again."""
    leader = row.bed.leader()
    row.start("ZooKeeper leader frozen, T shorter than an election takes", on=row.bed.followers()[0],
              zookeeper__session_timeout="3s")
    row.fault()
    row.bed.freeze(leader)
    row.expect_again()
    _finish_without_a_lease(row)


def test_follower_frozen(row: Row) -> None:
    follower = row.bed.followers()[0]
    row.start("the active one's ZooKeeper follower frozen", on=follower)
    row.fault()
    row.bed.freeze(follower)
    row.expect_same()
    row.finish()


def test_each_server_frozen_in_turn(row: Row) -> None:
    row.start("each ZooKeeper server frozen in turn for 4.5 s", zookeeper__session_timeout="6s")
    row.fault()
    for server in row.bed.servers:
        row.bed.freeze(server)
        row.expect_same(4.5)
        row.mend()
    row.expect_same(2)
    row.finish()


def test_each_server_killed_in_turn(row: Row) -> None:
    row.start("each ZooKeeper server killed and started in turn")
    row.fault()
    for server in row.bed.servers:
        row.bed.kill(server)
        row.expect_same(1)
        row.mend()
    row.expect_same()
    row.finish()


def test_quorum_lost(row: Row) -> None:
    leader, follower = row.bed.leader(), row.bed.followers()[0]
    row.start("two of three ZooKeeper servers killed, until Livy has ended")
    row.fault()
    row.bed.kill(leader, follower)
    row.active.wait_gone(row.life.pid, 10, "(Livy, without a lease)")
    let_pass(1, lambda: row.cluster.active() is None, "nobody serves", row.failure_text)
    row.mend()
    row.expect_any()
    _finish_without_a_lease(row)


def test_ensemble_restarted_at_once(row: Row) -> None:
    """Sessions outlive it: each has a full T with the first leader after it."""
    row.start("all ZooKeeper servers killed and started at once", zookeeper__session_timeout="10s")
    row.fault()
    row.bed.kill(*row.bed.servers)
    row.mend()
    row.expect_same()
    row.finish()


@pytest.mark.parametrize("how,back", [("killed", "started"), ("frozen", "woken")])
def test_ensemble_away_for_longer_than_the_lease(row: Row, how: str, back: str) -> None:
    row.start(f"all ZooKeeper servers {how}, {back} after the lease's end")
    row.fault()
    (row.bed.kill if how == "killed" else row.bed.freeze)(*row.bed.servers)
    row.active.wait_gone(row.life.pid, 10, "(Livy, without a lease)")
    row.mend()
    row.expect_any()
    _finish_without_a_lease(row)


def test_ensemble_loses_its_data(row: Row) -> None:
    """The session is never said to be over: the members are clients from the future, and are refused. Epochs begin anew,
    below the one that the keeper has seen."""
    row.start("all ZooKeeper servers killed, their data lost, started anew")
    before = row.cluster.epoch()
    row.fault()
    row.bed.kill(*row.bed.servers)
    row.bed.wipe()
    row.mend()
    row.expect_any(90)
    row.expect_dead_within(row.timeout_s)
    row.expect_history("elected", "serving")
    row.finish(90)
    after = row.cluster.epoch()
    assert before is not None and after is not None and after != before


# ---- the latch and the session -----------------------------------------------------------------------------------------


def test_latch_node_deleted_by_hand(row: Row) -> None:
    row.start("the active one's latch node deleted by hand")
    node = row.cluster.latch_node(row.active)
    row.fault()
    row.cluster.zk.delete(node)
    row.expect_another()
    row.expect_dead_within(1.5)
    row.expect_history("lost: the latch node", NOT_IN_ORDER)
    row.finish()


def test_all_latch_nodes_deleted_by_hand(row: Row) -> None:
    row.start("all latch nodes deleted by hand")
    row.fault()
    for node in row.cluster.latch():
        row.cluster.zk.delete(f"{row.cluster.root}/leader/{node}")
    row.expect_any()
    row.expect_dead_within(1.5)
    row.expect_history("lost: the latch node")
    row.finish()


def _steal_session(row: Row) -> None:
    """The one before did not leave in order: who takes over makes sure that its Livy is dead."""
    node = row.cluster.latch_node(row.active)
    session = kept_session(row.active)
    connected = row.bed.connected_server(row.active)
    server = next(server for server in row.bed.servers if server is not connected)

    def stolen() -> bool:
        close_session(session, server)
        return row.cluster.zk.exists(node) is None

    row.fault()
    row.cluster.wait(stolen, 10, "the session's nodes are gone")
    row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.expect_history("lost: ", NOT_IN_ORDER)
    row.finish()


def test_session_closed_by_a_third_party(row: Row) -> None:
    row.start("the active one's session closed by another client, with its password")
    _steal_session(row)


def test_session_closed_by_a_third_party_unheard(row: Row) -> None:
    """The same, and the active one cannot hear of it: its Livy lives until its lease ends. The other members reach it."""
    row.start("the active one cut from all ZooKeeper servers, its session closed by another client")
    row.bed.cut_all(row.active)
    _steal_session(row)


# ---- what a server carries out late ---------------------------------------------------------------------------------------


def _kill_all_of(member: Member) -> None:
    """As when a host dies: none can react to another's death."""
    elector, life = member.elector(), member.livy()
    pids = [member.pid, *([elector] if elector else []), *([life.pid] if life else [])]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            proc.send(pid, number)
    member.wait_exit()
    for pid in pids:
        member.wait_gone(pid)


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_late_delete_of_an_orderly_stop(row: Row, role: str) -> None:
    """An orderly stop through a frozen server: what the elector asked for is carried out when it is long dead, and its
    daemon runs again."""
    server = _server(row.bed, role)
    row.start(f"active one stopped in order through a frozen ZooKeeper {role}, its elector killed; the server wakes later",
              on=server)
    elector = row.active.wait_elector()
    row.fault()
    row.bed.freeze(server)
    row.active.stop_begin()
    row.active.wait_gone(row.life.pid)
    let_pass(0.1, lambda: proc.alive(elector), "its delete is on the way", row.failure_text)
    proc.send(elector, signal.SIGKILL)
    row.active.wait_exit()
    row.started_again(row.active)
    row.expect_nobody(1)
    row.bed.thaw(server)
    row.expect_another()
    row.expect_history("elected: first in the queue, lease proved$")  # in order: not when the session has ended
    row.finish()


def test_late_close(row: Row) -> None:
    """The latch node is gone in order, the close of the session is held up on its way, and arrives when its elector is
    dead and the member has a session of its own again: it must not hit that one. (Whether the kernel still sends what an
    ended process has left depends on what that had not read: the close that arrives is sent by the test.)"""
    row.start("active one stopped in order, its close held up, elector killed, daemon started again; then the close arrives")
    elector, node, session = row.active.wait_elector(), row.cluster.latch_node(row.active), kept_session(row.active)
    row.fault()
    row.bed.hold_close(row.active, *row.bed.servers)
    row.active.stop_begin()
    new = row.expect_another()
    life = new.serving()
    row.cluster.wait(lambda: row.cluster.zk.exists(node) is None, 5, "the latch node is gone")
    proc.send(elector, signal.SIGKILL)
    row.active.wait_exit()
    left = row.cluster.zk.exists(f"{row.cluster.root}/members/{row.active.name}")
    assert left is not None and left.ephemeralOwner == session[0], "the close has not arrived"
    row.started_again(row.active)
    row.active.wait_role("standby")
    latch = row.cluster.latch()
    assert len(latch) == 3 and life is not None
    row.bed.heal()
    assert close_session(session, row.bed.servers[0]), "it was there until now"
    let_pass(2, lambda: row.cluster.latch() == latch and proc.alive(life.pid), "the late close hits nobody",
             row.failure_text)
    row.expect_history("elected: first in the queue, lease proved$")
    row.finish()
    assert row.cluster.latch() == latch


def test_late_delete_of_a_dead_keepers_elector(row: Row) -> None:
    """kill -9 of the keeper: the elector kills Livy, then gives node and session up, through a frozen server."""
    server = row.bed.followers()[0]
    row.start("keeper of the active one killed, its elector's delete under way through a frozen server; it wakes later",
              on=server)
    elector = row.active.wait_elector()
    row.fault()
    row.bed.freeze(server)
    row.active.kill()
    row.active.wait_gone(row.life.pid)
    let_pass(0.1, lambda: proc.alive(elector), "its delete is on the way", row.failure_text)
    proc.send(elector, signal.SIGKILL)
    row.active.wait_gone(elector)
    row.started_again(row.active)
    row.expect_nobody(1)
    row.bed.thaw(server)
    row.expect_another()
    row.expect_history("elected: first in the queue, lease proved$")  # in order: not when the session has ended
    row.finish()


def test_late_delete_in_an_adopted_session(row: Row) -> None:
    """Livy given up, the delete of the latch node on its way through a frozen server, the elector killed: the next one
    adopts the session, and must not stand with a node that is about to be deleted."""
    server = row.bed.followers()[0]
    row.start("Livy given up through a frozen server, elector killed and replaced; the server wakes later", on=server,
              livy__restarts=0)
    elector = row.active.wait_elector()
    row.look_elsewhere(server)
    row.fault()
    row.bed.freeze(server)
    proc.send(row.life.pid, signal.SIGKILL)
    row.active.wait_gone(row.life.pid)
    let_pass(0.1, lambda: proc.alive(elector), "its delete is on the way", row.failure_text)
    proc.send(elector, signal.SIGKILL)
    row.expect_another()
    row.active.wait_role("standby")
    latch = row.cluster.latch()
    row.bed.thaw(server)
    let_pass(1, lambda: row.cluster.latch() == latch, "the late delete hits nobody", row.failure_text)
    row.expect_history(NOT_IN_ORDER)
    row.finish()


def test_late_delete_after_the_session_has_ended(row: Row) -> None:
    """The server wakes when the dead member's session has long ended, and another one serves."""
    server = row.bed.followers()[0]
    row.start("active one stopped in order through a frozen server and killed; the server wakes after the session's end",
              on=server)
    row.look_elsewhere(server)
    row.fault()
    row.bed.freeze(server)
    row.active.stop_begin()
    row.active.wait_gone(row.life.pid)
    _kill_all_of(row.active)
    row.started_again(row.active)
    new = row.expect_another()
    life = new.serving()
    assert life is not None
    row.cluster.wait_settled()
    latch = row.cluster.latch()
    row.bed.thaw(server)
    let_pass(1, lambda: row.cluster.latch() == latch and proc.alive(life.pid), "nothing happens", row.failure_text)
    row.expect_history(NOT_IN_ORDER)
    row.finish()


def test_late_create_of_a_dead_standby(row: Row) -> None:
    """A create that was held up on its way is carried out when its member is dead: the node stands in the queue until the
    session ends, and keeps nobody from taking over."""
    row.start("standby dead, its create carried out late; then the active one's keeper killed")
    standby, third = row.cluster["b"], row.cluster["c"]
    server = row.bed.wait_connected(standby)
    row.bed.cut_out(standby, server)
    node = row.cluster.latch_node(standby)
    row.cluster.zk.delete(node)
    standby.wait_log("standby -> joining")
    let_pass(0.1, standby.running, "its create is on the way", row.failure_text)
    _kill_all_of(standby)
    row.bed.heal()
    late = row.cluster.wait(lambda: row.cluster.latch_node(standby), 10, "the late create has been carried out")
    assert late != node
    row.fault()
    row.active.kill()
    assert row.expect_another() is third
    row.started_again(standby, row.active)
    row.expect_history("released: the keeper is gone", "elected")
    row.finish()
