"""Random clients, random Livys, random views, from a fixed seed: what a Livy gets on a connection is whole requests, one
behind the other, each as it was sent; no POST twice; what a client gets are the answers to its requests, in order."""
import random
import socket
import threading
from collections.abc import Callable

import pytest
from livyha.relaybed import Client, Livy, Peer, Relay, parse, sized

MakeRelay = Callable[..., Relay]
CLIENTS, CONNECTIONS = 6, 25


class RandomLivy(Livy):
    """Answers each request with its number: before it has read the head, or the body, or after both, with a length or in chunks, in pieces;
    sometimes it closes, sometimes without an answer. Checks what it gets."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seen: list[str] = []  # "METHOD number"
        self.wrong: list[str] = []
        super().__init__(raw=self._talk)
        # Little fits between the relay and us, so that requests are answered before they are all sent.
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)

    def _talk(self, peer: Peer) -> None:
        while self._request(peer):
            pass

    def _request(self, peer: Peer) -> bool:
        dice = self.random.random()
        first = peer.until(b"\r\n")
        words = first.decode("latin-1").split()
        if len(words) != 3 or words[0] not in ("GET", "POST"):
            self.wrong.append(f"not one of the requests: {first[:300]!r}")
            return False
        number = words[1][1:]
        if dice < 0.15:
            self._answer(peer, number)
        _, fields = parse(first + peer.until(b"\r\n\r\n"))
        if fields.get("x-long", "?").strip("y") or "x-size" not in fields:
            self.wrong.append(f"{words}: another head than was sent, {str(fields)[:300]}")
            return False
        if dice > 0.95:
            return False
        size = int(fields["x-size"])
        if 0.15 <= dice < 0.3:
            self._answer(peer, number)
        body = peer.chunked() if "transfer-encoding" in fields else peer.exactly(int(fields.get("content-length", 0)))
        if body != number.encode() * size:
            self.wrong.append(f"{words}: another body than was sent: {body[:60]!r}")
        self.seen.append(f"{words[0]} {number}")
        if dice >= 0.3:
            self._answer(peer, number)
        return dice < 0.9

    def _answer(self, peer: Peer, number: str) -> None:
        text = number.encode() * self.random.choice((1, 1, 50, 20_000))
        answer = sized(text)
        if self.random.random() < 0.3:
            answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(text)) + text + b"\r\n0\r\n\r\n"
        _in_pieces(peer, answer, self.random)


def _in_pieces(peer: Peer, data: bytes, dice: random.Random) -> None:
    at = 0
    while at < len(data):
        n = dice.choice((1, 7, 100, 5000, len(data)))
        peer.send(data[at:at + n])
        at += n


def _requests(dice: random.Random, numbers: list[str]) -> bytes:
    """A few requests, one behind the other."""
    data = b""
    for number in numbers:
        method, size = dice.choice(("GET", "POST")), dice.choice((0, 1, 40, 6000))
        body, fields = number.encode() * size, f"X-Size: {size}\r\nX-Long: {'y' * dice.choice((0, 20, 40_000, 110_000))}\r\n"
        if dice.random() < 0.3:
            fields += "Transfer-Encoding: chunked\r\n"
            half = len(body) // 2
            body = b"".join(b"%x\r\n" % len(part) + part + b"\r\n" for part in (body[:half], body[half:]) if part) + b"0\r\n\r\n"
        elif body or method == "POST":
            fields += f"Content-Length: {len(body)}\r\n"
        data += f"{method} /{number} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode() + body
    return data


def _talk(port: int, name: str, dice: random.Random, wrong: list[str], counts: dict[str, int]) -> None:
    for i in range(CONNECTIONS):
        numbers = [f"{name}{i:03d}{j}." for j in range(dice.randrange(1, 6))]
        with Client(port) as client:
            writer = threading.Thread(target=_write, args=(client, _requests(dice, numbers), random.Random(dice.random())))
            writer.start()
            try:
                for number in numbers:
                    answer = client.answer()
                    if answer.status == 200 and answer.body.replace(number.encode(), b""):
                        wrong.append(f"{number} was answered {answer.body[:60]!r}")
                    if answer.status not in (200, 502):
                        wrong.append(f"{number} was answered {answer.status} {answer.body[:200]!r}")
                    counts[str(answer.status)] = counts.get(str(answer.status), 0) + 1
            except (EOFError, OSError, ValueError, IndexError):
                counts["ended"] = counts.get("ended", 0) + 1
            try:
                client.sock.shutdown(socket.SHUT_RDWR)  # the writer may still be at it
            except OSError:
                pass
            writer.join(20)


def _write(client: Client, data: bytes, dice: random.Random) -> None:
    try:
        _in_pieces(client, data, dice)
    except OSError:
        pass


@pytest.mark.parametrize("seed", range(3))
def test_random(make_relay: MakeRelay, seed: int) -> None:
    relay = make_relay(front__drain="100ms", log__level="info")
    dice, wrong, counts = random.Random(seed), [], {}  # type: random.Random, list[str], dict[str, int]
    livys = [RandomLivy(seed * 10 + i) for i in range(2)]
    relay.view("local", livys[0].port)
    threads = [threading.Thread(target=_talk, args=(relay.port, "abcdefgh"[i], random.Random(seed * 100 + i), wrong, counts))
               for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    epoch, at = 1, 0
    pause = threading.Event()
    while any(thread.is_alive() for thread in threads):
        pause.wait(dice.choice((0.005, 0.05, 0.2)))
        step = dice.random()
        if step < 0.3:
            relay.view("pause", livys[at].port, epoch=epoch)
        elif step < 0.4:
            relay.view("nobody")
        else:
            at, epoch = (1 - at, epoch + 1) if step < 0.7 else (at, epoch)
            relay.view(dice.choice(("local", "remote")), livys[at].port, epoch=epoch)
    for thread in threads:
        thread.join()
    for livy in livys:
        wrong += livy.wrong
        livy.stop()
    seen = [what for livy in livys for what in livy.seen]
    posts = [what for what in seen if what.startswith("POST")]
    print(f"seed {seed}: {len(seen)} requests were done, {len(posts)} of them POSTs; answers: {counts}")
    assert not wrong, "\n".join(wrong[:10])
    assert len(posts) == len(set(posts)), "a POST was done twice"
    assert counts.get("200", 0) > 50
