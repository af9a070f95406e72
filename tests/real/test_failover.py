"""Two members with a real Livy each on a real ZooKeeper; see tests/real/setup. There is no YARN: Livy starts,
answers and keeps its records without one.

The tests go in order on one cluster; each leaves it as it found it, with one member active and one standby."""
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from homes import livy_version
from pair import Pair, serving
from realmember import CONF_DIR, RealMember, cache_dir, listens

# pylint: disable=wrong-import-order
from livyha import proc

SESSION_MS = 10_000  # zookeeper.session_timeout as it is by default


def java_of(member: RealMember) -> int:
    """The pid of the member's Livy, which has to be what listens on its port and what the member says."""
    pid = member.java()
    assert pid is not None, member.failure_text()
    assert listens(pid, member.port), f"pid {pid} does not listen on {member.port}"
    assert member.row()["livy_pid"] == pid
    member.note_processes()
    return pid


def wait_handover(pair: Pair, old: RealMember, heir: RealMember, old_java: int) -> int:
    """Until the heir serves; the old Livy may not be alive at any look once the heir has one. Returns its pid."""
    def new_java() -> int | None:
        pid = heir.java()
        if pid is not None:
            assert not proc.alive(old_java), f"two Livys: {old.name}'s {old_java} and {heir.name}'s {pid}"
        return pid
    pair.wait(new_java, f"{heir.name} starts Livy")
    pair.wait(lambda: serving(heir), f"{heir.name} serves")
    assert heir.version() is not None
    return java_of(heir)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("real"), lambda _name: {"livy.standby": "cold", "livy.guard": "process"})
    try:
        yield made.start()
    finally:
        made.close()


def test_livy_serves(pair: Pair) -> None:
    active, standby = pair.settled()
    assert active.version() is not None
    assert active.version()["version"] == livy_version(cache_dir())  # type: ignore[index]
    java_of(active)
    assert standby.java() is None and standby.version() is None, "a standby runs no Livy"


def test_settings_arrive_in_livy(pair: Pair) -> None:
    """What livy-ha adds (recovery, store, session time-out) is what Livy itself says that it uses."""
    active, _standby = pair.settled()
    active.wait_log("Using ZooKeeperStateStore for recovery")
    arguments = proc.cmdline(java_of(active))
    assert f"-Dcurator-default-session-timeout={SESSION_MS}" in arguments, arguments
    assert "-Xmx256m" in arguments, "the user's own livy-env.sh is still in force"
    active.wait_log(f"negotiated timeout = {SESSION_MS}")


def test_users_configuration_is_not_touched(pair: Pair) -> None:
    pair.settled()
    assert sorted(os.listdir(CONF_DIR)) == ["livy-env.sh", "livy.conf", "log4j.properties"]
    text = Path(CONF_DIR, "livy.conf").read_text(encoding="utf-8")
    assert "recovery" not in [line.split(".")[2] for line in text.splitlines() if line.startswith("livy.server.")]


def test_keeper_killed_and_records_survive(pair: Pair) -> None:
    """kill -9: the other member's Livy serves, and knows the batch that was given to the first."""
    active, standby = pair.settled()
    name = f"batch-{time.time_ns()}"
    batch = active.ask("POST", "/batches", {"file": "local:/nowhere/job.py", "name": name})
    client = KazooClient(hosts=pair.zookeeper.hosts)
    client.start(timeout=30)
    try:
        record = json.loads(client.get(f"/livy/v1/batch/{batch['id']}")[0])
    finally:
        client.stop()
        client.close()
    assert record["name"] == name, "Livy's record is in ZooKeeper, where livy-ha told it to keep it"
    old_java, elector = java_of(active), active.wait_elector()
    active.kill()
    wait_handover(pair, active, standby, old_java)
    found = standby.ask("GET", f"/batches/{batch['id']}")
    assert (found["id"], found["name"]) == (batch["id"], name), found
    active.wait_gone(elector, what="(the dead keeper's elector)")
    pair.rejoin(active)


def test_orderly_stop(pair: Pair) -> None:
    active, standby = pair.settled()
    old_java = java_of(active)
    active.stop_begin()
    wait_handover(pair, active, standby, old_java)
    assert active.wait_exit() == 0
    assert active.leftovers() == []
    pair.rejoin(active)


def test_elector_killed(pair: Pair) -> None:
    """Livy goes on, past the instant at which the session would have ended had nobody taken it over."""
    active, standby = pair.settled()
    java, elector, epoch = java_of(active), active.wait_elector(), active.row()["epoch"]
    proc.send(elector, signal.SIGKILL)
    active.wait_elector(other_than=elector)
    ends = time.monotonic() + 1.5 * SESSION_MS / 1000
    while time.monotonic() < ends:  # time has to pass here: that nothing happens is what is looked for
        assert active.java() == java and proc.alive(java), active.failure_text()
        assert standby.java() is None, "two Livys"
        assert active.version() is not None
        time.sleep(0.1)
    pair.wait(lambda: serving(active), f"{active.name} serves", 10)
    assert (active.row()["epoch"], active.row()["livy_pid"]) == (epoch, java)


def test_keeper_and_elector_both_stopped(pair: Pair) -> None:
    """The guard in Livy's own process ends it with its lease: nobody else is left on that host who could."""
    active, standby = pair.settled()
    java, elector = java_of(active), active.wait_elector()
    pidfd = os.pidfd_open(java)
    stopped = time.monotonic()
    active.pause_process(elector)
    active.pause_process(active.pid)
    try:
        assert select.select([pidfd], [], [], 3 * SESSION_MS / 1000)[0], "it ends"
        assert time.monotonic() - stopped < SESSION_MS / 1000, "before the session can end"
        wait_handover(pair, active, standby, java)
    finally:
        os.close(pidfd)
        proc.send(active.pid, signal.SIGCONT)
        proc.send(elector, signal.SIGCONT)
    pair.wait(lambda: active.row().get("role") == "standby", f"{active.name} stands by again")


def test_livy_killed(pair: Pair) -> None:
    """A Livy that dies is started again where it was."""
    active, standby = pair.settled()
    java = java_of(active)
    proc.send(java, signal.SIGKILL)
    pair.wait(lambda: active.java() not in (None, java), f"{active.name} starts Livy again")
    pair.wait(lambda: serving(active), f"{active.name} serves again")
    assert java_of(active) != java
    assert standby.java() is None
