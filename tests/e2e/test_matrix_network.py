"""The fault matrix: the network. A row each; see livyha/matrix.py."""
import pytest
from livyha.bed import Bed
from livyha.matrix import Row
from livyha.member import Member
from livyha.wait import let_pass
from livyha.zookeeper import Server

LEASE_ENDED = "fenced: the lease ended without renewal"
NOT_IN_ORDER = "elected: .*did not leave in order"


def _other_servers(bed: Bed, *servers: Server) -> list[Server]:
    return [server for server in bed.servers if server not in servers]


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_active_cut_from_its_server(row: Row, role: str) -> None:
    server = row.bed.leader() if role == "leader" else row.bed.followers()[0]
    row.start(f"active one cut from the ZooKeeper {role} that it is connected to", on=server)
    row.fault()
    row.bed.cut(row.active, server)
    row.expect_same()
    assert row.bed.wait_connected(row.active) is not server
    row.finish()


@pytest.mark.parametrize("way", ["both ways", "what it sends is lost", "what it is sent is lost"])
def test_active_cut_from_all_servers(row: Row, way: str) -> None:
    row.start(f"active one cut from all ZooKeeper servers, {way}")
    cut = {"both ways": row.bed.cut, "what it sends is lost": row.bed.cut_out, "what it is sent is lost": row.bed.cut_in}
    row.fault()
    cut[way](row.active, *row.bed.servers)
    row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.expect_history(LEASE_ENDED, NOT_IN_ORDER)
    row.finish()


@pytest.mark.parametrize("way", ["what it sends is lost", "what it is sent is lost"])
def test_active_cut_one_way_from_its_server(row: Row, way: str) -> None:
    row.start(f"active one cut from the ZooKeeper server that it is connected to, {way}")
    server = row.bed.wait_connected(row.active)
    row.fault()
    (row.bed.cut_out if way == "what it sends is lost" else row.bed.cut_in)(row.active, server)
    row.expect_same()
    row.finish()


def test_active_cut_from_its_peers(row: Row) -> None:
    row.start("active one cut from the other members alone")
    row.fault()
    row.bed.cut_peers(row.active, row.cluster)
    row.expect_same()
    row.finish()


def test_standbys_cut_from_all_servers(row: Row) -> None:
    row.start("both standbys cut from all ZooKeeper servers")
    row.fault()
    for standby in row.cluster.standbys():
        row.bed.cut_all(standby)
    row.expect_same()
    row.finish()


def test_active_cut_from_all_servers_for_a_moment(row: Row) -> None:
    row.start("active one cut from all ZooKeeper servers for 1 s")
    row.fault()
    row.bed.cut_all(row.active)
    row.expect_same(1)
    row.bed.heal()
    row.expect_same()
    row.finish()


def test_active_cut_from_everything_and_back_late(row: Row) -> None:
    """It comes back when another one has long been serving: it joins behind, and disturbs nobody."""
    row.start("active one cut from everything, back after the session's end")
    row.fault()
    row.bed.cut_all(row.active)
    row.bed.cut_peers(row.active, row.cluster)
    new = row.expect_another()
    life = new.serving()
    assert life is not None
    let_pass(row.timeout_s, lambda: new.serving() and new.serving().pid == life.pid, "the new one serves on", row.failure_text)
    row.expect_history(LEASE_ENDED, NOT_IN_ORDER)
    row.finish()
    assert row.cluster.active() is new


def test_follower_cut_from_its_leader(row: Row) -> None:
    """The follower goes on answering pings for a while: only what goes through the quorum tells."""
    follower, leader = row.bed.followers()[0], row.bed.leader()
    row.start("the active one's ZooKeeper follower cut from the leader", on=follower)
    row.fault()
    row.bed.cut_servers(follower, leader)
    row.expect_same()
    assert row.bed.wait_connected(row.active) is not follower
    row.finish()


def test_follower_cut_from_its_leader_and_no_other_in_reach(row: Row) -> None:
    """The same with nowhere else to go: pings are answered, and the session dies at the leader."""
    follower, leader = row.bed.followers()[0], row.bed.leader()
    row.start("the active one's ZooKeeper follower cut from the leader, no other server in reach", on=follower)
    row.fault()
    row.bed.cut_servers(follower, leader)
    row.bed.cut(row.active, *_other_servers(row.bed, follower))
    row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.expect_history(LEASE_ENDED, NOT_IN_ORDER)
    row.finish()


def test_follower_cut_from_both_others(row: Row) -> None:
    follower = row.bed.followers()[0]
    row.start("the active one's ZooKeeper follower cut from both other servers", on=follower)
    row.fault()
    row.bed.cut(follower, *_other_servers(row.bed, follower))
    row.expect_same()
    row.finish()


def test_leader_cut_from_both_followers(row: Row) -> None:
    """A leader without its quorum answers pings, reads and reconnects, and commits nothing."""
    leader = row.bed.leader()
    row.start("the active one's ZooKeeper leader cut from both followers", on=leader, zookeeper__session_timeout="6s")
    row.fault()
    row.bed.cut(leader, *_other_servers(row.bed, leader))
    row.expect_same()
    row.finish()


def test_all_servers_cut_from_each_other(row: Row) -> None:
    """No quorum anywhere, every server still answers TCP: nobody can be elected, nobody's session ends."""
    row.start("all ZooKeeper servers cut from each other")
    row.fault()
    one, two, three = row.bed.servers
    row.bed.cut(one, two, three)
    row.bed.cut_servers(two, three)
    row.active.wait_gone(row.life.pid, 10, "(Livy, without a lease)")
    let_pass(row.timeout_s, lambda: row.cluster.active() is None, "nobody serves", row.failure_text)
    row.mend()
    row.expect_any()
    row.expect_dead_within(row.timeout_s)
    row.expect_history(LEASE_ENDED)
    row.finish()


# ---- the lease after a stall: docs/safety.md, "The lease" ---------------------------------------------------------------


def _answered(server: Server, member: Member, before: int) -> bool:
    return _sent_to(server, member) > before


def _sent_to(server: Server, member: Member) -> int:
    """How many packets the server has sent on the member's connection, as it counts."""
    for line in server.ask("cons").splitlines():
        if f"/{member.address}:" in line:
            return int(line.partition("sent=")[2].partition(",")[0].rstrip(")"))
    return 0


@pytest.mark.parametrize("role", ["follower", "leader"])
@pytest.mark.parametrize("stall_ms", [1500, 2300])
def test_stall_then_its_server_frozen(row: Row, role: str, stall_ms: int) -> None:
    """Heartbeats stall, one gets through, and the server that took it is frozen before it has told the leader of the
    touch: a lease counted from the newest acknowledged heartbeat would outlive the session."""
    server = row.bed.leader() if role == "leader" else row.bed.followers()[0]
    row.start(f"active one stalled for {stall_ms} ms, one heartbeat, then its ZooKeeper {role} frozen, no other in reach",
              on=server)
    elector = row.active.wait_elector()
    sent = _sent_to(server, row.active)
    # Between two of them: one that is under way would count as unanswered when it wakes, and it would try another server.
    row.active.wait(lambda: _answered(server, row.active, sent), 5, "a heartbeat has just been answered")
    row.active.pause_process(elector)
    row.fault()
    try:
        let_pass(stall_ms / 1000, lambda: True, "the elector stands still")
        sent = _sent_to(server, row.active)
    finally:
        row.thaw_process(elector)
    row.active.wait(lambda: _answered(server, row.active, sent), 5, "a heartbeat is answered")
    row.bed.freeze(server)
    row.bed.cut(row.active, *_other_servers(row.bed, server))
    row.expect_another()
    row.expect_history("fenced: ", NOT_IN_ORDER)
    row.finish()


# ---- names -------------------------------------------------------------------------------------------------------------


def _hosts_by_name(bed: Bed) -> str:
    return ",".join(f"{bed.host(server).fqdn}:{server.port}" for server in bed.servers)


def test_names_gone(row: Row) -> None:
    """The name service gone, and then the server that it is connected to: the addresses are known."""
    row.start("name service gone, then the active one cut from its ZooKeeper server", zookeeper__hosts=_hosts_by_name(row.bed))
    server = row.bed.wait_connected(row.active)
    row.fault()
    row.bed.forget_names(row.active)
    row.bed.cut(row.active, server)
    row.expect_same()
    assert row.bed.wait_connected(row.active) is not server
    row.finish()


def test_names_gone_and_session_lost(row: Row) -> None:
    """Without names, and its session lost: it joins again by the addresses that it knew."""
    row.start("name service gone, then the active one cut from all ZooKeeper servers",
              zookeeper__hosts=_hosts_by_name(row.bed))
    row.fault()
    row.bed.forget_names(row.active)
    row.bed.cut_all(row.active)
    row.expect_another()
    row.bed.heal()
    row.active.wait_role("standby")
    row.expect_history(LEASE_ENDED, NOT_IN_ORDER)
    row.finish()
