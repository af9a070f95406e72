"""TLS and thrift: bytes both ways, half-closes, hand-overs of what cannot be looked into."""
import socket
import threading
import time
from collections.abc import Callable

from livyha.ports import free_port
from livyha.relaybed import Client, Livy, Peer, Relay
from livyha.wait import let_pass, wait_for

MakeRelay = Callable[..., Relay]


def mirror(peer: Peer) -> None:
    """Says back what it hears; "end" behind it once the other side has shut its own."""
    while peer.held or peer.more():
        data, peer.held = peer.held, b""
        peer.send(data)
    peer.send(b"end")


def secure(make_relay: MakeRelay, **settings: object) -> Relay:
    return make_relay(front__advertise="https://127.0.0.1:1", **settings)


def test_bytes_and_half_closes(make_relay: MakeRelay) -> None:
    relay = secure(make_relay)
    with Livy(raw=mirror) as livy, Client(relay.port) as client:
        relay.view("local", livy.port, tls=True)
        assert client.send(b"\x16\x03\0GET //\r\n\r\n").exactly(13) == b"\x16\x03\0GET //\r\n\r\n"
        data = bytes(range(256)) * 20_000
        writer = threading.Thread(target=client.send, args=(data,))
        writer.start()
        assert client.exactly(len(data)) == data
        writer.join()
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"end"
        wait_for(lambda: relay.asked().connections == 0, 5, "it ends", relay.tail)


def test_livy_shuts_first(make_relay: MakeRelay) -> None:
    relay = secure(make_relay)
    got = []

    def goodbye(peer: Peer) -> None:
        peer.send(b"bye")
        peer.sock.shutdown(socket.SHUT_WR)
        got.append(peer.rest())
    with Livy(raw=goodbye) as livy, Client(relay.port) as client:
        relay.view("local", livy.port, tls=True)
        assert client.rest() == b"bye"
        client.send(b"still here").close()
        wait_for(lambda: got == [b"still here"], 5, "what came after it")


def test_resets_are_passed_on(make_relay: MakeRelay) -> None:
    relay = secure(make_relay)
    with Livy(raw=mirror) as livy, Client(relay.port) as client:
        relay.view("local", livy.port, tls=True)
        client.send(b"x").exactly(1)
        client.reset()
        wait_for(lambda: livy.open == 0 and relay.asked().connections == 0, 5, "both end", relay.tail)


def test_held_before_a_byte_is_read(make_relay: MakeRelay) -> None:
    relay = secure(make_relay)
    with Livy(raw=mirror) as livy, Client(relay.port) as client:
        relay.view("nobody", tls=True)
        client.send(b"hello")
        wait_for(lambda: relay.asked().held == 1, 5, "held")
        relay.view("remote", livy.port, tls=True)
        assert client.exactly(5) == b"hello"


def test_not_longer_than_front_hold(make_relay: MakeRelay) -> None:
    relay = secure(make_relay, front__hold="300ms")
    relay.view("nobody", tls=True)
    with Client(relay.port) as client:
        began = time.monotonic()
        assert client.ended() and 0.25 < time.monotonic() - began < 3


def test_pause_closes_the_quiet_and_then_the_others(make_relay: MakeRelay) -> None:
    relay = secure(make_relay, front__drain="1500ms")
    with Livy(raw=mirror) as livy, Client(relay.port) as quiet, Client(relay.port) as busy:
        relay.view("local", livy.port, tls=True)
        for client in (quiet, busy):
            client.send(b"x").exactly(1)
        assert relay.asked().running == 2
        began = time.monotonic()
        relay.view("pause", livy.port, tls=True)
        ended = {}

        def talk() -> None:
            try:
                while busy.send(b"y").exactly(1):
                    threading.Event().wait(0.05)
            except (OSError, EOFError):
                ended["busy"] = time.monotonic() - began
        talker = threading.Thread(target=talk)
        talker.start()
        assert quiet.ended()
        assert time.monotonic() - began < 1.2
        assert relay.asked().running == 1
        talker.join(10)
        assert 1.3 < ended["busy"] < 4
        wait_for(lambda: relay.asked().running == 0, 5, "nothing runs")


def test_another_livy_ends_them_at_once(make_relay: MakeRelay) -> None:
    relay = secure(make_relay)
    with Livy(raw=mirror) as old, Livy(raw=mirror) as new, Client(relay.port) as client:
        relay.view("local", old.port, tls=True)
        client.send(b"x").exactly(1)
        relay.view("remote", new.port, tls=True, epoch=2)
        assert client.ended() and relay.asked().running == 0
        with Client(relay.port) as again:
            assert again.send(b"z").exactly(1) == b"z"
            assert len(old.connections) == len(new.connections) == 1


def test_thrift(make_relay: MakeRelay) -> None:
    """Always forwarded, in redirect mode too, to the thrift port of the active Livy's host."""
    port = free_port()
    with Livy(raw=mirror) as thrift, Livy() as livy:
        relay = make_relay(front__thrift_listen=f"127.0.0.1:{port}", front__thrift_port=thrift.port)
        relay.view("remote", livy.port, mode="redirect", front="http://there:1")
        with Client(port) as client, Client(relay.port) as plain:
            assert client.send(b"\x80\x01").exactly(2) == b"\x80\x01"
            assert plain.ask().status == 307
        with Client(port) as held:
            relay.view("nobody")
            with Client(port) as client:
                held.sock.settimeout(5)
                client.send(b"a")
                relay.view("local", livy.port)
                assert client.exactly(1) == b"a"


def test_a_closed_thrift_port_is_in_nobodys_way(make_relay: MakeRelay) -> None:
    port = free_port()
    relay = make_relay(front__thrift_listen=f"127.0.0.1:{port}", front__thrift_port=free_port(), front__hold="700ms")
    with Livy() as livy:
        relay.view("local", livy.port)
        waiting = [Client(port) for _ in range(20)]
        wait_for(lambda: relay.asked().held == 20, 5, "they wait")

        def served() -> bool:
            with Client(relay.port) as client:
                return client.ask().status == 200
        let_pass(0.3, served, "requests are served")
        for client in waiting:
            assert client.ended()
            client.close()
