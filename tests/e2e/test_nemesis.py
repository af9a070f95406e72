"""The nemesis's own parts: a schedule that its seed tells the whole of, and an oracle that sees what it has to see."""
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from livyha.nemesis_faults import Made
from livyha.nemesis_leaks import Holding, compare
from livyha.nemesis_schedule import KINDS, Item, draw, kind
from livyha.nemesis_store import Bounds, Verdict, judge_store
from livyha.nemesis_watch import FOREVER, WAITS, by_cause, gaps, judge
from livyha.oracle import Life
from livyha.store import Ack, Writer
from livyha.txnlog import Logs, Write
from livyha.zookeeper import Ensemble

MS = 1_000_000
SEEDS = range(30)


def _life(name: str, first: float, last: float, rival: int = 0) -> Life:
    return Life(f"{name}.1.1.life", name, 1, rival, int(first * MS), int(last * MS), int(first * MS), 0, 0, 0, 0)


def _made(name: str, on: str, began: int, ended: int) -> Made:
    return Made(Item(1, 1, 0, name, "a", "", (ended - began) / 1000), on, began, ended)


@pytest.mark.parametrize("seed", SEEDS)
def test_seed_draws_the_same_again(seed: int) -> None:
    assert draw(seed, 10, 4) == draw(seed, 10, 4)
    assert draw(seed, 10, 4) != draw(seed + 1, 10, 4)


def test_first_minutes_do_not_depend_on_the_length() -> None:
    assert draw(7, 2, 4)[0] == draw(7, 60, 4)[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_livy_always_has_a_guard(seed: int) -> None:
    """No keeper is frozen while an elector that may be its own is frozen or dead."""
    for phase in draw(seed, 10, 4):
        frozen = [item for item in phase.items if item.kind.keeper_frozen]
        gone = [item for item in phase.items if item.kind.elector_gone]
        for keeper, elector in itertools.product(frozen, gone):
            surely_two = keeper.target != elector.target and len(keeper.target) == len(elector.target) == 1
            assert surely_two or elector.at >= keeper.end + 0.5 or keeper.at >= elector.end + 3, (keeper, elector)


def test_every_kind_is_drawn_and_can_be_made() -> None:
    from livyha.nemesis_faults import Faults
    drawn = {item.name for seed in SEEDS for phase in draw(seed, 10, 4) for item in phase.items}
    assert drawn == {each.name for each in KINDS}
    assert all(hasattr(Faults, "_" + each.name.replace("-", "_")) for each in KINDS)


def test_durations_and_overlap_of_faults() -> None:
    items = [item for phase in draw(1, 60, 4) for item in phase.items]
    lasting = [item.seconds for item in items if item.kind.lasts]
    assert min(lasting) < 0.1 and 5 < max(lasting) <= 6
    assert any(later.at < item.end for item, later in itertools.pairwise(items) if item.phase == later.phase)


def test_overlap_is_seen() -> None:
    one, two, three = _life("a", 0, 100), _life("b", 100, 200), _life("c", 300, 400)
    assert judge([one, two, three], []).worst_us == 0
    assert judge([one, _life("b", 99.5, 200)], []).worst_us == 500
    # The one that ended last of those before counts, not the neighbour.
    assert judge([_life("a", 0, 350), two, three], []).worst_us == 100_000
    # Clocks that saw nothing: the kernel's lock did.
    assert judge([one, _life("b", 101, 200, rival=1)], []).worst_us == 1


def test_sleepers_are_told_apart() -> None:
    """Only those that were asleep, all of the member, when the other began; and that were killed when they woke."""
    other = _life("b", 5000, 9000, rival=1)
    asleep = [(1, 100 * MS, 6000 * MS)]
    assert judge([_life("a", 0, 100), other], asleep).woken == {"a.1.1.life": 0}
    woken = judge([_life("a", 0, 6002), other], asleep)
    assert woken.worst_us == 0 and woken.woken == {"a.1.1.life": 2000}
    assert judge([_life("a", 0, 6100), other], asleep).worst_us == 1_100_000, "it lived on after waking"
    assert judge([_life("a", 0, 6002), other], [(2, 100 * MS, 6000 * MS)]).worst_us > 0, "somebody else slept"
    assert judge([_life("a", 0, 6002), other], [(1, 100 * MS, 4999 * MS)]).worst_us > 0, "it was awake by then"
    assert judge([_life("a", 0, 100), other], [(1, 100 * MS, FOREVER)]).worst_us == 0, "it still sleeps"


# ---- the state store: what the writers were told, against what ZooKeeper's own logs hold --------------------------------

T_MS = 4750
A, B = "a.1.1", "b.1.2"
# a lives from 1 to 5 s, b from 5.1 s on; ZooKeeper's clock is theirs plus 1000 s.
STORE_LIVES = {A: Bounds(1000, 5000), B: Bounds(5100, 99_000)}
AHEAD_MS = 1_000_000


def _write(who: str, value: int, version: int, zxid: int, at_ms: float) -> Write:
    return Write(zxid, int(at_ms) + AHEAD_MS, 1, f"{value} {who}".encode(), version)


def _writer(who: str, begin: tuple[int, int, int], acks: list[tuple[int, int, int]]) -> Writer:
    """Of each: value, version, zxid."""
    value, version, mzxid = begin
    return Writer(who, 0, value, version, mzxid, "1", "", [Ack(version * MS, value, version, mzxid, 0)
                                                          for value, version, mzxid in acks])


E1, E2, E4 = 1 << 32, 2 << 32, 4 << 32
A_WRITES = [_write(A, 1, 1, E1 + 1, 2000), _write(A, 2, 2, E1 + 2, 4000)]
A_RECORD = _writer(A, (0, 0, E1), [(1, 1, E1 + 1), (2, 2, E1 + 2)])


def _judge(writers: list[Writer], writes: list[Write]) -> Verdict:
    return judge_store(writers, writes, STORE_LIVES, T_MS, AHEAD_MS)


def test_store_that_is_whole() -> None:
    """With one write whose outcome nobody told a before it died, and one that b tried twice."""
    writes = [*A_WRITES, _write(A, 3, 3, E1 + 3, 5001), _write(B, 4, 4, E1 + 5, 6000), _write(B, 4, 5, E1 + 6, 6100)]
    record = _writer(B, (3, 3, E1 + 3), [(4, 5, E1 + 6)])
    assert _judge([record, A_RECORD], writes) == Verdict()


def test_late_write_is_told_as_late() -> None:
    """Over b's, or before b's first one; as long as a's session lived."""
    record = _writer(B, (2, 2, E1 + 2), [(3, 3, E1 + 3), (4, 5, E1 + 5)])
    writes = [*A_WRITES, _write(B, 3, 3, E1 + 3, 6000), _write(A, 3, 4, E1 + 4, 7000), _write(B, 4, 5, E1 + 5, 7100)]
    verdict = _judge([A_RECORD, record], writes)
    assert (verdict.lost, verdict.late_ms, verdict.rolled_back_writes) == ([], [2000], 0)
    writes = [*A_WRITES, _write(A, 3, 3, E1 + 3, 6000), _write(B, 3, 4, E1 + 4, 6001)]
    verdict = _judge([A_RECORD, _writer(B, (2, 2, E1 + 2), [(3, 4, E1 + 4)])], writes)
    assert (verdict.lost, verdict.late_ms) == ([], [1000])


def test_late_write_beyond_the_session_is_a_violation() -> None:
    record = _writer(B, (2, 2, E1 + 2), [(3, 3, E1 + 3)])
    verdict = _judge([A_RECORD, record], [*A_WRITES, _write(B, 3, 3, E1 + 3, 6000), _write(A, 3, 4, E1 + 4, 10_100)])
    assert verdict.late == [] and len(verdict.lost) == 1 and "5100 ms after" in verdict.lost[0]


def test_write_of_a_living_one_is_a_violation() -> None:
    """Carried out before its writer died, or acknowledged to it, after the other had begun."""
    record = _writer(B, (1, 1, E1 + 1), [(2, 3, E1 + 3)])
    verdict = _judge([A_RECORD, record], [*A_WRITES, _write(B, 2, 3, E1 + 3, 5500)])
    assert len(verdict.lost) == 1 and "living" in verdict.lost[0]
    both = _writer(A, (0, 0, E1), [(1, 1, E1 + 1), (2, 2, E1 + 2), (3, 4, E1 + 4)])
    record = _writer(B, (2, 2, E1 + 2), [(3, 3, E1 + 3)])
    verdict = _judge([both, record], [*A_WRITES, _write(B, 3, 3, E1 + 3, 5500), _write(A, 3, 4, E1 + 4, 5600)])
    assert len(verdict.lost) == 1 and "living" in verdict.lost[0]


def test_lost_and_overwritten_counts_are_violations() -> None:
    missing = _judge([A_RECORD], A_WRITES[:1])
    assert len(missing.lost) == 1 and "no such write" in missing.lost[0] and missing.rolled_back_writes == 0
    foreign = _judge([A_RECORD], [*A_WRITES, Write(E1 + 3, AHEAD_MS + 4500, 9, b"7 nobody", 3)])
    assert len(foreign.lost) == 1 and "nobody known" in foreign.lost[0]
    skipped = _judge([A_RECORD, _writer(B, (2, 2, E1 + 2), [(4, 3, E1 + 3)])], [*A_WRITES, _write(B, 4, 3, E1 + 3, 6000)])
    assert len(skipped.lost) == 1 and "counted on to 4" in skipped.lost[0]
    changed = _judge([A_RECORD], [A_WRITES[0], _write(A, 9, 2, E1 + 2, 4000)])
    assert any("it is b'9 a.1.1'" in line for line in changed.lost)


def test_what_zookeeper_went_back_on_is_told_as_that() -> None:
    """Its own logs show the version a second time, in a later epoch; a's writes of epoch 2 may stand in no log any more."""
    record = _writer(A, (0, 0, E1), [(1, 1, E1 + 1), (2, 2, E1 + 2), (3, 3, E2 + 1), (4, 4, E2 + 2)])
    after = _write(B, 3, 3, E4 + 1, 6000)
    successor = _writer(B, (2, 2, E1 + 2), [(3, 3, E4 + 1)])
    kept = [_write(A, 3, 3, E2 + 1, 4500), _write(A, 4, 4, E2 + 2, 4600)]
    for logs in ([*A_WRITES, after], [*A_WRITES, *kept, after]):
        verdict = _judge([record, successor], logs)
        assert (verdict.lost, verdict.late) == ([], [])
        assert verdict.rolled_back_writes == 2 and len(verdict.rolled_back) == 1
        assert "2 of epoch 2" in verdict.rolled_back[0] and "in epoch 4" in verdict.rolled_back[0]
    # The writer that lives through it counts on from what it has in memory.
    record.acks.append(Ack(0, 5, 3, E4 + 1, 0))
    verdict = _judge([record], [*A_WRITES, _write(A, 5, 3, E4 + 1, 4900)])
    assert verdict.lost == [] and verdict.rolled_back_writes == 2
    # Without a second use of the version there is no proof, and no excuse.
    assert len(_judge([record], A_WRITES).lost) == 3


def test_transaction_logs_are_read(tmp_path: Path) -> None:
    """Of a real server, which has padded its log and is still running."""
    with Ensemble(str(tmp_path)) as ensemble:
        client = KazooClient(hosts=ensemble.hosts, timeout=10)
        client.start(timeout=30)
        try:
            client.create("/node", b"0 a")
            client.create("/other", b"0 a")
            client.ensure_path("/node/deeper")
            stats = [client.set("/node", f"{value} a".encode()) for value in range(1, 6)]
            client.set("/other", b"1 a")
            session = client.client_id[0]
            logs = Logs([ensemble.servers[0].log_folder], "/node")
            first = logs.writes()
            stats.append(client.set("/node", b"6 a"))
            writes = logs.writes()
        finally:
            client.stop()
            client.close()
    assert first == writes[:5]
    assert [(write.zxid, write.version, write.at_ms) for write in writes] == \
        [(stat.mzxid, stat.version, stat.mtime) for stat in stats]
    assert [write.data for write in writes] == [f"{value} a".encode() for value in range(1, 7)]
    assert {write.session for write in writes} == {session}
    (tmp_path / "log.1").write_bytes(b"no log of ZooKeeper's")
    assert Logs([str(tmp_path)], "/node").writes() == []


def test_wait_after_deaths_is_told() -> None:
    lives = [replace(_life("a", first, first + 100), exit_kind=2) for first in (0, 110, 1300, 30_000, 30_110)]
    found = gaps(lives, [], 4750, 20_000)
    assert [gap.waits_ms for gap in found] == [0, 1000, 2000, 0]
    assert set(by_cause(found)) == {"none", WAITS}
    killed = [_made("kill-livy", "a 2", 100, 100), _made("kill-livy", "a 1", 210, 210)]
    lives = [replace(_life("a", 0, 100), pid=2), _life("a", 110, 210), _life("a", 1210, 1300)]
    assert [gap.waits_ms for gap in gaps(lives, killed, 4750, 20_000)] == [0, 1000]
    other = [killed[0], _made("kill-livy", "a 7", 200, 200), _made("stop-member", "a 5 6 1", 210, 1000)]
    assert [gap.waits_ms for gap in gaps(lives, other, 4750, 20_000)] == [0, 0], "this one was not the one that was killed"
    assert [gap.waits_ms for gap in gaps(lives, [], 4750, 20_000)] == [0, 0], "a fail-over is no death of Livy's own"


def test_cause_of_a_gap() -> None:
    lives = [_life("a", 0, 5000), _life("b", 5100, 9000), _life("b", 9018, 10000)]
    cut = _made("cut-all", "a from zk1 zk2 zk3", 1000, 4000)
    killed = _made("kill-keeper", "a 17", 4999, 4999)
    other = _made("cut-all", "c from zk1 zk2 zk3", 4000, 9900)
    assert kind("kill-keeper").ends_livy
    assert [gap.cause for gap in gaps(lives, [cut, other], 4750, 20_000)] == ["cut-all", "none"]
    assert [gap.cause for gap in gaps(lives, [cut, killed], 4750, 20_000)] == ["kill-keeper", "none"]
    assert [gap.failover for gap in gaps(lives, [], 4750, 20_000)] == [True, False]
    assert [round(gap.ms) for gap in gaps(lives, [], 4750, 20_000)] == [100, 18]
    slept = replace(lives[0], paused=1000 * MS, woke=6000 * MS, last=6001 * MS)
    assert [round(gap.ms) for gap in gaps([slept, *lives[1:]], [], 4750, 20_000)] == [4100, 18], "a sleeper serves nobody"


def test_what_is_left_behind_is_seen() -> None:
    whole = Holding(znodes={"/members/a"}, files={"active: lock"}, latch=3, tenures=1)
    assert compare(whole, whole, whole).bad() == []
    for left in (replace(whole, latch=4), replace(whole, tenures=2), replace(whole, tenures=0),
                 replace(whole, processes=["9 java"]), replace(whole, znodes={"/members/a", "/members/b"}),
                 replace(whole, files={"active: lock", "active: new"})):
        assert len(compare(whole, left, whole).bad()) == 1, left
