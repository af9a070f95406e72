"""Reads what writing stand-ins had acknowledged (standin_store.h), and finds every count lost or overwritten.

Each write raises the node's version by one and has a zxid of its own, so that ZooKeeper itself gives the order: the
clocks are not asked."""
import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ack:
    ns: int
    value: int
    version: int
    mzxid: int
    unknown: int  # sets just before whose outcome nobody knows: each may have raised the version as well


@dataclass
class Writer:
    """One stand-in that has read the store: what it found, and what was acknowledged to it."""
    name: str  # <member>.<pid>.<boot ms>
    ns: int
    value: int
    version: int
    mzxid: int
    session: str
    server: str
    acks: list[Ack] = field(default_factory=list)
    unknown: int = 0  # after the last acknowledged one

    @property
    def last_value(self) -> int:
        return self.acks[-1].value if self.acks else self.value

    @property
    def last_version(self) -> int:
        return self.acks[-1].version if self.acks else self.version


def read_writer(path: str) -> Writer | None:
    """None where it has not begun, or never wrote such a record."""
    try:
        with open(path, encoding="ascii") as file:
            lines = file.read().split("\n")
    except FileNotFoundError:
        return None
    writer: Writer | None = None
    for line in lines[:-1]:  # what follows the last line feed is not there yet
        kind, *words = line.split()
        if kind == "begin":
            writer = Writer(os.path.basename(path).removesuffix(".store"), int(words[0]), int(words[1]), int(words[2]),
                            int(words[3]), words[4], words[5])
        elif writer is None:
            continue  # a session that was renewed before the count was read
        elif kind == "ack":
            writer.acks.append(Ack(int(words[0]), int(words[1]), int(words[2]), int(words[3]), writer.unknown))
            writer.unknown = 0
        elif kind == "unknown":
            writer.unknown += 1
        elif kind == "session":
            writer.session, writer.server = words[1], words[2]
        else:
            raise AssertionError(f"{path}: what is this line? {line}")
    return writer


def read_writers(directory: str) -> list[Writer]:
    """In the order in which they read the store."""
    found = [read_writer(entry.path) for entry in os.scandir(directory) if entry.name.endswith(".store")]
    return sorted((writer for writer in found if writer), key=lambda writer: (writer.mzxid, writer.ns))


def _foreign(writer: Writer) -> list[str]:
    """Writes of somebody else's between two of the writer's own, seen by the version that skips."""
    found = []
    value, version = writer.value, writer.version
    for ack in writer.acks:
        if ack.value != value + 1:
            found.append(f"{writer.name} counted from {value} to {ack.value}")
        if not version < ack.version <= version + 1 + ack.unknown:
            found.append(f"overwritten: between {writer.name}'s {value} (version {version}) and {ack.value} (version "
                         f"{ack.version}, {ack.unknown} of unknown outcome) somebody else wrote")
        value, version = ack.value, ack.version
    return found


def _between(before: Writer, after: Writer) -> list[str]:
    found = []
    if after.value < before.last_value:
        found.append(f"lost: {before.name} had {before.last_value} acknowledged, {after.name} found {after.value}")
    # What was under way when the writer died may have been carried out: one, and those of unknown outcome.
    if not 0 <= after.version - before.last_version <= 1 + before.unknown:
        found.append(f"overwritten: {before.name}'s last version was {before.last_version}, {after.name} found "
                     f"{after.version}")
    if before.acks and before.acks[-1].mzxid > after.mzxid:
        found.append(f"late: {before.name} had {before.last_value} acknowledged after {after.name} had begun")
    return found


def faults(directory: str) -> list[str]:
    """Every count lost or overwritten, in words; empty where all is well."""
    writers = read_writers(directory)
    found = [fault for writer in writers for fault in _foreign(writer)]
    for before, after in zip(writers, writers[1:], strict=False):
        found += _between(before, after)
    return found
