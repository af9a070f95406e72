"""The package's life on a system: installed, started, upgraded, removed, purged. In the order of the tests."""
import os
import subprocess

import pytest
from pair import ADMIN, FRONT, Pair
from systems import System


def elector_of(system: System) -> str:
    """Its pid, in the system."""
    inside = system.show("MainPID")
    return next((line.split()[0] for line in system.run("systemd-cgls", "--unit", "livy-ha.service", "--full").out.splitlines()
                 if "livy-ha-elector" in line and inside not in line), "")


def newer_package(pair: Pair, system: System) -> str:
    """The same one with a higher version, as the next release would be."""
    unpacked = os.path.join(pair.directory, "newer")
    target = os.path.join(pair.directory, "livy-ha-newer.deb")
    subprocess.run(["dpkg-deb", "--raw-extract", pair.package, unpacked], check=True)
    control = os.path.join(unpacked, "DEBIAN", "control")
    with open(control, encoding="utf-8") as file:
        text = file.read()
    with open(control, "w", encoding="utf-8") as file:
        file.writelines(f"{line}+newer\n" if line.startswith("Version: ") else f"{line}\n" for line in text.splitlines())
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", unpacked, target], check=True, capture_output=True)
    subprocess.run(["cp", target, system.path("/root/newer.deb")], check=True)
    return "/root/newer.deb"


@pytest.fixture(scope="module")
def before(pair: Pair) -> set[str]:
    """All files of system b before anything was installed there."""
    return files_below(pair.b)


def files_below(system: System) -> set[str]:
    """Of a system, without what dpkg, apt and the journal note down about every package."""
    noted = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/var/lib/apt/", "/var/lib/systemd/", "/root/", "/run/", "/proc/",
             "/sys/", "/dev/", "/tmp/", "/var/tmp/")
    found = set()
    for directory, folders, names in os.walk(system.root):
        inside = directory.removeprefix(system.root) + "/"
        folders[:] = [name for name in folders if not f"{inside}{name}/".startswith(noted)]
        found |= {inside + name for name in [*folders, *names]}
    return found


def test_installed_it_starts_nothing(pair: Pair, before: set[str]) -> None:
    assert before
    for system in pair.systems:
        pair.install(system)
        assert system.show("ActiveState") == "inactive"
        assert system.show("UnitFileState") == "disabled"
        assert pair.get(system, FRONT, "/")[0] == pair.get(system, ADMIN, "/")[0] == 0
        assert system.run("dpkg", "--verify", "livy-ha").out == ""
        assert "Apache Livy" in system.run("getent", "passwd", "livy").out


def test_not_configured_it_says_so_and_is_not_restarted(pair: Pair) -> None:
    """As it comes, the configuration names no ZooKeeper and no Livy: nothing can run by accident."""
    done = pair.a.run("systemctl", "start", "livy-ha", check=False)
    assert done.code != 0
    assert (pair.a.show("ActiveState"), pair.a.show("ExecMainStatus"), pair.a.show("NRestarts")) == ("failed", "78", "0")
    said = [entry["MESSAGE"] for entry in pair.a.journal()]
    assert any("zookeeper.hosts" in line for line in said) and any("livy.home" in line for line in said), said
    pair.a.run("systemctl", "reset-failed", "livy-ha")


def test_enabled_and_started_one_serves(pair: Pair) -> None:
    for system in pair.systems:
        pair.configure(system)
        assert "good" in system.run("livy-ha", "--check-config").out
        system.run("systemctl", "enable", "--now", "--quiet", "livy-ha")
    active, standby, _life = pair.settle()
    assert pair.row(active)["id"] == active.host.fqdn, "the id is the name of the host"
    for system in pair.systems:
        assert pair.get(system, FRONT, "/version")[0] == 200, "every front leads to the active Livy"
    assert active.run("livy-ha-ctl", "status").code == 0
    assert standby.run("livy-ha-ctl", "active").out.strip() == f"http://{active.host.fqdn}:{FRONT}"


def test_upgraded_its_livy_runs_on(pair: Pair) -> None:
    active, _standby, life = pair.settle()
    main, elector = active.show("MainPID"), elector_of(active)
    epoch = pair.row(active)["epoch"]
    said = pair.install(active, newer_package(pair, active))
    assert elector_of(active) != elector or "livy-ha runs on with the version that it was started with" in said, said
    assert "+newer" in active.run("dpkg-query", "--show", "livy-ha").out
    active.wait(lambda: active.show("ActiveState") == "active", 20, "the service is active")
    assert (active.show("MainPID"), active.show("NRestarts")) == (main, "0")
    now = pair.life(active)
    assert now and now.path == life.path, "Livy was restarted"
    pair.wait_role(active, "active")
    assert pair.row(active)["epoch"] == epoch
    assert active.read("/etc/livy-ha/livy-ha.conf").startswith("zookeeper"), "the user's file was not replaced"
    active.run("systemctl", "restart", "livy-ha")  # the new keeper comes up too
    pair.settle()


def test_removed_it_hands_over_first(pair: Pair) -> None:
    active, standby, life = pair.settle()
    active.run("apt-get", "remove", "--yes", "livy-ha")
    gap = pair.wait_handed_over(life, standby)
    assert gap.before.exit_kind == 1, "Livy was stopped in order"
    assert not os.path.exists(active.path("/usr/sbin/livy-ha"))
    assert os.path.exists(active.path("/etc/livy-ha/livy-ha.conf")), "a removal keeps the configuration"
    pair.install(active, pair.copy_package(active))
    pair.settle()


def test_purged_nothing_is_left(pair: Pair, before: set[str]) -> None:
    system = pair.b
    system.run("apt-get", "purge", "--yes", "livy-ha")
    assert not os.path.exists(f"/proc/{system.init()}/root/run/livy-ha")
    user = {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock"}  # the user livy stays
    left = files_below(system) - before - user
    assert not left, f"left behind: {sorted(left)}"
    assert "livy-ha" not in system.run("systemctl", "list-unit-files", "--all", check=False).out
    assert "livy-ha" not in system.run("systemctl", "list-units", "--all", "--failed").out
