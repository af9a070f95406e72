"""failover.on_change: what it is told, in which order, and that nothing waits for it, whatever it does."""
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member

Told = dict[str, str]


class Hook:
    """A hook that writes its environment and its descriptors down, a line a run, and then does as it is told."""

    def __init__(self, member: Member, then: str = "", timeout: str = "30s") -> None:
        self.path = os.path.join(member.directory, "told")
        self.script = os.path.join(member.directory, "hook")
        self.set(then)
        member.settings["failover.on_change"] = self.script
        member.settings["failover.on_change_timeout"] = timeout
        member.write_conf()

    def set(self, then: str) -> None:
        with open(self.script + ".new", "w", encoding="ascii") as file:
            file.write(f"""#!/usr/bin/python3
import json, os, sys, time, signal
told = {{name: value for name, value in os.environ.items() if name.startswith("LIVY_HA_") or name == "NOTIFY_SOCKET"}}
told["pid"] = str(os.getpid())
told["fds"] = ",".join(sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)))
told["stdin"] = os.readlink("/proc/self/fd/0")
with open({self.path!r}, "a") as file:
    file.write(json.dumps(told) + "\\n")
{then}
""")
        os.chmod(self.script + ".new", 0o755)
        os.rename(self.script + ".new", self.script)

    @property
    def told(self) -> list[Told]:
        try:
            with open(self.path, encoding="utf-8") as file:
                return [json.loads(line) for line in file.read().splitlines()]
        except FileNotFoundError:
            return []

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(each["LIVY_HA_CHANGE_ROLE"], each["LIVY_HA_CHANGE_SERVING"]) for each in self.told]


STARTS = [("standby", "0"), ("active", "0"), ("active", "1")]


def serving(member: Member, hook: Hook, count: int = 1) -> None:
    member.wait(lambda: hook.states.count(("active", "1")) == count, 20, f"the hook is told that Livy serves: {hook.states}")


def test_what_it_is_told(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2)
    member, other = cluster.members
    hook = Hook(member)
    member.start({"NOTIFY_SOCKET": "/nonexistent"})
    serving(member, hook)
    other.start()
    cluster.wait_settled()
    assert hook.states in (STARTS, STARTS[1:]), "standby for the moment in which the lease is proved"
    last = hook.told[-1]
    assert last["LIVY_HA_CHANGE_ID"] == member.name and last["LIVY_HA_CHANGE_EPOCH"] == str(cluster.epoch())
    assert last["LIVY_HA_CHANGE_OLD_ROLE"] == "active" and last["LIVY_HA_CHANGE_MISSED"] == "0"
    assert last["LIVY_HA_CHANGE_AT"].endswith("Z") and last["LIVY_HA_CHANGE_REASON"]
    assert not [name for name in last if name.startswith("LIVY_HA_") and not name.startswith("LIVY_HA_CHANGE_")]
    assert "NOTIFY_SOCKET" not in last
    assert last["stdin"] == "/dev/null" and last["fds"] == "0,1,2", "no descriptor of the daemon's"
    seen = len(hook.told)
    member.wait(lambda: member.row(other.name).get("role") == "standby", 10, "it knows of the other one")
    assert member.ctl("switchover").code == 0
    member.wait(lambda: hook.states[-1:] == [("standby", "0")] and len(hook.states) > seen, 20, "the hook is told of the hand-over")
    after = hook.states[seen:]
    assert ("active", "0") in after or after[0][0] != "active", after
    assert member.stop() == 0
    assert hook.states[-1] == ("stopped", "0")
    assert "failover.on_change" not in "".join(line for line in member.log().splitlines() if " error:" in line or " warn:" in line)


def test_an_elector_that_dies_is_no_change(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    hook = Hook(member)
    member.start()
    serving(member, hook)
    seen = hook.states
    for _ in range(3):
        elector = member.wait_elector()
        at = len(member.log())
        proc.send(elector, signal.SIGKILL)
        member.wait_elector(other_than=elector)
        member.wait_log("adopted: a new elector", after=at)
        member.wait(lambda: (member.status() or {}).get("serving"), 10, "it knows that Livy serves")
    assert hook.states == seen


def test_order_is_kept_while_it_is_slow(make_cluster: ClusterMaker) -> None:
    """Changes come faster than it is done with them: all are told, one at a time, in order."""
    cluster = make_cluster(1, livy__restarts=50)
    member = cluster["a"]
    hook = Hook(member, "time.sleep(0.7)")
    member.start()
    member.wait_serving()
    for _ in range(2):
        member.wait(lambda: (member.status() or {}).get("serving"), 10, "it knows that Livy serves")
        life = member.serving()
        assert life is not None
        proc.send(life.pid, signal.SIGKILL)
        member.wait_serving(30, other_than=life)
    serving(member, hook, 3)
    assert hook.states[-5:] == [("active", "1"), ("active", "0")] * 2 + [("active", "1")], hook.states
    at = [each["LIVY_HA_CHANGE_AT"] for each in hook.told]
    assert at == sorted(at)
    assert all(each["LIVY_HA_CHANGE_MISSED"] == "0" for each in hook.told)


def _goes_on(cluster: Cluster, member: Member, do: Callable[[], Any]) -> None:
    """Livy serves, its lease is renewed and orders are carried out while the hook does what it does."""
    do()
    life = member.serving()
    assert life is not None
    member.wait_lease_renewed()
    assert member.ctl("restart").code == 0
    cluster.assert_exclusive()


def test_one_that_hangs_and_ignores_term(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    hook = Hook(member, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nif os.fork() == 0: time.sleep(600)\ntime.sleep(600)", "1s")
    member.start()
    member.wait_serving()
    first = member.wait(lambda: hook.told[:1], 10, "it runs")[0]
    pid = int(first["pid"])
    children = member.wait(lambda: proc.children(pid), 5, "it has a child")
    _goes_on(cluster, member, lambda: None)
    member.wait_log("failover.on_change was killed after failover.on_change_timeout")
    member.wait(lambda: not proc.alive(pid) and not any(proc.alive(each) for each in children), 5, "its group is gone")
    member.wait(lambda: len(hook.told) >= 3, 20, "the next changes are told")
    member.wait(lambda: len([line for line in member.log().splitlines() if "as before (2 times)" in line]) > 0, 20, "and time out too")
    told = [line for line in member.log().splitlines() if " error: failover.on_change" in line]
    assert len(told) == 1, told
    began = member.stop_begin()
    assert began is None and member.wait_exit(10) == 0, "the end waits for it two seconds at most"


def test_one_that_fails_is_told_once(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    hook = Hook(member, "sys.exit(3)")
    member.start()
    serving(member, hook)
    _goes_on(cluster, member, lambda: None)
    serving(member, hook, 2)
    errors = [line for line in member.log().splitlines() if " error: failover.on_change" in line]
    assert len(errors) == 1 and "ended with status 3" in errors[0], errors
    hook.set("")
    assert member.ctl("restart").code == 0
    member.wait_log("failover.on_change succeeds again, after")
    assert member.stop() == 0


def test_one_that_is_absent(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, failover__on_change="/nonexistent/hook")
    member = cluster.start()["a"]
    _goes_on(cluster, member, lambda: None)
    errors = [line for line in member.log().splitlines() if " error: failover.on_change" in line]
    assert len(errors) == 1 and "ended with status 127" in errors[0], errors
    assert member.stop() == 0


def test_more_than_can_wait(make_cluster: ClusterMaker) -> None:
    """The oldest are dropped, that is logged once, and the next one that is run says how many."""
    cluster = make_cluster(1)
    member = cluster["a"]
    hook = Hook(member, f"while os.path.exists({member.directory!r} + '/wait'): time.sleep(0.05)")
    with open(os.path.join(member.directory, "wait"), "w", encoding="ascii"):
        pass
    member.start()
    member.wait_serving()
    for _ in range(10):
        assert member.ctl("restart").code == 0
    member.wait_log("changes wait for it: the oldest are dropped")
    os.unlink(os.path.join(member.directory, "wait"))
    member.wait(lambda: any(each["LIVY_HA_CHANGE_MISSED"] != "0" for each in hook.told), 20, "it is told how many were dropped")
    member.wait(lambda: hook.states[-1:] == [("active", "1")] and len(hook.told) >= 17, 20, "the last one is how things are")
    dropped = [each["LIVY_HA_CHANGE_MISSED"] for each in hook.told if each["LIVY_HA_CHANGE_MISSED"] != "0"]
    assert len(dropped) == 1, dropped
    assert len([line for line in member.log().splitlines() if "the oldest are dropped" in line]) == 1


def test_set_and_taken_away_by_reload(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster.start()["a"]
    member.wait(lambda: (member.status() or {}).get("serving"), 10, "it knows that Livy serves")
    hook = Hook(member)
    assert member.ctl("reload").code == 0
    assert member.ctl("restart").code == 0
    serving(member, hook)
    assert hook.states == [("active", "0"), ("active", "1")], "what was before it was set is not told"
    del member.settings["failover.on_change"]
    member.write_conf()
    assert member.ctl("reload").code == 0
    assert member.ctl("restart").code == 0
    assert member.stop() == 0
    assert hook.states == [("active", "0"), ("active", "1")]
