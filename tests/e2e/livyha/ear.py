"""An ear in the relay's place (tests/e2e/ear.c): what elector and keeper say to a relay, and how they take its answers."""
import json
import os
import shutil
from collections.abc import Callable
from typing import Any

from .build import program
from .cluster import Cluster
from .member import Member

View = dict[str, Any]


class Ears:
    """Gives each member of a cluster that is not started yet an ear for a relay."""

    def __init__(self, cluster: Cluster) -> None:
        self.directory = os.path.join(cluster.directory, "ears")
        os.makedirs(self.directory, exist_ok=True)
        programs = os.path.join(cluster.directory, "programs")
        os.makedirs(programs, exist_ok=True)
        for name in ("livy-ha", "livy-ha-elector"):
            shutil.copy(program(name), programs)
        shutil.copy(program("ear"), os.path.join(programs, "livy-ha-relay"))
        for member in cluster.members:
            self.give(member, programs)
        self.programs = programs

    def give(self, member: Member, programs: str) -> None:
        member.daemon = os.path.join(programs, "livy-ha")
        member.env["EAR_DIR"] = self.directory
        member.listens = False

    def set(self, member: Member, words: str) -> None:
        path = os.path.join(self.directory, f"{member.name}.ear")
        with open(path + ".part", "w", encoding="ascii") as file:
            file.write(words)
        os.rename(path + ".part", path)

    def views(self, member: Member) -> list[View]:
        """All that a member's ears have heard so far, oldest first."""
        try:
            with open(os.path.join(self.directory, f"{member.name}.views"), encoding="ascii") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines[:-1]]

    def last(self, member: Member) -> View:
        return (self.views(member) or [{}])[-1]

    def wait(self, member: Member, what: str, condition: Callable[[View], object], timeout: float = 15) -> View:
        """Until the last view is so."""
        def found() -> View | None:
            view = self.last(member)
            return view if view and condition(view) else None
        return member.wait(found, timeout, f"its relay is told {what}; last: {self.last(member)}")

    def wait_route(self, member: Member, route: str, active: Member | None = None, timeout: float = 15) -> View:
        return self.wait(member, f"{route} {active.name if active else ''}",
                         lambda view: view["route"] == route and (active is None or view["id"] == active.name), timeout)
