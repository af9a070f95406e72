"""Free TCP ports on this host, never the same one twice, also for test runs side by side.

Ports come from below the kernel's ephemeral range, so that no outgoing connection takes one between its choice
and its use; a locked file for each, held as long as this process lives, keeps other runs off it."""
import fcntl
import os
import random
import socket
import tempfile

_FIRST, _LAST = 20000, 29999
_held: dict[int, int] = {}  # port -> descriptor of its locked file


def _claim(port: int, directory: str) -> int | None:
    fd = os.open(os.path.join(directory, str(port)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on, reserved for this process until it ends."""
    directory = os.path.join(tempfile.gettempdir(), f"livy-ha-test-ports.{os.getuid()}")
    os.makedirs(directory, exist_ok=True)
    for _ in range(2000):
        port = random.randint(_FIRST, _LAST)
        if port in _held:
            continue
        fd = _claim(port, directory)
        if fd is None:
            continue
        if _bindable(port):
            _held[port] = fd
            return port
        os.close(fd)
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}: is something holding them all?")
