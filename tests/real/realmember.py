"""A member whose Livy is a real one: tests/e2e's Member with the Livy and the Spark that tests/real/setup
fetched. Standard library only, so that tests/demo runs with nothing but Python."""
import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homes import HERE, cache_dir, livy_home, spark_home

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

# pylint: disable=wrong-import-position
from livyha import proc  # noqa: E402
from livyha.member import Member  # noqa: E402
from livyha.wait import tail  # noqa: E402

__all__ = ["CONF_DIR", "RealMember", "cache_dir", "listens"]
CONF_DIR = os.path.join(HERE, "conf")
_LISTEN = "0A"  # /proc/net/tcp: TCP_LISTEN


def _reachable_conf(directory: str) -> str:
    """CONF_DIR, but for a Livy that is reached from other members: forwarding to a loopback address is refused."""
    made = Path(directory, "conf")
    shutil.copytree(CONF_DIR, made)
    text = (made / "livy.conf").read_text(encoding="utf-8")
    assert "livy.server.host = 127.0.0.1\n" in text
    (made / "livy.conf").write_text(text.replace("livy.server.host = 127.0.0.1\n", ""), encoding="utf-8")
    return str(made)


def _listening_inodes(pid: int, port: int) -> set[str]:
    """In the network namespace of the process."""
    found = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def listens(pid: int, port: int) -> bool:
    """True where process `pid` holds the socket that listens on `port`."""
    try:
        inodes = _listening_inodes(pid, port)
        names = os.listdir(f"/proc/{pid}/fd") if inodes else []
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") in inodes:
                return True
        except OSError:
            continue
    return False


class RealMember(Member):
    """livy-ha's defaults, but for the paths, the ports and `settings`."""

    def __init__(self, name: str, directory: str, hosts: str, cache: str,
                 settings: Mapping[str, Any] | None = None, fronts: bool = False) -> None:
        for needed in (f"{livy_home(cache)}/bin/livy-server", f"{spark_home(cache)}/bin/spark-submit"):
            if not os.access(needed, os.X_OK):
                raise RuntimeError(f"{needed} is not there: run tests/real/setup first")
        os.makedirs(directory, exist_ok=True)
        self.cache = cache
        self._born: dict[int, int] = {}  # pid -> when it was started, in ticks
        super().__init__(name, directory, hosts, "/livy_ha", directory, {
            "log.level": None, "log.format": None, "zookeeper.root": None, "zookeeper.session_timeout": None,
            "zookeeper.tick": None, "livy.kill_margin": None, "livy.command": None,
            "livy.home": livy_home(cache), "livy.conf_dir": _reachable_conf(directory) if fronts else CONF_DIR,
            "livy.log_dir": os.path.join(directory, "logs"), **(settings or {})}, fronts=fronts)
        self.env = {name: value for name, value in self.env.items() if not name.startswith("STANDIN_")}
        self.env["SPARK_HOME"] = spark_home(cache)
        if "JAVA_HOME" in os.environ:
            self.env["JAVA_HOME"] = os.environ["JAVA_HOME"]

    def _make_files(self, store_prefix: str) -> None:
        self.write_conf()  # Livy's own configuration is CONF_DIR, as it stands

    def java(self) -> int | None:
        """The pid of this member's Livy, None before its launcher has become the JVM."""
        return self.child("java")

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 30) -> Any:
        """One request to Livy's REST interface, JSON both ways. OSError where it fails or is refused."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}:{self.port}{path}", data, method=method, headers={
            "Content-Type": "application/json", "X-Requested-By": "livy-ha"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)

    def version(self, timeout: float = 5) -> dict[str, Any] | None:
        """What GET /version says at Livy's port; None where nobody answers."""
        try:
            return self.ask("GET", "/version", timeout=timeout)
        except (OSError, ValueError):
            return None

    def note_processes(self) -> list[int]:
        """Remembers all that runs under the keeper now, so that destroy() finds it once the keeper is gone."""
        if self.process is None:
            return []
        found = proc.descendants(self.pid)
        self._born.update((pid, proc.start_ticks(pid)) for pid in found)
        self._seen.update(found)
        return found

    def leftovers(self) -> list[int]:
        """Processes noted earlier that are alive though the keeper is not; a pid that was taken again is none."""
        if self.running():
            return []
        return [pid for pid, born in sorted(self._born.items()) if proc.alive(pid) and proc.start_ticks(pid) == born]

    def destroy(self) -> None:
        self.note_processes()
        super().destroy()
        for pid in self.leftovers():
            proc.kill_if(pid, "java")
            proc.kill_if(pid, "dash")

    def failure_text(self) -> str:
        state = "running" if self.running() else "not running"
        return f"--- {self.name}: {state}; its log ends\n{tail(self.log_path)}"
