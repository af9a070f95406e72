"""Clients of the fronts: one connection each, kept as HTTP has it, every answer looked at."""
import http.client
import threading
import time
from dataclasses import dataclass, field

from .member import Member
from .wait import boot_ms

Target = Member | tuple[str, int]  # a member's front, or an address and a port


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    began: int  # CLOCK_BOOTTIME ms
    took: int

    @property
    def standin(self) -> tuple[str, int]:
        """Name and pid of the stand-in that answered; ("", 0) where none did."""
        name, _, pid = self.headers.get("x-standin", " 0").partition(" ")
        return name, int(pid)


class Client:
    """One kept connection to a member's front, or to what stands before the fronts."""

    def __init__(self, target: Target, timeout: float = 60) -> None:
        address = ("127.0.0.1", target.front_port) if isinstance(target, Member) else target
        self._connection = http.client.HTTPConnection(*address, timeout=timeout)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """X_Request=… is the header X-Request. OSError or http.client.HTTPException where it goes wrong."""
        began = boot_ms()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        response = self._connection.getresponse()
        data = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data, began,
                      boot_ms() - began)

    def get(self, path: str = "/version") -> Answer:
        return self.ask("GET", path)

    @property
    def local_port(self) -> int:
        """Of the connection as it is; another number says that it was made anew."""
        return int(self._connection.sock.getsockname()[1]) if self._connection.sock else 0

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def get(target: Target, path: str = "/version", timeout: float = 60) -> Answer:
    """On a connection of its own."""
    with Client(target, timeout) as client:
        return client.get(path)


@dataclass
class Loop:
    """A client in a closed loop over one member's front, GET and POST by turns, until stop()."""
    member: Target
    name: str
    answers: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)  # X-Request of each POST that was answered with 201

    def start(self) -> "Loop":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _ask(self, client: Client, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        return client.ask(method, path, body, **headers)

    def _one(self, client: Client, number: int) -> None:
        if number % 2:
            identity = f"{self.name}-{number}"
            answer = self._ask(client, "POST", "/batches", b"x" * 1000, X_Request=identity)
            if answer.status == 201:
                self.posted.append(identity)
        else:
            answer = self._ask(client, "GET", "/version")
        self.answers.append(answer)
        if answer.status not in (200, 201):
            self.errors.append(f"request {number} at {answer.began}: HTTP {answer.status} {answer.body[:200]!r}")

    def _run(self) -> None:
        client = Client(self.member)
        number = 0
        while not self._end.is_set():
            number += 1
            try:
                self._one(client, number)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"request {number} at {boot_ms()}: {error!r}")
                client.close()
            time.sleep(0.005)
        client.close()

    def stop(self) -> "Loop":
        self._end.set()
        self._thread.join(60)
        return self
