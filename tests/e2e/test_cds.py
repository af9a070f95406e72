"""livy.class_data_sharing = "auto", with a small Java program in Livy's place: an archive of its classes is made once it has
served, and used from the next start on. What a JVM really uses is seen from outside, in its /proc/PID/maps."""
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Callable

import pytest
from livyha import gate, proc
from livyha.build import program
from livyha.cluster import Cluster
from livyha.member import Member
from livyha.wait import let_pass

MakeCluster = Callable[..., Cluster]
READY = "class data making -> ready"
MAKE_S = 120  # half a second of CPU time, but at a low priority


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with the classes in a jar, and another jar."""
    directory = str(tmp_path_factory.mktemp("livy"))
    classes = gate.compile_livy(directory)
    made = os.path.join(directory, "jars")
    os.mkdir(made)
    subprocess.run(["jar", "cf", os.path.join(made, "livy.jar"), "-C", classes, "."], check=True)
    subprocess.run(["jar", "cf", os.path.join(made, "other.jar"), "-C", directory, "src"], check=True)
    return made


class Bed:
    """One member whose Livy is that program, with jars of its own to spoil."""

    def __init__(self, make_cluster: MakeCluster, directory: str, jars: str, more: str = "", before: str = "",
                 **settings: object) -> None:
        self.jars = os.path.join(directory, "jars")
        shutil.copytree(jars, self.jars)
        self.path = f"{self.jars}/*:{directory}"  # a directory follows the jars, as Livy's configuration does
        self.launcher = gate.launcher(directory, f"'{before}{self.path}'", more)
        self.member = make_cluster(1, livy__class_data_sharing="auto", livy__command=self.launcher, **settings).members[0]

    def file(self, name: str) -> str:
        return os.path.join(self.member.runtime_dir, "class-data", name)

    def start(self) -> int:
        self.member.start()
        return wait_livy(self.member)

    def restart(self) -> int:
        before = wait_livy(self.member)
        assert self.member.ctl("restart").code == 0
        return wait_livy(self.member, before)

    def made(self) -> "Bed":
        self.start()
        self.member.wait_log(READY, timeout=MAKE_S)
        return self


@pytest.fixture
def make_bed(make_cluster: MakeCluster, tmp_path: str, jars: str) -> Callable[..., Bed]:
    return lambda **options: Bed(make_cluster, str(tmp_path), jars, **options)


def wait_livy(member: Member, other_than: int = 0) -> int:
    def found() -> int | None:
        row = member.row()
        return row["livy_pid"] if row.get("livy") == "serving" and row["livy_pid"] != other_than else None
    return member.wait(found, 30, "its Livy serves")


def mapped(pid: int) -> bool:
    """Does this JVM run with the archive?"""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return "/class-data/livy.jsa" in file.read()


def has_lines(member: Member, text: str, count: int) -> None:
    member.wait(lambda: member.log().count(text) == count, MAKE_S, f"{count} times {text}")


def test_made_once_and_used_and_made_anew(make_bed: Callable[..., Bed]) -> None:
    bed = make_bed().made()
    member = bed.member
    assert not mapped(wait_livy(member)), "the first one"
    for name, mode in (("", 0o700), ("livy.jsa", 0o400), ("made-of", 0o600)):
        assert stat.S_IMODE(os.lstat(bed.file(name)).st_mode) == mode, name
    first = os.stat(bed.file("livy.jsa")).st_mtime_ns
    assert mapped(bed.restart())
    assert member.stop() == 0
    assert mapped(bed.start()), "a daemon that is started anew finds it"
    shutil.copy(os.path.join(bed.jars, "other.jar"), os.path.join(bed.jars, "added.jar"))
    assert not mapped(bed.restart()), "and no archive that does not fit"
    member.wait_log("class data ", "added.jar is new")
    has_lines(member, READY, 2)
    assert mapped(bed.restart())
    assert os.stat(bed.file("livy.jsa")).st_mtime_ns != first and sorted(os.listdir(bed.file(""))) == ["livy.jsa", "made-of"]
    # Spoiled, as large and as old as before: nothing tells but the JVM, which does not take it.
    archive = bed.file("livy.jsa")
    was = os.stat(archive)
    os.chmod(archive, 0o600)
    with open(archive, "r+b") as file:
        file.write(b"\0" * 4096)
    os.utime(archive, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert not mapped(bed.restart()), "it serves without"
    member.wait_log("class data refused -> making")
    has_lines(member, READY, 3)
    assert mapped(bed.restart())
    member.settings["livy.class_data_sharing"] = "off"
    member.write_conf()
    assert member.ctl("reload").code == 0
    assert not mapped(bed.restart()) and os.listdir(bed.file("")) == []


def test_a_java_that_dies_of_it(make_bed: Callable[..., Bed]) -> None:
    """Not for ever: the next one is started without, and the second archive that does it is the last."""
    bed = make_bed(livy__restarts=9).made()
    with open(bed.launcher, encoding="utf-8") as file:
        script = file.read()
    with open(bed.launcher, "w", encoding="utf-8") as file:
        file.write(script.replace("exec java", 'case "$LIVY_SERVER_JAVA_OPTS" in *SharedArchiveFile*) exit 3 ;; esac\nexec java'))
    for i in (1, 2):
        assert not mapped(bed.restart())
        has_lines(bed.member, "class data ready -> suspect", i)
        has_lines(bed.member, "class data suspect -> none", i)
        has_lines(bed.member, READY, 2)
    bed.member.wait_log("class data is neither made nor used any more before a reload")
    bed.restart()
    assert bed.member.ctl("reload").code == 0
    bed.restart()
    has_lines(bed.member, READY, 3)


def test_all_ended_with_it(make_bed: Callable[..., Bed]) -> None:
    """As a container does where the making takes the last of its memory: not again and again."""
    bed = make_bed()
    os.makedirs(bed.file(""), mode=0o700)
    with open(bed.file("begun"), "w", encoding="utf-8") as file:
        file.write("+++")
    pid = bed.start()
    bed.member.wait_log("class data cannot be had: 3 times it was begun, and all ended with it", timeout=MAKE_S)
    assert os.listdir(bed.file("")) == ["begun"] and proc.alive(pid)
    os.unlink(bed.file("begun"))
    bed.restart()
    bed.member.wait_log(READY, timeout=MAKE_S)
    assert sorted(os.listdir(bed.file(""))) == ["livy.jsa", "made-of"]


def test_no_room_for_it(make_bed: Callable[..., Bed]) -> None:
    bed = make_bed()
    bed.member.start()
    resource.prlimit(bed.member.pid, resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
    pid = wait_livy(bed.member)
    bed.member.wait_log("class data making -> none", "Unable to write to shared archive file", timeout=MAKE_S)
    assert os.listdir(bed.file("")) == []
    assert proc.alive(pid) and not mapped(bed.restart())


@pytest.mark.parametrize(("options", "why"), [
    ({"more": "-Xshare:off"}, "-Xshare:off"),
    ({"more": "-Xshare:on"}, "-Xshare:on"),
    ({"environment": "JAVA_TOOL_OPTIONS=-Xshare:auto"}, "is told about archives by JAVA_TOOL_OPTIONS"),
    ({"more": "-XX:SharedArchiveFile=/nonexistent/own.jsa"}, "an archive of its own"),
    ({"before": "/etc:"}, 'begins with "/etc", which is no jar'),
])
def test_where_there_can_be_none(make_bed: Callable[..., Bed], options: dict[str, str], why: str) -> None:
    name, _, value = options.pop("environment", "").partition("=")
    bed = make_bed(**options)
    if name:
        bed.member.env[name] = value
    bed.start()
    bed.member.wait_log("class data cannot be had", why)
    bed.restart()
    let_pass(1, lambda: bed.member.log().count("class data cannot be had") == 1, "told once")
    assert not os.path.exists(bed.file("livy.jsa"))


def test_a_directory_that_is_not_ours(make_bed: Callable[..., Bed], tmp_path: str) -> None:
    bed = make_bed()
    os.makedirs(os.path.join(tmp_path, "elsewhere"))
    os.makedirs(bed.member.runtime_dir, exist_ok=True)
    os.symlink(os.path.join(tmp_path, "elsewhere"), bed.file("").rstrip("/"))
    bed.start()
    bed.member.wait_log("class data making -> none", "class-data: Not a directory")
    assert os.listdir(os.path.join(tmp_path, "elsewhere")) == []


def test_refused_without_the_agent(make_cluster: MakeCluster, tmp_path: str) -> None:
    member = make_cluster(1, livy__class_data_sharing="auto").members[0]
    copy = shutil.copy(program("livy-ha"), os.path.join(tmp_path, "livy-ha"))
    done = subprocess.run([copy, "-c", member.conf_path, "--check-config"], env=member.env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 78 and 'livy.class_data_sharing = "auto"' in done.stderr and "liblivy-ha-gate.so" in done.stderr, done


def test_a_held_one_uses_it(make_cluster: MakeCluster, tmp_path: str, jars: str) -> None:
    launcher = gate.launcher(str(tmp_path), f"'{jars}/*:{tmp_path}'")
    cluster = make_cluster(2, livy__standby="hot", livy__class_data_sharing="auto", livy__command=launcher)
    first, second = cluster.members
    first.start()
    wait_livy(first)
    first.wait_log(READY, timeout=MAKE_S)
    second.start()
    second.wait_log("held Livy warming -> held", timeout=30)
    assert first.ctl("switchover").code == 0
    wait_livy(second)
    first.wait_log("held Livy warming -> held", timeout=30)
    held = first.child("java")
    assert held is not None and mapped(held)
    assert second.ctl("switchover").code == 0
    assert wait_livy(first) == held
    let_pass(1, lambda: first.log().count(READY) == 1, "it fits")
