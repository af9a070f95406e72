"""The nemesis's eyes: the stand-ins' record of their lives, gone through again and again; and what the faults cost."""
import os
import statistics
import time
from dataclasses import dataclass, field

from . import store
from .cluster import Cluster
from .nemesis_faults import Made
from .nemesis_store import Bounds, Verdict, judge_store
from .oracle import Life
from .txnlog import Logs
from .wait import boot_ms
from .zookeeper import Server

_SLACK_MS = 5        # between the fault's own time and that of the record
WOKEN_LIMIT_US = 50_000  # a keeper that wakes kills first of all; the machine may be busy
_INSTANT_MS = 300       # so soon shows what ends a Livy at once
_LATER_MS = 2000        # and so late what an instant has led to
WAITS = "Livy died repeatedly"  # the cause of gaps in which livy-ha waits before the next start


class Violation(Exception):
    """Something that must never be."""


def told(life: Life) -> str:
    return (f"{life.name} pid {life.pid}: {life.first / 1e6:.3f} .. {life.last / 1e6:.3f} ms, serving "
            f"{life.serving / 1e6:.3f}, rival {life.rival}, exit {life.exit_kind}/{life.exit_code}")


# Pid of a process that was frozen with all of its member, from and to (ns; a freeze that goes on: FOREVER).
Freeze = tuple[int, int, int]
FOREVER = 1 << 62


@dataclass
class Judged:
    """What the record says of lives that had time in common."""
    worst_us: int = 0
    text: str = ""                                        # the two of the worst
    woken: dict[str, int] = field(default_factory=dict)   # by its record: µs that a Livy lived after it had slept too long


def _awake_us(life: Life, since: int, freezes: list[Freeze]) -> int | None:
    """How long `life` lived on after it had been frozen, all of its member with it, at `since`; None where it was not."""
    ends = [end for pid, begin, end in freezes if pid == life.pid and begin <= since < end and life.first < begin]
    return max(0, (life.last - max(ends)) // 1000) if ends else None


def judge(lives: list[Life], freezes: list[Freeze]) -> Judged:
    """`lives` in the order of their beginning. A rival that the kernel's lock has shown counts as 1 µs at least. A Livy
    that sleeps while its lease ends, with both its guards, does nothing meanwhile; it is killed when they wake. What it
    lives then, WOKEN_LIMIT_US at most, is told apart: no daemon can prevent it (docs/safety.md)."""
    judged = Judged()
    latest: Life | None = None  # of those so far the one that ended last
    for life in lives:
        if latest is not None and (latest.last > life.first or life.rival):
            awake = _awake_us(latest, life.first, freezes)
            if awake is not None and awake <= WOKEN_LIMIT_US:
                judged.woken[latest.path] = awake
            else:
                found = max(1, (min(life.last, latest.last) - life.first) // 1000)
                if found > judged.worst_us:
                    judged.worst_us, judged.text = found, f"{told(latest)}\n{told(life)}"
        if latest is None or life.last > latest.last:
            latest = life
    return judged


class Watch:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._logs = Logs([server.log_folder for server in cluster.zookeeper.servers], f"/{cluster.store_prefix}/counter")
        self.lives: list[Life] = []
        self.judged = Judged()

    def look(self, made: list[Made]) -> None:
        """Violation where two lives had any time in common."""
        freezes = [(pid, each.began * 1_000_000, FOREVER if each.ended is None else each.ended * 1_000_000)
                   for each in made if each.item.name == "stop-member" for pid in each.pids]
        self.lives = self._cluster.oracle.lives()
        self.judged = judge(self.lives, freezes)
        if self.judged.worst_us:
            raise Violation(f"two Livys lived at once for {self.judged.worst_us} us:\n{self.judged.text}")

    def look_at_store(self, lease_ms: float) -> Verdict:
        """Of everything written so far. First the writers' records, then the lives, then ZooKeeper's logs: what the
        earlier one tells of, the later ones know."""
        writers = store.read_writers(self._cluster.oracle_dir)
        self.lives = self._cluster.oracle.lives()
        return judge_store(writers, self._logs.writes(), bounds(self.lives, self.judged), lease_ms,
                           time.time() * 1000 - boot_ms())

    def put_away(self, server: Server) -> None:
        """The server, which must not run, begins without data; what it had logged stays known."""
        kept = f"{server.log_folder}-{boot_ms()}"
        os.rename(server.log_folder, kept)
        self._logs.add(kept)

    def writes(self) -> int:
        return sum(len(writer.acks) for writer in store.read_writers(self._cluster.oracle_dir))


def bounds(lives: list[Life], judged: Judged) -> dict[str, Bounds]:
    """By the names that the stand-ins write under."""
    return {os.path.basename(life.path).removesuffix(".life"):
            Bounds(life.first / 1e6, (life.paused if life.path in judged.woken else life.last) / 1e6, life.path in judged.woken)
            for life in lives}


@dataclass(frozen=True)
class Gap:
    """A time without a Livy, and the faults that were under way when it began."""
    ms: float
    cause: str
    failover: bool
    began_ms: float
    waits_ms: int = 0  # of it, by design: Livy had died too often

    @property
    def ended_ms(self) -> float:
        return self.began_ms + self.ms


def _at_work(made: Made, life: Life, lease_ms: float) -> bool:
    """Whether the fault may be why this life ended: it hit its member, or the servers, and was under way then, or had
    been within the lease's time."""
    end = life.last / 1e6
    ended = made.began if made.ended is None else made.ended
    hit = made.on.split()[0]
    return (hit == life.name or hit.startswith("zk")) and made.began <= end + _SLACK_MS and \
        ended + (lease_ms if made.item.kind.lasts else _LATER_MS) >= end


def _cause(life: Life, faults: list[Made], lease_ms: float) -> str:
    causes = [made for made in faults if _at_work(made, life, lease_ms)]
    # One that ends Livy, or all of a member, at once needs no other.
    ends = [made for made in causes if abs(life.last / 1e6 - made.began) <= _INSTANT_MS and made.item.kind.ends_livy]
    return " + ".join(sorted({made.item.name for made in ends or causes})) or "none"


def _died(life: Life, faults: list[Made]) -> bool:
    """Whether livy-ha counts its end as a death of Livy's own: of its own accord, or by a hand that was not the keeper's."""
    return life.exit_kind == 2 or any(
        made.item.name in ("kill-livy", "livy-exits") and str(life.pid) in made.on.split()[1:] and
        abs(life.last / 1e6 - made.began) <= _INSTANT_MS for made in faults)


def _waits_ms(deaths: list[float], window_ms: float) -> int:
    """Before Livy is started again after the last of these deaths, whoever ran it (core_backoff.c): 1 s from the second one
    within livy.restart_window on, doubled with each more."""
    recent = sum(deaths[-1] - death < window_ms for death in deaths) if deaths else 0
    return 0 if recent < 2 else min(1000 << min(recent - 2, 6), 60_000)


def gaps(lives: list[Life], faults: list[Made], lease_ms: float, window_ms: float) -> list[Gap]:
    """The cause: the kinds of the faults that may have ended the life before."""
    found: list[Gap] = []
    deaths: list[float] = []
    for before, after in zip(lives, lives[1:], strict=False):
        cause = _cause(before, faults, lease_ms)
        died = _died(before, faults)
        if died:
            deaths.append(before.last / 1e6)
        found.append(Gap((after.first - _end(before, after)) / 1e6, cause, before.name != after.name, before.last / 1e6,
                         _waits_ms(deaths, window_ms) if died else 0))
    return found


def during(gap: Gap, faults: list[Made]) -> list[str]:
    """What was done from shortly before a gap until its end."""
    return [f"{made.item} ({made.on})" for made in faults
            if made.began <= gap.ended_ms and gap.began_ms - _LATER_MS <= (FOREVER if made.ended is None else made.ended)]


def _end(before: Life, after: Life) -> int:
    """One that slept until after its successor had begun ended when it fell asleep."""
    return before.paused if before.woke > after.first else min(before.last, after.first)


def by_cause(found: list[Gap]) -> dict[str, tuple[int, float, float]]:
    """For each cause that stood alone: how many gaps, the median, the longest."""
    causes: dict[str, list[float]] = {}
    for gap in found:
        name = "several at once" if "+" in gap.cause else gap.cause
        causes.setdefault(WAITS if gap.waits_ms else name, []).append(gap.ms)
    return {cause: (len(values), statistics.median(values), max(values)) for cause, values in sorted(causes.items())}
