"""Needless fail-overs are failures too: at the defaults of livy-ha (T = 10 s) and of ZooKeeper (tick 2 s), three servers,
none of these may cost anything: the same Livy, under the same epoch."""
import signal

import pytest
from livyha import proc
from livyha.matrix import Row

TICK_MS = 2000
DEFAULTS = {"zookeeper__session_timeout": None, "zookeeper__tick": None, "livy__kill_margin": None}


def _finish_untouched(row: Row, epoch: int | None) -> None:
    row.finish()
    assert row.cluster.epoch() == epoch


def test_follower_of_the_active_frozen(row: Row) -> None:
    follower = row.bed.followers()[0]
    row.start("its follower frozen", on=follower, **DEFAULTS)
    epoch = row.cluster.epoch()
    row.fault()
    row.bed.freeze(follower)
    row.expect_same()
    _finish_untouched(row, epoch)


def test_follower_of_the_active_cut_off(row: Row) -> None:
    """As frozen, without a word from its kernel either."""
    follower = row.bed.followers()[0]
    row.start("its follower cut off", on=follower, **DEFAULTS)
    epoch = row.cluster.epoch()
    row.fault()
    row.bed.cut(row.active, follower)
    row.bed.cut(follower, *(server for server in row.bed.servers if server is not follower))
    row.expect_same()
    _finish_untouched(row, epoch)


def test_elector_killed(row: Row) -> None:
    row.start("elector killed", **DEFAULTS)
    epoch, elector = row.cluster.epoch(), row.active.wait_elector()
    row.fault()
    proc.send(elector, signal.SIGKILL)
    row.expect_same()
    row.active.wait_elector(other_than=elector)
    _finish_untouched(row, epoch)


@pytest.mark.parametrize("on", ["follower", "leader"])
def test_leader_killed(row: Row, on: str) -> None:
    leader = row.bed.leader()
    row.start("leader killed", on=leader if on == "leader" else row.bed.followers()[0], **DEFAULTS)
    epoch = row.cluster.epoch()
    row.fault()
    row.bed.kill(leader)
    row.expect_same()
    _finish_untouched(row, epoch)


@pytest.mark.parametrize("lost_ms", [300, 1500])
def test_heartbeats_lost(row: Row, lost_ms: int) -> None:
    """h is T/20 = 500 ms: one of them, then several."""
    row.start(f"no packet to or from any server for {lost_ms} ms", **DEFAULTS)
    epoch = row.cluster.epoch()
    row.fault()
    row.bed.cut_all(row.active)
    row.expect_same(lost_ms / 1000)
    row.bed.heal()
    row.expect_same()
    _finish_untouched(row, epoch)


def test_leader_frozen_with_a_longer_timeout(row: Row) -> None:
    """A silent leader stops all writes for syncLimit ticks, 10 s here, and an election: that takes T of about 16 s where the
    tick is told, of 20 s where it is not."""
    leader = row.bed.leader()
    row.start("leader frozen", on=row.bed.followers()[0], **{**DEFAULTS, "zookeeper__session_timeout": "20s"})
    epoch = row.cluster.epoch()
    row.fault()
    row.bed.freeze(leader)
    row.expect_same()
    _finish_untouched(row, epoch)
