"""Requests through each member's front reach the active Livy, before, during and after a fail-over."""
import signal
import socket
from collections import Counter

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.admin import status_of
from livyha.client import Client, Loop, get
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.wait import wait_for


def _reaches(cluster: Cluster, member: Member, active: Member) -> None:
    """Through `member`'s front, the Livy of `active` answers."""
    life = active.wait_serving()
    member.wait(lambda: _listens(member), 20, "its front is open")
    with Client(member) as client:
        answer = client.get()
        assert (answer.status, answer.standin) == (200, (active.name, life.pid)), cluster.failure_text()
        answer = client.ask("POST", "/sessions", b'{"kind": "spark"}', X_Request="one")
        assert (answer.status, answer.standin, answer.headers["x-received"]) == (201, (active.name, life.pid), "17")


def _posts(cluster: Cluster) -> Counter[str]:
    """The POSTs that the stand-ins have carried out."""
    found: Counter[str] = Counter()
    for life in cluster.oracle.lives():
        found.update(life.posts)
    return found


@pytest.fixture(scope="module")
def fronts(module_cluster: ClusterMaker) -> Cluster:
    """Three members with fronts, started, for tests that leave them as they found them."""
    return module_cluster(3, fronts=True).start()


def test_every_front_reaches_the_active_livy(fronts: Cluster) -> None:
    active = fronts.wait_settled()
    for member in fronts.members:
        _reaches(fronts, member, active)


def test_a_killed_relay_comes_back(fronts: Cluster) -> None:
    active = fronts.wait_settled()
    life = active.serving()
    assert life is not None
    for member in (active, fronts.standbys()[0]):
        _reaches(fronts, member, active)
        relay, elector = member.wait_relay(), member.wait_elector()
        proc.send(relay, signal.SIGKILL)
        member.wait_relay(other_than=relay)
        member.wait(lambda: _listens(member), 5, "the new one listens")  # noqa: B023
        _reaches(fronts, member, active)
        assert member.elector() == elector
    assert active.serving() == life or active.serving().pid == life.pid


def test_a_port_that_is_taken_while_the_relay_is_away(fronts: Cluster) -> None:
    """Once it is free again the relay is back with all that it has to do, the admin port included."""
    fronts.wait_settled()
    member = fronts.standbys()[0]
    relay, log = member.wait_relay(), len(member.log())
    proc.send(member.pid, signal.SIGSTOP)  # or the keeper would be quicker than we are
    try:
        proc.send(relay, signal.SIGKILL)
        taken = wait_for(lambda: _take(member.front_port), 5, "the front's port is free")
    finally:
        proc.send(member.pid, signal.SIGCONT)
    with taken:
        member.wait_log("front.listen 127.0.0.1", "stop the program that listens there", after=log)
    member.wait(lambda: _listens(member), 15, "the front is back")
    member.wait(lambda: status_of(member, "/readyz") == 200, 5, "so is the admin port")
    assert member.running()


def _take(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def _listens(member: Member) -> bool:
    try:
        return get(member, timeout=5).status == 200
    except OSError:
        return False


def test_a_killed_elector_costs_no_connection(fronts: Cluster) -> None:
    active = fronts.wait_settled()
    for member in (active, fronts.standbys()[0]):
        with Client(member) as client:
            assert client.get().status == 200
            port = client.local_port
            elector = member.wait_elector()
            proc.send(elector, signal.SIGKILL)
            for _ in range(50):
                assert client.get().standin[0] == active.name
            member.wait_elector(other_than=elector)
            for _ in range(50):
                assert client.get().standin[0] == active.name
            assert client.local_port == port, "the very same connection"


def test_requests_are_held_over_a_kill(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(3, fronts=True).start()
    active = cluster.wait_settled()
    others = cluster.standbys()
    for member in others:
        _reaches(cluster, member, active)
        member.set_mode("start-delay=1000")  # so that there is a while without any Livy
    active.kill()
    loops = [Loop(member, member.name).start() for member in others]
    successor = cluster.wait_active(other_than=active)
    for member, loop in zip(others, loops):  # noqa: B905
        member.wait(lambda: any(answer.standin[0] == successor.name for answer in loop.answers), 20,  # noqa: B023
                    "an answer of the next Livy comes through its front")
        loop.stop()
        late = [answer for answer in loop.answers if answer.standin[0] == successor.name]
        assert late[0].took > 300, "it was held meanwhile"
        # What was on its way to the old Livy as it was killed may fail; nothing else does.
        assert len(loop.errors) <= 1, loop.errors


def test_a_planned_stop_loses_nothing(make_cluster: ClusterMaker) -> None:
    """Of the clients of the other fronts: no error of any kind, and each POST carried out exactly once."""
    cluster = make_cluster(3, fronts=True).start()
    loops: list[Loop] = []
    for number in range(3):
        active = cluster.wait_settled()
        others = cluster.standbys()
        running = [Loop(member, f"{number}{member.name}{client}").start() for member in others for client in range(4)]
        loops += running
        for loop in running:
            loop.member.wait(lambda: len(loop.answers) > 10, 20, "requests pass")  # noqa: B023
        assert active.stop() == 0
        successor = cluster.wait_active(other_than=active)
        for loop in running:
            loop.member.wait(lambda: any(answer.standin[0] == successor.name for answer in loop.answers), 20,  # noqa: B023
                             "the next Livy answers")
            loop.stop()
        active.start()
    errors = [error for loop in loops for error in loop.errors]
    assert not errors, errors[:20]
    carried_out = _posts(cluster)
    posted = {identity for loop in loops for identity in loop.posted}
    assert posted and set(carried_out) == posted
    assert set(carried_out.values()) == {1}
    print("longest request, ms:", max(answer.took for loop in loops for answer in loop.answers))


def test_the_front_is_quick_to_know_the_next_livy(make_cluster: ClusterMaker) -> None:
    """From the next Livy's listening to its first answer through another member's front."""
    cluster = make_cluster(3, fronts=True).start()
    took = []
    for _ in range(6):
        active = cluster.wait_settled()
        others = cluster.standbys()
        active.kill()
        loops = [Loop(member, member.name).start() for member in others]
        successor = cluster.wait_active(other_than=active)
        life = successor.serving()
        assert life is not None
        for loop in loops:
            loop.member.wait(lambda: any(answer.standin[1] == life.pid for answer in loop.answers), 20, "it answers")  # noqa: B023
            loop.stop()
            if loop.member is not successor:
                first = next(answer for answer in loop.answers if answer.standin[1] == life.pid)
                took.append(first.began + first.took - life.serving // 1_000_000)
        active.start()
    print("ms from Livy's listening to its first answer through another front:", sorted(took))
    assert sorted(took)[len(took) // 2] < 100, took


def test_redirect_mode(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, fronts=True, front__mode="redirect").start()
    active = cluster.wait_settled()
    standby = cluster.standbys()[0]
    standby.wait(lambda: standby.row(active.name).get("livy") == "serving", 10, "the standby knows the active one")
    with Client(standby) as client:
        answer = client.ask("POST", "/sessions?a=b", b"{}")
    assert answer.status == 307
    assert answer.headers["location"] == f"{active.front_url}/sessions?a=b"
    assert answer.headers["x-livy-ha-active"] == active.name
    assert answer.headers["connection"] == "close"
    assert answer.body.startswith(b"This is a standby Livy Instance.")
    _reaches(cluster, active, active)


def test_a_taken_port_ends_the_daemon(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, fronts=True)
    first, second = cluster.members
    first.start()
    first.wait_serving()
    second.settings["front.listen"] = first.settings["front.listen"]
    second.write_conf()
    second.start()
    assert second.wait_exit(30) == 75
    assert first.serving()
