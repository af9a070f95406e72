"""Livy's own web pages through a standby's front, in both modes, in a real browser: they load with all that they ask for, and
show what the active Livy knows."""
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import show
from pair import Pair
from realmember import RealMember

# What each page has once its scripts have run, and what it asks for beside itself.
PAGES = {
    "/": ("<title>Livy - Sessions</title>", ["/static/css/livy-ui.css", "/static/js/all-sessions.js", "/sessions", "/batches",
                                             "/static/html/batches-table.html", "/static/img/livy-mini-logo.png"]),
    "/ui/batch/0/log": ("<title>Livy - Batch 0 Log</title>", ["/static/js/session-log.js", "/batches/0/log?size=-1"]),
}
FAVICON = "/favicon.ico"  # Livy has none


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("ui"), lambda _name: {"front.mode": "forward"}, fronts=True)
    try:
        active, _standby = made.start().settled()
        active.ask("POST", "/batches", {"file": "local:/nowhere/job.py", "name": "shown-in-the-browser"})
        yield made
    finally:
        made.close()


def _show(fronts: Pair, active: RealMember, standby: RealMember, path: str, directory: Path) -> None:
    mode = standby.settings["front.mode"]
    page = show(standby.front_url + path, str(directory), {active.front_url, standby.front_url})
    title, asked = PAGES[path]
    said = f"{page.describe()}\n{active.failure_text()}\n{standby.failure_text()}"
    assert title in page.dom, said
    failed = [request for request in page.requests if request.failed and not request.urls[-1].endswith(FAVICON)]
    assert not failed, f"{failed}\n{said}"
    first, *others = page.requests
    assert first.urls[0] == standby.front_url + path, said
    # Forwarded, the page is the standby's front's; redirected, the active member's: there its own addresses lead.
    home = standby.front_url if mode == "forward" else active.front_url
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
    for port in (active.port, int(active.front_url.rpartition(":")[2])):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/version?" + UNESCAPED.partition("?")[2])
        answers.append(connection.getresponse().read())
        connection.request("GET", UNESCAPED)
        answer = connection.getresponse()
        answers.append(f"{answer.status} {answer.read()!r}".encode())
        connection.close()
    assert b'"version"' in answers[0] and answers[:2] == answers[2:], answers
    assert not answers[1].startswith(b"400"), answers
