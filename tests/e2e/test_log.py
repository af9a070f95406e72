"""The log as people and programs read it: each form, a line a transition, what is counted and not repeated."""
import json
import re

import pytest
from conftest import ClusterMaker
from livyha.member import Member

PRIORITY = re.compile(r"<[3467]>(keeper|elector|relay): \S")
TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (keeper|elector|relay) (error|warn|info|debug): \S")


def _lines(member: Member) -> list[str]:
    """Of the daemon; the stand-in in Livy's place writes what it likes."""
    return [line for line in member.log().splitlines() if line and not line.startswith("standin")]


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_each_form(make_cluster: ClusterMaker, form: str) -> None:
    cluster = make_cluster(1, fronts=True, log__format=form)
    member = cluster["a"]
    member.start()
    member.wait_serving()
    elector = member.wait_elector()
    assert member.ctl("reload").code == 0 and member.elector() == elector
    member.wait(lambda: "front nobody -> local" in member.log(), 15, "its relay has said something too")
    assert member.stop() == 0
    lines = _lines(member)
    assert len(lines) > 20
    for line in lines:
        if form == "json":
            said = json.loads(line)
            assert {"ts", "level", "program", "message"} <= said.keys() and said["program"] in ("keeper", "elector", "relay"), line
        else:
            assert (PRIORITY if form == "journal" else TEXT).match(line), line
    told = {json.loads(line)["program"] for line in lines} if form == "json" else \
        {found[1] for line in lines if (found := (PRIORITY if form == "journal" else TEXT).match(line))}
    assert told == {"keeper", "elector", "relay"}


def test_a_line_a_transition(make_cluster: ClusterMaker) -> None:
    """With the reason, the epoch, and how long the member was in the state before."""
    cluster = make_cluster(1, log__level="info")
    member = cluster.start()["a"]
    member.wait(lambda: (member.status() or {}).get("serving"), 10, "it knows that Livy serves")
    epoch = cluster.epoch()
    assert member.stop() == 0
    log = member.log()
    for pattern in (r"elector info: confirming -> active: first in the queue, lease proved \(epoch %s, after \d+ ms\)",
                    r"elector info: active -> \w+: .* \(epoch %s, after \d+ ms\)",
                    r"keeper info: livy none -> running: .* \(pid \d+, epoch %s, after \d+ ms\)",
                    r"keeper info: livy running -> \w+: .* \(pid \d+, epoch %s, after \d+ ms\)",
                    r"elector info: serving: Livy answers, pid \d+ \(epoch %s, \d+ ms\)"):
        assert len(re.findall(pattern % epoch, log)) == 1, (pattern, log)


def test_what_fails_again_and_again_is_counted(make_cluster: ClusterMaker, own_zookeeper: object) -> None:
    """No ZooKeeper for a while: the log says so, and does not fill up with it."""
    cluster = make_cluster(1, own_zookeeper, log__level="info")
    member = cluster.start()["a"]
    life = member.serving()
    assert life is not None
    own_zookeeper.stop()  # type: ignore[attr-defined]
    member.wait_gone(life.pid, 15, "(Livy, at its deadline)")
    at = len(member.log())
    member.wait_log("more like it", timeout=30, after=at)
    lines = member.log()[at:].splitlines()
    texts = [re.sub(r"^\S+ |\(and \d+ more like it[^)]*\)|\d+", "", line) for line in lines]
    worst = max(texts.count(text) for text in set(texts))
    assert worst <= 40 and len(lines) < 200, (worst, len(lines))
    own_zookeeper.start()  # type: ignore[attr-defined]
    member.wait_serving(60)
