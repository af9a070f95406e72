"""Requests that wait for a Livy, and what becomes of them: no request is lost, none is carried out twice."""
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest
from livyha.ports import free_port
from livyha.relaybed import Client, Livy, Peer, Relay, Request, sized
from livyha.wait import let_pass, wait_for

MakeRelay = Callable[..., Relay]
GET = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


def held(relay: Relay, n: int) -> None:
    wait_for(lambda: relay.asked().held == n, 5, f"{n} held requests", relay.tail)


@pytest.mark.parametrize("route", ["nobody", "pause"])
def test_held_until_there_is_a_livy(make_relay: MakeRelay, route: str) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as one, Client(relay.port) as two:
        relay.view(route)
        one.send(b"POST /sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
        two.send(GET)
        held(relay, 2)
        relay.view("local", livy.port)
        assert two.answer().body == b"GET /version "
        assert one.send(b"lo").answer().body == b"POST /sessions hello"
        assert relay.asked().held == 0


def test_before_the_first_view(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        client.send(GET)
        relay.view("local", livy.port)
        assert client.answer().status == 200


def test_503_once_front_hold_has_passed(make_relay: MakeRelay) -> None:
    relay = make_relay(front__hold="300ms")
    relay.view("nobody")
    with Client(relay.port) as client:
        began = time.monotonic()
        answer = client.ask("POST", "/", b"x" * 10)
        assert 0.29 <= time.monotonic() - began < 3
        assert answer.status == 503 and answer.fields["retry-after"] == "1"
        assert "front.hold" in json.loads(answer.body)["error"] and client.ended()
    with Client(relay.port) as client:
        assert client.ask("HEAD").status == 503 and client.ended()


def test_a_new_front_hold_by_reload(make_relay: MakeRelay) -> None:
    relay = make_relay(front__hold="1h")
    relay.view("nobody")
    relay.reload(front__hold="100ms")
    with Client(relay.port) as client:
        assert client.ask().status == 503


def test_a_client_that_leaves_while_it_is_held(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.view("nobody")
    closed, reset, stays = (Client(relay.port) for _ in range(3))
    for client in (closed, reset, stays):
        client.send(b"POST /once HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    held(relay, 3)
    before = relay.cpu()
    closed.close()
    reset.reset()
    held(relay, 1)
    wait_for(lambda: relay.asked().connections == 1, 5, "both connections end", relay.tail)
    with Livy() as livy:
        relay.view("local", livy.port)
        assert stays.answer().status == 200
        assert livy.targets() == ["POST /once"], "what nobody waits for is not done"
    assert relay.cpu_within(0.5, before)
    stays.close()


def test_a_half_closed_client_is_told_at_once(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.view("nobody")
    with Client(relay.port) as client:
        client.send(GET).sock.shutdown(socket.SHUT_WR)
        assert client.answer().status == 503


def test_nothing_is_read_while_held(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.view("nobody")
    with Client(relay.port) as client, Livy() as livy:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n")
        held(relay, 1)
        before, sent = relay.rss(), 0
        client.sock.setblocking(False)
        try:
            while sent < 16_000_000:
                sent += client.sock.send(b"x" * min(65536, 16_000_000 - sent))
        except BlockingIOError:
            pass
        assert sent < 16_000_000
        assert relay.memory_within(1_000_000, before)
        client.sock.settimeout(20)
        relay.view("local", livy.port)
        client.send(b"x" * (16_000_000 - sent))
        assert len(client.answer().body) == 16_000_007


def test_refused_connections_are_tried_again(make_relay: MakeRelay) -> None:
    relay = make_relay()
    port = free_port()
    relay.view("local", port)
    clients = [Client(relay.port) for _ in range(20)]
    for client in clients:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
    held(relay, 20)
    before = relay.cpu()
    let_pass(0.5, lambda: 16 <= relay.asked().held <= 20, "they are held, but for those that look", relay.tail)
    assert relay.cpu_within(0.3, before), "only a few look whether Livy is there"
    with Livy(port=port) as livy:
        for client in clients:
            assert client.answer().body == b"POST / hi"
        assert len(livy.requests) == 20
    for client in clients:
        client.close()


def test_refused_until_front_hold_has_passed(make_relay: MakeRelay) -> None:
    relay = make_relay(front__hold="400ms")
    relay.view("local", free_port())
    with Client(relay.port) as client:
        answer = client.ask()
        assert answer.status == 503 and answer.fields["retry-after"] == "1"
        assert "refused" in json.loads(answer.body)["error"]


def test_tried_at_once_with_a_new_view(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.view("local", free_port())
    with Livy() as livy, Client(relay.port) as client:
        client.send(GET)
        held(relay, 1)
        relay.view("remote", livy.port, epoch=2)
        assert client.answer().status == 200


def test_a_host_name_with_several_addresses(make_relay: MakeRelay) -> None:
    """localhost is ::1 and 127.0.0.1 where both are set up; Livy listens on the latter alone."""
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        relay.view("remote", f"http://localhost:{livy.port}")
        assert client.ask().status == 200


def test_a_name_that_is_not_found(make_relay: MakeRelay) -> None:
    relay = make_relay(front__hold="500ms")
    relay.view("remote", "http://no-such-host.invalid:1")
    with Client(relay.port) as client:
        answer = client.ask()
        assert answer.status == 503 and b"no-such-host.invalid" in answer.body


# ---- a kept connection to Livy that has ended


def test_a_host_that_does_not_answer(make_relay: MakeRelay) -> None:
    """Held, and 503 once front.hold has passed: for longer than that no more than one attempt to connect."""
    relay = make_relay(front__hold="2500ms")
    port = free_port()
    with socket.create_server(("127.0.0.1", port), backlog=0):
        full = []
        for _ in range(3):  # its queue: what comes then is not answered
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            full.append(sock)
        relay.view("remote", port)
        with Client(relay.port) as client:
            began = time.monotonic()
            answer = client.ask("POST", "/", b"x")
            assert answer.status == 503 and "timed out" in json.loads(answer.body)["error"]
            assert 2.4 < time.monotonic() - began < 6
        for sock in full:
            sock.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_idle_connection_closed_by_livy(make_relay: MakeRelay, method: str) -> None:
    relay = make_relay()

    def once(peer: Peer, request: Request) -> bool:
        Livy.echo(peer, request)
        return True
    with Livy(once) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        for i in range(5):
            assert client.ask(method, f"/{i}", b"x" if method == "POST" else None).status == 200
            wait_for(lambda: livy.open == 0, 5, "Livy closes")
        assert livy.targets() == [f"{method} /{i}" for i in range(5)]


def test_breaks_before_an_answer(make_relay: MakeRelay) -> None:
    """GET goes out again, POST does not."""
    relay = make_relay()

    def second_breaks(peer: Peer, request: Request) -> bool:
        if len(livy.requests) % 3 == 2:
            return True
        Livy.echo(peer, request)
        return False
    with Livy(second_breaks) as livy, Client(relay.port) as client, Client(relay.port) as poster:
        relay.view("local", livy.port)
        assert client.ask(target="/1").status == 200
        assert client.ask(target="/2").body == b"GET /2 "
        assert livy.targets() == ["GET /1", "GET /2", "GET /2"]
        assert poster.ask("POST", "/3", b"x").status == 200
        answer = poster.ask("POST", "/4", b"x")
        assert answer.status == 502 and poster.ended()
        assert "not asked again" in json.loads(answer.body)["error"]
        assert livy.targets()[3:] == ["POST /3", "POST /4"]


def test_a_livy_that_always_breaks(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy(lambda peer, request: True) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        assert client.ask().status == 502
        assert 2 <= len(livy.requests) <= 5


def test_livy_killed_with_requests_in_flight(make_relay: MakeRelay) -> None:
    relay = make_relay()
    port = free_port()
    stuck = threading.Event()
    first = Livy(lambda peer, request: stuck.wait(20) and None, port=port)
    with Client(relay.port) as reader, Client(relay.port) as writer:
        relay.view("local", port)
        reader.send(b"GET /r HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.send(b"POST /w HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        wait_for(lambda: len(first.requests) == 2, 5, "both run")
        for peer in first.connections:
            peer.sock.shutdown(socket.SHUT_RDWR)
        first.stop()
        assert writer.answer().status == 502
        held(relay, 1)
        with Livy(port=port) as second:
            assert reader.answer().body == b"GET /r "
            assert second.targets() == ["GET /r"]
    stuck.set()


def test_an_early_answer_to_a_body_that_is_not_read(make_relay: MakeRelay) -> None:
    relay = make_relay()

    def refuse(peer: Peer, request: Request) -> bool:
        peer.send(sized(b"too much", "413 Content Too Large", "Connection: close\r\n"))
        return False
    with Livy(refuse, read_body=False) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        assert client.answer().body == b"too much"
