"""warden.py leaves nothing behind, however it ends: what is in sessions of its own included, as YARN's containers are."""
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homes import HERE
from livyha import proc
from livyha.wait import wait_for

WARDEN = [sys.executable, os.path.join(HERE, "warden.py")]
# A parent that ignores TERM, a child in a session of its own, and an orphan in another.
TREE = "trap '' TERM; setsid sleep 1000 & (setsid sleep 1000 &) ; echo up; while :; do sleep 1000; done"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A shell that runs the warden with TREE, and all processes below the warden. Another process is its parent, so that
    the warden's parent can be killed."""
    script = f"import subprocess, sys; subprocess.run({WARDEN + ['sh', '-c', TREE]!r})"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout and parent.stdout.readline() == "up\n"
    below = wait_for(lambda: found if len(found := proc.descendants(parent.pid)) >= 5 else None, 20, "the tree is up")
    try:
        yield parent, below
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def wait_none(pids: list[int]) -> None:
    wait_for(lambda: not any(proc.alive(pid) for pid in pids), 20, "all are gone",
             lambda: str([(pid, proc.cmdline(pid)) for pid in pids if proc.alive(pid)]))


def test_terminated(started: tuple["subprocess.Popen[str]", list[int]]) -> None:
    parent, below = started
    os.kill(proc.children(parent.pid)[0], signal.SIGTERM)
    wait_none(below)


def test_parent_killed(started: tuple["subprocess.Popen[str]", list[int]]) -> None:
    parent, below = started
    parent.kill()
    wait_none(below)


def test_command_ends() -> None:
    done = subprocess.run([*WARDEN, "sh", "-c", "setsid sleep 1000 & echo $!; exit 3"], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 3
    assert not proc.alive(int(done.stdout))
