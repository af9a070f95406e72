"""Limits: heads that do not come, crowds of connections, slow readers, descriptors that run out."""
import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from livyha.relaybed import Client, Livy, Peer, Relay, Request
from livyha.wait import let_pass, wait_for

MakeRelay = Callable[..., Relay]
GET = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_head_has_ten_seconds_in_all(make_relay: MakeRelay) -> None:
    """Not ten more with each byte."""
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client, Client(relay.port) as kept, Client(relay.port) as silent:
        relay.view("local", livy.port)
        assert kept.ask().status == 200
        began = time.monotonic()
        kept.send(b"GET / HTTP/1.1\r\n")
        client.send(b"G")
        client.sock.settimeout(0.5)

        def dribble() -> bool:
            try:
                client.send(b"E")
                return client.more()
            except socket.timeout:
                return False
        wait_for(dribble, 15, "408 in spite of a byte each half a second")
        assert 9 < time.monotonic() - began < 13
        client.sock.settimeout(20)
        assert client.answer().status == 408
        assert kept.answer().status == 408 and kept.ended()
        assert silent.ask().status == 200, "a connection without a byte may wait longer"


def test_slowloris(make_relay: MakeRelay, many_descriptors: None) -> None:
    """5,000 connections that never send a whole head; normal clients of the same and of another address."""
    relay = make_relay()
    crowd: list[socket.socket] = []

    def close() -> None:
        for sock in crowd:
            sock.close()
    with Livy() as livy, contextlib.ExitStack() as stack:
        stack.callback(close)
        relay.view("local", livy.port)
        before = relay.rss()
        slowest = 0.0

        def normal(source: str) -> None:
            nonlocal slowest
            began = time.monotonic()
            with Client(relay.port, source=source) as client:
                assert client.ask().status == 200
            slowest = max(slowest, time.monotonic() - began)
        for i in range(5000):
            sock = socket.create_connection(("127.0.0.1", relay.port), 20)
            try:
                sock.send(b"GET / HTTP/1.1\r\nX: y" if i % 2 else b"")
            except OSError:
                pass
            crowd.append(sock)
            if i % 500 == 499:
                normal("127.0.0.1")
                normal("127.0.0.2")
        counts = relay.asked()
        assert counts.connections <= 4096
        for _ in range(20):
            normal("127.0.0.1")
            normal("127.0.0.2")
        assert slowest < 2
        per = (relay.rss() - before) / counts.connections
        print(f"{counts.connections} connections, {per:.0f} bytes each, slowest normal request {slowest * 1000:.0f} ms")
        assert relay.memory_within(4_000 * counts.connections, before)  # 1,500 each
        close()
        wait_for(lambda: relay.asked().connections == 0, 10, "all end", relay.tail)
        wait_for(lambda: relay.descriptors() < 30, 5, "no descriptor is left over")


def test_max_connections(make_relay: MakeRelay) -> None:
    """All slots taken by connections that have proved themselves: the next one is told so."""
    relay = make_relay(front__max_connections=8)
    with Livy() as livy:
        relay.view("local", livy.port)
        clients = [Client(relay.port) for _ in range(8)]
        for client in clients:
            assert client.ask().status == 200
        for _ in range(3):
            with Client(relay.port) as late:
                answer = late.ask()
                assert answer.status == 503 and answer.fields["retry-after"] == "1" and b"front.max_connections" in answer.body
                assert late.ended()
        for client in clients:
            assert client.ask().status == 200
        clients.pop().close()
        wait_for(lambda: relay.asked().connections <= 7, 5, "a slot is free")
        with Client(relay.port) as late:
            assert late.ask().status == 200
        relay.reload(front__max_connections=9)
        clients.append(Client(relay.port))
        assert clients[-1].ask().status == 200
        for client in clients:
            client.close()


def test_a_load_balancer_may_have_all_slots(make_relay: MakeRelay) -> None:
    relay = make_relay(front__max_connections=40)
    with Livy() as livy:
        relay.view("local", livy.port)
        clients = [Client(relay.port) for _ in range(30)]
        for client in clients:
            assert client.ask().status == 200
        more = []
        for _ in range(10):
            more.append(Client(relay.port))
            assert more[-1].ask().status == 200
        for client in clients + more:
            assert client.ask().status == 200
            client.close()


def test_more_than_the_bound_of_rejected_ones_wait(make_relay: MakeRelay) -> None:
    """They stay in the kernel's queue, and are served when there is room."""
    relay = make_relay(front__max_connections=1)
    with Livy() as livy:
        relay.view("local", livy.port)
        first = Client(relay.port)
        assert first.ask().status == 200
        crowd = [Client(relay.port) for _ in range(200)]  # each gets a 503 and does not go
        let_pass(0.2, lambda: relay.asked().connections <= 1 + 64, "a bounded number of them", relay.tail)
        assert relay.asked().connections == 65
        before = relay.cpu()
        let_pass(0.5, lambda: first.ask().status == 200, "the one that is in is served")
        assert relay.cpu_within(0.3, before)
        first.close()
        for client in crowd:
            client.close()

        def served() -> bool:
            with Client(relay.port) as client:
                return client.ask().status == 200
        wait_for(served, 5, "there is room again", relay.tail)


def test_slow_reader(make_relay: MakeRelay) -> None:
    """A 200 MB answer to ten clients that do not read costs no memory beyond one buffer each."""
    relay = make_relay()
    size = 200_000_000

    def large(peer: Peer, request: Request) -> None:
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // 100_000):
            peer.send(b"x" * 100_000)
    with Livy(large) as livy:
        relay.view("local", livy.port)
        before = relay.rss()
        clients = [Client(relay.port) for _ in range(10)]
        for client in clients:
            client.send(GET)
        wait_for(lambda: len(livy.requests) == 10, 10, "all run")
        cpu = relay.cpu()
        let_pass(1, lambda: relay.memory_within(3_000_000, before), "the relay's memory is bounded")
        assert relay.cpu_within(0.9, cpu)
        client = clients[0]
        client.until(b"\r\n\r\n")
        left = size - len(client.held)
        while left > 0:
            n = len(client.sock.recv(1 << 20))
            assert n > 0
            left -= n
        assert relay.memory_within(3_000_000, before)
        for client in clients:
            client.close()


def test_descriptors_run_out(make_relay: MakeRelay) -> None:
    relay = make_relay(nofile=60)
    with Livy() as livy:
        relay.view("local", livy.port)
        with Client(relay.port) as client:
            assert client.ask().status == 200
        crowd = [Client(relay.port) for _ in range(120)]
        wait_for(lambda: "no connection can be accepted" in relay.text(), 5, "it is said")
        before = relay.cpu()
        let_pass(1, lambda: relay.process.poll() is None, "it goes on")
        assert relay.cpu_within(0.5, before), "no busy loop"
        assert relay.text().count("no connection can be accepted") == 1
        for client in crowd:
            client.close()

        def served() -> bool:
            try:
                with Client(relay.port) as client:
                    return client.ask().status == 200
            except (OSError, EOFError):
                return False
        wait_for(lambda: served() and "connections are accepted again" in relay.text(), 20,
                 "connections are accepted again, and that is said", relay.tail)


def test_the_longest_idle_make_way_for_descriptors(make_relay: MakeRelay) -> None:
    relay = make_relay(nofile=60)
    with Livy() as livy:
        relay.view("local", livy.port)
        idle = []
        for _ in range(20):  # two descriptors each
            idle.append(Client(relay.port))
            assert idle[-1].ask().status == 200
        let_pass(1.2, lambda: relay.asked().connections == 20, "they are idle for a while")
        more = []
        for _ in range(10):
            more.append(Client(relay.port))
            assert more[-1].ask().status == 200
        assert idle[0].ended(), "the longest idle one has made way"
        for client in idle + more:
            client.close()


def test_all_slots_taken_by_connections_without_a_head(make_relay: MakeRelay) -> None:
    relay = make_relay(front__max_connections=20)
    with Livy() as livy:
        relay.view("local", livy.port)
        silent = [Client(relay.port) for _ in range(20)]
        wait_for(lambda: relay.asked().connections >= 15, 5, "they are in")
        with Client(relay.port, source="127.0.0.3") as client:
            assert client.ask().status == 200
        for client in silent:
            client.close()
