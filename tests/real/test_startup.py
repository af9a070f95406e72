"""A real Livy that cannot start, or loses its store: what livy-ha makes of its words. Members of their own, each with a root and
a store of its own on one ZooKeeper, side by side as far as can be. Nothing is submitted here: a script says in place of
spark-submit what that says of its version, which saves half of the time of a start."""
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pair import START_S, serving
from realmember import CONF_DIR, RealMember, cache_dir

# pylint: disable=wrong-import-order
from livyha import proc
from livyha.wait import wait_for
from livyha.zookeeper import Ensemble


SPARK_SUBMIT = """#!/bin/sh
echo "   version 3.5.9" >&2
echo "Using Scala version 2.12.18, OpenJDK 64-Bit Server VM, 17" >&2
"""
QUICK = 'LIVY_SERVER_JAVA_OPTS="$LIVY_SERVER_JAVA_OPTS -XX:TieredStopAtLevel=1"\n'


class Lone:
    """One member, not started, whose Livy has settings of its own: `conf` and `env` are put behind those of CONF_DIR."""

    def __init__(self, directory: Path, name: str, hosts: str, conf: str = "", env: str = "", **settings: Any) -> None:
        conf_dir = directory / f"{name}-conf"
        shutil.copytree(CONF_DIR, conf_dir)
        with open(conf_dir / "livy.conf", "a", encoding="utf-8") as file:
            file.write(f"livy.server.recovery.zk-state-store.key-prefix = {name}\n{conf}")
        with open(conf_dir / "livy-env.sh", "a", encoding="utf-8") as file:
            file.write(QUICK + env)
        dotted = {key.replace("__", "."): value for key, value in settings.items()}
        self.member = RealMember(name, str(directory / name), hosts, cache_dir(), {
            "zookeeper.root": f"/{name}", "livy.conf_dir": str(conf_dir), "livy.restarts": 1, **dotted})
        submit = directory / f"{name}-spark" / "bin" / "spark-submit"
        submit.parent.mkdir(parents=True)
        submit.write_text(SPARK_SUBMIT)
        submit.chmod(0o755)
        self.member.env["SPARK_HOME"] = str(submit.parent.parent)

    def history(self) -> list[dict[str, Any]]:
        told = self.member.ctl("history").json
        return list(told.get("history", []) if isinstance(told, dict) else told)

    def ends(self) -> list[str]:
        """Why Livy has died, each time so far."""
        return [event["reason"] for event in self.history() if event["event"] == "livy-died"]

    def wait_ends(self, count: int) -> list[str]:
        def found() -> list[str] | None:
            ends = self.ends()
            return ends if len(ends) >= count else None
        return wait_for(found, START_S, f"Livy has died {count} times", self.member.failure_text)


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with Ensemble(str(tmp_path_factory.mktemp("zk")), tick_ms=2000) as ensemble:
        yield ensemble


@pytest.fixture
def make(tmp_path: Path, zookeeper: Ensemble) -> Iterator[Callable[..., Lone]]:
    made: list[Lone] = []

    def lone(name: str, **more: Any) -> Lone:
        made.append(Lone(tmp_path, name, zookeeper.hosts, **more))
        return made[-1]
    yield lone
    for each in made:
        each.member.destroy()


def test_starts_that_fail(make: Callable[..., Lone]) -> None:
    """Each reason is told with Livy's own line, in the history, in status and in the log; nobody serves, the daemon goes on."""
    wanted = {
        "spark": ("no usable Spark: set SPARK_HOME", "requirement failed: SPARK_HOME path does not exist"),
        "java": ("the wrong Java, or none: set JAVA_HOME", "/nowhere/bin/java: not found"),
        "option": ("the wrong Java, or none: set JAVA_HOME", "Unrecognized VM option 'UseConcMarkSweepGC'"),
        "master": ("recovery needs YARN: set livy.spark.master", "Session recovery requires YARN."),
        "logs": ("no log directory: let livy.log_dir", "Cannot write log directory /proc/nowhere"),
    }
    more = {"option": {"env": 'LIVY_SERVER_JAVA_OPTS="-XX:+UseConcMarkSweepGC"\n'},
            "master": {"conf": "livy.spark.master = k8s://https://127.0.0.1:1\n"},
            "logs": {"env": "LIVY_LOG_DIR=/proc/nowhere\n"}}
    lones = {name: make(name, **more.get(name, {})) for name in wanted}
    lones["spark"].member.env["SPARK_HOME"] = "/nowhere"
    lones["java"].member.env["JAVA_HOME"] = "/nowhere"
    for lone in lones.values():
        lone.member.start()
    for name, (cause, words) in wanted.items():
        lone = lones[name]
        reason = lone.wait_ends(1)[0]
        assert reason.startswith("exit status 1") and cause in reason and words in reason, (name, reason)
        lone.member.wait_log(words)
        lone.member.wait_log("livy reaped -> none", cause, words)
        status = lone.member.ctl("status", as_json=False)
        assert (status.code, "Livy here, last: " in status.out) == (3, True), status.out
        assert lone.member.version() is None and lone.member.running()


def _port_is_taken(lone: Lone) -> None:
    """By somebody who was not there when livy-ha began."""
    member = lone.member
    java = member.java()
    assert java is not None
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        proc.kill_if(java, "java")
        member.wait_gone(java)
        taker.bind(("127.0.0.1", member.port))
        taker.listen()
        reason = lone.wait_ends(2)[1]
    assert reason.startswith("exit status 1: its port is taken") and "Address already in use" in reason, reason


def _age_s(pid: int | None) -> float:
    assert pid is not None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - proc.start_ticks(pid) / os.sysconf("SC_CLK_TCK")


def _store_goes_away(lone: Lone) -> None:
    """0.7 ends itself when that is gone: no crash, so that it is started again at once; that start fails for want of the store,
    which counts."""
    first, second = lone.wait_ends(2)[:2]
    assert "its ZooKeeper is away" in first and "Fatal Zookeeper error. Shutting down Livy server." in first, first
    assert first.endswith("; not counted as a crash")
    assert second.startswith("exit status 1: its state store is not to be reached") and "ConnectionLoss" in second, second
    deaths = [line for line in lone.member.log().splitlines() if "livy-died" in line]
    assert sum("not counted as a crash" in line for line in deaths) == 1, deaths


def test_what_happens_to_one_that_served(make: Callable[..., Lone], tmp_path: Path) -> None:
    """The store is in an ensemble of its own. (Curator's connection time-out is 15 s by itself, and 90 s for a start.)"""
    with Ensemble(str(tmp_path / "store"), tick_ms=2000) as store:
        port = make("port")
        away = make("away", livy__state_store_url=store.hosts,
                    env='LIVY_SERVER_JAVA_OPTS="$LIVY_SERVER_JAVA_OPTS -Dcurator-default-connection-timeout=1000"\n')
        for lone in (port, away):
            lone.member.start()
        for lone in (port, away):
            lone.member.wait(lambda member=lone.member: serving(member), START_S, "it serves")  # type: ignore[misc]
        # One that has lived for less than 5 s cannot have waited for its ZooKeeper, and its death counts.
        away.member.wait(lambda: _age_s(away.member.java()) > 6, 20, "it has lived for a while")
        store.stop()
        _port_is_taken(port)
        _store_goes_away(away)
