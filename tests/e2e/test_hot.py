"""livy.standby = "hot": a standby's Livy stands at the gate, and to take over is to let it go."""
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from livyha import gate, proc
from livyha.build import program, standin
from livyha.cluster import Cluster
from livyha.faults import continued, stop_at_once
from livyha.member import Member
from livyha.oracle import Life
from livyha.wait import let_pass
from livyha.zookeeper import Ensemble

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def hot(make_cluster: MakeCluster) -> Cluster:
    return make_cluster(2, livy__standby="hot", writing_ms=20)


def begin(cluster: Cluster, mode: str = "") -> tuple[Member, Member, Life]:
    """One serves, and the other one holds."""
    first, second = cluster.members
    first.start()
    first.wait_serving()
    second.set_mode(mode)
    second.start()
    held = second.wait_held()
    second.wait_log("held Livy warming -> held")
    first.wait(lambda: first.row(second.name).get("role") == "standby", 10, "it knows of the other one")
    return first, second, held


def record(member: Member, held: Life) -> Life:
    """The same one, as it is now."""
    return next(life for life in member.oracle.records() if life.path == held.path)


def never_lived(member: Member, held: Life) -> bool:
    return record(member, held).first == 0 and record(member, held).writer is None


# ---- livy.standby = "auto", as by default ------------------------------------------------------------------------------


def give_livy(member: Member, jar: str) -> None:
    """Its livy.home becomes one with this jar, and its livy.command the one there."""
    os.makedirs(os.path.join(member.home, "jars"))
    with open(os.path.join(member.home, "jars", jar), "wb"):
        pass
    own = os.path.join(member.home, "bin", "livy-server")
    os.symlink(str(member.settings["livy.command"]), own)
    member.settings["livy.command"] = own
    member.write_conf()


def test_auto_is_hot_where_livy_can_be_held(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2)
    for member in cluster.members:
        give_livy(member, "livy-server-0.7.1-incubating.jar")
    first, second, held = begin(cluster)
    first.wait_log("livy.standby is auto, which comes to hot: the agent is installed, livy.home has Apache Livy")
    assert first.ctl("switchover").code == 0
    assert second.wait_serving().pid == held.pid


@pytest.mark.parametrize("jar, why", [("livy-api-0.7.1-incubating.jar", "there is no livy-server-*.jar in livy.home's jars"),
                                      (None, "livy.command is not livy.home's own bin/livy-server")])
def test_auto_is_cold_elsewhere(make_cluster: MakeCluster, jar: str | None, why: str) -> None:
    first, second = make_cluster(2).members
    if jar is not None:
        give_livy(second, jar)
    first.start()
    first.wait_serving()
    second.start()
    second.wait_log(f"livy.standby is auto, which comes to cold: {why}")
    first.wait(lambda: first.row(second.name).get("role") == "standby", 10, "it knows of the other one")
    assert first.row(second.name)["held"] is None
    assert first.ctl("switchover").code == 0
    assert second.wait_serving().first > 0


def test_auto_without_the_agent_is_cold(make_cluster: MakeCluster, tmp_path: str) -> None:
    (member,) = make_cluster(1).members
    give_livy(member, "livy-server-0.7.1-incubating.jar")
    for name in ("livy-ha", "livy-ha-elector", "livy-ha-relay"):
        shutil.copy(program(name), tmp_path)
    member.daemon = os.path.join(tmp_path, "livy-ha")
    member.start()
    member.wait_log("livy.standby is auto, which comes to cold: liblivy-ha-gate.so is not installed")
    member.wait_serving()


# ---- let go ----------------------------------------------------------------------------------------------------------


def test_a_takeover_lets_the_held_one_go(hot: Cluster) -> None:
    first, second, held = begin(hot)
    assert never_lived(second, held)
    first.kill()
    life = second.wait_serving()
    assert life.pid == held.pid, "the one that was held"
    lock = [fd for fd in life.environment["fds"].values() if fd.endswith("/livy.lock")]
    assert len(lock) == 1, "it has the lock"
    # The lease is renewed in its page: it lives on, and the elector has its pidfd.
    let_pass(4.5, lambda: proc.alive(life.pid), "longer than a session", second.failure_text)
    second.pause_process(second.pid)
    with continued([second.pid]):
        second.wait_gone(life.pid, 10, "(by the elector)")


def test_a_switchover_and_the_way_back(hot: Cluster) -> None:
    """Who has given up holds one in its turn, and the classes of the one that served are known to it."""
    first, second, held = begin(hot)
    assert first.ctl("switchover").code == 0
    assert second.wait_serving().pid == held.pid
    again = first.wait_held()
    first.wait_log("held Livy warming -> held")
    assert second.ctl("switchover").code == 0
    assert first.wait_serving().pid == again.pid
    first.wait_log("at the gate, with 1 classes")


def test_let_go_while_it_is_still_warming(hot: Cluster) -> None:
    first, second = hot.members
    first.start()
    first.wait_serving()
    second.set_mode("gate-delay=3000")
    second.start()
    second.wait_log("held Livy none -> warming")
    first.kill()
    second.wait_log("warming) is let go", timeout=20)
    life = second.wait_serving()
    assert life.begun < life.first and not life.held, "it came to an open gate"
    assert len(second.oracle.held(second.name)) == 0, "and it is the only one"


def slow_script(directory: str, name: str = "slow-livy-server") -> tuple[str, str]:
    """A livy.command that waits before it runs Livy: until somebody writes to the fifo, or it is a file by now."""
    script, fifo = os.path.join(directory, name), os.path.join(directory, name + ".fifo")
    os.mkfifo(fifo)
    with open(script, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nread -r _ <{fifo}\nexec {standin()}\n")
    os.chmod(script, 0o755)
    return script, fifo


def go_on(fifo: str) -> None:
    """Who waits goes on, and so does whoever comes later."""
    with open(fifo + ".part", "w", encoding="ascii") as file:
        file.write("go on\n")
    with open(fifo, "w", encoding="ascii") as waits:
        os.rename(fifo + ".part", fifo)
        waits.write("go on\n")


def test_let_go_before_its_java_runs(make_cluster: MakeCluster, tmp_path: str) -> None:
    """The lease with which it was let go is over when its agent is loaded; it was renewed meanwhile. So also without the guard."""
    script, fifo = slow_script(str(tmp_path))
    first, second = make_cluster(2, livy__standby="hot", livy__guard="none").members
    first.start()
    first.wait_serving()
    second.settings["livy.command"] = script
    second.write_conf()
    second.start()
    second.wait_log("held Livy none -> warming")
    first.kill()
    second.wait_log("warming) is let go", timeout=20)
    pid = second.wait(lambda: second.row()["livy_pid"], 10, "it tells the pid")
    let_pass(4.5, lambda: proc.alive(pid), "longer than a session", second.failure_text)
    go_on(fifo)
    assert second.wait_serving().pid == pid


def test_refused_after_it_was_let_go(hot: Cluster, tmp_path: str) -> None:
    """Its agent finds out that it cannot be held when it is Livy already: no crash, and another one is started cold at once."""
    script, fifo = slow_script(str(tmp_path))
    first, second = hot.members
    first.start()
    first.wait_serving()
    second.settings["livy.command"] = script
    second.write_conf()
    second.set_mode("gate-refused")
    second.start()
    second.wait_log("held Livy none -> warming")
    first.kill()
    second.wait_log("warming) is let go", timeout=20)
    refused = second.wait(lambda: second.row()["livy_pid"], 10, "it tells the pid")
    go_on(fifo)
    life = second.wait_serving()
    assert life.pid != refused and life.begun == life.first, "a cold one"
    assert [record.exit_code for record in second.oracle.records() if record.pid == refused] == [gate.REFUSED_STATUS]
    second.wait_log("livy-died", "exit status 93: it cannot be held: it is started cold", "not counted as a crash")
    second.wait_log("this Livy is not held and will be started cold: no org/apache/livy/server/WebServer.class")
    assert second.log().count("livy none -> running") == 2
    assert hot.oracle.overlap_us() == 0


def test_frozen_when_it_is_let_go(hot: Cluster) -> None:
    """It does not answer, and is killed for it long before livy.start_timeout; the next one is started cold."""
    first, second, held = begin(hot)
    second.pause_process(held.pid)
    began = time.monotonic()
    first.kill()
    life = second.wait_serving()
    assert life.pid != held.pid and life.begun == life.first, "a cold one"
    assert never_lived(second, held)
    assert time.monotonic() - began < 15, second.failure_text()
    second.wait_log("has not answered within 2000 ms of being let go")


def test_let_go_after_the_lease_has_ended(hot: Cluster) -> None:
    """The word was sent in time and is read too late, with nobody left who could kill: it ends by itself."""
    first, second, held = begin(hot)
    second.pause_process(held.pid)
    elector = second.wait_elector()
    first.kill()
    second.wait(lambda: "is let go" in second.log(), 20, "it is let go")
    stop_at_once(second, [second.pid, elector])
    with continued([second.pid, elector]):
        let_pass(4, lambda: never_lived(second, held), "until the lease has ended")
        proc.send(held.pid, signal.SIGCONT)
        second.wait(lambda: record(second, held).exit_code == gate.LEASE_STATUS, 5, "it ends by itself")
    assert never_lived(second, held)
    assert second.wait_serving(60).pid != held.pid


def test_cold_where_the_lock_is_taken(hot: Cluster) -> None:
    """As a child that cannot have the lock: who holds it is ended as what an earlier Livy has left, then Livy is started."""
    first, second, held = begin(hot)
    with subprocess.Popen(["flock", "--no-fork", os.path.join(second.runtime_dir, "livy.lock"), "sleep", "60"]) as holder:
        first.kill()
        second.wait_log("Livy's lock is not to be had", timeout=20)
        second.wait_log("an earlier Livy still holds it")
        assert holder.wait(10) == -signal.SIGKILL
    assert second.wait_serving().pid != held.pid
    assert never_lived(second, held)


# ---- while it is held ------------------------------------------------------------------------------------------------


def test_killed_ones_are_held_anew(hot: Cluster) -> None:
    _, second, held = begin(hot)
    for _ in range(2):
        proc.send(held.pid, signal.SIGKILL)
        held = second.wait_held(other_than=held)
    second.wait_log("it was killed by signal 9; the next one in 2 s")
    assert len(hot.oracle.lives()) == 1


def test_the_keeper_is_frozen_and_killed(hot: Cluster) -> None:
    _, second, held = begin(hot)
    second.pause_process(second.pid)
    with continued([second.pid]):
        let_pass(2, lambda: proc.alive(held.pid) and never_lived(second, held), "it stays where it is")
    second.wait_role("standby")
    second.kill()
    second.wait_gone(held.pid, 2)
    assert never_lived(second, held)


def test_orders(hot: Cluster) -> None:
    """A drain ends it, a pause and an upgrade leave it alone, a reload renews it, a stop ends it."""
    _, second, held = begin(hot)
    assert second.ctl("drain").code == 0
    second.wait_gone(held.pid)
    assert second.ctl("undrain").code == 0
    held = second.wait_held(other_than=held)
    assert second.ctl("pause").code == 0
    elector = second.wait_elector()
    assert second.ctl("upgrade", timeout="60s", as_json=False).code == 0
    second.wait_elector(other_than=elector)
    second.wait_role("standby")
    let_pass(1, lambda: proc.alive(held.pid), "it is still there", second.failure_text)
    assert second.ctl("resume").code == 0
    proc.send(second.wait_elector(), signal.SIGKILL)
    second.wait_role("standby")
    let_pass(1, lambda: proc.alive(held.pid), "it is still there", second.failure_text)
    assert second.ctl("reload").code == 0
    renewed = second.wait_held(other_than=held)
    assert not proc.alive(held.pid)
    second.stop_begin()
    second.wait_gone(renewed.pid)
    assert second.wait_exit() == 0
    assert len(hot.oracle.lives()) == 1


def test_renewed_when_it_is_not_current_any_more(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2, livy__standby="hot", livy__held_max_age="12s")  # looked at each 3 s, renewed 1.5 s later at most
    _, second, held = begin(cluster)
    second.write_livy_conf("# another one\n", "log4j.properties")
    second.wait_log("held -> killed: files of livy.conf_dir have changed", timeout=10)
    held = second.wait_held(other_than=held)
    os.makedirs(os.path.join(second.home, "rsc-jars"))
    with open(os.path.join(second.home, "rsc-jars", "a.jar"), "w", encoding="ascii") as jar:
        jar.write("x")
    second.wait_log("held -> killed: jars of livy.home", timeout=10)
    held = second.wait_held(other_than=held)
    second.wait_log("held -> killed: it has reached livy.held_max_age", timeout=25)
    second.wait_held(other_than=held)
    assert len(cluster.oracle.lives()) == 1


def test_a_session_that_is_lost_costs_it_nothing(make_cluster: MakeCluster, own_zookeeper: Ensemble) -> None:
    cluster = make_cluster(2, ensemble=own_zookeeper, livy__standby="hot")
    _, second, held = begin(cluster)
    own_zookeeper.pause()
    try:
        let_pass(5, lambda: proc.alive(held.pid) and never_lived(second, held), "ZooKeeper is away for longer than a session")
    finally:
        own_zookeeper.resume()
    cluster.wait_active()


# ---- those that may not be held --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, told", [("gate-refused", "this Livy is not one that can be held"), ("gate-listens", "it listened on port")])
def test_refused_and_started_cold(hot: Cluster, mode: str, told: str) -> None:
    first, second = hot.members
    first.start()
    first.wait_serving()
    second.set_mode(mode)
    second.start()
    second.wait_log("will be started cold", told)
    second.wait(lambda: len(second.oracle.held("b")) == 1 and not proc.alive(second.oracle.held("b")[0].pid), 5, "it is ended")
    let_pass(1.5, lambda: len(second.oracle.held("b")) == 1, "it is not tried again")
    first.kill()
    second.wait_serving()
    second.set_mode("")
    assert all(life.first == 0 for life in second.oracle.held("b"))


@pytest.mark.parametrize("how", ["setsid {java} & while [ ! -e {told} ]; do sleep 0.01; done", "setsid {java} & wait", "(setsid {java} &); exec sleep 600"],
                         ids=["and-ends", "and-waits", "as-a-daemon"])
def test_a_java_that_leaves_its_start_script(hot: Cluster, tmp_path: str, how: str) -> None:
    """Without the agent and in a session of its own nothing holds it, and no signal to the script's group reaches it."""
    first, second = hot.members
    first.start()
    first.wait_serving()
    java, told, script = (os.path.join(tmp_path, name) for name in ("java", "told", "livy-server"))
    shutil.copy("/bin/sh", java)
    # It tells its pid before it is a Java, which is killed as soon as it is seen.
    run = f"sh -c 'echo $$ >{told}.part; mv {told}.part {told}; exec {java} -c \"sleep 600; :\" org.apache.livy.server.LivyServer'"
    with open(script, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\n{how.format(java=run, told=told)}\n")
    os.chmod(script, 0o755)
    second.settings["livy.command"] = script
    second.write_conf()
    second.start()
    pid = int(second.wait(lambda: os.path.exists(told) and open(told, encoding="ascii").read(), 20, "it runs"))  # noqa: SIM115
    try:
        second.wait_gone(pid, 15, "(without the agent)")
        if "while" in how:
            second.wait_log(f"killed pid {pid}, left over by Livy")
        else:
            second.wait_log("will be started cold", "its Java runs without the agent")
        second.wait(lambda: [child for child in proc.descendants(second.pid) if proc.executable(child).endswith(("/java", "/sleep"))] == []
                    or None, 5, "nor does it leave anything")
    finally:
        second.stop()
        proc.kill_if(pid, "java")


def test_a_real_java(make_cluster: MakeCluster, tmp_path: str) -> None:
    """The agent itself, in a JVM: held and let go; one that listens before the gate; one whose start script has lost the agent."""
    classes = gate.compile_livy(os.path.join(tmp_path, "livy"))
    os.makedirs(os.path.join(tmp_path, "early"))
    early = gate.launcher(os.path.join(tmp_path, "early"), classes, "-Dearly=true")
    os.makedirs(os.path.join(tmp_path, "deaf"))
    deaf = gate.launcher(os.path.join(tmp_path, "deaf"), classes, opts="")
    cluster = make_cluster(2, livy__standby="hot", livy__command=gate.launcher(str(tmp_path), classes))
    first, second = cluster.members
    first.start()
    first.wait(lambda: first.row().get("livy") == "serving", 60, "its Livy serves")
    second.settings["livy.command"] = early
    second.write_conf()
    second.start()
    second.wait_log("will be started cold", f"it listened on port {second.port}", timeout=30)
    second.settings["livy.command"] = deaf
    second.write_conf()
    assert second.ctl("reload").code == 0
    # which of the two is seen first is the JVM's and the host's affair: one as small as this listens after 60 ms
    second.wait(lambda: any(text in second.log() for text in ("cold: its Java runs without the agent", "killed); its agent had not said a word")),
                30, "the log says that the agent is not there")
    second.settings["livy.command"] = first.settings["livy.command"]
    second.write_conf()
    assert second.ctl("reload").code == 0
    second.wait_log("held Livy warming -> held", timeout=30)
    told = {name: open(os.path.join(tmp_path, name), encoding="utf-8").read().split()  # noqa: SIM115
            for name in os.listdir(tmp_path) if name.startswith("told-")}
    assert ["begun"] in told.values(), told
    assert first.ctl("switchover").code == 0
    second.wait(lambda: second.row().get("livy") == "serving", 30, "its Livy serves")
    second.wait_log("classes are written down for the next one")
