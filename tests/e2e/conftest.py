"""Fixtures of the end-to-end tests: a ZooKeeper server for all of a run, clusters of real daemons."""
import os
import sys
from collections.abc import Callable, Iterator

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from livyha import netns  # noqa: E402
from livyha.bed import Bed  # noqa: E402
from livyha.cluster import Cluster  # noqa: E402
from livyha.matrix import Row  # noqa: E402
from livyha.relaybed import Relay  # noqa: E402
from livyha.zookeeper import Ensemble  # noqa: E402

ClusterMaker = Callable[..., Cluster]


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """One server that no test may stop or freeze."""
    with Ensemble(str(tmp_path_factory.mktemp("zk"))) as ensemble:
        yield ensemble


@pytest.fixture
def own_zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """One server for a test that stops or freezes it."""
    with Ensemble(str(tmp_path_factory.mktemp("zk"))) as ensemble:
        yield ensemble


def _finish(clusters: list[Cluster]) -> None:
    for cluster in clusters:
        cluster.destroy()
    reports = "\n".join(filter(None, (cluster.sanitizer_reports() for cluster in clusters)))
    assert not reports, f"a sanitizer has something to say:\n{reports}"
    for cluster in clusters:
        if cluster.outside_assumptions:
            print(f"overlap {cluster.oracle.overlap_us()} us, outside the assumptions: {cluster.outside_assumptions}")
        else:
            cluster.assert_exclusive()
            cluster.assert_store_whole()


def _maker(tmp_path_factory: pytest.TempPathFactory, zookeeper: Callable[[], Ensemble],
           made: list[Cluster]) -> ClusterMaker:
    def make(count: int = 1, ensemble: Ensemble | None = None, writing_ms: int = 0, fronts: bool = False,
             **settings: object) -> Cluster:
        """Keyword settings are dotted keys with "__" for the dot: livy__restarts=1."""
        directory = str(tmp_path_factory.mktemp("c"))
        dotted = {key.replace("__", "."): value for key, value in settings.items()}
        made.append(Cluster(ensemble or zookeeper(), directory, count, dotted, writing_ms, fronts))
        return made[-1]
    return make


@pytest.fixture
def make_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterMaker]:
    """Makes clusters for one test. Afterwards they are ended, and no two Livys may have overlapped, no
    sanitizer may have reported anything, whatever the test was about."""
    made: list[Cluster] = []
    yield _maker(tmp_path_factory, lambda: request.getfixturevalue("zookeeper"), made)
    _finish(made)


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory, zookeeper: Ensemble) -> Iterator[ClusterMaker]:
    """The same for all tests of a module."""
    made: list[Cluster] = []
    yield _maker(tmp_path_factory, lambda: zookeeper, made)
    _finish(made)


def _shared(tmp_path_factory: pytest.TempPathFactory, zookeeper: Ensemble, count: int) -> Iterator[Cluster]:
    made: list[Cluster] = []
    cluster = _maker(tmp_path_factory, lambda: zookeeper, made)(count)
    try:
        yield cluster.start()
    finally:
        _finish(made)


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory, zookeeper: Ensemble) -> Iterator[Cluster]:
    """Three members, started, for all tests of a module that leave it as they found it."""
    yield from _shared(tmp_path_factory, zookeeper, 3)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, zookeeper: Ensemble) -> Iterator[Cluster]:
    """The same with one member."""
    yield from _shared(tmp_path_factory, zookeeper, 1)


# ---- the relay alone -------------------------------------------------------------------------------------------


@pytest.fixture
def make_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Relay]]:
    """Starts relays for one test; keyword settings as make_cluster's."""
    made: list[Relay] = []

    def make(nofile: int | None = None, follows: bool = False, **settings: object) -> Relay:
        made.append(Relay(str(tmp_path_factory.mktemp("r")), nofile, follows, **settings))
        return made[-1].ready()
    yield make
    for relay in made:
        relay.close()


# ---- tests in network namespaces ------------------------------------------------------------------------------


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tests on a bed run in namespaces of their own: all of this run moves there, before its first test."""
    if not session.config.option.collectonly and any("bed" in getattr(item, "fixturenames", ()) for item in session.items):
        netns.enter(session.config)


@pytest.fixture(scope="module")
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Three ZooKeeper servers with the module's TICK_MS (500), hosts for three members. A test leaves it whole (Row does)."""
    with Bed(str(tmp_path_factory.mktemp("bed")), getattr(request.module, "TICK_MS", 500)) as made:
        yield made


@pytest.fixture
def row(request: pytest.FixtureRequest, bed: Bed, make_cluster: ClusterMaker) -> Iterator[Row]:
    made = Row(bed, make_cluster, request.node)
    try:
        yield made
    finally:
        made.close()
