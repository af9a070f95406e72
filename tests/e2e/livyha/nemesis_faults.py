"""The nemesis's hands: makes each fault of the schedule on the bed, and undoes it. Nothing here waits for what the system
does about it."""
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from . import proc
from .bed import Bed, Party
from .build import program
from .cluster import Cluster
from .member import Member
from .nemesis_schedule import RESTART_S, Item
from .wait import boot_ms, spawn
from .zookeeper import Server

KEEPER, ELECTOR, LIVY = "livy-ha", "livy-ha-elector", "standin"
_ASK_S = 0.15          # a server that does not answer so soon has no say in who leads
_CLIENT_S = 1.0
_EXITS_AFTER = "exit-after=200:1"


@dataclass
class Made:
    """A fault as it was made; times are CLOCK_BOOTTIME ms."""
    item: Item
    on: str                       # what the target turned out to be
    began: int
    ended: int | None = None
    pids: list[int] = field(default_factory=list)  # of those that it froze
    notes: list[str] = field(default_factory=list)
    undo: list[Callable[[], None]] = field(default_factory=list)


class Daemon:
    """Starts a member's daemon as systemd would: again a second after it has ended, whatever the reason."""

    def __init__(self, member: Member, say: Callable[[str], None]) -> None:
        self.member = member
        self.wanted = True
        self.gave_up = ""   # why systemd would not start it any more
        self.exits: dict[int, int] = {}
        self.closers: list[subprocess.Popen[bytes]] = []  # --close-session under way
        self._say = say
        self._start_at: int | None = boot_ms()

    def tend(self) -> None:
        """Call often."""
        process = self.member.process
        if process is not None and process.poll() is None:
            self._start_at = None
            return
        if self._start_at is None:
            assert process is not None
            status = process.returncode
            self.exits[status] = self.exits.get(status, 0) + 1
            self._start_at = boot_ms() + int(RESTART_S * 1000)
            self._say(f"{self.member.name}: the daemon {process.pid} has ended with status {status}")
            if status in (64, 78):
                self.gave_up = f"{self.member.name}: exit status {status}, systemd would not start it again"
        self.closers = [closer for closer in self.closers if closer.poll() is None]
        if self.wanted and not self.closers and boot_ms() >= self._start_at:
            self.member.start()
            self._start_at = None

    def close_session(self) -> None:
        """What ExecStopPost does."""
        with open(self.member.log_path, "ab") as log:
            argv = [*self.member.wrapper, program("livy-ha"), "-c", self.member.conf_path, "--close-session"]
            self.closers.append(spawn(argv, self.member.env, log, cwd=self.member.directory))


class Faults:
    def __init__(self, bed: Bed, cluster: Cluster, say: Callable[[str], None]) -> None:
        self.bed = bed
        self.cluster = cluster
        self.daemons = {member.name: Daemon(member, say) for member in cluster.members}
        self.made: list[Made] = []
        self._spaces = {os.readlink(f"/proc/self/ns/net"): ""}
        for host in bed.network.hosts:
            inode = os.stat(f"/run/netns/{host.name}").st_ino
            self._spaces[f"net:[{inode}]"] = host.name
        self._frozen: dict[tuple[int, int], set[int]] = {}  # pid and its start: numbers of the items
        self._rules: dict[int, list[tuple[Party, str]]] = {}
        self._down: dict[int, set[int]] = {server.number: set() for server in bed.servers}
        self._away: dict[str, set[int]] = {member.name: set() for member in cluster.members}
        self._exiting: dict[str, set[int]] = {member.name: set() for member in cluster.members}
        self._leader = bed.servers[0]
        self._threads: list[threading.Thread] = []

    # ---- who is who ---------------------------------------------------------------------------------------------

    def processes(self) -> dict[str, dict[int, str]]:
        """For each host, its processes' pids and programs, whoever their parents are; "" is the test's own place."""
        found: dict[str, dict[int, str]] = {name: {} for name in self._spaces.values()}
        for pid in proc.all_pids():
            try:
                space = self._spaces.get(os.readlink(f"/proc/{pid}/ns/net"), "")
            except OSError:
                continue
            if proc.alive(pid):
                found[space][pid] = os.path.basename(proc.executable(pid))
        return found

    def _of(self, member: Member, name: str) -> list[int]:
        return [pid for pid, what in self.processes()[member.name].items() if what == name]

    def _elector(self, member: Member) -> list[int]:
        """The keeper's own; one that a dead keeper has left, where there is no other."""
        electors = self._of(member, ELECTOR)
        own = [pid for pid in electors if member.process is not None and proc.parent(pid) == member.pid]
        return own or electors

    def active(self) -> Member:
        """Whose Livy lives now, or lived last."""
        present = self.processes()
        for member in self.cluster.members:
            if LIVY in present[member.name].values():
                return member
        lives = self.cluster.oracle.lives()
        return self.cluster[lives[-1].name] if lives else self.cluster.members[0]

    def _member(self, target: str) -> Member:
        active = self.active()
        if target == "active":
            return active
        if target.startswith("standby-"):
            return [member for member in self.cluster.members if member is not active][int(target[-1]) - 1]
        return self.cluster[target]

    def mode(self, server: Server) -> str:
        if self._down[server.number] or not server.running():
            return ""
        lines = server.ask("srvr", _ASK_S).splitlines()
        return next((line[6:].strip() for line in lines if line.startswith("Mode: ")), "")

    def _server(self, target: str, member: Member | None = None) -> Server:
        if target.startswith("zk"):
            return self.bed.servers[int(target[2:]) - 1]
        if target == "connected":
            found = self.bed.connected_server(member or self.active())
            return found or self._server("leader")
        self._leader = next((server for server in self.bed.servers if self.mode(server) == "leader"), self._leader)
        if target == "leader":
            return self._leader
        return [server for server in self.bed.servers if server is not self._leader][int(target[-1]) - 1]

    # ---- making and undoing ---------------------------------------------------------------------------------------

    def begin(self, item: Item) -> Made:
        made = Made(item, "", boot_ms())
        self.made.append(made)
        getattr(self, "_" + item.name.replace("-", "_"))(made)
        if not item.seconds:
            made.ended = made.began
        return made

    def end(self, made: Made) -> None:
        if made.ended is None:
            made.ended = boot_ms()
        while made.undo:
            made.undo.pop()()

    def end_all(self) -> None:
        for made in self.made:
            self.end(made)
        for thread in self._threads:
            thread.join(10)
        self._threads.clear()

    def under_way(self) -> list[Made]:
        return [made for made in self.made if made.ended is None]

    # ---- processes ------------------------------------------------------------------------------------------------

    def _kill(self, made: Made, member: Member, pids: list[int]) -> None:
        made.on = f"{member.name} {' '.join(map(str, pids)) or '(no such process)'}"
        for pid in pids:
            proc.send(pid, signal.SIGKILL)

    def _kill_keeper(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._kill(made, member, [member.pid] if member.running() else [])

    def _kill_elector(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._kill(made, member, self._elector(member))

    def _kill_livy(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._kill(made, member, self._of(member, LIVY))

    def _all_of(self, member: Member) -> list[int]:
        """The keeper first."""
        pids = list(self.processes()[member.name])
        return sorted(pids, key=lambda pid: (member.process is None or pid != member.pid, pid))

    def _kill_unit(self, made: Made) -> None:
        """KillMode=mixed: once the main process is gone, the rest; then ExecStopPost."""
        member = self._member(made.item.target)
        self._kill(made, member, self._all_of(member))
        self.daemons[member.name].close_session()

    def _kill_member(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._hold_back(made, member)
        self._kill(made, member, self._all_of(member))

    def _hold_back(self, made: Made, member: Member) -> None:
        """The daemon is not started again before the fault ends."""
        away = self._away[member.name]
        away.add(made.item.number)
        self.daemons[member.name].wanted = False

        def undo() -> None:
            away.discard(made.item.number)
            self.daemons[member.name].wanted = not away
        made.undo.append(undo)

    def _term(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._hold_back(made, member)
        made.on = member.name
        if member.running():
            member.stop_begin()
        else:
            made.on += " (not running)"

    def _freeze(self, made: Made, pids: list[int]) -> None:
        """Several faults may freeze one process: it stays so until the last one of them has ended. The first of `pids`
        is frozen last and continued first."""
        keys = [(pid, proc.start_ticks(pid)) for pid in pids]
        made.pids = pids
        for pid, start in reversed(keys):
            self._frozen.setdefault((pid, start), set()).add(made.item.number)
            proc.send(pid, signal.SIGSTOP)

        def undo() -> None:
            for key in keys:
                holders = self._frozen.get(key, set())
                holders.discard(made.item.number)
                if not holders:
                    self._frozen.pop(key, None)
                    if proc.start_ticks(key[0]) == key[1]:
                        proc.send(key[0], signal.SIGCONT)
        made.undo.append(undo)

    def _stop(self, made: Made, member: Member, pids: list[int]) -> None:
        made.on = f"{member.name} {' '.join(map(str, pids)) or '(no such process)'}"
        self._freeze(made, pids)

    def _stop_keeper(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._stop(made, member, [member.pid] if member.running() else [])

    def _stop_elector(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._stop(made, member, self._elector(member))

    def _stop_livy(self, made: Made) -> None:
        member = self._member(made.item.target)
        self._stop(made, member, self._of(member, LIVY))

    def _stop_member(self, made: Made) -> None:
        """Livy is frozen first and continued last: at no time does it run with both guards frozen."""
        member = self._member(made.item.target)
        present = self.processes()[member.name]
        self._stop(made, member, sorted(present, key=lambda pid: (present[pid] == LIVY, present[pid] == ELECTOR, pid)))

    def _livy_exits(self, made: Made) -> None:
        member = self._member(made.item.target)
        exiting = self._exiting[member.name]
        exiting.add(made.item.number)
        member.set_mode(_EXITS_AFTER)
        pids = self._of(member, LIVY)
        made.on = f"{member.name} {' '.join(map(str, pids))}"
        for pid in pids:
            proc.send(pid, signal.SIGTERM)

        def undo() -> None:
            exiting.discard(made.item.number)
            if not exiting:
                member.set_mode("")
        made.undo.append(undo)

    # ---- network ----------------------------------------------------------------------------------------------------

    def _apply(self, parties: list[Party]) -> None:
        for party in parties:
            rules = [rule for held in self._rules.values() for host, rule in held if host is party]
            self.bed.host(party).filter(["-F INPUT", *rules])

    def _block(self, made: Made, rules: list[tuple[Party, str]]) -> None:
        """Rules by the party at which packets arrive."""
        parties = list({id(party): party for party, _rule in rules}.values())
        self._rules[made.item.number] = rules
        self._apply(parties)

        def undo() -> None:
            self._rules.pop(made.item.number, None)
            self._apply(parties)
        made.undo.append(undo)

    def _drop(self, at: Party, sender: Party) -> tuple[Party, str]:
        return at, f"-A INPUT -s {self.bed.host(sender).address} -j DROP"

    def _cut(self, made: Made, ways: str) -> None:
        """`ways`: "in", "out" or both, seen from the member."""
        member = self._member(made.item.target)
        servers = [self._server(made.item.server, member)] if made.item.server else self.bed.servers
        made.on = f"{member.name} from {' '.join(f'zk{server.number}' for server in servers)}"
        rules = [self._drop(member, server) for server in servers] if "in" in ways else []
        rules += [self._drop(server, member) for server in servers] if "out" in ways else []
        self._block(made, rules)

    def _cut_all(self, made: Made) -> None:
        self._cut(made, "in out")

    def _cut_all_in(self, made: Made) -> None:
        self._cut(made, "in")

    def _cut_all_out(self, made: Made) -> None:
        self._cut(made, "out")

    _cut_one, _cut_one_in, _cut_one_out = _cut_all, _cut_all_in, _cut_all_out

    def _refuse_all(self, made: Made) -> None:
        member = self._member(made.item.target)
        made.on = member.name
        rule = f"-A INPUT -s {self.bed.host(member).address} -p tcp -j REJECT --reject-with tcp-reset"
        self._block(made, [(server, rule) for server in self.bed.servers])

    def _cut_servers(self, made: Made) -> None:
        leader, follower = self._server("leader"), self._server(made.item.target)
        made.on = f"zk{follower.number} from zk{leader.number}"
        self._block(made, [self._drop(leader, follower), self._drop(follower, leader)])

    # ---- ZooKeeper --------------------------------------------------------------------------------------------------

    def _take_down(self, made: Made, servers: list[Server], kill: bool) -> None:
        """Killed and started again, or frozen and continued, once the last fault that holds it down has ended."""
        made.on = " ".join(f"zk{server.number}" for server in servers)
        for server in servers:
            self._down[server.number].add(made.item.number)
            if kill:
                server.kill()
            elif server.running():
                proc.send(server.pid, signal.SIGSTOP)

        def undo() -> None:
            for server in servers:
                self._down[server.number].discard(made.item.number)
                if self._down[server.number]:
                    continue
                if server.running():
                    server.resume()
                else:
                    server.start()
        made.undo.append(undo)

    def _server_kill(self, made: Made) -> None:
        self._take_down(made, [self._server(made.item.target)], kill=True)

    def _server_stop(self, made: Made) -> None:
        self._take_down(made, [self._server(made.item.target)], kill=False)

    def _ensemble_restart(self, made: Made) -> None:
        self._take_down(made, self.bed.servers, kill=True)

    def _ensemble_stop(self, made: Made) -> None:
        self._take_down(made, self.bed.servers, kill=False)

    def _latch_delete(self, made: Made) -> None:
        """By a client that may have to wait: in a thread, and given up after a second."""
        member = self._member(made.item.target)
        made.on = member.name
        latch = f"{self.cluster.root}/leader"
        client = self.cluster.zk

        def work() -> None:
            try:
                for node in client.get_children_async(latch).get(timeout=_CLIENT_S):
                    path = f"{latch}/{node}"
                    if client.get_async(path).get(timeout=_CLIENT_S)[0].decode() == member.name:
                        client.delete_async(path).get(timeout=_CLIENT_S)
                        made.notes.append(f"deleted {node} by {boot_ms()}")
                        return
                made.notes.append("no latch node of its")
            except Exception as error:  # kazoo's time-outs are of several families
                made.notes.append(f"not done: {type(error).__name__}")
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()
