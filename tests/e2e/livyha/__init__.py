"""The harness of the end-to-end tests: real ZooKeeper servers, real livy-ha processes, a stand-in for Livy
that writes down when it lived. Nothing here knows how livy-ha works inside; it looks at processes, files,
ZooKeeper and the documented outside only."""
