"""Two members with a real Livy each on a real ZooKeeper, and what can be asked of them together."""
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from realmember import RealMember, cache_dir

# pylint: disable=wrong-import-order
from livyha.wait import wait_for
from livyha.zookeeper import Ensemble

START_S = 120  # to a Livy that answers; seconds on a quiet machine, many more on a busy one
_T = TypeVar("_T")


class Pair:
    """Not started; `settings` gives those of a member by its name. With `fronts` each has a front of its own."""

    def __init__(self, directory: Path, settings: Callable[[str], Mapping[str, Any]] = lambda _name: {},
                 fronts: bool = False) -> None:
        # ZooKeeper's own default tick, with which it grants livy-ha's default session time-out.
        self.zookeeper = Ensemble(str(directory), tick_ms=2000).start()
        self.members = [RealMember(name, str(directory / name), self.zookeeper.hosts, cache_dir(), settings(name),
                                   fronts)
                        for name in ("livy-a", "livy-b")]

    def wait(self, condition: Callable[[], _T], what: str, timeout: float = START_S) -> _T:
        return wait_for(condition, timeout, what, lambda: "\n".join(each.failure_text() for each in self.members))

    def active(self) -> RealMember | None:
        return next((member for member in self.members if serving(member)), None)

    def settled(self) -> tuple[RealMember, RealMember]:
        """Waits for one active and one standby, and returns them."""
        active = self.wait(self.active, "a member serves")
        standby = next(member for member in self.members if member is not active)
        self.wait(lambda: standby.row().get("role") == "standby", f"{standby.name} stands by")
        return active, standby

    def start(self) -> "Pair":
        """The first one is the active one."""
        first, second = self.members
        first.start()
        self.wait(lambda: first.row().get("role") == "active", f"{first.name} is elected")
        second.start()
        self.settled()
        return self

    def rejoin(self, member: RealMember) -> None:
        member.start()
        self.settled()

    def close(self) -> None:
        for member in self.members:
            member.destroy()
        self.zookeeper.stop()


def serving(member: RealMember) -> bool:
    row = member.row() if member.running() else {}
    return (row.get("role"), row.get("livy")) == ("active", "serving")
