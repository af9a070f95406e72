"""livy-ha-ctl on a terminal of 80 columns, as a person sees it."""
import os
import pty
import re
import select
import signal
from collections.abc import Callable, Mapping

from . import proc
from .build import program
from .member import Member
from .wait import wait_for

CLEAR, HOME, TO_LINE_END, TO_SCREEN_END = "\033[2J", "\033[H", "\033[K", "\033[J"


class Terminal:
    def __init__(self, member: Member, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._output = b""
        self._member = member
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.environ.update({"TERM": "xterm", "COLUMNS": "80", **(env or {})})
            os.execv(program("livy-ha-ctl"), ["livy-ha-ctl", "-s", member.socket, *arguments])

    @property
    def text(self) -> str:
        """All that was written, escapes included."""
        return self._output.decode(errors="replace")

    def pictures(self) -> list[str]:
        """What was drawn over one another by `watch`, the whole ones, without escapes."""
        whole = [part.partition(TO_SCREEN_END)[0] for part in self.text.split(HOME)[1:] if TO_SCREEN_END in part]
        return [re.sub(r"\033\[[0-9;]*[A-Za-z]|\r", "", part) for part in whole]

    def read(self, seconds: float = 0) -> bool:
        """More of what it writes. False: nothing came within that time, or it has ended."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            part = os.read(self._fd, 65536)
        except OSError:
            return False
        self._output += part
        return bool(part)

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        def seen() -> bool:
            self.read(0.05)
            return bool(condition())
        wait_for(seen, seconds, what, lambda: f"{self.text[-2000:]!r}\n{self._member.failure_text()}")

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def end(self, seconds: float = 20) -> int:
        """Its exit status; it ends by itself, or was told to."""
        while self.read(seconds):
            pass
        return self._reap()

    def _reap(self) -> int:
        pid, self._pid = self._pid, 0
        os.close(self._fd)  # its terminal is gone: it gets a HUP
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._pid != 0:
            proc.send(self._pid, signal.SIGKILL)
            self._reap()


def on_a_terminal(member: Member, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit status and output of a command that ends by itself."""
    with Terminal(member, *arguments, env=env) as terminal:
        return terminal.end(), terminal.text
