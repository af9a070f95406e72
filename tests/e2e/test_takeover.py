"""Taking over from a member that did not leave in order: the delay, the fence command, its Livy that still answers."""
import json
import os
import shlex
import signal
import socket
from collections.abc import Iterator

import pytest
from conftest import ClusterMaker
from kazoo.security import make_acl
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.oracle import Life
from livyha.wait import let_pass

DELAY_MS = 3000


class Fence:
    """A fence command whose runs leave a file each, and which does what `verdict` says."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.verdict("exit 0")

    def verdict(self, script: str) -> None:
        path = os.path.join(self.directory, "verdict")
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(script)
        os.rename(path + ".part", path)

    @property
    def command(self) -> str:
        where = shlex.quote(self.directory)
        return f"cd {where} && env >run.$$.part && mv run.$$.part run.$LIVY_HA_FENCE_BY.$$.env && . ./verdict"

    def runs(self) -> list[dict[str, str]]:
        """The environment of each run."""
        found: list[dict[str, str]] = []
        for name in sorted(os.listdir(self.directory)):
            if name.endswith(".env"):
                with open(os.path.join(self.directory, name), encoding="utf-8") as file:
                    found.append(dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line))
        return found

    def by(self, member: Member) -> list[dict[str, str]]:
        return [run for run in self.runs() if run["LIVY_HA_FENCE_BY"] == member.name]


@pytest.fixture
def fence(tmp_path_factory: pytest.TempPathFactory) -> Fence:
    return Fence(str(tmp_path_factory.mktemp("fence")))


@pytest.fixture
def thawed() -> Iterator[list[int]]:
    """Pids to be continued whatever happens."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        proc.send(pid, signal.SIGCONT)


def _kill_everything(member: Member) -> Life:
    """kill -9 of keeper, elector and Livy, all at once, as a power cut does it."""
    life, elector = member.serving(), member.wait_elector()
    assert life is not None
    pids = [member.pid, elector, life.pid]
    for pid in pids:
        proc.send(pid, signal.SIGSTOP)
    for pid in pids:
        proc.send(pid, signal.SIGKILL)
    member.wait_exit(10)
    for pid in pids[1:]:
        member.wait_gone(pid)
    return life


def _events(cluster: Cluster) -> list[str]:
    return [entry["event"] for entry in cluster.history()]


def _alarms(member: Member) -> list[str]:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(member.socket)
        control.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: control.recv(65536), b""))
    return list(json.loads(answer.partition(b"\r\n\r\n")[2])["alarms"])


def test_delay_is_waited_after_a_power_cut_alone(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, failover__takeover_delay=f"{DELAY_MS}ms").start()
    active = cluster.wait_settled()
    life = active.serving()
    assert life is not None
    active.stop()
    clean = cluster.wait_new_life(life)
    assert (clean.first - life.last) / 1e6 < DELAY_MS, "an orderly hand-over waits for nothing"
    active.start()
    cluster.wait_settled()
    successor = cluster.standbys()[0]
    winner = cluster[clean.name]
    begun = successor.log().count("-> confirming")
    dead = _kill_everything(winner)
    successor.wait(lambda: successor.log().count("-> confirming") > begun, 20, "it is first in the queue")
    let_pass(DELAY_MS / 1000 - 1, lambda: successor.livy() is None, "no Livy before the delay is over",
             cluster.failure_text)
    cluster.wait_new_life(dead)
    cluster.assert_exclusive()


def test_fence_command_is_run_after_a_power_cut_alone(make_cluster: ClusterMaker, fence: Fence) -> None:
    cluster = make_cluster(2, failover__fence_command=fence.command).start()
    assert fence.runs() == [], "nobody was active before the first one"
    active = cluster.wait_settled()
    life = active.serving()
    assert life is not None
    active.stop()
    life = cluster.wait_new_life(life)
    active.start()
    active = cluster.wait_settled()
    assert fence.runs() == [], "an orderly hand-over fences nobody"
    successor, epoch = cluster.standbys()[0], cluster.epoch()
    url = active.row()["livy_url"]
    _kill_everything(active)
    cluster.wait_new_life(life)
    (run,) = fence.runs()
    assert {key: value for key, value in run.items() if key.startswith("LIVY_HA_")} == {
        "LIVY_HA_FENCE_ID": active.name, "LIVY_HA_FENCE_HOST": run["LIVY_HA_FENCE_HOST"],
        "LIVY_HA_FENCE_URL": url, "LIVY_HA_FENCE_EPOCH": str(epoch),
        "LIVY_HA_FENCE_REASON": run["LIVY_HA_FENCE_REASON"], "LIVY_HA_FENCE_BY": successor.name}
    assert run["LIVY_HA_FENCE_HOST"] in url and run["LIVY_HA_FENCE_REASON"]
    assert [event for event in _events(cluster) if event.startswith("fencing")] == ["fencing", "fencing-done"]
    # It stays done: the member comes back, stands, and nobody is fenced at the next orderly hand-over.
    active.start()
    cluster.wait_settled()
    before = cluster.wait_settled().serving()
    assert before is not None
    successor.stop()
    cluster.wait_new_life(before)
    assert len(fence.runs()) == 1
    cluster.assert_exclusive()


def test_fence_that_fails_keeps_livy_from_starting(make_cluster: ClusterMaker, fence: Fence) -> None:
    fence.verdict("exit 3")
    cluster = make_cluster(2, failover__fence_command=fence.command).start()
    active = cluster.wait_settled()
    successor = cluster.standbys()[0]
    life = _kill_everything(active)
    successor.wait_log("fencing-failed", "exit status 3", timeout=20)
    cluster.wait(lambda: "fencing-failed" in _events(cluster), 10, "the history says that fencing failed")
    assert successor.ctl("status").code == 3
    assert any("failover.fence_command" in alarm and active.name in alarm for alarm in _alarms(successor))
    let_pass(2, lambda: successor.livy() is None, "no Livy before it has succeeded", cluster.failure_text)
    fence.verdict("exit 0")
    cluster.wait_new_life(life, 30)
    assert len(fence.by(successor)) == 2
    assert _alarms(successor) == []
    cluster.assert_exclusive()


def test_time_out_kills_the_group(make_cluster: ClusterMaker, fence: Fence) -> None:
    pids = os.path.join(fence.directory, "pids")
    fence.verdict(f"sleep 1000 & echo $! $$ >{shlex.quote(pids)}; wait")
    cluster = make_cluster(2, failover__fence_command=fence.command, failover__fence_timeout="1s").start()
    active = cluster.wait_settled()
    successor = cluster.standbys()[0]
    life = _kill_everything(active)
    successor.wait_log("fencing-failed", "fence_timeout", timeout=20)
    with open(pids, encoding="ascii") as file:
        for pid in map(int, file.read().split()):
            successor.wait_gone(pid, what="(of the fence command's group)")
    assert successor.livy() is None
    fence.verdict("exit 0")
    cluster.wait_new_life(life, 30)


def test_half_a_takeover_is_not_washed_out(make_cluster: ClusterMaker, fence: Fence) -> None:
    """The second one cannot fence, and is stopped in good order: the third one fences the first."""
    fence.verdict('[ "$LIVY_HA_FENCE_BY" != "$(cat fails)" ]')
    cluster = make_cluster(3, failover__fence_command=fence.command).start()
    active = cluster.wait_settled()
    second, third = (cluster[name] for name in cluster.latch_ids()[1:])
    with open(os.path.join(fence.directory, "fails"), "w", encoding="ascii") as file:
        file.write(second.name)
    life = _kill_everything(active)
    second.wait_log("fencing-failed", timeout=20)
    assert second.stop() == 0
    new = cluster.wait_new_life(life)
    assert new.name == third.name
    assert [run["LIVY_HA_FENCE_ID"] for run in fence.by(third)] == [active.name]
    cluster.assert_exclusive()


def test_restarted_on_its_own_host(make_cluster: ClusterMaker, fence: Fence) -> None:
    """Its own start has made sure that no Livy of its own is left: nobody is fenced."""
    cluster = make_cluster(1, failover__fence_command=fence.command).start()
    member = cluster["a"]
    life = _kill_everything(member)
    member.start()
    cluster.wait_new_life(life)
    assert fence.runs() == []
    assert cluster.zk.get_children(f"{cluster.root}/tenures"), "it tenures again"


def test_new_member_after_a_power_cut(make_cluster: ClusterMaker, fence: Fence) -> None:
    """Nobody stood behind it, and its node is long gone: who comes then fences it all the same."""
    cluster = make_cluster(1, failover__fence_command=fence.command).start()
    first = cluster["a"]
    life = _kill_everything(first)
    cluster.wait(lambda: not cluster.latch(), 20, "its session has expired")
    late = cluster.add().start()
    cluster.wait_new_life(life)
    assert [(run["LIVY_HA_FENCE_ID"], run["LIVY_HA_FENCE_BY"]) for run in fence.runs()] == [(first.name, late.name)]


def test_victim_that_comes_back_is_fenced_no_more(make_cluster: ClusterMaker, fence: Fence) -> None:
    """Started again on its host, it vouches for itself: the one that could not fence it goes on."""
    fence.verdict("exit 1")
    cluster = make_cluster(2, failover__fence_command=fence.command).start()
    active = cluster.wait_settled()
    successor = cluster.standbys()[0]
    life = _kill_everything(active)
    successor.wait_log("fencing-failed", timeout=20)
    active.start()
    new = cluster.wait_new_life(life, 30)
    assert new.name == successor.name
    cluster.assert_exclusive()


def test_what_strangers_write_into_the_tenures(make_cluster: ClusterMaker, fence: Fence) -> None:
    """It is bounded, waited for by nobody for ever, and steers no shell."""
    cluster = make_cluster(2, failover__fence_command=fence.command).start()
    active = cluster.wait_settled()
    life, successor, root = active.serving(), cluster.standbys()[0], f"{cluster.root}/tenures"
    assert life is not None
    (own,) = cluster.zk.get_children(root)
    cluster.zk.create(f"{root}/{own}/below", b"")
    long = {"id": "x\n$(id)", "host": "a\u0007", "livy_url": "http://" + "x" * 900000 + ":1", "epoch": 3}
    cluster.zk.create(f"{root}/livy-z@0123456789abcdef", json.dumps(long).encode())
    cluster.zk.create(f"{root}/livy-y@0123456789abcdef", b"", acl=[make_acl("world", "anyone", delete=True)])
    cluster.zk.create(f"{root}/$(id) of nobody", b"")
    assert active.stop() == 0
    assert cluster.wait_new_life(life).name == successor.name
    assert "released" in [entry["event"] for entry in cluster.history() if entry["member"] == active.name]
    found = {run["LIVY_HA_FENCE_ID"]: (run["LIVY_HA_FENCE_HOST"], run["LIVY_HA_FENCE_URL"]) for run in fence.runs()}
    assert {"livy-y", "livy-z"} <= found.keys() <= {"livy-y", "livy-z", active.name}
    assert found["livy-y"] == found["livy-z"] == ("", "")
    cluster.zk.delete(f"{root}/{own}/below")
    cluster.assert_exclusive()


def test_two_guards_stopped(make_cluster: ClusterMaker, thawed: list[int]) -> None:
    """Keeper and elector both stopped, Livy lives on: the successor waits, says why, and starts once it is gone."""
    cluster = make_cluster(2).start()
    active = cluster.wait_settled()
    successor = cluster.standbys()[0]
    life, elector = active.serving(), active.wait_elector()
    assert life is not None
    thawed += [active.pid, elector]
    active.pause_process(active.pid)
    active.pause_process(elector)
    successor.wait_log("predecessor-answers", f":{active.port}", timeout=30)
    cluster.wait(lambda: "predecessor-answers" in _events(cluster), 10, "the history says why nobody serves")
    assert any("still answers" in alarm for alarm in _alarms(successor))
    let_pass(3, lambda: successor.livy() is None and proc.alive(life.pid), "no second Livy", cluster.failure_text)
    proc.send(life.pid, signal.SIGKILL)
    new, ended = cluster.wait_new_life(life), cluster.oracle.life_of(life.pid)
    assert new.name == successor.name and ended is not None
    assert (new.first - ended.last) / 1e6 < 2000, "at once"
    cluster.assert_exclusive()
