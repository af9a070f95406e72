"""What is in the packages. Nothing is installed or booted for it."""
import glob
import os
import subprocess
import tarfile

import pytest
from livyha.build import ROOT

PAGES = sorted(glob.glob(os.path.join(ROOT, "docs", "*.[1-8]")))
PROGRAMS = {"/usr/sbin/livy-ha", "/usr/bin/livy-ha-ctl", "/usr/libexec/livy-ha/livy-ha-elector",
            "/usr/libexec/livy-ha/livy-ha-relay"}
AGENT = "/usr/libexec/livy-ha/liblivy-ha-gate.so"  # of Livy's JVM


def output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def deb() -> str:
    found = os.environ.get("LIVY_HA_TEST_DEB")
    assert found, "LIVY_HA_TEST_DEB is not set: run tests/run packages"
    return found


@pytest.fixture(scope="module")
def tree(deb: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = str(tmp_path_factory.mktemp("tree"))
    output("dpkg-deb", "--extract", deb, directory)
    return directory


def files_of(deb: str) -> dict[str, str]:
    """Mode and owner by path, without directories."""
    found = {}
    for line in output("dpkg-deb", "--contents", deb).splitlines():
        mode, owner, _size, _day, _time, path = line.split(maxsplit=5)
        if not mode.startswith("d"):
            found[path.removeprefix(".")] = f"{mode} {owner}"
    return found


def control(deb: str, name: str) -> list[str]:
    return output("dpkg-deb", "--info", deb, name).splitlines()


def test_lintian(deb: str) -> None:
    output("lintian", "--fail-on", "error,warning", deb)


@pytest.mark.parametrize("page", PAGES, ids=os.path.basename)
def test_manual_page(page: str) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False)
    # Whether a page that is referred to is found depends on what is installed on this machine.
    found = [line for line in (done.stdout + done.stderr).splitlines() if "referenced manual not found" not in line]
    assert not found, "\n".join(found)


def test_every_page_is_in_it(deb: str) -> None:
    files = files_of(deb)
    for page in PAGES:
        name = os.path.basename(page)
        assert f"/usr/share/man/man{name[-1]}/{name}.gz" in files


def test_configuration_is_the_users(deb: str) -> None:
    """All of it is asked about at an upgrade, and none of it names a host."""
    assert set(control(deb, "conffiles")) == {path for path in files_of(deb) if path.startswith("/etc/")}


def test_as_it_comes_nothing_is_set(tree: str) -> None:
    for name in ("livy-ha/livy-ha.conf", "default/livy-ha"):
        with open(os.path.join(tree, "etc", name), encoding="utf-8") as file:
            lines = [line.strip() for line in file]
        assert not [line for line in lines if "=" in line and not line.startswith("#")], name


def test_owners_and_modes(deb: str) -> None:
    files = files_of(deb)
    assert PROGRAMS | {AGENT} <= files.keys()
    for path, found in files.items():
        assert found == f"{'-rwxr-xr-x' if path in PROGRAMS else '-rw-r--r--'} root/root", path


def test_depends_on_what_it_is_linked_with(deb: str, tree: str) -> None:
    depends = {entry.split()[0] for entry in output("dpkg-deb", "--field", deb, "Depends").split(",")}
    assert len(depends) > 5
    for program in PROGRAMS | {AGENT}:
        needed = {line.split()[1] for line in output("objdump", "--private-headers", tree + program).splitlines()
                  if line.strip().startswith("NEEDED")}
        for name in needed:
            owners = {line.split(":")[0] for line in output("dpkg", "--search", f"*/{name}").splitlines()}
            assert owners & depends, f"{program} needs {name} of {owners}"


def test_version_is_the_programs(deb: str, tree: str) -> None:
    version = output("dpkg-deb", "--field", deb, "Version").strip()
    assert output(f"{tree}/usr/sbin/livy-ha", "--version").strip() == f"livy-ha {version}"


def test_unit_starts_what_is_in_it(deb: str, tree: str) -> None:
    with open(f"{tree}/usr/lib/systemd/system/livy-ha.service", encoding="utf-8") as file:
        commands = [line.split("=", 1)[1].split()[0] for line in file if line.startswith(("ExecStart=", "ExecStopPost="))]
    assert len(commands) == 2 and set(commands) <= files_of(deb).keys()


def test_archive_has_the_same_files(deb: str) -> None:
    archives = glob.glob(os.path.join(os.path.dirname(deb), "livy-ha-*.tar.gz"))
    assert len(archives) == 1
    with tarfile.open(archives[0]) as archive:
        found = {"/" + member.name.split("/", 1)[1] for member in archive if member.isfile()}
    assert found == files_of(deb).keys()
