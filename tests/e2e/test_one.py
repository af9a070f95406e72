"""One member from start to stop, and everything that it hands to Livy and leaves in ZooKeeper."""
import json
import os
import re
import signal
import stat

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.cluster import Cluster
from livyha.zookeeper import Ensemble

# What the sanitizers of a debug build handle for themselves.
_SANITIZER_SIGNALS = {str(number) for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)}


def test_serves_and_says_so(one: Cluster) -> None:
    member = one["a"]
    assert member.http_version() == 200
    row = member.wait_role("active")
    life = member.serving()
    assert life is not None
    member.wait(lambda: member.row()["livy"] == "serving", 15, "status says that Livy serves")
    row = member.row()
    assert row["livy_pid"] == life.pid
    assert row["self"] is True
    assert row["epoch"] == one.epoch()
    assert 0 < row["lease_left_ms"] <= 4000
    assert row["sequence"] == int(one.latch()[0][-10:])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["since"])
    assert row["livy_url"].endswith(f":{member.port}")


def test_status_document(one: Cluster) -> None:
    result = one["a"].ctl("status")
    assert result.code == 0, result.err
    status = result.json
    assert status["v"] == 1
    assert status["root"] == one.root
    assert (status["active"], status["serving"], status["paused"], status["connected"]) == ("a", True, False, True)
    assert status["epoch"] == one.epoch()
    wanted = {"id", "host", "role", "livy", "livy_pid", "url", "livy_url", "epoch", "sequence", "lease_left_ms", "since",
              "uptime_s", "version", "pending_restart", "self"}
    assert wanted <= set(status["members"][0])


def test_status_for_people_and_active(one: Cluster) -> None:
    table = one["a"].ctl("status", as_json=False)
    assert table.code == 0, table.err
    for heading in ("Member", "Role", "Livy", "Since", "Lease"):
        assert heading in table.out
    active = one["a"].ctl("active", as_json=False)
    assert (active.code, active.out.startswith("http")) == (0, True), active
    version = one["a"].ctl("version", as_json=False)
    assert version.code == 0 and re.search(r"\d+\.\d+\.\d+", version.out)


def test_livy_is_given_a_clean_process(one: Cluster) -> None:
    member = one["a"]
    life = member.serving()
    assert life is not None
    given = life.environment
    assert not set(given["not_default"]) - _SANITIZER_SIGNALS, "signal dispositions that Livy would inherit"
    assert given["blocked"] == []
    assert given["pdeathsig"] == signal.SIGKILL
    assert given["sid"] == given["pid"], "Livy must run in a session of its own"
    assert given["ppid"] == member.pid
    assert given["policy"] == os.SCHED_OTHER
    assert int(given["oom_score_adj"]) == 0
    assert given["env_leaked"] == []
    assert given["argv"] == [member.settings["livy.command"]]


def test_livy_inherits_one_lock_and_nothing_else(one: Cluster) -> None:
    member = one["a"]
    life = member.serving()
    assert life is not None
    fds = {int(number): target for number, target in life.environment["fds"].items()}
    assert {0, 1, 2} <= set(fds)
    assert fds[1] == fds[2] == f"{member.runtime_dir}/livy.out (deleted)", "no pipe that could be full (test_livy_ends.py)"
    others = [target for number, target in fds.items() if number > 2]
    assert len(others) == 1, f"expected the lock alone: {fds}"
    assert others[0].startswith(member.runtime_dir)


def test_livy_conf_of_its_own(one: Cluster) -> None:
    member = one["a"]
    life = member.serving()
    assert life is not None
    given = life.environment
    assert given["conf_dir"].startswith(member.runtime_dir)
    settings: dict[str, str] = {}
    for line in given["conf_text"].splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            settings[key.strip()] = value.strip()
    assert settings["livy.server.port"] == str(member.port)
    assert settings["livy.server.recovery.mode"] == "recovery"
    assert settings["livy.server.recovery.state-store"] == "zookeeper"
    assert settings["livy.server.recovery.state-store.url"] == one.zookeeper.hosts
    assert settings["livy.server.zookeeper.url"] == one.zookeeper.hosts
    assert settings["livy.spark.master"] == "yarn", "the user's settings stay"
    assert given["env"]["SPARK_HOME"] == member.env["SPARK_HOME"]
    assert given["env"]["LIVY_CONF_DIR"] == given["conf_dir"]
    # Livy ends at once where its log directory does not exist.
    assert os.path.isdir(given["env"]["LIVY_LOG_DIR"])


def test_users_conf_dir_is_not_written_to(one: Cluster) -> None:
    assert os.listdir(os.path.join(one["a"].home, "conf")) == ["livy.conf"]


def test_latch_node_is_curators(one: Cluster) -> None:
    nodes = one.latch()
    assert len(nodes) == 1
    assert re.fullmatch(r"_c_[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}-latch-\d{10}", nodes[0])
    data, status = one.zk.get(f"{one.root}/leader/{nodes[0]}")
    assert data == b"a"
    assert status.ephemeralOwner != 0
    assert status.version == 0, "Curator's watch is lost where a latch node's data is set"


def test_nodes_beside_the_latch(one: Cluster) -> None:
    one.wait(lambda: one.node("members/a") is not None, 15, "members/a")
    data, status = one.zk.get(f"{one.root}/members/a")
    assert status.ephemeralOwner != 0
    one.wait(lambda: json.loads(one.node("members/a") or b"{}").get("livy") == "serving", 15, "members/a says serving")
    said = json.loads(one.node("members/a") or b"{}")
    assert (said["id"], said["role"], said["livy_url"].rsplit(":", 1)[1]) == ("a", "active", str(one["a"].port))
    known = one.zk.exists(f"{one.root}/known/a")
    assert known is not None and known.ephemeralOwner == 0
    store = (one.node("store") or b"").decode()
    assert f"127.0.0.1:{one.zookeeper.servers[0].port}" in store and one.store_prefix in store


def test_history_tells_of_the_start(one: Cluster) -> None:
    one.wait(lambda: {"elected", "serving"} <= {entry["event"] for entry in one.history()}, 15, "history tells both")
    for entry in one.history():
        assert entry["member"] == "a"
        assert {"at", "event", "member", "epoch", "reason"} <= set(entry)
    one.wait(lambda: one["a"].ctl("history").json == one.history(), 10, "the member's picture of it is the same")


def test_control_socket_is_not_for_everybody(one: Cluster) -> None:
    mode = os.stat(one["a"].socket).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660


def test_config_masks_nothing_that_is_no_secret(one: Cluster) -> None:
    shown = one["a"].ctl("config", as_json=False)
    assert shown.code == 0, shown.err
    line = next(line for line in shown.out.splitlines() if "livy.port" in line)
    assert str(one["a"].port) in line and "livy-ha.conf:" in line


def test_stop_and_start_again(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    for _ in range(2):
        member.start()
        life = member.wait_serving()
        elector = member.wait_elector()
        assert member.stop() == 0
        assert not proc.alive(elector)
        ended = cluster.oracle.life_of(life.pid)
        assert ended is not None and ended.exit_kind == 1, "an orderly stop ends Livy by TERM"
        cluster.wait(lambda: cluster.latch() == [], 2, "the latch is released, not left to expire")
        assert cluster.node("members/a") is None
        assert cluster.node("known/a") is not None
        left = os.listdir(member.runtime_dir) if os.path.isdir(member.runtime_dir) else []
        assert "control.sock" not in left
        assert not [name for name in left if "session" in name], f"the session file must go with the session: {left}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_stop(make_cluster: ClusterMaker, number: int) -> None:
    member = make_cluster(1)["a"].start()
    member.wait_serving()
    member.signal(number)
    assert member.wait_exit() == 0


def test_stop_while_livy_starts(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    member.set_mode("start-delay=20000")
    member.start()
    life = member.wait(member.livy, 15, "Livy has been started")
    assert member.ctl("status").code == 3, "nothing serves yet"
    assert member.stop(10) == 0
    assert not proc.alive(life.pid)


def test_stop_without_zookeeper(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    own_zookeeper.stop()
    member = make_cluster(1, own_zookeeper)["a"].start()
    member.wait(lambda: member.status() is not None, 15, "the control socket answers without ZooKeeper")
    assert member.row()["role"] == "joining"
    assert member.ctl("active").code == 3
    assert member.stop(15) == 0


def test_zookeeper_comes_later(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    own_zookeeper.stop()
    member = make_cluster(1, own_zookeeper)["a"].start()
    member.wait(lambda: member.status() is not None, 15, "the control socket answers without ZooKeeper")
    own_zookeeper.start()
    member.wait_serving(40)
