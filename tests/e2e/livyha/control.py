"""A member's control socket as a program of one's own would use it: one request a connection."""
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any

from .member import Member

_PATIENCE_S = 60


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE_S)
        self.sock.connect(self.path)


def ask_control(member: Member, path: str, method: str = "GET") -> Answer:
    """OSError where nobody answers."""
    connection = _Connection(member.socket)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()
