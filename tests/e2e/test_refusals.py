"""A daemon that finds its place taken: 75, says by whom, and hurts nobody."""
import os
import socket
from collections.abc import Iterator

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.build import standin
from livyha.cluster import Cluster
from livyha.wait import spawn, wait_for

TEMPORARY = 75


@pytest.fixture
def running(make_cluster: ClusterMaker) -> Cluster:
    return make_cluster(1).start()


def _says(log: str, *texts: str) -> None:
    missing = [text for text in texts if text.lower() not in log.lower()]
    assert not missing, f"not said: {missing}\nsaid: {log}"


def _unharmed(cluster: Cluster, pid: int) -> None:
    assert proc.alive(pid) and cluster["a"].http_version() == 200
    assert len(cluster.oracle.lives()) == 1
    assert cluster["a"].ctl("status").code == 0, "its control socket is still there"


def test_second_daemon_with_the_same_runtime_dir(running: Cluster) -> None:
    life = running["a"].serving()
    assert life is not None
    second = running.add("second", {"id": "second", "runtime_dir": running["a"].runtime_dir}).start()
    assert second.wait_exit() == TEMPORARY
    _says(second.log(), running["a"].runtime_dir)
    _unharmed(running, life.pid)


def test_control_socket_in_use(running: Cluster) -> None:
    life = running["a"].serving()
    assert life is not None
    second = running.add("second", {"control.socket": running["a"].socket}).start()
    assert second.wait_exit() == TEMPORARY
    _says(second.log(), running["a"].socket)
    _unharmed(running, life.pid)


def test_control_socket_that_a_dead_daemon_left(make_cluster: ClusterMaker) -> None:
    member = make_cluster(1)["a"]
    os.makedirs(member.runtime_dir, 0o755, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(member.socket)
    member.start().wait_serving()
    member.wait(lambda: member.ctl("status").code == 0, 15, "its control socket answers, and Livy serves")


def test_same_id_on_two_hosts(running: Cluster) -> None:
    """Two daemons that believe to be the same member: the second one goes, and names the first."""
    life = running["a"].serving()
    assert life is not None
    second = running.add("second").start({"LIVY_HA_ID": "a"})
    assert second.wait_exit(40) == TEMPORARY
    _says(second.log(), "id", socket.gethostname().split(".")[0])
    _unharmed(running, life.pid)
    assert running.latch_ids() == ["a"]


def test_port_taken_by_something_else(make_cluster: ClusterMaker) -> None:
    member = make_cluster(1)["a"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", member.port))
        taken.listen()
        assert member.start().wait_exit() == TEMPORARY
    _says(member.log(), str(member.port), "livy.port")
    assert not member.oracle.lives()


@pytest.fixture
def unmanaged(make_cluster: ClusterMaker) -> Iterator[tuple[Cluster, int]]:
    """A Livy that somebody has started without livy-ha, on the port of member a."""
    cluster = make_cluster(1)
    member = cluster["a"]
    conf = os.path.join(cluster.directory, "unmanaged")
    lives = os.path.join(cluster.directory, "unmanaged-lives")
    os.makedirs(conf)
    os.makedirs(lives)
    with open(os.path.join(conf, "livy.conf"), "w", encoding="ascii") as file:
        file.write(f"livy.server.port = {member.port}\n")
    with open(os.path.join(cluster.directory, "unmanaged.log"), "wb") as log:
        process = spawn([standin()], {"STANDIN_DIR": lives, "STANDIN_NAME": "unmanaged", "LIVY_CONF_DIR": conf}, log)

    def answers() -> bool:
        try:
            return bool(member.http_version() == 200)
        except OSError:
            return False
    wait_for(answers, 15, "the unmanaged Livy answers")
    yield cluster, process.pid
    process.kill()
    process.wait()


def test_unmanaged_livy_is_refused_and_not_killed(unmanaged: tuple[Cluster, int]) -> None:
    cluster, pid = unmanaged
    member = cluster["a"].start()
    assert member.wait_exit() == TEMPORARY
    _says(member.log(), str(member.port), "not managed")
    assert proc.alive(pid)
    assert not cluster.oracle.lives()


def test_one_store_one_cluster(running: Cluster) -> None:
    """A member whose livy.conf names another state store does not stand, and says why."""
    other = running.add("b")
    other.write_livy_conf("livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n"
                          "livy.server.recovery.zk-state-store.key-prefix = elsewhere\n")
    other.start()
    other.wait_log("elsewhere", running.store_prefix)
    assert running.latch_ids() == ["a"]
    assert running["a"].stop() == 0
    assert other.livy() is None
