"""What a hundred clients in closed loops see while the active member changes: planned, nothing but that some requests take
longer; when all of the active host is killed, no wrong answer. Measured by the clients' own clocks against the lives that the
stand-ins have written down; nothing else may use the machine meanwhile."""
import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from conftest import ClusterMaker
from livyha.bed import Bed
from livyha.client import Answer, get
from livyha.cluster import Cluster
from livyha.crowd import Address, Crowd, Request
from livyha.member import Member
from livyha.oracle import Gap, Life
from livyha.peers import HAProxy, admin_of, front_of, kill_everything, open_fronts, posts, wait_ready
from livyha.wait import boot_ms, wait_for

ROUNDS = 20
SPARE_US = 100_000  # that a request may take beyond the time without a Livy
SLOW_US = 400_000  # less than any timer of TCP, HAProxy or livy-ha that a request might run into
TURNS = 10  # how many times more processes have their turn one after the other in a hand-over than in an ordinary request
DRAIN_US = 3_000_000  # front.drain
HOLD_US = 8_000_000  # front.hold here
PLANNED = {200, 201}
QUIET = os.environ.get("LIVY_HA_QUIET") == "1"  # nothing but this test runs on the machine: by hand, and for docs/clients.md
StartCrowd = Callable[..., Crowd]


@pytest.fixture(scope="module")
def three(bed: Bed, module_cluster: ClusterMaker) -> Cluster:
    return open_fronts(bed, module_cluster(3, bed.ensemble), "forward", front__hold=f"{HOLD_US // 1000}ms")


@pytest.fixture
def tier(three: Cluster) -> Cluster:
    for member in three.members:
        if not member.running():
            member.start()
    _back(three, three.members[0])
    return three


@pytest.fixture
def start_crowd(tmp_path: str) -> Iterator[StartCrowd]:
    made: list[Crowd] = []

    def start(*addresses: Address, **options: int) -> Crowd:
        made.append(Crowd(str(tmp_path), addresses, **options))
        return made[-1]
    yield start
    for crowd in made:
        crowd.kill()


def _back(cluster: Cluster, member: Member) -> None:
    """The member runs, and everybody's front knows who is active."""
    if not member.running():
        member.start()
    active = cluster.wait_settled()
    for each in cluster.members:
        wait_ready(each)
        each.wait(lambda: get(front_of(each)).standin[0] == active.name, 20, "its front reaches the active one")  # noqa: B023


def _life(member: Member) -> Life:
    life = member.serving()
    assert life is not None
    return life


def _show(requests: list[Request]) -> str:
    return "\n".join(request.describe() for request in requests[:12])


def _lost(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.status not in PLANNED]


def _each_once(cluster: Cluster, requests: list[Request]) -> None:
    """What was answered was carried out, and nothing was carried out twice."""
    done = posts(cluster)
    assert not [name for name, count in done.items() if count > 1]
    assert not [request.identity for request in requests if request.status == 201 and not done[request.identity]]


def _right(cluster: Cluster, requests: list[Request]) -> None:
    """Who answered was the Livy of that time, and no earlier or later one."""
    lives = {(life.name, life.pid): life for life in cluster.oracle.lives()}
    wrong = []
    for request in requests:
        life = lives.get((request.who, request.pid))
        if request.status in PLANNED and (life is None or life.serving // 1000 > request.ended or
                                          life.last // 1000 + 2000 < request.began):
            wrong.append(request)
    assert not wrong, f"{len(wrong)} of {len(requests)} answered by a Livy that did not live then:\n{_show(wrong)}"


def _waited(request: Request, gaps: list[Gap]) -> int:
    """How long there was no Livy while the request was under way, in us, by the stand-ins' word."""
    return sum(max(0, min(request.ended, gap.after.serving // 1000) - max(request.began, gap.before.last // 1000))
               for gap in gaps)


def _in_time(cluster: Cluster, requests: list[Request], spare: int, title: str) -> None:
    """Requests took no longer than there was no Livy, and `spare`. Where the machine is busy with something else as well, each
    of the processes that have a part in a hand-over waits for its turn, as those do through which a request goes that meets
    none: so much more it may take, by the slowest tenth of these. Half of the hand-overs have to keep to that, each one to
    SLOW_US more. Where it does nothing else (QUIET) each hand-over has to keep to `spare`."""
    gaps = [gap for gap in cluster.oracle.gaps() if gap.after.serving // 1000 > requests[0].began]
    beyond: list[tuple[int, Request]] = []  # the worst of each hand-over
    for gap in gaps:
        near = [request for request in requests if request.began < gap.after.serving // 1000 + SLOW_US and
                request.ended > gap.before.last // 1000 - SLOW_US]
        beyond.append(max(((request.took - _waited(request, gaps), request) for request in near), key=lambda pair: pair[0]))
    beyond.sort(key=lambda pair: pair[0])
    downs = sorted(gap.to_serving_ns / 1e6 for gap in gaps)
    usual = beyond[(len(beyond) - 1) // 2][0]
    ordinary = sorted(request.took for request in requests if _waited(request, gaps) == 0)
    slow = ordinary[len(ordinary) * 9 // 10]
    print(f"\n{title}: {len(requests)} requests, {len(gaps)} hand-overs. Without a Livy for {downs[0]:.1f} to {downs[-1]:.1f} ms, "
          f"longest request {max(request.took for request in requests) / 1e3:.1f} ms; longest beyond the time without a Livy: "
          f"{usual / 1e3:.1f} ms in half of the hand-overs, {beyond[-1][0] / 1e3:.1f} ms in all; an ordinary request "
          f"{ordinary[len(ordinary) // 2] / 1e3:.2f} ms, the slowest tenth {slow / 1e3:.2f} ms")
    # For docs/clients.md.
    print(f"| {title} | {len(requests):,} | {downs[0]:.1f} to {downs[-1]:.1f} | {max(r.took for r in requests) / 1e3:.1f} | "
          f"{usual / 1e3:.1f} / {beyond[-1][0] / 1e3:.1f} |")
    worst = [request for _, request in reversed(beyond)]
    if QUIET:
        assert beyond[-1][0] <= spare, f"{_show(worst)}\n{cluster.oracle.describe()}"
    spare += TURNS * slow
    assert usual <= spare, f"{_show(worst)}\n{cluster.oracle.describe()}"
    assert beyond[-1][0] <= spare + SLOW_US, f"{_show(worst)}\n{cluster.oracle.describe()}"


def _switch_over(cluster: Cluster, active: Member) -> Life:
    result = active.ctl("switchover", timeout="60s")
    assert result.code == 0, f"{result}\n{cluster.failure_text()}"
    return _life(cluster.wait_active(other_than=active))


def _stop(cluster: Cluster, active: Member) -> Life:
    assert active.stop() == 0
    return _life(cluster.wait_active(other_than=active))


def test_switchovers_lose_no_request(tier: Cluster, start_crowd: StartCrowd) -> None:
    crowd = start_crowd(*map(front_of, tier.members))
    crowd.wait_served(tier, _life(tier.wait_settled()))
    for _ in range(ROUNDS):
        crowd.wait_served(tier, _switch_over(tier, tier.wait_settled()))
    requests = crowd.stop()
    lost = _lost(requests)
    assert not lost, f"{len(lost)} of {len(requests)}:\n{_show(lost)}\n{tier.failure_text()}"
    _each_once(tier, requests)
    _right(tier, requests)
    _in_time(tier, requests, SPARE_US, f"{ROUNDS} switchovers")


def _running(member: Member) -> bool:
    """Whether a request runs through the member's front; without a crowd."""
    text = get(admin_of(member), "/metrics").body.decode()
    return any(line == "livy_ha_front_running 1" for line in text.splitlines())


def test_switchovers_with_a_request_in_flight(tier: Cluster, start_crowd: StartCrowd) -> None:
    """Others wait for it, for front.drain at most; it is answered in full, by the Livy that it came to."""
    requests: list[Request] = []
    for member in tier.members:
        active = tier.wait_settled()
        life = _life(active)
        slow: list[Answer] = []
        thread = threading.Thread(target=lambda: slow.append(get(front_of(member), "/slow/2500")))  # noqa: B023
        thread.start()
        member.wait(lambda: _running(member), 10, "the slow request runs")  # noqa: B023
        crowd = start_crowd(*map(front_of, tier.members))
        crowd.wait_served(tier, life)
        heir = _switch_over(tier, active)
        thread.join(30)
        assert [(answer.status, answer.standin) for answer in slow] == [(200, (life.name, life.pid))]
        crowd.wait_served(tier, heir)
        requests += crowd.stop()
    assert not _lost(requests), f"{_show(_lost(requests))}\n{tier.failure_text()}"
    _each_once(tier, requests)
    _right(tier, requests)
    _in_time(tier, requests, DRAIN_US, f"{len(tier.members)} switchovers with a request in flight")


def test_stops_lose_no_request_of_the_other_fronts(tier: Cluster, start_crowd: StartCrowd) -> None:
    """Nor of its own front, once it has taken one: only who connects there is refused, and only its idle connections end."""
    crowd = start_crowd(*map(front_of, tier.members))
    crowd.wait_served(tier, _life(tier.wait_settled()))
    away: list[tuple[Address, int, int]] = []  # whose front was closed, from when to when
    for _ in range(ROUNDS):
        active = tier.wait_settled()
        began = boot_ms() * 1000
        heir = _stop(tier, active)
        crowd.wait_served(tier, heir, 60)
        _back(tier, active)
        away.append((front_of(active), began, boot_ms() * 1000))
    requests = crowd.stop()

    def elsewhere(request: Request) -> bool:
        return all(request.address != address or request.ended < begin or request.began > end for address, begin, end in away)
    lost = _lost([request for request in requests if elsewhere(request)])
    assert not lost, f"{len(lost)} of {len(requests)}:\n{_show(lost)}\n{tier.failure_text()}"
    strange = [request for request in _lost(requests) if (request.status, request.who) not in ((0, "refused"), (0, "ended"))]
    assert not strange, f"{len(strange)} of {len(requests)} at the front that closed:\n{_show(strange)}\n{tier.failure_text()}"
    _each_once(tier, requests)
    _right(tier, requests)
    _in_time(tier, [request for request in requests if elsewhere(request)], SPARE_US,
             f"{ROUNDS} stops, clients of the other fronts")


def test_stops_lose_no_request_behind_haproxy(tier: Cluster, start_crowd: StartCrowd, tmp_path: str) -> None:
    with contextlib.closing(HAProxy(tier.members, str(tmp_path))) as peer:
        crowd = start_crowd(HAProxy.ACTIVE, HAProxy.ANY)
        crowd.wait_served(tier, _life(tier.wait_settled()))
        for _ in range(ROUNDS):
            active = tier.wait_settled()
            heir = _stop(tier, active)
            crowd.wait_served(tier, heir)
            _back(tier, active)
            peer.wait_known(tier[heir.name])  # its checks take a while, and a next stop comes later than this
        requests = crowd.stop()
        lost = _lost(requests)
        assert not lost, f"{len(lost)} of {len(requests)}:\n{_show(lost)}\n{tier.failure_text()}\n{peer.failure_text()}"
    _each_once(tier, requests)
    _right(tier, requests)
    for address, title in ((HAProxy.ANY, "all fronts in turn"), (HAProxy.ACTIVE, "the active front alone")):
        _in_time(tier, [request for request in requests if request.address == address], SPARE_US,
                 f"{ROUNDS} stops, all behind HAProxy, {title}")


# ---- all of the active host is killed ------------------------------------------------------------------------------------


def _killed(cluster: Cluster, crowd: Crowd) -> tuple[Member, int]:
    """kill -9 of all processes of the active member, of which nothing is left to tell anybody; and when that was, in us."""
    active = cluster.wait_settled()
    crowd.wait_served(cluster, _life(active))
    before = boot_ms() * 1000
    kill_everything(active)
    return active, before


def _only_in_flight(requests: list[Request], at: int) -> list[Request]:
    """Those that were lost, less the POSTs that had gone to the Livy that was killed: whether it has carried one out nobody
    knows, so it is not asked again, and its client is told so."""
    return [request for request in _lost(requests)
            if not (request.status == 502 and request.method == "POST" and request.began < at + 1_000_000)]


def test_a_kill_holds_the_requests_of_the_other_fronts(tier: Cluster, start_crowd: StartCrowd) -> None:
    active = tier.wait_settled()
    crowd = start_crowd(*(front_of(member) for member in tier.members if member is not active))
    killed, at = _killed(tier, crowd)
    assert killed is active
    crowd.wait_served(tier, _life(tier.wait_active(other_than=active)))
    requests = crowd.stop()
    lost = _only_in_flight(requests, at)
    assert not lost, f"{len(lost)} of {len(requests)}:\n{_show(lost)}\n{tier.failure_text()}"
    assert len(_lost(requests)) <= crowd.count, "one of each client at most was in flight"
    _each_once(tier, requests)
    _right(tier, requests)
    _in_time(tier, requests, SPARE_US, "kill -9 of it all")


def test_a_kill_without_a_successor(tier: Cluster, start_crowd: StartCrowd) -> None:
    """A standby's front alone is left, and no other member may take over: 503 after front.hold, and nothing else."""
    active = tier.wait_settled()
    standby, other = tier.standbys()
    assert other.stop() == 0
    assert standby.ctl("pause").code == 0
    crowd = start_crowd(front_of(standby))
    _, at = _killed(tier, crowd)
    wait_for(lambda: sum(request.status == 503 for request in crowd.requests()) >= crowd.count, 40, "503 for everybody",
             tier.failure_text)
    assert standby.ctl("resume").code == 0
    crowd.wait_served(tier, _life(tier.wait_active(other_than=active)))
    requests = crowd.stop()
    early = [request for request in requests if request.status == 503 and request.took < HOLD_US - 50_000]
    assert not early, _show(early)
    lost = [request for request in _only_in_flight(requests, at) if request.status != 503]
    assert not lost, f"{len(lost)} of {len(requests)}:\n{_show(lost)}\n{tier.failure_text()}"
    _each_once(tier, requests)
    _right(tier, requests)
