"""Processes: who starts, kills, outlives and reaps whom."""
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import ClusterMaker
from livyha import faults, proc
from livyha.build import program, standin
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.notify import NotifySocket
from livyha.oracle import Life
from livyha.wait import boot_ms, let_pass


def _lives(cluster: Cluster) -> list[Life]:
    return cluster.oracle.lives()


def _serve(member: Member, mode: str) -> Life:
    """Started with a Livy that behaves so."""
    member.set_mode(mode)
    member.start()
    return member.wait_serving()


def _next_life(member: Member, life: Life) -> Life:
    """Livy is killed; the one after it behaves as any other."""
    member.set_mode("")
    proc.send(life.pid, signal.SIGKILL)
    return member.wait_serving(30, other_than=life)


# ---- Livy's end ---------------------------------------------------------------------------------------------


def test_livy_that_dies_is_restarted(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1).start()
    member = cluster["a"]
    latch = cluster.latch()
    for _ in range(2):
        life = member.serving()
        assert life is not None
        proc.send(life.pid, signal.SIGKILL)
        member.wait_serving(30, other_than=life)
    assert cluster.latch() == latch, "restarted here, with the latch kept"
    cluster.wait(lambda: [entry["event"] for entry in cluster.history()].count("livy-died") == 2, 15,
                 "history tells of both deaths")


def test_restarts_exhausted(make_cluster: ClusterMaker) -> None:
    """A Livy that dies again and again: the latch goes to another member, and the first one stands behind it."""
    cluster = make_cluster(2, livy__restarts=2)
    for member in cluster.members:
        member.set_mode("" if member.name == "b" else "exit-after=300:1")
    cluster["a"].start()
    cluster["a"].wait(cluster["a"].livy, 20, "the first member starts Livy")
    cluster["b"].start()
    cluster["b"].wait_serving(60)
    assert [life.name for life in _lives(cluster)].count("a") >= 3, "two restarts before the latch is given up"
    cluster.wait(lambda: cluster.latch_ids()[:1] == ["b"], 15, "b holds the latch")
    cluster.assert_exclusive()


def test_livy_that_cannot_start_at_all(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, livy__restarts=0)
    cluster["a"].set_mode("exit-at-once=1")
    cluster["a"].start()
    cluster["a"].wait(lambda: _lives(cluster), 20, "the first member starts Livy")
    cluster["b"].start()
    cluster["b"].wait_serving(40)
    cluster["a"].wait_log("status 1")


def test_livy_that_dies_right_after_its_first_answer(make_cluster: ClusterMaker) -> None:
    """Who owned the port cannot be told any more then: that is a death like any other, and no stranger."""
    member = make_cluster(1, livy__restarts=60)["a"]
    member.set_mode("exit-when-asked")
    member.start()
    member.wait(lambda: len(member.oracle.lives()) >= 4 or not member.running(), 60, "four Livys have died")
    assert member.running(), member.failure_text()
    member.set_mode("")
    member.wait(lambda: member.row().get("livy") == "serving", 60, "Livy serves")


def test_livy_that_starts_too_slowly(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, livy__start_timeout="2s", livy__stop_grace="500ms")
    member = cluster["a"]
    member.set_mode("no-listen")
    member.start()
    first = member.wait(member.livy, 15, "Livy has been started")
    member.wait_gone(first.pid, 10, "(Livy, which has not answered in time)")
    member.set_mode("")
    member.wait_serving(60)


def test_livy_that_hangs_is_restarted(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, livy__probe_interval="300ms", livy__probe_timeout="300ms", livy__probe_failures=3,
                           livy__stop_grace="500ms")
    member = cluster["a"]
    life = _serve(member, "hang-after=500")
    member.set_mode("")
    member.wait_serving(60, other_than=life)
    cluster.assert_exclusive()


def test_livy_that_answers_500(make_cluster: ClusterMaker) -> None:
    member = make_cluster(1)["a"]
    _serve(member, "status=500")
    let_pass(2, lambda: member.row().get("livy") != "serving", "an answer of 500 is no sign of life", member.failure_text)
    assert member.ctl("status").code == 3


@pytest.mark.parametrize("status", [200, 302, 401, 404])
def test_livy_that_asks_for_credentials_is_alive(make_cluster: ClusterMaker, status: int) -> None:
    member = make_cluster(1)["a"]
    member.set_mode(f"status={status}")
    member.start()
    member.wait(lambda: member.row().get("livy") == "serving", 30, "status says that Livy serves")


# ---- orderly stop -------------------------------------------------------------------------------------------


def test_stop_takes_the_grace_and_then_kills(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, livy__stop_grace="2s")
    member = cluster["a"]
    life = _serve(member, "hang-term")
    before = boot_ms()
    assert member.stop() == 0
    took = boot_ms() - before
    assert 1900 <= took < 6000, f"stop_grace is 2 s, the stop took {took} ms"
    assert not proc.alive(life.pid)


def test_second_term_shortens(make_cluster: ClusterMaker) -> None:
    member = make_cluster(1, livy__stop_grace="60s")["a"]
    _serve(member, "hang-term")
    member.stop_begin()
    member.wait_log("stop")
    let_pass(1, member.running, "the first TERM waits for the grace of 60 s", member.failure_text)
    before = boot_ms()
    assert member.stop(10) == 0
    assert boot_ms() - before < 5000


def test_slow_stop_keeps_the_successor_waiting(make_cluster: ClusterMaker) -> None:
    """A stop that takes longer than the lease: it is renewed, the latch is held until Livy is dead."""
    cluster = make_cluster(2, livy__stop_grace="20s")
    life = _serve(cluster["a"], "slow-term=6000")
    cluster["b"].start()
    cluster.wait_settled()
    before = boot_ms()
    assert cluster["a"].stop() == 0
    new = cluster.wait_new_life(life)
    assert new.first / 1e6 - before >= 5900
    cluster.assert_exclusive()


# ---- what a Livy leaves -------------------------------------------------------------------------------------


def _submit_said(life: Life) -> list[str]:
    try:
        text = Path(life.submit_log).read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [line.split()[0] for line in text.splitlines()]


def test_spark_submit_gets_its_grace(make_cluster: ClusterMaker) -> None:
    """Left by a Livy that was killed, it may finish, while the next Livy serves already."""
    cluster = make_cluster(1, livy__orphan_grace="20s")
    member = cluster["a"]
    life = _serve(member, "submit-outlives=3000")
    member.wait(lambda: _submit_said(life) == ["start"], 10, "spark-submit runs")
    _next_life(member, life)
    assert _submit_said(life) == ["start"], "the new Livy does not wait for it"
    member.wait(lambda: _submit_said(life) == ["start", "end"], 15, "spark-submit finishes in peace")


def test_stop_waits_for_spark_submit_with_the_latch_released(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, livy__orphan_grace="20s")
    life = _serve(cluster["a"], "submit-outlives=4000")
    cluster["b"].start()
    cluster.wait_settled()
    cluster["a"].stop_begin()
    cluster["b"].wait_serving(10)
    assert cluster["a"].running() and _submit_said(life) == ["start"], "b serves while spark-submit still runs"
    assert cluster["a"].wait_exit() == 0
    assert _submit_said(life) == ["start", "end"]


def test_spark_submit_is_ended_after_its_grace(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, livy__orphan_grace="1s")
    member = cluster["a"]
    life = _serve(member, "submit-outlives=60000")
    member.wait(lambda: _submit_said(life) == ["start"], 10, "spark-submit runs")
    before = boot_ms()
    assert member.stop(20) == 0
    assert 900 <= boot_ms() - before < 10000
    assert _submit_said(life) == ["start"]
    gone = [pid for pid in proc.all_pids() if "org.apache.spark.deploy.SparkSubmit" in proc.cmdline(pid)
            and proc.cmdline(pid)[-1] == life.submit_log]
    assert gone == [], "it is ended"


def test_other_children_of_a_dead_livy_are_ended(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    life = _serve(member, "child-outlives")
    helpers = proc.children(life.pid)
    assert len(helpers) == 1
    assert member.stop(20) == 0
    member.wait_gone(helpers[0], what="(a child that Livy left)")


def test_children_of_livy_are_let_be_until_it_is_dead(make_cluster: ClusterMaker) -> None:
    """A spark-submit that ends first makes Livy drop its session: no signal before Livy is reaped."""
    cluster = make_cluster(1, livy__stop_grace="20s", livy__orphan_grace="0s")
    member = cluster["a"]
    life = _serve(member, "slow-term=1500,child-outlives,submit-outlives=60000")
    member.wait(lambda: _submit_said(life) == ["start"], 10, "spark-submit runs")
    helpers = proc.children(life.pid)
    assert len(helpers) == 2
    member.stop_begin()

    def one_has_gone() -> bool:
        return any(not proc.alive(pid) for pid in [*helpers, life.pid])
    member.wait(one_has_gone, 15, "Livy ends")
    assert not proc.alive(life.pid), "its children have been ended while it lived"
    assert member.wait_exit() == 0
    for pid in helpers:
        member.wait_gone(pid, what="(what Livy left)")


def test_children_of_a_livy_that_died_are_ended(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    life = _serve(member, "child-outlives")
    helpers = proc.children(life.pid)
    _next_life(member, life)
    member.wait_gone(helpers[0], what="(a child that a dead Livy left)")


def test_lock_kept_by_a_child_of_livy(make_cluster: ClusterMaker) -> None:
    """Dead means: the pidfd says so and the lock is free. Whoever still holds it is ended before a new start."""
    cluster = make_cluster(1)
    member = cluster["a"]
    life = _serve(member, "keep-lock")
    helpers = proc.children(life.pid)
    assert len(helpers) == 1
    new = _next_life(member, life)
    assert not proc.alive(helpers[0]) and new.pid != life.pid


def test_left_over_livy_is_killed_at_start(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    """A Livy that has lost its daemon and lives on, with the lock held: killed before the member joins. It is made
    by a wrapper that does not exec, so that Livy's own PDEATHSIG is not the keeper's."""
    cluster = make_cluster(1)
    member = cluster["a"]
    wrapper = tmp_path / "livy-server"
    wrapper.write_text(f"#!/bin/sh\n{standin()} &\nwait\n", encoding="ascii")
    wrapper.chmod(0o755)
    member.set_mode("no-listen")  # it must not serve: then the wrapper would be found out
    member.settings["livy.command"] = str(wrapper)
    member.write_conf()
    member.start()
    left = member.wait(member.livy, 20, "the wrapped Livy runs")
    elector = member.wait_elector()
    for pid in (elector, member.pid):
        proc.send(pid, signal.SIGSTOP)
    for pid in (elector, member.pid):
        proc.send(pid, signal.SIGKILL)
    member.wait_exit()
    assert proc.alive(left.pid), "the left-over Livy lives on: else this test shows nothing"
    member.set_mode("")
    member.settings["livy.command"] = standin()
    member.write_conf()
    member.start()
    member.wait_serving(30, other_than=left)
    assert not proc.alive(left.pid)
    member.wait_log(str(left.pid))
    cluster.assert_exclusive()


def test_wrapper_that_does_not_exec_is_found_out(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    member = make_cluster(1)["a"]
    wrapper = tmp_path / "livy-server"
    wrapper.write_text(f"#!/bin/sh\n{standin()}\nexit 0\n", encoding="ascii")
    wrapper.chmod(0o755)
    member.settings["livy.command"] = str(wrapper)
    member.write_conf()
    member.start()
    assert member.wait_exit() == 78
    assert "exec" in member.log()
    assert member.livy() is None, "nothing of it is left"


def test_wrapper_that_execs_is_fine(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    member = make_cluster(1)["a"]
    wrapper = tmp_path / "livy-server"
    wrapper.write_text(f"#!/bin/bash\nexec {standin()}\n", encoding="ascii")
    wrapper.chmod(0o755)
    member.settings["livy.command"] = str(wrapper)
    member.write_conf()
    member.start()
    life = member.wait_serving()
    assert life.environment["pdeathsig"] == signal.SIGKILL
    member.wait(lambda: member.row().get("livy") == "serving", 20, "status says that Livy serves")


# ---- the elector --------------------------------------------------------------------------------------------


def test_elector_killed_again_and_again(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1).start()
    member = cluster["a"]
    life = member.serving()
    assert life is not None
    for _ in range(5):
        elector = member.wait_elector()
        proc.send(elector, signal.SIGKILL)
        member.wait_elector(other_than=elector)
    member.wait(lambda: (member.row().get("lease_left_ms") or 0) > 0, 20, "the lease goes on")
    assert proc.alive(life.pid) and len(_lives(cluster)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_elector_ignores_what_a_terminal_sends(make_cluster: ClusterMaker, number: int) -> None:
    member = make_cluster(1).start()["a"]
    elector = member.wait_elector()
    proc.send(elector, number)
    let_pass(1, lambda: proc.alive(elector), "the elector lives on", member.failure_text)


def test_elector_dies_with_a_standby_keeper(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    standby = cluster.standbys()[0]
    elector = standby.wait_elector()
    standby.kill()
    standby.wait_gone(elector, what="(the elector of a dead keeper)")


def test_elector_killed_while_livy_is_being_stopped(make_cluster: ClusterMaker) -> None:
    """Rule 4: the session is neither closed nor its node deleted before Livy is dead, whoever dies meanwhile; and once the
    keeper has let it go, nobody takes it up again: no session file is left."""
    cluster = make_cluster(2, livy__stop_grace="20s")
    life = _serve(cluster["a"], "slow-term=2000")
    cluster["b"].start()
    cluster.wait_settled()
    elector = cluster["a"].wait_elector()
    cluster["a"].stop_begin()
    cluster["a"].wait_log("livy running -> terminating")
    proc.send(elector, signal.SIGKILL)
    cluster["a"].wait_elector(other_than=elector)
    assert cluster["a"].wait_exit() == 0
    new = cluster.wait_new_life(life)
    assert new.name == "b" and new.first - life.first > 2_000_000_000
    cluster.assert_exclusive()
    assert [entry.name for entry in os.scandir(cluster["a"].runtime_dir) if "session" in entry.name] == []


def test_session_file_of_a_dead_daemon_is_never_adopted(make_cluster: ClusterMaker) -> None:
    """Rule 5: the daemon that follows on the same host closes that session at most; it stands with one of its own."""
    cluster = make_cluster(1).start()
    member = cluster["a"]
    node, life = cluster.latch_node(member), member.serving()
    assert node is not None and life is not None
    session = cluster.zk.exists(node).ephemeralOwner
    for pid in (member.wait_elector(), member.pid):
        proc.send(pid, signal.SIGSTOP)
    for pid in (member.wait_elector(), member.pid, life.pid):
        proc.send(pid, signal.SIGKILL)
    member.wait_exit()
    assert any("session" in entry.name for entry in os.scandir(member.runtime_dir)), "else this test shows nothing"
    member.start()
    member.wait_serving(30, other_than=life)
    later = cluster.latch_node(member)
    assert later is not None and cluster.zk.exists(later).ephemeralOwner != session
    assert f"adopting session {session:#x}" not in member.log()


# ---- reload, systemd, containers ----------------------------------------------------------------------------


def test_reload_logs_what_changed(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1).start()
    member = cluster["a"]
    life, offset = member.serving(), len(member.log())
    assert life is not None
    member.settings |= {"livy.stop_grace": "7s", "livy.probe_failures": 9}
    member.write_conf()
    member.signal(signal.SIGHUP)
    member.wait_log("livy.stop_grace", after=offset)
    member.wait_log("livy.probe_failures", after=offset)
    shown = member.ctl("config", as_json=False).out
    assert "7s" in next(line for line in shown.splitlines() if "livy.stop_grace" in line)
    assert proc.alive(life.pid)


def test_reload_of_a_wrong_file_changes_nothing(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1).start()
    member = cluster["a"]
    life, offset = member.serving(), len(member.log())
    assert life is not None
    member.settings |= {"livy.stop_grace": "seven"}
    member.write_conf()
    member.signal(signal.SIGHUP)
    member.wait_log("livy.stop_grace", "seven", after=offset)
    let_pass(1, lambda: proc.alive(life.pid) and member.running(), "the daemon goes on", member.failure_text)


def test_reload_tells_what_needs_a_restart(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1).start()
    member = cluster["a"]
    offset = len(member.log())
    member.settings |= {"zookeeper.session_timeout": "6s"}
    member.write_conf()
    member.signal(signal.SIGHUP)
    member.wait_log("zookeeper.session_timeout", "restart", after=offset)
    member.wait(lambda: member.row().get("pending_restart") is True, 15, "status says that a restart is pending")


def test_systemd_is_told(make_cluster: ClusterMaker) -> None:
    member = make_cluster(1)["a"]
    notify = NotifySocket(member.directory)
    try:
        member.start({"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "1000000"})
        life = member.wait_serving()
        member.wait(lambda: notify.lines("READY=1"), 15, "READY=1")
        member.wait(lambda: notify.lines("STATUS="), 15, "STATUS=")
        count = len(notify.lines("WATCHDOG=1"))
        let_pass(3, member.running, "the daemon runs", member.failure_text)
        times = notify.times("WATCHDOG=1")[count:]
        assert len(times) >= 3, "at least one WATCHDOG=1 a second"
        assert max(b - a for a, b in zip(times, times[1:], strict=False)) < 1000
        assert life.environment["env_leaked"] == []
        member.stop_begin()
        member.wait(lambda: notify.lines("STOPPING=1"), 15, "STOPPING=1")
        assert member.wait_exit() == 0
    finally:
        notify.close()


def test_systemd_watchdog_of_another_process_is_not_ours(make_cluster: ClusterMaker) -> None:
    """WATCHDOG_PID names somebody else: no WATCHDOG=1 is sent, as sd_watchdog_enabled(3) has it."""
    member = make_cluster(1)["a"]
    notify = NotifySocket(member.directory)
    try:
        member.start({"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": "1"})
        member.wait_serving()
        let_pass(1, lambda: not notify.lines("WATCHDOG=1"), "no WATCHDOG=1", member.failure_text)
        assert notify.lines("READY=1")
    finally:
        notify.close()


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="a pid namespace needs root")
def test_as_pid_1_of_a_container(make_cluster: ClusterMaker) -> None:
    """Stops on TERM, which the kernel drops for a PID 1 without a handler, and reaps what is not its own."""
    cluster = make_cluster(1)
    member = cluster["a"]
    member.set_mode("child-outlives")
    member.wrapper = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    member.start()

    def init() -> int | None:
        return next((pid for pid in proc.children(member.pid) if os.path.basename(proc.executable(pid)) == "livy-ha"), None)
    pid = member.wait(init, 15, "livy-ha runs in the namespace")
    member.wait(lambda: member.row().get("livy") == "serving", 30, "Livy serves")
    inside = proc.descendants(pid)
    stray = next(each for each in inside if proc.executable(each).endswith("standin") and not proc.children(each))
    livy = next(each for each in inside if proc.executable(each).endswith("standin") and proc.children(each))
    proc.send(livy, signal.SIGKILL)
    member.wait(lambda: not proc.alive(livy) and not proc.state(livy), 15, "the dead Livy has been reaped")
    # Whoever has left Livy's session may be anybody's in a container: it is not killed, but it is reaped.
    proc.send(stray, signal.SIGKILL)
    member.wait(lambda: not proc.state(stray), 15, "the orphan has been reaped")
    member.wait(lambda: member.row().get("livy") == "serving", 30, "Livy serves again")
    proc.send(pid, signal.SIGTERM)
    assert member.wait_exit() == 0, "unshare passes the exit status on"


def test_close_session_of_a_dead_daemon(make_cluster: ClusterMaker) -> None:
    """ExecStopPost: everything of the unit has been killed, the session file is left. The standby need not wait."""
    cluster = make_cluster(2).start()
    active = cluster.wait_settled()
    life, elector = active.serving(), active.wait_elector()
    assert life is not None
    for pid in (elector, active.pid):
        proc.send(pid, signal.SIGSTOP)
    for pid in (elector, active.pid, life.pid):
        proc.send(pid, signal.SIGKILL)
    active.wait_exit()
    files = [entry for entry in os.scandir(active.runtime_dir) if "session" in entry.name]
    assert files and all(stat.S_IMODE(entry.stat().st_mode) == 0o600 for entry in files), "the session file is secret"
    done = subprocess.run([program("livy-ha"), "-c", active.conf_path, "--close-session"], env=active.env, timeout=30,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    new = cluster.wait_new_life(life)
    assert (new.first - life.last) / 1e9 < 2.5, "not after the session's time-out of 4 s"
    cluster.assert_exclusive()


def test_close_session_of_a_dead_standby(make_cluster: ClusterMaker) -> None:
    """It was not active: whoever comes next is not told that it has left in order, whatever it was about to do."""
    cluster = make_cluster(2).start()
    active = cluster.wait_settled()
    life = active.serving()
    assert life is not None
    standby = next(member for member in cluster.members if member is not active)
    elector, before = standby.wait_elector(), cluster.node("handover")
    for pid in (elector, standby.pid):
        proc.send(pid, signal.SIGSTOP)
    for pid in (elector, standby.pid):
        proc.send(pid, signal.SIGKILL)
    standby.wait_exit()
    faults.close_session(standby)
    assert len(cluster.latch()) == 1 and cluster.node("handover") == before
    assert proc.alive(life.pid)


def test_close_session_waits_for_all_locks(make_cluster: ClusterMaker) -> None:
    """Rule 5: what the session file names is closed only with all locks free: neither under a living daemon, nor beside what
    may still be a Livy."""
    cluster = make_cluster(1, zookeeper__session_timeout="10s")
    member = cluster["a"]
    life = _serve(member, "keep-lock")
    (helper,), elector, latch = proc.children(life.pid), member.wait_elector(), cluster.latch()
    for kill, status, why in (([], 0, "no session to close: a daemon runs, or its elector still closes it"),
                              ([elector, member.pid, life.pid], 75, "is held: an earlier Livy lives, its session is left alone"),
                              ([helper], 0, "")):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in kill:
                proc.send(pid, number)
        assert not kill or member.wait_exit() == -signal.SIGKILL
        done = subprocess.run([program("livy-ha"), "-c", member.conf_path, "--close-session"], env=member.env, timeout=30,
                              capture_output=True, text=True, check=False)
        assert done.returncode == status and why in done.stderr, done
        assert latch and cluster.latch() == (latch if why else [])
