"""An installation of its own for members of a test: the build's programs copied, to be replaced while they run."""
import os
import shutil
from collections.abc import Callable

from .build import program
from .cluster import Cluster

NAMES = ("livy-ha", "livy-ha-elector", "livy-ha-relay")
ELECTOR, RELAY = NAMES[1:]


class Programs:
    """The members of a cluster that is not started yet run what is in `directory`."""

    def __init__(self, cluster: Cluster) -> None:
        self.directory = os.path.join(cluster.directory, "installed")
        os.makedirs(self.directory, exist_ok=True)
        for name in NAMES:
            self.install(name)
        for member in cluster.members:
            member.daemon = self.path("livy-ha")

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _put(self, name: str, write: Callable[[str], object], mode: int = 0o755) -> None:
        """As a package does it: a new file by rename."""
        fresh = self.path(name) + ".new"
        write(fresh)
        os.chmod(fresh, mode)
        os.rename(fresh, self.path(name))

    def install(self, name: str, of: str | None = None) -> None:
        """The build's program, or another one in its place."""
        self._put(name, lambda path: shutil.copyfile(program(of or name), path))

    def install_all(self) -> None:
        for name in NAMES:
            self.install(name)

    def install_patched(self, name: str, old: bytes, new: bytes) -> None:
        """The build's program with these bytes replaced, wherever they are."""
        assert len(old) == len(new)
        with open(program(name), "rb") as file:
            data = file.read()
        assert old in data, f"{name} has no {old!r}"

        def write(path: str) -> None:
            with open(path, "wb") as fresh:
                fresh.write(data.replace(old, new))
        self._put(name, write)

    def install_script(self, name: str, text: str, mode: int = 0o755) -> None:
        def write(path: str) -> None:
            with open(path, "w", encoding="ascii") as fresh:
                fresh.write("#!/bin/sh\n" + text + "\n")
        self._put(name, write, mode)

    def install_version(self, version: str) -> None:
        """Elector and relay that say they are of another version (as long as the build's)."""
        for name in (ELECTOR, RELAY):
            self.install_patched(name, b"0.1.0\0", version.encode() + b"\0")

    def remove(self, name: str) -> None:
        os.unlink(self.path(name))
