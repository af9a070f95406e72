"""Two members with a real Livy each, a ZooKeeper server and a YARN, each on a host (network namespace) of its own, with
livy-ha's default ports and times. Every fault is undone by mend()."""
import os
import signal
from collections.abc import Callable
from typing import Any, TypeVar

from homes import cache_dir, programs
from realmember import RealMember
from rest import Rest, unique
from yarn import Yarn
from yarnconf import write_livy_conf

# pylint: disable=wrong-import-order
from livyha import faults, proc
from livyha.netns import Host, Network
from livyha.wait import wait_for
from livyha.zookeeper import Ensemble, Place

HOT = os.environ.get("LIVY_HA_STANDBY", "hot") == "hot"
START_S = 180
ORPHANS_S = 300
LIVY_PORT, FRONT_PORT = 18998, 8998
_T = TypeVar("_T")


class YarnBed:
    """Use as a context manager: ZooKeeper and YARN run, the members do not yet."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.cache = cache_dir()
        self.network = Network(directory)
        server, node = self.network.add("zk1", 1), self.network.add("yarn", 20)
        # ZooKeeper's own default tick, with which it grants livy-ha's default session time-out.
        self.zookeeper = Ensemble(directory, tick_ms=2000, places=[Place(server.address, server.wrapper, 2181)])
        os.makedirs(os.path.join(directory, "yarn"))
        self.yarn = Yarn(os.path.join(directory, "yarn"), self.cache, node.address, node.wrapper)
        # One of each mode: it is the standby's that matters.
        self.members = [self._member("livy-a", 11, "forward"), self._member("livy-b", 12, "redirect")]
        self.stopped: list[int] = []

    def _member(self, name: str, number: int, mode: str) -> RealMember:
        host = self.network.add(name, number)
        directory = os.path.join(self.directory, name)
        # Ten spark-submit at once on a busy machine of two cores take longer than a minute, and Livy's two.
        conf_dir = write_livy_conf(os.path.join(directory, "conf"), self.yarn, self.cache,
                                   extra=f"livy.server.yarn.app-lookup-timeout = {ORPHANS_S}s\n")
        member = RealMember(name, directory, self.zookeeper.hosts, self.cache, {
            "livy.conf_dir": conf_dir, "livy.port": None, "admin.listen": None, "front.listen": None, "front.mode": mode,
            "livy.standby": "hot" if HOT else "cold", "livy.orphan_grace": f"{ORPHANS_S}s",
            # Else the deaths of one test would make the starts of the next ones wait.
            "livy.restart_window": "1s",
            "front.advertise": f"http://{host.address}:{FRONT_PORT}"})
        member.address, member.wrapper, member.port, member.front_port = host.address, host.wrapper, LIVY_PORT, FRONT_PORT
        return member

    def __enter__(self) -> "YarnBed":
        try:
            self.zookeeper.start()
            self.yarn.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        for member in self.members:
            member.destroy()
        self.yarn.stop()
        self.zookeeper.stop()
        self.network.close()

    def wait(self, condition: Callable[[], _T | None], what: str, timeout: float = START_S) -> _T:
        return wait_for(condition, timeout, what, lambda: "\n".join(each.failure_text() for each in self.members))

    # ---- members ----------------------------------------------------------------------------------------------------

    def host(self, member: RealMember) -> Host:
        return next(host for host in self.network.hosts if host.name == member.name)

    def front(self, member: RealMember) -> Rest:
        return Rest(f"http://{member.address}:{FRONT_PORT}")

    def settled(self) -> tuple[RealMember, RealMember]:
        """One active and one standby, which holds a Livy where it is hot; starts those that do not run, also one that is still
        on its way to its end."""
        def tells(member: RealMember, standby: RealMember) -> bool:
            self._start_all()
            row = member.row(standby.name)
            return (row.get("role"), row.get("livy")) == ("standby", "held" if HOT else "none")

        self._start_all()
        active = self.wait(lambda: next((m for m in self.members if serving(m)), None), "a member serves")
        standby = next(member for member in self.members if member is not active)
        for member in (standby, active):  # the active one hears of it a moment later
            self.wait(lambda each=member: tells(each, standby), f"{standby.name} stands by, as {member.name} tells")  # type: ignore[misc]
        return active, standby

    def _start_all(self) -> None:
        for member in self.members:
            if not member.running():
                member.start()

    def standing_by(self, mode: str) -> tuple[RealMember, RealMember]:
        """The same, with the member of that front.mode as the standby."""
        active, standby = self.settled()
        if self.mode(standby) != mode:
            result = active.ctl("switchover", timeout=f"{START_S}s")
            assert result.code == 0, result
            active, standby = self.settled()
        assert self.mode(standby) == mode
        return active, standby

    def mode(self, member: RealMember) -> str:
        return str(member.settings["front.mode"])

    # ---- faults -----------------------------------------------------------------------------------------------------

    def processes(self, member: RealMember) -> list[int]:
        """The keeper and all below it."""
        return [member.pid, *member.note_processes()]

    def freeze(self, member: RealMember) -> None:
        self.stopped = self.processes(member)
        faults.stop_at_once(member, self.stopped)

    def kill_all(self, member: RealMember) -> None:
        """kill -9 for everything of it, as where its host loses power."""
        pids = self.processes(member)
        for pid in pids:  # none of them may react to another's end
            proc.send(pid, signal.SIGSTOP)
        for pid in pids:
            proc.send(pid, signal.SIGKILL)
        member.wait_exit(10)

    def cut(self, member: RealMember) -> None:
        """From the network: packets alone, its connections stay as they are."""
        self.host(member).filter(["-A INPUT -i eth0 -j DROP", "-A OUTPUT -o eth0 -j DROP"])

    def mend(self) -> None:
        for member in self.members:
            self.host(member).filter(["-F INPUT", "-F OUTPUT"])
        faults.go_on(self.stopped)
        self.stopped = []

    # ---- jobs -------------------------------------------------------------------------------------------------------

    def batch(self, seconds: int = 3600, prefix: str = "batch", **conf: str) -> dict[str, Any]:
        """The body of a POST /batches: a small job, then sleep."""
        return {"file": f"local:{programs(self.cache)}/job.jar", "className": "SleepJob", "args": [str(seconds)],
                "name": unique(prefix), "conf": conf}

    def by_tag(self, kind: str, number: int) -> list[str]:
        """The applications in YARN of a batch or session, by the tag that Livy gives it (livy-<kind>-<id>-<random>)."""
        prefix = f"livy-{kind}-{number}-"
        return [name for name, each in self.yarn.applications().items() if any(t.startswith(prefix) for t in each["tags"])]


def serving(member: RealMember) -> bool:
    row = member.row() if member.running() else {}
    return (row.get("role"), row.get("livy")) == ("active", "serving")
