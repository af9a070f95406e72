"""conf/container/Containerfile and conf/kubernetes/*.yaml as files: what they name is there, and they agree with the
program's own settings. Whether the image starts is test_container.py's."""
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from livyha.build import ROOT, program
from livyha.container import CONTAINERFILE, KUBERNETES, Pod, document, documents, install_tree, kubernetes_python
from livyha.containerfile import Stage, read

UNITS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read(CONTAINERFILE)


@pytest.fixture(scope="module")
def pod() -> Pod:
    return Pod()


@pytest.fixture(scope="module")
def settings(pod: Pod) -> dict[str, str]:
    """What is in force in the pod: the environment's values over the program's own defaults."""
    keys = json.loads(subprocess.run([program("confkeys")], capture_output=True, text=True, check=True).stdout)
    env = pod.environment("livy-ha-0")
    return {key["key"]: env.get(key["env"], key.get("default", "")) for key in keys}


def milliseconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(ms|s|min|h|d)?", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit or "ms"]


def port_of(listen: str) -> int:
    return int(listen.rpartition(":")[2])


# ---- the Containerfile ----------------------------------------------------------------------------------------------


def test_stages(stages: list[Stage]) -> None:
    assert [stage.name for stage in stages] == ["build", ""]
    assert len({stage.image for stage in stages}) == 1, "libraries of another release would not fit"
    user, group = stages[-1].user
    assert user > 0 and group > 0
    assert stages[-1].entrypoint == ["/usr/sbin/livy-ha"]


def test_what_the_build_copies_is_there(stages: list[Stage]) -> None:
    copied = {path for source, paths, _ in stages[0].copies for path in paths if not source}
    assert copied and all(os.path.exists(os.path.join(ROOT, path)) for path in copied), copied
    # Whatever the build reads of the source tree is copied: each first part of a path that CMake is told.
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        text = file.read()
    text = text[:text.index("# ---- tests")]
    used = {word for word in re.findall(r"(?<![\w$/.{}-])(src|include|conf|docs|systemd|tests)/", text)}
    assert used <= copied, f"CMakeLists.txt uses {used - copied}, which the build stage has not"


def test_what_the_image_copies_is_installed(stages: list[Stage], tmp_path: Path) -> None:
    out = install_tree(str(tmp_path / "out"))
    for source, paths, target in stages[-1].copies:
        assert source == stages[0].name
        for path in paths:
            assert path.startswith("/out/") and os.path.exists(out + path.removeprefix("/out")), path
            assert path == "/out" + target, "everything lies where the prefix says: programs find one another by it"
    every = {os.path.relpath(os.path.join(directory, name), out) for directory, _, names in os.walk(out) for name in names}
    installed = {path for path in every if re.match(r"usr/(s?bin|libexec)/", path)}
    copied = [target.lstrip("/") for _, _, target in stages[-1].copies]
    assert installed and all(any(name == path or name.startswith(path + "/") for path in copied) for name in installed), \
        f"a program that is installed is not in the image: {installed}"


def test_the_build_is_the_one_that_is_tested(stages: list[Stage]) -> None:
    command = " ".join(stages[0].commands)
    with open(os.path.join(ROOT, "tests", "system", "package"), encoding="utf-8") as file:
        tested = re.findall(r"-D(?!LIVY_HA_WERROR)[A-Z_]+=[^\s\"]+", file.read().replace("CMAKE_C_COMPILER_LAUNCHER=ccache", ""))
    assert len(tested) == 3
    assert all(option in command for option in tested), (tested, command)
    assert "DESTDIR=/out cmake --install" in command


def test_packages_exist(stages: list[Stage]) -> None:
    for stage in stages:
        assert stage.packages
        for name in stage.packages:
            done = subprocess.run(["apt-cache", "policy", name], capture_output=True, text=True, check=False)
            candidate = re.search(r"Candidate: (\S+)", done.stdout)
            assert candidate and candidate[1] != "(none)", f"{name}: {done.stdout or 'not known to apt'}"


def test_libraries_of_the_image(stages: list[Stage]) -> None:
    """Each library that the programs want is of a package that the image gets, or of every Debian's."""
    wanted: set[str] = set()
    for name in ("livy-ha", "livy-ha-elector", "livy-ha-relay", "livy-ha-ctl"):
        dump = subprocess.run(["objdump", "-p", program(name)], capture_output=True, text=True, check=True).stdout
        wanted |= set(re.findall(r"NEEDED\s+(\S+)", dump))
    for library in wanted:
        owner = subprocess.run(["dpkg", "-S", f"*/{library}"], capture_output=True, text=True, check=True).stdout
        packages = {line.partition(":")[0] for line in owner.splitlines()}
        assert packages & {*stages[-1].packages, "libc6"}, f"{library} is of {packages}"


# ---- Kubernetes ------------------------------------------------------------------------------------------------------


def test_schemas() -> None:
    tool = os.path.join(os.path.dirname(kubernetes_python()), "kubernetes-validate")
    paths = sorted(str(path) for path in Path(KUBERNETES).glob("*.yaml"))
    done = subprocess.run([kubernetes_python(), tool, "--strict", "-k", "1.31.0", *paths], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed for ") == len(documents())


def test_kinds() -> None:
    kinds = sorted(each["kind"] for each in documents())
    assert kinds == ["ConfigMap", "ConfigMap", "PodDisruptionBudget", "Service", "Service", "StatefulSet"]
    spec = document("StatefulSet", "livy-ha")["spec"]
    assert spec["replicas"] == 2
    assert document("PodDisruptionBudget", "livy-ha")["spec"]["maxUnavailable"] == 1


def test_every_selector_selects_the_pods() -> None:
    stateful = document("StatefulSet", "livy-ha")["spec"]
    labels = stateful["template"]["metadata"]["labels"].items()
    terms = stateful["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    selectors: list[dict[str, str]] = [stateful["selector"]["matchLabels"], *(term["labelSelector"]["matchLabels"] for term in terms)]
    for each in documents():
        if each["kind"] == "Service":
            selectors.append(each["spec"]["selector"])
        elif each["kind"] == "PodDisruptionBudget":
            selectors.append(each["spec"]["selector"]["matchLabels"])
    assert len(selectors) == 5 and all(selector and selector.items() <= labels for selector in selectors), selectors


def test_ports_are_those_configured(pod: Pod, settings: dict[str, str], stages: list[Stage]) -> None:
    ports = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
    assert ports == {"front": port_of(settings["front.listen"]), "admin": port_of(settings["admin.listen"]),
                     "livy": int(settings["livy.port"])}
    assert {int(port) for port in stages[-1].one("EXPOSE").split()} == set(ports.values())
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert pod.container[probe]["httpGet"]["port"] == "admin"
    assert pod.container["livenessProbe"]["httpGet"]["path"] == pod.container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert pod.container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for each in documents():
        for port in each["spec"]["ports"] if each["kind"] == "Service" else ():
            assert ports[port["targetPort"]] == port["port"]


def test_members_reach_one_another() -> None:
    """By names that are there before a member is ready: it may be the active one."""
    service = document("Service", document("StatefulSet", "livy-ha")["spec"]["serviceName"])["spec"]
    assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"] is True
    assert "livy" in {port["targetPort"] for port in service["ports"]}


def test_grace_is_above_all_graces(pod: Pod, settings: dict[str, str]) -> None:
    """What an orderly stop may take at most: by the settings, and the keeper's own limits in kcore_stop.c."""
    with open(os.path.join(ROOT, "src", "keeper", "kcore_stop.c"), encoding="utf-8") as file:
        own = {name: int(value) for name, value in re.findall(r"^#define (\w+) (\d+)$", file.read(), re.M)}
    keys = ("front.drain", "livy.stop_grace", "livy.kill_margin", "livy.orphan_grace")
    most = sum(milliseconds(settings[key]) for key in keys) + own["ORDER_WITHIN"] + own["LEAVE_WITHIN"] + own["HURRY"]
    assert settings["failover.fence_command"] == "", "else failover.fence_timeout would count too"
    assert most < pod.spec["terminationGracePeriodSeconds"] * 1000


def test_rights_and_links(pod: Pod, stages: list[Stage]) -> None:
    assert pod.spec["enableServiceLinks"] is False
    security: dict[str, Any] = pod.spec["securityContext"]
    assert security["runAsNonRoot"] is True and security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (security["runAsUser"], security["runAsGroup"]) == stages[-1].user
    assert pod.container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                "capabilities": {"drop": ["ALL"]}}


def test_paths_are_on_volumes(pod: Pod, settings: dict[str, str]) -> None:
    """The root file system is read-only: what is written to lies on a volume that can be."""
    writable = [path for path, volume, read_only in pod.mounts() if "emptyDir" in volume and not read_only]
    for path in (settings["runtime_dir"], settings["livy.log_dir"], "/tmp", "/var/lib/livy"):
        assert any(path == mount or path.startswith(mount + "/") for mount in writable), path
    assert [path for path, volume, _ in pod.mounts() if "configMap" in volume] == [settings["livy.conf_dir"]]


def test_settings_are_known(pod: Pod) -> None:
    """Each variable is one of the program's, as the program itself would say."""
    keys = json.loads(subprocess.run([program("confkeys")], capture_output=True, text=True, check=True).stdout)
    own = {name for name in pod.environment("livy-ha-0") if name.startswith("LIVY_")}
    assert own and own <= {key["env"] for key in keys}
