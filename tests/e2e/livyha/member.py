"""One livy-ha daemon: its files, its processes, its control command."""
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from . import proc
from .build import program, sanitizer_environment, sanitizer_report, standin
from .conffile import Settings, render
from .oracle import Life, Oracle
from .ports import free_port
from .wait import spawn, tail, wait_for

_T = TypeVar("_T")
_NOT_LIVY = {"livy-ha", "livy-ha-elector", "livy-ha-relay", ""}


@dataclass(frozen=True)
class CtlResult:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"livy-ha-ctl printed no JSON ({error}): exit {self.code}\nstdout: {self.out}\n"
                                 f"stderr: {self.err}") from None


class Member:
    """A member named `name` whose files are in `directory`; `oracle_dir` is the cluster's, for the life files."""

    def __init__(self, name: str, directory: str, hosts: str, root: str, oracle_dir: str,
                 settings: Mapping[str, Any] | None = None, store_prefix: str = "livy", fronts: bool = False) -> None:
        self.name = name
        self.directory = directory
        self.oracle = Oracle(oracle_dir)
        self.port = free_port()
        self.home = os.path.join(directory, "livy")
        self.runtime_dir = os.path.join(directory, "run")
        self.conf_path = os.path.join(directory, "livy-ha.conf")
        self.log_path = os.path.join(directory, "livy-ha.log")
        self.socket = os.path.join(self.runtime_dir, "control.sock")
        self.process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1"  # where its ports are reached from the test
        self.wrapper: list[str] = []  # a command to run livy-ha under, ["unshare", …]
        self.daemon = ""  # another livy-ha than the build's, with others beside it
        self.listens = True  # its relay is one that opens ports
        self.front_port = free_port() if fronts else 0
        self.admin_port = free_port() if fronts else 0
        front = {"front.listen": f"127.0.0.1:{self.front_port}", "front.advertise": self.front_url,
                 "admin.listen": f"127.0.0.1:{self.admin_port}"} if fronts else {}
        self.settings: Settings = {
            "id": name, "runtime_dir": self.runtime_dir, "log.level": "debug", "log.format": "text",
            "zookeeper.hosts": hosts, "zookeeper.root": root, "zookeeper.session_timeout": "4s",
            "zookeeper.tick": "500ms", "livy.home": self.home, "livy.command": standin(), "livy.port": self.port,
            "livy.kill_margin": "500ms", "front.listen": "off", "admin.listen": "off", **front, **(settings or {}),
        }
        self.env: dict[str, str] = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": directory, "LANG": "C.UTF-8",
            "SPARK_HOME": os.path.join(directory, "spark"), "STANDIN_DIR": oracle_dir, "STANDIN_NAME": name,
            **sanitizer_environment(),
        }
        self._seen: set[int] = set()  # pids of children, to be ended in destroy()
        self._make_files(store_prefix)

    @property
    def front_url(self) -> str:
        return f"http://127.0.0.1:{self.front_port}"

    def _make_files(self, store_prefix: str) -> None:
        for folder in ("conf", "logs", "bin"):
            os.makedirs(os.path.join(self.home, folder), exist_ok=True)
        os.makedirs(self.env["SPARK_HOME"], exist_ok=True)
        self.write_livy_conf("livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n"
                             f"livy.server.recovery.zk-state-store.key-prefix = {store_prefix}\n")
        self.write_conf()

    def write_conf(self) -> None:
        with open(self.conf_path, "w", encoding="utf-8") as file:
            file.write(render(self.settings))

    def write_livy_conf(self, text: str, name: str = "livy.conf") -> None:
        with open(os.path.join(self.home, "conf", name), "w", encoding="utf-8") as file:
            file.write(text)

    def set_mode(self, mode: str) -> None:
        """How the stand-in behaves from its next start on; see standin.c."""
        path = os.path.join(self.oracle.directory, f"{self.name}.mode")
        with open(path + ".part", "w", encoding="ascii") as file:
            file.write(mode)
        os.rename(path + ".part", path)

    # ---- processes ----------------------------------------------------------------------------------------

    def start(self, extra_env: Mapping[str, str] | None = None) -> "Member":
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        argv = [*self.wrapper, self.daemon or program("livy-ha"), "-c", self.conf_path]
        with open(self.log_path, "ab") as log:
            self.process = spawn(argv, {**self.env, **(extra_env or {})}, log, cwd=self.directory)
        return self

    @property
    def pid(self) -> int:
        """The keeper's."""
        assert self.process is not None, f"{self.name} has not been started"
        return self.process.pid

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def child(self, name: str) -> int | None:
        """The keeper's child that runs the program `name`."""
        if self.process is None:
            return None
        for pid in proc.children(self.pid):
            if os.path.basename(proc.executable(pid)) == name and proc.alive(pid):
                self._seen.add(pid)
                return pid
        return None

    def elector(self) -> int | None:
        return self.child("livy-ha-elector")

    def wait_elector(self, other_than: int | None = None, timeout: float = 15) -> int:
        def found() -> int | None:
            pid = self.elector()
            return pid if pid != other_than else None
        return self.wait(found, timeout, "an elector runs")

    def relay(self) -> int | None:
        return self.child("livy-ha-relay")

    def wait_relay(self, other_than: int | None = None, timeout: float = 15) -> int:
        def found() -> int | None:
            pid = self.relay()
            return pid if pid != other_than else None
        return self.wait(found, timeout, "a relay runs")

    def livy(self) -> Life | None:
        """The stand-in of this member that is alive now."""
        for life in reversed(self.oracle.lives()):
            if life.name == self.name and proc.alive(life.pid) and not life.exit_kind:
                self._seen.add(life.pid)
                return life
        return None

    def held(self) -> Life | None:
        """The stand-in of this member that stands at the gate now."""
        for life in reversed(self.oracle.held(self.name)):
            if life.held and proc.alive(life.pid) and not life.exit_kind:
                self._seen.add(life.pid)
                return life
        return None

    def wait_held(self, timeout: float = 30, other_than: Life | None = None) -> Life:
        def found() -> Life | None:
            life = self.held()
            return life if life and (other_than is None or life.path != other_than.path) else None
        return self.wait(found, timeout, "a Livy is held")

    def serving(self) -> Life | None:
        life = self.livy()
        return life if life and life.serving else None

    def wait_serving(self, timeout: float = 30, other_than: Life | None = None) -> Life:
        def found() -> Life | None:
            life = self.serving()
            return life if life and (other_than is None or life.path != other_than.path) else None
        return self.wait(found, timeout, "the member's Livy serves")

    def wait_listening(self, timeout: float = 15) -> None:
        """Until its front and its admin port are there, where it has them."""
        ports = {int(port) for key in ("front.listen", "admin.listen") if self.listens
                 and (port := str(self.settings[key]).rpartition(":")[2]).isdigit()}
        self.wait(lambda: ports <= proc.listened_ports(self.pid), timeout, f"the ports {ports} are listened on")

    def wait_gone(self, pid: int, timeout: float = 15, what: str = "") -> None:
        self.wait(lambda: not proc.alive(pid), timeout, f"process {pid} {what} is gone")

    def signal(self, number: int) -> None:
        proc.send(self.pid, number)

    def kill(self) -> None:
        """kill -9 of the keeper."""
        self.elector()
        self.signal(signal.SIGKILL)
        self.wait_exit(10)

    def stop_begin(self) -> None:
        self.signal(signal.SIGTERM)

    def wait_exit(self, timeout: float = 30) -> int:
        """The keeper's exit status; negative: the signal that ended it."""
        assert self.process is not None
        process = self.process
        self.wait(lambda: process.poll() is not None, timeout, "the daemon exits")
        return process.returncode

    def stop(self, timeout: float = 30) -> int:
        self.stop_begin()
        return self.wait_exit(timeout)

    def pause_process(self, pid: int) -> None:
        proc.send(pid, signal.SIGSTOP)
        self.wait(lambda: proc.stopped(pid) or not proc.alive(pid), 10, f"process {pid} is stopped")

    def destroy(self) -> None:
        """Ends whatever the member has left, without ceremony."""
        if self.process is not None:
            self.elector()
            self.livy()
            descendants = proc.descendants(self.pid)
            proc.send(self.pid, signal.SIGCONT)
            if self.running():
                self.signal(signal.SIGKILL)
                self.process.wait(10)
            for pid in {*self._seen, *descendants}:
                for name in ("livy-ha", "livy-ha-elector", "livy-ha-relay", "standin"):
                    proc.kill_if(pid, name)
        for life in self.oracle.records():
            if life.name == self.name:
                proc.kill_if(life.pid, "standin")

    # ---- what it says -------------------------------------------------------------------------------------

    def ctl(self, *arguments: str, timeout: str = "20s", as_json: bool = True) -> CtlResult:
        argv = [program("livy-ha-ctl"), "-s", self.socket, "--timeout", timeout, *arguments]
        if as_json:
            argv.insert(1, "--json")
        done = subprocess.run(argv, env={**self.env}, capture_output=True, text=True, timeout=120, check=False)
        return CtlResult(done.returncode, done.stdout, done.stderr)

    def status(self) -> dict[str, Any] | None:
        """The cluster as this member tells it, None while it cannot be asked. 3: no active Livy, still told."""
        result = self.ctl("status", timeout="5s")
        return result.json if result.code in (0, 3) and result.out.strip() else None

    def row(self, name: str | None = None) -> dict[str, Any]:
        """What this member says of itself, or of `name`; {} where it says nothing."""
        status = self.status() or {}
        rows = [row for row in status.get("members", []) if row.get("id") == (name or self.name)]
        return rows[0] if rows else {}

    def wait_role(self, role: str, timeout: float = 30) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            row = self.row()
            return row if row.get("role") == role else None
        return self.wait(found, timeout, f"the member's role is {role}")

    def wait_lease_renewed(self) -> None:
        """Until what is left of its lease has gone up."""
        seen: list[int] = []

        def renewed() -> bool:
            seen.append(int(self.row().get("lease_left_ms") or 0))
            return any(later > earlier for earlier, later in zip(seen, seen[1:], strict=False))
        self.wait(renewed, 10, f"the lease is renewed: {seen}")

    def http_version(self) -> int:
        """The status of GET /version at Livy's port."""
        with urllib.request.urlopen(f"http://{self.address}:{self.port}/version", timeout=5) as answer:
            return int(answer.status)

    def log(self) -> str:
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, *texts: str, timeout: float = 15, after: int = 0) -> None:
        """Until one line of the log, from offset `after` on, contains all texts, case ignored."""
        def found() -> bool:
            return any(all(text.lower() in line.lower() for text in texts) for line in self.log()[after:].splitlines())
        self.wait(found, timeout, f"the log says {' … '.join(texts)}")

    def wait(self, condition: Callable[[], _T | None], timeout: float, what: str) -> _T:
        return wait_for(condition, timeout, f"{self.name}: {what}", self.failure_text)

    def failure_text(self) -> str:
        return (f"--- {self.name}: {'running' if self.running() else 'not running'}; its log ends\n"
                f"{tail(self.log_path)}\n--- lives\n{self.oracle.describe()}")

    def sanitizer_report(self) -> str:
        return sanitizer_report(self.log())
