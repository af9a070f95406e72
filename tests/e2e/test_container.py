"""livy-ha as PID 1 of two containers that are as conf/container and conf/kubernetes say: configured by the environment
alone, not root, no capabilities, a root file system that is read-only."""
import ipaddress
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping

import pytest
from livyha import proc
from livyha.bed import Bed
from livyha.build import ROOT
from livyha.container import Container, Image, Pod
from livyha.oracle import Oracle
from livyha.wait import boot_ms, let_pass

# As for a Service "livy-ha" with the ports front and admin, and another one "livy-ha-livy".
SERVICE_LINKS = {
    "LIVY_HA_SERVICE_HOST": "10.96.0.7", "LIVY_HA_SERVICE_PORT": "8998", "LIVY_HA_SERVICE_PORT_FRONT": "8998",
    "LIVY_HA_SERVICE_PORT_ADMIN": "8997", "LIVY_HA_PORT": "tcp://10.96.0.7:8998",
    "LIVY_HA_PORT_8998_TCP": "tcp://10.96.0.7:8998", "LIVY_HA_PORT_8998_TCP_PROTO": "tcp",
    "LIVY_HA_PORT_8998_TCP_PORT": "8998", "LIVY_HA_PORT_8998_TCP_ADDR": "10.96.0.7",
    "LIVY_HA_LIVY_SERVICE_HOST": "10.96.0.8", "LIVY_HA_LIVY_PORT": "tcp://10.96.0.8:18998",
    "LIVY_PORT": "tcp://10.96.0.9:8998", "LIVY_SERVICE_HOST": "10.96.0.9",
}
NAMES = ("livy-ha-0", "livy-ha-1")
FAST = {"LIVY_HA_ZOOKEEPER_SESSION_TIMEOUT": "4s", "LIVY_HA_ZOOKEEPER_TICK": "500ms", "LIVY_HA_LIVY_KILL_MARGIN": "500ms"}
Maker = Callable[..., Container]


@pytest.fixture(scope="module")
def pod() -> Pod:
    return Pod()


@pytest.fixture(scope="module")
def image(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Image:
    for number, name in enumerate(NAMES, 21):
        bed.network.add(name, number)
    return Image(str(tmp_path_factory.mktemp("image")))


@pytest.fixture
def make(bed: Bed, image: Image, pod: Pod, tmp_path_factory: pytest.TempPathFactory,
         request: pytest.FixtureRequest) -> Iterator[Maker]:
    """Makes containers, not started: the first one livy-ha-0, the second livy-ha-1. Two Livys may never overlap."""
    directory = str(tmp_path_factory.mktemp("pods"))
    lives = os.path.join(directory, "lives")
    os.makedirs(lives)
    os.chmod(lives, 0o777)
    made: list[Container] = []
    root = "/" + re.sub(r"\W", "_", request.node.name)

    def maker(env: Mapping[str, str] | None = None) -> Container:
        host = next(host for host in bed.network.hosts if host.name == NAMES[len(made)])
        settings = {"LIVY_HA_ZOOKEEPER_HOSTS": bed.ensemble.hosts, "LIVY_HA_ZOOKEEPER_ROOT": root, **FAST,
                    "STANDIN_MODE": "", **SERVICE_LINKS, **(env or {})}
        made.append(Container(image, pod, host, os.path.join(directory, host.name), lives, settings))
        with open(made[-1].volume_file("/etc/livy/livy.conf"), "a", encoding="ascii") as file:
            file.write(f"livy.server.recovery.zk-state-store.key-prefix = livy{root.replace('/', '_')}\n")
        return made[-1]

    yield maker
    for container in made:
        container.destroy()
    assert Oracle(lives).overlap_us() == 0


def serving(container: Container) -> bool:
    return container.own_row().get("livy") == "serving"


def two(make: Maker, env: Mapping[str, str] | None = None) -> tuple[Container, Container]:
    """livy-ha-0 serves, livy-ha-1 stands by; both ready."""
    active, standby = make(env), make(env)
    active.start().wait(lambda: serving(active), 30, "Livy serves")
    standby.start().wait(lambda: standby.own_row().get("role") == "standby", 30, "it stands by")
    for container in (active, standby):
        container.wait(lambda: container.probe("readinessProbe") == 200, 20, "it is ready")  # noqa: B023
    return active, standby


def test_pods_as_configured(make: Maker, image: Image) -> None:
    """From the environment alone, with Kubernetes' own variables in it: they are mentioned once."""
    active, standby = two(make)
    for container in (active, standby):
        assert (container.probe("startupProbe"), container.probe("livenessProbe")) == (200, 200)
        assert container.exec("sh", "-c", image.stage.health_check).returncode == 0
        told = container.says("Kubernetes")
        assert len(told) == 1 and told[0]["level"] == "info", told
        assert str(len([name for name in SERVICE_LINKS if name.startswith("LIVY_HA_")])) in told[0]["message"]
        row = container.own_row()
        assert (row["id"], row["livy_url"]) == (container.host.name, f"http://{container.host.fqdn}:18998")
    config = active.exec("livy-ha-ctl", "--json", "config").stdout
    assert "10.96.0" not in config, "none of them is a setting"


def test_logs_are_json(make: Maker) -> None:
    with open(os.path.join(ROOT, "docs", "container.md"), encoding="utf-8") as file:
        table = re.search(r"^\| field \| \|\n\|[-|]+\n((?:\|.*\n)+)", file.read(), re.M)
    assert table
    documented = set(re.findall(r"^\| `(\w+)` \|", table[1], re.M))
    active, _ = two(make)
    lines = active.lines()
    assert {line["program"] for line in lines} >= {"keeper", "elector", "relay"}
    assert {line["level"] for line in lines} <= {"info", "warn"}, [line for line in lines if line["level"] == "error"]
    for line in lines:
        assert {"ts", "level", "program", "message"} <= set(line) <= documented
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])


def test_rights(make: Maker) -> None:
    container = make().start()
    container.wait(lambda: serving(container), 30, "Livy serves")
    for pid in container.processes():
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"18998"}, status["Name"]
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
    assert container.exec("touch", "/usr/x", check=False).returncode != 0, "the root file system is read-only"


def test_term_hands_over(make: Maker, pod: Pod) -> None:
    """Exit status 0 within the grace; every process of the container has ended before PID 1 has."""
    active, standby = two(make)
    began = boot_ms()
    active.terminate()
    standby.wait(lambda: serving(standby), 30, "the standby serves")
    assert active.wait_exit(pod.spec["terminationGracePeriodSeconds"]) == 0
    assert boot_ms() - began < 10_000, "nothing was left over, so no grace had to be waited for"
    assert active.says("ended with status 0")


def test_term_waits_for_spark_submit(make: Maker) -> None:
    """spark-submit that Livy leaves behind may end by itself; only then does the container."""
    container = make({"STANDIN_MODE": "submit-outlives=3000"}).start()
    container.wait(lambda: serving(container), 30, "Livy serves")
    began = boot_ms()
    container.terminate()
    assert container.wait_exit(60) == 0
    assert 2_500 < boot_ms() - began < 20_000, "it took as long as spark-submit did, and was not cut short"
    assert container.says("left over by Livy") and not container.says("livy.orphan_grace is over")


def test_second_term_shortens(make: Maker) -> None:
    container = make({"STANDIN_MODE": "submit-outlives=60000"}).start()
    container.wait(lambda: serving(container), 30, "Livy serves")
    container.terminate()
    container.wait(lambda: container.says("left over by Livy"), 20, "spark-submit is waited for")
    container.terminate()
    assert container.wait_exit(15) == 0


def test_early_term(make: Maker) -> None:
    """While it looks up its own name, before it could handle a signal: the kernel drops what a PID 1 does not handle."""
    container = make()
    with open(container.resolv_conf, "w", encoding="ascii") as file:
        file.write("nameserver 10.77.0.99\noptions timeout:2 attempts:1\n")  # nobody
    hosts = os.path.join(container.directory, "hosts")
    with open(hosts, "w", encoding="ascii") as file:
        file.write("127.0.0.1 localhost\n")
    container.host = type(container.host)(container.host.name, container.host.address, hosts)
    pid = container.start().wait_pid()

    def asks_a_server() -> bool:
        try:
            return any(os.readlink(entry.path).startswith("socket:") for entry in os.scandir(f"/proc/{pid}/fd"))
        except OSError:
            return False
    container.wait(asks_a_server, 10, "it looks up its name")
    assert not container.log(), "nothing has been said: it is not that far yet"
    proc.send(pid, signal.SIGTERM)
    assert container.wait_exit(20) == 0


def test_strangers_are_reaped_and_let_be(make: Maker) -> None:
    """What an operator leaves behind in the container becomes a child of PID 1."""
    container = make().start()
    container.wait(lambda: serving(container), 30, "Livy serves")
    init = container.wait_pid()
    container.exec("sh", "-c", "sleep 300 >/dev/null 2>&1 & sleep 0 & exit 0")

    def stray() -> int | None:
        return next((pid for pid in proc.children(init) if os.path.basename(proc.executable(pid)) == "sleep"), None)
    pid = container.wait(stray, 10, "the stranger is a child of PID 1")
    livy = next(each for each in proc.children(init) if os.path.basename(proc.executable(each)) == "livy-server")
    proc.send(livy, signal.SIGKILL)
    container.wait(lambda: not proc.state(livy) and serving(container), 30, "Livy was reaped, and serves again")
    assert proc.alive(pid), "it is none of Livy's"
    proc.send(pid, signal.SIGKILL)
    container.wait(lambda: not proc.state(pid), 10, "the stranger was reaped")
    let_pass(0.3, lambda: not [each for each in proc.children(init) if proc.state(each) == "Z"], "no zombie is left")


def test_health_check_of_a_daemon_that_hangs(make: Maker, image: Image) -> None:
    container = make().start()
    container.wait(lambda: serving(container), 30, "Livy serves")
    elector = next(pid for pid in proc.children(container.wait_pid())
                   if os.path.basename(proc.executable(pid)) == "livy-ha-elector")
    proc.send(elector, signal.SIGSTOP)
    try:
        container.wait(lambda: container.probe("livenessProbe") == 503, 10, "the liveness probe says so")
    finally:
        proc.send(elector, signal.SIGCONT)
    container.terminate()
    assert container.wait_exit(20) == 0
    broken = make({"LIVY_HA_LIVY_COMMAND": "/absent"}).start()
    broken.wait_exit(20)
    gone = container.start()
    pid = gone.wait_pid()
    gone.wait(lambda: gone.exec("sh", "-c", image.stage.health_check, check=False).returncode == 0, 20, "healthy again")
    for each in proc.children(pid):
        if os.path.basename(proc.executable(each)) == "livy-ha-elector":
            proc.send(each, signal.SIGSTOP)
    assert gone.exec("sh", "-c", image.stage.health_check, check=False).returncode == 1, "1 is unhealthy, others are reserved"


def test_killed_container_and_its_next_start(make: Maker) -> None:
    """kill -9 of PID 1 takes all of its namespace along: the session has to run out. The pod's volume stays, and the
    container that comes next in it goes on from there."""
    active, standby = two(make)
    proc.send(active.wait_pid(), signal.SIGKILL)
    assert active.wait_exit(10) != 0
    standby.wait(lambda: serving(standby), 30, "the standby serves")
    active.start().wait(lambda: active.own_row().get("role") == "standby", 30, "it stands by")
    active.wait(lambda: active.probe("livenessProbe") == 200, 20, "the relay has heard of the elector")


def test_killed_container_started_again_at_once(make: Maker) -> None:
    """As the kubelet does: the next life of the container closes the session that its former one has left, so that the
    standby need not wait for its time-out."""
    active, standby = two(make, {"LIVY_HA_ZOOKEEPER_SESSION_TIMEOUT": "20s"})
    began = boot_ms()
    proc.send(active.wait_pid(), signal.SIGKILL)
    active.wait_exit(10)
    active.start()
    standby.wait(lambda: serving(standby), 30, "the standby serves")
    assert boot_ms() - began < 12_000, "long before the session's time-out of 20 s"
    active.wait(lambda: active.own_row().get("role") == "standby", 30, "it stands by")
    assert active.says("has left its session") and active.says("closing session")
    active.terminate()
    assert active.wait_exit(20) == 0
    active.start().wait(lambda: active.own_row().get("role") == "standby", 30, "it stands by again")
    assert len(active.says("has left its session")) == 1, "an orderly stop leaves none"


def test_killed_container_without_zookeeper(make: Maker, bed: Bed) -> None:
    """Where nobody is there to close it with, the start goes on, and a stop is not kept waiting."""
    container = make().start()
    container.wait(lambda: serving(container), 30, "Livy serves")
    proc.send(container.wait_pid(), signal.SIGKILL)
    container.wait_exit(10)
    container.host.filter([f"-A INPUT -s {server.host} -j DROP" for server in bed.servers])
    try:
        container.start().wait(lambda: container.says("has left its session"), 20, "it tries")
        container.terminate()
        assert container.wait_exit(4) == 0, "before the 5 s that the closer takes are over"
        container.start().wait(lambda: container.says("ZooKeeper was not reached"), 20, "it gives up")
        container.wait(lambda: container.probe("livenessProbe") == 200, 20, "the daemon is up")
    finally:
        container.host.filter_nothing()
    container.wait(lambda: serving(container), 30, "Livy serves again")


@pytest.mark.parametrize(("env", "status", "message"), [
    ({"LIVY_HA_LIVY_PORT": "0"}, 78, "LIVY_HA_LIVY_PORT"),
    ({"LIVY_HA_ZOOKEEPER_HOST": "10.0.0.1:2181"}, 78, "did you mean LIVY_HA_ZOOKEEPER_HOSTS"),
    ({"LIVY_HA_SERVICE_HOST": "livy.example.com"}, 78, "LIVY_HA_SERVICE_HOST"),
    ({"LIVY_HA_LIVY_HOME": "/not/mounted"}, 75, "/not/mounted"),
], ids=["value", "slip", "no service", "mount"])
def test_refusals(make: Maker, env: dict[str, str], status: int, message: str) -> None:
    container = make(env).start()
    assert container.wait_exit(30) == status, container.log()
    told = container.says(message)
    assert told and told[0]["level"] == "error", container.log()


def test_addresses_of_the_service_links() -> None:
    """The list above is what Kubernetes would set: addresses of its own kind."""
    assert all(ipaddress.ip_address(value) for name, value in SERVICE_LINKS.items() if name.endswith("_HOST"))
