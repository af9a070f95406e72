"""The service as systemd runs it, on two systems: what is asked of it by hand, and what happens to it. Gaps between two
Livys are told by the stand-ins themselves; each is printed at the end of the run."""
import os
import re
import signal
import statistics
from collections.abc import Callable, Iterator

import pytest
from livyha import proc
from livyha.build import ROOT
from livyha.oracle import Gap, Life
from pair import FRONT, Pair
from systems import System

Recorder = Callable[[str], None]
SESSION_S = 10  # zookeeper.session_timeout's default: what a hand-over takes at least that nobody has helped
KILLS = 5


@pytest.fixture(scope="module")
def served(pair: Pair) -> Iterator[Pair]:
    """Installed, enabled, started: `a` first."""
    for system in pair.systems:
        pair.install(system)
        pair.configure(system)
        system.run("systemctl", "enable", "--quiet", "livy-ha")
    pair.a.run("systemctl", "start", "livy-ha")
    pair.wait_life(pair.a)
    yield pair


def told(gap: Gap) -> str:
    return f"{gap.ns / 1e6:.1f} ms without a Livy, {gap.to_serving_ns / 1e6:.1f} ms until the next one serves"


def main_pid(system: System) -> int:
    """As the test sees it, not the system itself."""
    init = system.init()
    assert init is not None
    inside = system.show("MainPID")
    for pid in proc.descendants(init):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            numbers = next(line for line in file if line.startswith("NSpid:")).split()
        if numbers[-1] == inside:
            return pid
    raise AssertionError(f"{system.name} has no process {inside}")


def may_raise_limits() -> bool:
    with open("/proc/self/status", encoding="ascii") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return bool(effective & 1 << 24)  # CAP_SYS_RESOURCE


def crowding() -> float:
    """How many processes there were to run for each core, in the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def restarts(system: System) -> int:
    return int(system.show("NRestarts"))


def wait_restarted(system: System, before: int) -> None:
    system.wait(lambda: restarts(system) > before and system.show("ActiveState") == "active", 30,
                "systemd has started it again")


def test_keeper_is_locked_in_memory_and_of_real_time_priority(served: Pair, record: Recorder) -> None:
    """As the unit's limits allow, without any right of root; Livy has neither, nor the keeper's protection from the kernel's
    want of memory. Where the machine of the test keeps root itself from raising limits, so does the system."""
    active, _standby, life = served.settle()
    keeper = main_pid(active)
    assert proc.status_value(keeper, "VmLck") > 0
    assert proc.status_value(keeper, "CapBnd") == 0 and proc.status_value(keeper, "NoNewPrivs") == 1
    if may_raise_limits():
        assert os.sched_getscheduler(keeper) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
        with open(f"/proc/{keeper}/oom_score_adj", encoding="ascii") as file:
            assert file.read().strip() == "-900"
    else:
        record("this machine has no CAP_SYS_RESOURCE: neither LimitRTPRIO= nor OOMScoreAdjust= can take effect in its systems")
    assert life.environment["policy"] == os.SCHED_OTHER
    assert life.environment["oom_score_adj"].strip() == "0"


def test_reload_reads_the_configuration_again(served: Pair) -> None:
    active, _standby, life = served.settle()
    served.configure(active, livy="probe_failures = 7;")
    active.run("systemctl", "reload", "livy-ha")
    active.wait(lambda: "7" in next((line for line in active.run("livy-ha-ctl", "config").out.splitlines()
                                     if "livy.probe_failures" in line), ""), 10, "the new value is in force")
    now = served.life(active)
    assert now and now.path == life.path


def test_stop_hands_over(served: Pair, record: Recorder) -> None:
    active, standby, life = served.settle()
    active.run("systemctl", "stop", "livy-ha")
    gap = served.wait_handed_over(life, standby)
    record(f"systemctl stop: {told(gap)}")
    assert (gap.before.exit_kind, active.show("ActiveState"), active.show("Result")) == (1, "inactive", "success")
    assert gap.ns < SESSION_S / 2 * 1e9, "the latch was not released"
    assert served.get(active, FRONT, "/version")[0] == 0


def test_restart(served: Pair, record: Recorder) -> None:
    active, standby, life = served.settle()
    since = active.last_entry()
    active.run("systemctl", "restart", "livy-ha")
    gap = served.wait_handed_over(life, standby)
    record(f"systemctl restart: {told(gap)}")
    assert gap.before.exit_kind == 1 and gap.ns < SESSION_S / 2 * 1e9
    served.wait_role(active, "standby")
    assert not active.warnings(since), "nothing was wrong"


def test_killed_main_process_hands_over_at_once(served: Pair, record: Recorder) -> None:
    """systemd kills the rest with it and then runs ExecStopPost, which ends the session: within 200 ms on a machine that has
    nothing else to do, and as many times as long as its cores have more processes than one to run. Without ExecStopPost it
    would take the session's time-out."""
    gaps, load = [], crowding()
    for _ in range(KILLS):
        active, standby, life = served.settle()
        before = restarts(active)
        active.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "livy-ha")
        gaps.append(served.wait_handed_over(life, standby))
        wait_restarted(active, before)
    serving = sorted(gap.to_serving_ns / 1e6 for gap in gaps)
    load = max(load, crowding())
    record(f"systemctl kill -s KILL --kill-whom=main: the standby serves after {', '.join(f'{ms:.1f}' for ms in serving)} ms, "
           f"median {statistics.median(serving):.1f}; {load:.1f} processes to a core")
    assert statistics.median(serving) < 200 * max(1, load), serving
    assert serving[-1] < SESSION_S / 2 * 1e3, serving


def test_watchdog_ends_a_stopped_main_process(served: Pair, record: Recorder) -> None:
    active, standby, life = served.settle()
    before = restarts(active)
    since = active.last_entry()
    proc.send(main_pid(active), signal.SIGSTOP)
    gap = served.wait_handed_over(life, standby)
    record(f"main process stopped: {told(gap)}")
    wait_restarted(active, before)
    said = [entry["MESSAGE"] for entry in active.journal(since)]
    assert any("Watchdog timeout" in line for line in said), said


def test_reboot_of_the_active_one(served: Pair, record: Recorder) -> None:
    active, standby, life = served.settle()
    active.reboot()
    gap = served.wait_handed_over(life, standby)
    record(f"reboot: {told(gap)}")
    assert gap.before.exit_kind == 1, "stopped in order, before the network"
    assert gap.ns < SESSION_S / 2 * 1e9
    served.wait_role(active, "standby")  # enabled: it has come up by itself


def test_power_cut_of_the_active_one(served: Pair, record: Recorder) -> None:
    active, standby, life = served.settle()
    active.power_off()
    gap = served.wait_handed_over(life, standby)
    record(f"power cut: {told(gap)}")
    active.power_on()
    active.wait_booted()
    served.wait_role(active, "standby")


def test_out_of_memory_takes_the_largest_not_the_service(served: Pair) -> None:
    """A child of Livy's eats all the memory that the system has: the kernel ends it, systemd does not stop the unit."""
    active, standby, life = served.settle()
    served.set_kind(active, "eater")
    before, kills = restarts(active), active.cgroups.oom_kills()
    main = active.show("MainPID")
    active.run("livy-ha-ctl", "restart")
    restarted = served.wait_life(active, after=life)
    active.wait(lambda: active.cgroups.oom_kills() > kills, 40, "the kernel has killed for want of memory")
    active.wait(lambda: not any(proc.cmdline(pid)[:1] == ["tail"] for pid in proc.descendants(active.init() or 0)), 10,
                "the eater is dead")
    assert (active.show("MainPID"), restarts(active), active.show("ActiveState")) == (main, before, "active")
    now = served.wait_life(active)
    assert now.path == restarted.path or now.first > restarted.first  # Livy itself may be what was killed: then started again
    served.settle()


def submits(life: Life) -> list[str]:
    try:
        with open(life.submit_log, encoding="ascii") as file:
            return [line.split()[0] for line in file]
    except FileNotFoundError:
        return []


def test_spark_submit_in_flight_survives_a_stop(served: Pair, record: Recorder) -> None:
    """systemd waits for it as livy-ha does, and the standby serves meanwhile."""
    active, standby, life = served.settle()
    served.set_mode(active, "submit-outlives=5000")
    active.run("livy-ha-ctl", "restart")
    life = served.wait_life(active, after=life)
    active.wait(lambda: submits(life) == ["start"], 10, "a spark-submit runs")
    active.run("systemctl", "stop", "livy-ha")
    assert submits(life) == ["start", "end"], "it was killed, or the stop did not wait for it"
    gap = served.wait_handed_over(life, standby)
    with open(life.submit_log, encoding="ascii") as file:
        ended = int(file.read().splitlines()[-1].split()[1])
    record(f"stop with a spark-submit in flight: {told(gap)}; it ended {(ended - gap.after.serving) / 1e9:.1f} s later")
    assert gap.after.serving < ended, "the standby has waited for another host's spark-submit"
    assert active.show("Result") == "success"


def restart_standby(served: Pair, standby: System) -> None:
    standby.run("systemctl", "restart", "livy-ha")
    served.wait_role(standby, "standby")


def test_jvm_bears_the_hardening(served: Pair) -> None:
    """As Livy's, with the guard of the lease inside: the server of Server.java has nothing to complain of, and is what is
    probed and forwarded to."""
    active, standby, _life = served.settle()
    served.set_kind(standby, "java")
    served.configure(standby, livy='guard = "process";')
    restart_standby(served, standby)
    active.run("systemctl", "stop", "livy-ha")

    def answers() -> bool:
        status, body = served.get(standby, FRONT, "/version")
        assert status != 200 or body == "", f"what Livy's JVM may not do there: {body}"
        return status == 200
    standby.wait(answers, 40, "the JVM serves")
    served.set_kind(standby, "")
    served.configure(standby)
    active.run("systemctl", "start", "livy-ha")
    served.wait_role(active, "standby")
    standby.run("systemctl", "restart", "livy-ha")
    served.settle()


def test_journal_reads_well(served: Pair) -> None:
    """Each line with its priority, without a second time stamp or what is left of a prefix. The relay's death is a warning."""
    active, _standby, _life = served.settle()
    relay = next(pid for pid in proc.descendants(active.init() or 0)
                 if os.path.basename(proc.executable(pid)) == "livy-ha-relay")
    since = active.last_entry()
    proc.send(relay, signal.SIGKILL)
    active.wait(lambda: any("relay" in line and "was killed" in line for line in active.warnings(since)), 10,
                "a warning that the relay has died")
    for system in served.systems:
        own = [entry for entry in system.journal() if re.match(r"(keeper|elector|relay): ", str(entry["MESSAGE"]))]
        for entry in own:
            assert not re.search(r"<\d>|\d{4}-\d\d-\d\d[T ]\d\d:\d\d", entry["MESSAGE"]), entry["MESSAGE"]
            assert entry["SYSLOG_IDENTIFIER"] == "livy-ha"
        assert any(" -> " in entry["MESSAGE"] and entry["PRIORITY"] == "6" for entry in own)


def test_drop_in_for_a_port_below_1024(served: Pair) -> None:
    """As docs/install.md has it."""
    _active, standby, _life = served.settle()
    standby.write("/etc/systemd/system/livy-ha.service.d/port.conf",
                  "[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n")
    served.configure(standby, more='front = { listen = "0.0.0.0:80"; };')
    standby.run("systemctl", "daemon-reload")
    restart_standby(served, standby)
    assert served.get(standby, 80, "/version")[0] == 200
    standby.run("rm", "-r", "/etc/systemd/system/livy-ha.service.d")
    served.configure(standby)
    standby.run("systemctl", "daemon-reload")
    restart_standby(served, standby)


def test_exposure(served: Pair, record: Recorder) -> None:
    """systemd's own judgement, 0 (best) to 10, is what docs/install.md tells of the system that this is."""
    with open(os.path.join(ROOT, "docs", "install.md"), encoding="utf-8") as file:
        told = re.search(r"`systemd-analyze security livy-ha` on Debian 12 says ([\d.]+) ", file.read())
    done = served.a.run("systemd-analyze", "security", "--no-pager", "livy-ha.service")
    last = done.out.strip().splitlines()[-1]
    record(f"systemd-analyze security: {last}")
    found = re.search(r"livy-ha\.service: ([\d.]+) ", last)
    assert told and found and found[1] == told[1], last
