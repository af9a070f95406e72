"""Peers that mean no good, or are just unlucky: answers before the request is all sent, floods of nothing, clients that
stop in the middle."""
import select
import socket
import threading
import time
from collections.abc import Callable

import pytest
from livyha.relaybed import Client, Livy, Peer, Relay, Request, sized
from livyha.wait import let_pass, wait_for

MakeRelay = Callable[..., Relay]
SMALL_SEGMENT = 536  # keeps the other side's send buffer small: the kernel sizes it by what a segment may have


def _narrow(sock: socket.socket) -> None:
    """So that the other side can send a few KiB only while nobody reads here."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)


def _narrow_client(port: int) -> Client:
    client = Client.__new__(Client)
    sock = socket.socket()
    _narrow(sock)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", port))
    Peer.__init__(client, sock)
    return client


def test_an_answer_before_the_request_is_all_sent(make_relay: MakeRelay) -> None:
    """A request that Livy answers while a part of it has yet to be sent: what comes next on the connection is that part,
    and not another request, which Livy would take for the end of the first one."""
    relay = make_relay()
    first = b"GET /first HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 120_000 + b"\r\n\r\n"
    received: list[bytes] = []
    go_on = threading.Event()

    def early(peer: Peer) -> None:
        peer.more()
        peer.send(sized(b"early"))
        assert go_on.wait(20)
        while True:
            received.append(peer.until(b"\r\n\r\n"))
            peer.send(sized(b"next"))
    with Livy(raw=early) as livy, Client(relay.port) as client:
        _narrow(livy.listener)
        relay.view("local", livy.port)
        client.send(first)
        assert client.answer().body == b"early"
        client.send(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        let_pass(0.2, lambda: len(livy.connections) == 1, "the first request is still under way", relay.tail)
        go_on.set()
        wait_for(lambda: received, 10, "the rest of the first request", relay.tail)
        assert received[0] == first, "not the head as it was sent"


def test_empty_lines_are_forgiven_but_not_for_ever(make_relay: MakeRelay) -> None:
    """RFC 9112 has a server pass over empty lines before a request; somebody who sends nothing else would keep the
    relay from all others."""
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client, Client(relay.port) as other:
        relay.view("local", livy.port)
        for _ in range(3):
            client.send(b"\r\n\n" * 20)
            assert client.ask().status == 200
        other.send(b"\r\n" * 2000)
        assert other.answer().status == 400
        assert client.ask().status == 200


def test_a_flood_of_empty_lines_keeps_nobody_waiting(make_relay: MakeRelay) -> None:
    relay = make_relay()
    stop = threading.Event()
    nothing = b"\r\n" * (1 << 20)

    def flood() -> None:
        while not stop.is_set():
            try:
                with Client(relay.port) as client:
                    while not stop.is_set():
                        client.send(nothing)
            except OSError:
                pass
    floods = [threading.Thread(target=flood, daemon=True) for _ in range(3)]
    with Livy() as livy:
        relay.view("local", livy.port)
        for thread in floods:
            thread.start()
        slowest = 0.0
        for _ in range(30):
            began = time.monotonic()
            with Client(relay.port) as client:
                assert client.ask().status == 200
            slowest = max(slowest, time.monotonic() - began)
        stop.set()
        for thread in floods:
            thread.join(20)
        print(f"slowest request beside three floods of empty lines: {slowest * 1000:.0f} ms")
        assert slowest < 2


def test_an_answer_that_is_all_there_outlives_its_livy(make_relay: MakeRelay) -> None:
    """Livy has answered in full and the client is slow to read: a change of the active member costs it nothing."""
    relay = make_relay()
    sizes = range(16_000, 400_000, 16_000)  # what the kernel holds for a client that does not read is not known

    def answer(peer: Peer, request: Request) -> None:
        peer.send(sized(b"x" * int(request.target[1:])))
    with Livy(answer) as livy:
        relay.view("local", livy.port)
        clients = {size: _narrow_client(relay.port) for size in sizes}
        for size, client in clients.items():
            client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
        wait_for(lambda: len(livy.requests) == len(sizes), 10, "all have been asked", relay.tail)
        left = [-1]

        def settled() -> bool:
            left.append(relay.asked().running)
            return len(left) > 5 and len(set(left[-5:])) == 1
        wait_for(settled, 10, "the relay has taken what it can", relay.tail)
        running = left[-1]
        relay.view("nobody", valid=0)
        whole = []
        for size, client in clients.items():
            try:
                if len(client.answer().body) == size:
                    whole.append(size)
            except (EOFError, OSError):
                pass
        print(f"{running} of {len(sizes)} were not delivered yet, {len(sizes) - len(whole)} of them were lost")
        assert 0 < running < len(sizes)
        assert len(sizes) - len(whole) < running, "those that Livy had answered in full are delivered in full"
        for client in clients.values():
            client.close()


def test_a_crowd_of_long_heads_has_a_bound(make_relay: MakeRelay) -> None:
    """400 heads of 120 kB that do not end: some are kept for their ten seconds, the others are told to come again."""
    relay = make_relay()
    with Livy() as livy:
        relay.view("local", livy.port)
        before = relay.rss()
        clients = [Client(relay.port) for _ in range(400)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 120_000)
        most = [-1]

        def settled() -> bool:
            relay.asked()
            most.append(relay.rss())
            return len(most) > 10 and most[-1] <= max(most[-10:-1])
        wait_for(settled, 8, "the relay has taken what it can", relay.tail)
        print(f"{most[-1] - before} bytes for {len(clients)} long heads")
        assert relay.memory_within(30_000_000, before)
        answers = [client.answer() for client in clients if select.select([client.sock], [], [], 0)[0]]
        refused = [answer for answer in answers if answer.status == 503]  # 408: a slow machine, on which ten seconds are over
        assert 200 < len(refused) < 300
        assert refused[0].fields["retry-after"] == "1" and b"long request heads" in refused[0].body
        with Client(relay.port) as client:
            assert client.ask(fields="X-Not-Long: " + "x" * 15_000 + "\r\n").status == 200
        for client in clients:
            client.close()
        wait_for(lambda: relay.asked().connections == 0, 10, "all end", relay.tail)
        with Client(relay.port) as client:
            for _ in range(2):
                assert client.ask(fields="X-Long: " + "x" * 120_000 + "\r\n").status == 200
