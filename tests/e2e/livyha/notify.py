"""systemd's side of sd_notify(3): a Unix datagram socket that collects what a daemon says."""
import os
import socket
import threading

from .wait import boot_ms


class NotifySocket:
    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "notify.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self.said: list[tuple[int, str]] = []  # (CLOCK_BOOTTIME ms, "READY=1")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(8192)
            except OSError:
                return
            if not data:
                return
            now = boot_ms()
            self.said += [(now, line) for line in data.decode("utf-8", "replace").splitlines()]

    def lines(self, prefix: str) -> list[str]:
        return [line for _, line in self.said if line.startswith(prefix)]

    def times(self, line: str) -> list[int]:
        return [at for at, said in self.said if said == line]

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
