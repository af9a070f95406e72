"""The nemesis's schedule: which fault, on whom, when and for how long. Drawn from the seed alone, before anything runs, so
that a seed tells the whole of it. Targets are names ("b", "zk2") or roles ("active", "leader") that are looked up when the
fault is made."""
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from .build import standby

MEMBERS = ("active", "active", "active", "active", "active", "standby-1", "standby-2", "a", "b", "c")
LIVYS = MEMBERS if standby() == "hot" else ("active",)  # who has one, be it held
SERVERS = ("leader", "leader", "follower-1", "follower-2", "connected", "zk1", "zk2", "zk3")
ANY_SERVER = ("connected", "connected", "leader", "zk1", "zk2", "zk3")
ROLES = ("active", "standby-1", "standby-2")
# A killed daemon is started again after so long, as the unit's RestartSec has it.
RESTART_S = 1.0
# How long after an elector's death or freeze a fault that freezes its keeper alone has to wait: the keeper starts an
# elector anew within that.
_ELECTOR_BACK_S = 3.0
# From this length on, the last phase lets the daemons live, so that what they leak has time to grow.
SPARING_FROM_S = 300.0


@dataclass(frozen=True)
class Kind:
    name: str
    weight: int
    targets: tuple[str, ...] = MEMBERS
    lasts: bool = True             # else it is an instant
    servers: tuple[str, ...] = ()  # for a cut: from which server
    keeper_frozen: bool = False
    elector_gone: bool = False     # alone, with Livy running on
    ends_livy: bool = False        # at once, whatever else goes on
    ends_daemon: bool = False      # the keeper or the elector


KINDS = (
    Kind("kill-keeper", 4, lasts=False, ends_livy=True, ends_daemon=True),
    Kind("kill-elector", 4, lasts=False, elector_gone=True, ends_daemon=True),
    Kind("kill-livy", 3, LIVYS, lasts=False, ends_livy=True),
    # The keeper, then the rest by systemd, which closes the session after it.
    Kind("kill-unit", 3, lasts=False, ends_livy=True, ends_daemon=True),
    # Everything at once, and away for a while.
    Kind("kill-member", 3, ends_livy=True, ends_daemon=True),
    Kind("stop-keeper", 4, keeper_frozen=True, ends_daemon=True),
    Kind("stop-elector", 4, elector_gone=True, ends_daemon=True),
    Kind("stop-livy", 2, LIVYS),
    Kind("stop-member", 4),
    # Each Livy of the member ends by itself, soon after its start.
    Kind("livy-exits", 2, ends_livy=True),
    # Stopped in order, and started again.
    Kind("term", 4, ends_livy=True, ends_daemon=True),
    Kind("cut-all", 6),
    Kind("cut-all-in", 4),
    Kind("cut-all-out", 4),
    Kind("cut-one", 3, servers=ANY_SERVER),
    Kind("cut-one-in", 2, servers=ANY_SERVER),
    Kind("cut-one-out", 2, servers=ANY_SERVER),
    # Connections to all servers are reset.
    Kind("refuse-all", 2),
    Kind("cut-servers", 3, ("follower-1", "follower-2"), servers=("leader",)),
    Kind("server-kill", 4, SERVERS),
    Kind("server-stop", 4, SERVERS),
    Kind("ensemble-restart", 1, ("ensemble",)),
    Kind("ensemble-stop", 1, ("ensemble",)),
    Kind("latch-delete", 2, lasts=False),
)


def kind(name: str) -> Kind:
    return next(each for each in KINDS if each.name == name)


@dataclass(frozen=True)
class Item:
    number: int
    phase: int
    at: float       # seconds from the beginning of the phase
    name: str       # of the kind
    target: str
    server: str     # "" where the kind has none
    seconds: float  # 0 for an instant

    @property
    def kind(self) -> Kind:
        return kind(self.name)

    @property
    def end(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.2f} s" if self.seconds else ""
        server = f" {self.server}" if self.server else ""
        return f"#{self.number} {self.name} {self.target}{server}{lasting}"


@dataclass(frozen=True)
class Phase:
    number: int
    seconds: float
    items: tuple[Item, ...]


def _may_be_one(one: str, other: str) -> bool:
    """Whether two targets may turn out to be the same member; roles change between two faults."""
    return one == other or one in ROLES or other in ROLES


def _forbidden(item: Item, others: list[Item]) -> bool:
    """Keeper frozen while its elector is frozen or dead, and Livy running: then nobody is left who could end Livy at its
    lease's end. That is outside what livy-ha promises (docs/safety.md)."""
    for other in others:
        for frozen, gone in ((item, other), (other, item)):
            if not (frozen.kind.keeper_frozen and gone.kind.elector_gone and _may_be_one(frozen.target, gone.target)):
                continue
            if gone.at < frozen.end + 0.5 and frozen.at < gone.end + _ELECTOR_BACK_S:
                return True
    return False


class _Draw:
    def __init__(self, seed: int, timeout_s: float) -> None:
        self.random = random.Random(f"livy-ha nemesis {seed}")
        self.timeout_s = timeout_s
        self.number = 0
        self.kinds = list(KINDS)

    def between(self, low: float, high: float) -> float:
        """Short ones as often as long ones, in proportion."""
        return math.exp(self.random.uniform(math.log(low), math.log(high)))

    def duration(self) -> float:
        """From 50 ms to 1.5 T. A third of them are certain to outlast a session: that is where two Livys would meet."""
        low, high = self.random.choices(((0.0, 0.5), (0.5, 1.2), (1.2, 1.5)), (4, 3, 3))[0]
        return self.between(0.05, high * self.timeout_s) if low == 0 else self.timeout_s * self.random.uniform(low, high)

    def item(self, phase: int, at: float, limit: float) -> Item:
        chosen = self.random.choices(self.kinds, [each.weight for each in self.kinds])[0]
        target = self.random.choice(chosen.targets)
        server = self.random.choice(chosen.servers) if chosen.servers else ""
        seconds = self.duration() if chosen.lasts else 0.0
        return Item(self.number, phase, round(at, 3), chosen.name, target, server, round(min(seconds, limit - at), 3))

    def burst(self, phase: int, begin: float, limit: float, before: list[Item]) -> list[Item]:
        """One to three faults, the later ones within T of the first."""
        count = self.random.choices((1, 2, 3), (4, 4, 2))[0]
        starts = sorted([begin, *(begin + self.between(0.01, self.timeout_s) for _ in range(count - 1))])
        found: list[Item] = []
        for start in starts:
            if start >= limit:
                break
            self.number += 1
            item = self.item(phase, start, limit)
            while _forbidden(item, before + found):
                item = self.item(phase, start, limit)
            found.append(item)
        return found

    def phase(self, number: int, seconds: float, sparing: bool) -> Phase:
        self.kinds = [each for each in KINDS if not (sparing and each.ends_daemon)]
        items: list[Item] = []
        now = self.between(0.5, 2)
        while now < seconds:
            found = self.burst(number, now, seconds, items)
            items += found
            now = max([now, *(item.end for item in found)]) + self.between(0.1, self.timeout_s)
        return Phase(number, seconds, tuple(items))


def _lengths(seconds: float) -> Iterator[float]:
    """The first minute is a phase of its own: what there is after it is what the end is compared with. The last fifth of
    a longer run is one too."""
    first = min(60.0, seconds / 2)
    yield first
    last = seconds / 5 if seconds >= SPARING_FROM_S else 0
    rest = seconds - first - last
    count = max(1, round(rest / 240))
    for _ in range(count):
        yield rest / count
    if last:
        yield last


def draw(seed: int, minutes: float, timeout_s: float) -> list[Phase]:
    drawing = _Draw(seed, timeout_s)
    lengths = list(_lengths(minutes * 60))
    return [drawing.phase(number, length, number == len(lengths) and minutes * 60 >= SPARING_FROM_S)
            for number, length in enumerate(lengths, 1)]


def describe(phases: list[Phase]) -> str:
    lines = []
    for phase in phases:
        lines.append(f"phase {phase.number}: {phase.seconds:.0f} s, then a calm")
        lines += [f"  {item.at:8.3f}  {item}" for item in phase.items]
    return "\n".join(lines)
