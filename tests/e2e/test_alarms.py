"""Alarms: raised in the log, in /status, in members/<id> and by livy-ha-ctl status, and cleared again."""
import json
import signal

from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.orders import done, refused
from livyha.proxy import Proxy
from livyha.undying import undying
from livyha.wait import let_pass
from livyha.zookeeper import Ensemble


def _alarms(member: Member, of: str | None = None) -> list[str]:
    return list(member.row(of).get("alarms") or [])


def _alarm(member: Member, *words: str, timeout: float = 30) -> str:
    """Waits for an alarm with these words; returns it."""
    def found() -> str | None:
        return next((text for text in _alarms(member) if all(word in text for word in words)), None)
    return member.wait(found, timeout, f"an alarm says {' … '.join(words)}")


def _told_everywhere(cluster: Cluster, member: Member, text: str) -> None:
    member.wait_log("alarm: ", text)
    cluster.wait(lambda: text in json.loads(cluster.node(f"members/{member.name}") or b"{}").get("alarms", []), 15,
                 "members/<id> has the alarm")
    for each in cluster.members:
        each.wait(lambda each=each: text in _alarms(each, member.name), 15, "every member's status tells the alarm")
    lines = member.ctl("status", as_json=False).out.splitlines()
    last_row = max(number for number, line in enumerate(lines) if line.startswith(("  ", "* ")))
    assert f"Alarm on {member.name}: {text}" in lines[last_row + 1:], "under the table"


def test_zookeeper_that_is_slow(make_cluster: ClusterMaker, zookeeper: Ensemble) -> None:
    """Each answer takes 300 ms longer, as with a disk that is slow to fsync; T = 4 s, so 200 ms are slow."""
    with Proxy(zookeeper.servers[0].port) as proxy:
        cluster = make_cluster(2, livy__state_store_url=zookeeper.hosts, zookeeper__hosts=proxy.address).start()
        active = cluster.wait_settled()
        life = active.serving()
        assert life is not None
        proxy.delay = 0.3
        text = _alarm(active, "heartbeats take 3", "ZooKeeper is slow", "rides out")
        _told_everywhere(cluster, active, text)
        assert proc.alive(life.pid), "slow is not dead"
        proxy.delay = 0
        active.wait(lambda: text not in _alarms(active), 40, "the alarm is over")
        active.wait_log("alarm over: heartbeats take")
        assert active.log().count("alarm: heartbeats take") == 1, "told once"


def test_tick_that_is_too_small(make_cluster: ClusterMaker) -> None:
    """The servers' tickTime is 500 ms. With 100 ms they would not grant 4 s: the unsafe direction."""
    cluster = make_cluster(2, zookeeper__tick="100ms").start()
    active = cluster.wait_settled()
    text = _alarm(active, "zookeeper.tick is 100 ms", "too small", "200 ms or more")
    _told_everywhere(cluster, active, text)


def test_tick_that_is_too_large(make_cluster: ClusterMaker) -> None:
    """12 s are asked for and 20 ticks granted: the tick is 500 ms."""
    cluster = make_cluster(1, zookeeper__session_timeout="12s", zookeeper__tick="2s").start()
    _alarm(cluster["a"], "zookeeper.tick is 2000 ms", "500 ms or less")


def test_tick_that_is_right_or_not_known(make_cluster: ClusterMaker) -> None:
    for settings in ({}, {"zookeeper__session_timeout": "10s"}, {"zookeeper__tick": "2s"}):
        cluster = make_cluster(1, **settings).start()
        assert not [text for text in _alarms(cluster["a"]) if "zookeeper.tick" in text]
        cluster.destroy()


def test_keeper_that_is_stopped_and_elector_that_was(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    active = cluster.wait_settled()
    active.pause_process(active.pid)
    try:
        text = _alarm(active, "the keeper", "does not answer")
        other = next(member for member in cluster.members if member is not active)
        cluster.wait(lambda: text in _alarms(other, active.name), 15, "the other member tells it too")
    finally:
        active.signal(signal.SIGCONT)
    active.wait(lambda: text not in _alarms(active), 20, "the alarm is over")

    active = cluster.wait_settled()
    elector = active.wait_elector()
    active.pause_process(elector)
    try:
        let_pass(0.9, lambda: True, "the elector is stopped for a moment")
    finally:
        proc.send(elector, signal.SIGCONT)
    _alarm(active, "the elector was run", "late")


def test_member_whose_keeper_was_stopped_stands_again(make_cluster: ClusterMaker) -> None:
    """A standby's keeper is stopped, and its member wins meanwhile: its START is not obeyed, and the latch is given away
    again. Once the keeper goes on it is asked what became of the START, and the member stands again by itself, with the
    same elector."""
    cluster = make_cluster(2).start()
    active = cluster.wait_settled()
    standby = cluster.standbys()[0]
    life, elector = active.serving(), standby.wait_elector()
    assert life is not None
    standby.pause_process(standby.pid)
    try:
        assert active.stop() == 0
        _alarm(standby, "the keeper", "does not answer")
        cluster.wait(lambda: not cluster.latch(), 40, "the latch is given away by the member that cannot start")
    finally:
        standby.signal(signal.SIGCONT)
    standby.wait_serving(40)
    assert standby.elector() == elector
    cluster.assert_exclusive()


def test_standby_whose_keeper_is_stopped(make_cluster: ClusterMaker) -> None:
    """It could start no Livy, so it steps out of the queue and says so everywhere: nobody hands over to it, and nobody waits
    for it when the active one dies."""
    cluster = make_cluster(3).start()
    active = cluster.wait_settled()
    life = active.serving()
    stopped, other = (cluster[name] for name in cluster.latch_ids()[1:])
    assert life is not None
    stopped.pause_process(stopped.pid)
    try:
        text = _alarm(stopped, "the keeper", "does not answer", timeout=15)
        _told_everywhere(cluster, stopped, text)
        assert stopped.log().count(f"alarm: {text}") == 1, "told once"
        cluster.wait(lambda: cluster.latch_ids() == [active.name, other.name], 5, "it does not stand")
        active.wait(lambda: active.row(stopped.name).get("role") == "joining", 10, "and the others know")
        refused(active, "switchover", "--to", stopped.name,
                why=f"{stopped.name} does not stand in the queue (joining): {text}")
        now = active.serving()
        assert now is not None and now.pid == life.pid, "its Livy was not stopped for that"
        done(active, "switchover")
        other.wait_serving()
        active.wait_role("standby")
        dead = other.serving()
        assert dead is not None
        other.kill()
        following = active.wait_serving(20)
        waited = (following.first - dead.last) / 1e9
        assert waited < 2.5, f"{waited:.1f} s without a Livy: no time-out of 4 s was waited for\n{cluster.failure_text()}"
    finally:
        stopped.signal(signal.SIGCONT)
    stopped.wait_log("alarm over: the keeper answers again")
    stopped.wait_role("standby")
    stopped.wait(lambda: text not in _alarms(stopped), 10, "it is over")
    cluster.assert_exclusive()


def test_livy_that_does_not_die(make_cluster: ClusterMaker) -> None:
    """SIGKILL, and nothing happens: the latch stays with the member whose Livy it is, which says so by name. Only its
    death lets another one start."""
    cluster = make_cluster(2, livy__stop_grace="200ms").start()
    active = cluster.wait_settled()
    life, node = active.serving(), cluster.latch_node(active)
    other = cluster.standbys()[0]
    assert life is not None and node is not None
    with undying(life.pid):
        active.stop_begin()
        text = _alarm(active, f"Livy (pid {life.pid}) has not died of SIGKILL", "the latch stays here", "(state ")
        _told_everywhere(cluster, active, text)
        let_pass(6, lambda: cluster.latch_node(active) == node and not other.livy() and proc.alive(life.pid),
                 "for longer than the session's time-out nobody else starts", cluster.failure_text)
    assert active.wait_exit() == 0
    active.wait_log("alarm over: Livy is dead")
    other.wait_serving()
    cluster.assert_exclusive()
