"""What a view changes: hand-overs without an error and without a byte to the old Livy, views that run out, the end."""
import signal
import threading
import time
from collections.abc import Callable

import pytest
from livyha import proc
from livyha.ports import free_port
from livyha.relaybed import CUT, ENDS, RUNNING, Client, Livy, Peer, Relay, Request
from livyha.wait import let_pass, wait_for

MakeRelay = Callable[..., Relay]
GET = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


class Gate:
    """A Livy's handler that answers /slow once it is opened."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, peer: Peer, request: Request) -> None:
        if request.target.startswith("/slow"):
            self.event.wait(20)
        Livy.echo(peer, request)


def test_counts(make_relay: MakeRelay) -> None:
    """Each VIEW is answered; a change of running to 0 is told by itself."""
    relay = make_relay()
    gate = Gate()
    with Livy(gate) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        assert relay.asked().running == 0
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: livy.requests, 5, "the request")
        counts = relay.asked()
        assert (counts.running, counts.held, counts.connections) == (1, 0, 1)
        said = len(relay.elector.poll())
        gate.event.set()
        client.answer()
        wait_for(lambda: len(relay.elector.poll()) > said, 5, "COUNTS by itself")
        counts = relay.counts()
        assert counts is not None and counts.running == 0 and counts.serial == relay.serial


@pytest.mark.parametrize("tells", [True, False])
def test_counts_of_one_that_follows_another(make_relay: MakeRelay, tells: bool) -> None:
    """Nothing is said of what runs before the other one has told, or is gone: at "nothing" Livy would be stopped."""
    relay = make_relay(follows=True)
    relay.peer()
    with Livy() as livy, Client(relay.port) as client:
        relay.view("local", livy.port, wait=False)
        assert client.ask().status == 200, "the view is in force"
        assert relay.counts() is None
        if tells:
            relay.handover(RUNNING, 3)
            counts = wait_for(relay.counts, 5, "COUNTS")
            assert (counts.running, counts.serial) == (3, relay.serial)
            relay.handover(RUNNING, 0)
        else:
            relay.before.ours.close()
        wait_for(lambda: (c := relay.counts()) is not None and c.running == 0, 5, "nothing runs")
        assert relay.asked().running == 0


def test_idle_clients_are_kept_and_joined_to_the_new_livy(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as old, Livy() as new:
        relay.view("local", old.port)
        clients = [Client(relay.port) for _ in range(10)]
        for client in clients:
            client.ask()
        relay.view("pause", old.port)
        wait_for(lambda: old.open == 0, 5, "idle connections to the old Livy are closed at once")
        relay.view("remote", new.port, epoch=2)
        for client in clients:
            assert client.ask(target="/new").body == b"GET /new "
        assert set(old.targets()) == {"GET /version"} and len(new.requests) == 10
        for client in clients:
            client.close()


def test_what_runs_may_end_within_a_pause(make_relay: MakeRelay) -> None:
    relay = make_relay()
    gate = Gate()
    with Livy(gate) as old, Livy() as new, Client(relay.port) as runs, Client(relay.port) as upload, \
            Client(relay.port) as later:
        relay.view("local", old.port)
        runs.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET /pipelined HTTP/1.1\r\nHost: x\r\n\r\n")
        upload.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        wait_for(lambda: len(old.requests) == 2, 5, "both run")
        relay.view("pause", old.port)
        assert relay.asked().running == 2
        later.send(GET)
        assert upload.send(b"def").answer().body == b"POST /up abcdef"
        gate.event.set()
        assert runs.answer().body == b"POST /slow "
        counts = wait_for(lambda: (c := relay.asked()).running == 0 and c, 5, "nothing runs")
        assert counts.held == 2
        relay.view("remote", new.port, epoch=2)
        assert later.answer().status == 200 and runs.answer().body == b"GET /pipelined "
        assert sorted(old.targets()) == ["POST /slow", "POST /up"]


def test_front_drain_ends_what_runs(make_relay: MakeRelay) -> None:
    relay = make_relay(front__drain="300ms")
    gate = Gate()

    def begins(peer: Peer, request: Request) -> None:
        if request.target == "/begun":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        gate(peer, request) if request.target != "/begun" else gate.event.wait(20)
    with Livy(begins) as old, Livy() as new, Client(relay.port) as get, Client(relay.port) as post, Client(relay.port) as half:
        relay.view("local", old.port)
        get.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        post.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        half.send(b"GET /begun HTTP/1.1\r\nHost: x\r\n\r\n").until(b"\r\n\r\n")
        wait_for(lambda: len(old.requests) == 3, 5, "all run")
        began = time.monotonic()
        relay.view("pause", old.port)
        relay.again()  # does not begin anew
        assert post.answer().status == 502
        assert 0.25 < time.monotonic() - began < 2
        with pytest.raises((EOFError, ConnectionResetError)):
            half.exactly(10)
        counts = relay.asked()
        assert (counts.running, counts.held) == (0, 1)
        wait_for(lambda: old.open == 0 or gate.event.set(), 5, "the old Livy's connections end")
        relay.view("remote", new.port, epoch=2)
        assert get.answer().body == b"GET /slow "


def test_another_target_at_once(make_relay: MakeRelay) -> None:
    """Without a pause: what runs at the old Livy is cut, and safe requests go to the new one."""
    relay = make_relay()
    gate = Gate()
    with Livy(gate) as old, Livy() as new, Client(relay.port) as get, Client(relay.port) as post, Client(relay.port) as upload:
        relay.view("local", old.port)
        get.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        post.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        upload.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nabc")
        wait_for(lambda: len(old.requests) == 3, 5, "all run")
        relay.view("remote", new.port, epoch=2)
        changed = time.monotonic()
        assert relay.asked().running <= 1  # get, at the new one
        assert get.answer().body == b"GET /slow "
        assert post.answer().status == 502 and upload.answer().status == 502
        assert new.targets() == ["GET /slow"]
        gate.event.set()
        assert old.last_byte < changed


def test_a_hand_over_that_is_called_off(make_relay: MakeRelay) -> None:
    relay = make_relay(front__drain="300ms")
    gate = Gate()
    with Livy(gate) as livy, Client(relay.port) as runs, Client(relay.port) as waits:
        relay.view("local", livy.port)
        runs.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        wait_for(lambda: livy.requests, 5, "it runs")
        relay.view("pause", livy.port)
        waits.send(GET)
        relay.view("local", livy.port)
        assert waits.answer().status == 200
        let_pass(0.5, lambda: relay.asked().running == 1, "front.drain is over with the pause", relay.tail)
        gate.event.set()
        assert runs.answer().body == b"POST /slow "


def test_hand_overs_under_load(make_relay: MakeRelay) -> None:
    """50 clients in closed loops and 20 idle ones over six hand-overs: no error, each request carried out once, no byte
    to the old Livy after the COUNTS that say so."""
    relay = make_relay()
    livys = [Livy(), Livy()]
    relay.view("local", livys[0].port)
    stop, failures, done = threading.Event(), [], [0] * 50

    def loop(number: int) -> None:
        try:
            with Client(relay.port) as client:
                while not stop.is_set():
                    name = f"/{number}/{done[number]}"
                    answer = client.ask("POST", name, b"x") if done[number] % 2 else client.ask("GET", name)
                    if answer.status != 200 or not answer.body.startswith((b"GET " + name.encode(), b"POST " + name.encode())):
                        failures.append(f"{name}: {answer.status} {answer.body!r}")
                    done[number] += 1
        except (OSError, EOFError) as error:
            failures.append(f"{number}: {error!r}")
    idle = [Client(relay.port) for _ in range(20)]
    for client in idle:
        client.ask(target="/idle")
    threads = [threading.Thread(target=loop, args=(i,)) for i in range(50)]
    for thread in threads:
        thread.start()
    for turn in range(6):
        old, new = livys[turn % 2], livys[(turn + 1) % 2]
        wait_for(lambda: min(done) > turn * 3, 30, "each client gets on", relay.tail)
        relay.view("pause", old.port, epoch=turn + 1)
        wait_for(lambda: (c := relay.counts()) is not None and c.running == 0, 5, "nothing runs", relay.tail)
        quiet = time.monotonic()
        count = len(old.requests)
        relay.view("nobody")
        let_pass(0.05, lambda: len(old.requests) == count, "nothing comes to the old Livy")
        relay.view("local" if turn % 2 else "remote", new.port, epoch=turn + 2)
        wait_for(lambda: relay.counts() is not None and len(new.requests) > 0, 5, "on it goes")
        assert old.last_byte <= quiet
    stop.set()
    for thread in threads:
        thread.join(20)
    for client in idle:
        assert client.ask(target="/idle").status == 200
        client.close()
    assert not failures, failures[:5]
    targets = [t for livy in livys for t in livy.targets() if "idle" not in t]
    assert len(targets) == len(set(targets)) == sum(done)
    for livy in livys:
        livy.stop()


# ---- views that run out


def test_a_view_that_runs_out(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        relay.view("remote", livy.port, valid=400)
        assert client.ask().status == 200
        wait_for(lambda: "front remote -> nobody" in relay.text(), 5, "it runs out", relay.tail)
        client.send(GET)
        wait_for(lambda: (c := relay.counts()) is not None and livy.open == 0, 5, "Livy's connection is closed")
        let_pass(0.2, lambda: len(livy.requests) == 1, "nothing goes to the old view's Livy")
        relay.view("remote", livy.port)
        assert client.answer().status == 200


def test_a_view_that_has_run_out_when_it_comes(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        relay.view("local", livy.port, valid=-1)
        client.send(GET)
        let_pass(0.2, lambda: not livy.connections, "an old view is none")


def test_a_view_that_was_never_good(make_relay: MakeRelay) -> None:
    """valid_until 0, while a request runs: the same as one that has run out."""
    relay = make_relay()
    gate = threading.Event()

    def slow(peer: Peer, request: Request) -> None:
        assert gate.wait(20)
        Livy.echo(peer, request)
    with Livy(slow) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        wait_for(lambda: livy.requests, 5, "it runs", relay.tail)
        relay.view("local", livy.port, valid=None, wait=False)
        assert client.answer().status == 502
        wait_for(lambda: "front local -> nobody" in relay.text(), 5, "it is said", relay.tail)
        gate.set()


def test_renewed_views_change_nothing(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        def renewed() -> bool:
            relay.view("local", livy.port, valid=300)
            return client.ask().status == 200
        let_pass(0.8, renewed, "it is served all along")
        assert len(livy.connections) == 1
        assert relay.text().count("front nobody -> local") == 1 and "local -> nobody" not in relay.text()


def test_the_elector_is_gone(make_relay: MakeRelay) -> None:
    """Its last view holds until it runs out; a new elector's replaces it."""
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        relay.view("local", livy.port, valid=1500)
        relay.elector.close()
        assert client.ask().status == 200
        wait_for(lambda: "the elector is gone" in relay.text(), 5, "it is noticed")
        relay.peer()
        relay.serial = 0
        relay.view("local", livy.port)
        assert client.ask().status == 200 and len(livy.connections) == 1
        relay.view("local", livy.port, valid=300)
        relay.elector.close()
        wait_for(lambda: "front local -> nobody" in relay.text(), 5, "the view runs out")
        client.send(GET)
        let_pass(0.2, lambda: len(livy.requests) == 2, "a relay without an elector stops serving")


# ---- the end


def test_ending(make_relay: MakeRelay) -> None:
    """For a while all goes on; then who connects is refused, and no connection is kept."""
    relay = make_relay()
    gate = Gate()
    with Livy(gate) as livy, Client(relay.port) as idle, Client(relay.port) as runs, Client(relay.port) as fresh:
        relay.view("local", livy.port)
        idle.ask()
        runs.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: len(livy.requests) == 2, 5, "it runs")
        relay.view("local", livy.port, ending=ENDS)
        assert fresh.ask().status == 200 and fresh.ask().status == 200
        with Client(relay.port) as late:
            assert late.ask().status == 200 and late.ask().status == 200
        assert relay.asked().coming == 1
        wait_for(lambda: relay.asked().coming == 0, 5, "nobody is waited for any more", relay.tail)
        with pytest.raises(ConnectionRefusedError):
            Client(relay.port)
        assert idle.ended()
        assert relay.asked().running == 1
        gate.event.set()
        assert runs.answer().status == 200 and runs.ended()


def test_ending_loses_nobody_who_waits_to_be_accepted(make_relay: MakeRelay) -> None:
    """Their connections are made as far as they know, and their requests are sent: the kernel has them in its queue."""
    relay = make_relay()
    with Livy() as livy:
        relay.view("local", livy.port)
        relay.view("local", livy.port, ending=ENDS)
        relay.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: proc.stopped(relay.process.pid), 5, "the relay is stopped")
        clients = [Client(relay.port) for _ in range(200)]
        for client in clients:
            client.send(GET)
        let_pass(1.3, lambda: not livy.requests, "the time comes at which it is to close")
        relay.process.send_signal(signal.SIGCONT)
        assert [client.answer().status for client in clients] == [200] * 200
        wait_for(lambda: relay.asked().coming == 0, 5, "nobody is waited for any more", relay.tail)
        with pytest.raises(ConnectionRefusedError):
            Client(relay.port)
        for client in clients:
            client.close()


def test_ending_who_is_held_gets_the_next_livy(make_relay: MakeRelay) -> None:
    """front.drain is for what runs: those who came before the end was known wait for the next active member, which has a
    front.drain of its own to answer them."""
    relay = make_relay(front__drain="300ms")
    with Livy() as old, Client(relay.port) as held, Client(relay.port) as slow:
        relay.view("local", old.port)
        relay.view("pause", old.port, ending=ENDS)
        held.send(GET)
        slow.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        wait_for(lambda: relay.asked().held == 2, 5, "they wait", relay.tail)
        let_pass(0.6, lambda: relay.asked().held == 2, "they go on waiting", relay.tail)
        gate = Gate()
        with Livy(gate) as new:
            relay.view("remote", new.port, epoch=2, ending=ENDS)
            assert held.answer().status == 200
            assert slow.answer().status == 502, "front.drain has passed once more"
            gate.event.set()
        assert not old.requests


def test_ending_cuts_what_runs_after_front_drain(make_relay: MakeRelay) -> None:
    relay = make_relay(front__drain="200ms")
    gate = Gate()
    with Livy(gate) as livy, Client(relay.port) as runs:
        relay.view("local", livy.port)
        runs.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        wait_for(lambda: livy.requests, 5, "it runs")
        relay.view("pause", livy.port, ending=ENDS)
        assert runs.answer().status == 502
        gate.event.set()


def test_the_end_of_waiting(make_relay: MakeRelay) -> None:
    """Who cannot be served any more is told so."""
    relay = make_relay(front__drain="20s")
    gate = Gate()
    with Livy(gate) as livy, Client(relay.port) as runs, Client(relay.port) as held, Client(relay.port) as head, \
            Client(relay.port) as idle:
        relay.view("local", livy.port)
        runs.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        head.send(b"GET / HT")
        wait_for(lambda: livy.requests, 5, "it runs")
        relay.view("pause", livy.port, ending=ENDS)
        held.send(GET)
        wait_for(lambda: relay.asked().held == 1, 5, "held")
        relay.view("pause", livy.port, ending=CUT)
        assert runs.answer().status == 502 and head.ended() and idle.ended()
        answer = held.answer()
        assert answer.status == 503 and answer.fields["retry-after"] == "1" and b"this member of livy-ha ends" in answer.body
        counts = relay.asked()
        assert (counts.running, counts.held, counts.coming) == (0, 0, 0)
        gate.event.set()


def test_the_end_of_waiting_for_those_who_have_just_come(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.view("nobody", ending=ENDS)
    with Client(relay.port) as idle:
        wait_for(lambda: relay.asked().connections == 1, 5, "it is accepted")
        relay.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: proc.stopped(relay.process.pid), 5, "the relay is stopped")
        with Client(relay.port) as fresh:
            for client in (idle, fresh):
                client.send(GET)
            relay.view("nobody", ending=CUT, wait=False)
            relay.process.send_signal(signal.SIGCONT)
            assert [client.answer().status for client in (idle, fresh)] == [503, 503]


def test_yield_to_livy_on_the_same_port(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Client(relay.port) as idle:
        relay.view("nobody", yields=True)
        assert idle.ended()
    with Livy(port=relay.port) as livy:
        relay.view("local", livy.port, yields=True)
        with Client(relay.port) as client:
            assert client.ask().status == 200
        relay.view("nobody")  # Livy is not gone yet
        wait_for(lambda: "trying again" in relay.text(), 5, "the port is taken")
    with Livy() as other:
        relay.view("remote", other.port)

        def served() -> bool:
            try:
                with Client(relay.port) as client:
                    return client.ask().status == 200
            except OSError:
                return False
        wait_for(served, 5, "it listens again", relay.tail)


def test_end_of_the_keeper(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.view("nobody")
    with Client(relay.port) as client:
        client.send(GET)
        wait_for(lambda: relay.asked().held == 1, 5, "held")
        relay.keeper.ours.close()
        assert relay.process.wait(5) == 0


def test_ping_and_signals(make_relay: MakeRelay) -> None:
    relay = make_relay()
    for number in (15, 2, 1, 12, 13):
        relay.process.send_signal(number)
    relay.tell(71)
    wait_for(lambda: relay.said(9), 5, "PONG", relay.tail)
    assert relay.process.poll() is None


def test_a_taken_port(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Livy(port=free_port()) as other:
        relay = Relay(str(tmp_path_factory.mktemp("r")), front__listen=f"127.0.0.1:{other.port}")
        fatal = wait_for(lambda: relay.said(10), 10, "FATAL", relay.tail)
        text = fatal.text.decode()
        assert fatal.code == 75 and "front.listen" in text and f"127.0.0.1:{other.port}" in text
        assert "process" in text and "python3" in text
        assert relay.said(2) is None
        wait_for(lambda: relay.process.poll() is not None, 10, "it ends by itself: the keeper starts another one", relay.tail)
        relay.close(75)


def test_livys_own_port_is_not_taken_before_the_first_view(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Livy(port=free_port()) as livy:
        relay = Relay(str(tmp_path_factory.mktemp("r")), front__listen=f"127.0.0.1:{livy.port}", livy__port=livy.port)
        relay.ready()
        relay.view("local", livy.port, yields=True)
        assert relay.said(10) is None
        relay.close()
