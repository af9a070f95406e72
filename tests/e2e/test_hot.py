"""livy.standby = "hot": a standby's Livy stands at the gate, and to take over is to let it go."""
from collections.abc import Callable

import pytest
from livyha.cluster import Cluster

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def hot(make_cluster: MakeCluster) -> Cluster:
    return make_cluster(2, livy__standby="hot", writing_ms=20)


def begin(cluster: Cluster) -> None:
    first, second = cluster.members
    first.start()
    first.wait_serving()
    second.start()
    second.wait_held()
    second.wait_log("held Livy warming -> held")


def test_a_takeover_lets_the_held_one_go(hot: Cluster) -> None:
    begin(hot)
    first, second = hot.members
    held = second.held()
    assert held is not None
    first.kill()
    life = second.wait_serving()
    assert life.pid == held.pid, "the one that was held"
    assert life.serving - life.first < 200_000_000, "nothing was left to be done"
