"""Livy that dies again and again: it moves between members a bounded number of times, its starts get rarer, and it
serves again once what killed it is gone. What is no death of Livy's is not held against it."""
import json
import signal
from collections.abc import Iterator

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.oracle import Life
from livyha.proxy import Proxy
from livyha.wait import let_pass
from livyha.zookeeper import Ensemble

POISON = "exit-after=500:1"


def _ended(cluster: Cluster) -> list[Life]:
    return [life for life in cluster.oracle.lives() if not proc.alive(life.pid)]


def _moves(lives: list[Life]) -> int:
    return sum(before.name != after.name for before, after in zip(lives, lives[1:], strict=False))


def _gap_ms(before: Life, after: Life) -> float:
    return (after.first - before.last) / 1e6


def _death_of(cluster: Cluster, life: Life) -> Life:
    """The same life, as it ended."""
    cluster.wait(lambda: not proc.alive(life.pid), 20, "Livy is dead")
    ended = cluster.oracle.life_of(life.pid)
    assert ended is not None
    return ended


def _deaths(cluster: Cluster) -> list[dict[str, object]]:
    data = cluster.node("deaths")
    return json.loads(data) if data else []


def test_poison_after_an_outage_of_zookeeper(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    """The outage excuses the Livy that ran through it, and no later one: the starts get rarer, and the latch moves."""
    cluster = make_cluster(2, own_zookeeper, livy__restarts=2).start()
    active = cluster.wait_settled()
    own_zookeeper.stop()
    let_pass(6, lambda: active.running(), "a long outage", cluster.failure_text)
    for server in own_zookeeper.servers:
        server.start()
    own_zookeeper.wait_ready()
    active = cluster.wait_settled()
    life = active.serving()
    assert life is not None
    before = len(cluster.oracle.lives())
    for member in cluster.members:
        member.set_mode(POISON)
    proc.send(life.pid, signal.SIGKILL)
    cluster.wait(lambda: [entry["event"] for entry in _deaths(cluster)].count("gave-up") == 1, 25, "the latch is given up")
    assert len(cluster.oracle.lives()) - before <= 4, "two restarts, and at most one start elsewhere by now"


def test_poison_does_not_bounce(make_cluster: ClusterMaker) -> None:
    """restarts = 1: two deaths on a, two on b, then c keeps the latch and goes on trying; 1, 2, 4, 8 s apart."""
    cluster = make_cluster(3, livy__restarts=1, livy__restart_window="40s")
    for member in cluster.members:
        member.set_mode(POISON)
        member.start()
    cluster.wait(lambda: len(_ended(cluster)) >= 6, 90, "Livy has died six times")
    lives = cluster.oracle.lives()[:6]
    order = [life.name for life in lives]
    assert order == [order[0]] * 2 + [order[2]] * 2 + [order[4]] * 2 and len(set(order)) == 3, order
    gaps = [_gap_ms(before, after) for before, after in zip(lives, lives[1:], strict=False)]
    assert gaps[0] < 1000, "the first restart is immediate"
    for gap, wanted in zip(gaps[1:], (1000, 2000, 4000, 8000), strict=True):
        assert wanted - 50 <= gap < wanted + 2000, f"starts are spaced by the growing back-off: {gaps}"

    # Who holds it says so, in its status and in the history.
    last = cluster[order[-1]]
    last.wait(lambda: "next start in 16 s" in last.ctl("status", as_json=False).out, 10, "status tells the wait")
    told = [entry["reason"] for entry in cluster.history() if entry["event"] == "delayed"]
    names = ", ".join(dict.fromkeys(order[:4]))
    assert any(reason.startswith("Livy died 4 times in 40 s on ") and reason.endswith("next start in 4 s")
               and all(name in reason for name in names.split(", ")) for reason in told), told
    assert [entry["member"] for entry in _deaths(cluster) if entry["event"] == "gave-up"] == [order[0], order[2]]

    # The poison is gone: it serves where it is, and after a quiet window nothing is held against it.
    for member in cluster.members:
        member.set_mode("")
    life = last.wait_serving(40)
    assert _moves(cluster.oracle.lives()) == 2, "moves are bounded by the members"
    let_pass(41, lambda: proc.alive(life.pid), "Livy lives on for a quiet window", cluster.failure_text)
    proc.send(life.pid, signal.SIGKILL)
    again = cluster.wait_new_life(life)
    assert again.name == last.name and _gap_ms(_death_of(cluster, life), again) < 900, "forgotten: the first restart is immediate"


def test_failover_is_not_slowed_by_what_is_no_death_of_livy(make_cluster: ClusterMaker) -> None:
    """kill -9 of the keeper, of the elector, an orderly stop: nothing is counted, nobody waits."""
    cluster = make_cluster(3).start()
    active = cluster.wait_settled()
    for _ in range(3):
        life = active.serving()
        assert life is not None
        active.kill()
        after = cluster.wait_new_life(life)
        assert _gap_ms(_death_of(cluster, life), after) < 900, cluster.failure_text()
        active.start()
        active = cluster.wait_settled()
    elector = active.wait_elector()
    proc.send(elector, signal.SIGKILL)
    active.wait_elector(other_than=elector)
    life = active.serving()
    assert life is not None and active.stop() == 0
    cluster.wait_new_life(life)
    assert _deaths(cluster) == []


def test_deaths_are_known_after_a_restart_of_all(make_cluster: ClusterMaker) -> None:
    """The record outlives the daemons, its age is known by ZooKeeper's clock: what is young still delays a start."""
    cluster = make_cluster(1, livy__restart_window="60s")
    member = cluster["a"]
    member.set_mode(POISON)
    member.start()
    member.wait(lambda: len(_deaths(cluster)) >= 4, 60, "four deaths are noted")
    member.stop()
    # The wait of 4 s after the fourth death begins with that death, not with the daemon.
    member.set_mode("")
    before = cluster.oracle.lives()[-1]
    member.start()
    after = cluster.wait_new_life(before)
    assert 3900 <= _gap_ms(before, after) < 8000, _gap_ms(before, after)


@pytest.fixture
def behind_proxy(make_cluster: ClusterMaker, zookeeper: Ensemble) -> Iterator[tuple[Cluster, dict[str, Proxy]]]:
    """Two members that reach ZooKeeper through a proxy each; T = 8 s: time enough between lease and expiry."""
    with Proxy(zookeeper.servers[0].port) as first, Proxy(zookeeper.servers[0].port) as second:
        cluster = make_cluster(0, zookeeper__session_timeout="8s", livy__state_store_url=zookeeper.hosts)
        cluster.add("a", {"zookeeper.hosts": first.address})
        cluster.add("b", {"zookeeper.hosts": second.address})
        yield cluster.start(), {"a": first, "b": second}


def _fenced_and_back(cluster: Cluster, life: Life, latch: list[str]) -> None:
    after = cluster.wait_new_life(life, 40)
    ended = _death_of(cluster, life)
    assert after.name == life.name, cluster.failure_text()
    assert cluster.latch() == latch, "the session has survived, the latch is as it was"
    assert _gap_ms(ended, after) < 3000, "started again at once"
    cluster.wait(lambda: "fenced" in [entry["event"] for entry in cluster.history()], 10, "history tells of the fencing")
    assert "livy-died" not in [entry["event"] for entry in cluster.history()]
    assert _deaths(cluster) == [], "no crash is counted"
    cluster.assert_exclusive()


def test_lease_ran_out_while_the_elector_was_stopped(make_cluster: ClusterMaker) -> None:
    """The lease is over, the session is not: Livy is fenced and started again by the same member at once."""
    cluster = make_cluster(2, zookeeper__session_timeout="8s").start()
    active = cluster.wait_settled()
    life, elector, latch = active.serving(), active.wait_elector(), cluster.latch()
    assert life is not None
    active.pause_process(elector)
    try:
        active.wait_gone(life.pid, 10, "(Livy, whose lease is not renewed)")
    finally:
        proc.send(elector, signal.SIGCONT)
    _fenced_and_back(cluster, life, latch)


def test_lease_ran_out_in_a_cut_that_heals(behind_proxy: tuple[Cluster, dict[str, Proxy]]) -> None:
    cluster, proxies = behind_proxy
    active = cluster.wait_settled()
    life, latch = active.serving(), cluster.latch()
    assert life is not None
    proxies[active.name].cut = True
    active.wait_gone(life.pid, 10, "(Livy, cut off from ZooKeeper)")
    proxies[active.name].cut = False
    _fenced_and_back(cluster, life, latch)
