"""The fault matrix: the network. See livyha/matrix.py."""
from livyha.matrix import Row


def test_cut_from_its_server(row: Row) -> None:
    row.start("active one cut from the ZooKeeper server that it is connected to")
    server = row.bed.wait_connected(row.active)
    row.fault()
    row.bed.cut(row.active, server)
    row.expect_same()
    assert row.bed.wait_connected(row.active) is not server
    row.finish()


def test_cut_from_all_servers(row: Row) -> None:
    row.start("active one cut from all ZooKeeper servers")
    row.fault()
    row.bed.cut_all(row.active)
    row.expect_another()
    row.expect_dead_within(row.timeout_s)
    row.expect_history("fenced: the lease ended without renewal", "elected: .*did not leave in order")
    row.finish()
