"""Fail-over again and again: never two Livys, always one again soon. LIVY_HA_ROUNDS sets how often (50)."""
import os
import signal

import pytest
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member

ROUNDS = int(os.environ.get("LIVY_HA_ROUNDS") or 50)


def _rejoin(cluster: Cluster, member: Member) -> None:
    """Starts a member that has ended, and waits until it stands in the queue again."""
    member.start()
    cluster.wait_settled()


def test_exactly_one_livy_runs(shared_cluster: Cluster) -> None:
    active = shared_cluster.wait_settled()
    lives = shared_cluster.oracle.lives()
    assert [life.name for life in lives] == [active.name], shared_cluster.oracle.describe()
    assert shared_cluster.latch_ids()[0] == active.name
    assert sorted(shared_cluster.latch_ids()) == ["a", "b", "c"]


def test_all_members_tell_the_same(shared_cluster: Cluster) -> None:
    active = shared_cluster.wait_settled()
    for member in shared_cluster.members:
        def agrees(member: Member = member) -> bool:
            status = member.status() or {}
            roles = {row["id"]: row["role"] for row in status.get("members", [])}
            wanted = {each.name: "active" if each is active else "standby" for each in shared_cluster.members}
            return roles == wanted and status["active"] == active.name and status["serving"]
        member.wait(agrees, 20, "status names the active member and two standbys")
        assert member.status()["epoch"] == shared_cluster.epoch()
        own = [row["id"] for row in member.status()["members"] if row["self"]]
        assert own == [member.name]
        # A standby asks about the active Livy's address with the same success.
        assert member.ctl("active", as_json=False).out.strip().endswith(f":{active.port}")


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_orderly_stop_of_the_active(shared_cluster: Cluster, round_number: int) -> None:
    active = shared_cluster.wait_settled()
    successor, epoch = shared_cluster.latch_ids()[1], shared_cluster.epoch()
    life = active.serving()
    assert life is not None and epoch is not None
    assert active.stop() == 0
    new = shared_cluster.wait_new_life(life)
    assert new.name == successor, "the next in the queue takes over"
    later = shared_cluster.epoch()
    assert later is not None
    shared_cluster.assert_exclusive()
    _rejoin(shared_cluster, active)
    assert shared_cluster.latch_ids()[-1] == active.name, "who comes back stands last"


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_keeper_killed(shared_cluster: Cluster, round_number: int) -> None:
    active = shared_cluster.wait_settled()
    life, elector = active.serving(), active.wait_elector()
    assert life is not None
    active.kill()
    new = shared_cluster.wait_new_life(life)
    assert new.name != active.name
    assert not proc.alive(life.pid), "Livy dies with the keeper"
    active.wait_gone(elector, what="(the dead keeper's elector)")
    # The elector closes the session: nobody waits for its time-out of 4 s.
    assert new.first - life.last < 3_000_000_000, shared_cluster.failure_text()
    shared_cluster.assert_exclusive()
    _rejoin(shared_cluster, active)


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_elector_killed(shared_cluster: Cluster, round_number: int) -> None:
    """Costs nothing: Livy's pid, the epoch and the latch nodes are as before, and the lease goes on."""
    active = shared_cluster.wait_settled()
    life, elector = active.serving(), active.wait_elector()
    latch, epoch = shared_cluster.latch(), shared_cluster.epoch()
    assert life is not None
    proc.send(elector, signal.SIGKILL)
    active.wait_elector(other_than=elector)
    active.wait(lambda: active.row().get("role") == "active", 20, "the new elector has taken over")
    active.wait(lambda: (active.row().get("lease_left_ms") or 0) > 0, 20, "the lease goes on")
    assert active.serving() == life or active.serving().pid == life.pid
    assert (shared_cluster.latch(), shared_cluster.epoch()) == (latch, epoch)
    assert shared_cluster.oracle.lives()[-1].pid == life.pid, "no other Livy was started"
    shared_cluster.assert_exclusive()


def test_livy_outlives_the_lease_of_a_dead_elector(shared_cluster: Cluster) -> None:
    """After an elector's death the lease is renewed, not only left to run out."""
    active = shared_cluster.wait_settled()
    life = active.serving()
    assert life is not None
    proc.send(active.wait_elector(), signal.SIGKILL)
    ends = life.last + 10_000_000_000  # two and a half session time-outs later
    shared_cluster.wait(lambda: (shared_cluster.oracle.life_of(life.pid) or life).last > ends
                        or not proc.alive(life.pid), 30, "10 s pass")
    assert proc.alive(life.pid), shared_cluster.failure_text()
    assert active.row()["role"] == "active"


def test_standbys_come_and_go_unnoticed(shared_cluster: Cluster) -> None:
    active = shared_cluster.wait_settled()
    life = active.serving()
    assert life is not None
    for standby in shared_cluster.standbys():
        assert standby.stop() == 0
        standby.start()
        shared_cluster.wait_settled()
        standby.kill()
        shared_cluster.wait(lambda: len(shared_cluster.latch()) == 2, 15, "the killed standby's node is gone")
        standby.start()
        shared_cluster.wait_settled()
    assert proc.alive(life.pid) and shared_cluster.oracle.lives()[-1].pid == life.pid


def test_everything_of_the_active_killed_at_once(shared_cluster: Cluster) -> None:
    """As when the host dies: the standby waits for the session's end, and not much longer."""
    active = shared_cluster.wait_settled()
    life, elector = active.serving(), active.wait_elector()
    assert life is not None
    for pid in (elector, active.pid, life.pid):
        proc.send(pid, signal.SIGSTOP)  # none of them can react to another's death
    for pid in (elector, active.pid, life.pid):
        proc.send(pid, signal.SIGKILL)
    active.wait_exit()
    new = shared_cluster.wait_new_life(life, 30)
    # T is 4 s and the tick 500 ms: at most T + 1.5 ticks, and the start.
    assert (new.first - life.last) / 1e9 < 4 + 0.75 + 2, shared_cluster.failure_text()
    _rejoin(shared_cluster, active)


def test_two_of_three_gone(shared_cluster: Cluster) -> None:
    for _ in range(2):
        active = shared_cluster.wait_active()
        life = active.serving()
        assert life is not None
        active.kill()
        shared_cluster.wait_new_life(life)
    last = shared_cluster.wait_settled()
    assert len(shared_cluster.latch()) == 1
    for member in shared_cluster.members:
        if member is not last:
            member.start()
    shared_cluster.wait_settled()
    shared_cluster.assert_exclusive()
