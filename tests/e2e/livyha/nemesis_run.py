"""Carries out a schedule of the nemesis, and judges from outside. One loop does it all: the schedule's clock, the daemons'
restarts, the looking. It ends with a Report, or with a Violation as soon as there is one."""
import json
import os
import time
from collections.abc import Callable

from .bed import Bed
from .build import standby
from .cluster import Cluster
from .member import Member
from .nemesis_faults import Faults, Made
from .nemesis_leaks import Holding, compare, hold
from .nemesis_report import Report
from .nemesis_schedule import Phase
from .nemesis_watch import FOREVER, Violation, Watch, during, gaps
from .wait import boot_ms

# In it: an election of ZooKeeper's, the daemons' restarts, and what Livy's next start waits for after many deaths of Livy,
# which is never longer than livy.restart_window.
CALM_LIMIT_S = 60.0
WRITING_MS = 25
_LOOK_EVERY_MS = 250
_ASK_EVERY_MS = 300
_TURN_S = 0.01
TICK_MS = 500
_WINDOW_S = 20
# A Livy that is killed all the time must not be given up for good; one that hangs is to be found out within the run.
SETTINGS = {"livy.restart_window": f"{_WINDOW_S}s", "livy.stop_grace": "1s", "livy.orphan_grace": "1s", "livy.probe_interval": "500ms",
            "livy.probe_timeout": "500ms", "livy.probe_failures": 3, "livy.standby": standby()}


class Nemesis:
    def __init__(self, directory: str, phases: list[Phase], report: Report, say: Callable[[str], None]) -> None:
        self.directory = directory
        self.phases = phases
        self.report = report
        self._say = say
        self._began = boot_ms()
        self._next_look = 0
        self._seeded = 0  # how often ZooKeeper had gone back when its followers last took the leader's data
        self._faults_over: float = FOREVER  # boot ms; gaps after it are of our own making
        self.bed: Bed
        self.cluster: Cluster
        self.faults: Faults
        self.watch: Watch
        # After which a session that nobody renews has ended for certain.
        self._lease_ms = float(report.timeout.removesuffix("s")) * 1000 + 1.5 * TICK_MS

    def say(self, text: str) -> None:
        now = boot_ms()
        self._say(f"{(now - self._began) / 1000:9.3f} [{now}] {text}")

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """All that has to be done all the time."""
        for daemon in self.faults.daemons.values():
            daemon.tend()
            if daemon.gave_up:
                raise Violation(daemon.gave_up)
        if boot_ms() >= self._next_look:
            self._next_look = boot_ms() + _LOOK_EVERY_MS
            self.watch.look(self.faults.made)
        time.sleep(_TURN_S)

    def _until(self, condition: Callable[[], bool], limit_s: float, what: Callable[[], str]) -> None:
        deadline, ask = boot_ms() + limit_s * 1000, 0
        while True:
            self._turn()
            if boot_ms() >= ask:
                if condition():
                    return
                ask = boot_ms() + _ASK_EVERY_MS
            if boot_ms() >= deadline:
                raise Violation(f"not within {limit_s:g} s: {what()}")

    def _phase(self, phase: Phase) -> None:
        """The phase's items at their times, whatever the system makes of it."""
        begin = boot_ms()
        self.say(f"phase {phase.number}: {len(phase.items)} faults in {phase.seconds:.0f} s")
        waiting = list(phase.items)
        running: list[Made] = []
        while waiting or running or boot_ms() < begin + phase.seconds * 1000:
            now = (boot_ms() - begin) / 1000
            for made in [each for each in running if each.item.end <= now]:
                self.faults.end(made)
                running.remove(made)
                self.say(f"end   {made.item}: {made.on}{''.join(', ' + note for note in made.notes)}")
            if waiting and waiting[0].at <= now:
                made = self.faults.begin(waiting.pop(0))
                self.say(f"begin {made.item}: {made.on}")
                if made.item.seconds:
                    running.append(made)
            self._turn()

    # ---- calm -------------------------------------------------------------------------------------------------------

    def _unlike(self) -> str:
        """What is missing for one active member and two standbys, as each of them tells it; "" where nothing is."""
        modes = sorted(self.faults.mode(server) for server in self.bed.servers)
        if modes != ["follower", "follower", "leader"]:
            return f"the servers are {modes}"
        active = self.cluster.active()
        if active is None:
            return "no Livy serves"
        wanted = {member.name: "active" if member is active else "standby" for member in self.cluster.members}
        for member in self.cluster.members:
            status = member.status()
            if status is None:
                return f"{member.name} cannot be asked"
            roles = {row["id"]: row["role"] for row in status["members"]}
            if roles != wanted or not status["serving"]:
                return f"{member.name} tells {roles}, serving {status['serving']}; {wanted} is wanted"
        if len(self.cluster.latch()) != len(self.cluster.members):
            return f"the latch has {self.cluster.latch_ids()}"
        return ""

    def _seed_anew(self) -> None:
        """After ZooKeeper has gone back its servers may differ for good: one still had a latch node of the cut off epoch, and
        members connected to it waited behind that. So do what an operator has to: the followers take the leader's data."""
        told = self.watch.look_at_store(self._lease_ms).rolled_back
        if len(told) <= self._seeded:
            return
        self._seeded = len(told)
        self.bed.ensemble.wait_ready()
        for server in self.bed.followers():
            self.say(f"ZooKeeper has gone back: zk{server.number} takes the leader's data")
            server.kill()
            self.watch.put_away(server)
            server.start()
            self.bed.ensemble.wait_ready()

    def _whole(self) -> None:
        self._until(lambda: not self._unlike(), CALM_LIMIT_S, lambda: f"whole again: {self._unlike()}")

    def _calm(self) -> Holding:
        self.faults.end_all()
        self._seed_anew()
        begin = boot_ms()
        self._whole()
        self.report.calm_s.append((boot_ms() - begin) / 1000)
        held = self._settle()
        self._judge_store()
        self.say(f"calm: whole after {self.report.calm_s[-1]:.1f} s, {len(self.watch.lives)} lives so far")
        return held

    def _settle(self) -> Holding:
        """What has been left by a fault of the last second may still be ending; a Livy whose like was killed often is held
        again after a minute."""
        held: list[Holding] = []

        def settled() -> bool:
            held[:] = [self._hold()]
            return not held[0].processes
        self._until(settled, 75 if standby() == "hot" else 15, lambda: f"no processes left over: {held[0].processes}")
        return held[0]

    def _hold(self) -> Holding:
        active = self.cluster.active()
        if active is None:
            raise Violation("in a calm, Livy ended by itself")
        return hold(self.faults, active)

    def _judge_store(self) -> None:
        verdict = self.watch.look_at_store(self._lease_ms)
        for line in [*verdict.late, *verdict.rolled_back]:
            if line not in [*self.report.late, *self.report.rolled_back]:
                self.say(line)
        self.report.fill_store(verdict)
        if verdict.lost:
            raise Violation(f"{len(verdict.lost)} faults in the state store:\n" + "\n".join(verdict.lost[:10]))

    def _renew(self) -> Holding:
        """All three daemons stopped in order and started again, one after the other."""
        for member in self.cluster.members:
            self._restart(member)
            self._whole()
        return self._settle()

    def _restart(self, member: Member) -> None:
        before = member.pid
        member.stop_begin()
        self._until(lambda: member.running() and member.pid != before, CALM_LIMIT_S,
                    lambda: f"{member.name} stopped in order and started again")

    # ---- all of it ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises Violation. The report is filled in either way."""
        with Bed(self.directory, TICK_MS) as self.bed:
            settings = {**SETTINGS, "zookeeper.session_timeout": self.report.timeout, "zookeeper.tick": f"{TICK_MS}ms"}
            folder = os.path.join(self.directory, "c")
            self.cluster = self.bed.house(Cluster(self.bed.ensemble, folder, 3, settings, WRITING_MS))
            self.faults = Faults(self.bed, self.cluster, self.say)
            self.watch = Watch(self.cluster)
            try:
                self._run()
            finally:
                self._fill()
                self.faults.end_all()
                self.cluster.destroy()

    def _run(self) -> None:
        self._whole()
        self.say("the cluster is whole")
        holdings: list[Holding] = []
        for phase in self.phases:
            self._phase(phase)
            holdings.append(self._calm())
        self._faults_over = boot_ms()
        fresh = self._renew()
        self.watch.look(self.faults.made)
        self._judge_store()
        self.report.leaks = compare(holdings[0], holdings[-1], fresh)
        bad = self.report.leaks.bad()
        if bad:
            raise Violation("left behind: " + "; ".join(bad))
        self.report.ok = True

    def _fill(self) -> None:
        report = self.report
        lives = self.cluster.oracle.lives()
        found = [gap for gap in gaps(lives, self.faults.made, self._lease_ms, _WINDOW_S * 1000)
                 if gap.began_ms < self._faults_over]
        report.fill(self.faults.made, lives, found)
        if found:
            longest = max(found, key=lambda gap: gap.ms)
            report.longest_gap_during = during(longest, self.faults.made)
            report.longest_gap_waits_ms = longest.waits_ms
        report.overlap_us = self.watch.judged.worst_us
        report.woken_us = list(self.watch.judged.woken.values())
        report.writes = self.watch.writes()
        for daemon in self.faults.daemons.values():
            for status, count in daemon.exits.items():
                report.exits[str(status)] = report.exits.get(str(status), 0) + count

    def write_lives(self) -> None:
        """For whoever looks into it later."""
        with open(os.path.join(self.directory, "lives.json"), "w", encoding="utf-8") as file:
            json.dump([[life.name, life.pid, life.first, life.last, life.serving, life.rival, life.exit_kind, life.exit_code]
                       for life in self.cluster.oracle.lives()], file, indent=0)
