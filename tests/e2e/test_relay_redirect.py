"""307 to the active member: as CONTRACT says, and never to anywhere that a client chose."""
import ssl
import subprocess
from collections.abc import Callable

import pytest
from livyha.relaybed import Client, Livy, Peer, Relay
from livyha.wait import wait_for

MakeRelay = Callable[..., Relay]
FRONT = "http://livy-there.example.com:8998"


def redirecting(make_relay: MakeRelay, livy: int = 1, **settings: object) -> Relay:
    relay = make_relay(**settings)
    relay.view("remote", livy, mode="redirect", front=FRONT)
    return relay


def test_redirect(make_relay: MakeRelay) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        answer = client.ask(target="/sessions/1?x=%2F&y=a+b")
        assert answer.status == 307 and answer.fields["location"] == FRONT + "/sessions/1?x=%2F&y=a+b"
        assert answer.body.startswith(b"This is a standby Livy Instance.")
        assert answer.fields["x-livy-ha-active"] == "livy-there"
        assert answer.fields["connection"] == "close" and answer.fields["cache-control"] == "no-store"
        assert client.ended()


def test_head_without_body(make_relay: MakeRelay) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        answer = client.ask("HEAD", "/x")
        assert answer.status == 307 and int(answer.fields["content-length"]) > 0 and client.ended()


def test_expect_gets_it_at_once(make_relay: MakeRelay) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        client.send(b"POST /batches HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 307 and client.ended()


@pytest.mark.parametrize("framing", ["Content-Length: 4000000", "Transfer-Encoding: chunked"])
def test_a_body_is_not_waited_for(make_relay: MakeRelay, framing: str) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        client.send(f"POST /batches HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        wait_for(lambda: client.more(), 5, "the answer before the body")
        client.send(b"5\r\nhello\r\n" * 400_000)  # all of it, before the answer is looked at: no reset
        assert client.answer().status == 307
        assert client.ended()


def test_a_body_without_end_is_cut(make_relay: MakeRelay) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.answer().status == 307
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                client.send(b"x" * 65536)


@pytest.mark.parametrize("head", [
    b"GET /ok HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
    b"GET http://evil.example.com/ok HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
    b"GET /ok HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: evil.example.com\r\nForwarded: host=evil.example.com\r\n\r\n",
    b"GET /ok HTTP/1.0\r\n\r\n"], ids=["Host", "absolute", "forwarded", "1.0"])
def test_location_has_the_path_alone_from_the_client(make_relay: MakeRelay, head: bytes) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        answer = client.send(head).answer()
        assert answer.status == 307 and answer.fields["location"] == FRONT + "/ok" and b"evil" not in answer.raw + answer.body


@pytest.mark.parametrize("target", [b"//evil.example.com/", b"/\\evil.example.com", b"@evil.example.com/", b".evil.example.com/",
                                    b":80@evil/", b"/a\x01b", b"/a\xffb", b"/%0d%", b"/x#y", b"\\\\evil"])
def test_targets_that_could_lead_elsewhere(make_relay: MakeRelay, target: bytes) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        answer = client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n").answer()
        assert answer.status == 400 and "location" not in answer.fields


def test_escaped_line_ends_stay_escaped(make_relay: MakeRelay) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        answer = client.ask(target="/a%0d%0aSet-Cookie:%20x=1")
        assert answer.fields["location"] == FRONT + "/a%0d%0aSet-Cookie:%20x=1" and "set-cookie" not in answer.fields


def test_longest_path(make_relay: MakeRelay) -> None:
    relay = redirecting(make_relay)
    path = "/" + "a" * 120_000
    with Client(relay.port) as client:
        assert client.ask(target=path).fields["location"] == FRONT + path


def test_pipelined_requests_behind_it_get_nothing(make_relay: MakeRelay) -> None:
    relay = redirecting(make_relay)
    with Client(relay.port) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert client.answer().status == 307 and client.ended()


def test_kept_connections_and_held_requests_are_redirected(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Livy() as livy, Client(relay.port) as kept, Client(relay.port) as held:
        relay.view("local", livy.port)
        assert kept.ask().status == 200
        relay.view("pause", livy.port)
        held.send(b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        wait_for(lambda: relay.asked().held == 1, 5, "held")
        relay.view("remote", 1, mode="redirect", front=FRONT, epoch=2)
        assert held.answer().fields["location"] == FRONT + "/held"
        assert kept.ask(target="/kept").fields["location"] == FRONT + "/kept"
        assert livy.targets() == ["GET /version"]


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    directory = tmp_path_factory.mktemp("tls")
    key, pem = str(directory / "key.pem"), str(directory / "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", pem, "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    return pem, key


def secure(port: int) -> Client:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client = Client(port)
    client.sock = context.wrap_socket(client.sock)
    return client


def test_tls_is_ended_here_to_redirect(make_relay: MakeRelay, certificate: tuple[str, str]) -> None:
    relay = make_relay(front__tls_certificate=certificate[0], front__tls_key=certificate[1],
                       front__advertise="https://127.0.0.1:1")
    relay.view("remote", 1, mode="redirect", front="https://livy-there.example.com:8998", tls=True)
    for _ in range(3):
        with secure(relay.port) as client:
            answer = client.ask("POST", "/batches?x=1", b"y" * 1_000_000)
            assert answer.status == 307 and answer.fields["location"] == "https://livy-there.example.com:8998/batches?x=1"
            assert client.ended()
    with secure(relay.port) as client:
        assert client.send(b"GET //evil HTTP/1.1\r\nHost: x\r\n\r\n").answer().status == 400
    with secure(relay.port) as client:
        assert client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000).answer().status == 431
    with Client(relay.port) as client:  # no TLS
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert client.rest()[:1] in (b"", b"\x15"), "an alert at most"
        except ConnectionResetError:
            pass
    wait_for(lambda: relay.asked().connections == 0, 10, "all connections end", relay.tail)


def test_tls_held_and_then_redirected(make_relay: MakeRelay, certificate: tuple[str, str]) -> None:
    relay = make_relay(front__tls_certificate=certificate[0], front__tls_key=certificate[1],
                       front__advertise="https://127.0.0.1:1")
    relay.view("nobody", tls=True)
    client = Client(relay.port)
    wait_for(lambda: relay.asked().held == 1, 5, "held before a byte")
    relay.view("remote", 1, mode="redirect", front="https://there:1", tls=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client.sock = context.wrap_socket(client.sock)
    with client:
        assert client.ask(target="/x").fields["location"] == "https://there:1/x"


def test_without_a_certificate_tls_is_forwarded(make_relay: MakeRelay) -> None:
    def mirror(peer: Peer) -> None:
        while peer.more():
            peer.send(peer.held[::-1])
            peer.held = b""
    relay = make_relay(front__advertise="https://127.0.0.1:1")
    with Livy(raw=mirror) as livy, Client(relay.port) as client:
        relay.view("remote", livy.port, mode="redirect", front="https://there:1", tls=True)
        assert client.send(b"\x16\x03\x01").exactly(3) == b"\x01\x03\x16"


def test_a_certificate_that_cannot_be_used(make_relay: MakeRelay, certificate: tuple[str, str]) -> None:
    relay = make_relay(front__tls_certificate=certificate[1], front__tls_key=certificate[1])
    assert "front.tls_certificate" in relay.text()
