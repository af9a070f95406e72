"""Several members on one ZooKeeper, and what can be said of them together."""
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NoNodeError, SessionExpiredError

from . import proc
from .member import Member
from .oracle import Life, Oracle
from .wait import tail, wait_for
from .zookeeper import Ensemble

_T = TypeVar("_T")
_serial = 0


def latch_order(node: str) -> str:
    """Curator's order: what follows the last "latch-", compared as a string."""
    return node.rpartition("latch-")[2]


class Cluster:
    """`count` members "a", "b", … in `directory`, not started. One at a time uses a root and a state store."""

    def __init__(self, zookeeper: Ensemble, directory: str, count: int = 3,
                 settings: Mapping[str, Any] | None = None, writing_ms: int = 0, fronts: bool = False) -> None:
        global _serial
        _serial += 1
        self.zookeeper = zookeeper
        self.directory = directory
        self.root = f"/livy_ha_{_serial}"
        self.oracle_dir = os.path.join(directory, "lives")
        os.makedirs(self.oracle_dir, exist_ok=True)
        self.oracle = Oracle(self.oracle_dir)
        self.common = dict(settings or {})
        self.fronts = fronts  # each member has one, on a port of its own
        self.writing_ms = writing_ms  # how often the stand-ins write to their state store; 0: never
        self.store_prefix = f"livy_{_serial}"
        self.members: list[Member] = []
        self._kazoo: KazooClient | None = None
        self.stopped_livys = False  # this test stops Livys (SIGSTOP): one that is stopped does not count as running
        self.eye = zookeeper.hosts  # the servers through which the test itself looks at ZooKeeper
        self.outside_assumptions = ""  # why no overlap is no claim in this test; "" where it is
        for _ in range(count):
            self.add()

    def add(self, name: str | None = None, settings: Mapping[str, Any] | None = None) -> Member:
        name = name or chr(ord("a") + len(self.members))
        directory = os.path.join(self.directory, name)
        os.makedirs(directory, exist_ok=True)
        member = Member(name, directory, self.zookeeper.hosts, self.root, self.oracle_dir,
                        {**self.common, **(settings or {})}, self.store_prefix, self.fronts)
        if self.writing_ms:
            member.env["STANDIN_STORE"] = str(self.writing_ms)
        self.members.append(member)
        return member

    def __getitem__(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)

    def start(self, timeout: float = 60) -> "Cluster":
        """Starts all and waits until one serves, the others stand in the queue, and all listen."""
        for member in self.members:
            member.start()
        self.wait_settled(timeout)
        for member in self.members:
            member.wait_listening()
        return self

    def wait_settled(self, timeout: float = 60) -> Member:
        """Until one member serves and each running member has its latch node; returns the active one."""
        active = self.wait_active(timeout)
        running = sum(member.running() for member in self.members)
        self.wait(lambda: len(self.latch()) == running, timeout, f"{running} latch nodes")
        return active

    def active(self) -> Member | None:
        """The member whose Livy serves, by the stand-ins alone."""
        serving = [member for member in self.members if member.serving()]
        return serving[-1] if serving else None

    def wait_active(self, timeout: float = 60, other_than: Member | None = None) -> Member:
        def found() -> Member | None:
            member = self.active()
            return member if member is not other_than else None
        return self.wait(found, timeout, "a member's Livy serves")

    def standbys(self) -> list[Member]:
        active = self.active()
        return [member for member in self.members if member.running() and member is not active]

    def wait_new_life(self, after: Life, timeout: float = 60) -> Life:
        """Until a stand-in that began after `after` serves."""
        def found() -> Life | None:
            lives = self.oracle.lives()
            last = lives[-1] if lives else None
            return last if last and last.first > after.first and last.serving and proc.alive(last.pid) else None
        return self.wait(found, timeout, "a new Livy serves")

    def overlap_us(self) -> int:
        return self.oracle.ran_together_us() if self.stopped_livys else self.oracle.overlap_us()

    def assert_exclusive(self) -> None:
        """The one thing that must never happen: two Livys at once."""
        overlap = self.overlap_us()
        assert overlap == 0, f"two Livys lived at once for {overlap} us:\n{self.oracle.describe()}\n{self.failure_text()}"

    def assert_store_whole(self) -> None:
        """No count of a writing stand-in was lost or overwritten."""
        faults = self.oracle.store_faults()
        assert not faults, "\n".join([*faults[:10], f"{len(faults)} in all", self.failure_text()])

    # ---- ZooKeeper, seen by an independent client ------------------------------------------------------------

    @property
    def zk(self) -> KazooClient:
        if self._kazoo is None:
            self._kazoo = KazooClient(hosts=self.eye, timeout=20)
            self._kazoo.start(timeout=30)
        return self._kazoo

    def forget_client(self) -> None:
        """The next look at ZooKeeper is made with a new session."""
        if self._kazoo is not None:
            self._kazoo.stop()
            self._kazoo.close()
            self._kazoo = None

    def latch(self) -> list[str]:
        """Names of the latch nodes, the leader's first."""
        try:
            return sorted(self.zk.get_children(f"{self.root}/leader"), key=latch_order)
        except NoNodeError:
            return []

    def latch_ids(self) -> list[str]:
        found: list[str] = []
        for node in self.latch():
            try:
                found.append(self.zk.get(f"{self.root}/leader/{node}")[0].decode())
            except NoNodeError:
                continue
        return found

    def latch_node(self, member: Member) -> str | None:
        """The full path of a member's latch node."""
        for node in self.latch():
            path = f"{self.root}/leader/{node}"
            try:
                if self.zk.get(path)[0].decode() == member.name:
                    return path
            except NoNodeError:
                continue
        return None

    def epoch(self) -> int | None:
        """The czxid of the first latch node."""
        for node in self.latch()[:1]:
            stat = self.zk.exists(f"{self.root}/leader/{node}")
            return stat.czxid if stat else None
        return None

    def node(self, path: str) -> bytes | None:
        """Data of <root>/path, None where there is no such node."""
        try:
            return bytes(self.zk.get(f"{self.root}/{path}")[0])
        except NoNodeError:
            return None

    def control(self) -> dict[str, Any]:
        """What has been asked of the cluster."""
        return dict(json.loads(self.node("control") or b"{}"))

    def history(self) -> list[dict[str, Any]]:
        data = self.node("history")
        return json.loads(data) if data else []

    # ---- the rest ---------------------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], _T | None], timeout: float, what: str) -> _T:
        def seen() -> _T | None:
            try:
                return condition()
            except (ConnectionLoss, SessionExpiredError):
                return None  # the test's own session, where it has stopped the servers: the next look is with a new one
        return wait_for(seen, timeout, what, self.failure_text)

    def failure_text(self) -> str:
        parts = [f"--- {member.name}: {'running' if member.running() else 'not running'}; its log ends\n"
                 f"{tail(member.log_path, 30)}" for member in self.members]
        return "\n".join([*parts, f"--- lives\n{self.oracle.describe()}"])

    def destroy(self) -> None:
        for member in self.members:
            member.destroy()
        self.forget_client()

    def sanitizer_reports(self) -> str:
        return "\n".join(filter(None, (member.sanitizer_report() for member in self.members)))
