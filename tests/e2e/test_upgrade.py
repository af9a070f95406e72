"""Elector and relay replaced while Livy runs: what stays as it is, and what is left in place where the new ones are no good."""
import http.client
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.admin import metrics, status_of, wait_status
from livyha.build import program
from livyha.client import Client, Loop, get
from livyha.cluster import Cluster
from livyha.member import CtlResult, Member
from livyha.oracle import Life
from livyha.orders import done, order, refused
from livyha.programs import ELECTOR, RELAY, Programs


@dataclass(frozen=True)
class Picture:
    """What an upgrade must not change. A standby's new elector stands with a new node in the same session (a delete of the
    old one might be on its way), so of the queue it is the leader that counts."""
    livy: int
    keeper: int
    epoch: int | None
    leader: str
    session: int


def session_of(cluster: Cluster, member: Member) -> int:
    path = cluster.latch_node(member)
    stat = cluster.zk.exists(path) if path else None
    return stat.owner_session_id if stat else 0


def picture(cluster: Cluster, member: Member) -> Picture:
    life = member.serving()
    return Picture(life.pid if life else 0, member.pid, cluster.epoch(), cluster.latch()[0],
                   cluster.wait(lambda: session_of(cluster, member), 10, "the member stands"))


def upgrade(member: Member) -> str:
    return done(member, "upgrade")


def by_signal(member: Member, outcome: str) -> None:
    at = len(member.log())
    member.signal(signal.SIGUSR2)
    member.wait_log("upgrade:", outcome, timeout=40, after=at)


def runs(pid: int, path: str) -> bool:
    """The process runs the very file that is there now."""
    there, ours = os.stat(path), os.stat(f"/proc/{pid}/exe")
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


@pytest.fixture(scope="module")
def installed(module_cluster: ClusterMaker) -> tuple[Cluster, Programs]:
    """Two members with fronts, on an installation of their own."""
    cluster = module_cluster(2, fronts=True, writing_ms=20)
    programs = Programs(cluster)
    return cluster.start(), programs


@pytest.fixture
def two(installed: tuple[Cluster, Programs]) -> tuple[Cluster, Programs]:
    installed[1].install_all()
    installed[0].wait_settled()
    for member in installed[0].members:
        member.wait(lambda member=member: _relays(member) == 1, 20, "no relay of an upgrade before is left")
    return installed


def _relays(member: Member) -> int:
    return [os.path.basename(proc.executable(pid)) for pid in proc.children(member.pid)].count(RELAY)


def member_of(cluster: Cluster, role: str) -> Member:
    return cluster.wait_settled() if role == "active" else cluster.standbys()[0]


# ---- it works ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["command", "signal"])
@pytest.mark.parametrize("role", ["active", "standby"])
def test_the_same_version(two: tuple[Cluster, Programs], role: str, how: str) -> None:
    cluster, programs = two
    member = member_of(cluster, role)
    before, elector, relay = picture(cluster, member), member.wait_elector(), member.wait_relay()
    life = cluster.wait_settled().serving()
    assert life is not None
    if how == "command":
        assert upgrade(member) == "elector 0.1.0 and relay 0.1.0 run now\n"
    else:
        by_signal(member, "run now")
    new_elector, new_relay = member.wait_elector(other_than=elector), member.wait_relay(other_than=relay)
    assert runs(new_elector, programs.path(ELECTOR)) and runs(new_relay, programs.path(RELAY))
    assert picture(cluster, member) == before, "Livy, its epoch, the session and the queue are as they were"
    assert member.row()["pending_restart"] is False
    member.wait(lambda: not proc.alive(relay), 10, "the old relay, which has nothing to do any more, ends")
    assert get(member).standin[1] == life.pid, "the front serves"
    if role == "active":
        member.wait_lease_renewed()
    with open(f"/proc/{new_elector}/comm", encoding="ascii") as comm:
        assert comm.read() == "livy-ha-elector\n"
    cluster.assert_exclusive()


def test_another_version_is_shown(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, fronts=True)
    programs = Programs(cluster)
    member = cluster.start().wait_settled()
    before = picture(cluster, member)
    programs.install_version("0.1.9")
    assert upgrade(member) == "elector 0.1.9 and relay 0.1.9 run now\n"
    assert picture(cluster, member) == before
    row = member.row()
    assert (row["version"], row["pending_restart"]) == ("0.1.9", True), "livy-ha itself waits for its next start"
    assert "restart pending" in order(member, "status", "--wide").out
    # What has proved itself is run again after a crash, whatever is installed by then.
    programs.install(ELECTOR, "ear")
    elector = member.wait_elector()
    proc.send(elector, signal.SIGKILL)
    member.wait_elector(other_than=elector)
    member.wait(lambda: member.row().get("version") == "0.1.9", 15, "the version that ran")
    assert picture(cluster, member) == before
    # The rolling upgrade's last step: the daemon itself, after a switchover.
    programs.install_version("0.1.9")
    programs.install_patched("livy-ha", b"0.1.0\0", b"0.1.9\0")
    other = cluster.standbys()[0]
    member.wait(lambda: member.row(other.name).get("role") == "standby", 15, "the elector knows of the other one")
    assert order(member, "switchover").code == 0
    assert member.stop() == 0
    member.start()
    member.wait_role("standby")
    assert member.row()["pending_restart"] is False
    cluster.assert_exclusive()


def test_no_request_is_lost(make_cluster: ClusterMaker) -> None:
    """Clients in closed loops on kept connections, through both fronts, while both members are upgraded again and again."""
    cluster = make_cluster(2, fronts=True)
    programs = Programs(cluster)
    active = cluster.start().wait_settled()
    before = picture(cluster, active)
    loops = [Loop(member, f"{member.name}{number}").start() for member in cluster.members for number in range(3)]
    for _ in range(3):
        for member in cluster.members:
            relay = member.wait_relay()
            seen = [len(loop.answers) for loop in loops]
            programs.install_all()
            upgrade(member)
            member.wait(lambda: all(len(loop.answers) > n + 20 for loop, n in zip(loops, seen, strict=True)), 30,  # noqa: B023
                        "all clients go on")
            member.wait_gone(relay, 15, "(the relay before)")
    for loop in loops:
        loop.stop()
    assert [error for loop in loops for error in loop.errors] == [], cluster.failure_text()
    done = [identity for life in cluster.oracle.lives() for identity in life.posts]
    asked = [identity for loop in loops for identity in loop.posted]
    assert sorted(done) == sorted(asked), "each POST was carried out once"
    assert picture(cluster, active) == before


def test_a_kept_connection_and_a_long_request(two: tuple[Cluster, Programs]) -> None:
    cluster, _ = two
    member = cluster.wait_settled()
    life = member.serving()
    assert life is not None
    with Client(member) as kept, Client(member) as busy:
        assert kept.get().status == 200 and busy.get().status == 200
        ports = kept.local_port, busy.local_port
        answers: list[int] = []
        running = threading.Thread(target=lambda: answers.append(busy.get("/slow/3000").status))
        running.start()
        member.wait(lambda: metrics(member)["livy_ha_front_running"] == 1, 5, "the long request runs")
        relay = member.wait_relay()
        upgrade(member)
        assert kept.get().standin == (member.name, life.pid)
        assert not answers and proc.alive(relay), "the old relay ends what runs"
        assert metrics(member)["livy_ha_front_running"] == 1, "and the new one counts it: a hand-over waits for it"
        running.join(30)
        assert answers == [200]
        assert busy.get().status == 200
        assert (kept.local_port, busy.local_port) == ports, "the very same connections"
        member.wait_gone(relay, 10, "(the relay before)")
    upgrade(member)


def _answer(sock: socket.socket, method: str) -> int:
    """The status of the next answer on it."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    response.read()
    return response.status


def test_the_next_request_is_the_new_ones(two: tuple[Cluster, Programs]) -> None:
    """The old relay ends what runs, and begins nothing more, though it has the next request already."""
    cluster, _ = two
    member = cluster.wait_settled()
    with socket.create_connection(("127.0.0.1", member.front_port), timeout=30) as sock:
        sock.sendall(b"".join(b"GET /slow/%d HTTP/1.1\r\nHost: x\r\n\r\n" % ms for ms in (3000, 8000)))
        member.wait(lambda: metrics(member)["livy_ha_front_running"] == 1, 5, "the first one runs")
        relay = member.wait_relay()
        upgrade(member)
        assert _answer(sock, "GET") == 200
        member.wait_gone(relay, 4, "(the relay before)")
        assert not select.select([sock], [], [], 0)[0], "the second one runs"
        assert metrics(member)["livy_ha_front_running"] == 1
        assert _answer(sock, "GET") == 200


def test_a_second_upgrade_while_the_relay_before_ends(two: tuple[Cluster, Programs]) -> None:
    cluster, _ = two
    member = cluster.wait_settled()
    with Client(member) as busy:
        answers: list[int] = []
        running = threading.Thread(target=lambda: answers.append(busy.get("/slow/3000").status))
        running.start()
        member.wait(lambda: metrics(member)["livy_ha_front_running"] == 1, 5, "the long request runs")
        relay = member.wait_relay()
        upgrade(member)
        refused(member, "upgrade", why=f"the relay of the upgrade before (pid {relay})")
        running.join(30)
        assert answers == [200]
    member.wait_gone(relay, 10, "(the relay before)")
    upgrade(member)


def test_held_requests_go_over(make_cluster: ClusterMaker) -> None:
    """No active Livy: requests wait, in the old relay, in the new one, and are answered once there is one."""
    cluster = make_cluster(2, fronts=True, front__hold="60s")
    Programs(cluster)
    active = cluster.start().wait_settled()
    standby = cluster.standbys()[0]
    assert order(standby, "pause").code == 0
    standby.wait(lambda: (standby.status() or {}).get("paused"), 10, "it knows of the pause")
    assert active.stop() == 0
    answers: list[int] = []
    asking = [threading.Thread(target=lambda: answers.append(get(standby).status)) for _ in range(5)]
    for thread in asking:
        thread.start()
    standby.wait(lambda: metrics(standby)["livy_ha_front_held"] == 5, 10, "five are held")
    upgrade(standby)
    standby.wait(lambda: metrics(standby)["livy_ha_front_held"] == 5, 10, "all of them by the new relay")
    assert not answers
    assert order(standby, "resume").code == 0
    for thread in asking:
        thread.join(60)
    assert answers == [200] * 5


def test_health_checks_go_on(two: tuple[Cluster, Programs]) -> None:
    """No check of the admin port is refused or failed while both programs are replaced."""
    cluster, _ = two
    member = cluster.wait_settled()
    seen: list[str] = []
    end = threading.Event()
    wait_status(member, "/active", 200)

    def check() -> None:
        while not end.wait(0.01):
            seen.extend(f"{path} {status_of(member, path)}" for path in ("/active", "/livez", "/readyz"))
    thread = threading.Thread(target=check)
    thread.start()
    try:
        for _ in range(3):
            relay = member.wait_relay()
            upgrade(member)
            member.wait_gone(relay, 15, "(the relay before)")
    finally:
        end.set()
        thread.join()
    assert len(seen) > 10 and all(each.endswith(" 200") for each in seen), [each for each in seen if not each.endswith(" 200")]


# ---- it does not: the old ones stay ----------------------------------------------------------------------------------


def _exits(programs: Programs, name: str) -> None:
    programs.install_script(name, "exit 3")


def _hangs(programs: Programs, name: str) -> None:
    programs.install_script(name, "exec sleep 600")


def _cannot_be_run(programs: Programs, name: str) -> None:
    programs.install_script(name, "exit 0", mode=0o644)


def _is_no_program(programs: Programs, name: str) -> None:
    programs._put(name, lambda path: open(path, "wb").write(b"\x7fELF, but not really"))  # noqa: SIM115


def _speaks_otherwise(programs: Programs, name: str) -> None:
    programs.install_patched(name, b"HLA3", b"HLA9")


def _refuses_the_configuration(programs: Programs, name: str) -> None:
    programs.install_patched(name, b"livy-ha-conf 1", b"livy-ha-conf 9")


def _does_not_fit_the_other(programs: Programs, name: str) -> None:
    programs.install_patched(name, b"HLF1", b"HLF9")


NO_GOOD: list[tuple[str, Callable[[Programs, str], None], str]] = [
    ("exits", _exits, "the installed {} ended with status 3 before it said a word"),
    ("hangs", _hangs, "the installed {} has said nothing for 5 s"),
    ("absent", Programs.remove, "{} is neither beside livy-ha nor in "),
    ("not-executable", _cannot_be_run, "or not executable"),
    ("no-program", _is_no_program, "the installed {} ended with status 127 before it said a word: it cannot be run here (see the log)"),
    ("protocol", _speaks_otherwise, "the installed {} speaks another protocol than this livy-ha"),
    ("configuration", _refuses_the_configuration, "the installed {} gives up: "),
    ("versions", _does_not_fit_the_other, "two versions that do not understand each other"),
]


def _nothing_is_changed(cluster: Cluster, member: Member, attempt: Callable[[], None]) -> None:
    before, elector, relay = picture(cluster, member), member.wait_elector(), member.wait_relay()
    with Client(member) as client:
        assert client.get().status == 200
        port = client.local_port
        attempt()
        assert client.get().status == 200 and client.local_port == port
    assert (member.elector(), member.relay()) == (elector, relay), "the old ones are in place"
    assert picture(cluster, member) == before
    member.wait(lambda: len(proc.children(member.pid)) <= 3, 10, "the new ones are gone")
    cluster.assert_exclusive()


@pytest.mark.parametrize("which", [ELECTOR, RELAY])
@pytest.mark.parametrize(("what", "install", "why"), NO_GOOD, ids=[each[0] for each in NO_GOOD])
def test_a_new_version_that_is_no_good(two: tuple[Cluster, Programs], which: str, what: str,
                                       install: Callable[[Programs, str], None], why: str) -> None:
    cluster, programs = two
    member = member_of(cluster, "active" if which == ELECTOR or what == "hangs" else "standby")
    install(programs, which)
    _nothing_is_changed(cluster, member, lambda: refused(member, "upgrade", why=why.format(which)))
    programs.install_all()
    upgrade(member)  # and once it is mended, it works


def test_one_that_is_no_good_by_signal(two: tuple[Cluster, Programs]) -> None:
    cluster, programs = two
    member = cluster.wait_settled()
    _speaks_otherwise(programs, ELECTOR)
    _nothing_is_changed(cluster, member, lambda: by_signal(member, "speaks another protocol"))
    _refuses_the_configuration(programs, ELECTOR)
    _nothing_is_changed(cluster, member, lambda: by_signal(member, "gives up: "))


@pytest.mark.parametrize("role", ["active", "standby"])
@pytest.mark.parametrize("words", ["no-pong", "exit-when-welcomed", "fatal-when-welcomed"])
def test_one_that_fails_in_office(make_cluster: ClusterMaker, words: str, role: str) -> None:
    """It says HELLO, gets the session, and hangs, ends or says that the daemon must end: the old program takes the session over again, in time."""
    cluster = make_cluster(2)
    programs = Programs(cluster)
    cluster.start()
    member = member_of(cluster, role)
    ears = os.path.join(cluster.directory, "ears")
    os.makedirs(ears)
    for each in cluster.members:  # before the start would do as well: the daemon hands its environment on
        assert each.env.get("EAR_DIR") is None
    with open(os.path.join(cluster.directory, "ears", f"{member.name}.ear"), "w", encoding="ascii") as file:
        file.write(words)
    programs.install_script(ELECTOR, f"EAR_DIR={ears} exec {program('ear')} \"$@\"")
    before, elector = picture(cluster, member), member.wait_elector()
    result = order(member, "upgrade")
    assert result.code == 1 and "elector and relay are the old ones again: the installed livy-ha-elector" in result.err, \
        f"{result}\n{member.failure_text()}"
    assert ("did not renew the lease, or not answer, in time" in result.err) == (words == "no-pong"), result
    assert ("ended as soon as" in result.err) == (words == "exit-when-welcomed"), result
    assert ("gives up: the ear was told to" in result.err) == (words == "fatal-when-welcomed"), result
    assert result.err.count("\n") == 1
    new = member.wait_elector(other_than=elector)
    assert proc.executable(new) == programs.path(ELECTOR) and not runs(new, programs.path(ELECTOR)), \
        "the program that ran before, though another file is installed"
    assert picture(cluster, member) == before
    if role == "active":
        member.wait_lease_renewed()
    proc.send(new, signal.SIGKILL)  # and a crash later on finds it as well
    last = member.wait_elector(other_than=new)
    assert not runs(last, programs.path(ELECTOR))
    member.wait(lambda: member.status() is not None, 10, "it answers")
    assert picture(cluster, member) == before
    cluster.assert_exclusive()


# ---- at the same time as other things --------------------------------------------------------------------------------


def test_two_at_the_same_time(two: tuple[Cluster, Programs]) -> None:
    cluster, _ = two
    member = cluster.wait_settled()
    before = picture(cluster, member)
    for _ in range(3):
        relay = member.wait_relay()
        results: list[CtlResult] = []
        threads = [threading.Thread(target=lambda: results.append(order(member, "upgrade"))) for _ in range(3)]  # noqa: B023
        for thread in threads:
            thread.start()
        member.signal(signal.SIGUSR2)
        for thread in threads:
            thread.join()
        for result in results:  # 4: the elector was replaced at the very moment in which it was asked
            assert result.code in (0, 4) or any(why in result.err for why in ("under way", "just being started", "upgrade before",
                                                                                   "was replaced meanwhile")), results
        member.wait(lambda: not proc.alive(relay), 20, "at least one was done")  # noqa: B023
        member.wait(lambda: len(proc.children(member.pid)) <= 3 and member.status() is not None, 20, "all is over")
    assert picture(cluster, member) == before


@pytest.mark.parametrize("how", ["command", "signal"])
@pytest.mark.parametrize("role", ["active", "standby"])
def test_during_a_switchover(make_cluster: ClusterMaker, role: str, how: str) -> None:
    cluster = make_cluster(2, fronts=True, writing_ms=20)
    programs = Programs(cluster)
    cluster.start()
    for round_ in range(3):
        member = member_of(cluster, role)
        old = cluster.wait_settled()
        programs.install_all()
        for each in cluster.members:
            each.set_mode("start-delay=500")
        standby = cluster.standbys()[0]
        old.wait(lambda: old.row(standby.name).get("role") == "standby", 20, "it knows who stands by")  # noqa: B023
        asked = old.ctl("switchover", "--no-wait")
        assert asked.code == 0, (round_, asked)
        if how == "command":
            result = order(member, "upgrade")
            assert result.code in (0, 1), f"{result}\n{member.failure_text()}"
        else:
            by_signal(member, "")
        # Its successor may have lost its place in the queue by the upgrade: then nothing was changed.
        cluster.wait(lambda: "switchover" not in cluster.control(), 60, "the request is cleared")
        cluster.wait_settled()
        for each in cluster.members:
            each.set_mode("")
        member.wait(lambda: len(proc.children(member.pid)) <= 3 and member.status() is not None, 70, "all is over")  # noqa: B023
        cluster.assert_exclusive()


def _takes_a_while(programs: Programs) -> None:
    """Two seconds before it says its first word: by then it has been given its configuration."""
    programs.install_script(ELECTOR, f"sleep 2; exec {program(ELECTOR)} \"$@\"")


def _reload(member: Member, **settings: object) -> None:
    at = len(member.log())
    member.settings |= {key.replace("__", "."): value for key, value in settings.items()}
    member.write_conf()
    member.signal(signal.SIGHUP)
    member.wait_log("reload:", "changed", after=at)


def _shown(member: Member, key: str) -> str:
    lines = [line for line in order(member, "config").out.splitlines() if key in line]
    return lines[0] if lines else ""


def test_a_reload_in_the_middle(make_cluster: ClusterMaker) -> None:
    """Those that were started before it, and come to office after it, know of it."""
    cluster = make_cluster(2, fronts=True, log__level="info")
    programs = Programs(cluster)
    member = cluster.start().wait_settled()
    before, elector, relay = picture(cluster, member), member.wait_elector(), member.wait_relay()
    _takes_a_while(programs)
    at = len(member.log())
    member.signal(signal.SIGUSR2)
    member.wait_log("upgrade:", "is tried, pid", after=at)
    _reload(member, livy__stop_grace="7s", log__level="debug")
    member.wait_log("upgrade:", "run now", timeout=20, after=at)
    member.wait_elector(other_than=elector)
    assert "7s" in _shown(member, "livy.stop_grace"), "the new elector"
    member.wait_gone(relay, 10, "(the relay before)")
    at = len(member.log())
    programs.install_all()
    upgrade(member)
    member.wait_log("relay debug:", after=at)
    assert picture(cluster, member) == before


def test_a_reload_while_an_elector_starts(make_cluster: ClusterMaker) -> None:
    """As after a crash: it has been given the old configuration, and does not listen yet."""
    cluster = make_cluster(1, zookeeper__session_timeout="10s")
    programs = Programs(cluster)
    _takes_a_while(programs)
    member = cluster.start().wait_settled()
    elector = member.wait_elector()
    proc.send(elector, signal.SIGKILL)
    member.wait_gone(elector, 5, "(the elector)")
    _reload(member, livy__stop_grace="7s")
    member.wait(lambda: "7s" in _shown(member, "livy.stop_grace"), 15, "the new elector knows of it")
    cluster.assert_exclusive()


def test_a_stop_in_the_middle(make_cluster: ClusterMaker) -> None:
    """TERM while the new version is being tried: it stops in order, and nothing is left behind."""
    cluster = make_cluster(2)
    programs = Programs(cluster)
    member = cluster.start().wait_settled()
    _hangs(programs, ELECTOR)
    member.signal(signal.SIGUSR2)
    member.wait(lambda: len([pid for pid in proc.children(member.pid)]) >= 3, 10, "the new one is tried")
    children = proc.children(member.pid)
    assert member.stop() == 0
    member.wait(lambda: not any(proc.alive(pid) for pid in children), 5, "nobody is left")
    cluster.wait_active(30, other_than=member)
    cluster.assert_exclusive()


def test_a_keeper_that_dies_in_the_middle(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2)
    programs = Programs(cluster)
    member = cluster.start().wait_settled()
    life: Life | None = member.serving()
    assert life is not None
    _hangs(programs, ELECTOR)
    member.signal(signal.SIGUSR2)
    member.wait(lambda: len(proc.children(member.pid)) >= 3, 10, "the new one is tried")
    hanging = [pid for pid in proc.children(member.pid) if pid not in (member.elector(), life.pid)]
    assert hanging
    member.kill()
    for pid in hanging:
        member.wait_gone(pid, 5, "(the new one, which has nothing to close)")
    cluster.wait_new_life(life, 30)
    programs.install_all()
    member.start()
    cluster.wait_settled()
    cluster.assert_exclusive()


def test_an_upgraded_elector_outlives_its_keeper(make_cluster: ClusterMaker) -> None:
    """It closes the session, as any other does: the next member starts at once, not after T."""
    cluster = make_cluster(2, zookeeper__session_timeout="10s")
    Programs(cluster)
    member = cluster.start().wait_settled()
    life = member.serving()
    assert life is not None
    upgrade(member)
    member.kill()
    new = cluster.wait_new_life(life, 30)
    assert new.first - life.last < 3_000_000_000, "the session was closed"
    cluster.assert_exclusive()


def test_without_zookeeper(make_cluster: ClusterMaker, own_zookeeper: object) -> None:
    """No lease to spare: the elector is not touched. Nobody serves: it may be replaced at any time."""
    cluster = make_cluster(1, own_zookeeper, zookeeper__session_timeout="8s")
    Programs(cluster)
    member = cluster.start()["a"]
    life = member.serving()
    assert life is not None
    own_zookeeper.stop()  # type: ignore[attr-defined]
    member.wait_gone(life.pid, 30, "(Livy, at its deadline)")
    elector = member.wait_elector()
    upgrade(member)
    member.wait_elector(other_than=elector)
    own_zookeeper.start()  # type: ignore[attr-defined]
    member.wait_serving(60)
