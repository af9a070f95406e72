"""From one Livy that systemd runs to two members, by the very lines of docs/install.md; no session may be lost.

Livy is the stand-in: it counts in Livy's state store as Livy keeps its sessions, and goes on from what it finds there. A
real Livy does the same in tests/real/test_move.py."""
import os
import re

import pytest
from livyha.build import ROOT
from pair import FRONT, Pair
from systems import System

_UNIT = """[Unit]
Description=Apache Livy
[Service]
User=livy
Environment=SPARK_HOME=/opt/spark
ExecStart=/opt/livy/bin/livy-server
SuccessExitStatus=143
[Install]
WantedBy=multi-user.target
"""
_RECOVERY = """livy.spark.master = yarn
livy.spark.deploy-mode = cluster
livy.server.recovery.mode = recovery
livy.server.recovery.state-store = zookeeper
livy.server.recovery.state-store.url = zk1:2181
"""
_SESSIONS = {f"/livy/v1/{kind}/{number}": f'{{"id":{number},"name":"{kind} {number}"}}'.encode()
             for kind in ("batch", "interactive") for number in range(5)}


def documented() -> dict[str, list[str]]:
    """The lines of the code block of that section, by host."""
    with open(os.path.join(ROOT, "docs", "install.md"), encoding="utf-8") as file:
        found = re.search(r"^## Moving from a single Livy$.*?^```$(.*?)^```$", file.read(), re.M | re.S)
    assert found, "docs/install.md has no such section"
    lines: dict[str, list[str]] = {}
    for line in found[1].strip().splitlines():
        if line.startswith("# on "):
            lines[line.removeprefix("# on ")] = []
        else:
            lines[list(lines)[-1]].append(line)
    return lines


def follow(pair: Pair, system: System, lines: list[str]) -> None:
    """As typed, where the package lies; the documents' ensemble has three servers."""
    for line in lines:
        system.run("sh", "-ec", f"cd /root; {line.replace('zk1:2181,zk2:2181,zk3:2181', 'zk1:2181')}")


@pytest.fixture(scope="module")
def single(pair: Pair) -> Pair:
    """Livy runs on `a` as livy.service and has sessions; `b` has the same files, and runs none."""
    for system in pair.systems:
        system.write("/opt/livy/conf/livy.conf", _RECOVERY)
        system.run("useradd", "--system", "--home-dir", "/var/lib/livy", "--create-home", "livy")
        pair.copy_package(system)
    for path, data in _SESSIONS.items():
        pair.zk.create(path, data, makepath=True)
    pair.a.write("/etc/systemd/system/livy.service", _UNIT)
    pair.a.run("systemctl", "enable", "--now", "--quiet", "livy")
    pair.wait_life(pair.a)
    assert pair.get(pair.a, FRONT, "/version")[0] == 200
    return pair


def test_ten_lines_lose_no_session(single: Pair) -> None:
    lines = documented()
    assert list(lines) == ["livy1", "livy2"] and sum(map(len, lines.values())) <= 10
    alone = single.wait_life(single.a)

    follow(single, single.a, lines["livy1"])
    first = single.wait_life(single.a, after=alone)
    follow(single, single.b, lines["livy2"])
    active, standby, life = single.settle()
    assert (active, standby, life.path) == (single.a, single.b, first.path), "the second member came and changed nothing"
    assert single.a.run("systemctl", "is-enabled", "livy", check=False).out.strip() == "disabled"
    for system in single.systems:
        assert single.get(system, FRONT, "/version")[0] == 200, "clients find it where it was, and on the second member"

    standby.run("livy-ha-ctl", "switchover")
    second = single.wait_life(standby, after=first)
    writers = [life.writer for life in (alone, first, second)]
    assert all(writers), "each has read the store before it served"
    found = [writer.value for writer in writers if writer]
    counted = [writer.last_value for writer in writers if writer]
    # One write that was under way at the end of a life may have been carried out without its knowing.
    assert all(0 <= value - last <= 1 for value, last in zip(found[1:], counted, strict=False)), (found, counted)
    assert found[1] > 0 and found[2] > found[1], "each went on with what the one before had written"
    assert {path: single.zk.get(path)[0] for path in _SESSIONS} == _SESSIONS
    single.assert_exclusive()
