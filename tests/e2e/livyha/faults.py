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
from .wait import wait_for


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


class Freezer:
    """Freezes processes together and thaws them in one instant, by a control group of their own; use as a context manager.
    SIGSTOP and SIGCONT reach one after the other."""
    _V1, _V2 = "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"

    @classmethod
    def _root(cls) -> str:
        return cls._V1 if os.path.isdir(cls._V1) else cls._V2

    @classmethod
    def there(cls) -> bool:
        return os.getuid() == 0 and os.access(os.path.join(cls._root(), "cgroup.procs"), os.W_OK)

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._group = os.path.join(self._root(), f"livy-ha-test-{os.getpid()}-{pids[0]}")
        self._v1 = self._root() == self._V1

    def _write(self, name: str, text: str, group: str | None = None) -> None:
        with open(os.path.join(group or self._group, name), "w", encoding="ascii") as file:
            file.write(text)

    def _collect(self, group: str) -> None:
        for pid in self._pids:
            if proc.alive(pid):
                self._write("cgroup.procs", str(pid), group)

    def __enter__(self) -> "Freezer":
        os.mkdir(self._group)
        self._collect(self._group)
        return self

    def freeze(self) -> None:
        self._write(*(("freezer.state", "FROZEN") if self._v1 else ("cgroup.freeze", "1")))

    def thaw(self) -> None:
        self._write(*(("freezer.state", "THAWED") if self._v1 else ("cgroup.freeze", "0")))

    def __exit__(self, *_exc: object) -> None:
        self.thaw()
        with open(os.path.join(self._group, "cgroup.procs"), encoding="ascii") as file:
            self._pids = [int(line) for line in file if int(line)]  # those that these have started as well
        self._collect(self._root())
        wait_for(self._removed, 10, f"{self._group} is empty")

    def _removed(self) -> bool:
        try:
            os.rmdir(self._group)
        except OSError:
            return False
        return True


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
