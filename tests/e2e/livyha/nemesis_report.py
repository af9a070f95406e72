"""What a run of the nemesis has to say, as text, JSON and markdown."""
import os
import platform
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from .nemesis_faults import Made
from .nemesis_leaks import Leaks
from .nemesis_store import Verdict
from .nemesis_watch import Gap, by_cause
from .oracle import Life

NOT_DRAWN = ("Not drawn: a keeper frozen while its elector is dead or frozen, with Livy running on. Nobody is left then who "
             "could end Livy at its lease's end, until one of the two is back.")


@dataclass
class Report:
    seed: int
    minutes: float
    timeout: str
    tick_ms: int
    at: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    system: str = field(default_factory=lambda: f"{os.cpu_count()} cores, Linux {platform.release().partition('-')[0]}")
    ok: bool = False
    violation: str = ""
    faults: dict[str, int] = field(default_factory=dict)
    lives: int = 0
    failovers: int = 0
    restarts: int = 0
    overlap_us: int = 0
    woken_us: list[int] = field(default_factory=list)  # Livys that slept beyond their lease, with all of their member
    longest_gap_ms: float = 0
    longest_gap_during: list[str] = field(default_factory=list)
    longest_gap_waits_ms: int = 0
    median_gap_ms: float = 0
    gaps: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    writes: int = 0
    lost: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    late_worst_ms: float = 0
    rolled_back: list[str] = field(default_factory=list)
    rolled_back_writes: int = 0
    calm_s: list[float] = field(default_factory=list)
    exits: dict[str, int] = field(default_factory=dict)
    leaks: Leaks | None = None

    def fill(self, made: list[Made], lives: list[Life], found: list[Gap]) -> None:
        self.faults = dict(sorted(Counter(each.item.name for each in made).items()))
        self.lives = len(lives)
        self.failovers = sum(gap.failover for gap in found)
        self.restarts = len(found) - self.failovers
        if found:
            self.longest_gap_ms = round(max(gap.ms for gap in found), 1)
            self.median_gap_ms = round(statistics.median(gap.ms for gap in found), 1)
        self.gaps = {cause: (count, round(median, 1), round(longest, 1))
                     for cause, (count, median, longest) in by_cause(found).items()}

    def fill_store(self, verdict: Verdict) -> None:
        self.lost, self.late, self.rolled_back = verdict.lost, verdict.late, verdict.rolled_back
        self.late_worst_ms = max(verdict.late_ms, default=0)
        self.rolled_back_writes = verdict.rolled_back_writes

    def json(self) -> dict[str, Any]:
        return {"v": 1, **asdict(self)}

    def _rows(self) -> list[tuple[str, str]]:
        leaks = self.leaks
        rows = [
            ("Seed, duration", f"{self.seed}, {self.minutes:g} min (T {self.timeout}, tick {self.tick_ms} ms; {self.system})"),
            ("Faults", f"{sum(self.faults.values())}: " + ", ".join(f"{kind} {n}" for kind, n in self.faults.items())),
            ("Lives of Livy", f"{self.lives}; fail-overs {self.failovers}, started again on the same member {self.restarts}"),
            ("Overlap of any two Livys", f"{self.overlap_us} µs"),
            ("Members that slept beyond their lease", f"{len(self.woken_us)}; their Livys lived for at most "
             f"{max(self.woken_us, default=0)} µs after waking"),
            ("Time without a Livy", f"median {self.median_gap_ms:,.0f} ms, longest {self.longest_gap_ms:,.0f} ms"),
        ]
        if self.writes:
            rows += [
                ("Writes to the state store", f"{self.writes:,} acknowledged; lost or overwritten: {len(self.lost)}"),
                ("Of a dead Livy, carried out late", f"{len(self.late)}, at most {self.late_worst_ms:,.0f} ms after its death: "
                 "a ZooKeeper server had them in hand, and that Livy's session still lived"),
                ("ZooKeeper lost acknowledged writes", f"{self.rolled_back_writes}, in {len(self.rolled_back)} cases: it gave "
                 "versions of the node out twice, by its own logs"),
            ]
        if self.calm_s:
            rows.append(("Calms", f"{len(self.calm_s)}, all three members back in at most {max(self.calm_s):.1f} s"))
        if leaks is not None:
            rows.append(("Left behind", f"descriptors {leaks.descriptors}, memory {leaks.memory_kb} kB (oldest process "
                         f"{leaks.oldest_s:.0f} s), znodes {len(leaks.znodes)}, processes {len(leaks.processes)}, files "
                         f"{len(leaks.files)}"))
        return rows

    def text(self) -> str:
        lines = [f"{name + ':':<38} {value}" for name, value in self._rows()]
        lines += [f"  {cause:<24} {count:4d} gaps, median {median:8,.0f} ms, longest {longest:8,.0f} ms"
                  for cause, (count, median, longest) in self.gaps.items()]
        if self.longest_gap_during:
            waits = f", waits of {self.longest_gap_waits_ms} ms in it" if self.longest_gap_waits_ms else ""
            lines.append(f"in the longest gap{waits}: {', '.join(self.longest_gap_during)}")
        lines += [f"late: {line}" for line in self.late[:10]] + self.rolled_back
        return "\n".join([*lines, NOT_DRAWN, f"VIOLATION: {self.violation}" if self.violation else "ok"])

    def markdown(self) -> str:
        lines = ["| A run of the nemesis | |", "|---|---|", *(f"| {name} | {value} |" for name, value in self._rows()), "",
                 "| Cause | Gaps | Median, ms | Longest, ms |", "|---|---:|---:|---:|"]
        lines += [f"| {cause} | {count} | {median:,.0f} | {longest:,.0f} |"
                  for cause, (count, median, longest) in self.gaps.items()]
        return "\n".join([*lines, "", NOT_DRAWN]) + "\n"
