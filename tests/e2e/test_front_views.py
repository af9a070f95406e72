"""What livy-ha says to its relay, and what the relay's deaths cost: with an ear in its place (ear.c)."""
import json
import os
import signal

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.ear import Ears
from livyha.member import Member
from livyha.notify import NotifySocket
from livyha.oracle import Life
from livyha.ports import free_port
from livyha.wait import boot_ms, let_pass


ENDS, CUT = 1, 2  # view.ending


def _one(make_cluster: ClusterMaker, **settings: object) -> tuple[Cluster, Member, Ears]:
    cluster = make_cluster(1, fronts=True, **settings)
    return cluster, cluster["a"], Ears(cluster)


def _same(member: Member, life: Life, elector: int | None) -> bool:
    now = member.serving()
    return now is not None and now.pid == life.pid and member.elector() == elector


def _changes(ears: Ears, member: Member) -> list[str]:
    """The routes that its relay was told, without repetitions."""
    routes = [view["route"] for view in ears.views(member)]
    return [route for before, route in zip([""] + routes, routes) if route != before]  # noqa: B905


# ---- the relay's life ---------------------------------------------------------------------------------------


def test_a_killed_relay_is_replaced_and_nothing_else(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster)
    member.start()
    life = member.wait_serving()
    elector = member.wait_elector()
    ears.wait_route(member, "local")
    first = member.wait_relay()
    for _ in range(3):
        proc.send(first, signal.SIGKILL)
        second = member.wait_relay(other_than=first)
        view = ears.wait(member, "where Livy is", lambda view: view["pid"] == second)  # noqa: B023
        assert view["route"] == "local" and view["livy_url"] == f"http://127.0.0.1:{member.port}", view
        first = second
    assert _same(member, life, elector)


def test_a_stopped_relay_is_replaced(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster)
    member.start()
    life = member.wait_serving()
    elector = member.wait_elector()
    ears.wait_route(member, "local")
    first = member.wait_relay()
    member.pause_process(first)
    member.wait_gone(first, 20, "(the stopped relay)")
    second = member.wait_relay(other_than=first)
    ears.wait(member, "where Livy is", lambda view: view["pid"] == second and view["route"] == "local")
    member.wait_log("the relay", "does not answer")
    assert _same(member, life, elector)


def test_a_relay_that_dies_for_ever_hurts_nobody(make_cluster: ClusterMaker) -> None:
    cluster, member, ears = _one(make_cluster)
    member.start()
    life = member.wait_serving()
    elector = member.wait_elector()
    ears.wait_route(member, "local")
    ears.set(member, "exit-at-once")
    proc.send(member.wait_relay(), signal.SIGKILL)
    let_pass(4, lambda: _same(member, life, elector) and member.http_version() == 200, "Livy and the elector go on",
             member.failure_text)
    assert 4 <= member.log().count("relay started") <= 9, "it is tried again, with a growing delay"
    ears.set(member, "")
    again = member.wait_relay(timeout=10)
    ears.wait(member, "where Livy is", lambda view: view["pid"] >= again and view["route"] == "local", 10)
    assert cluster.latch_ids() == ["a"]


def test_the_end_of_livy_spares_the_relay(make_cluster: ClusterMaker) -> None:
    """What Livy leaves behind is ended with it; the relay, a child of the same keeper, is none of it."""
    _, member, ears = _one(make_cluster)
    member.start()
    life = member.wait_serving()
    relay = member.wait_relay()
    ears.wait_route(member, "local")
    proc.send(life.pid, signal.SIGKILL)
    again = member.wait_serving(other_than=life)
    view = ears.wait(member, "the new Livy", lambda view: view["route"] == "local" and view["at"] > again.first)
    assert member.relay() == relay == view["pid"]
    assert _changes(ears, member) == ["nobody", "local", "nobody", "local"]
    back = [view["at"] for view in ears.views(member) if view["route"] == "nobody"][-1]
    assert life.last < back < again.serving


def test_a_relay_that_cannot_serve_from_the_start_ends_the_daemon(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster)
    ears.set(member, "fatal=75")
    member.start()
    assert member.wait_exit(30) == 75
    member.wait_log("told to give up")


def test_a_relay_that_is_not_there_ends_the_daemon(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster)
    os.unlink(os.path.join(ears.programs, "livy-ha-relay"))
    member.start()
    assert member.wait_exit(30) == 75
    member.wait_log("livy-ha-relay is neither beside livy-ha nor in")


def test_a_relay_that_gives_up_later_is_started_again(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster)
    member.start()
    life = member.wait_serving()
    ears.wait_route(member, "local")
    ears.set(member, "fatal=75")
    first = member.wait_relay()
    proc.send(first, signal.SIGKILL)
    member.wait_log("told to give up")
    ears.set(member, "")
    ears.wait(member, "where Livy is", lambda view: view["pid"] != first and view["route"] == "local")
    assert member.running() and member.serving() == life or member.serving().pid == life.pid


def test_without_fronts_there_is_no_relay(make_cluster: ClusterMaker) -> None:
    member = make_cluster(1)["a"]
    member.start()
    member.wait_serving()
    assert member.relay() is None
    assert "relay" not in member.log()


def test_systemd_is_told_once_the_relay_is_ready_too(make_cluster: ClusterMaker) -> None:
    cluster, member, ears = _one(make_cluster)
    notify = NotifySocket(cluster.directory)
    try:
        ears.set(member, "no-ready")
        member.start({"NOTIFY_SOCKET": notify.path})
        member.wait_serving()  # Livy does not wait for the relay
        assert not notify.lines("READY=1")
        ears.set(member, "")
        member.wait(lambda: notify.lines("READY=1"), 5, "READY=1 is told")
        assert len(notify.lines("READY=1")) == 1
    finally:
        notify.close()


def test_the_relay_dies_with_the_keeper(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster)
    member.start()
    ears.wait_route(member, "local", timeout=30)
    relay = member.wait_relay()
    member.kill()
    member.wait_gone(relay, 5, "(the relay)")


def test_an_orderly_stop_ends_it_last(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster, livy__stop_grace="3s")
    member.set_mode("slow-term=1000")
    member.start()
    life = member.wait_serving()
    ears.wait_route(member, "local")
    relay = member.wait_relay()
    member.stop_begin()
    view = ears.wait(member, "that the daemon ends", lambda view: view["ending"] == 1)
    assert proc.alive(life.pid) and view["pid"] == relay
    assert member.wait_exit() == 0
    assert not proc.alive(relay)
    assert "the relay (pid" not in member.log(), "its end with the daemon is no event"


# ---- the elector's life -------------------------------------------------------------------------------------


def test_an_elector_that_dies_takes_no_view_away(make_cluster: ClusterMaker) -> None:
    """Whatever a new one does not know yet it does not say: the last view holds until it runs out."""
    cluster = make_cluster(2, fronts=True)
    ears = Ears(cluster)
    cluster.start()
    active = cluster.wait_active()
    standby = cluster.standbys()[0]
    life = active.serving()
    ears.wait_route(active, "local")
    ears.wait_route(standby, "remote", active)
    for member in (active, standby):
        before = len(ears.views(member))
        relay, elector = member.wait_relay(), member.wait_elector()
        proc.send(elector, signal.SIGKILL)
        member.wait_elector(other_than=elector)
        killed = ears.views(member)[before - 1]["at"]
        ears.wait(member, "something by the new elector",
                  lambda view: view["serial"] <= 3 and view["at"] > killed)  # noqa: B023
        routes = {view["route"] for view in ears.views(member)[before:]}
        assert routes == {"local" if member is active else "remote"}, routes
        assert member.relay() == relay
    assert active.serving() and life and active.serving().pid == life.pid


# ---- where requests go --------------------------------------------------------------------------------------


def test_views_follow_the_active_one(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(3, fronts=True)
    ears = Ears(cluster)
    cluster.start()
    active = cluster.wait_active()
    epoch = cluster.epoch()
    for member in cluster.members:
        view = ears.wait_route(member, "local" if member is active else "remote", active)
        assert view["epoch"] == epoch and view["front_url"] == active.front_url, view
        assert view["livy_url"].endswith(f":{active.port}") and view["mode"] == 0 and view["tls"] == 0, view
        assert 0 < view["left"] <= 4000, "good for no longer than the lease, or the session time-out"
    life = active.serving()
    others = cluster.standbys()
    active.kill()
    successor = cluster.wait_active(other_than=active)
    assert life is not None
    for member in others:
        view = ears.wait_route(member, "local" if member is successor else "remote", successor)
        assert view["epoch"] > epoch, view
        heard = [view for view in ears.views(member) if view["at"] > life.last + 1_000_000_000]
        assert all(view["id"] != active.name for view in heard), "a second after its death nobody is sent to it"


def test_the_others_hear_of_a_new_livy_at_once(make_cluster: ClusterMaker) -> None:
    """From the first answer of Livy, which the elector looks for each 20 ms, to the view of another member's relay."""
    cluster = make_cluster(3, fronts=True)
    ears = Ears(cluster)
    cluster.start()
    took = []
    for _ in range(8):
        active = cluster.wait_settled()
        active.kill()
        successor = cluster.wait_active(other_than=active)
        life = successor.serving()
        assert life is not None
        for member in cluster.standbys():
            ears.wait_route(member, "remote", successor)
            first = next(view for view in ears.views(member) if view["id"] == successor.name and view["at"] > life.first)
            took.append((first["at"] - life.serving) / 1e6)
        active.start()
    print("ms from Livy's listening to the view of another member's relay:", [round(ms, 1) for ms in sorted(took)])
    assert sorted(took)[len(took) // 2] < 100, took


def test_nodes_of_strangers_hide_no_member(make_cluster: ClusterMaker) -> None:
    """Names that no member can have, between those of the members in whatever order ZooKeeper lists them."""
    cluster = make_cluster(3, fronts=True)
    Ears(cluster)
    cluster.start()
    active = cluster.wait_settled()
    for i in range(30):
        cluster.zk.create(f"{cluster.root}/members/{i:02d}{'x' * 200}", b"{}")
    for member in cluster.members:
        member.wait(lambda: all(member.row(name).get("role") in ("active", "standby") for name in "abc"), 10,  # noqa: B023
                    "it sees all three")
    assert active.stop() == 0
    cluster.wait_active(other_than=active)


def test_redirect_mode_is_told(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster, front__mode="redirect")
    member.start()
    assert ears.wait_route(member, "local", timeout=30)["mode"] == 1


@pytest.mark.parametrize("kerberos", [False, True])
def test_auto_is_decided_by_livy_conf(make_cluster: ClusterMaker, kerberos: bool) -> None:
    _, member, ears = _one(make_cluster)
    if kerberos:
        with open(os.path.join(member.home, "conf", "livy.conf"), "a", encoding="utf-8") as file:
            file.write("livy.server.auth.type = kerberos\n")
    member.start()
    assert ears.wait_route(member, "local", timeout=30)["mode"] == int(kerberos)
    keys = {key["key"]: key for key in member.ctl("config").json["keys"]}
    expected = "redirect: livy.conf sets up Kerberos" if kerberos else "forward: livy.conf sets up no Kerberos"
    assert keys["front.mode"]["value"] == f'"auto" ({expected})'


def test_a_shared_port_is_left_to_livy(make_cluster: ClusterMaker) -> None:
    port = free_port()
    cluster, member, ears = _one(make_cluster, livy__port=port, front__listen=f"127.0.0.1:{port}")
    member.port = port
    member.start()
    life = member.wait_serving()
    ears.wait(member, "to keep off the port", lambda view: view["yield"] == 1 and view["route"] == "local")
    proc.send(life.pid, signal.SIGKILL)
    again = member.wait_serving(other_than=life)
    proc.send(again.pid, signal.SIGKILL)  # the start after a second death waits
    ears.wait(member, "that the port is free", lambda view: view["yield"] == 0)
    life = member.wait_serving(other_than=again)
    ears.wait(member, "to keep off the port", lambda view: view["yield"] == 1 and view["route"] == "local")
    views = ears.views(member)  # the ear may write down late what was sent in time
    first = views[max(number for number, view in enumerate(views) if view["yield"] == 0) + 1]
    assert first["yield"] == 1 and first["sent"] < life.first, "before Livy is started"
    relay = member.wait_relay()
    proc.send(relay, signal.SIGKILL)
    again = member.wait_relay(other_than=relay)
    ears.wait(member, "to keep off the port", lambda view: view["pid"] == again)
    assert all(view["yield"] == 1 for view in ears.views(member) if view["pid"] == again), "a new one from its first view on"


# ---- server.uri ---------------------------------------------------------------------------------------------


def test_server_uri_follows_the_active_front(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(3, fronts=True)
    Ears(cluster)
    cluster.start()
    for how in ("kill", "stop", "session"):
        active = cluster.wait_settled()
        cluster.wait(lambda: cluster.node("server.uri") == active.front_url.encode(), 10, f"server.uri is {active.name}'s")  # noqa: B023
        owner = cluster.zk.exists(f"{cluster.root}/server.uri").ephemeralOwner
        assert owner == cluster.zk.exists(cluster.latch_node(active)).ephemeralOwner
        if how == "kill":
            active.kill()
        elif how == "stop":
            assert active.stop() == 0
        else:  # its latch node is gone, its session and with it server.uri are not
            cluster.zk.delete(cluster.latch_node(active))
        successor = cluster.wait_active(other_than=active)
        cluster.wait(lambda: cluster.node("server.uri") == successor.front_url.encode(), 10, "server.uri follows")  # noqa: B023
        if not active.running():
            active.start()
    assert json.loads(cluster.node(f"members/{successor.name}") or b"{}")["url"] == successor.front_url


def test_server_uri_is_made_anew_where_somebody_has_changed_it(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, fronts=True)
    Ears(cluster)
    cluster.start()
    active = cluster.wait_settled()
    path, expected = f"{cluster.root}/server.uri", active.front_url.encode()
    cluster.wait(lambda: cluster.node("server.uri") == expected, 10, "server.uri is there")
    for _ in range(2):
        cluster.zk.delete(path)
        cluster.wait(lambda: cluster.node("server.uri") == expected, 5, "it is there again")
    cluster.zk.set(path, b"http://elsewhere:1")
    cluster.wait(lambda: cluster.node("server.uri") == expected, 5, "it says what it should")
    assert cluster.zk.exists(path).ephemeralOwner == cluster.zk.exists(cluster.latch_node(active)).ephemeralOwner
    settled = cluster.zk.exists(path).czxid
    let_pass(1.5, lambda: cluster.zk.exists(path).czxid == settled, "and it is left alone")
    cluster.zk.delete(path)
    assert active.stop() == 0, "a latch is given up without it too"
    cluster.wait_active(other_than=active)


def test_server_uri_goes_with_the_latch(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, fronts=True)
    Ears(cluster)
    cluster.start()
    member = cluster["a"]
    cluster.wait(lambda: cluster.node("server.uri"), 10, "server.uri is there")
    assert member.stop() == 0
    assert cluster.node("server.uri") is None and not cluster.latch()


def test_server_uri_without_a_front_is_livys_own(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"].start()
    member.wait_serving()
    data = cluster.wait(lambda: cluster.node("server.uri"), 10, "server.uri is there")
    assert data.decode() == member.row()["livy_url"] == member.ctl("active").json["url"]


def test_server_uri_survives_the_elector(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, fronts=True)
    Ears(cluster)
    cluster.start()
    member = cluster["a"]
    cluster.wait(lambda: cluster.node("server.uri"), 10, "server.uri is there")
    before = cluster.zk.exists(f"{cluster.root}/server.uri")
    elector = member.wait_elector()
    proc.send(elector, signal.SIGKILL)
    member.wait_elector(other_than=elector)
    member.wait(lambda: member.row().get("livy") == "serving", 15, "the new one knows Livy")
    let_pass(1, lambda: cluster.zk.exists(f"{cluster.root}/server.uri").czxid == before.czxid, "it is found, and left as it is")
    assert member.stop() == 0
    assert cluster.node("server.uri") is None


# ---- a planned stop -----------------------------------------------------------------------------------------


def _record(cluster: Cluster, member: Member) -> dict[str, object]:
    return dict(json.loads(cluster.node(f"members/{member.name}") or b"{}"))


def _held(cluster: Cluster, member: Member) -> object:
    front = _record(cluster, member).get("front")
    return front.get("held") if isinstance(front, dict) else None


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_stop_waits_for_what_runs(make_cluster: ClusterMaker, where: str) -> None:
    """Requests run through the active member's own front, or through another's: Livy is stopped once they have ended."""
    cluster = make_cluster(3, fronts=True, front__drain="30s")
    ears = Ears(cluster)
    cluster.start()
    active = cluster.wait_settled()
    epoch = cluster.epoch()
    standbys = cluster.standbys()
    busy = active if where == "here" else standbys[0]
    for member in cluster.members:
        ears.wait_route(member, "local" if member is active else "remote", active)
    for member in standbys:  # who joined a moment ago may be news to it still, and it waits for those that it knows
        active.wait(lambda: active.row(member.name).get("role") == "standby", 10, "it knows the others")  # noqa: B023
    life = active.serving()
    assert life is not None
    ears.set(busy, "running=1")
    active.stop_begin()
    for member in cluster.members:
        assert ears.wait_route(member, "pause", active)["epoch"] == epoch
    for member in standbys:
        if member is not busy:
            cluster.wait(lambda: _held(cluster, member) == epoch, 5, "a front with nothing running says that it holds")  # noqa: B023
    let_pass(1, lambda: proc.alive(life.pid), "what runs may end", cluster.failure_text)
    record = _record(cluster, active)
    assert (record["livy"], record["quiescing"], record["role"]) == ("stopping", True, "active"), record
    assert _held(cluster, busy) is None
    now = boot_ms()
    ears.set(busy, "running=0")
    active.wait_gone(life.pid, 5, "(Livy, with nothing running any more)")
    assert boot_ms() - now < 1000
    successor = cluster.wait_active(other_than=active)
    for member in standbys:
        ears.wait_route(member, "local" if member is successor else "remote", successor)
        assert _changes(ears, member)[-3:] in (["pause", "nobody", "local"], ["pause", "nobody", "remote"])
        cluster.wait(lambda: _held(cluster, member) is None, 5, "the hand-over is over")  # noqa: B023


def test_a_stop_waits_no_longer_than_front_drain(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, fronts=True, front__drain="1s")
    ears = Ears(cluster)
    cluster.start()
    active = cluster.wait_settled()
    life = active.serving()
    assert life is not None
    ears.wait_route(active, "local")
    ears.set(active, "running=1")
    began = boot_ms()
    active.stop_begin()
    active.wait_gone(life.pid, 10, "(Livy)")
    assert 950 <= boot_ms() - began < 2500


def test_a_stop_waits_for_no_front_that_redirects(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, fronts=True, front__drain="20s", front__mode="redirect")
    ears = Ears(cluster)
    cluster.start()
    active = cluster.wait_settled()
    standby = cluster.standbys()[0]
    life = active.serving()
    assert life is not None
    ears.wait_route(standby, "remote", active)
    ears.set(standby, "running=1")
    began = boot_ms()
    active.stop_begin()
    active.wait_gone(life.pid, 10, "(Livy)")
    assert boot_ms() - began < 2000


@pytest.mark.parametrize("fronts", [True, False])
def test_a_stop_with_nothing_running_is_quick(make_cluster: ClusterMaker, fronts: bool) -> None:
    """From TERM to Livy's death: with fronts it takes two writes through ZooKeeper, without any none."""
    cluster = make_cluster(3, fronts=fronts, front__drain="20s")
    if fronts:
        Ears(cluster)
    cluster.start()
    took = []
    for _ in range(5):
        active = cluster.wait_settled()
        active.wait_role("active")
        active.wait(lambda: active.row().get("livy") == "serving", 10, "status says that Livy serves")  # noqa: B023
        life = active.serving()
        assert life is not None
        began = boot_ms()
        assert active.stop() == 0
        ended = active.oracle.life_of(life.pid)
        assert ended is not None
        took.append(ended.last // 1_000_000 - began)
        active.start()
    print(f"ms from TERM to Livy's end, {'with' if fronts else 'without'} fronts:", sorted(took))
    assert sorted(took)[len(took) // 2] < 500, took


# ---- the end, with clients who came before it was known ---------------------------------------------------------------


def test_who_waits_at_the_end_is_waited_for(make_cluster: ClusterMaker) -> None:
    """Those who wait in the front of a member that ends get the next Livy by way of it; nobody else waits for them."""
    cluster = make_cluster(2, fronts=True, front__drain="1s")
    ears = Ears(cluster)
    cluster.start()
    active = cluster.wait_settled()
    ears.wait_route(active, "local")
    ears.set(active, "held=3")
    active.stop_begin()
    successor = cluster.wait_active(other_than=active)
    view = ears.wait_route(active, "remote", successor)
    assert view["ending"] == ENDS
    gap = cluster.oracle.gaps()[-1]
    assert gap.ns < 1_000_000_000, "the hand-over has not waited"
    let_pass(2, active.running, "who waits is waited for, longer than front.drain", cluster.failure_text)
    ears.set(active, "")
    assert active.wait_exit(2) == 0
    assert all(view["ending"] != CUT for view in ears.views(active))


@pytest.mark.parametrize("running", [False, True])
def test_who_waits_at_the_end_is_told_in_time(make_cluster: ClusterMaker, running: bool) -> None:
    """Where no answer comes: within the keeper's patience."""
    cluster = make_cluster(2, fronts=True)
    ears = Ears(cluster)
    cluster.start()
    active = cluster.wait_settled()
    standby = cluster.standbys()[0]
    ears.wait_route(standby, "remote", active)
    ears.set(standby, "running=1" if running else "held=1")
    began = boot_ms()
    standby.stop_begin()
    ears.wait(standby, "that it is over", lambda view: view["ending"] == CUT)
    assert 7500 <= boot_ms() - began < 9500
    assert standby.wait_exit(2) == 0
    assert "the elector (pid" not in standby.log(), "it has ended by itself"


def test_nobody_waits_for_a_next_livy_that_cannot_come(make_cluster: ClusterMaker) -> None:
    _, member, ears = _one(make_cluster)
    member.start()
    member.wait_serving()
    ears.wait_route(member, "local")
    ears.set(member, "held=1")
    began = boot_ms()
    assert member.stop() == 0
    assert boot_ms() - began < 3000
    assert ears.last(member)["ending"] == CUT
