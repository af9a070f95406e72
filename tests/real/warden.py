"""Runs a command, and leaves nothing of it behind: neither when it ends, nor when the one who started this is gone.

    warden.py COMMAND [ARGUMENT…]

What the command starts, in whatever session (YARN's containers have their own), is a descendant of this process for as
long as it lives, since orphans come to it. TERM or INT, the death of the parent, the end of the command: the command gets
TERM and GRACE_S to end in order, then all descendants get KILL. The exit status is the command's."""
import ctypes
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

# pylint: disable=wrong-import-position
from livyha import proc  # noqa: E402

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE_S = 3
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


def _reap() -> None:
    """Orphans that came to us; the command itself is Popen's."""
    for pid in proc.children(os.getpid()):
        if proc.state(pid) == "Z" and pid != COMMAND.pid:
            os.waitpid(pid, os.WNOHANG)


def _wait(seconds: float | None) -> bool:
    """Until the command has ended (True), a signal asks for its end, or so much time has passed."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while COMMAND.poll() is None:
        left = 3600.0 if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return False
        told = signal.sigtimedwait(_SIGNALS, left)
        _reap()
        if told is not None and told.si_signo != signal.SIGCHLD and seconds is None:
            return False
    return True


def _kill_all() -> None:
    """What is killed may have started another one meanwhile: until there is none."""
    while pids := [pid for pid in proc.descendants(os.getpid()) if proc.state(pid) != "Z"]:
        for pid in pids:
            proc.send(pid, signal.SIGKILL)
        signal.sigtimedwait(_SIGNALS, 0.05)
        COMMAND.poll()
        _reap()


if __name__ == "__main__":
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    parent = os.getppid()
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    COMMAND = subprocess.Popen(sys.argv[1:], start_new_session=True,
                               preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS))
    try:
        if os.getppid() == parent and not _wait(None):
            COMMAND.terminate()
            _wait(_GRACE_S)
    finally:
        _kill_all()
    sys.exit(COMMAND.returncode if COMMAND.returncode is not None and COMMAND.returncode >= 0 else 1)
