"""A client of Livy's REST interface that comes to one front, follows redirects for any method, and knows batches and
interactive sessions."""
import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from livyha.wait import wait_for

_HOPS = 3
_HEADERS = {"Content-Type": "application/json", "X-Requested-By": "livy-ha"}
ENDED = ("error", "dead", "killed", "success", "shutting_down")


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    hops: int  # redirects that were followed


class Rest:
    """`url`: of a front. Each request has a connection of its own."""

    def __init__(self, url: str, timeout: float = 60) -> None:
        self.url = url
        self.timeout = timeout

    def ask(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Answer:
        """OSError or http.client.HTTPException where no answer comes."""
        url = self.url + path
        data = None if body is None else json.dumps(body).encode()
        for hop in range(_HOPS):
            parts = urlsplit(url)
            assert parts.hostname, url
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout or self.timeout)
            try:
                connection.request(method, parts.path, data, _HEADERS)
                response = connection.getresponse()
                text = response.read()
            finally:
                connection.close()
            if response.status != 307:
                return Answer(response.status, _decoded(text), hop)
            url = response.headers["Location"]
        raise OSError(f"{method} {path}: redirected {_HOPS} times, last to {url}")

    def get(self, path: str, timeout: float | None = None) -> Any:
        """The document; None where there is none, or no answer (a client in a fail-over asks again)."""
        try:
            answer = self.ask("GET", path, timeout=timeout)
        except (OSError, http.client.HTTPException):
            return None
        return answer.body if answer.status == 200 else None

    def post(self, path: str, body: Any) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status == 201, f"POST {path}: {answer}"
        return answer.body

    # ---- batches and sessions ---------------------------------------------------------------------------------------

    def wait_state(self, path: str, state: str, timeout: float = 180) -> dict[str, Any]:
        """Until the batch or session at `path` is in that state, with its application known."""
        def reached() -> dict[str, Any] | None:
            found = self.get(path, timeout=10)
            if found is None:
                return None
            assert found["state"] == state or found["state"] not in ENDED, f"{path}: {found}"
            return found if found["state"] == state and found["appId"] else None
        return wait_for(reached, timeout, f"{path} is {state}", lambda: str(self.get(path, timeout=10)))

    def sql(self, session: int, code: str, timeout: float = 60) -> list[list[Any]]:
        """The rows of a statement."""
        made = self.post(f"/sessions/{session}/statements", {"code": code, "kind": "sql"})
        return self.rows(session, made["id"], timeout)

    def rows(self, session: int, statement: int, timeout: float = 60) -> list[list[Any]]:
        """Of a statement that has been sent."""
        path = f"/sessions/{session}/statements/{statement}"

        def available() -> Any:
            found = self.get(path)
            return found if found and found["state"] == "available" else None
        output = wait_for(available, timeout, f"{path} is available", lambda: str(self.get(path)))["output"]
        assert output["status"] == "ok", output
        return output["data"]["application/json"]["data"]


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")


def unique(prefix: str) -> str:
    """Livy 0.7 takes no name twice."""
    return f"{prefix}-{time.time_ns()}"
