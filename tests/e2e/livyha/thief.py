"""Another client that takes a member's ZooKeeper session over with its id and password, and closes it: ZooKeeper cannot
tell it from the member reconnecting."""
import os
import re
import socket
import struct

from .member import Member
from .zookeeper import Server

_CLOSE = -11


def kept_session(member: Member) -> tuple[int, bytes]:
    """Id and password, from the session file."""
    with open(os.path.join(member.runtime_dir, "session"), encoding="ascii") as file:
        text = file.read()
    found = re.search(r"^id ([0-9a-f]{16})\npassword ([0-9a-f]{32})$", text, re.M)
    assert found, f"no id and password in the session file:\n{text}"
    return struct.unpack(">q", bytes.fromhex(found[1]))[0], bytes.fromhex(found[2])


def close_session(session: tuple[int, bytes], server: Server) -> bool:
    """Connects and closes in one packet: the member takes its session back within milliseconds. Returns once the server
    has ended the connection, whether that session was still there; whether it has ended, ZooKeeper's nodes tell."""
    connect = struct.pack(">iqiqi16s?", 0, 0, 4000, session[0], 16, session[1], False)
    packets = b"".join(struct.pack(">i", len(packet)) + packet for packet in (connect, struct.pack(">ii", 1, _CLOSE)))
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(packets)
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return len(answer) >= 12 and struct.unpack(">iii", answer[:12])[2] > 0  # length, protocol, the time-out granted
