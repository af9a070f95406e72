"""The nemesis's judgement of the state store: the writers' own records (store.py) against ZooKeeper's logs (txnlog.py).

Three things are told apart:
  lost         an acknowledged count is missing, or was overwritten by somebody who should not have written. A violation.
  late         a write that a Livy had handed over before its death was carried out after its successor had begun. ZooKeeper
               does so only as long as that Livy's own session lives: T + 1.5 ticks; later than that is a violation too.
  rolled back  ZooKeeper itself went back behind what it had acknowledged: it gave a version of the node out twice. No
               member can do that to it, and none can prevent it.

No successor reads a state that is merely old: it reads over a new session, whose making went through the quorum, after
the death of the one before."""
import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .store import Ack, Writer
from .txnlog import Write, surviving

NEVER = 1 << 62
SLACK_MS = 250.0  # between the clocks of the server and of the record, and for a busy machine


@dataclass
class Verdict:
    lost: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)  # after the death of the Livy that had handed it over
    rolled_back: list[str] = field(default_factory=list)  # one for each time
    rolled_back_writes: int = 0                           # acknowledged ones


@dataclass(frozen=True)
class Bounds:
    """Of a writer's life, boot ms."""
    began: float
    ended: float         # as far as is known, where it lives
    slept: bool = False  # `ended` is when it fell asleep, its guards with it: it lived for a moment after waking


def _who(write: Write) -> tuple[int, str]:
    count, _space, name = write.data.decode("ascii", "replace").partition(" ")
    return (int(count) if count.isdigit() else -1), name


class _Judge:
    def __init__(self, writers: Sequence[Writer], writes: list[Write], lives: Mapping[str, Bounds], lease_ms: float,
                 wall_less_boot_ms: float) -> None:
        self.lives = lives
        self.writers = sorted(writers, key=lambda writer: lives[writer.name].began)
        self.age = {writer.name: number for number, writer in enumerate(self.writers)}
        self.by_name = {writer.name: writer for writer in writers}
        self.acked = {ack.mzxid for writer in writers for ack in writer.acks}
        self.line = surviving(writes)
        self.in_order = [self.line[version] for version in sorted(self.line)]
        self.zxids = [write.zxid for write in self.in_order]
        self.values = {writer.name: [ack.value for ack in writer.acks] for writer in writers}
        # For each writer the earliest version that a younger one began with.
        self.succeeded = [NEVER] * len(self.writers)
        for number in range(len(self.writers) - 2, -1, -1):
            younger = self.writers[number + 1]
            stands = self._instead(younger.version, younger.mzxid) is None
            self.succeeded[number] = min(self.succeeded[number + 1], younger.version if stands else NEVER)
        self.lease_ms = lease_ms
        self.wall_less_boot_ms = wall_less_boot_ms
        self.verdict = Verdict()

    # ---- what was acknowledged -----------------------------------------------------------------------------------

    def _instead(self, version: int, mzxid: int) -> Write | None:
        """Where ZooKeeper has gone back on this state of the node, which it had shown to a client: the first write after
        that. It gave the node this version or an earlier one, once more."""
        place = bisect.bisect_right(self.zxids, mzxid)
        after = self.in_order[place] if place < len(self.in_order) else None
        return after if after is not None and after.version <= version else None

    def acknowledged(self) -> None:
        """Every acknowledged count is in the line, as it was acknowledged; or ZooKeeper has gone back on it."""
        gone: dict[tuple[int, int], list[tuple[str, Ack]]] = {}  # by its epoch, and the zxid of what came instead
        for writer in self.writers:
            for ack in writer.acks:
                there, instead = self.line.get(ack.version), self._instead(ack.version, ack.mzxid)
                if instead is not None:
                    gone.setdefault((ack.mzxid >> 32, instead.zxid), []).append((writer.name, ack))
                elif there is None or there.zxid != ack.mzxid:
                    self.verdict.lost.append(f"lost: {writer.name} had {ack.value} acknowledged ({ack.mzxid:#x}, version "
                                             f"{ack.version}); ZooKeeper's logs have no such write")
                elif _who(there) != (ack.value, writer.name):
                    self.verdict.lost.append(f"lost: {writer.name} had {ack.value} acknowledged ({ack.mzxid:#x}); it is "
                                             f"{there.data!r} in ZooKeeper's logs")
        for (epoch, zxid), told in sorted(gone.items()):
            acks = [ack for _name, ack in told]
            self.verdict.rolled_back_writes += len(acks)
            self.verdict.rolled_back.append(
                f"ZooKeeper lost acknowledged writes: {len(acks)} of epoch {epoch} ({acks[0].mzxid:#x} to "
                f"{acks[-1].mzxid:#x}), acknowledged to {' '.join(sorted({name for name, _ack in told}))} from "
                f"{acks[0].ns / 1e6:.0f} to {acks[-1].ns / 1e6:.0f} ms; in epoch {zxid >> 32} it went on from before "
                f"version {acks[0].version}, with {zxid:#x}")

    # ---- what was carried out --------------------------------------------------------------------------------------

    def _late(self, write: Write, name: str, newest: Writer) -> None:
        """A write by one that is older than another that has begun already."""
        life = self.lives[name]
        after = write.at_ms - self.wall_less_boot_ms - life.ended
        told = f"{name}'s {_who(write)[0]} ({write.zxid:#x}, version {write.version})"
        if after < -SLACK_MS or (write.zxid in self.acked and not life.slept):
            self.verdict.lost.append(f"overwritten: {told} was written by a living one after {newest.name} had begun")
            return
        if after > self.lease_ms + SLACK_MS:
            self.verdict.lost.append(f"late beyond its session: {told} was carried out {after:.0f} ms after {name}'s death, "
                                     f"over {newest.name}'s")
            return
        self.verdict.late_ms.append(round(after, 1))
        self.verdict.late.append(f"{told} was carried out {after:.0f} ms after {name}'s death, over {newest.name}'s")

    def _follows(self, write: Write, before: Write | None) -> str:
        """Why the write is no count that its writer may make after `before`, the newest one that was not late."""
        value, name = _who(write)
        writer = self.by_name[name]
        own = before is not None and _who(before)[1] == name
        place = bisect.bisect_left(self.values[name], value)
        seen = writer.acks[place - 1] if place else writer  # the last state that it knew of
        if self._instead(seen.version, seen.mzxid) is not None:
            return ""  # it counts on from what ZooKeeper has gone back on
        if own and before is not None:
            last = _who(before)[0]
            # A count whose outcome was not known is tried again.
            return "" if value in (last, last + 1) else f"{name} counted from {last} to {value}"
        if before is not None and writer.version < before.version:
            return (f"overwritten: {name} has read {writer.value} (version {writer.version}), {_who(before)[1]} had written "
                    f"{_who(before)[0]} (version {before.version})")
        return "" if value == writer.value + 1 else f"{name} has read {writer.value} and counted on to {value}"

    def carried_out(self) -> None:
        before: Write | None = None
        for write in self.in_order:
            name = _who(write)[1]
            if name not in self.by_name or name not in self.lives:
                self.verdict.lost.append(f"overwritten: version {write.version} is of nobody known: {write.data!r}")
                continue
            # Whoever has read the state before this write was made has begun.
            if self.succeeded[self.age[name]] < write.version:
                younger = self.writers[self.age[name] + 1:]
                self._late(write, name, next(each for each in younger if each.version < write.version))
                continue
            fault = self._follows(write, before)
            if fault:
                self.verdict.lost.append(fault)
            before = write


def judge_store(writers: Sequence[Writer], writes: list[Write], lives: Mapping[str, Bounds], lease_ms: float,
                wall_less_boot_ms: float) -> Verdict:
    """`writes`: ZooKeeper's, read after the writers' records. `lives` by the writers' names. `lease_ms`: after which a
    session that nobody renews has ended for certain."""
    judge = _Judge(writers, writes, lives, lease_ms, wall_less_boot_ms)
    judge.acknowledged()
    judge.carried_out()
    return judge.verdict
