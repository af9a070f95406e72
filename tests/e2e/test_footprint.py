"""What livy-ha costs while nothing happens. The numbers are promises of the documentation."""
import os
import sys
import time
from dataclasses import dataclass

import pytest
from livyha import proc
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.wait import let_pass

SECONDS = 10


@dataclass(frozen=True)
class Cost:
    cpu_percent: float
    voluntary_switches: int


def _costs(pids: list[int]) -> dict[int, Cost]:
    """What each process uses in SECONDS; here the passing of time is what is measured."""
    before = {pid: proc.usage(pid) for pid in pids}
    started = time.monotonic()
    time.sleep(SECONDS)
    after = {pid: proc.usage(pid) for pid in pids}
    span = time.monotonic() - started
    return {pid: Cost(100 * (after[pid].cpu_s - before[pid].cpu_s) / span,
                      after[pid].voluntary_switches - before[pid].voluntary_switches) for pid in pids}


@pytest.fixture(scope="module")
def standby(shared_cluster: Cluster) -> Member:
    """A standby that has had time to become quiet."""
    shared_cluster.wait_settled()
    member = shared_cluster.standbys()[0]
    member.wait_role("standby")
    return member


def _report(what: str, value: object) -> None:
    print(f"{what}: {value}", file=sys.stderr)


def test_resident_memory(shared_cluster: Cluster, standby: Member) -> None:
    for member in (standby, shared_cluster.wait_active()):
        keeper, elector = proc.status_value(member.pid, "VmRSS"), proc.status_value(member.wait_elector(), "VmRSS")
        _report(f"{member.name}: RSS of keeper, elector in kB", (keeper, elector))
        assert 0 < keeper < 3 * 1024
        assert 0 < elector < 8 * 1024


def test_idle_standby(standby: Member) -> None:
    """All of its processes together; and its keeper sleeps but for a watchdog."""
    pids = [standby.pid, standby.wait_elector()]
    costs = _costs(pids)
    _report("standby: CPU %, wake-ups of keeper, elector", [costs[pid] for pid in pids])
    assert sum(cost.cpu_percent for cost in costs.values()) < 0.2
    assert costs[standby.pid].voluntary_switches <= 3


def test_active_member(shared_cluster: Cluster) -> None:
    """At a session time-out of 4 s it heartbeats five times a second: still next to nothing."""
    active = shared_cluster.wait_settled()
    pids = [active.pid, active.wait_elector()]
    costs = _costs(pids)
    _report("active: CPU %, wake-ups of keeper, elector", [costs[pid] for pid in pids])
    assert sum(cost.cpu_percent for cost in costs.values()) < 2.0


def test_log_is_quiet(standby: Member) -> None:
    """At the usual level an idle member writes nothing."""
    standby.settings["log.level"] = "info"
    standby.write_conf()
    standby.stop()
    standby.start()
    standby.wait_role("standby")
    before = len(standby.log())
    let_pass(5, lambda: standby.log()[before:] == "", "it writes nothing", standby.failure_text)


def test_descriptors_do_not_grow(standby: Member) -> None:
    standby.wait(lambda: standby.ctl("status").code == 0, 15, "knows that an active Livy serves")
    pids = [standby.pid, standby.wait_elector()]

    def descriptors() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
    for _ in range(3):
        assert standby.ctl("status").code == 0
    before = descriptors()
    for _ in range(20):
        assert standby.ctl("status").code == 0
    # The last connection may have been counted in `before`, or not yet be closed now.
    standby.wait(lambda: all(now <= then for now, then in zip(descriptors(), before, strict=True)), 15,
                 f"no more descriptors than before: {before}")
