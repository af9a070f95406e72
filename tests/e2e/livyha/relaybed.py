"""The real livy-ha-relay with a keeper and an elector that the test plays, over the channels of ipc.h and front.h."""
import array
import ctypes
import os
import resource
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO

from . import build
from .ports import free_port
from .wait import boot_ms, die_with_parent, tail, wait_for

IPC_HELLO, IPC_READY, IPC_PONG, IPC_FATAL = 1, 2, 9, 10
IPC_RELOAD, IPC_PING, IPC_PEER, IPC_HANDOVER = 70, 71, 73, 75
VIEW, SNAPSHOT, COUNTS = 1, 2, 65
ROUTES = {"nobody": 0, "pause": 1, "local": 2, "remote": 3}
MODES = {"forward": 0, "redirect": 1}
ENDS, CUT = 1, 2  # view.ending
FRONT_MAGIC, IPC_MAGIC, HANDOVER_MAGIC = 0x31464C48, 0x33414C48, 0x314F4852
LISTENERS, RUNNING = 2, 4


class _Livy(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("state", "cause", "run")] + \
        [("pid", ctypes.c_int32), ("status", ctypes.c_int32), ("killed", ctypes.c_uint32)] + \
        [(n, ctypes.c_int64) for n in ("epoch", "kill_at", "started_at")]


class _Session(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int64), ("timeout", ctypes.c_int64), ("password", ctypes.c_char * 16),
                ("uuid", ctypes.c_char * 40), ("node", ctypes.c_char * 128)]


class _Member(ctypes.Structure):
    _fields_ = [("epoch", ctypes.c_int64), ("id", ctypes.c_char * 136), ("host", ctypes.c_char * 256),
                ("url", ctypes.c_char * 280)]


class _Fence(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint64), ("outcome", ctypes.c_uint32), ("status", ctypes.c_int32), ("member", _Member)]


class IpcMsg(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_uint32), ("type", ctypes.c_uint32)] + \
        [(n, ctypes.c_int64) for n in ("sent_at", "epoch", "kill_at", "grace")] + \
        [("run", ctypes.c_uint32), ("code", ctypes.c_int32), ("quitting", ctypes.c_uint32),
         ("pending_restart", ctypes.c_uint32), ("livy", _Livy), ("session", _Session), ("fence", _Fence),
         ("text", ctypes.c_char * 256)]


class _View(ctypes.Structure):
    _fields_ = [("serial", ctypes.c_uint64)] + \
        [(n, ctypes.c_uint32) for n in ("route", "mode", "tls", "ending", "yield_")] + \
        [("valid_until", ctypes.c_int64), ("epoch", ctypes.c_int64), ("id", ctypes.c_char * 136),
         ("livy_url", ctypes.c_char * 280), ("front_url", ctypes.c_char * 280)]


class Counts(ctypes.Structure):
    _fields_ = [("serial", ctypes.c_uint64), ("running", ctypes.c_uint32), ("held", ctypes.c_uint32),
                ("connections", ctypes.c_uint32), ("coming", ctypes.c_uint32)]


class FrontMsg(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_uint32), ("type", ctypes.c_uint32), ("sent_at", ctypes.c_int64),
                ("size", ctypes.c_uint64), ("view", _View), ("counts", Counts)]


class HandoverMsg(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_uint32), ("type", ctypes.c_uint32), ("kind", ctypes.c_uint32), ("number", ctypes.c_uint32)]


class _Channel:
    """One end of a SEQPACKET pair; keeps what comes in."""

    def __init__(self, kind: type[ctypes.Structure]) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kind = kind
        self.messages: list[ctypes.Structure] = []
        self.ended = False
        self._lock = threading.Lock()

    def poll(self) -> list[ctypes.Structure]:
        with self._lock:
            while not self.ended and select.select([self.ours], [], [], 0)[0]:
                try:
                    data = self.ours.recv(65536)
                except ConnectionResetError:  # it has ended with messages of ours unread; what it said comes next
                    continue
                if not data:
                    self.ended = True
                    break
                assert len(data) == ctypes.sizeof(self.kind), f"{len(data)} bytes: not the size of {self.kind.__name__}"
                self.messages.append(self.kind.from_buffer_copy(data))
            return list(self.messages)

    def send(self, msg: ctypes.Structure, fd: int | None = None) -> None:
        control = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.ours.sendmsg([bytes(msg)], control)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def _wire(settings: dict[str, str]) -> bytes:
    """A configuration as src/common/conf_wire.c reads it."""
    lines = ["livy-ha-conf 1", "host\t-\tlocalhost", "path\t-\t\\N"]
    lines += [f"{key}\t-\t{value}" for key, value in settings.items()]
    return ("\n".join(lines + ["end"]) + "\n").encode()


class Relay:
    """A running relay. Keyword settings are dotted keys with "__" for the dot. follows: as in an upgrade, another one, which
    the test plays, is to hand over to it."""

    def __init__(self, directory: str, nofile: int | None = None, follows: bool = False, **settings: object) -> None:
        self.port, self.serial, self.at = free_port(), 0, 0
        self.log_path = os.path.join(directory, "relay.log")
        self.settings = {
            "id": "livy-here", "zookeeper.hosts": "127.0.0.1:1", "livy.home": "/nonexistent",
            "livy.command": "/nonexistent/bin/livy-server", "livy.conf_dir": "/nonexistent", "livy.log_dir": "/nonexistent",
            "front.listen": f"127.0.0.1:{self.port}", "front.advertise": f"http://127.0.0.1:{self.port}",
            "front.hold": "10s", "front.drain": "2s", "admin.listen": "off", "log.format": "text", "log.level": "debug",
            "runtime_dir": directory, "control.socket": os.path.join(directory, "control.sock")}
        self.settings.update({key.replace("__", "."): str(value) for key, value in settings.items()})
        self.keeper, self.elector = _Channel(IpcMsg), _Channel(FrontMsg)
        memfd = self._memfd()
        self.log: IO[bytes] = open(self.log_path, "ab")  # noqa: SIM115  closed by destroy
        fd = self.keeper.theirs.fileno()

        def prepare() -> None:
            die_with_parent()
            if nofile is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

        environment = {"PATH": os.environ["PATH"], **build.sanitizer_environment()}
        self.process = subprocess.Popen(
            [build.program("livy-ha-relay"), "--channel", str(fd), "--conf", str(memfd), *(["--wait"] if follows else [])],
            pass_fds=(fd, memfd), env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            preexec_fn=prepare)
        os.close(memfd)
        self.keeper.theirs.close()
        self.before = _Channel(HandoverMsg)
        if follows:
            self.tell(IPC_HANDOVER, self.before.theirs.fileno())
            self.handover(LISTENERS)
        else:
            self.peer()
        self.before.theirs.close()

    def _memfd(self) -> int:
        memfd = os.memfd_create("conf")
        os.write(memfd, _wire(self.settings))
        return memfd

    # ---- the keeper's part

    def said(self, kind: int) -> IpcMsg | None:
        return next((m for m in self.keeper.poll() if m.type == kind), None)

    def tell(self, kind: int, fd: int | None = None) -> None:
        self.keeper.send(IpcMsg(magic=IPC_MAGIC, type=kind, sent_at=boot_ms()), fd)

    def ready(self) -> "Relay":
        wait_for(lambda: self.said(IPC_READY), 20, "READY of the relay", self.tail)
        return self

    def peer(self) -> None:
        """A new channel to the elector that the test plays."""
        self.elector.close()
        self.elector = _Channel(FrontMsg)
        self.tell(IPC_PEER, self.elector.theirs.fileno())
        self.elector.theirs.close()

    def handover(self, kind: int, number: int = 0) -> None:
        """What the relay before it says."""
        self.before.send(HandoverMsg(magic=HANDOVER_MAGIC, type=kind, number=number))

    def reload(self, **settings: object) -> None:
        self.settings.update({key.replace("__", "."): str(value) for key, value in settings.items()})
        memfd = self._memfd()
        self.tell(IPC_RELOAD, memfd)
        os.close(memfd)

    # ---- the elector's part

    def view(self, route: str, livy: "str | int" = "", mode: str = "forward", epoch: int = 1, front: str = "",
             valid: int | None = 600_000, tls: bool = False, ending: int = 0, yields: bool = False,
             wait: bool = True) -> None:
        """livy: a URL, or a port of this host. valid: for how many ms; None: valid_until is 0. ending: 0, ENDS, CUT."""
        url = f"http{'s' if tls else ''}://127.0.0.1:{livy}" if isinstance(livy, int) else livy
        self.serial += 1
        view = _View(serial=self.serial, route=ROUTES[route], mode=MODES[mode], tls=tls, ending=ending, yield_=yields,
                     valid_until=0 if valid is None else boot_ms() + valid, epoch=0 if route == "nobody" else epoch,
                     id=b"" if route == "nobody" else b"livy-there", livy_url=url.encode(), front_url=front.encode())
        self._sent = FrontMsg(magic=FRONT_MAGIC, type=VIEW, sent_at=boot_ms(), view=view)
        self.elector.send(self._sent)
        if wait:
            self._counted()

    def _counted(self) -> None:
        def there() -> bool:
            counts = self.counts()
            return counts is not None and counts.serial >= self.serial
        wait_for(there, 20, "COUNTS for a VIEW", self.tail)

    def counts(self) -> Counts | None:
        """The last ones."""
        said = [m for m in self.elector.poll() if m.type == COUNTS]
        return said[-1].counts if said else None

    def asked(self) -> Counts:
        """Those of now."""
        self.again()
        counts = self.counts()
        assert counts is not None
        return counts

    def again(self) -> None:
        """The last view once more, with a new serial."""
        self.serial += 1
        self._sent.view.serial = self.serial
        self.elector.send(self._sent)
        self._counted()

    # ---- looking at it

    def tail(self) -> str:
        return tail(self.log_path, 30)

    def text(self) -> str:
        with open(self.log_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def rss(self) -> int:
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_within(self, bound: int, since: int) -> bool:
        """Less than `bound` bytes more than `since`, what rss() said before; not judged where a sanitizer has its share."""
        return bool(build.sanitizers()) or self.rss() - since < bound

    def cpu_within(self, bound: float, since: float) -> bool:
        """The same for seconds of CPU, and cpu()."""
        return bool(build.sanitizers()) or self.cpu() - since < bound

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self, expected: int = 0) -> None:
        """By the keeper's end, as at the end of a daemon; then looks for what a sanitizer had to say."""
        self.keeper.close()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the relay does not end with its keeper\n{self.tail()}") from None
        finally:
            self.elector.close()
            self.before.close()
            self.log.close()
        report = build.sanitizer_report(self.text())
        assert not report, report
        assert code == expected, f"the relay ended with {code}\n{self.tail()}"


# ---- HTTP, by hand -------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status: int, fields: dict[str, str], body: bytes, raw: bytes) -> None:
        self.status, self.fields, self.body, self.raw = status, fields, body, raw


class Peer:
    """A socket from which heads and bodies are read; client and server alike."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.held = sock, b""

    def send(self, data: bytes) -> "Peer":
        self.sock.sendall(data)
        return self

    def more(self) -> bool:
        data = self.sock.recv(1 << 16)
        self.held += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        """Up to and with mark; EOFError where it does not come."""
        while mark not in self.held:
            if not self.more():
                raise EOFError(f"ended before {mark!r}: {self.held[:200]!r}")
        head, _, self.held = self.held.partition(mark)
        return head + mark

    def exactly(self, n: int) -> bytes:
        while len(self.held) < n:
            if not self.more():
                raise EOFError(f"{len(self.held)} of {n} bytes")
        data, self.held = self.held[:n], self.held[n:]
        return data

    def rest(self) -> bytes:
        while self.more():
            pass
        data, self.held = self.held, b""
        return data

    def chunked(self) -> bytes:
        body = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                self.until(b"\r\n")
                return body
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Closes so that the other side sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parse(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Client(Peer):
    def __init__(self, port: int, timeout: float = 20, source: str = "") -> None:
        """source: the address that it comes from, where that matters."""
        super().__init__(socket.create_connection(("127.0.0.1", port), timeout, (source, 0) if source else None))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def answer(self, head: bool = False) -> Answer:
        raw = self.until(b"\r\n\r\n")
        first, fields = parse(raw)
        status = int(first.split()[1])
        if head or status < 200 or status in (204, 304):
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            body = self.chunked()
        elif "content-length" in fields:
            body = self.exactly(int(fields["content-length"]))
        else:
            body = self.rest()
        return Answer(status, fields, body, raw)

    def ask(self, method: str = "GET", target: str = "/version", body: bytes | None = None, fields: str = "") -> Answer:
        length = f"Content-Length: {len(body)}\r\n" if body is not None else ""
        self.send(f"{method} {target} HTTP/1.1\r\nHost: livy\r\n{length}{fields}\r\n".encode() + (body or b""))
        return self.answer(method == "HEAD")

    def ended(self) -> bool:
        """Whether the other side has ended the connection, and nothing else came (waits for it)."""
        try:
            return self.held == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


class Request:
    def __init__(self, method: str, target: str, fields: dict[str, str], raw: bytes, connection: int) -> None:
        self.method, self.target, self.fields, self.raw, self.connection = method, target, fields, raw, connection
        self.body = b""
        self.at = time.monotonic()


Handler = Callable[[Peer, Request], bool | None]


def sized(body: bytes, status: str = "200 OK", fields: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


class Livy:
    """A server of the test's: each request goes to handler(peer, request), which answers it; True: close then. The
    default one answers 200 with "METHOD TARGET BODY" of what came. Keeps all that it received."""

    def __init__(self, handler: Handler | None = None, read_body: bool = True, port: int | None = None,
                 raw: Callable[[Peer], None] | None = None) -> None:
        self.handler, self.read_body, self.raw = handler or self.echo, read_body, raw
        self.requests: list[Request] = []
        self.connections: list[Peer] = []
        self.last_byte = 0.0  # when
        self.open = 0
        self._lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port or free_port()), backlog=200)
        self.port = self.listener.getsockname()[1]
        self.stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def echo(peer: Peer, request: Request) -> None:
        text = f"{request.method} {request.target} ".encode() + request.body
        peer.send(sized(b"" if request.method == "HEAD" else text))

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                peer = Peer(sock)
                self.connections.append(peer)
                self.open += 1
                number = len(self.connections)
            threading.Thread(target=self._serve, args=(peer, number), daemon=True).start()

    def _serve(self, peer: Peer, number: int) -> None:
        try:
            if self.raw is not None:
                self.raw(peer)
                return
            while True:
                if self._one(peer, number):
                    return
        except (OSError, EOFError, ValueError):
            pass
        finally:
            peer.close()
            with self._lock:
                self.open -= 1

    def _one(self, peer: Peer, number: int) -> bool:
        raw = peer.until(b"\r\n\r\n")
        self.last_byte = time.monotonic()
        first, fields = parse(raw)
        method, target, _ = first.split(" ")
        request = Request(method, target, fields, raw, number)
        with self._lock:
            self.requests.append(request)
        if self.read_body and fields.get("transfer-encoding") == "chunked":
            request.body = peer.chunked()
        elif self.read_body:
            request.body = peer.exactly(int(fields.get("content-length", 0)))
        self.last_byte = time.monotonic()
        return bool(self.handler(peer, request))

    def targets(self) -> list[str]:
        with self._lock:
            return [f"{r.method} {r.target}" for r in self.requests]

    def stop(self, reset: bool = True) -> None:
        """No longer listens; what is open is reset."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for peer in list(self.connections):
            try:
                if reset:
                    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                peer.sock.shutdown(socket.SHUT_RD)
                peer.sock.close()
            except OSError:
                pass

    def __enter__(self) -> "Livy":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
