"""Many clients in closed loops (tests/e2e/crowd.c): every request with its times, and who answered it."""
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from .build import program
from .cluster import Cluster
from .oracle import Life
from .wait import spawn, tail, wait_for

Address = tuple[str, int]


@dataclass(frozen=True)
class Request:
    address: Address  # whom it asked
    identity: str     # X-Request of a POST
    method: str
    began: int        # CLOCK_BOOTTIME, us
    took: int
    status: int       # 0: no answer
    who: str          # the stand-in that answered, "-" where none did; with status 0 how it went wrong
    pid: int

    @property
    def ended(self) -> int:
        return self.began + self.took

    def describe(self) -> str:
        return f"{self.method} at {self.address[0]}:{self.address[1]}, {self.began / 1e3:.1f} + {self.took / 1e3:.1f} ms: " \
               f"{self.status} {self.who} {self.pid}"


class Crowd:
    """`count` clients, spread over the addresses; each asks again `pause_ms` after an answer. Runs until stop()."""
    _serial = 0

    def __init__(self, directory: str, addresses: Sequence[Address], count: int = 100, pause_ms: int = 50) -> None:
        Crowd._serial += 1
        self.name = f"crowd{Crowd._serial}"
        self.count = count
        self._addresses: list[Address] = []  # of each client
        self._path = os.path.join(directory, f"{self.name}.txt")
        self._log = os.path.join(directory, f"{self.name}.log")
        shares = [count // len(addresses) + (number < count % len(addresses)) for number in range(len(addresses))]
        for address, share in zip(addresses, shares, strict=True):
            self._addresses += [address] * share
        argv = [program("crowd"), self.name, str(pause_ms),
                *(f"{host}:{port}={share}" for (host, port), share in zip(addresses, shares, strict=True))]
        with open(self._path, "wb") as out, open(self._log, "wb") as log:
            self._process = spawn(argv, {}, log, stdin=subprocess.PIPE, stdout=out)

    def stop(self, timeout: float = 70) -> list[Request]:
        """All requests, those that ran until now included."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout) == 0, tail(self._log)
        return self.requests()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def requests(self) -> list[Request]:
        """Those that are over and written down; while it runs the last ones are missing."""
        found: list[Request] = []
        with open(self._path, encoding="ascii") as file:
            for line in file.read().split("\n")[:-1]:
                client, number, method, began, took, status, who, pid = line.split()
                found.append(Request(self._addresses[int(client)], f"{self.name}-{client}-{number}", method, int(began),
                                     int(took), int(status), who, int(pid)))
        return found

    def wait_served(self, cluster: Cluster, life: Life, posts: int = 0) -> None:
        """Until that Livy has carried out as many POSTs of it as it has clients."""
        wanted = posts or self.count
        prefix = f"{self.name}-"
        wait_for(lambda: sum(post.startswith(prefix) for post in life.posts) >= wanted, 40,
                 f"the crowd is served by {life.name}", cluster.failure_text)
