"""Livy's own web pages through a standby's front, in both modes, in a real browser: they load with all that they ask for, and
show what the active Livy knows."""
import http.client
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from browser import show
from pair import Pair
from realmember import CONF_DIR, RealMember

# pylint: disable=wrong-import-order
from livyha.ports import free_port

# What each page has once its scripts have run, and what it asks for beside itself.
PAGES = {
    "/": ("<title>Livy - Sessions</title>", ["/static/css/livy-ui.css", "/static/js/all-sessions.js", "/sessions", "/batches",
                                             "/static/html/batches-table.html", "/static/img/livy-mini-logo.png"]),
    "/ui/batch/0/log": ("<title>Livy - Batch 0 Log</title>", ["/static/js/session-log.js", "/batches/0/log?size=-1"]),
}
FAVICON = "/favicon.ico"  # Livy has none


def _conf_dir(directory: Path) -> str:
    """As the other tests have it, but reached from other members: forwarding to a loopback address is refused."""
    made = directory / "conf"
    shutil.copytree(CONF_DIR, made)
    text = (made / "livy.conf").read_text(encoding="utf-8")
    assert "livy.server.host = 127.0.0.1\n" in text
    (made / "livy.conf").write_text(text.replace("livy.server.host = 127.0.0.1\n", ""), encoding="utf-8")
    return str(made)


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("ui")
    conf_dir = _conf_dir(directory)

    def settings(_name: str) -> Mapping[str, Any]:
        port = free_port()
        return {"livy.conf_dir": conf_dir, "front.listen": f"127.0.0.1:{port}", "front.advertise": f"http://127.0.0.1:{port}",
                "front.mode": "forward"}
    made = Pair(directory, settings)
    try:
        active, _standby = made.start().settled()
        active.ask("POST", "/batches", {"file": "local:/nowhere/job.py", "name": "shown-in-the-browser"})
        yield made
    finally:
        made.close()


def _front(member: RealMember) -> str:
    return str(member.settings["front.advertise"])


def _show(fronts: Pair, active: RealMember, standby: RealMember, path: str, directory: Path) -> None:
    mode = standby.settings["front.mode"]
    page = show(_front(standby) + path, str(directory), {_front(active), _front(standby)})
    title, asked = PAGES[path]
    said = f"{page.describe()}\n{active.failure_text()}\n{standby.failure_text()}"
    assert title in page.dom, said
    failed = [request for request in page.requests if request.failed and not request.urls[-1].endswith(FAVICON)]
    assert not failed, f"{failed}\n{said}"
    first, *others = page.requests
    assert first.urls[0] == _front(standby) + path, said
    # Forwarded, the page is the standby's front's; redirected, the active member's: there its own addresses lead.
    home = _front(standby) if mode == "forward" else _front(active)
    assert first.urls[-1].startswith(home), said
    assert (307 in first.statuses) == (mode == "redirect"), said
    loaded = {url for request in others for url in request.urls}
    assert not {home + each for each in asked} - loaded, said
    if path == "/":
        assert "shown-in-the-browser" in page.dom, said


@pytest.mark.parametrize("mode", ["forward", "redirect"])
def test_pages_load_through_a_standby(fronts: Pair, mode: str, tmp_path: Path) -> None:
    active, standby = fronts.settled()
    if standby.settings["front.mode"] != mode:
        assert standby.stop() == 0
        standby.settings["front.mode"] = mode
        standby.write_conf()
        fronts.rejoin(standby)
    for number, path in enumerate(PAGES):
        directory = tmp_path / str(number)
        directory.mkdir()
        _show(fronts, active, standby, path, directory)


# As clients send them that do not escape: a browser in a query, and brackets in a path too; curl -g, Java, urllib everywhere.
UNESCAPED = "/sessions/0[1]{a}|b^c`d?doAs=0[1]{a}|b^c`d"


def test_livy_takes_what_clients_should_have_escaped(fronts: Pair) -> None:
    """The front does as Livy itself."""
    active, _standby = fronts.settled()
    answers = []
    for port in (active.port, int(_front(active).rpartition(":")[2])):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/version?" + UNESCAPED.partition("?")[2])
        answers.append(connection.getresponse().read())
        connection.request("GET", UNESCAPED)
        answer = connection.getresponse()
        answers.append(f"{answer.status} {answer.read()!r}".encode())
        connection.close()
    assert b'"version"' in answers[0] and answers[:2] == answers[2:], answers
    assert not answers[1].startswith(b"400"), answers
