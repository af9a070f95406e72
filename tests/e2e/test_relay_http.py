"""Plain HTTP through the relay: what is forwarded is forwarded untouched, framing is followed, what is ambiguous is
refused and nothing of it reaches Livy."""
import hashlib
import os
import socket
import threading
from collections.abc import Callable

import pytest
from livyha.relaybed import Client, Livy, Peer, Relay, Request, sized
from livyha.wait import let_pass, wait_for

MakeRelay = Callable[..., Relay]


@pytest.mark.parametrize("route", ["local", "remote"])
def test_forwarded_untouched(make_relay: MakeRelay, route: str) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        relay.view(route, livy.port)
        head = b"POST /batches?x=%2F%20&y=1 HTTP/1.1\r\nhOsT:  livy \r\nX-Odd: a\tb  c\r\nContent-Length: 5\r\n\r\n"
        answer = client.send(head + b"hello").answer()
        assert answer.status == 200 and answer.body == b"POST /batches?x=%2F%20&y=1 hello"
        assert answer.raw == b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n"
        assert livy.requests[0].raw == head
        # the connection is kept, on both sides
        assert client.ask(target="/sessions").body == b"GET /sessions "
        assert livy.requests[1].connection == livy.requests[0].connection == 1


def test_one_connection_to_livy_for_each_client(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy:
        relay.view("local", livy.port)
        clients = [Client(relay.port) for _ in range(3)]
        for turn in range(2):
            for i, client in enumerate(clients):
                client.ask(target=f"/{i}")
        by = {number: {r.target for r in livy.requests if r.connection == number} for number in (1, 2, 3)}
        assert sorted(map(tuple, by.values())) == [("/0",), ("/1",), ("/2",)]
        for client in clients:
            client.close()
        wait_for(lambda: livy.open == 0, 5, "Livy's connections end with the clients'", relay.tail)


def test_pipelined_one_after_the_other(make_relay: MakeRelay) -> None:
    relay = make_relay()
    gate = threading.Event()

    def slow(peer: Peer, request: Request) -> None:
        if request.target == "/1":
            assert gate.wait(20)
        Livy.echo(peer, request)
    with Livy(slow) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
                    b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: len(livy.requests) == 1, 5, "the first request")
        let_pass(0.2, lambda: len(livy.requests) == 1 and not livy.connections[0].held, "the second waits for the first")
        gate.set()
        assert [client.answer().body for _ in range(3)] == [b"GET /1 ", b"POST /2 ab", b"GET /3 "]


BODIES = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: x\r\n\r\n",
    "chunks of one": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nz\r\n" * 300 + b"0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("kind", BODIES)
def test_answers_that_keep_the_connection(make_relay: MakeRelay, kind: str, split: bool) -> None:
    relay = make_relay()

    def answer(peer: Peer, request: Request) -> None:
        if request.target == "/next":
            Livy.echo(peer, request)
        elif split:
            for i in range(len(BODIES[kind])):
                peer.send(BODIES[kind][i:i + 1])
        else:
            peer.send(BODIES[kind])
    with Livy(answer) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.exactly(len(BODIES[kind])) == BODIES[kind]
        assert client.ask(target="/next").body == b"GET /next "
        assert livy.requests[1].connection == 1


def test_head_has_no_body(make_relay: MakeRelay) -> None:
    relay = make_relay()

    def answer(peer: Peer, request: Request) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" if request.method == "HEAD" else sized(b"x"))
    with Livy(answer) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        assert client.ask("HEAD").fields["content-length"] == "5000"
        assert client.ask().body == b"x"


def test_until_close(make_relay: MakeRelay) -> None:
    relay = make_relay()

    def answer(peer: Peer, request: Request) -> bool:
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
        return True
    with Livy(answer) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        assert client.ask().body == b"x" * 100_000


def test_connection_close_both_ways(make_relay: MakeRelay) -> None:
    relay = make_relay()

    def answer(peer: Peer, request: Request) -> None:
        peer.send(sized(b"bye", fields="Connection: close\r\n") if request.target == "/close" else sized(b"hi"))
    with Livy(answer) as livy, Client(relay.port) as one, Client(relay.port) as two, Client(relay.port) as three:
        relay.view("local", livy.port)
        assert one.ask(target="/close").body == b"bye" and one.ended()
        assert two.ask(fields="Connection: close\r\n").body == b"hi" and two.ended()
        three.send(b"GET / HTTP/1.0\r\n\r\n")
        assert three.answer().body == b"hi" and three.ended()


def test_continue(make_relay: MakeRelay) -> None:
    relay = make_relay()

    def answer(peer: Peer, request: Request) -> None:
        if request.target == "/yes":
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.body = peer.exactly(int(request.fields["content-length"]))
            Livy.echo(peer, request)
        else:
            peer.send(sized(b"no", "401 Unauthorized"))
    with Livy(answer, read_body=False) as livy, Client(relay.port) as client, Client(relay.port) as refused:
        relay.view("local", livy.port)
        head = "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        client.send((head % "/yes").encode())
        assert client.answer().status == 100
        assert client.send(b"abc").answer().body == b"POST /yes abc"
        refused.send((head % "/no").encode())
        assert refused.answer().status == 401
        assert refused.ended()  # whether the body comes or not cannot be told


def test_large_bodies_both_ways(make_relay: MakeRelay) -> None:
    relay = make_relay()
    body = os.urandom(8 * 1024 * 1024)

    def mirror(peer: Peer, request: Request) -> None:
        peer.send(sized(request.body))
    with Livy(mirror) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        for _ in range(2):
            assert hashlib.sha1(client.ask("POST", "/", body).body).digest() == hashlib.sha1(body).digest()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[i:i + 70001] for i in range(0, 10**6, 70001)))
        whole = b"".join(body[i:i + 70001] for i in range(0, 10**6, 70001))
        client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert client.answer().body == whole


def test_half_close_gets_its_answer(make_relay: MakeRelay) -> None:
    relay = make_relay()
    gate = threading.Event()

    def slow(peer: Peer, request: Request) -> None:
        gate.wait(20)
        Livy.echo(peer, request)
    with Livy(slow) as livy, Client(relay.port) as client, Client(relay.port) as together:
        relay.view("local", livy.port)
        client.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: livy.requests, 5, "the request")
        client.sock.shutdown(socket.SHUT_WR)
        together.send(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n").sock.shutdown(socket.SHUT_WR)
        gate.set()
        assert client.answer().body == b"GET /a " and client.ended()
        assert together.answer().body == b"GET /b " and together.answer().body == b"GET /c " and together.ended()


def test_upgrade_is_opaque_from_then_on(make_relay: MakeRelay) -> None:
    relay = make_relay()

    def switch(peer: Peer, request: Request) -> bool:
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n>")
        while peer.held or peer.more():
            data, peer.held = peer.held, b""
            peer.send(data.upper())
        peer.send(b"end")
        return True
    with Livy(switch) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        assert client.answer().status == 101 and client.exactly(1) == b">"
        assert client.send(b"\0abc\r\n").exactly(6) == b"\0ABC\r\n"
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"end"


def test_upgrade_that_was_not_asked_for(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy(lambda peer, request: peer.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n") and None) as livy, \
            Client(relay.port) as client:
        relay.view("local", livy.port)
        assert client.ask().status == 502


@pytest.mark.parametrize("broken, reset", [(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", False),
                                           (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", False),
                                           (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False),
                                           (b"HTTP/1.1 200 OK\r\n\r\nhalf", True)],
                         ids=["sized", "chunked", "bad chunk", "until close, reset"])
def test_an_answer_cut_short_is_seen_as_such(make_relay: MakeRelay, broken: bytes, reset: bool) -> None:
    relay = make_relay()
    seen = threading.Event()

    def half(peer: Peer, request: Request) -> bool:
        peer.send(broken)
        seen.wait(20)  # the client has read what there is: a reset may overtake it otherwise
        if reset:
            peer.reset()
        return True
    with Livy(half) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").until(b"\r\n\r\n")
        seen.set()
        with pytest.raises((EOFError, ConnectionResetError)):
            if reset:
                client.rest()
            else:
                client.exactly(1000)


@pytest.mark.parametrize("bytes_", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", b"rubbish\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 140_000 + b"\r\n\r\n", b""],
                         ids=["two lengths", "no HTTP", "long head", "nothing"])
def test_what_is_no_answer_is_502(make_relay: MakeRelay, bytes_: bytes) -> None:
    relay = make_relay()
    with Livy(lambda peer, request: peer.send(bytes_) and True or True) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        answer = client.ask("POST", "/", b"x")
        assert answer.status == 502 and b'"error"' in answer.body and answer.fields["connection"] == "close"
        assert client.ended()
        assert len(livy.requests) == 1  # a POST is never sent twice


def test_502_after_an_interim_answer(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy(lambda peer, request: peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n") and True or True) as livy, \
            Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert client.answer().status == 103 and client.answer().status == 502


def test_what_comes_behind_an_answer_is_not_passed_on(make_relay: MakeRelay) -> None:
    relay = make_relay()

    def more(peer: Peer, request: Request) -> None:
        peer.send(sized(b"one") + sized(b"a lie") if request.target == "/1" else sized(b"two"))
    with Livy(more) as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        assert client.ask(target="/1").body == b"one"
        assert client.ask(target="/2").body == b"two"
        assert [r.connection for r in livy.requests] == [1, 2]


# ---- refused; nothing of it reaches Livy

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED = {
    "two lengths": (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 40\r\n\r\n"),
    "two equal lengths": (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    "length list": (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n"),
    "length and chunked": (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "odd coding": (501, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "coding twice": (None, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    "coding with a blank": (400, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    "folded": (400, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "chunked in 1.0": (None, b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "bare CR": (400, b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n"),
    "NUL": (400, b"GET / HTTP/1.1\r\nHost: x\0\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "negative length": (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
    "length with a sign": (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n"),
    "huge length": (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "slashes": (400, b"GET //evil/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "backslash": (400, b"GET /\\evil HTTP/1.1\r\nHost: x\r\n\r\n"),
    "bad escape": (400, b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
    "CONNECT": (None, b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n"),
    "three blanks": (400, b"GET / x HTTP/1.1\r\nHost: x\r\n\r\n"),
    "other authority": (400, b"GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "odd Expect": (417, b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\n\r\n"),
    "bad first chunk": (400, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(make_relay: MakeRelay, kind: str) -> None:
    relay = make_relay()
    status, head = REFUSED[kind]
    with Livy() as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        answer = client.send(head + SMUGGLED).answer()
        assert answer.status == (status or answer.status) and answer.status in (400, 417, 501, 505)
        assert b'{"error":"' in answer.body and answer.fields["connection"] == "close"
        assert client.ended()
        let_pass(0.1, lambda: not livy.connections, "nothing reaches Livy")


def test_a_bad_chunk_later_ends_it(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        wait_for(lambda: livy.requests, 5, "the head")
        answer = client.send(b"5\r\nhelloXX" + SMUGGLED).answer()
        assert answer.status == 400 and client.ended()
        wait_for(lambda: livy.open == 0, 5, "Livy's connection ends")
        assert livy.targets() == ["POST /"]


def test_smuggled_body_is_a_body(make_relay: MakeRelay) -> None:
    """What looks like a request within a body stays one."""
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client:
        relay.view("local", livy.port)
        assert client.ask("POST", "/", SMUGGLED).body == b"POST / " + SMUGGLED
        assert livy.targets() == ["POST /"]


def test_long_head(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as client, Client(relay.port) as fine:
        relay.view("local", livy.port)
        answer = client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000).answer()
        assert answer.status == 431 and client.ended() and not livy.connections
        assert fine.ask(fields="X: " + "y" * 127_000 + "\r\n").status == 200


def test_an_endless_body_after_a_refusal_is_not_read_for_ever(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Client(relay.port) as client:
        client.send(b"GET /\r\n\r\n")
        assert client.answer().status == 400
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                client.send(b"x" * 65536)
