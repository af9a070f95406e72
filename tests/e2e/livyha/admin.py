"""The admin port as a load balancer, Prometheus and a browser see it: raw requests, a strict reader of metrics."""
import json
import re
import socket
from dataclasses import dataclass
from typing import Any

from .member import Member
from .wait import boot_ms

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: str
    began: int  # CLOCK_BOOTTIME ms

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


def ask(member: Member, path: str, method: str = "GET", version: str = "1.1", head: str | None = None,
        timeout: float = 10, source: str = "127.0.0.1") -> Answer:
    """One request, its answer read to the end of the connection. `head` is the whole request instead. OSError where
    nobody answers."""
    began = boot_ms()
    host = "Host: livy\r\n" if version == "1.1" else ""
    request = head or f"{method} {path} HTTP/{version}\r\n{host}\r\n"
    with socket.create_connection(("127.0.0.1", member.admin_port), timeout, (source, 0)) as connection:
        connection.sendall(request.encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    head_text, _, body = data.decode().partition("\r\n\r\n")
    first, *lines = head_text.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines), f"a header twice: {lines}"
    assert "location" not in headers, "the admin port never redirects"
    return Answer(int(first.split(" ")[1]), headers, body, began)


def status_of(member: Member, path: str) -> int:
    """0 where nobody answers."""
    try:
        return ask(member, path).status
    except (OSError, ValueError, IndexError):
        return 0


def wait_status(member: Member, path: str, status: int, timeout: float = 20) -> Answer:
    def found() -> Answer | None:
        try:
            answer = ask(member, path)
        except (OSError, ValueError, IndexError):
            return None
        return answer if answer.status == status else None
    return member.wait(found, timeout, f"{path} answers {status}")


# ---- metrics -------------------------------------------------------------------------------------------------

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


def _labels(text: str) -> Labels:
    found, at = [], 0
    while at < len(text):
        match = _LABEL.match(text, at)
        assert match, f"not a label: {text[at:]}"
        found.append((match[1], match[2]))
        at = match.end()
    assert len({name for name, _ in found}) == len(found), f"a label twice: {text}"
    return frozenset(found)


class Metrics:
    """Text format 0.0.4, every line of it understood or the reader fails."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = {}
        self.help: dict[str, str] = {}
        self.samples: dict[tuple[str, Labels], float] = {}
        assert text.endswith("\n")
        family = ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family, _, words = line[7:].partition(" ")
                assert words and family not in self.help, line
                self.help[family] = words
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                assert name == family and name not in self.types, line
                self.types[name] = kind
            else:
                self._sample(line, family)
        assert self.types.keys() == self.help.keys()
        for name, kind in self.types.items():
            if kind == "histogram":
                self._check_histogram(name)

    def _sample(self, line: str, family: str) -> None:
        match = _SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line}"
        kind = self.types[family]
        allowed = [family + suffix for suffix in _SUFFIXES.get(kind, ("",))]
        assert match[1] in allowed, f"{match[1]} among the samples of {family}"
        assert match[1].endswith("_total") == (kind == "counter"), line
        key = (match[1], _labels(match[2] or ""))
        assert key not in self.samples, f"twice: {line}"
        self.samples[key] = float(match[3])

    def _check_histogram(self, name: str) -> None:
        buckets = sorted((float(dict(labels)["le"]), value) for (of, labels), value in self.samples.items()
                         if of == name + "_bucket")
        counts = [value for _, value in buckets]
        assert counts == sorted(counts) and buckets[-1][0] == float("inf")
        assert counts[-1] == self[name + "_count"]

    def get(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))

    def __call__(self, name: str, **labels: str) -> float:
        value = self.get(name, **labels)
        assert value is not None, f"no {name}{labels} in\n{self.text}"
        return value

    def __getitem__(self, name: str) -> float:
        return self(name)

    def one_of(self, name: str, label: str) -> str:
        """The value of the label whose series is 1; all others are 0."""
        values = {dict(labels)[label]: value for (of, labels), value in self.samples.items() if of == name}
        assert sorted(values.values())[-2:] == [0, 1] and sum(values.values()) == 1, values
        return next(value for value, is_it in values.items() if is_it == 1)


def metrics(member: Member) -> Metrics:
    answer = ask(member, "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return Metrics(answer.body)
