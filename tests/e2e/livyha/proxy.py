"""A TCP proxy on loopback that makes a network bad: answers come late, or nothing passes for a while."""
import socket
import threading
import time
from collections import deque

from .ports import free_port


class Proxy:
    """Passes connections on to 127.0.0.1:`port`. `delay` seconds are added to each answer, in order; while `cut`
    nothing passes in either direction and connections stay open. Both may change at any time."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = free_port()
        self.delay = 0.0
        self.cut = False
        self._closed = False
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while not self._closed:
            try:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.target), 10)
            except OSError:
                continue
            server.settimeout(None)
            self._sockets |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        """What is read is queued with the time at which it may go on, by a thread of its own."""
        waiting: deque[tuple[float, bytes]] = deque()
        arrived = threading.Condition()

        def write() -> None:
            while True:
                with arrived:
                    while not waiting:
                        arrived.wait()
                    due, data = waiting.popleft()
                while not self._closed and (self.cut or time.monotonic() < due):
                    time.sleep(0.005)
                try:
                    if not data:
                        sink.shutdown(socket.SHUT_RDWR)
                        return
                    sink.sendall(data)
                except OSError:
                    return

        threading.Thread(target=write, daemon=True).start()
        data = b"."
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            with arrived:
                waiting.append((time.monotonic() + (self.delay if answers else 0), data))
                arrived.notify()

    def close(self) -> None:
        self._closed = True
        for each in [self._listener, *self._sockets]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
