"""Wrong configurations: exit status 78, and a message that names the line, the key and what was expected."""
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from livyha.build import program, sanitizer_environment, standin
from livyha.conffile import Raw, Settings, environment, marked_line, render

CONFIG, TEMPORARY = 78, 75


class Setup:
    """A configuration that is right as long as a test does not change it. Nothing needs to run for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "livy"
        (self.home / "conf").mkdir(parents=True)
        self.livy_conf("livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n")
        self.settings: Settings = {
            "id": "a", "runtime_dir": str(directory / "run"), "zookeeper.hosts": "127.0.0.1:2181",
            "livy.home": str(self.home), "livy.command": standin(), "livy.port": 18998,
            "front.listen": "off", "admin.listen": "off",
        }
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(directory), "SPARK_HOME": "/usr",
                    "STANDIN_DIR": str(directory), "STANDIN_NAME": "a", **sanitizer_environment()}
        self.path = directory / "livy-ha.conf"

    def livy_conf(self, text: str, name: str = "livy.conf") -> None:
        (self.home / "conf" / name).write_text(text, encoding="utf-8")

    def write(self) -> str:
        text = render(self.settings)
        self.path.write_text(text, encoding="utf-8")
        return text

    def run(self, *options: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A run that must end by itself."""
        argv = [program("livy-ha"), *options]
        return subprocess.run(argv, env={**self.env, **(env or {})}, cwd=self.directory, capture_output=True, text=True,
                              timeout=30, check=False)

    def check(self, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("-c", str(self.path), "--check-config", env=env)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def _says(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    missing = [text for text in texts if text.lower() not in done.stderr.lower()]
    assert not missing, f"not said: {missing}\nsaid: {done.stderr}"


# key, its value as it stands in the file, what the message must say besides file:line and key
WRONG_VALUES = [
    ("id", '""', "1 to 128"),
    ("id", '"two words"', "A-Z"),
    ("id", '"slash/ed"', "A-Z"),
    ("id", '"' + "x" * 129 + '"', "128"),
    ("id", "17", "string"),
    ("runtime_dir", '"run/livy-ha"', "absolute"),
    ("zookeeper.hosts", '""', ""),
    ("zookeeper.hosts", '"a:2181, b:2181"', "blank"),
    ("zookeeper.hosts", '"a:2181,,b:2181"', "comma"),
    ("zookeeper.hosts", '"a:0"', "port"),
    ("zookeeper.hosts", '"a:65536"', "65535"),
    ("zookeeper.hosts", '"fd00::1:2181"', "brackets"),
    ("zookeeper.hosts", '"a:2181/x,b:2181/x"', "chroot"),
    ("zookeeper.hosts", '["a:2181", "b:2181"]', "string"),
    ("zookeeper.root", '"livy_ha"', "path"),
    ("zookeeper.root", '"/"', "path"),
    ("zookeeper.root", '"/livy_ha/"', "slash"),
    ("zookeeper.root", '"/a//b"', "empty"),
    ("zookeeper.root", '"/a/../b"', ".."),
    ("zookeeper.session_timeout", "10", "quotes"),
    ("zookeeper.session_timeout", '"10"', "10s"),
    ("zookeeper.session_timeout", '"ten seconds"', "duration"),
    ("zookeeper.session_timeout", '"-10s"', "duration"),
    ("zookeeper.session_timeout", '"999ms"', "1s"),
    ("zookeeper.session_timeout", '"11min"', "10min"),
    ("zookeeper.tick", '"99ms"', "100ms"),
    ("zookeeper.auth_digest", '"no-colon"', "user:password"),
    ("zookeeper.auth_digest", '":password"', "user:password"),
    ("livy.home", '"relative/livy"', "absolute"),
    ("livy.command", '"livy-server"', "absolute"),
    ("livy.conf_dir", '"conf"', "absolute"),
    ("livy.log_dir", '"logs"', "absolute"),
    ("livy.port", "0", "65535"),
    ("livy.port", "65536", "65535"),
    ("livy.port", "-1", "65535"),
    ("livy.port", '"http"', "65535"),
    ("livy.port", "8998.5", ""),
    ("livy.recovery", '"perhaps"', "true"),
    ("livy.recovery", "2", "true"),
    ("livy.start_timeout", '"0s"', "1s"),
    ("livy.stop_grace", '"5 apples"', "units"),
    ("livy.kill_margin", '"50ms"', "100ms"),
    ("livy.orphan_grace", '"25h"', ""),
    ("livy.probe_interval", '"0"', "100ms"),
    ("livy.probe_failures", "0", "1"),
    ("livy.probe_failures", '"six"', "number"),
    ("livy.restarts", "-1", "0"),
    ("livy.restart_window", '""', "duration"),
    ("livy.standby", '"warm"', "hot"),
    ("livy.guard", '"lease"', "process"),
    ("livy.class_data_sharing", '"on"', "auto"),
    ("front.listen", '"8998"', "address:port"),
    ("front.listen", '"localhost:8998"', "IP address"),
    ("front.listen", '"0.0.0.0:99999"', "65535"),
    ("front.mode", '"proxy"', "forward"),
    ("front.advertise", '"livy.example.com:8998"', "http://"),
    ("front.advertise", '"http://livy.example.com/path"', "path"),
    ("front.hold", '"2h"', "1h"),
    ("front.max_connections", "0", "1"),
    ("admin.listen", '"[::1"', ""),
    ("control.socket", '"/' + "s" * 120 + '"', "108"),
    ("log.level", '"verbose"', "debug"),
    ("log.format", '"xml"', "json"),
    ("failover.takeover_delay", '"soon"', "duration"),
    ("failover.fence_command", '""', "failover.fence_command"),
    ("failover.fence_timeout", '"999ms"', "1s"),
    ("failover.fence_timeout", '"2h"', "1h"),
    ("failover.on_change", '""', "failover.on_change"),
    ("failover.on_change_timeout", '"10ms"', "100ms"),
]


@pytest.mark.parametrize(("key", "value", "expected"), WRONG_VALUES,
                         ids=[f"{key}={value[:24]}" for key, value, _ in WRONG_VALUES])
def test_wrong_value(setup: Setup, key: str, value: str, expected: str) -> None:
    setup.settings[key] = Raw(value)
    line = marked_line(setup.write())
    done = setup.check()
    assert done.returncode == CONFIG, done.stderr
    _says(done, f"livy-ha.conf:{line}", key, expected)


WRONG_TEXTS = {
    "unknown key": ('zookeeper: { hosts = "h:2181"; host = "h:2181"; };', ["zookeeper.host", "livy-ha.conf:1"]),
    "unknown group": ('zookeper: { hosts = "h:2181"; };', ["zookeper", "zookeeper", "livy-ha.conf:1"]),
    "key in no group": ('hosts = "h:2181";', ["hosts", "zookeeper.hosts"]),
    "group given as a value": ('livy = "home";', ["livy", "group"]),
    "value given as a group": ('id: { name = "a"; };', ["id"]),
    "bare duration": ("livy: { stop_grace = 10s; };", ["livy-ha.conf:1", "quot"]),
    "syntax error": ("zookeeper: {\n hosts = ;\n};", ["livy-ha.conf:2"]),
    "a key twice": ('id = "a";\nid = "b";', ["livy-ha.conf:2"]),
    "open string": ('id = "a;\n', ["livy-ha.conf:"]),
    "include of nothing": ('@include "absent.conf"\n', ["absent.conf"]),
}


@pytest.mark.parametrize("name", WRONG_TEXTS)
def test_wrong_text(setup: Setup, name: str) -> None:
    text, expected = WRONG_TEXTS[name]
    setup.path.write_text(text + "\n", encoding="utf-8")
    done = setup.check(environment({"zookeeper.hosts": "h:2181", "livy.home": str(setup.home)}))
    assert done.returncode == CONFIG, done.stderr
    _says(done, *expected)


def test_required_keys(setup: Setup) -> None:
    setup.settings["zookeeper.hosts"] = None
    setup.settings["livy.home"] = None
    setup.write()
    done = setup.check()
    assert done.returncode == CONFIG
    _says(done, "zookeeper.hosts", "LIVY_HA_ZOOKEEPER_HOSTS", "livy.home", "LIVY_HOME")


def test_all_errors_are_listed(setup: Setup) -> None:
    for key in ("livy.port", "livy.restarts", "zookeeper.root", "log.level"):
        setup.settings[key] = Raw('"wrong"')
    setup.write()
    done = setup.check(env={"LIVY_HA_FRONT_HOLD": "wrong"})
    assert done.returncode == CONFIG
    _says(done, "livy.port", "livy.restarts", "zookeeper.root", "log.level", "LIVY_HA_FRONT_HOLD")


@pytest.mark.parametrize(("changes", "expected"), [
    ({"zookeeper.session_timeout": "3s", "livy.kill_margin": "1s", "zookeeper.tick": "1500ms"}, ["session_timeout", "tick"]),
    ({"zookeeper.session_timeout": "4s", "livy.kill_margin": "3s"}, ["kill_margin"]),
    ({"zookeeper.session_timeout": "3s"}, ["session_timeout"]),
])
def test_lease_that_cannot_be(setup: Setup, changes: Settings, expected: list[str]) -> None:
    """T(1-2 rho) - tick/2 - 2h - eps - K >= 3h + 0.5 s: printed with its numbers."""
    setup.settings |= changes
    setup.write()
    done = setup.check()
    assert done.returncode == CONFIG
    _says(done, *expected, "3h", ">=")


# name, text of livy.conf (None: as it is), further files of the conf directory, what is said
LIVY_CONFS = [
    ("master local", "livy.spark.master = local\n", {}, ["livy.conf:1", "livy.spark.master", "yarn"]),
    ("no master", "", {}, ["livy.spark.master", "yarn"]),
    ("recovery off", "livy.spark.master = yarn\nlivy.server.recovery.mode = off\n", {},
     ["livy.conf:2", "livy.server.recovery.mode"]),
    ("local file store", "livy.spark.master = yarn\nlivy.server.recovery.state-store = filesystem\n"
     "livy.server.recovery.state-store.url = file:///var/lib/livy\n", {}, ["livy.conf:3", "file:"]),
    ("LIVY_CONF_DIR in livy-env.sh", None, {"livy-env.sh": "export LIVY_CONF_DIR=/etc/livy\n"},
     ["livy-env.sh:1", "LIVY_CONF_DIR"]),
]


@pytest.mark.parametrize(("name", "text", "files", "expected"), LIVY_CONFS, ids=[case[0] for case in LIVY_CONFS])
def test_livy_conf_that_cannot_work(setup: Setup, name: str, text: str | None, files: dict[str, str],
                                    expected: list[str]) -> None:
    if text is not None:
        setup.livy_conf(text)
    for file, content in files.items():
        setup.livy_conf(content, file)
    setup.write()
    done = setup.check()
    assert done.returncode == CONFIG, f"{name}: {done.stderr}"
    _says(done, *expected)


@pytest.mark.parametrize("mode", ["auto", "forward", "redirect"])
def test_loopback_livy_and_a_front_that_forwards(setup: Setup, mode: str) -> None:
    setup.settings |= {"front.listen": "127.0.0.1:8998", "front.mode": mode}
    setup.livy_conf("livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\nlivy.server.host = 127.0.0.1\n")
    setup.write()
    done = setup.check()
    if mode == "redirect":
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == CONFIG, done.stderr
        _says(done, "livy.conf:3", "livy.server.host is 127.0.0.1", 'front.mode = "redirect"')


def test_warnings_about_the_front(setup: Setup) -> None:
    setup.settings |= {"front.listen": "0.0.0.0:18998", "front.mode": "redirect"}
    setup.livy_conf("livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\nlivy.keystore = /k.jks\n")
    setup.write()
    done = setup.check()
    assert done.returncode == 0, done.stderr
    _says(done, "port 18998 is also livy.port", "livy.conf:3", "front.tls_certificate")


@pytest.mark.parametrize(("changes", "env", "expected"), [
    ({}, {"LIVY_HA_LIVY_PORTS": "1"}, ["LIVY_HA_LIVY_PORTS", "LIVY_HA_LIVY_PORT"]),
    ({}, {"LIVY_HA_LIVY_PORT": "x"}, ["LIVY_HA_LIVY_PORT", "65535"]),
    ({}, {"LIVY_HA_ZOOKEEPER_AUTH_DIGEST_FILE": "/absent"}, ["LIVY_HA_ZOOKEEPER_AUTH_DIGEST_FILE", "/absent"]),
    ({}, {"LIVY_HA_ID": "a b"}, ["LIVY_HA_ID"]),
    ({}, {"LIVY_HA_ID": "a", "LIVY_HA_ID_FILE": "/dev/null"}, ["LIVY_HA_ID_FILE"]),
], ids=["unknown", "wrong", "file absent", "id", "both"])
def test_wrong_environment(setup: Setup, changes: Settings, env: dict[str, str], expected: list[str]) -> None:
    setup.settings |= changes
    setup.write()
    done = setup.check(env)
    assert done.returncode == CONFIG, done.stderr
    _says(done, *expected)


def test_secret_is_never_repeated(setup: Setup) -> None:
    setup.settings["zookeeper.auth_digest"] = Raw('"hunter2-without-a-user"')
    setup.write()
    done = setup.check()
    assert done.returncode == CONFIG
    assert "hunter2" not in done.stderr + done.stdout


def test_right_configuration(setup: Setup) -> None:
    setup.write()
    done = setup.check()
    assert done.returncode == 0, done.stderr
    assert not (setup.directory / "run").exists(), "a check writes nothing"


def test_environment_alone(setup: Setup) -> None:
    done = setup.run("--check-config", env=environment(setup.settings))
    assert done.returncode == 0, done.stderr


def test_environment_beats_the_file(setup: Setup) -> None:
    setup.write()
    done = setup.check(env={"LIVY_HA_LIVY_PORT": "0"})
    assert done.returncode == CONFIG
    _says(done, "LIVY_HA_LIVY_PORT")


def test_value_from_a_file(setup: Setup) -> None:
    setup.settings["zookeeper.hosts"] = None
    setup.write()
    secret = setup.directory / "hosts"
    secret.write_text("h1:2181,h2:2181\n", encoding="ascii")
    done = setup.check(env={"LIVY_HA_ZOOKEEPER_HOSTS_FILE": str(secret)})
    assert done.returncode == 0, done.stderr


def test_kubernetes_variables_are_ignored(setup: Setup) -> None:
    setup.write()
    done = setup.check(env={
        "LIVY_HA_PORT": "tcp://10.0.0.1:8998", "LIVY_HA_SERVICE_HOST": "10.0.0.1", "LIVY_HA_SERVICE_PORT": "8998",
        "LIVY_HA_SERVICE_PORT_HTTP": "8998", "LIVY_HA_PORT_8998_TCP": "tcp://10.0.0.1:8998",
        "LIVY_HA_PORT_8998_TCP_PROTO": "tcp", "LIVY_HA_PORT_8998_TCP_PORT": "8998", "LIVY_HA_PORT_8998_TCP_ADDR": "10.0.0.1",
        "LIVY_HA_ADMIN_SERVICE_HOST": "10.0.0.2", "LIVY_HA_ADMIN_PORT": "tcp://10.0.0.2:8997",
    })
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("changes", [{"livy.port": Raw("0")}, {"id": Raw('"a b"')}, {"zookeeper.hosts": None}],
                         ids=["port", "id", "hosts"])
def test_the_daemon_itself_refuses_with_the_same_status(setup: Setup, changes: Settings) -> None:
    setup.settings |= changes
    setup.write()
    done = setup.run("-c", str(setup.path))
    assert done.returncode == CONFIG, done.stderr


@pytest.mark.parametrize("options", [["--no-such-option"], ["-c"], ["stray"], ["--check-config", "stray"]])
def test_usage(setup: Setup, options: list[str]) -> None:
    done = setup.run(*options)
    assert done.returncode == 64
    _says(done, "--help")


def test_help_and_version(setup: Setup) -> None:
    helped, version = setup.run("--help"), setup.run("--version")
    assert (helped.returncode, version.returncode) == (0, 0)
    for option in ("--check-config", "--close-session", "--version", "-c"):
        assert option in helped.stdout
    assert "livy-ha" in version.stdout


@pytest.mark.parametrize("how", ["absent", "directory", "unreadable text"])
def test_file_that_cannot_be_read(setup: Setup, how: str) -> None:
    path = setup.directory / "other.conf"
    if how == "directory":
        path.mkdir()
    elif how == "unreadable text":
        path.write_bytes(os.urandom(4096))
    done = setup.run("-c", str(path), "--check-config")
    assert done.returncode == CONFIG
    _says(done, "other.conf")


def test_livy_home_missing_is_for_now(setup: Setup) -> None:
    """A mount may come yet: 75, so that systemd starts the daemon again."""
    setup.settings["livy.home"] = str(setup.directory / "not-mounted")
    setup.write()
    done = setup.run("-c", str(setup.path))
    assert done.returncode == TEMPORARY, done.stderr
    _says(done, "not-mounted", "livy.home")


def test_runtime_dir_that_cannot_be_made_is_for_now(setup: Setup) -> None:
    (setup.directory / "file").write_text("", encoding="ascii")
    setup.settings["runtime_dir"] = str(setup.directory / "file" / "run")
    setup.write()
    done = setup.run("-c", str(setup.path))
    assert done.returncode == TEMPORARY, done.stderr
    _says(done, "runtime_dir", "file/run")
