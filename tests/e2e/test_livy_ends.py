"""Why Livy ended, by its own words; a Livy that never gets to serve; and that what it writes goes on reaching the daemon's
stderr, whatever the keeper does. The words are those of a real Livy 0.7.1, tests/unit/common/livyend."""
import signal
import time
from pathlib import Path
from typing import Any

from conftest import ClusterMaker
from livyha import proc
from livyha.build import ROOT
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.wait import let_pass

WORDS = Path(ROOT) / "tests" / "unit" / "common" / "livyend"
_WAITING = "INFO ClientCnxn: Opening socket connection to server 127.0.0.1/127.0.0.1:1.\n"


def _told(cluster: Cluster, event: str) -> list[dict[str, Any]]:
    return [entry for entry in cluster.history() if entry["event"] == event]


def _wait_died(cluster: Cluster, count: int = 1, timeout: float = 20) -> str:
    """The reason of the last of them."""
    cluster.wait(lambda: len(_told(cluster, "livy-died")) >= count, timeout, f"the history has {count} livy-died")
    return str(_told(cluster, "livy-died")[-1]["reason"])


def _livy_lines(member: Member) -> list[str]:
    return [line for line in member.log().splitlines() if " keeper " not in line and " elector " not in line
            and " relay " not in line]


def test_the_reason_is_told_everywhere(make_cluster: ClusterMaker) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    member.set_mode(f"say={WORDS}/port-taken.txt,exit-at-once=1")
    member.start()
    reason = "exit status 1: its port is taken: stop what listens there (ss -ltnp), or set livy.port " \
             "(Livy: java.net.BindException: Address already in use)"
    assert _wait_died(cluster) == reason
    member.wait_log("keeper info: livy reaped -> none: " + reason)
    # Two deaths make the next start wait: status tells that, and the reason too.
    _wait_died(cluster, 2)
    member.wait(lambda: (out := member.ctl("status", as_json=False).out) and "next start in" in out
                and f"Livy here, last: {reason}" in out.replace("\n", " "), 10, "status tells the reason")
    # Livy's own output is where it always was, as it was; each of its lives has written it once.
    words = (WORDS / "port-taken.txt").read_text().splitlines()
    assert _livy_lines(member)[:len(words)] == words
    member.wait(lambda: _livy_lines(member).count(words[0]) == len(cluster.oracle.lives()), 10, "what each life has said is there once")
    log = member.log()
    assert log.index(words[-1]) < log.index("livy reaped -> none"), "its last words come before its end"


def test_unknown_words_and_none(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    cluster = make_cluster(1)
    member = cluster["a"]
    words = tmp_path / "words"
    words.write_bytes(b"26/11/23 ERROR Livy\x1b[31m: \xff\xfeno \"such\" thing\n26/11/23 INFO x: bye, without an end of line")
    member.set_mode(f"say={words},exit-at-once=3")
    member.start()
    assert _wait_died(cluster) == 'exit status 3: Livy\'s last words: 26/11/23 ERROR Livy?[31m: ??no "such" thing'
    member.set_mode("exit-at-once=4")
    cluster.wait(lambda: _told(cluster, "livy-died")[-1]["reason"] == "exit status 4", 20, "one that says nothing")
    assert "INFO x: bye, without an end of line" in member.log()


def _megabyte(path: Path) -> list[str]:
    """No pipe takes as much. Returns its lines."""
    words = [f"line {number:6} {'x' * 85}" for number in range(10_000)]
    path.write_text("\n".join(words) + "\n")
    return words


def test_livy_writes_on_while_the_keeper_is_stopped(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    """A megabyte, which no pipe takes: Livy goes on until its lease ends, and all of it arrives in the end."""
    cluster = make_cluster(1)
    member = cluster["a"]
    words = _megabyte(tmp_path / "words")
    member.set_mode(f"say={tmp_path}/words,say-after=1500")
    member.start()
    life = member.wait_serving()
    member.pause_process(member.pid)
    try:
        member.wait_gone(life.pid, 15, "(Livy, at the end of its lease)")
    finally:
        member.signal(signal.SIGCONT)
    ended = cluster.oracle.life_of(life.pid)
    assert ended is not None and ended.last - ended.first > 2e9 and not ended.paused, "it was not held up by writing"
    member.set_mode("")
    member.wait(lambda: words[-1] in member.log(), 15, "all that it said is in the log")
    assert [line for line in _livy_lines(member) if line.startswith("line ")] == words


def test_stderr_that_nobody_reads_does_not_hold_livy_up(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    """The pipe to the reader is full: Livy serves on. Once it is read, it gets what was left, whole lines."""
    cluster = make_cluster(1)
    member = cluster["a"]
    words = _megabyte(tmp_path / "words")
    member.set_mode(f"say={tmp_path}/words,say-after=500")
    reader, out = tmp_path / "reader", tmp_path / "out"
    reader.write_text(f"#!/bin/sh\nexec >'{out}'\nuntil [ -e '{tmp_path}/go' ]; do sleep 0.05; done\nexec cat\n")
    reader.chmod(0o755)
    starter = tmp_path / "starter"
    starter.write_text(f"#!/bin/bash\nexec \"$@\" 2> >('{reader}')\n")
    starter.chmod(0o755)
    member.wrapper = [str(starter)]
    member.start()
    life = member.wait_serving()
    let_pass(2, lambda: proc.alive(life.pid) and member.http_version() == 200, "Livy serves", cluster.failure_text)
    (tmp_path / "go").touch()

    def arrived() -> list[str]:
        return [line for line in out.read_text(errors="replace").splitlines() if line.startswith("line ")]
    member.wait(lambda: arrived()[-1:] == words[-1:], 15, "all of it has arrived")
    assert arrived() == words
    assert cluster.oracle.life_of(life.pid).paused == 0  # type: ignore[union-attr]
    member.stop()


def test_never_serving_gives_the_latch_up(make_cluster: ClusterMaker) -> None:
    """Once, and not livy.restarts times: those would take longer than livy.restart_window, and so for ever."""
    cluster = make_cluster(2, livy__start_timeout="2s")
    first, second = cluster.members
    first.set_mode("no-answer")
    first.start()
    cluster.wait(lambda: first.livy() is not None, 20, "the first one's Livy is started")
    second.start()
    cluster.wait(lambda: second.serving() is not None, 30, "the second one's Livy serves")
    lives = cluster.oracle.lives()
    mute = [life for life in lives if life.name == first.name]
    # It may have been started again once, where the second member was not there yet to give the latch to.
    assert len(mute) <= 2 and all(1.5e9 < life.last - life.first < 8e9 for life in mute), cluster.oracle.describe()
    assert "no answer within livy.start_timeout (2000 ms)" in _wait_died(cluster, len(mute))
    cluster.wait(lambda: any("the latch goes to another member" in entry["reason"] for entry in _told(cluster, "released")), 10,
                 "the history tells why")


def test_waiting_for_zookeeper_is_not_hanging(make_cluster: ClusterMaker, tmp_path: Path) -> None:
    """By its own words: it has three times as long, and then the latch goes where its store can be reached, perhaps."""
    cluster = make_cluster(2, livy__start_timeout="2s")
    first, second = cluster.members
    (tmp_path / "words").write_text(_WAITING)
    first.set_mode(f"say={tmp_path}/words,no-answer")
    first.start()
    cluster.wait(lambda: first.livy() is not None, 20, "the first one's Livy is started")
    second.start()
    cluster.wait(lambda: second.serving() is not None, 30, "the second one's Livy serves")
    waited = next(life for life in cluster.oracle.lives() if life.name == first.name)
    assert 5e9 < waited.last - waited.first < 12e9, cluster.oracle.describe()
    assert "it waits for its ZooKeeper" in _wait_died(cluster)


def test_end_for_want_of_zookeeper_is_no_crash(make_cluster: ClusterMaker) -> None:
    """0.7 ends itself when its store has been away for a while, be it another ensemble than ours. restarts = 0: a death that
    counts would cost the latch."""
    cluster = make_cluster(2, livy__restarts=0)
    for member in cluster.members:
        member.set_mode(f"say={WORDS}/zookeeper-lost.txt,exit-after=6000:1")
    cluster.start()
    active = cluster.wait_settled()
    began = time.monotonic()
    life = active.serving()
    assert life is not None
    reason = _wait_died(cluster)
    assert "its ZooKeeper is away" in reason and "Fatal Zookeeper error. Shutting down" in reason
    assert reason.endswith("; not counted as a crash") and time.monotonic() - began < 20
    after = cluster.wait_new_life(life)
    assert after.name == active.name and after.first - life.last < 20e9
    assert cluster.node("deaths") in (None, b"", b"[]"), "nothing is counted"
    active.wait_log("elector", "livy-died", "not counted as a crash")
