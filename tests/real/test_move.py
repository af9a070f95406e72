"""From one real Livy to two members of livy-ha on the same store, by the steps of docs/install.md ("Moving from a single Livy"):
what clients have made stays theirs, under the same ids, at the same address. The very lines, with systemd and a package, are
tests/system/test_move.py's, where a stand-in counts."""
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import livy_home
from kazoo.client import KazooClient
from pair import START_S, Pair
from realmember import RealMember
from rest import Rest

# pylint: disable=wrong-import-order
from livyha.build import program
from livyha.member import spawn
from livyha.wait import tail, wait_for

# Complete, and the user's own: nothing of it is livy-ha's to add or to change.
_RECOVERY = """livy.server.port = {port}
livy.server.recovery.mode = recovery
livy.server.recovery.state-store = zookeeper
livy.server.recovery.state-store.url = {hosts}
livy.server.zookeeper.url = {hosts}
livy.server.recovery.zk-state-store.key-prefix = mine
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two hosts with the same files of Livy; livy-ha runs on neither. Its front is to be where Livy listens."""
    made = Pair(tmp_path, fronts=True)
    first = made.members[0]
    text = Path(str(first.settings["livy.conf_dir"]), "livy.conf").read_text(encoding="utf-8")
    text += _RECOVERY.format(port=first.front_port, hosts=made.zookeeper.hosts)
    for member in made.members:
        Path(str(member.settings["livy.conf_dir"]), "livy.conf").write_text(text, encoding="utf-8")
    try:
        yield made
    finally:
        made.close()


class Single:
    """Livy as its own start script runs it, with the user's configuration alone."""

    def __init__(self, host: RealMember, directory: Path) -> None:
        self._log = directory / "single.log"
        logs = directory / "single-logs"
        logs.mkdir()
        env = {**host.env, "LIVY_CONF_DIR": str(host.settings["livy.conf_dir"]), "LIVY_LOG_DIR": str(logs)}
        with open(self._log, "wb") as log:
            self._process = spawn([os.path.join(livy_home(host.cache), "bin", "livy-server")], env, log, cwd=str(directory))

    def failure_text(self) -> str:
        return tail(str(self._log))

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        assert self._process.wait(30) in (0, 143), self.failure_text()


def _next_ids(pair: Pair) -> dict[str, int]:
    """As Livy's records have them."""
    client = KazooClient(hosts=pair.zookeeper.hosts)
    client.start(timeout=30)
    try:
        paths = {kind: f"/mine/v1/{kind}/state" for kind in ("batch", "interactive")}
        return {kind: json.loads(client.get(path)[0])["nextSessionId"] for kind, path in paths.items() if client.exists(path)}
    finally:
        client.stop()
        client.close()


def _known(client: Rest) -> list[tuple[int, str]]:
    """What clients know a batch by; its state changes with time."""
    listed = client.get("/batches")
    assert listed is not None, client.url
    return [(batch["id"], batch["name"]) for batch in listed["sessions"]]


def _begin(member: RealMember, until: str) -> None:
    """The last lines of the ten, for one host."""
    checked = subprocess.run([program("livy-ha"), "-c", member.conf_path, "--check-config"], env=member.env, capture_output=True,
                             text=True, check=False)
    assert checked.returncode == 0, checked
    member.start()
    member.wait(member.running, 10, "it runs")
    member.wait(lambda: os.path.exists(member.socket), 20, "its control socket is there")
    waited = member.ctl("wait", "--for", until, timeout=f"{START_S}s")
    assert waited.code == 0, f"{waited}\n{member.failure_text()}"


def test_move_loses_nothing(pair: Pair, tmp_path: Path) -> None:
    first, second = pair.members
    clients = Rest(first.front_url)
    alone = Single(first, tmp_path)
    try:
        wait_for(lambda: clients.get("/version"), START_S, "Livy alone answers", alone.failure_text)
        made = clients.post("/batches", {"file": "local:/nowhere/job.py", "name": "before-the-move"})
        known, next_ids = _known(clients), _next_ids(pair)
    finally:
        alone.stop()
    assert known == [(made["id"], "before-the-move")] and next_ids["batch"] == made["id"] + 1, (known, next_ids)

    _begin(first, "serving")
    _begin(second, "standby")
    assert _known(clients) == known, "the first member's Livy, where clients found the old one"
    assert _next_ids(pair) == next_ids
    switched = second.ctl("switchover", timeout=f"{START_S}s")
    assert switched.code == 0, f"{switched}\n{second.failure_text()}"
    active, _standby = pair.settled()
    assert active is second
    for member in pair.members:
        through = Rest(member.front_url)
        assert _known(through) == known, f"the second member's Livy, through the front of {member.name}"
        assert through.ask("GET", f"/batches/{made['id']}").body["name"] == "before-the-move"
    after = clients.post("/batches", {"file": "local:/nowhere/job.py", "name": "after-the-move"})
    assert after["id"] == next_ids["batch"], "no id is given twice"
