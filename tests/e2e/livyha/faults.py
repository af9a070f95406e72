"""What can be done to the processes of one member, and how it is undone."""
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from . import proc
from .build import program
from .cluster import Cluster
from .member import Member
from .oracle import Life


def processes(member: Member, life: Life) -> list[int]:
    """Keeper, elector, Livy."""
    return [member.pid, member.wait_elector(), life.pid]


def stop_at_once(member: Member, pids: list[int]) -> None:
    """SIGSTOP for all before any of them can react to another's."""
    for pid in pids:
        proc.send(pid, signal.SIGSTOP)
    for pid in pids:
        member.wait(lambda pid=pid: proc.stopped(pid), 10, f"process {pid} is stopped")  # type: ignore[misc]


def go_on(pids: list[int]) -> None:
    for pid in pids:
        proc.send(pid, signal.SIGCONT)


@contextmanager
def continued(pids: list[int]) -> Iterator[None]:
    """Whatever happens in the block, these processes are not left stopped."""
    try:
        yield
    finally:
        go_on(pids)


def close_session(member: Member) -> None:
    """What ExecStopPost does once the unit is empty."""
    done = subprocess.run([*member.wrapper, program("livy-ha"), "-c", member.conf_path, "--close-session"], env=member.env,
                          timeout=30, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- a full disk ----------------------------------------------------------------------------------------------


def small_runtime_dirs(cluster: Cluster) -> None:
    """Each member has its runtime_dir on a file system of its own of 256 kB; the control socket is elsewhere."""
    for member in cluster.members:
        script = f'mkdir -p "{member.runtime_dir}" && mount -t tmpfs -o size=256k none "{member.runtime_dir}" && exec "$@"'
        member.wrapper = [*member.wrapper, "sh", "-c", script, "sh"]
        member.socket = os.path.join(member.directory, "control.sock")
        member.settings["control.socket"] = member.socket
        member.write_conf()


def _filler(member: Member) -> str:
    return f"/proc/{member.pid}/root{member.runtime_dir}/filler"


def fill_runtime_dir(member: Member) -> None:
    """Not one byte is left."""
    size = 65536
    with open(_filler(member), "wb", buffering=0) as file:
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2


def empty_runtime_dir(member: Member) -> None:
    os.unlink(_filler(member))


# ---- out of descriptors ---------------------------------------------------------------------------------------


def no_more_descriptors(pid: int) -> None:
    """The process keeps those that it has, and gets none more: the limit is the lowest number that is free."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    limit = next(number for number in range(len(used) + 1) if number not in used)
    _soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def enough_descriptors(pid: int) -> None:
    """Nothing where the process has gone meanwhile."""
    try:
        _soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    except ProcessLookupError:
        pass
