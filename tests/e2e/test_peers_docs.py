"""docs/clients.md: each block of code of the page is run as it stands there, but for the names of hosts and of the root.
A block's second word says what it has to do: "active" prints the active front's URL and nothing else, "session" prints the
session that it has made, "watch" prints each active front's URL as it changes; with "member" it is run on a member."""
import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import ClusterMaker
from livyha.bed import Bed
from livyha.build import ROOT, program
from livyha.cluster import Cluster
from livyha.curator import class_path
from livyha.member import Member
from livyha.peers import LIVYAPI, admin_of, front_of, host_names, open_fronts, wait_ready
from livyha.wait import spawn, wait_for

PAGE = os.path.join(ROOT, "docs", "clients.md")
_BLOCK = re.compile(r"^```(\w+) ([\w ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    purpose: str
    on_member: bool
    code: str
    line: int


def _blocks() -> list[Block]:
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    found = [Block(match[1], match[2].split()[0], "member" in match[2].split(), match[3], text[:match.start()].count("\n") + 1)
             for match in _BLOCK.finditer(text)]
    assert len(found) == text.count("\n```") / 2, "a block of the page has no purpose, so nobody runs it"
    return found


BLOCKS = _blocks()
IDS = [f"line{block.line}-{block.language}" for block in BLOCKS]


def _of(*purposes: str) -> pytest.MarkDecorator:
    chosen = [(block, name) for block, name in zip(BLOCKS, IDS, strict=True) if block.purpose in purposes]
    return pytest.mark.parametrize("block", [block for block, _ in chosen], ids=[name for _, name in chosen])


@pytest.fixture(scope="module", params=["forward", "redirect"])
def tier(request: pytest.FixtureRequest, bed: Bed, module_cluster: ClusterMaker) -> Iterator[Cluster]:
    cluster = module_cluster(3, bed.ensemble, livy__command=LIVYAPI)
    yield open_fronts(bed, cluster, request.param)
    cluster.destroy()  # the next one is on the same hosts


def _url(member: Member) -> str:
    return "http://%s:%d" % front_of(member)


def _localized(code: str, cluster: Cluster) -> str:
    changes = host_names(cluster.members)
    for number, server in enumerate(cluster.zookeeper.servers, 1):
        changes[f"zk{number}.example.com:2181"] = server.address
    changes['/livy_ha/'] = f"{cluster.root}/"
    for old, new in changes.items():
        code = code.replace(old, new)
    assert "example.com" not in code, code
    return code


def _command(block: Block, cluster: Cluster, directory: str) -> tuple[list[str], dict[str, str]]:
    """How a user would run it: sh; python3; java with the libraries on its class path."""
    code = _localized(block.code, cluster)
    environment = {"PATH": f"{os.path.dirname(program('livy-ha-ctl'))}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    if block.language == "java":
        name = re.search(r"public class (\w+)", code)
        assert name is not None, code
        path = os.path.join(directory, f"{name[1]}.java")
        java = shutil.which("java")
        assert java is not None, "no java: install default-jdk-headless"
        argv = [java, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", class_path(), path]
    elif block.language == "python":
        path = os.path.join(directory, "block.py")
        argv = ["/usr/bin/python3", path]
    else:
        assert block.language == "sh", block.language
        path = os.path.join(directory, "block.sh")
        argv = ["/bin/sh", path]
    if block.on_member:  # the socket of a test's member is not at its usual place, which the configuration says
        member = cluster.wait_settled()
        code = code.replace("livy-ha-ctl", f"livy-ha-ctl -c {member.conf_path}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(code)
    return argv, environment


def _run(block: Block, cluster: Cluster, directory: str) -> str:
    argv, environment = _command(block, cluster, directory)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, f"docs/clients.md:{block.line}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}" \
                                 f"\n{cluster.failure_text()}"
    return done.stdout


def _tells(member: Member) -> bool:
    with urllib.request.urlopen("http://%s:%d/cluster" % admin_of(member), timeout=5) as answer:
        return bool(json.load(answer)["serving"])


@_of("active")
def test_it_prints_the_active_front(block: Block, tier: Cluster, tmp_path: str) -> None:
    active = tier.wait_settled()
    tier.wait(lambda: tier.node("server.uri"), 10, "server.uri is there")
    for member in tier.members:
        member.wait(lambda: member.ctl("active").code == 0, 10, "it knows who is active")  # noqa: B023
        member.wait(lambda: _tells(member), 10, "its admin port tells it too, from a snapshot")  # noqa: B023
    assert _run(block, tier, str(tmp_path)) == f"{_url(active)}\n"


@_of("session")
def test_it_makes_a_session(block: Block, tier: Cluster, tmp_path: str) -> None:
    active = tier.wait_settled()
    made = json.loads(_run(block, tier, str(tmp_path)))
    assert (made["kind"], made["state"]) == ("pyspark", "idle")
    with open(os.path.join(tier.oracle_dir, "api.log"), encoding="utf-8") as file:
        last = [json.loads(line) for line in file][-1]
    assert (last["what"], last["session"], last["by"]) == ("create", made["id"], active.name)


@_of("watch")
def test_it_sees_another_one_become_active(block: Block, tier: Cluster, tmp_path: str) -> None:
    active = tier.wait_settled()
    argv, environment = _command(block, tier, str(tmp_path))
    path = os.path.join(str(tmp_path), "out")

    def lines() -> list[str]:
        with open(path, encoding="utf-8") as file:
            return file.read().split()
    with open(path, "wb") as out:
        process = spawn(argv, environment, out, stdin=subprocess.PIPE)
    try:
        wait_for(lambda: lines() == [_url(active)], 20, "the active front's URL is printed", lambda: str(lines()))
        assert active.stop() == 0
        heir = tier.wait_active(other_than=active)
        wait_for(lambda: lines()[-1] == _url(heir), 20, f"it prints {_url(heir)}", lambda: str(lines()))
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
    finally:
        process.kill()
        process.wait(10)
    active.start()
    tier.wait_settled()
    wait_ready(active)


def test_every_purpose_is_tested() -> None:
    assert {block.purpose for block in BLOCKS} == {"active", "session", "watch"}
    assert {block.language for block in BLOCKS} == {"sh", "python", "java"}


def test_the_page_names_files_that_are_there() -> None:
    with open(PAGE, encoding="utf-8") as file:
        links = re.findall(r"\]\(([^)#]+)", file.read())
    assert links
    missing = [link for link in links if not link.startswith("http") and not os.path.exists(os.path.join(ROOT, "docs", link))]
    assert not missing
