"""Exit codes of livy-ha and of livy-ha-ctl, one by one, as scripts and service managers rely on them; and what is refused
wherever it is asked for."""
import http.server
import json
import signal
import subprocess
import threading
from collections.abc import Callable

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.build import program
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.orders import order
from livyha.ports import free_port


# ---- livy-ha ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["--version"], 0, "livy-ha "),
    (["--help"], 0, "usage: livy-ha"),
    (["--nonsense"], 64, "usage: livy-ha"),
    (["-c"], 64, "usage: livy-ha"),
    (["surplus"], 64, "unexpected argument: surplus"),
    (["-c", "/nonexistent/livy-ha.conf"], 78, "/nonexistent/livy-ha.conf"),
    (["-c", "/nonexistent/livy-ha.conf", "--check-config"], 78, "/nonexistent/livy-ha.conf"),
    (["-c", "/nonexistent/livy-ha.conf", "--close-session"], 78, "/nonexistent/livy-ha.conf"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_daemon_without_a_configuration(arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run([program("livy-ha"), *arguments], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done


def _exits(member: Member, code: int, *words: str) -> None:
    member.start()
    assert member.wait_exit(30) == code, member.failure_text()
    member.wait_log(*words)


def test_daemon_with_one(make_cluster: ClusterMaker) -> None:
    """0, 75 and 78 of a daemon that is run, each where it is due."""
    cluster = make_cluster(2)
    member, other = cluster.members
    for check, code in ((True, 0), (False, 78)):
        member.settings["livy.restarts"] = 3 if check else "many"
        member.write_conf()
        done = subprocess.run([program("livy-ha"), "-c", member.conf_path, "--check-config"], env=member.env, capture_output=True,
                              text=True, check=False)
        assert done.returncode == code, done
    _exits(member, 78, "livy.restarts")
    member.settings["livy.restarts"] = 3
    member.settings["livy.home"] = "/nonexistent/livy"
    member.write_conf()
    _exits(member, 75, "livy.home", "mounted")
    member.settings["livy.home"] = member.home
    member.write_conf()
    with http.server.ThreadingHTTPServer(("", member.port), http.server.BaseHTTPRequestHandler) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        _exits(member, 75, f"livy.port {member.port} is taken")
        stranger.shutdown()
    member.start()
    member.wait_serving()
    other.settings["runtime_dir"] = member.runtime_dir
    other.write_conf()
    _exits(other, 75, "another livy-ha")
    other.settings["runtime_dir"] = other.runtime_dir
    other.settings["id"] = member.name
    other.write_conf()
    _exits(other, 75, "id")
    assert member.stop() == 0


# ---- livy-ha-ctl -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(module_cluster: ClusterMaker) -> Cluster:
    return module_cluster(2, fronts=True).start()


def known(cluster: Cluster) -> tuple[Member, Member]:
    """The active member and the standby, once each knows of the other."""
    active = cluster.wait_settled()
    standby = cluster.standbys()[0]
    for member in (active, standby):
        member.wait(lambda member=member: (member.row(active.name).get("role"), member.row(standby.name).get("role"))
                    == ("active", "standby") and (member.status() or {}).get("serving"), 20, "it knows all")
    return active, standby


@pytest.mark.parametrize("arguments", [
    ["status"], ["status", "--wide"], ["status", "--json"], ["active"], ["history"], ["history", "--trace"], ["history", "--json"],
    ["config"], ["config", "--json"], ["version"], ["wait", "--for", "serving"], ["--help"],
], ids=" ".join)
def test_ctl_0_for_what_is_read(pair: Cluster, arguments: list[str]) -> None:
    for member in known(pair):
        done = order(member, *arguments)
        assert done.code == 0 and bool(done.out) == (arguments[0] != "wait") and not done.err, done
        if "--json" in arguments:
            json.loads(done.out)


def test_ctl_0_for_what_is_waited_for(pair: Cluster) -> None:
    active, standby = known(pair)
    assert order(active, "wait", "--for", "active").code == 0
    assert order(standby, "wait", "--for", "standby").code == 0
    for member in (active, standby):
        url = f"http://127.0.0.1:{member.admin_port}"
        for arguments in (["status"], ["active"], ["history"], ["version"], ["wait", "--for", "serving"]):
            done = subprocess.run([program("livy-ha-ctl"), "-u", url, *arguments], capture_output=True, text=True, check=False)
            assert done.returncode == 0 and not done.stderr, (arguments, done)


def test_ctl_0_for_what_is_changed(pair: Cluster) -> None:
    """Each command that changes something, once, on members that it concerns."""
    active, standby = known(pair)
    commands = [(standby, ["pause", "--for", "1h"]), (active, ["resume"]), (active, ["reload"]), (active, ["restart"]),
                (standby, ["drain"]), (standby, ["undrain"]), (standby, ["upgrade"]), (active, ["upgrade"])]
    for member, arguments in commands:
        done = order(member, *arguments)
        assert done.code == 0 and done.out.count("\n") == 1 and not done.err, (arguments, done, member.failure_text())
    active, standby = known(pair)
    assert order(standby, "switchover", "--to", standby.name).code == 0
    active, standby = known(pair)
    assert standby.stop() == 0
    active.wait(lambda: active.row(standby.name).get("role") == "absent", 15, "it is absent")
    assert order(active, "forget", standby.name).code == 0
    standby.start()
    known(pair)


@pytest.mark.parametrize(("role", "arguments", "why"), [
    ("standby", ["restart"], "this member is not active"),
    ("active", ["forget", "b a"], "there is no member"),
    ("active", ["forget", "a/b"], "no member's id"),
    ("active", ["switchover", "--to", "zz"], "there is no member zz"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_ctl_1_for_what_is_refused(pair: Cluster, role: str, arguments: list[str], why: str) -> None:
    active, standby = known(pair)
    done = order(active if role == "active" else standby, *arguments)
    assert (done.code, done.err.count("\n"), why in done.err) == (1, 1, True), done


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["status", "--to", "b"], ["status", "surplus"], ["history", "--wide"], ["wait"], ["wait", "--for", "ever"],
    ["pause", "--for", "ever"], ["forget"], ["forget", "a", "b"], ["upgrade", "--force"], ["status", "--timeout", "10"],
    ["switchover", "-u", "http://h"], ["config", "-u", "http://h"], ["history", "--trace", "-u", "http://h"], ["--bogus"],
    ["status", "-s", "x", "-u", "http://h"],
], ids=lambda value: " ".join(value) or "nothing")
def test_ctl_2_for_a_wrong_line(arguments: list[str]) -> None:
    done = subprocess.run([program("livy-ha-ctl"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and not done.stdout and done.stderr, done


def test_ctl_3_where_nobody_is_active(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster.start()["a"]
    assert order(member, "drain", "--force").code == 0
    for arguments in (["status"], ["status", "--json"], ["active"]):
        done = order(member, *arguments)
        assert done.code == 3, done
    assert order(member, "undrain").code == 0


@pytest.mark.parametrize("arguments", [
    ["status"], ["active"], ["history"], ["history", "--trace"], ["config"], ["version"], ["switchover"], ["pause"], ["resume"],
    ["restart"], ["drain"], ["undrain"], ["forget", "b"], ["reload"], ["upgrade"],
], ids=" ".join)
def test_ctl_4_where_no_daemon_answers(tmp_path: object, arguments: list[str]) -> None:
    for where in (["-s", f"{tmp_path}/none.sock"], ["-u", f"http://127.0.0.1:{free_port()}"]):
        done = subprocess.run([program("livy-ha-ctl"), *where, *arguments], capture_output=True, text=True, check=False)
        wanted = 2 if where[0] == "-u" and arguments[0] not in ("status", "active", "history", "version") else 4
        wanted = 2 if where[0] == "-u" and "--trace" in arguments else wanted
        assert done.returncode == wanted, (where, done)
        assert wanted == 2 or done.stderr.count("\n") == 1, done


def test_ctl_5_where_time_is_over(pair: Cluster) -> None:
    active, standby = known(pair)
    done = order(standby, "wait", "--for", "active", timeout="500ms")
    assert done.code == 5 and done.err.count("\n") == 1, done
    elector = standby.wait_elector()
    standby.pause_process(elector)
    try:
        for arguments in (["status"], ["history"], ["reload"]):
            done = order(standby, *arguments, timeout="500ms")
            assert done.code in (4, 5) and done.err.count("\n") == 1, (arguments, done)
        assert done.code == 5, "it takes the request, and does not answer"
    finally:
        proc.send(elector, signal.SIGCONT)
    assert active.serving() is not None
    known(pair)


# ---- refused by every command ----------------------------------------------------------------------------------------------


def _everything() -> list[list[str]]:
    return [["switchover"], ["pause"], ["resume"], ["restart"], ["drain"], ["undrain"], ["forget", "zz"], ["reload"], ["upgrade"]]


def test_a_daemon_that_is_stopping_refuses(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, livy__stop_grace="20s")
    member = cluster["a"]
    member.set_mode("hang-term")
    cluster.start()
    member.stop_begin()
    member.wait_log("SIGTERM: stopping")
    member.wait(lambda: "stopping" in order(member, "resume").err, 10, "it says that it is stopping")
    for command in _everything():
        done = order(member, *command)
        assert done.code == 1 and "this daemon is stopping" in done.err and done.err.count("\n") == 1, (command, done)
    assert order(member, "status").code in (0, 3), "what is read is told"
    member.stop_begin()
    assert member.wait_exit(20) == 0


def test_while_a_switchover_is_under_way(make_cluster: ClusterMaker) -> None:
    """Another one, a drain or a restart of the active member, an upgrade: none gets in between."""
    cluster = make_cluster(3)
    cluster.start()
    active = cluster.wait_settled()
    for member in cluster.members:
        member.wait(lambda member=member: sorted(row["role"] for row in (member.status() or {}).get("members", []))
                    == ["active", "standby", "standby"], 20, "all know all")
        member.set_mode("start-delay=3000")
    queue = cluster.latch_ids()
    asker = cluster[queue[2]]
    assert asker.ctl("switchover", "--no-wait").code == 0
    cluster.wait(lambda: cluster.control().get("switchover", {}).get("begun"), 15, "it is begun")
    for member, command, why in ((asker, ["switchover"], "under way"), (active, ["restart"], "not active")):
        done = order(member, *command)
        assert done.code == 1 and why in done.err and done.err.count("\n") == 1, (command, done)
    for member in cluster.members:
        member.set_mode("")
    cluster.wait(lambda: "switchover" not in cluster.control(), 60, "it is over")
    cluster.wait_settled()
    cluster.assert_exclusive()


def test_more_commands_than_are_kept(make_cluster: ClusterMaker) -> None:
    """Those beyond 32 that wait are refused, in one line; the others end as they would."""
    cluster = make_cluster(1)
    member = cluster.start()["a"]
    keeper: Callable[[int], bool] = lambda number: proc.send(member.pid, number)  # noqa: E731
    member.pause_process(member.pid)
    try:
        results = [order(member, "reload", "--no-wait", timeout="5s") for _ in range(34)]
    finally:
        keeper(signal.SIGCONT)
    refused = [result for result in results if result.code != 0]
    assert len(refused) == 2 and all("too many commands are under way" in result.err for result in refused), refused
    member.wait(lambda: order(member, "reload").code == 0, 20, "it is over")
