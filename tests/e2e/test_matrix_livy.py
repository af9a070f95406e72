"""The fault matrix: what Livy does and leaves, and what is set up wrongly. See livyha/matrix.py. Livy writes to its store
all the while."""
import os
import signal
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from livyha import proc
from livyha.build import program, standin
from livyha.cluster import Cluster
from livyha.matrix import Row
from livyha.member import Member
from livyha.wait import boot_ms, let_pass

WRITING_MS = 10
TEMPORARY, CONFIGURATION = 75, 78


def _start(row: Row, fault: str, mode: str = "", prepare: Callable[[Cluster], None] | None = None,
           **settings: object) -> None:
    """`mode` is how a's Livy behaves in its first life; the next one is as any other."""
    def all_of_it(cluster: Cluster) -> None:
        cluster["a"].set_mode(mode)
        if prepare is not None:
            prepare(cluster)
    row.start(fault, prepare=all_of_it, writing_ms=WRITING_MS, **settings)
    row.active.set_mode("")


def _expect_another_in_the_end(row: Row) -> None:
    """The latch goes to another member once Livy has failed here too often."""
    row.cluster.wait(lambda: row.cluster.oracle.lives()[-1].name != row.active.name, 30, "another member starts its Livy")
    row.expect_another()


def _next_life_is(row: Row, mode: str) -> None:
    """The active one's Livy ends, and the one after it behaves so."""
    row.active.set_mode(mode)
    row.fault()
    proc.send(row.life.pid, signal.SIGKILL)


# ---- how it ends ----------------------------------------------------------------------------------------------


def test_livy_hangs_on_term(row: Row) -> None:
    """An orderly stop takes livy.stop_grace, then Livy is killed; nobody starts before."""
    _start(row, "Livy hangs on TERM, its daemon is stopped", "hang-term", livy__stop_grace="1500ms")
    row.fault()
    assert row.active.stop() == 0
    row.expect_another()
    assert row.record.end_ms is not None and 1400 <= row.record.end_ms < 4000, row.failure_text()
    row.expect_history("released: orderly stop", "elected: first in the queue, lease proved$")
    row.started_again(row.active)
    row.finish()


def test_livy_ends_slowly(row: Row) -> None:
    """Slower than the lease is long: it is renewed until Livy has ended."""
    _start(row, "Livy takes 5 s to end on TERM, its daemon is stopped", "slow-term=5000", livy__stop_grace="20s")
    row.fault()
    assert row.active.stop() == 0
    row.expect_another()
    assert row.record.end_ms is not None and row.record.end_ms >= 4900, row.failure_text()
    row.expect_history("released: orderly stop")
    row.started_again(row.active)
    row.finish()


def test_livy_exits_at_once(row: Row) -> None:
    _start(row, "Livy dies, and again at each start", livy__restarts=1, livy__standby="cold")  # a hot one leaves the latch
    _next_life_is(row, "exit-at-once=1")
    _expect_another_in_the_end(row)
    row.expect_history("livy-died: .*status 1", "released: Livy died [2-9] .*goes to another member")
    row.active.set_mode("")
    row.finish()


@pytest.mark.parametrize("mode,what", [("no-answer", "never answers"), ("status=500", "answers 500")])
def test_livy_is_no_use(row: Row, mode: str, what: str) -> None:
    _start(row, f"Livy dies; the next one {what}", livy__restarts=1, livy__start_timeout="1500ms", livy__stop_grace="500ms",
           livy__standby="cold")
    _next_life_is(row, mode)
    _expect_another_in_the_end(row)
    row.expect_history("livy-died: no answer within livy.start_timeout")
    row.active.set_mode("")
    row.finish()


def test_livy_stops_answering(row: Row) -> None:
    """It writes to its store all the same: the next one begins only after it is dead."""
    _start(row, "Livy stops answering, and writes on", "hang-after=2500", livy__probe_interval="300ms",
           livy__probe_timeout="300ms", livy__probe_failures=3, livy__stop_grace="500ms")
    row.fault()
    row.expect_anew()
    row.expect_history("unhealthy: ", "livy-died: 3 probes failed in a row")
    row.finish()


# ---- what it leaves -------------------------------------------------------------------------------------------


def _helpers(member: Member, pid: int) -> list[int]:
    return member.wait(lambda: proc.children(pid), 5, "Livy has a child")


def test_children_that_outlive_livy(row: Row) -> None:
    _start(row, "Livy dies; a child of its lives on", "child-outlives")
    helpers = _helpers(row.active, row.life.pid)
    row.fault()
    proc.send(row.life.pid, signal.SIGKILL)
    row.expect_anew()
    row.active.wait_gone(helpers[0], what="(a child that a dead Livy left)")
    row.expect_history("livy-died: ")
    row.finish()


def test_helper_that_keeps_the_lock(row: Row) -> None:
    """Dead means that the lock is free as well (rule 2): whoever holds it is ended before the next one starts."""
    _start(row, "Livy dies; a helper of its keeps the lock", "keep-lock")
    helpers = _helpers(row.active, row.life.pid)
    row.fault()
    proc.send(row.life.pid, signal.SIGKILL)
    row.expect_anew()
    assert not proc.alive(helpers[0])
    row.expect_history("livy-died: ")
    row.finish()


def test_helper_that_keeps_the_lock_of_a_dead_keeper(row: Row) -> None:
    """The elector ends it before it gives the latch up."""
    _start(row, "keeper: kill -9; a helper of Livy's keeps the lock", "keep-lock")
    helpers = _helpers(row.active, row.life.pid)
    row.fault()
    row.active.kill()
    row.expect_another()
    assert not proc.alive(helpers[0])
    row.expect_history("released: the keeper is gone")
    row.started_again(row.active)
    row.finish()


def test_wrapper_that_does_not_exec(row: Row, tmp_path: Path) -> None:
    """livy.command is changed to one at a standby. When that is elected it is found out, with the wrapped Livy ended
    before the third member starts its own."""
    _start(row, "keeper: kill -9; livy.command of the next one in the queue is a wrapper that does not exec")
    wrapped = row.cluster[row.cluster.latch_ids()[1]]
    wrapper = tmp_path / "livy-server"
    wrapper.write_text(f"#!/bin/sh\n{standin()}\nexit 0\n", encoding="ascii")
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    good = dict(wrapped.settings)
    assert wrapped.stop() == 0
    row.started_again(*_with_command(wrapped, str(wrapper)))
    third = next(member for member in row.cluster.members if member not in (row.active, wrapped))
    row.cluster.wait_settled()
    if row.cluster.latch_ids()[1] != wrapped.name:  # it stands last now: the third one makes room
        assert third.stop() == 0
        row.started_again(third)
        row.cluster.wait_settled()
    assert row.cluster.latch_ids()[1] == wrapped.name
    row.note()
    row.fault()
    row.active.kill()
    assert wrapped.wait_exit() == CONFIGURATION
    assert "exec" in wrapped.log()
    row.cluster.wait(lambda: third.serving(), 30, "the third member serves")
    row.expect_another()
    wrapped.settings = good
    wrapped.write_conf()
    row.started_again(row.active, wrapped)
    row.finish()


def _with_command(member: Member, command: str) -> list[Member]:
    member.settings = {**member.settings, "livy.command": command}
    member.write_conf()
    return [member]


# ---- set up wrongly -------------------------------------------------------------------------------------------


def test_second_daemon_on_the_same_host(row: Row) -> None:
    """Started by mistake with the same runtime_dir: it goes without having touched anything (rule 3)."""
    _start(row, "a second daemon is started on the active one's host")
    second = row.cluster.add("second", {"runtime_dir": row.active.runtime_dir, "livy.port": row.active.port})
    row.cluster.members.remove(second)
    second.wrapper = row.active.wrapper
    row.fault()
    try:
        second.start()
        assert second.wait_exit() == TEMPORARY, second.log()
    finally:
        second.destroy()
    assert row.active.runtime_dir in second.log()
    row.expect_same()
    row.finish()


def test_same_id_on_two_hosts(row: Row) -> None:
    """The second one goes, and names the first one's host; the active one notices nothing."""
    _start(row, "a standby is started anew with the active one's id")
    wrong = row.cluster.standbys()[0]
    assert wrong.stop() == 0
    row.fault()
    wrong.start({"LIVY_HA_ID": row.active.name})
    assert wrong.wait_exit() == TEMPORARY, wrong.log()
    assert row.bed.host(row.active).fqdn in wrong.log(), wrong.log()
    row.expect_same()
    row.started_again(wrong)
    row.finish()


def test_members_with_differing_stores(row: Row) -> None:
    """The one that differs does not stand, and says why (rule 7): the third member takes over."""
    _start(row, "a standby's livy.conf names another store; keeper of the active one: kill -9")
    wrong, right = row.cluster.standbys()
    assert wrong.stop() == 0
    conf = Path(wrong.home, "conf", "livy.conf")
    good = conf.read_text(encoding="utf-8")
    wrong.write_livy_conf(good.replace(row.cluster.store_prefix, "elsewhere"))
    row.started_again(wrong)
    wrong.wait_log("elsewhere", row.cluster.store_prefix)
    row.fault()
    row.active.kill()
    assert row.expect_another() is right
    assert wrong.name not in row.cluster.latch_ids()
    wrong.write_livy_conf(good)
    assert wrong.stop() == 0
    row.started_again(row.active, wrong)
    row.expect_history("released: the keeper is gone")
    row.finish()


def test_two_roots_on_one_store(row: Row) -> None:
    """The second cluster finds the first one's claim (rule 7), and keeps off the store also while nobody serves."""
    _start(row, "a member of another cluster (another zookeeper.root) is started on the same store; keeper of the active one: "
                "kill -9")
    host = row.bed.host(row.cluster.standbys()[0])
    rival = row.cluster.add("rival", {"zookeeper.root": f"{row.cluster.root}_rival"})
    row.cluster.members.remove(rival)
    rival.wrapper, rival.address = host.wrapper, host.address
    try:
        rival.start()
        rival.wait_role("drained")
        rival.wait_log("not standing", row.cluster.root)
        row.fault()
        row.active.kill()
        assert row.expect_another() in row.cluster.members
        row.started_again(row.active)
        row.expect_history("released: the keeper is gone")
        row.finish()
        assert rival.wait_role("drained")["livy"] == "none"
        assert rival.name not in [life.name for life in row.cluster.oracle.lives()], row.failure_text()
    finally:
        rival.destroy()


# ---- the wall clock -------------------------------------------------------------------------------------------


def _clocks_to_step(cluster: Cluster) -> None:
    """Each daemon's wall clock is the real one and the seconds in a file (wallclock_preload.c). Its other clocks are the
    real ones."""
    for member in cluster.members:
        with open(_clock_file(member), "wb") as file:
            file.write(struct.pack("<q", 0))
        member.env |= {"LD_PRELOAD": program("wallclock_preload.so"), "WALLCLOCK_FILE": _clock_file(member)}


def _clock_file(member: Member) -> str:
    return os.path.join(member.directory, "wallclock")


def _step(member: Member, hours: int) -> None:
    with open(_clock_file(member), "r+b") as file:  # in place, in one write: it is mapped
        file.write(struct.pack("<q", hours * 3600))


def _log_hour(member: Member) -> str:
    """The date and hour of the log's last line."""
    return member.log().splitlines()[-1][:13]


@pytest.mark.parametrize("who", ["all", "active"])
def test_wall_clock_steps(row: Row, who: str) -> None:
    """Five hours forth, then ten back: leases are CLOCK_BOOTTIME. The history's times may jump, nothing else does."""
    _start(row, f"wall clock steps by hours, forth and back, on {who}", prepare=_clocks_to_step)
    stepped = row.cluster.members if who == "all" else [row.active]
    row.fault()
    real = _log_hour(row.active)
    for hours in (5, -5):
        for member in stepped:
            _step(member, hours)
        offset = len(row.active.log())
        row.active.signal(signal.SIGHUP)  # makes it say something, with the new time
        row.cluster.wait(lambda offset=offset: len(row.active.log()) > offset, 10, "the log goes on")  # type: ignore[misc]
        assert _log_hour(row.active) != real, "the clock has not been stepped: this row shows nothing"
        began = boot_ms()
        let_pass(row.lease_s + 1, lambda: proc.alive(row.life.pid), "the same Livy lives on", row.failure_text)
        assert boot_ms() - began >= row.lease_s * 1000
        assert (row.active.row().get("lease_left_ms") or 0) > 0
    row.expect_same(0.5)
    row.finish()


def test_wall_clock_steps_and_a_fail_over(row: Row) -> None:
    """The keeper is killed after a step of hours: taken over at once, as ever."""
    _start(row, "wall clock 5 h ahead on the active one, 5 h behind on the others; keeper: kill -9", prepare=_clocks_to_step)
    for member in row.cluster.members:
        _step(member, 5 if member is row.active else -5)
    row.fault()
    row.active.kill()
    row.expect_another()
    assert row.record.gap_ms is not None and row.record.gap_ms < 2500, row.failure_text()
    row.expect_history("released: the keeper is gone")
    row.started_again(row.active)
    row.finish()
