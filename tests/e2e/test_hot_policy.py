"""Which member runs the next Livy where standbys hold one at the gate (livy.standby = "hot"): the one that is next in the
queue and says that its own is ready, else the one on which it died."""
import json
import signal
import uuid

from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.oracle import Life


class Pretender:
    """Stands in the queue and says of its Livy whatever the test wants, and never does anything."""

    def __init__(self, cluster: Cluster, name: str, livy: str) -> None:
        self.cluster, self.name = cluster, name
        self.node = cluster.zk.create(f"{cluster.root}/leader/_c_{uuid.uuid4()}-latch-", name.encode(), ephemeral=True,
                                      sequence=True)
        cluster.zk.create(self.record, b"{}", ephemeral=True)
        self.says(livy)

    @property
    def record(self) -> str:
        return f"{self.cluster.root}/members/{self.name}"

    def says(self, livy: str, role: str = "standby") -> None:
        self.cluster.zk.set(self.record, json.dumps({"id": self.name, "host": "nowhere", "role": role, "livy": livy,
                                                     "sequence": int(self.node[-10:])}).encode())

    def goes(self) -> None:
        self.cluster.zk.delete(self.node)
        self.cluster.zk.delete(self.record)


def _kill_livy(member: Member) -> Life:
    life = member.serving()
    assert life is not None
    proc.send(life.pid, signal.SIGKILL)
    return life


def _knows(member: Member, other: str, livy: str) -> None:
    member.wait(lambda: member.row(other).get("livy") == livy, 10, f"{member.name} knows that {other}'s Livy is {livy}")


def _events(cluster: Cluster, member: Member) -> list[tuple[str, str]]:
    data = cluster.node("history")
    entries = json.loads(data) if data else []
    return [(entry["event"], entry["reason"]) for entry in entries if entry["member"] == member.name]


def _released_for(cluster: Cluster, member: Member, heir: str) -> bool:
    return any(event == "released" and f"{heir} has one ready" in reason for event, reason in _events(cluster, member))


def test_latch_goes_to_a_next_member_that_is_ready(make_cluster: ClusterMaker) -> None:
    """And where that one's word was hollow, who gave the latch up serves again once it has gone."""
    cluster = make_cluster(1).start()
    active = cluster.wait_settled()
    pretender = Pretender(cluster, "ready", "held")
    _knows(active, "ready", "held")
    before = _kill_livy(active)
    cluster.wait(lambda: cluster.latch_ids() == ["ready", active.name], 10, "it stands behind the one that is ready")
    cluster.wait(lambda: _released_for(cluster, active, "ready"), 10, "the history says why")
    assert [life.pid for life in cluster.oracle.lives()] == [before.pid], "no Livy was started here meanwhile"
    pretender.goes()
    cluster.wait_new_life(before)


def test_livy_is_restarted_here_where_the_next_one_is_not_ready(make_cluster: ClusterMaker) -> None:
    """A member further behind may be ready: the latch would not go to it."""
    cluster = make_cluster(1).start()
    active = cluster.wait_settled()
    pretender = Pretender(cluster, "next", "none")
    Pretender(cluster, "further", "held")
    _knows(active, "next", "none")
    _knows(active, "further", "held")
    life = cluster.wait_new_life(_kill_livy(active))
    assert life.name == active.name and cluster.latch_ids()[0] == active.name
    pretender.says("held", "joining")  # on its way out of the queue, and still next
    active.wait(lambda: active.row("next").get("role") == "joining", 10, "it knows that one as joining")
    life = cluster.wait_new_life(_kill_livy(active))
    assert life.name == active.name and cluster.latch_ids()[0] == active.name
