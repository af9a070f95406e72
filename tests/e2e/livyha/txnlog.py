"""Reads ZooKeeper's own transaction logs: what was written to one node, by whom and when, whatever any client says of it.

The servers' logs are taken together. Each committed write was in the logs of a majority before anybody was told of it; what
a server has cut off from its log again, another may still have. So the logs tell as well what ZooKeeper has gone back on:
the version that the node had is then given out once more, under a later zxid."""
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MAGIC = b"ZKLG"
_FILE_HEADER = 16
_RECORD = struct.Struct(">qi")     # checksum, length
_HEADER = struct.Struct(">qiqqi")  # session, cxid, zxid, time, type
_SET_DATA = 5
_INT = struct.Struct(">i")
_END = 1                           # the byte after each record


@dataclass(frozen=True)
class Write:
    zxid: int
    at_ms: int    # the leader's wall clock
    session: int
    data: bytes
    version: int  # that it gave the node

    @property
    def epoch(self) -> int:
        return self.zxid >> 32


def _buffer(record: bytes, at: int) -> tuple[bytes, int]:
    length = _INT.unpack_from(record, at)[0]
    begin = at + _INT.size
    return record[begin:begin + max(0, length)], begin + max(0, length)


def _read(path: str, node: bytes) -> Iterator[Write]:
    """Ends at the padding, or at a record that is not complete yet."""
    with open(path, "rb") as file:
        if not file.read(_FILE_HEADER).startswith(_MAGIC):
            return
        while len(head := file.read(_RECORD.size)) == _RECORD.size:
            length = _RECORD.unpack(head)[1]
            record = file.read(length + _END) if length > 0 else b""
            if length < _HEADER.size or len(record) < length + _END:
                return
            session, _cxid, zxid, at_ms, kind = _HEADER.unpack_from(record)
            if kind != _SET_DATA:
                continue
            path_, after = _buffer(record, _HEADER.size)
            if path_ == node:
                data, after = _buffer(record, after)
                yield Write(zxid, at_ms, session, data, _INT.unpack_from(record, after)[0])


class Logs:
    """The logs of all servers; read again as often as wanted."""

    def __init__(self, folders: Iterable[str], node: str) -> None:
        self._folders = list(folders)
        self._node = node.encode()
        self._known: dict[str, tuple[tuple[int, int], list[Write]]] = {}  # by file: as of which size and time

    def add(self, folder: str) -> None:
        self._folders.append(folder)

    def writes(self) -> list[Write]:
        """By zxid, each once."""
        found: dict[int, Write] = {}
        for folder in self._folders:
            for entry in os.scandir(folder):
                if not entry.name.startswith("log."):
                    continue
                status = entry.stat()
                stamp = status.st_size, status.st_mtime_ns
                if self._known.get(entry.path, (None,))[0] != stamp:
                    self._known[entry.path] = stamp, list(_read(entry.path, self._node))
                found |= {write.zxid: write for write in self._known[entry.path][1]}
        return [found[zxid] for zxid in sorted(found)]


def surviving(writes: list[Write]) -> dict[int, Write]:
    """By version: the one line of writes that the node has been through. A version that was given out twice was ZooKeeper's
    going back, or never committed: the later zxid is what has remained."""
    line: list[Write] = []
    for write in writes:
        while line and line[-1].version >= write.version:
            line.pop()
        line.append(write)
    return {write.version: write for write in line}
