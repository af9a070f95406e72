"""Makes the helpers importable from wherever pytest is called; the bed of the tests with YARN, and their report."""
import os
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
import realmember  # noqa: E402,F401  (makes livyha importable)
from livyha import netns  # noqa: E402
from timeline import Report  # noqa: E402
from yarnbed import YarnBed  # noqa: E402
import yarnreport  # noqa: E402

_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--markdown", metavar="FILE", help="write what the tests with YARN have measured to FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "core: with YARN, and part of the suite `yarn` of tests/run")
    config.stash[_REPORT] = Report()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tests on the bed run in namespaces of their own: all of this run moves there, before its first test."""
    if not session.config.option.collectonly and any("yarn_bed" in getattr(item, "fixturenames", ()) for item in session.items):
        netns.enter(session.config)


@pytest.fixture(scope="session")
def yarn_bed(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[YarnBed]:
    with YarnBed(str(tmp_path_factory.mktemp("yarn"))) as bed:
        report.zookeeper = bed.zookeeper.servers[0].ask("srvr").partition("version: ")[2].partition("-")[0]
        yield bed


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash[_REPORT]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A report of what has passed alone would be no report."""
    path = session.config.getoption("--markdown")
    if path and exitstatus == 0 and session.config.stash[_REPORT].lines:
        yarnreport.write(path, session.config.stash[_REPORT])
