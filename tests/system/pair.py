"""Two booted systems and a ZooKeeper server, each in a network namespace of its own, and the package that is tested. The
stand-in for Livy is at /opt/livy in both, laid out as Livy is, and writes down when it lived in a directory that both share:
no two lives may overlap, whatever a test is about."""
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

from kazoo.client import KazooClient
from livyha.build import ROOT, standin
from livyha.netns import Network, require
from livyha.oracle import Gap, Life, Oracle
from livyha.wait import wait_for
from livyha.zookeeper import Ensemble, Place
from systems import System

_T = TypeVar("_T")
SHARED = "/srv/shared"
ADMIN, FRONT = 8997, 8998
# As Livy's own bin/livy-server without an argument does: reads livy-env.sh, becomes the server. What that is can be told by
# a file: a Java program in place of the stand-in, or one with a child that takes all the memory there is.
_SERVER = f"""#!/bin/sh
export LIVY_CONF_DIR="${{LIVY_CONF_DIR:-/opt/livy/conf}}"
. "$LIVY_CONF_DIR/livy-env.sh"
case "$(cat {SHARED}/$STANDIN_NAME.kind 2>/dev/null)" in
java) exec java $LIVY_SERVER_JAVA_OPTS -Xmx48m -XX:+UseSerialGC /opt/livy/Server.java ;;
eater) rm {SHARED}/$STANDIN_NAME.kind; tail /dev/zero & ;;
esac
exec /opt/livy/standin "$@"
"""
_CONF = """zookeeper = {{ hosts = "zk1:2181"; }};
livy      = {{ home = "/opt/livy"; {livy} }};
{more}
"""


def _environment(name: str) -> str:
    found = os.environ.get(name)
    assert found, f"{name} is not set: run tests/system/run, which makes what it names"
    return found


class Pair:
    """Systems `a` and `b`, not booted; use as a context manager."""

    def __init__(self, directory: str, count_ms: int = 20) -> None:
        require()
        self.package = _environment("LIVY_HA_TEST_DEB")
        self.count_ms = count_ms  # how often the stand-ins count in Livy's state store
        subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)
        self.directory = directory
        self.shared = os.path.join(directory, "shared")
        os.mkdir(self.shared)
        os.chmod(self.shared, 0o1777)
        with open(os.path.join(self.shared, "store.lock"), "wb") as lock:
            os.chmod(lock.name, 0o666)  # whoever runs Livy there
        self.network = Network(directory)
        zookeeper = self.network.add("zk1", 1)
        place = Place(zookeeper.address, zookeeper.wrapper, 2181, (2888, 3888))
        self.ensemble = Ensemble(os.path.join(directory, "zk"), 1, places=[place])
        lower = _environment("LIVY_HA_TEST_BASE")
        self.a, self.b = (System(self.network.add(name, number), lower, os.path.join(directory, name), self.shared)
                          for name, number in (("a", 11), ("b", 12)))
        self.systems = [self.a, self.b]
        self.oracle = Oracle(self.shared, lambda life: self[life.name].has_process(life.pid))
        self._kazoo: KazooClient | None = None

    def __enter__(self) -> "Pair":
        try:
            self.ensemble.start()
            for system in self.systems:
                self._lay_out_livy(system)
                system.power_on()
            for system in self.systems:
                system.wait_booted()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._kazoo is not None:
            self._kazoo.stop()
            self._kazoo.close()
        for system in self.systems:
            system.destroy()
        self.ensemble.stop()
        self.network.close()
        subprocess.run(["umount", "--lazy", self.directory], check=False)

    def __getitem__(self, name: str) -> System:
        return next(system for system in self.systems if system.name == name)

    def other(self, system: System) -> System:
        return self.b if system is self.a else self.a

    @property
    def zk(self) -> KazooClient:
        if self._kazoo is None:
            self._kazoo = KazooClient(hosts=self.ensemble.hosts, timeout=20)
            self._kazoo.start(timeout=30)
        return self._kazoo

    # ---- what a system gets -----------------------------------------------------------------------------------

    def _lay_out_livy(self, system: System) -> None:
        system.write("/opt/livy/bin/livy-server", _SERVER, 0o755)
        system.write("/opt/livy/conf/livy.conf", "livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n")
        system.write("/opt/livy/conf/livy-env.sh", f"export STANDIN_DIR={SHARED} STANDIN_NAME={system.name} "
                     f"STANDIN_STORE={self.count_ms}\n")
        shutil.copy(standin(), system.path("/opt/livy/standin"))
        shutil.copy(os.path.join(ROOT, "tests", "system", "Server.java"), system.path("/opt/livy/Server.java"))

    def copy_package(self, system: System) -> str:
        """Returns where it is in the system."""
        inside = f"/root/{os.path.basename(self.package)}"
        shutil.copy(self.package, system.path(inside))
        return inside

    def install(self, system: System, inside: str = "") -> str:
        """Returns what apt and the package's scripts said."""
        return system.run("apt-get", "install", "--yes", inside or self.copy_package(system)).out

    def configure(self, system: System, livy: str = "", more: str = "") -> None:
        """With these settings besides what has no default: in the group livy, and others."""
        system.write("/etc/livy-ha/livy-ha.conf", _CONF.format(livy=livy, more=more))
        system.write("/etc/default/livy-ha", "SPARK_HOME=/opt/spark\n")

    def set_mode(self, system: System, mode: str) -> None:
        """How the stand-in behaves from its next start on; see standin.c."""
        self._put(f"{system.name}.mode", mode)

    def set_kind(self, system: System, kind: str) -> None:
        """What the server is from its next start on, "" for the stand-in; see _SERVER."""
        self._put(f"{system.name}.kind", kind)

    def _put(self, name: str, text: str) -> None:
        path = os.path.join(self.shared, name)
        with open(path + ".part", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".part", path)

    # ---- who serves -------------------------------------------------------------------------------------------

    def get(self, system: System, port: int, path: str) -> tuple[int, str]:
        """Status and body as the test, at the hub, sees them; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{system.host.address}:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def row(self, system: System) -> dict[str, Any]:
        """What the member in that system says of itself; {} where it says nothing."""
        status, body = self.get(system, ADMIN, "/cluster")
        rows = json.loads(body)["members"] if status == 200 else []
        return next((dict(row) for row in rows if row["self"]), {})

    def wait_role(self, system: System, role: str, timeout: float = 40) -> None:
        system.wait(lambda: self.row(system).get("role") == role, timeout, f"its role is {role}: {self.row(system)}")

    def life(self, system: System) -> Life | None:
        """Of the stand-in that serves there now."""
        for life in reversed(self.oracle.lives()):
            if life.name == system.name and life.serving and not life.exit_kind and system.has_process(life.pid):
                return life
        return None

    def wait_life(self, system: System, timeout: float = 40, after: Life | None = None) -> Life:
        def found() -> Life | None:
            life = self.life(system)
            return life if life and (after is None or life.first > after.first) else None
        return system.wait(found, timeout, "its Livy serves")

    def active(self) -> System | None:
        return next((system for system in self.systems if self.life(system)), None)

    def settle(self) -> tuple[System, System, Life]:
        """Until one is active and serves and the other one stands by; returns both, and the life of the active one's Livy."""
        for system in self.systems:
            self.set_mode(system, "")
            self.set_kind(system, "")
            if system.show("ActiveState") in ("inactive", "failed"):
                system.run("systemctl", "start", "livy-ha")
        active = self.wait(self.active, 40, "a Livy serves")
        standby = self.other(active)
        self.wait_role(active, "active")
        self.wait_role(standby, "standby")
        return active, standby, self.wait_life(active)

    def wait_handed_over(self, life: Life, to: System, timeout: float = 40) -> Gap:
        """From `life`, which has ended or is about to, to the next one: it has to be in `to`."""
        after = self.wait_life(to, timeout, life)
        before = self.wait(lambda: next((each for each in self.oracle.lives() if each.path == life.path
                                         and not self[life.name].has_process(life.pid)), None), 20, "the old Livy is gone")
        return Gap(before, after)

    def assert_exclusive(self) -> None:
        assert self.oracle.overlap_us() == 0, f"two Livys at once:\n{self.oracle.describe()}"
        faults = self.oracle.store_faults()
        assert not faults, "\n".join([*faults[:10], f"{len(faults)} in all"])

    def wait(self, condition: Callable[[], _T | None], timeout: float, what: str) -> _T:
        return wait_for(condition, timeout, what, self.failure_text)

    def failure_text(self) -> str:
        return "\n".join([*(system.failure_text() for system in self.systems), self.oracle.describe()])
