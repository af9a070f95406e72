"""The nemesis's own parts: a schedule that its seed tells the whole of, and an oracle that sees what it has to see."""
import itertools
from dataclasses import replace

import pytest
from livyha.nemesis_faults import Made
from livyha.nemesis_schedule import KINDS, Item, draw, kind
from livyha.nemesis_watch import FOREVER, gaps, judge, may_be_late
from livyha.oracle import Life

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


def test_late_writes_are_told_apart() -> None:
    """Only where a server was frozen, or the writer cut off, when a Livy before died."""
    lives = [_life("a", 0, 5000), _life("b", 5100, 9000)]
    complaint = "overwritten: between b.1.1's 7 (version 7) and 8 (version 9, 0 of unknown outcome) somebody else wrote"
    assert may_be_late(complaint, lives, [_made("server-stop", "zk2", 4900, 6000)], 4750)
    assert may_be_late(complaint, lives, [_made("cut-one", "a from zk1", 3000, 4000)], 4750), "what was lost is sent again"
    assert not may_be_late(complaint, lives, [_made("server-stop", "zk2", 5100, 6000)], 4750), "after its death"
    assert not may_be_late(complaint, lives, [_made("server-stop", "zk2", 1000, 4000)], 4750), "over before its death"
    assert not may_be_late(complaint, lives, [_made("cut-all", "c from zk1 zk2 zk3", 4900, 6000)], 4750), "somebody else"
    assert not may_be_late(complaint, lives, [_made("kill-keeper", "a 17", 4999, 4999)], 4750)


def test_cause_of_a_gap() -> None:
    lives = [_life("a", 0, 5000), _life("b", 5100, 9000), _life("b", 9018, 10000)]
    cut = _made("cut-all", "a from zk1 zk2 zk3", 1000, 4000)
    killed = _made("kill-keeper", "a 17", 4999, 4999)
    other = _made("cut-all", "c from zk1 zk2 zk3", 4000, 9900)
    assert kind("kill-keeper").ends_livy
    assert [gap.cause for gap in gaps(lives, [cut, other], 4750)] == ["cut-all", "none"]
    assert [gap.cause for gap in gaps(lives, [cut, killed], 4750)] == ["kill-keeper", "none"]
    assert [gap.failover for gap in gaps(lives, [], 4750)] == [True, False]
    assert [round(gap.ms) for gap in gaps(lives, [], 4750)] == [100, 18]
    slept = replace(lives[0], paused=1000 * MS, woke=6000 * MS, last=6001 * MS)
    assert [round(gap.ms) for gap in gaps([slept, *lives[1:]], [], 4750)] == [4100, 18], "a sleeper serves nobody"
