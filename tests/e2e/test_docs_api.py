"""docs/api.md against the answers of a running cluster: every field that is documented is there in some answer, and every
field of an answer is documented."""
import json
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ClusterMaker
from livyha import proc
from livyha.admin import ask, wait_status
from livyha.build import ROOT
from livyha.client import Client
from livyha.cluster import Cluster
from livyha.control import ask_control
from livyha.member import Member

API = Path(ROOT) / "docs" / "api.md"
CHECKS = {"/active": "active", "/leader": "active", "/standby": "standby", "/livez": "live", "/readyz": "ready"}


def documented() -> dict[str, set[str]]:
    """By heading: the fields of its first table whose head is "field"."""
    found: dict[str, set[str]] = {}
    for part in re.split(r"^##+ ", API.read_text(), flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        table = re.search(r"^\| field \|.*\n\|[-|]+\n((?:\|.*\n)+)", body, re.M)
        if table:
            first_cells = [row.split(" | ")[0] for row in table[1].splitlines()]
            found[title] = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    return found


class Seen:
    """The fields of all answers so far, by the headings of the page."""

    def __init__(self) -> None:
        self.fields: dict[str, set[str]] = {title: set() for title in documented()}

    def add(self, title: str, document: dict[str, Any], prefix: str = "") -> None:
        for key, value in document.items():
            if title == "/cluster" and key == "members":
                for member in value:
                    self.add("A member", member)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                for item in value:
                    self.add(title, item, f"{prefix}{key}.")
            elif isinstance(value, dict):
                self.add(title, value, f"{prefix}{key}.")
            self.fields[title].add(prefix + key)

    def admin(self, member: Member) -> None:
        for path in CHECKS:
            self.add("Health checks", ask(member, path).json)
        self.add("/cluster", ask(member, "/cluster").json)
        self.add("/status", ask(member, "/status").json)
        for entry in ask(member, "/history").json:
            self.add("/history", entry)
        self.add("Errors", ask(member, "/nothing").json)

    def control(self, member: Member) -> None:
        for path in ("/cluster", "/status", "/config", "/version"):
            self.add(path, ask_control(member, path).json)
        for entry in ask_control(member, "/history").json:
            self.add("/history", entry)
        self.add("Errors", ask_control(member, "/nothing").json)

    def command(self, member: Member, path: str) -> dict[str, Any]:
        answer = dict(ask_control(member, path, "GET" if path.startswith("/command") else "POST").json)
        self.add("Commands", answer)
        return answer


def hand_over(cluster: Cluster, seen: Seen) -> None:
    """With a request in flight, so that what goes on can be watched; both members hold what comes meanwhile."""
    active, standby = cluster.wait_settled(), cluster.standbys()[0]
    with Client(active) as client:
        slow = threading.Thread(target=client.get, args=("/slow/1500",))
        slow.start()
        cluster.wait(lambda: "livy_ha_front_running 1" in ask(active, "/metrics").body, 10, "a request runs")
        began = seen.command(active, "/switchover?wait=0")
        assert began["state"] == "running"

        def holds() -> bool:
            seen.control(standby)
            return {"quiescing", "front.held"} <= seen.fields["A member"]
        cluster.wait(holds, 10, "the hand-over is seen")
        slow.join()
    cluster.wait(lambda: seen.command(active, f"/command?id={began['id']}")["state"] == "done", 30, "it is done")
    cluster.wait(lambda: cluster.wait_settled() is standby, 30, "the standby serves")


def too_large(cluster: Cluster, seen: Seen) -> None:
    member = cluster.members[0]
    cluster.zk.create(f"{cluster.root}/members/large", json.dumps({"id": "large", "host": "x" * 20_000}).encode(), ephemeral=True)
    cluster.zk.set(f"{cluster.root}/history", json.dumps([*cluster.history(), {"event": "x" * 50_000}]).encode())

    def shown() -> bool:
        seen.admin(member)
        return "left_out" in seen.fields["A member"] and "left_out" in seen.fields["/history"]
    cluster.wait(shown, 10, "what is too large is shown in part")


def silence(cluster: Cluster, seen: Seen) -> None:
    member = cluster.standbys()[0]
    elector = member.wait_elector()
    member.pause_process(elector)
    try:
        def stale() -> bool:
            seen.admin(member)
            return "stale_ms" in seen.fields["/cluster"]
        cluster.wait(stale, 10, "what is told is stale")
    finally:
        proc.send(elector, signal.SIGCONT)


@pytest.fixture(scope="module")
def seen(module_cluster: ClusterMaker) -> Iterator[Seen]:
    cluster = module_cluster(2, fronts=True, front__drain="10s").start()
    active, standby = cluster.wait_settled(), cluster.standbys()[0]
    found = Seen()
    for member, path in ((active, "/active"), (standby, "/standby")):
        wait_status(member, path, 200)
        cluster.wait(lambda: ask(member, "/readyz").json.get("route") in ("local", "remote"), 10, "it knows who serves")  # noqa: B023
        found.admin(member)
        found.control(member)
    assert found.command(standby, "/pause?for_ms=600000")["state"] == "done"
    cluster.wait(lambda: ask_control(active, "/cluster").json["paused"], 10, "all know of the pause")
    found.control(active)
    found.command(standby, "/resume")
    assert found.command(standby, "/restart")["state"] == "failed"
    hand_over(cluster, found)
    found.control(cluster.wait_settled())
    found.control(cluster.standbys()[0])
    silence(cluster, found)
    too_large(cluster, found)
    yield found


@pytest.mark.parametrize("title", [title for title in documented() if title != "/status"])
def test_fields(seen: Seen, title: str) -> None:
    told, real = documented()[title], seen.fields[title]
    assert real <= told, f"not documented: {real - told}"
    assert told <= real, f"in no answer: {told - real}"


def test_fields_of_the_status(seen: Seen) -> None:
    """Those of a member, and its own."""
    member, told, real = documented()["A member"], documented()["/status"], seen.fields["/status"]
    assert real <= member | told, f"not documented: {real - member - told}"
    assert told <= real and not told & member, f"in no answer: {told - real}"


def test_events_are_the_programs() -> None:
    """Those of the core, and those of commands."""
    core = (Path(ROOT) / "src/elector/core.c").read_text()
    names = re.search(r"core_history_name\(.*?names\[\] = \{(.*?)\};", core, re.S)
    assert names
    events = set(re.findall(r'"([a-z-]+)"', names[1]))
    events |= set(re.findall(r'command_say\(e, "([a-z]+)"', (Path(ROOT) / "src/elector/command_ask.c").read_text()))
    table = re.search(r"^\| event \| \|\n\|[-|]+\n((?:\|.*\n)+)", API.read_text(), re.M)
    assert table
    told = {name for row in table[1].splitlines() for name in re.findall(r"`([a-z-]+)`", row.split(" | ")[0])}
    assert told == events


def test_phases_are_the_programs() -> None:
    core = (Path(ROOT) / "src/elector/core.c").read_text()
    function = re.search(r"^const char \*core_phase_name\(.*?^\}", core, re.M | re.S)
    assert function
    phases = set(re.findall(r'"([a-z]+)"', function[0])) - {"?"}
    row = next(line for line in API.read_text().splitlines() if line.startswith("| `phase` |"))
    assert set(re.findall(r"`([a-z]+)`", row.partition("`phase`")[2])) == phases
