"""The admin port: health checks, JSON, metrics and the page, in every state that a member can be in."""
import html.parser
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.admin import Metrics, ask, metrics, status_of, wait_status
from livyha.build import ROOT, program
from livyha.client import Client
from livyha.cluster import Cluster
from livyha.member import CtlResult, Member
from livyha.wait import boot_ms, wait_for
from livyha.zookeeper import Ensemble

HEALTH = ("/active", "/leader", "/standby", "/livez", "/readyz")
ALWAYS = ("/status", "/cluster", "/history", "/metrics", "/")


@pytest.fixture(scope="module")
def two_fronts(module_cluster: ClusterMaker) -> Cluster:
    return module_cluster(2, fronts=True).start()


@pytest.fixture
def two(two_fronts: Cluster) -> Cluster:
    """Two members that both know who is active, by their admin ports."""
    active = two_fronts.wait_settled()
    for member in two_fronts.members:
        wait_status(member, "/active" if member is active else "/standby", 200)
        wait_status(member, "/readyz", 200)
        two_fronts.wait(lambda: knows(member, active), 20, f"{member.name} knows who is active")  # noqa: B023
    return two_fronts


def knows(member: Member, active: Member) -> bool:
    cluster, route = ask(member, "/cluster").json, ask(member, "/readyz").json.get("route")
    return (cluster["active"], cluster["serving"], route) == (active.name, True, "local" if member is active else "remote")


def health(member: Member) -> dict[str, int]:
    return {path: ask(member, path).status for path in HEALTH}


def reason(member: Member, path: str) -> str:
    answer = ask(member, path)
    assert answer.status == 503
    return str(answer.json["reason"])


@contextmanager
def stopped(member: Member, pid: int) -> Iterator[None]:
    member.pause_process(pid)
    try:
        yield
    finally:
        proc.send(pid, signal.SIGCONT)


def by_url(member: Member, *arguments: str, as_json: bool = False) -> CtlResult:
    argv = [program("livy-ha-ctl"), *(["--json"] if as_json else []), "-u", f"http://127.0.0.1:{member.admin_port}",
            "--timeout", "10s", *arguments]
    done = subprocess.run(argv, env=member.env, capture_output=True, text=True, timeout=60, check=False)
    return CtlResult(done.returncode, done.stdout, done.stderr)


# ---- a cluster at rest -------------------------------------------------------------------------------------------


def test_health_of_active_and_standby(two: Cluster) -> None:
    active, standby = two.wait_settled(), two.standbys()[0]
    assert health(active) == {"/active": 200, "/leader": 200, "/standby": 503, "/livez": 200, "/readyz": 200}
    assert health(standby) == {"/active": 503, "/leader": 503, "/standby": 200, "/livez": 200, "/readyz": 200}
    assert ask(active, "/active").json == {"active": True, "member": active.name, "epoch": two.epoch()}
    assert reason(standby, "/active") == f"standby, {active.name} is active"
    assert ask(standby, "/readyz").json["route"] == "remote"


def test_methods_and_versions(two: Cluster) -> None:
    active = two.wait_settled()
    for path in (*HEALTH, *ALWAYS, "/nothing"):
        got, head = ask(active, path), ask(active, path, "HEAD")
        assert (head.status, head.body) == (got.status, ""), path
        assert head.headers["content-type"] == got.headers["content-type"]
        assert int(head.headers["content-length"]) > 0
        options = ask(active, path, "OPTIONS")
        assert (options.status, options.body) == (got.status, "")
        assert options.headers["allow"] == "GET, HEAD, OPTIONS"
        assert ask(active, path, version="1.0").status == got.status, "HTTP/1.0 without Host, as old health checks do"
        assert ask(active, path + "?a=b").status == got.status
        assert ask(active, path, "POST").status == ask(active, path, "DELETE").status == 405
        assert got.headers["cache-control"] == "no-store"
    nothing = ask(active, "/nothing")
    assert nothing.status == 404 and "error" in nothing.json
    for path in ("/active/", "//active", "/switchover", "/pause", "/config"):
        assert status_of(active, path) in (400, 404), path


def test_documents_are_those_of_the_control_socket(two: Cluster) -> None:
    active = two.wait_settled()

    def still(document: dict) -> dict:
        document.pop("change", None)
        for member in document["members"]:
            for changing in ("lease_left_ms", "uptime_s"):
                member.pop(changing)
        return document

    for member in two.members:
        two.wait(lambda: still(ask(member, "/cluster").json) == still(member.ctl("status").json), 10,  # noqa: B023
                 "both say the same")
        two.wait(lambda: ask(member, "/history").json == two.history(), 10, "the history is ZooKeeper's")  # noqa: B023
    own = ask(active, "/status").json
    assert (own["id"], own["role"], own["livy"], own["connected"]) == (active.name, "active", "serving", True)
    assert 0 < own["lease_left_ms"] <= 4000 and "stale_ms" not in own
    assert not {"runtime_dir", "boot"} & own.keys(), "of no use to others"


def test_ctl_reads_from_the_admin_port(two: Cluster) -> None:
    active, standby = two.wait_settled(), two.standbys()[0]
    status = by_url(standby, "status", as_json=True)
    assert (status.code, status.json["active"]) == (0, active.name)
    table = by_url(standby, "status")
    assert table.code == 0 and f"* {standby.name}" in table.out
    assert by_url(standby, "active").out.strip() == active.front_url
    assert by_url(standby, "history", as_json=True).json == two.history()
    assert re.search(r"^livy-ha \d", by_url(standby, "version").out, re.M)
    assert by_url(standby, "wait", "--for", "standby").code == 0
    assert by_url(active, "wait", "--for", "active").code == 0
    for command in (["switchover"], ["config"]):
        refused = by_url(standby, *command)
        assert refused.code == 2 and "control socket" in refused.err


# ---- metrics ---------------------------------------------------------------------------------------------------------


def promtool(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return done.stdout


def test_metrics_of_both(two: Cluster) -> None:
    active, standby = two.wait_settled(), two.standbys()[0]
    for member in (active, standby):
        found = metrics(member)
        promtool("check", "metrics", text=found.text)
        role = "active" if member is active else "standby"
        assert found.one_of("livy_ha_role", "role") == found.one_of("livy_ha_phase", "phase") == role
        assert found.one_of("livy_ha_front_route", "route") == ("local" if member is active else "remote")
        assert found("livy_ha_health", check="active") == (member is active)
        assert found("livy_ha_health", check="standby") == (member is standby)
        assert found["livy_ha_epoch"] == two.epoch()
        assert found["livy_ha_cluster_serving"] == found["livy_ha_zookeeper_connected"] == 1
        assert found("livy_ha_members", role="active") == found("livy_ha_members", role="standby") == 1
        assert 0 <= found["livy_ha_snapshot_age_seconds"] < 3
        assert found("livy_ha_member_info", member=member.name) == 1
        _processes(member, found)
    assert 0 < metrics(active)["livy_ha_lease_seconds"] <= 4
    assert metrics(standby).get("livy_ha_lease_seconds") is None
    assert metrics(active).one_of("livy_ha_livy_state", "state") == "serving"


def _processes(member: Member, found: Metrics) -> None:
    for name, pid in (("keeper", member.pid), ("elector", member.elector()), ("relay", member.relay())):
        assert pid is not None
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/stat", encoding="ascii") as file:
            boot = next(int(line.split()[1]) for line in file if line.startswith("btime"))
        started = boot + ticks / os.sysconf("SC_CLK_TCK")
        assert abs(found("livy_ha_process_start_time_seconds", process=name) - started) < 3
        assert 500_000 < found("livy_ha_process_resident_memory_bytes", process=name)
        assert abs(found("livy_ha_process_open_fds", process=name) - len(os.listdir(f"/proc/{pid}/fd"))) <= 4


def test_heartbeats_are_counted(two: Cluster) -> None:
    active = two.wait_settled()
    before, began = metrics(active), boot_ms()
    two.wait(lambda: metrics(active)["livy_ha_heartbeats_acknowledged_total"] >=
             before["livy_ha_heartbeats_acknowledged_total"] + 5, 20, "five more heartbeats")
    after = metrics(active)
    took = (boot_ms() - began) / 1000 + before["livy_ha_snapshot_age_seconds"]  # that old were the first numbers
    more = after["livy_ha_heartbeat_latency_seconds_count"] - before["livy_ha_heartbeat_latency_seconds_count"]
    assert 5 <= more <= took / 0.2 + 2, "one each 200 ms (T/20)"
    assert after["livy_ha_heartbeat_latency_seconds_sum"] > before["livy_ha_heartbeat_latency_seconds_sum"]
    assert after["livy_ha_heartbeats_sent_total"] - after["livy_ha_heartbeats_acknowledged_total"] <= 2
    spent = after("livy_ha_phase_seconds_total", phase="active") - before("livy_ha_phase_seconds_total", phase="active")
    assert 0 < spent <= took + 1


def test_front_is_counted(two: Cluster) -> None:
    active, standby = two.wait_settled(), two.standbys()[0]
    for member, outcome in ((active, "local"), (standby, "forwarded")):
        before = metrics(member)
        with Client(member) as client:
            for _ in range(3):
                assert client.get().status == 200
            assert client.ask("POST", "/sessions", b"x" * 1000).status == 201
            during = metrics(member)
            assert during["livy_ha_front_connections"] >= 1
        more = {name: during[name] - before[name] for name in ("livy_ha_front_connections_accepted_total",)}
        assert more["livy_ha_front_connections_accepted_total"] == 1
        count = "livy_ha_front_requests_total"
        assert during(count, outcome=outcome) - before(count, outcome=outcome) == 4
        assert during(count, outcome="redirected") == before(count, outcome="redirected") == 0
        for direction in ("in", "out"):
            name = "livy_ha_front_bytes_total"
            assert during(name, direction=direction) - before(name, direction=direction) > (1000 if direction == "in" else 100)
        with socket.create_connection(("127.0.0.1", member.front_port), 10) as bad:
            bad.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert b" 400 " in bad.recv(1000)
        rejects = "livy_ha_front_rejects_total"
        assert metrics(member)(rejects, reason="bad-request") == during(rejects, reason="bad-request") + 1


def test_failovers_starts_and_exits(make_cluster: ClusterMaker) -> None:
    """A stop is an orderly one for the member that takes over; a death of all of a host's processes is a session that
    ended; the death of Livy alone is none, but an exit."""
    cluster = make_cluster(3, fronts=True).start()
    first = cluster.wait_settled()
    life = first.serving()
    assert life is not None
    wait_status(first, "/active", 200)
    assert metrics(first)["livy_ha_livy_starts_total"] == 1
    os.kill(life.pid, signal.SIGKILL)
    first.wait_serving(other_than=life)
    cluster.wait(lambda: metrics(first)["livy_ha_livy_starts_total"] == 2, 10, "the start is counted")
    assert metrics(first)("livy_ha_livy_exits_total", cause="signalled") == 1
    assert metrics(first)("livy_ha_events_total", event="livy-died") == 1
    wait_status(first, "/active", 200)
    assert metrics(first)["livy_ha_livy_start_duration_seconds_count"] == 2
    assert metrics(first)["livy_ha_livy_last_start_duration_seconds"] > 0

    assert first.stop() == 0
    second = cluster.wait_active(other_than=first)
    wait_status(second, "/active", 200)
    assert metrics(second)("livy_ha_failovers_total", reason="orderly") == 1
    assert metrics(second)("livy_ha_failovers_total", reason="session-ended") == 0
    wait_for(lambda: metrics(second).get("livy_ha_members", role="absent") == 1, 10, "the first one is absent")

    elector, keeper = second.wait_elector(), second.pid
    proc.send(elector, signal.SIGSTOP)  # so that it has no time to give its session up
    proc.send(keeper, signal.SIGKILL)
    proc.send(elector, signal.SIGKILL)
    third = cluster.wait_active(other_than=second)
    wait_status(third, "/active", 200)
    assert metrics(third)("livy_ha_failovers_total", reason="session-ended") == 1
    assert metrics(third)("livy_ha_failovers_total", reason="orderly") == 0


def test_redirects_and_holds_are_counted(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(2, fronts=True, front__mode="redirect").start()
    active, standby = cluster.wait_settled(), cluster.standbys()[0]
    wait_status(standby, "/readyz", 200)
    with Client(standby) as client:
        assert client.get().status == 307
    assert metrics(standby)["livy_ha_front_redirects_total"] == 1
    life = active.serving()
    assert life is not None
    os.kill(life.pid, signal.SIGKILL)
    with Client(active) as client:
        assert client.get().status == 200  # it waited for the next one
    found = metrics(active)
    if found["livy_ha_front_holds_total"]:  # the next one may have been there already
        assert found["livy_ha_front_hold_seconds_total"] >= 0
    assert found["livy_ha_front_held"] == 0


# ---- members that are not well -----------------------------------------------------------------------------------------


def test_without_zookeeper(make_cluster: ClusterMaker, own_zookeeper: Ensemble) -> None:
    """A member that cannot join: alive, and ready as long as requests are held."""
    cluster = make_cluster(1, own_zookeeper, fronts=True, front__hold="6s")
    member = cluster["a"]
    own_zookeeper.pause()
    member.start()
    wait_status(member, "/livez", 200)
    assert ask(member, "/readyz").json["route"] == "nobody"
    assert reason(member, "/active") == "joining, no member is active"
    assert reason(member, "/standby").startswith("joining")
    assert ask(member, "/cluster").json["connected"] is False
    assert by_url(member, "status").code == 3
    assert by_url(member, "active").code == 3
    not_ready = wait_status(member, "/readyz", 503)
    assert "front.hold (6000 ms)" in not_ready.json["reason"]
    assert status_of(member, "/livez") == 200
    found = metrics(member)
    assert found.one_of("livy_ha_role", "role") == "joining" and found["livy_ha_zookeeper_connected"] == 0
    own_zookeeper.resume()
    wait_status(member, "/active", 200, 40)
    assert status_of(member, "/readyz") == 200


def test_livy_that_does_not_serve_yet(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, fronts=True)
    member = cluster["a"]
    member.set_mode("no-answer")
    member.start()
    member.wait_role("active")
    cluster.wait(lambda: reason(member, "/active") == "active, but Livy does not serve: starting", 20, "it says so")
    assert (status_of(member, "/standby"), status_of(member, "/livez"), status_of(member, "/readyz")) == (503, 200, 200)


def test_drained(two: Cluster) -> None:
    standby = two.standbys()[0]
    assert standby.ctl("drain").code == 0
    try:
        wait_status(standby, "/standby", 503)
        assert reason(standby, "/standby").startswith("drained")
        assert reason(standby, "/active").startswith("drained")
        assert (status_of(standby, "/livez"), status_of(standby, "/readyz")) == (200, 200), "it forwards all the same"
        assert metrics(standby).one_of("livy_ha_role", "role") == "drained"
    finally:
        assert standby.ctl("undrain").code == 0
    wait_status(standby, "/standby", 200)


def test_paused(two: Cluster) -> None:
    active = two.wait_settled()
    assert active.ctl("pause").code == 0
    try:
        for member in two.members:
            two.wait(lambda: metrics(member).get("livy_ha_cluster_paused") == 1, 10, "paused")  # noqa: B023
    finally:
        assert active.ctl("resume").code == 0
    two.wait(lambda: all(metrics(member)["livy_ha_cluster_paused"] == 0 for member in two.members), 10, "resumed")


def test_elector_of_a_standby_that_hangs(two: Cluster) -> None:
    """Nothing is told from old news. The keeper ends the elector in the end, and all is well again."""
    standby = two.standbys()[0]
    before = standby.wait_elector()
    proc.send(before, signal.SIGKILL)  # the keeper asks a new one only after 10 s whether it is there: time to look at what is told
    elector = standby.wait_elector(other_than=before)
    wait_status(standby, "/standby", 200)
    with stopped(standby, elector):
        old = wait_status(standby, "/livez", 503, 10)
        assert "last word is" in old.json["reason"] and int(old.headers["x-livy-ha-age-ms"]) > 3000
        for path in HEALTH:
            assert status_of(standby, path) == 503, path
        for path in ALWAYS:
            assert status_of(standby, path) == 200, path
        for path in ("/status", "/cluster"):
            document = ask(standby, path).json
            assert document["stale_ms"] > 3000 and document["connected"] is False
        found = metrics(standby)
        assert found["livy_ha_snapshot_age_seconds"] > 3
        assert found.get("livy_ha_role", role="standby") is None, "no last values"
        assert found.get("livy_ha_cluster_active") is None
        assert found("livy_ha_health", check="live") == 0
        promtool("check", "metrics", text=found.text)
        assert "last word is" in ask(standby, "/").body
        for command, shown in (("status", standby.name), ("active", "")):
            told = by_url(standby, command)
            assert told.code == 4 and "has said nothing for" in told.err and shown in told.out
        standby.wait_elector(other_than=elector, timeout=40)
    wait_status(standby, "/standby", 200, 30)


def test_elector_of_the_active_one_that_hangs(make_cluster: ClusterMaker) -> None:
    """/active says yes only while Livy lives: it says no before the lease is over, by which time Livy is dead."""
    cluster = make_cluster(2, fronts=True).start()
    active = cluster.wait_settled()
    wait_status(active, "/active", 200)
    life = active.serving()
    assert life is not None
    yes = []
    with stopped(active, active.wait_elector()):
        def no_more() -> bool:
            answer = ask(active, "/active")
            if answer.status == 200:
                yes.append(answer.began)
            return answer.status != 200
        cluster.wait(no_more, 10, "/active says no")
        assert yes, "for a moment it still is the active one"
        cluster.wait_active(other_than=active)
    ended = next(each.last for each in cluster.oracle.lives() if each.path == life.path) // 1_000_000
    assert yes[-1] <= ended + 5, "the stand-in writes its last instant down each millisecond"


def test_keepers_that_hang(make_cluster: ClusterMaker) -> None:
    """The active one's is missed at once, as it has a lease to confirm; a standby's says something each 10 s."""
    cluster = make_cluster(2, fronts=True).start()
    active, standby = cluster.wait_settled(), cluster.standbys()[0]
    wait_status(active, "/livez", 200)
    wait_status(standby, "/livez", 200)
    with stopped(standby, standby.pid):
        assert "keeper" in wait_status(standby, "/livez", 503, 40).json["reason"]
        assert "keeper" in reason(standby, "/standby")
        assert status_of(active, "/active") == 200, "none of the other member's business"
    wait_status(standby, "/livez", 200)
    wait_status(standby, "/standby", 200)
    with stopped(active, active.pid):
        assert "keeper" in wait_status(active, "/livez", 503, 10).json["reason"]
        assert metrics(active)("livy_ha_alarm", alarm="keeper") == 1
    wait_status(active, "/livez", 200)


def test_relay_that_is_killed(two: Cluster) -> None:
    for member in two.members:
        path = "/active" if member is two.active() else "/standby"
        relay = member.wait_relay()
        proc.send(relay, signal.SIGKILL)
        member.wait_relay(other_than=relay)
        wait_status(member, path, 200)


def test_livy_that_is_killed(two: Cluster) -> None:
    active = two.wait_settled()
    life = active.serving()
    assert life is not None
    active.set_mode("start-delay=1500")
    try:
        os.kill(life.pid, signal.SIGKILL)
        assert "Livy does not serve" in wait_status(active, "/active", 503).json["reason"]
        assert status_of(active, "/readyz") == 200, "held"
        wait_status(active, "/active", 200)
    finally:
        active.set_mode("")


def test_shutting_down(make_cluster: ClusterMaker) -> None:
    """While requests end a member is not ready any more, so that a load balancer sends it none."""
    cluster = make_cluster(1, fronts=True, livy__stop_grace="3s").start()
    member = cluster["a"]
    wait_status(member, "/readyz", 200)
    life = member.serving()
    assert life is not None
    member.set_mode("slow-term=1500")
    os.kill(life.pid, signal.SIGKILL)
    member.wait_serving(other_than=life)
    wait_status(member, "/active", 200)
    member.stop_begin()
    answer = wait_status(member, "/readyz", 503)
    assert answer.json["reason"] == "the daemon is ending"
    wait_status(member, "/active", 503)
    assert member.wait_exit() == 0


# ---- hostile clients ---------------------------------------------------------------------------------------------------


def test_slow_connections_do_not_keep_a_health_check_from_its_answer(two: Cluster) -> None:
    active = two.wait_settled()
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", active.admin_port), 10)) for _ in range(200)]
        for number, connection in enumerate(slow):
            connection.sendall(b"GET /active HTTP/1.1\r\nX-Slow: "[:number % 30])
        for _ in range(20):
            answer = ask(active, "/active", timeout=5)
            assert answer.status == 200 and boot_ms() - answer.began < 2000
        # One address cannot take all there is.
        more = [stack.enter_context(socket.create_connection(("127.0.0.1", active.admin_port), 10)) for _ in range(500)]
        assert ask(active, "/active", source="127.0.0.2").status == 200
        assert len(more) == 500
    two.wait(lambda: status_of(active, "/active") == 200, 10, "the address may come again")


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page(two: Cluster) -> None:
    active = two.wait_settled()
    answer = ask(active, "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
    page = _Page()
    page.feed(answer.body)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base", "svg", "a"} & set(page.tags)
    assert not {"src", "href", "srcset", "action", "style", "onload"} & page.attributes.keys(), "nothing from elsewhere"
    style = answer.body[answer.body.index("<style>"):answer.body.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "2" in page.attributes["content"] and "refresh" in page.attributes["http-equiv"]
    text = " ".join(page.words)
    for member in two.members:
        assert member.front_url in text
    assert f"{active.name} is active and its Livy serves" in text and str(two.epoch()) in text


def test_hostile_words_in_the_cluster(make_cluster: ClusterMaker) -> None:
    """Whoever writes to ZooKeeper writes into the page, the JSON and the metrics: as text, and within bounds."""
    cluster = make_cluster(1, fronts=True).start()
    member = cluster["a"]
    cluster.wait(lambda: [entry["event"] for entry in cluster.history()][-1:] == ["serving"], 10, "its history is written")
    evil = "<script>alert(1)</script>\n\"'&"
    cluster.zk.create(f"{cluster.root}/known/evil", b'{"id":"evil","host":"%s"}' % b"<b>x</b>")
    cluster.zk.create(f"{cluster.root}/members/large", b'{"id":"large","role":"standby","livy":"none","host":"%s"}'
                      % (b"x" * 300_000))
    entry = {"at": evil, "event": evil, "member": evil, "reason": evil}
    cluster.zk.set(f"{cluster.root}/history", json.dumps([entry, {"event": "x" * 50_000}]).encode())
    cluster.wait(lambda: metrics(member).get("livy_ha_snapshot_left_out") == 2, 10, "what is too large is left out")
    rows = {row["id"]: row for row in ask(member, "/cluster").json["members"]}
    assert rows["large"]["left_out"] is True and "host" not in rows["large"]
    assert rows["large"]["role"] == "standby"
    page = ask(member, "/").body
    assert "<b>x</b>" not in page and "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; &quot;&#39;&amp;" in page
    assert ask(member, "/history").json == [entry, {"left_out": True}]
    promtool("check", "metrics", text=metrics(member).text)
    member.wait_log("in part", "larger than")
    assert status_of(member, "/active") == 200


def test_port_that_is_taken(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, fronts=True)
    member = cluster["a"]
    with socket.create_server(("127.0.0.1", member.admin_port)):
        member.start()
        assert member.wait_exit() == 75
    assert f"127.0.0.1:{member.admin_port}" in member.log() and "admin.listen" in member.log()


def test_admin_off(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1, fronts=True, admin__listen="off").start()
    with Client(cluster["a"]) as client:
        assert client.get().status == 200
    assert status_of(cluster["a"], "/active") == 0


def test_front_off(make_cluster: ClusterMaker) -> None:
    """No front, but an admin port: a load balancer with /active goes to Livy itself."""
    cluster = make_cluster(1, fronts=True, front__listen="off").start()
    member = cluster["a"]
    wait_status(member, "/active", 200)
    assert reason(member, "/readyz") == "front.listen is off"
    found = metrics(member)
    assert found.get("livy_ha_front_connections") is None
    promtool("check", "metrics", text=found.text)


# ---- what the documentation says -----------------------------------------------------------------------------------------


def _docs() -> str:
    with open(os.path.join(ROOT, "docs", "monitoring.md"), encoding="utf-8") as file:
        return file.read()


def test_every_metric_is_documented(two: Cluster) -> None:
    documented = {name: kind for name, kind in re.findall(r"^\| `(livy_ha_\w+)` \| (\w+) \|", _docs(), re.M)}
    active = two.wait_settled()
    assert metrics(active).types == documented


def test_alert_rules() -> None:
    rules = os.path.join(ROOT, "conf", "prometheus", "livy-ha.rules.yml")
    assert re.search(r"SUCCESS: [1-9]\d* rules found", promtool("check", "rules", rules))
    promtool("test", "rules", os.path.join(ROOT, "tests", "e2e", "livy-ha.rules.test.yml"))
    with open(rules, encoding="utf-8") as file:
        text = file.read()
    known = set(re.findall(r"^\| `(livy_ha_\w+)` \|", _docs(), re.M))
    for name in re.findall(r"livy_ha_\w+", re.sub(r"#.*|description:.*|summary:.*", "", text)):
        assert re.sub(r"_(bucket|sum|count)$", "", name) in known, name
    for alert in re.findall(r"alert: (\w+)", text):
        assert f"`{alert}`" in _docs(), alert
