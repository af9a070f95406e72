"""Fixtures of the tests in booted systems."""
import os
import sys
from collections.abc import Callable, Iterator

import pytest
from _pytest.terminal import TerminalReporter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from livyha import netns  # noqa: E402
from pair import Pair  # noqa: E402

_MEASURED = pytest.StashKey[list[str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What boots systems moves into namespaces of its own. Where they cannot be had, the fixture below fails, and says why."""
    if not session.config.option.collectonly and any("pair" in getattr(item, "fixturenames", ()) for item in session.items):
        netns.enter(session.config)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two booted systems in which nothing is installed yet, for all tests of a module."""
    with Pair(str(tmp_path_factory.mktemp("pair"))) as made:
        yield made
        made.assert_exclusive()


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """What was measured, to be told at the end of the run."""
    return request.config.stash.setdefault(_MEASURED, []).append


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_MEASURED, []):
        terminalreporter.write_line(f"measured: {line}")
