"""The show of tests/demo: a real ZooKeeper, two members with a real Livy each, and the active one killed.

    demo.py --dir DIR --cache CACHE [--keep] [--yarn]        (tests/demo calls it; everything is built and fetched)

What is told here is seen from outside: processes by pidfd, ports by /proc, Livy by its HTTP answers; only the
instant of the election is livy-ha's own word, from its history. Exit status 0 only where the fail-over happened.
"""
import argparse
import datetime
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

import homes
from realmember import RealMember, listens
from yarn import Yarn
from yarnconf import write_livy_conf

# pylint: disable=wrong-import-position,wrong-import-order
from livyha import proc  # noqa: E402  (realmember has made it importable)
from livyha.build import ROOT, program
from livyha.wait import tail
from livyha.zookeeper import Ensemble

START_LIMIT_S = 120  # the first start reads 400 MB from a disk that may be slow
SOCKET_PATH_MAX = 107
INDENT = "      "


class Failed(Exception):
    """What went wrong, for a person."""


# ---- how it looks -----------------------------------------------------------------------------------------------

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text: str = "") -> None:
    print(INDENT + text if text else "", flush=True)


def title(text: str) -> None:
    print("\n" + paint("1", text), flush=True)


def shown(path: str) -> str:
    """As short as it can be typed from the root of the tree, where the demo runs."""
    relative = os.path.relpath(path, os.getcwd())
    return path if relative.startswith("..") else relative


def run_shown(*argv: str) -> subprocess.CompletedProcess:
    """Runs a command of livy-ha and shows it with its output, as if typed."""
    say()
    say(paint("2", "$ ") + paint("1", " ".join(shown(a) if a.startswith("/") else a for a in argv)))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False,
                          env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "110"})
    for line in (done.stdout + done.stderr).splitlines():
        say(line)
    return done


def show_version(member: RealMember) -> None:
    """Asks Livy itself, and looks whose process it is that answers."""
    answer, pid = member.version(), member.java()
    if answer is None or pid is None or not listens(pid, member.port):
        raise Failed(f"{member.name}'s Livy does not answer on port {member.port}")
    say()
    say(f"GET http://127.0.0.1:{member.port}/version")
    say(f"Livy {answer.get('version')}, {answer.get('branch')}, revision {answer.get('revision', '')[:10]} "
        f"(answered by {member.name}'s Java, pid {pid})")


# ---- the cluster ------------------------------------------------------------------------------------------------

@dataclass
class Show:
    directory: str
    zookeeper: Ensemble
    members: list[RealMember] = field(default_factory=list)
    yarn: Yarn | None = None

    def ctl(self, member: RealMember, *command: str) -> subprocess.CompletedProcess:
        return run_shown(program("livy-ha-ctl"), "-s", member.socket, *command)

    def check_alive(self, members: list[RealMember]) -> None:
        for member in members:
            if not member.running():
                raise Failed(f"{member.name} ended by itself, exit status {member.process.returncode}")

    def wait(self, condition, members: list[RealMember], what: str, seconds: float = START_LIMIT_S):
        """Polls until condition() is true; each of `members` has to stay alive meanwhile."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            self.check_alive(members)
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {seconds:g} s")
            time.sleep(0.05)
        return value


def start_zookeeper(show: Show) -> None:
    show.zookeeper.start()
    server = show.zookeeper.servers[0]
    version = server.ask("srvr").partition("version: ")[2].partition("-")[0]
    say(f"ZooKeeper {version} on {server.address} (pid {server.pid})")


def start_yarn(show: Show) -> None:
    assert show.yarn
    begin = time.monotonic()
    show.yarn.start()
    say(f"YARN {homes.yarn_version(show.yarn.cache)}, one node, on {show.yarn.address}, ready after "
        f"{time.monotonic() - begin:.1f} s")


def settings_of(show: Show, name: str) -> dict[str, str]:
    """Of a member: what differs from the defaults."""
    if show.yarn is None:
        return {}
    return {"livy.conf_dir": write_livy_conf(os.path.join(show.directory, name, "conf"), show.yarn, show.yarn.cache,
                                             extra="livy.server.host = 127.0.0.1\n")}


def serves(member: RealMember) -> bool:
    row = member.row()
    return row.get("role") == "active" and row.get("livy") == "serving"


def start_members(show: Show, cache: str) -> None:
    for name in ("livy-a", "livy-b"):
        member = RealMember(name, os.path.join(show.directory, name), show.zookeeper.hosts, cache,
                            settings_of(show, name))
        if len(member.socket.encode()) > SOCKET_PATH_MAX:
            raise Failed(f"{member.socket} is too long for a socket; name a shorter directory with --dir")
        show.members.append(member)
    first, second = show.members
    begin = time.monotonic()
    first.start()
    say(f"{first.name} started (pid {first.pid}), configured by {shown(first.conf_path)}")
    # The second comes once the first is elected, so that the tale is the same each time.
    show.wait(lambda: first.row().get("role") == "active", [first], f"{first.name} is elected")
    second.start()
    say(f"{second.name} started (pid {second.pid}), configured by {shown(second.conf_path)}")
    show.wait(lambda: serves(first), [first, second], f"{first.name}'s Livy serves")
    say(f"{first.name}'s Livy answers, {time.monotonic() - begin:.1f} s after {first.name} was started")
    show.wait(lambda: second.row().get("role") == "standby", [first, second], f"{second.name} stands by")
    if second.row()["held"] is None:
        return
    show.wait(lambda: second.row()["livy"] == "held", [first, second], f"{second.name} holds a Livy")
    say(f"{second.name} has loaded a Livy too, pid {second.java()}, and holds it at the gate: it reads nothing and listens nowhere")


@dataclass(frozen=True)
class Batch:
    number: int
    application: str | None  # in YARN, where there is one


def leave_batch(show: Show, member: RealMember) -> Batch:
    body: dict[str, object] = {"file": "local:/demo/job.py", "name": "demo"}
    if show.yarn:
        body = {"file": f"local:{homes.programs(show.yarn.cache)}/job.jar", "className": "SleepJob", "args": ["3600"],
                "name": "demo"}
    made = member.ask("POST", "/batches", body)
    say()
    say(f"POST http://127.0.0.1:{member.port}/batches")
    if show.yarn:
        return wait_running(show, member, made["id"])
    # There is no YARN here that could run it, but Livy keeps a record of it all the same.
    say(f"Livy has put batch {made['id']}, \"{made['name']}\", on record in ZooKeeper (no YARN here will run it)")
    # Else Livy's spark-submit, two seconds of a busy Java, would take part in the timeline.
    show.wait(lambda: not any(proc.alive(pid) for pid in proc.descendants(member.java())), [member],
              "Livy's spark-submit ends")
    return Batch(made["id"], None)


def wait_running(show: Show, member: RealMember, number: int) -> Batch:
    begin = time.monotonic()

    def running() -> dict | None:
        batch = member.ask("GET", f"/batches/{number}")
        if batch["state"] in ("dead", "error", "killed", "success"):
            raise Failed(f"{member.name}'s Livy says of batch {number}: {batch['state']}; YARN's log: {shown(show.yarn.log_path)}")
        return batch if batch["state"] == "running" and batch["appId"] else None
    batch = show.wait(running, [member], f"batch {number} runs on YARN")
    say(f"batch {number}, \"{batch['name']}\", runs on YARN as {batch['appId']}, after {time.monotonic() - begin:.1f} s")
    return Batch(number, batch["appId"])


def find_batch(show: Show, member: RealMember, batch: Batch, since: float) -> None:
    say(f"GET http://127.0.0.1:{member.port}/batches/{batch.number}")
    try:
        found = member.ask("GET", f"/batches/{batch.number}")
    except OSError as error:
        raise Failed(f"{member.name}'s Livy does not know batch {batch.number}: {error}") from error
    if found["name"] != "demo":
        raise Failed(f"{member.name}'s Livy has another batch {batch.number}: {found}")
    if batch.application is None:
        say(f"{member.name}'s Livy knows batch {batch.number}, \"{found['name']}\": {found['state']}")
        return

    def same() -> bool:
        now = member.ask("GET", f"/batches/{batch.number}")
        return (now["state"], now["appId"]) == ("running", batch.application)
    show.wait(same, [member], f"{member.name}'s Livy knows batch {batch.number} as running")
    say(f"{member.name}'s Livy knows batch {batch.number}, \"{found['name']}\": running, {batch.application} "
        f"(at the latest {time.monotonic() - since:.1f} s after the kill)")


def delete_batch(show: Show, member: RealMember, batch: Batch) -> None:
    """The new Livy does not only know it, it has it in hand."""
    assert show.yarn and batch.application
    say()
    say(f"DELETE http://127.0.0.1:{member.port}/batches/{batch.number}")
    if show.yarn.state(batch.application) != "RUNNING":
        raise Failed(f"YARN says of {batch.application}: {show.yarn.state(batch.application)}, expected: RUNNING")
    member.ask("DELETE", f"/batches/{batch.number}")
    show.wait(lambda: show.yarn.state(batch.application) == "KILLED", [member], f"YARN ends {batch.application}", 30)
    say(f"YARN says of {batch.application}: KILLED")


# ---- the fail-over ----------------------------------------------------------------------------------------------

@dataclass
class Victim:
    """What has to die, held by pidfd so that a pid taken again cannot deceive."""
    keeper: int
    livy: int
    keeper_fd: int
    livy_fd: int


def aim(member: RealMember) -> Victim:
    livy = member.java()
    if livy is None or not listens(livy, member.port):
        raise Failed(f"{member.name} says that its Livy serves, but no Java of its own listens on port {member.port}")
    member.note_processes()
    return Victim(member.pid, livy, os.pidfd_open(member.pid), os.pidfd_open(livy))


def dead(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def connects(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Seen:
    """Instants on time.monotonic(), None: not yet."""
    kill: float
    wall: datetime.datetime
    keeper_dead: float | None = None
    livy_dead: float | None = None
    forked: float | None = None
    java: float | None = None
    answered: float | None = None
    livy_pid: int = 0
    held: bool = False  # the heir's Livy was there before, at the gate


def look(seen: Seen, victim: Victim, heir: RealMember, before: set[int]) -> None:
    """One look at everything. The heir's children and its port come first: a new child, or a Livy that listens, while the
    old Livy is still alive afterwards would be two Livys at once, whatever the pace of this loop."""
    listening = connects(heir.port)
    if listening and not dead(victim.livy_fd):
        raise Failed(f"{heir.name}'s Livy listens while the old one, pid {victim.livy}, lives")
    if seen.forked is None and not seen.held:
        fresh = [pid for pid in proc.children(heir.pid) if pid not in before]
        if fresh:
            seen.forked, seen.livy_pid = time.monotonic(), fresh[0]
            if not dead(victim.livy_fd):
                raise Failed(f"{heir.name} started a Livy, pid {fresh[0]}, while the old one, pid {victim.livy}, lives")
    if seen.keeper_dead is None and dead(victim.keeper_fd):
        seen.keeper_dead = time.monotonic()
    if seen.livy_dead is None and dead(victim.livy_fd):
        seen.livy_dead = time.monotonic()
    if seen.java is None and seen.forked and os.path.basename(proc.executable(seen.livy_pid)) == "java":
        seen.java = time.monotonic()
    if (seen.java or seen.held) and listening and heir.version(timeout=30) is not None:
        seen.answered = time.monotonic()


def watch_failover(show: Show, victim: Victim, heir: RealMember) -> Seen:
    before = set(proc.children(heir.pid))
    wall = datetime.datetime.now(datetime.timezone.utc)
    held = heir.java()  # a cold standby has none
    seen = Seen(time.monotonic(), wall, livy_pid=held or 0, held=held is not None)
    os.kill(victim.keeper, signal.SIGKILL)
    while seen.answered is None:
        look(seen, victim, heir, before)
        show.check_alive([heir])
        if time.monotonic() - seen.kill > START_LIMIT_S:
            raise Failed(f"{heir.name}'s Livy did not answer within {START_LIMIT_S} s of the kill")
        time.sleep(0.005 if seen.java else 0.001)
    return seen


def elected_at(heir: RealMember, seen: Seen) -> float:
    """Milliseconds from the kill to the heir's election, from its history."""
    events = heir.ctl("history").json
    events = events.get("history", []) if isinstance(events, dict) else events
    for event in reversed(events):
        at = datetime.datetime.fromisoformat(event["at"].replace("Z", "+00:00"))
        after = (at - seen.wall).total_seconds() * 1000
        if event["event"] == "elected" and event["member"] == heir.name and after > -1:  # whole milliseconds there
            return max(0.0, after)
    raise Failed(f"the history of {heir.name} does not tell of its election")


def print_timeline(show: Show, victim: Victim, heir: RealMember, seen: Seen) -> None:
    old = next(member for member in show.members if member is not heir)
    since = lambda instant: (instant - seen.kill) * 1000  # noqa: E731
    rows = [
        (0.0, f"kill -9 of {old.name}'s livy-ha, pid {victim.keeper}"),
        (since(seen.keeper_dead), f"{old.name}'s livy-ha is dead"),
        (since(seen.livy_dead), f"{old.name}'s Livy is dead, pid {victim.livy}"),
        (elected_at(heir, seen), f"{heir.name} is elected" + (f", and lets its Livy go, pid {seen.livy_pid}" if seen.held else "")),
        *([] if seen.held else [(since(seen.forked), f"{heir.name} starts its Livy, pid {seen.livy_pid}"),
                                (since(seen.java), "which has become the Java program")]),
        (since(seen.answered), f"and answers on port {heir.port}: the service is back"),
    ]
    say(paint("1", f"{'ms since the kill':>18}   what happened"))
    for at, text in sorted(rows, key=lambda row: row[0]):
        last, line = text == rows[-1][1], f"{at:18,.1f}   {text}"
        say(paint("32;1", line) if last else line)


def check_failover(heir: RealMember, victim: Victim, seen: Seen) -> None:
    """The answer came from the heir's own Livy, and livy-ha agrees."""
    row = heir.row()
    if not listens(seen.livy_pid, heir.port):
        raise Failed(f"port {heir.port} answers, but not from pid {seen.livy_pid}, which {heir.name} started")
    if (row.get("role"), row.get("livy"), row.get("livy_pid")) != ("active", "serving", seen.livy_pid):
        raise Failed(f"{heir.name} says of itself {row}, expected: active, serving, livy_pid {seen.livy_pid}")
    if seen.livy_pid == victim.livy:
        raise Failed("the answer came from the old Livy")


def failover(show: Show) -> float:
    """Returns the instant of the kill."""
    old, heir = show.members
    if not serves(old):
        raise Failed(f"{old.name} does not serve any more")
    victim = aim(old)
    seen = watch_failover(show, victim, heir)
    old.process.wait(10)
    show.wait(lambda: serves(heir), [heir], f"{heir.name} says that it serves", 30)
    check_failover(heir, victim, seen)
    print_timeline(show, victim, heir, seen)
    show.wait(lambda: not old.leftovers(), [heir], f"everything of {old.name} is gone", 10)
    return seen.kill


# ---- the end ----------------------------------------------------------------------------------------------------

def keep(show: Show) -> None:
    old, active = show.members
    old.start()
    show.wait(lambda: old.row().get("role") == "standby", show.members, f"{old.name} stands by", 60)
    ctl = shown(program("livy-ha-ctl"))
    title(f"{old.name} is started again, as the standby. Both stay up; talk to them from another terminal:")
    for line in (f"curl http://127.0.0.1:{active.port}/version", f"curl http://127.0.0.1:{active.port}/sessions",
                 f"{ctl} -s {shown(active.socket)} status", f"{ctl} -s {shown(old.socket)} watch",
                 f"{ctl} -s {shown(active.socket)} switchover", f"kill -9 {active.pid}      # {active.name}'s livy-ha",
                 f"tail -f {shown(show.directory)}/livy-*/livy-ha.log"):
        say(line)
    say()
    say(f"Ctrl-C here stops everything; so does: kill {os.getpid()}")
    try:
        while True:
            signal.pause()
    except SystemExit:  # what interrupt() raises: here it is the way to end, not a failure
        title("Stopping ...")


def stop(show: Show, orderly: bool) -> list[int]:
    """Ends all that the show started, by pid; returns what would not die."""
    for member in show.members:
        member.note_processes()
        if orderly and member.running():
            member.stop_begin()
    if orderly:
        for member in show.members:
            if member.running():
                try:
                    member.wait_exit(20)
                except AssertionError:
                    say(f"{member.name} did not stop within 20 s of TERM")
    for member in show.members:
        member.destroy()
    if show.yarn:
        show.yarn.stop()
    show.zookeeper.stop()
    deadline = time.monotonic() + 5
    while (left := [pid for member in show.members for pid in member.leftovers()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def report_failure(show: Show, reason: str) -> None:
    title(paint("31;1", f"The demo failed: {reason}"))
    for member in show.members:
        say()
        say(f"The last lines of {shown(member.log_path)}:")
        for line in tail(member.log_path, 15).splitlines():
            say("  " + line)
    say()
    logs = [f"{shown(show.directory)}/livy-*/livy-ha.log", shown(show.zookeeper.servers[0].log_path)]
    say("All logs are kept: " + ", ".join(logs + ([shown(show.yarn.log_path)] if show.yarn else [])))


def perform(show: Show, arguments: argparse.Namespace) -> None:
    title("A cluster of two, on this host")
    start_zookeeper(show)
    if show.yarn:
        start_yarn(show)
    start_members(show, arguments.cache)
    first, second = show.members
    show.ctl(first, "status")
    show_version(first)
    batch = leave_batch(show, first)
    title(f"kill -9 of {first.name}, the active one")
    killed = failover(show)
    show.ctl(second, "status")
    show_version(second)
    find_batch(show, second, batch, killed)
    if show.yarn:
        delete_batch(show, second, batch)
    show.ctl(second, "history")
    if arguments.keep:
        keep(show)


def prepare_directory(directory: str) -> int:
    """Takes the directory for this run and clears what an earlier one left in it; returns the lock."""
    os.makedirs(directory, exist_ok=True)
    lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"demo: another demo runs in {shown(directory)}; end that one, or name another directory with --dir")
    for name in ("livy-a", "livy-b", "zk1", "yarn"):
        shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
    return lock


def interrupt(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--yarn", action="store_true")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    directory = os.path.abspath(arguments.dir)
    arguments.cache = os.path.abspath(arguments.cache)
    prepare_directory(directory)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    # A tick of 2 s is ZooKeeper's own default, so livy-ha's default session time-out of 10 s is granted.
    show = Show(directory, Ensemble(directory, tick_ms=2000))
    if arguments.yarn:
        show.yarn = Yarn(os.path.join(directory, "yarn"), arguments.cache)
    status, orderly = 1, True
    try:
        perform(show, arguments)
        status = 0
    except (Failed, AssertionError, RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        report_failure(show, str(error))
        orderly = False
    except SystemExit as interrupted:
        status = int(interrupted.code)
        title("Interrupted; stopping everything ...")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        left = stop(show, orderly)
    if left:
        print(f"demo: these processes would not die: {left}", file=sys.stderr)
        return 1
    if status == 0:
        print("\n" + paint("32;1", "Done. ") + f"Everything is stopped; the logs are in {shown(directory)}/.")
    return status


if __name__ == "__main__":
    sys.exit(main())
