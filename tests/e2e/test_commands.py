"""What people ask for by livy-ha-ctl: each command, each refusal, on any member, and what comes through crashes."""
import json
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.build import program
from livyha.cluster import Cluster
from livyha.control import ask_control
from livyha.member import CtlResult, Member
from livyha.oracle import Life
from livyha.orders import done, order, refused
from livyha.proxy import Proxy
from livyha.terminal import CLEAR, HOME, TO_LINE_END, Terminal, on_a_terminal
from livyha.wait import spawn
from livyha.zookeeper import Ensemble

def roles(member: Member) -> dict[str, str]:
    return {row["id"]: row["role"] for row in (member.status() or {}).get("members", [])}


def settled(cluster: Cluster) -> Member:
    """One active, the others in the queue, and every member knows it."""
    cluster.wait_settled()

    def agreed() -> Member | None:
        active = cluster.active()
        wanted = {each.name: "active" if each is active else "standby" for each in cluster.members if each.running()}
        told = all(wanted.items() <= roles(each).items() for each in cluster.members if each.running())
        return active if told else None
    return cluster.wait(agreed, 20, "all members tell the same")


def life_of(member: Member) -> Life:
    life = member.serving()
    assert life is not None, member.failure_text()
    return life


@pytest.fixture
def three(shared_cluster: Cluster) -> Cluster:
    settled(shared_cluster)
    return shared_cluster


# ---- switchover ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked_on", [0, 1, 2])
def test_switchover_asked_on_any_member(three: Cluster, asked_on: int) -> None:
    queue = three.latch_ids()
    old, life = three[queue[0]], life_of(three[queue[0]])
    out = done(three[queue[asked_on]], "switchover")
    assert re.fullmatch(rf"{queue[1]} took over from {queue[0]}: \S+m?s without a Livy, \S+ from the request to serving\n",
                        out), out
    assert settled(three).name == queue[1], "the next in the queue takes over"
    assert three.latch_ids() == [queue[1], queue[2], queue[0]], "who handed over joins again at the end"
    ended = three.oracle.life_of(life.pid)
    assert ended is not None and ended.exit_kind == 1, "an orderly stop"
    assert old.running() and "switchover" not in three.control()
    three.wait(lambda: any(entry["event"] == "released" and "switchover" in entry["reason"]
                           for entry in three.history()[-6:]), 10, "the history says why")
    three.assert_exclusive()


@pytest.mark.parametrize("asked_on", [0, 1, 2])
def test_switchover_to_the_last_in_the_queue(three: Cluster, asked_on: int) -> None:
    queue = three.latch_ids()
    epoch = three.epoch()
    result = three[queue[asked_on]].ctl("switchover", "--to", queue[2])
    assert result.code == 0, result
    said = result.json
    assert (said["state"], said["active"]) == ("done", queue[2])
    assert said["text"] == f"{queue[2]} took over from {queue[0]}"
    assert 0 <= said["gap_ms"] <= said["took_ms"] < 20000
    assert settled(three).name == queue[2]
    assert sorted(three.latch_ids()[1:]) == sorted([queue[0], queue[1]])
    assert (three.epoch() or 0) > (epoch or 0)
    three.assert_exclusive()


def test_switchover_gap_is_what_the_stand_ins_saw(three: Cluster) -> None:
    life = life_of(three.wait_settled())
    said = three.standbys()[0].ctl("switchover").json
    ended, new = three.oracle.life_of(life.pid), three.oracle.lives()[-1]
    assert ended is not None
    seen = (new.first - ended.last) / 1e6
    assert abs(said["gap_ms"] - seen) < 1000, (said, seen)


def test_switchover_without_waiting(three: Cluster) -> None:
    member = three.standbys()[0]
    queue = three.latch_ids()
    result = member.ctl("switchover", "--no-wait")
    assert result.code == 0 and result.json["state"] == "running", result
    three.wait(lambda: (three.active() or member).name == queue[1], 20, "it is done all the same")
    settled(three)

    asked = f"/command?id={result.json['id']}"
    three.wait(lambda: ask_control(member, asked).json["state"] == "done", 10, "its end can be asked for by its id")
    another = three[queue[2]] if member.name != queue[2] else three[queue[0]]
    assert ask_control(another, asked).json["state"] == "done", "on any member"


def test_posts_wait_for_the_outcome(three: Cluster) -> None:
    queue = three.latch_ids()
    asked = ask_control(three[queue[1]], "/switchover", "POST")
    assert asked.status == 200 and asked.json["active"] == queue[1]
    assert (three.active() or three[queue[0]]).name == queue[1]
    three[queue[1]].wait(lambda: ask_control(three[queue[1]], "/command?id=unknown").status == 404, 10, "it has read what it wrote")
    for path, status, why in (("/nonsense", 404, "there is no such command"), ("/forget", 400, "forget needs id=ID"),
                              ("/pause?for_ms=x", 400, "for_ms and timeout_ms are numbers of milliseconds"),
                              ("/switchover?to=zz", 409, "there is no member zz")):
        asked = ask_control(three[queue[1]], path, "POST")
        assert (asked.status, asked.json["error"]) == (status, why), asked
    asked = ask_control(three[queue[1]], "/command?id=unknown")
    assert (asked.status, asked.json["error"]) == (404, "no command with this id is known"), asked


def test_switchover_refusals(three: Cluster) -> None:
    active = settled(three)
    asker, other = three.standbys()
    refused(asker, "switchover", "--to", active.name, why=f"{active.name} is the active member already")
    refused(asker, "switchover", "--to", "zz", why="there is no member zz")
    done(other, "drain")
    refused(asker, "switchover", "--to", other.name, why=f"{other.name} is drained: livy-ha-ctl undrain there first")
    done(other, "undrain")
    assert other.stop() == 0
    asker.wait(lambda: roles(asker).get(other.name) == "absent", 15, "it is seen as absent")
    refused(asker, "switchover", "--to", other.name, why=f"{other.name} is not there (absent)")
    done(asker, "drain")
    active.wait(lambda: roles(active).get(asker.name) == "drained", 10, "it is seen as drained")
    refused(active, "switchover", why="no other member stands in the queue")
    done(asker, "undrain")
    other.start()
    settled(three)
    assert active.serving() is not None, "nothing of it has touched the active one"


def test_two_switchovers_at_once(three: Cluster) -> None:
    queue = three.latch_ids()
    results: list[CtlResult] = []

    def ask(name: str) -> None:
        results.append(order(three[name], "switchover", "--to", queue[1] if name != queue[1] else queue[2], timeout="30s"))
    threads = [threading.Thread(target=ask, args=(name,)) for name in queue]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled(three)
    assert any(result.code == 0 for result in results), results
    for result in results:
        assert result.code == 0 or "under way" in result.err or "already" in result.err or "no active" in result.err, results
    assert "switchover" not in three.control()
    three.assert_exclusive()


def test_successor_that_cannot_be_reached_in_time(three: Cluster) -> None:
    """A standby between the two is stopped: it does not step back. The request expires; nothing was changed."""
    queue = three.latch_ids()
    between, last = three[queue[1]], three[queue[2]]
    life = life_of(three[queue[0]])
    elector = between.wait_elector()
    between.pause_process(elector)
    try:
        result = order(last, "switchover", "--to", last.name, timeout="1s")
        assert result.code == 5 and "did not come to stand next" in result.err, result
        assert "nothing was changed" in result.err
    finally:
        proc.send(elector, signal.SIGCONT)
    assert "switchover" not in three.control()
    assert proc.alive(life.pid) and settled(three).name == queue[0]


def test_who_stands_is_asked_of_the_queue_itself(make_cluster: ClusterMaker) -> None:
    """What a member tells of itself comes later than what it does; nobody's Livy is stopped on its word."""
    cluster = make_cluster(2).start()
    active = settled(cluster)
    standby = next(member for member in cluster.members if member is not active)
    life, elector = life_of(active), standby.wait_elector()
    standby.pause_process(elector)  # it goes on saying that it stands
    cluster.zk.delete(cluster.latch_node(standby))
    refused(active, "switchover", why="no other member stands any more; nothing was changed")
    refused(active, "drain", why="no other member stands, so nobody would serve: start one, or say --force")
    assert "switchover" not in cluster.control() and active.name not in cluster.control().get("drained", {})
    proc.send(elector, signal.SIGCONT)
    cluster.wait(lambda: len(cluster.latch()) == 2, 20, "it stands again")
    assert life_of(active).pid == life.pid
    cluster.assert_exclusive()


# ---- pause ----------------------------------------------------------------------------------------------------------


def test_pause_and_resume(three: Cluster) -> None:
    active = settled(three)
    asker = three.standbys()[0]
    done(asker, "pause")
    for member in three.members:
        member.wait(lambda member=member: (member.status() or {}).get("paused"), 10, "it knows of the pause")
    assert "Paused" in done(asker, "status")
    life = life_of(active)
    proc.send(life.pid, signal.SIGKILL)
    active.wait(lambda: active.row().get("livy") == "failed", 15, "its Livy's death is seen")
    assert ask_control(active, "/status").json["phase"] == "paused"
    assert three.oracle.lives()[-1].pid == life.pid, "Livy is not restarted in a pause"
    done(active, "restart")  # what a person asks for is done
    assert life_of(active).pid != life.pid
    done(asker, "switchover")  # the same
    new = settled(three)
    assert new is not active
    assert new.stop() == 0  # nobody takes over by himself
    first = three[three.latch_ids()[0]]
    first.wait(lambda: ask_control(first, "/status").json["phase"] == "paused", 15, "the next one waits")
    assert three.active() is None
    assert first.ctl("active").code == 3
    assert done(asker if asker.running() else first, "resume") == "the cluster is not paused any more\n"
    three.wait_active(20)
    new.start()
    settled(three)
    three.wait(lambda: {"paused", "resumed"} <= {entry["event"] for entry in three.history()}, 10, "the history has both")


def test_a_pause_ends_by_itself(three: Cluster) -> None:
    active = settled(three)
    done(active, "pause", "--for", "3s")
    status = active.status()
    assert status is not None and status["paused"] and re.fullmatch(r"\d{4}-.*Z", status["paused_until"])
    life = life_of(active)
    proc.send(life.pid, signal.SIGKILL)
    new = three.wait_new_life(life, 30)
    assert new.first - life.last > 500_000_000, "not before the pause was over"
    settled(three)
    assert active.status()["paused"] is False
    done(active, "resume")


def test_a_lost_lease_fences_in_a_pause_too(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    active = settled(cluster)
    done(active, "pause")
    life, elector = life_of(active), active.wait_elector()
    active.pause_process(elector)
    active.wait_gone(life.pid, 15, "(Livy, at its deadline)")
    cluster.wait(lambda: active.wait_elector() != elector, 20, "the hung elector is replaced")
    standby = next(member for member in cluster.members if member is not active)
    assert cluster.oracle.lives()[-1].pid == life.pid
    done(standby, "resume")
    cluster.wait_active(30)


def test_a_pause_that_is_asked_for_while_a_member_is_cut_off(make_cluster: ClusterMaker, zookeeper: Ensemble) -> None:
    """It comes back in the same session, still first, with a dead Livy: it looks before it starts one."""
    with Proxy(zookeeper.servers[0].port) as proxy:
        cluster = make_cluster(0, livy__state_store_url=zookeeper.hosts)
        cut_off = cluster.add("a", {"zookeeper.hosts": proxy.address, "zookeeper.session_timeout": "10s"}).start()
        cut_off.wait_serving()
        other = cluster.add("b").start()
        assert settled(cluster) is cut_off
        life, latch = life_of(cut_off), cluster.latch()
        proxy.cut = True
        cut_off.wait(lambda: (cut_off.status() or {}).get("connected") is False, 8, "the connection is given up")
        proc.send(life.pid, signal.SIGKILL)
        cut_off.wait(lambda: cut_off.row().get("livy") == "failed", 5, "its Livy's death is seen")
        done(other, "pause")
        proxy.cut = False
        cut_off.wait(lambda: (cut_off.status() or {}).get("connected") and cut_off.row().get("role") == "active", 8, "connected")
        cut_off.wait(lambda: (cut_off.status() or {}).get("paused"), 8, "it knows of the pause")
        assert cluster.latch() == latch, "it is the same session"
        assert cluster.oracle.lives()[-1].pid == life.pid, "nobody has started Livy"
        done(other, "resume")
        cluster.wait_active(30)


def test_a_pause_survives_all_members(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    active = settled(cluster)
    life = life_of(active)
    done(active, "pause")
    for member in cluster.members:
        assert member.stop() == 0
    for member in cluster.members:
        member.start()
    cluster.wait(lambda: len(cluster.latch()) == 2, 30, "both stand")
    cluster.wait(lambda: (cluster.members[0].status() or {}).get("paused"), 15, "still paused")
    assert cluster.oracle.lives()[-1].pid == life.pid, "nobody has started Livy"
    done(cluster.members[1], "resume")
    cluster.wait_active(30)


# ---- restart ----------------------------------------------------------------------------------------------------------


def test_restart_keeps_latch_and_epoch(three: Cluster) -> None:
    active = settled(three)
    life, latch, epoch = life_of(active), three.latch(), three.epoch()
    out = done(active, "restart")
    assert re.match(rf"Livy was restarted on {active.name}: \S+ without a Livy", out), out
    assert life_of(active).pid != life.pid
    assert (three.latch(), three.epoch()) == (latch, epoch)
    assert json.loads(three.node("deaths") or b"[]") == [] or "restart" not in str(three.node("deaths"))
    three.wait(lambda: any(entry["event"] == "restart" for entry in three.history()), 10, "the history says so")
    refused(three.standbys()[0], "restart", why="this member is not active: ask the one that is (livy-ha-ctl status)")
    three.assert_exclusive()


@pytest.mark.parametrize("what", ["elector", "keeper"])
def test_a_crash_in_mid_restart_in_a_pause(make_cluster: ClusterMaker, what: str) -> None:
    """What the restart has stopped is started again, by a new elector or by the next member; nobody resumes."""
    cluster = make_cluster(2, writing_ms=20)
    for member in cluster.members:
        member.set_mode("slow-term=1500")
    cluster.start()
    active = settled(cluster)
    life, elector = life_of(active), active.wait_elector()
    done(active, "pause")
    result = active.ctl("restart", "--no-wait", "--timeout", "60s")
    assert result.code == 0, result
    active.wait(lambda: active.row().get("livy") == "stopping", 15, "Livy is being stopped")
    assert cluster.control()["restart"]["epoch"] == cluster.epoch()
    if what == "elector":
        proc.send(elector, signal.SIGKILL)
    else:
        active.kill()
    new = cluster.wait_new_life(life, 60)
    cluster.wait_active(30)
    assert new.pid != life.pid
    asker = next(member for member in cluster.members if member.running())
    cluster.wait(lambda: "restart" not in cluster.control(), 15, "the order is taken out")
    assert "paused" in cluster.control()
    done(asker, "resume")
    cluster.assert_exclusive()


# ---- drain -------------------------------------------------------------------------------------------------------------


def test_drain_of_the_active_one(three: Cluster) -> None:
    active = settled(three)
    out = done(active, "drain")
    assert f"{active.name} is drained; " in out and " took over from " in out
    assert active.row()["role"] == "drained"
    assert active.name not in three.latch_ids()
    assert active.row().get("alarms") == [], "what somebody asked for is no alarm"
    assert active.stop() == 0
    active.start()
    active.wait_role("drained")
    assert active.name not in three.latch_ids(), "it survives a restart of the daemon"
    assert "stands again" in done(active, "undrain")
    settled(three)
    assert active.name in three.latch_ids()


def test_drain_with_nobody_to_take_over(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1).start()
    member = cluster["a"]
    life = life_of(member)
    refused(member, "drain", why="no other member stands, so nobody would serve: start one, or say --force")
    refused(member, "switchover", why="no other member stands in the queue")
    assert proc.alive(life.pid)
    assert f"{member.name} is drained: it does not stand until livy-ha-ctl undrain" in done(member, "drain", "--force")
    assert not proc.alive(life.pid) and cluster.latch() == []
    assert member.ctl("status").code == 3
    done(member, "undrain")
    member.wait_serving()


def test_a_drain_survives_its_elector(three: Cluster) -> None:
    standby = three.standbys()[0]
    done(standby, "drain")
    elector = standby.wait_elector()
    proc.send(elector, signal.SIGKILL)
    standby.wait_elector(other_than=elector)
    standby.wait_role("drained")
    done(standby, "undrain")
    settled(three)


# ---- forget, reload, upgrade ----------------------------------------------------------------------------------------------


def test_forget(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    active = settled(cluster)
    other = cluster.standbys()[0]
    refused(active, "forget", other.name, why=f"{other.name} is there: only a member that is absent can be forgotten")
    refused(active, "forget", active.name, why=f"{active.name} is there")
    refused(active, "forget", "zz", why="there is no member zz")
    refused(active, "forget", "../x", why="that is no member's id")
    done(other, "drain")
    assert other.stop() == 0
    active.wait(lambda: roles(active).get(other.name) == "absent", 15, "it is absent")
    assert done(active, "forget", other.name) == f"{other.name} is forgotten\n"
    active.wait(lambda: other.name not in roles(active), 10, "it is not shown any more")
    assert cluster.node(f"known/{other.name}") is None
    other.start()
    settled(cluster)
    assert roles(active)[other.name] == "standby", "its drain is forgotten too"


def test_reload_and_upgrade(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1).start()
    member = cluster["a"]
    member.settings["livy.restarts"] = 7
    member.write_conf()
    assert "in force" in done(member, "reload")
    shown = [row for row in member.ctl("config").json["keys"] if row["key"] == "livy.restarts"]
    assert shown[0]["value"] == "7"
    member.settings["id"] = "other"
    member.write_conf()
    assert "restart of livy-ha" in done(member, "reload")
    member.settings["livy.restarts"] = "many"
    member.write_conf()
    refused(member, "reload", why="livy.restarts")
    assert done(member, "upgrade") == "elector 0.1.0 runs now\n"  # test_upgrade.py has the rest of it


# ---- without ZooKeeper, without a daemon --------------------------------------------------------------------------------------


def test_without_zookeeper(make_cluster: ClusterMaker, own_zookeeper: Any) -> None:
    own_zookeeper.stop()
    member = make_cluster(1, own_zookeeper)["a"].start()
    member.wait(lambda: member.status() is not None, 15, "the control socket answers without ZooKeeper")
    for command in (["switchover"], ["pause"], ["resume"], ["drain"], ["undrain"], ["forget", "b"]):
        refused(member, *command, why="not connected to ZooKeeper: nothing can be asked of the cluster")
    refused(member, "restart", why="not active")
    assert "in force" in done(member, "reload")
    assert member.stop(15) == 0
    for command in (["switchover"], ["pause"], ["restart"], ["reload"]):
        refused(member, *command, why="is livy-ha running? Use -s or -c to name another socket.", code=4)


def test_usage(three: Cluster) -> None:
    for arguments in (["switchover", "b"], ["forget"], ["pause", "--for", "x"], ["drain", "--to", "b"], ["restart", "-u", "http://h"]):
        argv = [program("livy-ha-ctl"), *arguments]
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 2, arguments


# ---- crashes in the middle -------------------------------------------------------------------------------------------------------


def slow_start(cluster: Cluster, ms: int) -> None:
    for member in cluster.members:
        member.set_mode(f"start-delay={ms}" if ms else "")


def begin_switchover(cluster: Cluster, asker: Member, *arguments: str) -> str:
    """Asked for, and begun; its id."""
    result = asker.ctl("switchover", "--no-wait", "--timeout", "60s", *arguments)
    assert result.code == 0, result
    cluster.wait(lambda: cluster.control().get("switchover", {}).get("begun") or "results" in cluster.control(), 15, "it is begun")
    return str(result.json["id"])


@pytest.mark.parametrize("who", ["asker", "active", "successor"])
@pytest.mark.parametrize("what", ["elector", "keeper"])
def test_a_crash_in_mid_switchover(make_cluster: ClusterMaker, who: str, what: str) -> None:
    cluster = make_cluster(3, writing_ms=20)
    cluster.start()
    active = settled(cluster)
    queue = cluster.latch_ids()
    slow_start(cluster, 1500)
    asker, successor = cluster[queue[1]], cluster[queue[2]]
    begin_switchover(cluster, asker, "--to", successor.name)
    victim = {"asker": asker, "active": active, "successor": successor}[who]
    if what == "elector":
        proc.send(victim.wait_elector(), signal.SIGKILL)
    else:
        victim.kill()
    slow_start(cluster, 0)
    cluster.wait_active(60)
    for member in cluster.members:
        if not member.running():
            member.start()
    settled(cluster)
    cluster.wait(lambda: "switchover" not in cluster.control(), 30, "the request is cleared")
    cluster.assert_exclusive()


def test_a_crash_before_it_is_begun(three: Cluster) -> None:
    """The successor dies while the queue is put into order: the active one goes on, and the answer says why."""
    queue = three.latch_ids()
    active, between, successor = (three[name] for name in queue)
    life, elector = life_of(active), between.wait_elector()
    between.pause_process(elector)
    try:
        result = active.ctl("switchover", "--no-wait", "--to", successor.name)
        assert result.code == 0, result
        three.wait(lambda: three.control().get("switchover", {}).get("sequence", -1) >= 0, 10, "the successor has said where it is")
        assert successor.stop() == 0
        three.wait(lambda: "switchover" not in three.control(), 15, "the request is taken out")
        outcome = three.control()["results"][-1]
        assert (outcome["outcome"], "has gone" in outcome["text"]) == ("failed", True), outcome
    finally:
        proc.send(elector, signal.SIGCONT)
    successor.start()
    assert settled(three) is active and proc.alive(life.pid)


def test_hostile_control_node(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    active = settled(cluster)
    life, elector = life_of(active), active.wait_elector()
    path = f"{cluster.root}/control"
    hostile = [b"", b"\xff\xfe", b"[]", b"7", b'{"switchover":7,"paused":1,"drained":[1]}', b"[" * 5000,
               b'{"switchover":{"id":"x","from":"a","epoch":-1,"asked_zk_ms":1,"expires_zk_ms":0}}',
               b'{"switchover":{"id":"' + b"x" * 500 + b'","from":"a","epoch":1}}',
               b'{"drained":{"' + active.name.encode() + b'x":{}},"results":7}', b'{"a":"' + b"x" * 900_000 + b'"}']
    for data in hostile:
        cluster.zk.set(path, data)
    cluster.zk.delete(path)
    done(active, "pause")
    done(active, "resume")
    assert active.wait_elector() == elector and proc.alive(life.pid), "nothing of it has touched anybody"
    done(active, "switchover")
    assert settled(cluster) is not active


# ---- what people see ------------------------------------------------------------------------------------------------------------


def test_colours_and_progress_on_a_terminal(three: Cluster) -> None:
    member = three.standbys()[0]
    code, text = on_a_terminal(member, "status")
    assert code == 0 and "\033[" in text
    code, text = on_a_terminal(member, "status", env={"NO_COLOR": "1"})
    assert code == 0 and "\033[" not in text
    slow_start(three, 600)
    code, text = on_a_terminal(member, "switchover")
    slow_start(three, 0)
    assert code == 0 and "switchover: " in text and "took over from" in text
    settled(three)


def test_the_table_fits_80_columns(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(0)
    member = cluster.add("a", {"id": "livy-" + "a" * 80 + ".a-rather-long-department.example.com"}).start()
    member.wait_serving()
    _, text = on_a_terminal(member, "status", env={"NO_COLOR": "1"})
    assert text and all(len(line) <= 80 for line in text.splitlines()), text


def test_watch_through_a_switchover(three: Cluster, tmp_path: Path) -> None:
    """Each picture is drawn over the one before, line by line; a program gets a document a line. Ctrl-C ends both in order."""
    queue = three.latch_ids()
    asker, lines = three[queue[2]], tmp_path / "lines"

    def told() -> list[tuple[str | None, bool]]:
        return [(line["active"], line["serving"]) for line in map(json.loads, lines.read_text().rpartition("\n")[0].splitlines())]
    with Terminal(asker, "watch", env={"NO_COLOR": "1"}) as screen, open(lines, "wb") as out:
        other = spawn([program("livy-ha-ctl"), "-s", asker.socket, "--json", "watch"], asker.env, out)
        for at, name in enumerate(queue[:2]):
            if at == 1:
                done(asker, "switchover")
            screen.wait(lambda: any(f": {name} serves" in picture for picture in screen.pictures()[-1:]), 10, f"{name} is shown")  # noqa: B023
            screen.wait(lambda: told()[-1:] == [(name, True)], 10, f"{name} is told")  # noqa: B023
        screen.press(b"\x03")
        proc.send(other.pid, signal.SIGINT)
        assert (screen.end(), other.wait(10)) == (0, 0)
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([program("livy-ha-ctl"), "-s", asker.socket, "watch"], env=asker.env, stdout=full, timeout=20,
                               stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "livy-ha-ctl: cannot write the output: No space left on device\n")
    pictures = screen.pictures()
    assert screen.text.startswith(HOME + CLEAR) and screen.text.count(CLEAR) == 1 and len(pictures) >= 2
    assert screen.text.count(TO_LINE_END) >= sum(picture.count("\n") for picture in pictures)
    assert all(len(line) <= 80 for picture in pictures for line in picture.splitlines()), pictures
    settled(three)


# ---- what was done, and why ------------------------------------------------------------------------------------------------------


def test_the_trace_tells_each_step(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2).start()
    active = settled(cluster)
    other = cluster.standbys()[0]
    steps = active.ctl("history", "--trace").json
    done_there = [word for step in steps for word in step["then"]]
    assert "confirming -> active" in done_there and any(word.startswith("start run 1, epoch ") for word in done_there), steps
    assert any(step["event"].startswith("connected: session 0x") for step in steps)
    assert not any(step["event"] == "time" and not step["then"] for step in steps), "nothing that says nothing"
    assert order(other, "history", "--trace").out.splitlines()[0].split() == ["At", "Phase", "Event", "Then"]
    assert done(active, "switchover")
    settled(cluster)
    told = [word for step in active.ctl("history", "--trace").json for word in step["then"]]
    assert "active -> releasing" in told and "stop" in told, told
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    elector = active.wait_elector()
    proc.send(elector, signal.SIGKILL)
    active.wait_elector(other_than=elector)
    active.wait(lambda: active.ctl("history", "--trace").code == 0, 10, "the new one answers")
    assert len(active.ctl("history", "--trace").json) < len(told), "it begins anew"
