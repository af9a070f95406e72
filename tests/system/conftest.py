"""Fixtures of the tests in booted systems."""
import os
import sys
from collections.abc import Callable, Iterator

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from livyha import netns  # noqa: E402
from pair import Pair  # noqa: E402


def pytest_collection_finish(session: pytest.Session) -> None:
    """All of this run moves into namespaces of its own. Where they cannot be had, the fixtures below fail, and say why."""
    if not session.config.option.collectonly:
        netns.enter(session.config)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two booted systems in which nothing is installed yet, for all tests of a module."""
    with Pair(str(tmp_path_factory.mktemp("pair"))) as made:
        yield made
        made.assert_exclusive()


@pytest.fixture(scope="session")
def record() -> Iterator[Callable[[str], None]]:
    """What was measured, to be told at the end of the run."""
    lines: list[str] = []
    yield lines.append
    sys.__stdout__.write("\nmeasured:\n" + "\n".join(f"  {line}" for line in lines) + "\n")
