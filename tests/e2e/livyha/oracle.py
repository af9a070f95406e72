"""Reads what the stand-ins wrote down: when each lived, and whether two ever did at once."""
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import store

_LIFE = struct.Struct("<8siiqqqiiqqqq")


@dataclass(frozen=True)
class Life:
    """One stand-in from the instant at which it could write (main(), or when it was let go) to its last one; times are
    CLOCK_BOOTTIME in ns."""
    path: str
    name: str       # STANDIN_NAME: the member
    pid: int
    rival: int      # pid of another stand-in that was alive when this one began (-1: which is not known), else 0
    first: int
    last: int       # at most about a millisecond before the real end after a SIGKILL
    serving: int    # 0: never listened
    exit_kind: int  # 0: running or killed, 1: ended by TERM, 2: of its own accord
    exit_code: int
    paused: int     # the last instant before it did not run for a while (SIGSTOP), 0: it ran all the time
    woke: int       # the first one after that
    begun: int = 0  # main() of one that was held before; else as `first`
    held: int = 0   # when it stood at the gate, 0: it was not held

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the stand-in was given, ….env.json; see standin.c."""
        with open(self.path.removesuffix(".life") + ".env.json", encoding="utf-8") as file:
            return dict(json.load(file))

    @property
    def runs(self) -> list[tuple[int, int]]:
        """From when to when it ran: its life less its last pause."""
        return [(self.first, self.paused), (self.woke, self.last)] if self.woke > self.first else [(self.first, self.last)]

    @property
    def submit_log(self) -> str:
        return self.path.removesuffix(".life") + ".submit"

    @property
    def posts(self) -> list[str]:
        """X-Request of each POST that it has carried out."""
        try:
            with open(self.path.removesuffix(".life") + ".posts", encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    @property
    def writer(self) -> store.Writer | None:
        """What a writing stand-in has written to the state store so far; None before it has read it."""
        return store.read_writer(self.path.removesuffix(".life") + ".store")


def read_life(path: str) -> Life | None:
    """None where the file is not complete yet. `first` is 0 where it is held: it has not begun to live."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    if len(data) != _LIFE.size:
        return None
    magic, pid, rival, begun, last, serving, kind, code, paused, woke, held, first = _LIFE.unpack(data)
    if magic != b"LIVYLIFE":
        return None
    name = os.path.basename(path).rsplit(".", 3)[0]
    return Life(path, name, pid, rival, first, last, serving, kind, code, paused, woke, begun, held)


@dataclass(frozen=True)
class Gap:
    """From the last instant of one life to the first of the next, in ns; negative where they overlap."""
    before: Life
    after: Life

    @property
    def ns(self) -> int:
        return self.after.first - self.before.last

    @property
    def to_serving_ns(self) -> int:
        return self.after.serving - self.before.last


def _process_is_there(life: Life) -> bool:
    return os.path.exists(f"/proc/{life.pid}")


class Oracle:
    """All lives of one cluster's stand-ins. `there` tells whether a life's process still exists, where that is not to be
    seen by its pid here: it may be in another pid namespace."""

    def __init__(self, directory: str, there: Callable[[Life], bool] = _process_is_there) -> None:
        self.directory = directory
        self._there = there
        self._ended: dict[str, Life] = {}  # an ended life does not change any more

    def lives(self) -> list[Life]:
        """In the order of their beginning; one that is held, or never was let go, has not lived."""
        return sorted((life for life in self.records() if life.first), key=lambda life: life.first)

    def held(self, name: str) -> list[Life]:
        """Those of a member that stand or stood at the gate and were not let go."""
        return sorted((life for life in self.records() if not life.first and life.name == name), key=lambda life: life.begun)

    def records(self) -> list[Life]:
        found: list[Life] = []
        for entry in os.scandir(self.directory):
            if not entry.name.endswith(".life"):
                continue
            life = self._ended.get(entry.name) or read_life(entry.path)
            if life is None:
                continue
            if entry.name not in self._ended and not self._there(life):
                # The process may have ticked between the reading and its end: read once more.
                life = read_life(entry.path) or life
                self._ended[entry.name] = life
            found.append(life)
        return found

    def life_of(self, pid: int) -> Life | None:
        matching = [life for life in self.lives() if life.pid == pid]
        return matching[-1] if matching else None

    def overlap_us(self) -> int:
        """The longest time that two lives had in common, in µs; 0 where no two did. A rival that the kernel's
        record lock has shown counts as 1 µs at least, even where the clocks saw none."""
        worst = 0
        lives = self.lives()
        for index, life in enumerate(lives):
            if life.rival:
                worst = max(worst, 1)
            for later in lives[index + 1:]:
                if later.first >= life.last:
                    continue
                worst = max(worst, (min(life.last, later.last) - later.first) // 1000, 1)
        return worst

    def ran_together_us(self) -> int:
        """As overlap_us(), for Livys that were stopped (SIGSTOP): the longest time for which two of them *ran* at once.
        A process that is stopped does nothing, though it holds the record lock."""
        worst = 0
        lives = self.lives()
        for index, life in enumerate(lives):
            for later in lives[index + 1:]:
                for first, last in life.runs:
                    for begun, ended in later.runs:
                        if begun <= last and first <= ended:
                            worst = max(worst, (min(last, ended) - max(first, begun)) // 1000, 1)
        return worst

    def store_faults(self) -> list[str]:
        """What was lost or overwritten in the state store, in words; always empty where no stand-in writes."""
        return store.faults(self.directory)

    def gaps(self) -> list[Gap]:
        lives = self.lives()
        return [Gap(before, after) for before, after in zip(lives, lives[1:], strict=False)]

    def describe(self) -> str:
        return "\n".join(
            f"{life.name} pid {life.pid}: {life.first / 1e6:.3f} .. {life.last / 1e6:.3f} ms, serving "
            f"{life.serving / 1e6:.3f}, rival {life.rival}, exit {life.exit_kind}/{life.exit_code}"
            for life in self.lives())
