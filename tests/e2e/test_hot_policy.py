"""Which member runs the next Livy where standbys hold one at the gate (livy.standby = "hot"): the one that is next in the
queue and says that its own is ready, else the one on which it died."""
import json
import os
import signal
import time
import uuid

from conftest import ClusterMaker
from livyha import proc
from livyha.admin import metrics
from livyha.cluster import Cluster
from livyha.faults import processes, stop_at_once
from livyha.member import Member
from livyha.oracle import Life

POISON = "exit-after=300:1"


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

    def says(self, livy: str, role: str = "standby", renewing: bool = False) -> None:
        self.cluster.zk.set(self.record, json.dumps({"id": self.name, "host": "nowhere", "role": role, "livy": livy,
                                                     "held_renewing": renewing,
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
    pretender.says("held", renewing=True)  # it would be ended and started anew
    active.wait(lambda: active.row("next").get("held_renewing") is True, 10, "it knows that one as out of date")
    life = cluster.wait_new_life(_kill_livy(active))
    assert life.name == active.name and cluster.latch_ids()[0] == active.name


# ---- hot members -----------------------------------------------------------------------------------------------


def _hot(make_cluster: ClusterMaker, count: int, mode: str = "", **settings: object) -> tuple[Cluster, Member]:
    """All of them started, one serves, and each of the others holds one that the active member knows to be ready."""
    cluster = make_cluster(count, livy__standby="hot", writing_ms=20, **settings)
    for member in cluster.members if mode else ():
        member.set_mode(mode)
    active = cluster.start().wait_settled()
    _all_ready(cluster, active)
    return cluster, active


def _all_ready(cluster: Cluster, active: Member) -> dict[str, Life]:
    standbys = [member for member in cluster.members if member is not active]
    held = {member.name: member.wait_held() for member in standbys}
    for member in standbys:
        _knows(active, member.name, "held")
    return held


def test_livy_dies_and_the_next_ones_held_one_is_let_go(make_cluster: ClusterMaker) -> None:
    """The queue's next one each time; who lost its Livy holds one itself soon."""
    cluster, active = _hot(make_cluster, 3)
    for _ in range(2):
        order = cluster.latch_ids()
        held = _all_ready(cluster, active)
        life = cluster.wait_new_life(_kill_livy(active))
        assert order[0] == active.name and (life.name, life.pid) == (order[1], held[order[1]].pid), (order, held, life)
        cluster.wait(lambda: cluster.latch_ids() == [*order[1:], order[0]], 10, "who had it stands at the end")  # noqa: B023
        cluster.wait(lambda: _released_for(cluster, active, order[1]), 10, "the history says why")  # noqa: B023
        active = cluster[order[1]]


def test_a_held_one_that_dies_with_the_active_one(make_cluster: ClusterMaker) -> None:
    """What the record says is not so any more: a cold start, here or there, and soon."""
    cluster, active = _hot(make_cluster, 2)
    standby = cluster.standbys()[0]
    held = standby.held()
    assert held is not None
    proc.send(held.pid, signal.SIGKILL)
    life = cluster.wait_new_life(_kill_livy(active), 20)
    assert life.pid != held.pid
    cluster.wait_settled()


def test_poison_waits_as_it_does_without(make_cluster: ClusterMaker) -> None:
    """Six deaths of all members together, 0, 1, 2, 4, 8 s apart, whoever runs the next one."""
    cluster, active = _hot(make_cluster, 2, livy__restarts=1, livy__restart_window="40s")
    for member in cluster.members:
        member.set_mode(POISON)
    before = len(cluster.oracle.lives())
    _kill_livy(active)
    cluster.wait(lambda: len(cluster.oracle.lives()) >= before + 5, 60, "five starts")
    lives = cluster.oracle.lives()[before - 1:before + 5]
    gaps = [(after.first - life.last) / 1e6 for life, after in zip(lives, lives[1:], strict=False)]
    for gap, wanted in zip(gaps[1:], (1000, 2000, 4000, 8000), strict=True):
        assert wanted - 50 <= gap < wanted + 2000, f"starts are spaced by the growing back-off: {gaps}"
    names = [life.name for life in lives]
    moves = sum(one != other for one, other in zip(names, names[1:], strict=False))
    assert moves <= 3, f"one for the first death, then one from each member: {names}"


def test_a_restart_by_command_stays(make_cluster: ClusterMaker) -> None:
    cluster, active = _hot(make_cluster, 2)
    before = active.serving()
    assert before is not None
    assert active.ctl("restart").code == 0
    after = active.wait_serving(other_than=before)
    assert after.pid != before.pid and cluster.latch_ids()[0] == active.name


def test_people_see_how_it_is_with_the_held_one(make_cluster: ClusterMaker) -> None:
    """Status, the table, the metrics and the log; a new elector hears of it from the keeper."""
    cluster, active = _hot(make_cluster, 2, fronts=True)
    standby = cluster.standbys()[0]
    row = active.row(standby.name)
    assert (row["role"], row["livy"], row["held"], row["livy_pid"]) == ("standby", "held", "ready", None), row
    assert active.row()["held"] == "none"
    table = active.ctl("status", as_json=False).out
    assert any(standby.name in line.split() and "held" in line.split() for line in table.splitlines()), table
    assert "holds no Livy" not in table
    assert metrics(standby)("livy_ha_held", state="ready") == 1
    assert metrics(active)("livy_ha_standbys_ready") == 1
    standby.wait_log("elector info: held warming -> ready")
    elector = standby.wait_elector()
    proc.send(elector, signal.SIGKILL)
    standby.wait_elector(other_than=elector)
    standby.wait(lambda: standby.row().get("livy") == "held", 15, "the new elector knows of it")
    assert standby.held() is not None
    # One that ends is news for all.
    standby.set_mode("gate-refused")
    held = standby.held()
    assert held is not None
    proc.send(held.pid, signal.SIGKILL)
    active.wait(lambda: f"{standby.name} holds no Livy: " in active.ctl("status", as_json=False).out, 20, "people are told why")
    row = active.row(standby.name)
    assert (row["livy"], row["held"]) == ("none", "none") and row["held_reason"], row


def test_an_unnamed_switchover_goes_to_one_that_is_ready(make_cluster: ClusterMaker) -> None:
    """The next one in the queue has none: the one behind it is put before it."""
    cluster, active = _hot(make_cluster, 3)
    first, second = (cluster[name] for name in cluster.latch_ids()[1:])
    first.set_mode("gate-refused")
    away, held = first.held(), second.held()
    assert away is not None and held is not None
    proc.send(away.pid, signal.SIGKILL)
    first.wait_log("will be started cold")
    _knows(first, first.name, "none")
    assert first.ctl("switchover").code == 0
    life = second.wait_serving()
    assert life.pid == held.pid
    cluster.wait(lambda: cluster.latch_ids() == [second.name, first.name, active.name], 10, "the others stand behind it, in this order")
    outcome = cluster.control()["results"][-1]
    assert outcome["outcome"] == "done" and outcome["active"] == second.name, outcome


# ---- what is held and what the files say -----------------------------------------------------------------------


def _edit(member: Member, text: str = "livy.server.session.timeout = 2h\n") -> int:
    """Writes to livy.conf; returns when, as the stand-ins tell the time."""
    with open(os.path.join(member.home, "conf", "livy.conf"), "a", encoding="utf-8") as file:
        file.write(text)
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_renewals_take_turns(make_cluster: ClusterMaker) -> None:
    """All edited at once: one standby is ready at each instant, by the stand-ins' records and in the members' eyes."""
    cluster, active = _hot(make_cluster, 3)
    standbys = {member.name: member for member in cluster.standbys()}
    for member in standbys.values():
        member.set_mode("gate-delay=1500")
    edited = {name: _edit(member) for name, member in standbys.items()}
    looks: list[tuple[list[str], list[str]]] = []

    def all_renewed() -> bool:
        held = {name: member.held() for name, member in standbys.items()}
        if not any(held.values()):  # one was read before it came to the gate, the other one after it was ended for that
            held = {name: member.held() for name, member in standbys.items()}
        told = [row["id"] for row in (active.status() or {}).get("members", []) if row["livy"] == "held"]
        looks.append(([name for name, life in held.items() if life], told))
        return all(life and life.begun > edited[name] for name, life in held.items())

    cluster.wait(all_renewed, 60, "each holds one that was started after the edit")
    assert all(at_gate and told for at_gate, told in looks), [look for look in looks if not all(look)]
    one_at_a_time = {tuple(at_gate) for at_gate, _ in looks}
    first, second = cluster.latch_ids()[1:]
    assert {(first,), (second,)} <= one_at_a_time, f"each was away once, the other one was ready: {one_at_a_time}"
    begun = [standbys[name].wait_held().begun for name in (first, second)]
    assert begun == sorted(begun), "the first in the queue first"
    for name, member in standbys.items():
        _knows(active, name, "held")
        member.wait(lambda: active.row(name)["held_renewing"] is False, 10, "it is over")  # noqa: B023
        assert "no other member's was ready" not in member.log()
    assert len(cluster.oracle.lives()) == 1


def test_a_switchover_serves_what_livy_conf_says_now(make_cluster: ClusterMaker) -> None:
    cluster, active = _hot(make_cluster, 2, mode="slow-term=1500")  # it looks at the files meanwhile
    standby = cluster.standbys()[0]
    held = standby.held()
    edited = _edit(standby)
    assert active.ctl("switchover").code == 0
    life = standby.wait_serving()
    assert held is not None and life.pid != held.pid and life.begun > edited, (held, life)
    standby.wait_log("files of livy.conf_dir have changed, and a take-over by plan is near")
    assert [life.name for life in cluster.oracle.lives()] == [active.name, standby.name], "what was held has never lived"


def test_a_daemon_that_is_stopped_is_followed_with_what_livy_conf_says_now(make_cluster: ClusterMaker) -> None:
    for _ in range(3):
        cluster, active = _hot(make_cluster, 2)
        standby = cluster.standbys()[0]
        edited = _edit(standby)
        assert active.stop() == 0
        life = standby.wait_serving()
        assert len(cluster.oracle.lives()) == 2, "what was held has never lived, or is what lives"
        if life.begun > edited:
            return
        # The files were not looked at within the 50 ms that are waited for: so much is said, and nothing else.
        standby.wait_log("Livy was held before files of livy.conf_dir have changed")
    raise AssertionError("three times it took longer to look at the files than a take-over waits for that")


def test_who_crashes_is_followed_with_what_is_held(make_cluster: ClusterMaker) -> None:
    """Without waiting for a start; a person is told that what serves is not what the files say."""
    cluster, active = _hot(make_cluster, 2)
    standby = cluster.standbys()[0]
    held = standby.held()
    assert held is not None
    # It looks each 10 s, and would renew it: the session ends in the 5 s after the crash.
    cluster.wait(lambda: 0.2e9 < (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - held.begun) % 10e9 < 2e9, 15, "it has just looked")
    _edit(standby)
    serving = active.serving()
    assert serving is not None
    pids = processes(active, serving)
    stop_at_once(active, pids)  # or the elector would give the latch up
    for pid in pids:
        proc.send(pid, signal.SIGKILL)
    active.wait_exit()
    life = standby.wait_serving()
    assert life.pid == held.pid, (held, life)
    standby.wait_log("Livy was held before files of livy.conf_dir have changed: it serves without that change")
