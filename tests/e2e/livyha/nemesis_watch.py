"""The nemesis's eyes: the stand-ins' record of their lives, gone through again and again; and what the faults cost."""
import os
import statistics
from dataclasses import dataclass, field

from . import store
from .cluster import Cluster
from .nemesis_faults import Made
from .oracle import Life


_SLACK_MS = 5        # between the fault's own time and that of the record
WOKEN_LIMIT_US = 50_000  # a keeper that wakes kills first of all; the machine may be busy
_INSTANT_MS = 300       # so soon shows what ends a Livy at once
_LATER_MS = 2000        # and so late what an instant has led to


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

    def look_at_store(self) -> list[str]:
        """Every count lost or overwritten so far; see may_be_late."""
        return store.faults(self._cluster.oracle_dir)

    def writes(self) -> int:
        return sum(len(writer.acks) for writer in store.read_writers(self._cluster.oracle_dir))


def may_be_late(fault: str, lives: list[Life], faults: list[Made], lease_ms: float) -> bool:
    """Whether what the store's record complains of may be a write that a Livy had under way when it died: handed to a
    server that was frozen, or to a connection that was cut, it is carried out once that is over, as long as the dead
    Livy's session lives. No daemon can take it back (docs/safety.md). The complaint names the one that found it, or both."""
    named = [number for number, life in enumerate(lives) if os.path.basename(life.path).removesuffix(".life") in fault]
    dead = [lives[number] for each in named for number in (each - 1, each) if number >= 0]
    return any(_held_back(made, life, lease_ms) for made in faults for life in dead)


def _held_back(made: Made, life: Life, lease_ms: float) -> bool:
    """Whether the fault kept writes of that life from their server when it ended."""
    ended = FOREVER / 1e6 if made.ended is None else made.ended
    slack = 200.0
    if made.item.name.startswith(("cut-", "refuse-")):
        slack += min(ended - made.began, lease_ms)  # what was lost is sent again after as long a pause as it took
    elif made.item.name not in ("server-stop", "ensemble-stop"):
        return False
    hit = made.on.split()[0]
    return (hit == life.name or hit.startswith("zk")) and made.began <= life.last / 1e6 <= ended + slack


@dataclass(frozen=True)
class Gap:
    """A time without a Livy, and the faults that were under way when it began."""
    ms: float
    cause: str
    failover: bool
    began_ms: float


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


def gaps(lives: list[Life], faults: list[Made], lease_ms: float) -> list[Gap]:
    """The cause: the kinds of the faults that may have ended the life before."""
    return [Gap((after.first - _end(before, after)) / 1e6, _cause(before, faults, lease_ms), before.name != after.name,
                before.last / 1e6) for before, after in zip(lives, lives[1:], strict=False)]


def _end(before: Life, after: Life) -> int:
    """One that slept until after its successor had begun ended when it fell asleep."""
    return before.paused if before.woke > after.first else min(before.last, after.first)


def by_cause(found: list[Gap]) -> dict[str, tuple[int, float, float]]:
    """For each cause that stood alone: how many gaps, the median, the longest."""
    causes: dict[str, list[float]] = {}
    for gap in found:
        causes.setdefault(gap.cause if "+" not in gap.cause else "several at once", []).append(gap.ms)
    return {cause: (len(values), statistics.median(values), max(values)) for cause, values in sorted(causes.items())}
