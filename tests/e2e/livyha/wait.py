"""Waiting for conditions, and starting processes that cannot outlive the test run."""
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TypeVar

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def die_with_parent() -> None:
    """Runs in the child between fork and exec: SIGKILL once the test run is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def spawn(argv: Sequence[str], env: Mapping[str, str], log: IO[bytes], cwd: str | None = None,
          stdin: int = subprocess.DEVNULL, stdout: IO[bytes] | int | None = None) -> "subprocess.Popen[bytes]":
    """Starts argv in a session of its own, with its output appended to log."""
    return subprocess.Popen(list(argv), env=dict(env), cwd=cwd, stdin=stdin, stdout=stdout or log, stderr=log,
                            start_new_session=True, preexec_fn=die_with_parent)


def boot_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wait_for(condition: Callable[[], _T | None], timeout: float, what: str,
             on_failure: Callable[[], str] | None = None) -> _T:
    """Polls until condition() is true and returns its value. AssertionError with what (and what on_failure
    tells, log tails for instance) after timeout seconds. An exception in condition() goes through."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            detail = on_failure() if on_failure else ""
            raise AssertionError(f"not within {timeout:g} s: {what}\n{detail}")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)


def tail(path: str, lines: int = 40) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"({error})"
    return "\n".join(text.splitlines()[-lines:])


def let_pass(seconds: float, while_true: Callable[[], object], what: str,
             on_failure: Callable[[], str] | None = None) -> None:
    """For what must not happen: time passes, and while_true() has to hold all along."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not while_true():
            raise AssertionError(f"no longer so within {seconds:g} s: {what}\n{on_failure() if on_failure else ''}")
        time.sleep(0.02)
