"""Looks at processes through /proc. Every function answers for a process that has gone meanwhile too."""
import os
import signal
from dataclasses import dataclass


def _read(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third (state) on; empty where the process is gone."""
    text = _read(pid, "stat")
    return text.rpartition(")")[2].split() if text else []


def alive(pid: int) -> bool:
    """A zombie is not alive, once the last of its threads has ended: until then its sockets listen on."""
    fields = _stat(pid)
    return bool(fields) and (fields[0] not in "ZX" or int(fields[17]) > 1)


def state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else ""


def stopped(pid: int) -> bool:
    """True once SIGSTOP has taken hold of every thread."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    return all(state(int(thread)) == "T" for thread in threads)


def parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def start_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def executable(pid: int) -> str:
    """The path of the program, "" where it cannot be seen (gone, or a zombie)."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def cmdline(pid: int) -> list[str]:
    text = _read(pid, "cmdline")
    return text.rstrip("\0").split("\0") if text else []


def listened_ports(pid: int) -> set[int]:
    """The TCP ports that anybody listens on in the network namespace of the process."""
    rows = [line.split() for table in ("net/tcp", "net/tcp6") for line in _read(pid, table).splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}


def children(pid: int) -> list[int]:
    """Direct children of all threads, zombies included."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    for thread in threads:
        found += [int(child) for child in _read(pid, f"task/{thread}/children").split()]
    return found


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def status_value(pid: int, key: str) -> int:
    """A number out of /proc/<pid>/status, VmRSS in kB for instance; 0 where there is none."""
    for line in _read(pid, "status").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0])
    return 0


@dataclass(frozen=True)
class Usage:
    cpu_s: float
    voluntary_switches: int
    involuntary_switches: int


def usage(pid: int) -> Usage:
    """CPU seconds and context switches so far, of all threads of the process."""
    fields = _stat(pid)
    ticks = int(fields[11]) + int(fields[12]) if fields else 0
    voluntary = involuntary = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        for line in _read(pid, f"task/{thread}/status").splitlines():
            name, _, value = line.partition(":")
            if name == "voluntary_ctxt_switches":
                voluntary += int(value)
            elif name == "nonvoluntary_ctxt_switches":
                involuntary += int(value)
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), voluntary, involuntary)


def send(pid: int, number: int) -> bool:
    """False where the process was gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_if(pid: int, program: str) -> None:
    """Ends a process that a test has left behind, but only where it still runs that program."""
    if os.path.basename(executable(pid)) == program:
        send(pid, signal.SIGCONT)
        send(pid, signal.SIGKILL)
