"""A process that does not die of SIGKILL for a while, as one does that hangs in the kernel.

Each of its threads is traced with PTRACE_O_TRACEEXIT, so that it stops on its way out, killed or not, until its tracer
lets it go. The tracer is a process of its own: once that has ended, the kernel lets go."""
import contextlib
import ctypes
import os
import select
import subprocess
import sys
from collections.abc import Iterator

_PTRACE_SEIZE, _TRACEEXIT = 0x4206, 0x40


def _seize(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for thread in os.listdir(f"/proc/{pid}/task"):
        if libc.ptrace(_PTRACE_SEIZE, int(thread), None, ctypes.c_void_p(_TRACEEXIT)) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace of {thread}")


@contextlib.contextmanager
def undying(pid: int) -> Iterator[None]:
    tracer = subprocess.Popen([sys.executable, __file__, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert tracer.stdin and tracer.stdout
    try:
        assert select.select([tracer.stdout], [], [], 20)[0] and tracer.stdout.readline() == b"held\n", "ptrace failed"
        yield
    finally:
        tracer.stdin.close()  # it ends, and so does its hold
        tracer.wait(20)
        tracer.stdout.close()


if __name__ == "__main__":
    _seize(int(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.read()
