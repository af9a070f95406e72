"""HAProxy, nginx and keepalived in front of three members, configured by the files under conf/: what their clients see of a
planned stop, and of a member of which nothing is left."""
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from conftest import ClusterMaker
from livyha.bed import Bed
from livyha.client import Client, Loop, get
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.peers import (Follower, HAProxy, Keepalived, Nginx, Peer, check_config, front_of, haproxy_config, kill_everything,
                          nginx_config, open_fronts, posts, shipped, status_of, wait_ready)
from livyha.wait import let_pass, wait_for

CLIENTS = 4  # closed loops on each address
MODES = ("forward", "redirect")
WAYS = ("stop", "switchover")
Address = tuple[str, int]


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def three(bed: Bed, mode: str, module_cluster: ClusterMaker) -> Iterator[Cluster]:
    cluster = module_cluster(3, bed.ensemble)
    yield open_fronts(bed, cluster, mode)
    cluster.destroy()  # the next one is on the same hosts


@pytest.fixture
def tier(three: Cluster) -> Cluster:
    """Three members with fronts in that mode, all of them up."""
    _back(three, *three.members)  # where a test that failed has left one out
    return three


@pytest.fixture
def run(tmp_path: str) -> Iterator[Callable[[Peer], Peer]]:
    with contextlib.ExitStack() as stack:
        def keep(peer: Peer) -> Peer:
            stack.callback(peer.stop)
            return peer
        yield keep


class Clients:
    """Clients in closed loops: `start` returns once each of them has had answers."""

    def __init__(self, mode: str) -> None:
        self.kind = Follower if mode == "redirect" else Loop
        self.loops: list[Loop] = []

    def start(self, cluster: Cluster, *addresses: Address) -> None:
        name = f"{len(cluster.oracle.lives())}-{len(self.loops)}"
        self.loops += [self.kind(address, f"{name}-{address[1]}-{number}").start() for address in addresses
                       for number in range(CLIENTS)]
        wait_for(lambda: all(len(loop.answers) > 5 for loop in self.loops), 30, "requests pass", self.describe)

    def end(self, active: Member, peer: Peer | None = None) -> list[Loop]:
        """Ends all once each of them has been answered by the active member, and returns them."""
        wait_for(lambda: all(any(answer.standin[0] == active.name for answer in loop.answers[-3:]) for loop in self.loops), 40,
                 f"each client is answered by {active.name}",
                 lambda: f"{self.describe()}\n{peer.failure_text() if peer else ''}\n{active.failure_text()}")
        return self.stop()

    def stop(self) -> list[Loop]:
        ended, self.loops = [loop.stop() for loop in self.loops], []
        return ended

    def describe(self) -> str:
        return "\n".join(f"{loop.name}: {len(loop.answers)} answers, errors {loop.errors[-2:]}, last {loop.answers[-1:]}"
                         for loop in self.loops)


@pytest.fixture
def clients(mode: str) -> Iterator[Clients]:
    made = Clients(mode)
    yield made
    made.stop()


def _back(cluster: Cluster, *members: Member) -> None:
    for member in members:
        if not member.running():
            member.start()
    cluster.wait_settled()
    for each in cluster.members:
        wait_ready(each)


def _carried_out(cluster: Cluster, loops: list[Loop]) -> None:
    """What was answered was carried out, and nothing was carried out twice."""
    done = posts(cluster)
    twice = [name for name, count in done.items() if count > 1]
    assert not twice, f"carried out twice: {twice[:5]}"
    missing = [name for loop in loops for name in loop.posted if not done[name]]
    assert not missing, f"answered, and not carried out: {missing[:5]}"


def _hand_over(cluster: Cluster, active: Member, way: str) -> Member:
    """The active member is stopped, or told to hand over and goes on as a standby; returns the next one."""
    if way == "stop":
        assert active.stop() == 0
    else:
        result = active.ctl("switchover", timeout="60s")
        assert result.code == 0, f"{result}\n{cluster.failure_text()}"
    return cluster.wait_active(other_than=active)


SLOW_MS = 1500  # a Livy that starts like a real one, less than front.drain


@pytest.fixture
def slow(tier: Cluster) -> Iterator[None]:
    for member in tier.members:
        member.set_mode(f"start-delay={SLOW_MS}")
    yield
    for member in tier.members:
        member.set_mode("")


def _loses_nothing(cluster: Cluster, clients: Clients, way: str, addresses: tuple[Address, ...], peer: Peer) -> None:
    """A planned hand-over, twice, so that the new one hands over too: no client notices but by waiting."""
    for _ in range(2):
        active = cluster.wait_settled()
        clients.start(cluster, *addresses)
        heir = _hand_over(cluster, active, way)
        loops = clients.end(heir, peer)
        errors = [error for loop in loops for error in loop.errors]
        assert not errors, f"{len(errors)} of {sum(len(loop.answers) for loop in loops)}: {errors[:8]}\n" \
                           f"{peer.failure_text()}\n{cluster.failure_text()}"
        _carried_out(cluster, loops)
        _back(cluster, active)


def _death_is_survived(cluster: Cluster, clients: Clients, addresses: tuple[Address, ...], peer: Peer) -> None:
    """Nothing is left of the active member. What was on its way through it at that moment may fail: one request of each
    client. All others wait for the next Livy."""
    active = cluster.wait_settled()
    clients.start(cluster, *addresses)
    kill_everything(active)
    loops = clients.end(cluster.wait_active(other_than=active), peer)
    for loop in loops:
        assert len(loop.errors) <= 1, f"{loop.name}: {loop.errors[:8]}\n{peer.failure_text()}"
    _carried_out(cluster, loops)
    _back(cluster, active)


# ---- HAProxy -----------------------------------------------------------------------------------------------------------


def test_haproxy_accepts_the_file(tier: Cluster, tmp_path: str) -> None:
    check_config(["haproxy", "-c", "-f", haproxy_config(tier.members, str(tmp_path))])


def test_haproxy_sends_to_the_active_member(tier: Cluster, tmp_path: str, run: Callable[[Peer], Peer]) -> None:
    active = tier.wait_settled()
    peer = run(HAProxy(tier.members, str(tmp_path)))
    assert isinstance(peer, HAProxy)
    for member in tier.standbys():
        peer.wait_down("livy-active", member)
    with Client(peer.ACTIVE) as client:
        before = len(peer.served_by("livy-active"))
        for _ in range(30):
            answer = client.get()
            assert (answer.status, answer.standin[0]) == (200, active.name)
    wait_for(lambda: len(peer.served_by("livy-active")) >= before + 30, 10, "HAProxy has told of all", peer.failure_text)
    assert set(peer.served_by("livy-active")[before:]) == {f"livy-{active.name}"}


def test_haproxy_takes_all_fronts_in_turn(tier: Cluster, mode: str, tmp_path: str, run: Callable[[Peer], Peer]) -> None:
    active = tier.wait_settled()
    peer = run(HAProxy(tier.members, str(tmp_path)))
    assert isinstance(peer, HAProxy)
    before = len(peer.served_by("livy-any"))
    answers = [get(peer.ANY) for _ in range(30)]
    assert {answer.standin[0] for answer in answers if answer.status == 200} == {active.name}
    assert sorted({answer.status for answer in answers}) == ([200] if mode == "forward" else [200, 307])
    wait_for(lambda: len(peer.served_by("livy-any")) >= before + 30, 10, "HAProxy has told of all", peer.failure_text)
    assert set(peer.served_by("livy-any")[before:]) == {f"livy-{member.name}" for member in tier.members}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("way", WAYS)
def test_haproxy_and_a_slow_hand_over(tier: Cluster, clients: Clients, way: str, tmp_path: str,
                                      run: Callable[[Peer], Peer]) -> None:
    """What has come to the old member's front before it closed is answered by the next Livy."""
    peer = run(HAProxy(tier.members, str(tmp_path)))
    _loses_nothing(tier, clients, way, (HAProxy.ACTIVE, HAProxy.ANY), peer)


@pytest.mark.parametrize("way", WAYS)
def test_haproxy_and_a_hand_over(tier: Cluster, clients: Clients, way: str, tmp_path: str,
                                 run: Callable[[Peer], Peer]) -> None:
    peer = run(HAProxy(tier.members, str(tmp_path)))
    _loses_nothing(tier, clients, way, (HAProxy.ACTIVE, HAProxy.ANY), peer)


def test_haproxy_and_a_death(tier: Cluster, clients: Clients, tmp_path: str, run: Callable[[Peer], Peer]) -> None:
    peer = run(HAProxy(tier.members, str(tmp_path)))
    _death_is_survived(tier, clients, (HAProxy.ACTIVE, HAProxy.ANY), peer)


# ---- nginx -------------------------------------------------------------------------------------------------------------


def test_nginx_accepts_the_files(tier: Cluster, tmp_path: str) -> None:
    check_config(["nginx", "-t", "-q", "-e", "stderr", "-c", nginx_config(tier.members, str(tmp_path))])


def test_nginx_takes_all_fronts_in_turn(tier: Cluster, mode: str, tmp_path: str, run: Callable[[Peer], Peer]) -> None:
    active = tier.wait_settled()
    run(Nginx(tier.members, str(tmp_path)))
    for address in (Nginx.HTTP, Nginx.STREAM):
        answers = [get(address) for _ in range(12)]
        assert {answer.standin[0] for answer in answers if answer.status == 200} == {active.name}
        assert sorted({answer.status for answer in answers}) == ([200] if mode == "forward" else [200, 307])
        sent_to = {answer.headers["location"] for answer in answers if answer.status == 307}
        assert sent_to <= {f"http://{active.address}:8998/version"}, "a 307 passes as it is"


@pytest.mark.parametrize("way", WAYS)
def test_nginx_and_a_hand_over(tier: Cluster, clients: Clients, way: str, tmp_path: str,
                               run: Callable[[Peer], Peer]) -> None:
    peer = run(Nginx(tier.members, str(tmp_path)))
    _loses_nothing(tier, clients, way, (Nginx.HTTP,), peer)


def test_nginx_streams_and_a_planned_stop(tier: Cluster, clients: Clients, tmp_path: str,
                                          run: Callable[[Peer], Peer]) -> None:
    """A connection goes with the front that it was made to: a client may find its idle one closed, and connects anew; a
    request that is under way is answered."""
    peer = run(Nginx(tier.members, str(tmp_path)))
    active = tier.wait_settled()
    clients.start(tier, Nginx.STREAM)
    loops = clients.end(_hand_over(tier, active, "stop"), peer)
    for loop in loops:
        assert len(loop.errors) <= 1 and all(any(word in error for word in ("Disconnected", "reset", "Broken pipe"))
                                             for error in loop.errors), f"{loop.errors[:8]}\n{peer.failure_text()}"
    _carried_out(tier, loops)
    _back(tier, active)


def test_nginx_and_a_death(tier: Cluster, clients: Clients, tmp_path: str, run: Callable[[Peer], Peer]) -> None:
    peer = run(Nginx(tier.members, str(tmp_path)))
    _death_is_survived(tier, clients, (Nginx.HTTP, Nginx.STREAM), peer)


# ---- keepalived ----------------------------------------------------------------------------------------------------------

VIRTUAL = (Keepalived.ADDRESS, 8998)


def test_keepalived_accepts_the_file(bed: Bed, tmp_path: str) -> None:
    """As the user whom the file names for its script: version 2.2.7 ends itself with SIGTERM where it has to change users
    for its check."""
    path = shipped("keepalived/keepalived.conf", {"192.0.2.98": Keepalived.ADDRESS}, str(tmp_path))
    folder = os.path.join("/run", "keepalived-check")  # a directory that this user may enter
    os.makedirs(folder, mode=0o755, exist_ok=True)
    os.chmod(shutil.copy(path, folder), 0o644)
    check_config([*bed.network.hosts[-1].wrapper, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "keepalived", "--config-test",
                  f"--use-file={folder}/keepalived.conf"])


class Addresses:
    """A keepalived on each member's host."""

    def __init__(self, bed: Bed, cluster: Cluster, directory: str, run: Callable[[Peer], Peer], first: Member) -> None:
        """`first` gets the address."""
        self.cluster = cluster
        self.peers: dict[str, Keepalived] = {}
        for member in (first, *(other for other in cluster.members if other is not first)):
            self.peers[member.name] = Keepalived(bed, member, directory)
            run(self.peers[member.name])
            assert self.wait_one() is first

    def holders(self) -> list[str]:
        return [name for name, peer in self.peers.items() if peer.has_address()]

    def wait_one(self, other_than: str = "") -> Member:
        """Until one member alone has the address, and its front answers there."""
        def found() -> str | None:
            holders = self.holders()
            return holders[0] if len(holders) == 1 and holders[0] != other_than else None
        name = wait_for(found, 30, f"one member has the address, and not {other_than or 'two'}", self.failure_text)
        wait_for(lambda: status_of(VIRTUAL, "/version") in (200, 307), 10, "a front answers at the address", self.failure_text)
        return self.cluster[name]

    def failure_text(self) -> str:
        return "\n".join(peer.failure_text() for peer in self.peers.values()) + self.cluster.failure_text()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_address_moves_with_the_front(bed: Bed, tier: Cluster, mode: str, end: str, tmp_path: str,
                                          run: Callable[[Peer], Peer]) -> None:
    """From a member whose front has ended, active or not, to one whose front is ready; and back only when it has to."""
    addresses = Addresses(bed, tier, str(tmp_path), run, tier.wait_settled())
    for _ in range(2):
        holder = addresses.wait_one()
        if end == "stop":
            assert holder.stop() == 0
        else:
            kill_everything(holder)
        heir = addresses.wait_one(other_than=holder.name)
        active = tier.wait_active(other_than=holder)
        answer = get(VIRTUAL)
        if mode == "forward" or heir is active:
            assert (answer.status, answer.standin[0]) == (200, active.name)
        else:
            assert (answer.status, answer.headers["location"]) == (307, "http://%s:%d/version" % front_of(active))
        _back(tier, holder)
        let_pass(3, lambda heir=heir: addresses.holders() == [heir.name], "who has the address keeps it",
                 addresses.failure_text)


def test_the_address_stays_over_a_hand_over(bed: Bed, tier: Cluster, clients: Clients, tmp_path: str,
                                            run: Callable[[Peer], Peer]) -> None:
    """Where another member than the one with the address is active, and is stopped: clients of the address lose nothing."""
    active = tier.wait_settled()
    holder = tier.standbys()[0]
    addresses = Addresses(bed, tier, str(tmp_path), run, holder)
    clients.start(tier, VIRTUAL)
    loops = clients.end(_hand_over(tier, active, "stop"))
    errors = [error for loop in loops for error in loop.errors]
    assert not errors, f"{errors[:8]}\n{tier.failure_text()}"
    assert addresses.holders() == [holder.name]
    _carried_out(tier, loops)
    _back(tier, active)
