"""The fault matrix: processes of the active member. See livyha/matrix.py. Livy writes to its store all the while."""
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from livyha import faults, proc
from livyha.cluster import Cluster
from livyha.matrix import Row
from livyha.wait import boot_ms, let_pass

WRITING_MS = 10
KEEPER_GONE = "released: the keeper is gone"
UNCLEAN = "elected: .*did not leave in order"
FENCED = "fenced: the lease ended without renewal"
STUCK = "the lease ended without renewal: the keeper does not answer"


def _start(row: Row, fault: str, prepare: Callable[[Cluster], None] | None = None, **settings: object) -> list[int]:
    """Returns the active one's keeper, elector, Livy."""
    row.start(fault, prepare=prepare, writing_ms=WRITING_MS, **settings)
    return faults.processes(row.active, row.life)


# ---- kill -9 --------------------------------------------------------------------------------------------------


def test_keeper_killed(row: Row) -> None:
    _start(row, "keeper: kill -9")
    row.fault()
    row.active.kill()
    row.expect_another()
    row.expect_dead_within(0.5)
    row.expect_history("livy-died: ", KEEPER_GONE, "elected: first")
    row.started_again(row.active)
    row.finish()


def test_elector_killed(row: Row) -> None:
    _keeper, elector, _livy = _start(row, "elector: kill -9")
    row.fault()
    proc.send(elector, signal.SIGKILL)
    row.expect_same()
    row.expect_history("adopted: ")
    row.finish()


def test_livy_killed(row: Row) -> None:
    _keeper, _elector, livy = _start(row, "Livy: kill -9")
    row.fault()
    proc.send(livy, signal.SIGKILL)
    row.expect_anew()
    row.expect_history("livy-died: killed by signal 9")
    row.finish()


def test_all_killed_at_once(row: Row) -> None:
    pids = _start(row, "keeper, elector and Livy: kill -9 at once")
    faults.stop_at_once(row.active, pids)  # none of them can react to another's death
    row.fault()
    for pid in pids:
        proc.send(pid, signal.SIGKILL)
    row.active.wait_exit()
    row.expect_another()
    assert row.record.gap_ms is not None and row.record.gap_ms < row.lease_s * 1000 + 1000, row.failure_text()
    row.expect_history(UNCLEAN)
    row.started_again(row.active)
    row.finish()


def test_keeper_and_elector_killed_under_systemd(row: Row) -> None:
    """KillMode=mixed takes the elector with the keeper; ExecStopPost closes the session, so that nobody waits for T."""
    keeper, elector, _livy = _start(row, "keeper and elector: kill -9 at once, then ExecStopPost")
    faults.stop_at_once(row.active, [keeper, elector])  # systemd ends whatever the keeper starts meanwhile
    row.fault()
    for pid in (elector, keeper):
        proc.send(pid, signal.SIGKILL)
    row.active.wait_exit()
    faults.close_session(row.active)
    row.expect_another()
    row.expect_dead_within(0.5)
    assert row.record.gap_ms is not None and row.record.gap_ms < 2500, row.failure_text()
    row.started_again(row.active)
    row.finish()


# ---- stopped, and continued later -------------------------------------------------------------------------------


def test_keeper_stopped_and_continued(row: Row) -> None:
    """The second guard: the elector kills Livy at the deadline."""
    keeper, _elector, _livy = _start(row, "keeper: SIGSTOP, SIGCONT after the fail-over")
    row.fault()
    with faults.continued([keeper]):
        row.active.pause_process(keeper)
        row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.expect_history(FENCED, f"released: {STUCK}")
    row.finish()


def test_keeper_hangs_for_good(row: Row) -> None:
    """It is never continued: systemd's watchdog kills it, and its elector ends with it."""
    keeper, elector, _livy = _start(row, "keeper: hangs for ever (SIGSTOP), killed by the watchdog after the fail-over")
    row.fault()
    row.active.pause_process(keeper)
    row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.expect_history(FENCED)
    row.active.kill()
    row.active.wait_gone(elector, what="(the elector of a dead keeper)")
    row.started_again(row.active)
    row.finish()


def test_start_that_reaches_a_stopped_keeper(row: Row) -> None:
    """The next one in the queue is elected while its keeper is stopped: the third member takes over, and the start that the
    keeper finds in its queue when it goes on is refused, for its lease is over (rule 6)."""
    _start(row, "keeper: kill -9; the next one's keeper is stopped, and goes on once the third member serves")
    following = row.cluster[row.cluster.latch_ids()[1]]
    third = next(member for member in row.cluster.members if member not in (row.active, following))
    row.fault()
    with faults.continued([following.pid]):
        following.pause_process(following.pid)
        row.active.kill()
        following.wait_log("the keeper does not answer")
        row.cluster.wait(third.serving, 30, "the third member serves")
    row.expect_another()
    following.wait_role("standby")
    assert following.name not in [life.name for life in row.cluster.oracle.lives()], row.failure_text()
    row.expect_history("released: the keeper is gone", "released: the keeper does not answer")
    row.started_again(row.active)
    row.finish()


def test_lease_ran_out_but_the_session_survived(row: Row) -> None:
    """The elector was away for longer than the lease, yet not for T: Livy is started again here at once, and its death is
    not counted (livy.restarts = 0)."""
    _keeper, elector, livy = _start(row, "elector: SIGSTOP until the lease has run out, not until the session has",
                                    livy__restarts=0, zookeeper__session_timeout="8s", livy__kill_margin="2s")
    row.fault()
    with faults.continued([elector]):
        row.active.pause_process(elector)
        row.active.wait_gone(livy, what="(Livy, without a lease)")
    row.expect_again()
    row.expect_history(FENCED)
    row.finish()


def test_elector_stopped_and_continued(row: Row) -> None:
    """The first guard: the keeper kills Livy at the deadline, and replaces the elector."""
    _keeper, elector, _livy = _start(row, "elector: SIGSTOP, SIGCONT after the fail-over")
    row.fault()
    with faults.continued([elector]):
        row.active.pause_process(elector)
        row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.expect_history(UNCLEAN)
    row.finish()


def test_elector_hangs_for_good(row: Row) -> None:
    """It is never continued: the keeper ends it."""
    _keeper, elector, _livy = _start(row, "elector: hangs for ever (SIGSTOP)")
    row.fault()
    row.active.pause_process(elector)
    row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.active.wait_gone(elector, what="(an elector that hangs)")
    row.expect_history(FENCED, UNCLEAN)  # the first one is told by the elector after it
    row.finish()


def test_keeper_stopped_for_a_moment(row: Row) -> None:
    keeper, _elector, _livy = _start(row, "keeper: SIGSTOP for 1 s")
    row.fault()
    with faults.continued([keeper]):
        row.active.pause_process(keeper)
        let_pass(1, lambda: proc.alive(row.life.pid), "the same Livy lives on", row.failure_text)
    row.expect_same()
    row.finish()


def test_elector_stopped_for_a_moment(row: Row) -> None:
    _keeper, elector, _livy = _start(row, "elector: SIGSTOP for 1 s")
    row.fault()
    with faults.continued([elector]):
        row.active.pause_process(elector)
        let_pass(1, lambda: proc.alive(row.life.pid), "the same Livy lives on", row.failure_text)
    row.expect_same()
    row.finish()


def test_livy_stopped_and_continued(row: Row) -> None:
    """Shorter than its probes allow: nothing happens."""
    _keeper, _elector, livy = _start(row, "Livy: SIGSTOP for 2 s", livy__probe_interval="500ms",
                                     livy__probe_timeout="500ms", livy__probe_failures=10)
    row.fault()
    with faults.continued([livy]):
        row.active.pause_process(livy)
        let_pass(2, lambda: proc.alive(livy), "the same Livy lives on", row.failure_text)
    row.cluster.wait(lambda: row.active.row().get("livy") == "serving", 10, "Livy serves again")
    row.expect_same()
    row.allow_history("unhealthy")
    row.finish()


def test_livy_hangs(row: Row) -> None:
    """It neither answers nor hears TERM: killed after stop_grace, and started again here."""
    _keeper, _elector, livy = _start(row, "Livy: hangs (SIGSTOP), probes fail", livy__probe_interval="300ms",
                                     livy__probe_timeout="300ms", livy__probe_failures=3, livy__stop_grace="500ms")
    row.fault()
    row.active.pause_process(livy)
    row.expect_anew()
    row.expect_history("unhealthy: ", "livy-died: 3 probes failed")
    row.finish()


def _frozen_until_another_serves(row: Row, freeze: Callable[[], None], thaw: Callable[[], None]) -> int:
    """Returns how long the old Livy ran once it had woken, in us; 0: not at all."""
    row.cluster.stopped_livys = True
    row.fault()
    try:
        freeze()
        row.cluster.wait(lambda: row.cluster.active() not in (None, row.active), 30, "another member serves")
    finally:
        thaw()
    row.active.wait_gone(row.life.pid, what="(Livy, which was stopped)")
    row.expect_another()
    row.expect_history(UNCLEAN)
    ended = row.cluster.oracle.life_of(row.life.pid)
    assert ended is not None
    return max((ended.last - ended.woke) // 1000, 1) if ended.woke else 0


@pytest.mark.parametrize("order", ["keeper first", "elector first"])
def test_all_stopped_and_continued_after_the_lease(row: Row, order: str) -> None:
    """The host stood still for longer than the lease, and another member serves. The timers have run out long ago, so the
    first thing that either guard does is to kill Livy, which is dead before it has run again."""
    keeper, elector, livy = _start(row, f"keeper, elector and Livy: SIGSTOP, continued after the fail-over, {order}")
    pids = [keeper, elector] if order == "keeper first" else [elector, keeper]

    def thaw() -> None:
        faults.go_on(pids)
        row.active.wait_gone(livy, what="(Livy, still stopped)")
    assert _frozen_until_another_serves(row, lambda: faults.stop_at_once(row.active, [*pids, livy]), thaw) == 0
    row.finish()


def _may_run(row: Row, ran_us: int) -> None:
    """Nothing on the host can keep Livy from running until one of the guards has: docs/safety.md says so, and this is how
    long it was."""
    print(f"Livy ran for {ran_us} us after it had woken; in its store: {row.cluster.oracle.store_faults() or 'all is well'}")
    assert ran_us < 100_000, row.failure_text()


def test_all_stopped_and_livy_continued_first(row: Row) -> None:
    keeper, elector, livy = pids = _start(row, "keeper, elector and Livy: SIGSTOP, Livy continued first after the fail-over")
    row.cluster.outside_assumptions = "a pause that outlived every guard, and Livy is the first to wake"
    _may_run(row, _frozen_until_another_serves(row, lambda: faults.stop_at_once(row.active, pids),
                                               lambda: faults.go_on([livy, keeper, elector])))
    row.finish()


@pytest.mark.skipif(not faults.Freezer.there(), reason="no cgroup freezer")
def test_all_frozen_and_thawed_at_once_after_the_lease(row: Row) -> None:
    """As by `docker pause`, or by a hypervisor: who is the first to wake is chance."""
    pids = _start(row, "keeper, elector and Livy: frozen, thawed at once after the fail-over (cgroup freezer)")
    row.cluster.outside_assumptions = "a pause that outlived every guard, and all wake at once"
    with faults.Freezer(pids) as freezer:
        _may_run(row, _frozen_until_another_serves(row, freezer.freeze, freezer.thaw))
    row.finish()


def test_all_stopped_for_a_moment(row: Row) -> None:
    pids = _start(row, "keeper, elector and Livy: SIGSTOP for 1 s")
    row.fault()
    with faults.continued(pids):
        faults.stop_at_once(row.active, pids)
        let_pass(1, lambda: proc.alive(row.life.pid), "the same Livy lives on", row.failure_text)
    row.expect_same()
    row.finish()


# ---- resources ------------------------------------------------------------------------------------------------


def test_disk_full_in_the_runtime_directory(row: Row) -> None:
    """A running Livy does not care; one that has died cannot be started here any more."""
    _keeper, elector, livy = _start(row, "runtime directory full; then elector and Livy killed",
                                    faults.small_runtime_dirs, livy__restarts=1)
    faults.fill_runtime_dir(row.active)
    row.fault()
    proc.send(elector, signal.SIGKILL)
    row.active.wait_elector(other_than=elector)
    row.expect_same()
    row.fault()
    proc.send(livy, signal.SIGKILL)
    row.expect_another()
    if not row.hot:  # then it is not even tried here
        row.expect_history("livy-died: .*No space left on device")
    faults.empty_runtime_dir(row.active)
    row.finish()


@contextmanager
def _connections(path: str, count: int) -> Iterator[None]:
    """Clients of the control socket, which want nothing."""
    clients = [socket.socket(socket.AF_UNIX) for _ in range(count)]
    try:
        for client in clients:
            client.connect(path)
        yield
    finally:
        for client in clients:
            client.close()


def test_out_of_descriptors(row: Row) -> None:
    """Keeper and elector get no descriptor more: Livy goes on, although it cannot be probed and clients of the control
    socket cannot be let in; nobody spins. What is found out about its end is true, and it is started elsewhere."""
    keeper, elector, livy = _start(row, "keeper and elector out of descriptors; then Livy killed", livy__restarts=1,
                                   livy__probe_interval="300ms", livy__probe_failures=3)
    offset = len(row.active.log())
    for pid in (keeper, elector):
        faults.no_more_descriptors(pid)
    try:
        with _connections(row.active.socket, 3):
            row.fault()
            before, began = proc.usage(elector).cpu_s + proc.usage(keeper).cpu_s, boot_ms()
            row.expect_same()
            spent = proc.usage(elector).cpu_s + proc.usage(keeper).cpu_s - before
            assert spent < 0.3 * (boot_ms() - began) / 1000, f"{spent:.2f} s of CPU time: somebody spins"
            told = [line for line in row.active.log()[offset:].splitlines() if "Too many open files" in line]
            assert len(told) == 2, f"once of the probes, once of the control socket: {told}"
        row.fault()
        proc.send(livy, signal.SIGKILL)
        row.expect_another()
        row.expect_history("livy-died: .*signal 9", *([] if row.hot else ["livy-died: .*Too many open files"]))
    finally:
        for pid in (keeper, elector):
            faults.enough_descriptors(pid)
    row.finish()


def test_elector_killed_while_the_keeper_is_short_of_descriptors(row: Row) -> None:
    """A new one can be started again before the lease ends: Livy goes on."""
    keeper, elector, livy = _start(row, "keeper out of descriptors for 1.5 s; elector killed")
    faults.no_more_descriptors(keeper)
    try:
        row.fault()
        proc.send(elector, signal.SIGKILL)
        let_pass(1.5, lambda: proc.alive(livy) and row.active.running(), "Livy goes on", row.failure_text)
    finally:
        faults.enough_descriptors(keeper)
    row.expect_same()
    row.finish()


def test_elector_killed_while_the_keeper_is_out_of_descriptors(row: Row) -> None:
    """No new one can be started: Livy goes on until its lease ends, then the daemon ends with 75, to be started anew;
    systemd's ExecStopPost closes its session."""
    keeper, elector, _livy = _start(row, "keeper out of descriptors; elector killed")
    faults.no_more_descriptors(keeper)
    row.fault()
    proc.send(elector, signal.SIGKILL)
    assert row.active.wait_exit() == 75
    faults.close_session(row.active)
    row.expect_another()
    assert row.record.gap_ms is not None and row.record.gap_ms < 2000, row.failure_text()
    row.started_again(row.active)
    row.finish()
