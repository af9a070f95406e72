"""The fault matrix: standbys that hold a Livy (livy.standby = "hot"). See livyha/matrix.py. Livy writes to its store all
the while. All other rows with hot standbys: LIVY_HA_STANDBY=hot tests/run matrix."""
import signal

from livyha import faults, proc
from livyha.matrix import Row
from livyha.member import Member
from livyha.oracle import Life

WRITING_MS = 10


def _start(row: Row, fault: str, **settings: object) -> tuple[Member, Member, Life, Life]:
    """The two standbys, the next one in the queue first, and what they hold."""
    row.start(fault, writing_ms=WRITING_MS, livy__standby="hot", **settings)
    ids = row.cluster.latch_ids()
    first, second = row.cluster[ids[1]], row.cluster[ids[2]]
    return first, second, first.wait_held(), second.wait_held()


def _assert_let_go(row: Row, member: Member, held: Life) -> None:
    life = member.serving()
    assert life is not None and life.pid == held.pid, f"not the one that was held\n{row.failure_text()}"


def test_keeper_killed(row: Row) -> None:
    first, _, held, _ = _start(row, "the active one's keeper: kill -9; the next one's held Livy is let go")
    row.fault()
    row.active.kill()
    assert row.expect_another() is first
    _assert_let_go(row, first, held)
    row.started_again(row.active)
    row.finish()


def test_cut_off(row: Row) -> None:
    first, _, held, _ = _start(row, "the active one is cut off from all of ZooKeeper; the next one's held Livy is let go")
    row.fault()
    row.bed.cut(row.active, *row.bed.servers)
    assert row.expect_another() is first
    row.expect_dead_within(row.timeout_s)
    _assert_let_go(row, first, held)
    row.finish()


def test_all_that_are_held_are_killed_at_once(row: Row) -> None:
    first, _, held, other = _start(row, "the active one's keeper and all held Livys: kill -9 at once")
    row.fault()
    proc.send(held.pid, signal.SIGKILL)
    proc.send(other.pid, signal.SIGKILL)
    row.active.kill()
    assert row.expect_another() is first
    row.started_again(row.active)
    row.finish()


def test_the_held_one_is_frozen(row: Row) -> None:
    """It does not answer when it is let go: killed 2 s later, and Livy is started cold."""
    first, _, held, _ = _start(row, "the active one's keeper: kill -9; the next one's held Livy is stopped (SIGSTOP)")
    first.pause_process(held.pid)
    row.fault()
    row.active.kill()
    row.expect_any()
    first.wait_gone(held.pid)
    assert row.record.start_ms is not None and row.record.start_ms < 10000, row.failure_text()
    row.started_again(row.active)
    row.finish()


def test_the_keeper_of_the_held_one_is_frozen(row: Row) -> None:
    """Nobody can let that one go; when the keeper goes on, the start in its queue is too old."""
    first, second, held, _ = _start(row, "the active one's keeper: kill -9; the next one's keeper is stopped until the third serves")
    with faults.continued([first.pid]):
        first.pause_process(first.pid)
        row.fault()
        row.active.kill()
        assert row.expect_another(60) is second
    assert row.cluster.oracle.life_of(held.pid) is None, "it never was let go"
    row.started_again(row.active)
    row.finish()


def test_let_go_and_frozen_with_its_guards(row: Row) -> None:
    """Keeper, elector and Livy of the one that takes over are stopped as soon as it is let go; all go on when another serves."""
    first, second, held, _ = _start(row, "the active one's keeper: kill -9; who takes over is stopped as a whole once its Livy is let go")
    elector = first.wait_elector()
    at = len(first.log())
    row.fault()
    row.active.kill()
    first.wait(lambda: "is let go" in first.log()[at:], 20, "it is let go")
    pids = [first.pid, elector, held.pid]
    with faults.continued(pids):
        faults.stop_at_once(first, pids)
        row.cluster.stopped_livys = True
        second.wait_serving(60)
    first.wait_gone(held.pid, 10, "(its lease is over)")
    row.expect_any()
    row.started_again(row.active)
    row.finish()


def test_let_go_and_dies_at_once(row: Row) -> None:
    first, _, held, _ = _start(row, "the active one's keeper: kill -9; the next one's Livy dies as soon as it is let go", livy__restarts=0)
    first.set_mode("exit-at-once=1")
    row.fault()
    row.active.kill()
    first.wait_gone(held.pid)
    first.set_mode("")
    row.expect_any()
    row.started_again(row.active)
    row.finish()
