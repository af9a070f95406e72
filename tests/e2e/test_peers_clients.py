"""Programs that people use Livy with, at a standby's front in both modes: curl, Python's requests, Livy's own Java client.
Who follows a 307 and who does not is told in docs/clients.md, by these tests."""
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from conftest import ClusterMaker
from livyha.bed import Bed
from livyha.client import get
from livyha.cluster import Cluster
from livyha.livyclient import LivyClient, compile_peer
from livyha.member import Member
from livyha.peers import FRONT, LIVYAPI, admin_of, front_of, kill_everything, open_fronts, status_of, wait_ready
from livyha.wait import wait_for

WORDS = "This is a standby Livy Instance."


def _cluster(bed: Bed, module_cluster: ClusterMaker, mode: str) -> Iterator[Cluster]:
    cluster = module_cluster(3, bed.ensemble, livy__command=LIVYAPI)
    yield open_fronts(bed, cluster, mode)
    cluster.destroy()  # the next one is on the same hosts


@pytest.fixture(scope="module", params=["forward", "redirect"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tier(bed: Bed, mode: str, module_cluster: ClusterMaker) -> Iterator[Cluster]:
    """Three members with fronts in that mode, and stand-ins that speak Livy's REST interface."""
    yield from _cluster(bed, module_cluster, mode)


def _last(cluster: Cluster) -> Member:
    """The standby that stands last in the queue."""
    cluster.wait_settled()
    return cluster[cluster.latch_ids()[-1]]


def _url(member: Member, path: str = "") -> str:
    return f"http://{member.address}:{FRONT}{path}"


def _done(cluster: Cluster) -> list[dict[str, Any]]:
    """What the stand-ins have carried out, in order."""
    path = os.path.join(cluster.oracle_dir, "api.log")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@dataclass(frozen=True)
class Curl:
    status: int
    hops: int    # redirects that it followed
    by: str      # who answered
    authorized: str
    body: str


def _curl(*arguments: str, status: int = 0) -> Curl:
    """One run of curl with its exit status."""
    written = "\n%{http_code} %{num_redirects} %header{x-standin} . %header{x-authorized}"
    done = subprocess.run(["curl", "-sS", "-w", written, "--max-time", "40", *arguments], capture_output=True, text=True,
                          check=False)
    assert done.returncode == status, f"curl {arguments}: {done.returncode} {done.stdout}{done.stderr}"
    body, _, told = done.stdout.rpartition("\n")
    code, hops, *rest = told.split()
    who, _, authorized = " ".join(rest).partition(".")
    return Curl(int(code), int(hops), who.split()[0] if who.split() else "", authorized.strip(), body)


# ---- curl --------------------------------------------------------------------------------------------------------------


def test_curl_follows_with_l(tier: Cluster, mode: str) -> None:
    active, standby = tier.wait_settled(), _last(tier)
    hops = 1 if mode == "redirect" else 0
    told = _curl("-L", _url(standby, "/version"))
    assert (told.status, told.hops, told.by) == (200, hops, active.name)
    assert json.loads(told.body)["version"] == "0.0.0-livyapi"


@pytest.mark.parametrize("size", [30, 5000, 2_000_000])  # from 1 MB on curl sends Expect: 100-continue
@pytest.mark.parametrize("flags", [("-L",), ("-L", "-X", "POST"), ("-L", "--post301", "--post302", "--post303")])
def test_curl_posts_with_its_body(tier: Cluster, mode: str, size: int, flags: tuple[str, ...], tmp_path: Any) -> None:
    """A 307 keeps method and body: none of --post301 and its kin is needed, and -X POST does no harm."""
    active, standby = tier.wait_settled(), _last(tier)
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"kind": "spark", "name": "n" * size}), encoding="ascii")
    before = len(_done(tier))
    told = _curl(*flags, "-H", "Content-Type: application/json", "--data-binary", f"@{body}", _url(standby, "/sessions"))
    assert (told.status, told.hops, told.by) == (201, 1 if mode == "redirect" else 0, active.name)
    assert json.loads(told.body)["name"] == "n" * size
    assert [(each["what"], each["by"]) for each in _done(tier)[before:]] == [("create", active.name)]


def test_curl_posts_in_chunks(tier: Cluster, mode: str, tmp_path: Any) -> None:
    """A body whose length is not said, from a file: it can be sent once more."""
    active, standby = tier.wait_settled(), _last(tier)
    body = tmp_path / "body.json"
    body.write_text('{"kind": "sql"}', encoding="ascii")
    told = _curl("-L", "-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/json", "-d", f"@{body}",
                 _url(standby, "/sessions"))
    assert (told.status, told.by, json.loads(told.body)["kind"]) == (201, active.name, "sql")
    assert told.hops == (1 if mode == "redirect" else 0)


def test_curl_deletes(tier: Cluster, mode: str) -> None:
    active, standby = tier.wait_settled(), _last(tier)
    number = json.loads(_curl("-L", "-d", "{}", _url(active, "/sessions")).body)["id"]
    told = _curl("-L", "-X", "DELETE", _url(standby, f"/sessions/{number}"))
    assert (told.status, told.by, told.hops) == (200, active.name, 1 if mode == "redirect" else 0)
    assert _done(tier)[-1] == {**_done(tier)[-1], "what": "delete", "session": number}


def test_curl_without_l(tier: Cluster, mode: str) -> None:
    """Whoever follows nothing is told where to go, and nothing has been done."""
    active, standby = tier.wait_settled(), _last(tier)
    before = len(_done(tier))
    told = _curl("-d", "{}", _url(standby, "/sessions"))
    if mode == "forward":
        assert (told.status, told.by) == (201, active.name)
    else:
        assert (told.status, told.by) == (307, "") and told.body.startswith(WORDS), told
        assert len(_done(tier)) == before


def test_curl_and_credentials(tier: Cluster, mode: str) -> None:
    """They go with a redirect to another host only by --location-trusted."""
    standby = _last(tier)
    kept = "no" if mode == "redirect" else "yes"
    assert _curl("-L", "-u", "me:secret", _url(standby, "/version")).authorized == kept
    assert _curl("-L", "--location-trusted", "-u", "me:secret", _url(standby, "/version")).authorized == "yes"


# Not escaped by curl -g, Java's HttpURLConnection and Python's urllib; by browsers in a query, brackets in a path neither.
UNESCAPED = "/version?doAs=a[b]{c}|d^e`f"


def test_what_should_have_been_escaped(tier: Cluster, mode: str) -> None:
    active, standby = tier.wait_settled(), _last(tier)
    told = _curl("-g", "-L", _url(standby, UNESCAPED))
    assert (told.status, told.hops, told.by) == (200, 1 if mode == "redirect" else 0, active.name)
    answer = requests.get(_url(standby, UNESCAPED), timeout=40)
    assert (answer.status_code, answer.headers["X-Standin"].split()[0]) == (200, active.name)
    if mode == "redirect":
        assert get(front_of(standby), UNESCAPED).headers["location"] == _url(active, UNESCAPED)


# ---- Python's requests -----------------------------------------------------------------------------------------------------


def test_requests_follows(tier: Cluster, mode: str) -> None:
    active, standby = tier.wait_settled(), _last(tier)
    hops = [307] if mode == "redirect" else []
    with requests.Session() as session:
        answer = session.post(_url(standby, "/sessions"), json={"kind": "pyspark", "name": "x" * 4000}, timeout=40)
        assert [each.status_code for each in answer.history] == hops
        assert (answer.status_code, answer.headers["X-Standin"].split()[0]) == (201, active.name)
        assert answer.request.method == "POST" and answer.json()["name"] == "x" * 4000
        number = answer.json()["id"]
        answer = session.post(_url(standby, f"/sessions/{number}/statements"), json={"code": "1 + 1"}, timeout=40)
        assert (answer.status_code, answer.json()["code"]) == (201, "1 + 1")
        answer = session.get(_url(standby, f"/sessions/{number}"), timeout=40)
        assert (answer.status_code, answer.json()["kind"]) == (200, "pyspark")
        answer = session.delete(_url(standby, f"/sessions/{number}"), timeout=40)
        assert (answer.status_code, [each.status_code for each in answer.history]) == (200, hops)
        assert session.get(_url(standby, f"/sessions/{number}"), timeout=40).status_code == 404
    done = [(each["what"], each["by"]) for each in _done(tier)[-3:]]
    assert done == [("create", active.name), ("statement", active.name), ("delete", active.name)]


def test_requests_and_credentials(tier: Cluster, mode: str) -> None:
    """It keeps them from another host than the one that they were meant for: forward is the way for those who need them."""
    standby = _last(tier)
    answer = requests.get(_url(standby, "/version"), auth=("me", "secret"), timeout=40)
    assert answer.headers["X-Authorized"] == ("no" if mode == "redirect" else "yes")


def test_requests_over_a_planned_stop(tier: Cluster, mode: str) -> None:
    """One session, as a program has it, at one front: each request is answered, by whoever is active."""
    active, standby = tier.wait_settled(), _last(tier)
    with requests.Session() as session:
        number = session.post(_url(standby, "/sessions"), json={}, timeout=40).json()["id"]
        active.stop_begin()
        seen: set[str] = set()

        def another() -> bool:
            answer = session.post(_url(standby, f"/sessions/{number}/statements"), json={"code": "1"}, timeout=40)
            assert answer.status_code == 201, answer.text
            seen.add(answer.headers["X-Standin"].split()[0])
            return bool(seen - {active.name})
        if mode == "forward":
            wait_for(another, 30, "the next Livy answers", tier.failure_text)
        assert active.wait_exit() == 0
        wait_for(another, 30, "the next Livy answers", tier.failure_text)
        statements = [each["id"] for each in _done(tier) if each["what"] == "statement" and each["session"] == number]
        assert statements == list(range(len(statements))), "the next one goes on where the last one was"
    active.start()
    tier.wait_settled()
    wait_ready(active)


# ---- Livy's own Java client ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_peer(str(tmp_path_factory.mktemp("classes")))


@pytest.fixture
def make_java(classes: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], LivyClient]]:
    made: list[LivyClient] = []

    def make() -> LivyClient:
        made.append(LivyClient(classes, str(tmp_path_factory.mktemp("java"))))
        return made[-1]
    yield make
    for each in made:
        each.kill()


def _refused(member: Member, path: str) -> str:
    """LIVY-1062: how the Java client takes a 307, with the words that a standby answers for that path."""
    answer = get(front_of(member), path)
    assert answer.status == 307
    return f"java.io.IOException: Temporary Redirect: {answer.body.decode()}"


def test_java_makes_a_session_at_a_standby(tier: Cluster, mode: str, make_java: Callable[[], LivyClient]) -> None:
    """forward: all of the client's work is done. redirect: it fails as LIVY-1062 says, whatever it asks for, and nothing has
    been done."""
    active, standby = tier.wait_settled(), _last(tier)
    java = make_java()
    before = len(_done(tier))
    if mode == "redirect":
        thrown = java.fail(f"open {_url(standby)}")
        refused = _refused(standby, "/sessions/")
        assert thrown == [f"java.lang.RuntimeException: {refused}", refused]
        assert WORDS in refused and _url(active) in refused, "a person who reads it knows where to go"
        assert len(_done(tier)) == before
        return
    java.do(f"open {_url(standby)}")
    assert java.do("call hello")["result"] == f"hello by {active.name}"
    java.do("stop")
    assert [each["what"] for each in _done(tier)[before:]] == ["create", "job", "delete"]


def test_java_at_the_active_front(tier: Cluster, mode: str, make_java: Callable[[], LivyClient]) -> None:
    """There it works in both modes, until another member is active."""
    active = tier.wait_settled()
    java = make_java()
    java.do(f"open {_url(active)}")
    assert java.do("call before")["result"] == f"before by {active.name}"
    if mode == "redirect":
        session = f"/sessions/{_done(tier)[-1]['session']}"
        _give_up(tier, active)
        refused = _refused(active, f"{session}/submit-job")
        assert java.fail("call after") == [f"java.util.concurrent.ExecutionException: {refused}", refused]
        refused = _refused(active, session)
        assert java.fail("stop") == [f"java.lang.RuntimeException: {refused}", refused]


def _give_up(cluster: Cluster, active: Member) -> Member:
    """Another member is active, and `active` is a standby whose front is ready; returns the new one."""
    assert active.stop() == 0
    heir = cluster.wait_active(other_than=active)
    active.start()
    cluster.wait_settled()
    wait_ready(active)
    return heir


@pytest.mark.parametrize("mode", ["forward"], indirect=True, scope="module")  # LIVY-1062: redirected, it has no session to keep
def test_java_over_a_planned_stop_and_a_death(tier: Cluster, make_java: Callable[[], LivyClient], tmp_path: Any) -> None:
    active, standby = tier.wait_settled(), _last(tier)
    java = make_java()
    java.do(f"open {_url(standby)}")
    session = _done(tier)[-1]["session"]
    assert java.do("call one")["result"] == f"one by {active.name}"

    heir = _give_up(tier, active)
    assert heir is not active
    assert java.do("call two")["result"] == f"two by {heir.name}"

    kill_everything(heir)
    java.begin("call three")  # held until there is a Livy again
    survivor = tier.wait_active(other_than=heir)
    answer = java.end()
    assert (answer.get("result"), answer["event"]) == (f"three by {survivor.name}", "call"), answer
    heir.start()
    tier.wait_settled()
    wait_ready(heir)

    jar = tmp_path / "job.jar"
    jar.write_bytes(os.urandom(300_000))
    java.do(f"upload {jar}")
    assert _done(tier)[-1] == {**_done(tier)[-1], "what": "upload", "session": session, "size": 300_000, "file": "job.jar"}
    other = make_java()  # a second program, on the same session: POST /sessions/N/connect
    other.do(f"open {_url(standby)}/sessions/{session}")
    assert other.do("call four")["result"] == f"four by {survivor.name}"
    java.do("stop")
    assert _done(tier)[-1] == {**_done(tier)[-1], "what": "delete", "session": session}
    jobs = [each["by"] for each in _done(tier) if each["what"] == "job" and each["session"] == session]
    assert jobs == [active.name, heir.name, survivor.name, survivor.name], "each was done once"
    assert all(status_of(admin_of(member), "/readyz") == 200 for member in tier.members)
