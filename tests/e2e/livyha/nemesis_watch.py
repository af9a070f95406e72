"""The nemesis's eyes: the stand-ins' record of their lives, gone through again and again; and what the faults cost."""
import statistics
from dataclasses import dataclass

from . import store
from .cluster import Cluster
from .nemesis_faults import Made
from .oracle import Life


_SLACK_MS = 5        # between the fault's own time and that of the record
_INSTANT_MS = 300    # so soon shows what ends a Livy at once


class Violation(Exception):
    """Something that must never be."""


def told(life: Life) -> str:
    return (f"{life.name} pid {life.pid}: {life.first / 1e6:.3f} .. {life.last / 1e6:.3f} ms, serving "
            f"{life.serving / 1e6:.3f}, rival {life.rival}, exit {life.exit_kind}/{life.exit_code}")


def overlap(lives: list[Life]) -> tuple[int, str]:
    """The longest time in µs that two of them had in common, 1 at least where the kernel's lock has shown a rival; and
    the two in words. 0 where there is none. `lives` in the order of their beginning."""
    worst, text = 0, ""
    latest: Life | None = None  # of those so far the one that ended last
    for life in lives:
        if latest is not None:
            common = min(life.last, latest.last) - life.first
            if common > 0 or life.rival:
                found = max(1, common // 1000)
                if found > worst:
                    worst, text = found, f"{told(latest)}\n{told(life)}"
        if latest is None or life.last > latest.last:
            latest = life
    return worst, text


class Watch:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen = 0
        self.lives: list[Life] = []

    def look(self) -> None:
        """Violation where two lives had any time in common."""
        self.lives = self._cluster.oracle.lives()
        worst, text = overlap(self.lives)
        if worst:
            raise Violation(f"two Livys lived at once for {worst} us:\n{text}")

    def look_at_store(self) -> list[str]:
        """Every count lost or overwritten so far. What a dead Livy had handed to a frozen or cut-off server is carried out
        as long as its session lives: the caller judges."""
        return store.faults(self._cluster.oracle_dir)

    def writes(self) -> int:
        return sum(len(writer.acks) for writer in store.read_writers(self._cluster.oracle_dir))


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
        ended + (lease_ms if made.item.kind.lasts else _INSTANT_MS) >= end


def _cause(life: Life, faults: list[Made], lease_ms: float) -> str:
    causes = [made for made in faults if _at_work(made, life, lease_ms)]
    # One that ends Livy, or all of a member, at once needs no other.
    ends = [made for made in causes if abs(life.last / 1e6 - made.began) <= _INSTANT_MS and made.item.kind.ends_livy]
    return " + ".join(sorted({made.item.name for made in ends or causes})) or "none"


def gaps(lives: list[Life], faults: list[Made], lease_ms: float) -> list[Gap]:
    """The cause: the kinds of the faults that may have ended the life before."""
    return [Gap((after.first - before.last) / 1e6, _cause(before, faults, lease_ms), before.name != after.name,
                before.last / 1e6) for before, after in zip(lives, lives[1:], strict=False)]


def by_cause(found: list[Gap]) -> dict[str, tuple[int, float, float]]:
    """For each cause that stood alone: how many gaps, the median, the longest."""
    causes: dict[str, list[float]] = {}
    for gap in found:
        causes.setdefault(gap.cause if "+" not in gap.cause else "several at once", []).append(gap.ms)
    return {cause: (len(values), statistics.median(values), max(values)) for cause, values in sorted(causes.items())}
