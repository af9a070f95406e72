"""What a calm cluster of three holds: descriptors, memory, znodes, processes, files. Taken after the first phase and at
the end."""
import os
import re
from dataclasses import dataclass, field

from . import proc
from .build import standby
from .cluster import Cluster
from .member import Member
from .nemesis_faults import ELECTOR, KEEPER, LIVY, Faults

# How much more than a fresh process an old one may hold: allocators keep what they once needed.
MEMORY_LIMIT_KB = 4096


@dataclass(frozen=True)
class Sample:
    """One keeper or elector."""
    pid: int
    start: int
    program: str
    role: str        # "active" or "standby": what it holds depends on it
    descriptors: int
    rss_kb: int
    age_s: float


@dataclass
class Holding:
    samples: list[Sample] = field(default_factory=list)
    znodes: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    processes: list[str] = field(default_factory=list)  # those that should not be there
    latch: int = 0
    tenures: int = 0


@dataclass
class Leaks:
    """The worst of each, old against fresh, and what is there that should not be."""
    descriptors: int = 0
    memory_kb: int = 0
    oldest_s: float = 0
    znodes: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def bad(self) -> list[str]:
        found = [f"{name}: {' '.join(what)}" for name, what in
                 (("znodes", self.znodes), ("processes", self.processes), ("files", self.files)) if what]
        if self.descriptors > 0:
            found.append(f"{self.descriptors} descriptors more than a fresh process has")
        if self.memory_kb > MEMORY_LIMIT_KB:
            found.append(f"{self.memory_kb} kB more than a fresh process has")
        return found


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _sample(pid: int, program: str, role: str) -> Sample:
    with open("/proc/uptime", encoding="ascii") as file:
        uptime = float(file.read().split()[0])
    start = proc.start_ticks(pid)
    return Sample(pid, start, program, role, _descriptors(pid), proc.status_value(pid, "VmRSS"),
                  uptime - start / os.sysconf("SC_CLK_TCK"))


def _plain(name: str) -> str:
    """Without what differs from one life to the next."""
    name = re.sub(r"^/tenures/.*", "/tenures/ONE", name)  # of whoever is active
    return re.sub(r"\d{2,}", "N", re.sub(r"[0-9a-f]{8}-?[0-9a-f-]{20,}", "UUID", name))


def _znodes(cluster: Cluster, path: str) -> set[str]:
    found: set[str] = set()
    for child in cluster.zk.get_children(path):
        found.add(_plain(f"{path.removeprefix(cluster.root)}/{child}"))
        found |= _znodes(cluster, f"{path}/{child}")
    return found


def _files(member: Member, role: str) -> set[str]:
    # livy-classes: a hot member's, once it has served.
    return {_plain(f"{role}: {os.path.relpath(os.path.join(folder, name), member.runtime_dir)}")
            for folder, _folders, names in os.walk(member.runtime_dir) for name in names if name != "livy-classes"}


def _strangers(faults: Faults, active: Member) -> list[str]:
    """A keeper and an elector a member, one Livy on the active one, and a held one on each standby where they are hot; a
    server on each of the other hosts."""
    found = []
    present = faults.processes()
    for host in faults.bed.network.hosts:
        programs = sorted(present[host.name].values())
        member = next((each for each in faults.cluster.members if each.name == host.name), None)
        wanted = ["java"] if member is None else [KEEPER, ELECTOR, *([LIVY] if member is active or standby() == "hot" else [])]
        if programs != sorted(wanted):
            found.append(f"{host.name} has {programs}, not {sorted(wanted)}")
    known = {"unshare", "sh", "dash", "bash", os.path.basename(proc.executable(os.getpid()))}
    found += [f"{pid} {name}" for pid, name in present[""].items() if name not in known]
    return found


def hold(faults: Faults, active: Member) -> Holding:
    """Call it of a whole cluster."""
    cluster = faults.cluster
    held = Holding(latch=len(cluster.latch()), tenures=len(cluster.zk.get_children(f"{cluster.root}/tenures")),
                   znodes=_znodes(cluster, cluster.root), processes=_strangers(faults, active))
    for member in cluster.members:
        role = "active" if member is active else "standby"
        held.files |= _files(member, role)
        held.samples.append(_sample(member.pid, KEEPER, role))
        elector = member.elector()
        if elector is not None:
            held.samples.append(_sample(elector, ELECTOR, role))
    return held


def compare(first: Holding, last: Holding, fresh: Holding) -> Leaks:
    """`last` has the processes that the faults have left, `fresh` those that have been started after them."""
    leaks = Leaks(processes=last.processes + fresh.processes, files=sorted((last.files | fresh.files) - first.files),
                  znodes=sorted((last.znodes | fresh.znodes) - first.znodes))
    if last.latch != 3:
        leaks.znodes.append(f"{last.latch} latch nodes")
    if last.tenures != 1:
        leaks.znodes.append(f"{last.tenures} tenures, though one Livy serves")
    young = {(sample.pid, sample.start): sample for sample in first.samples}
    for old in last.samples:
        alike = [sample for sample in fresh.samples if (sample.program, sample.role) == (old.program, old.role)]
        same = young.get((old.pid, old.start))
        alike += [same] if same and same.role == old.role else []
        leaks.oldest_s = max(leaks.oldest_s, round(old.age_s, 1))
        leaks.descriptors = max(leaks.descriptors, old.descriptors - max(each.descriptors for each in alike))
        leaks.memory_kb = max(leaks.memory_kb, old.rss_kb - max(each.rss_kb for each in alike))
    return leaks
