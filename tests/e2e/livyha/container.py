"""livy-ha as a container engine would run it: PID 1 of its own pid, mount, network, host name and ipc namespaces, over a
Debian of its own, with the user, environment, volumes and rights that conf/container and conf/kubernetes say. No engine is
needed; the namespaces are those of livyha.netns. All of it goes with the test run's own namespace."""
import json
import os
import shlex
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from . import proc
from .build import ROOT, build_dir, standin
from .containerfile import Stage, read
from .netns import Host
from .overlay import overlay
from .wait import spawn, tail, wait_for

CONTAINERFILE = os.path.join(ROOT, "conf", "container", "Containerfile")
KUBERNETES = os.path.join(ROOT, "conf", "kubernetes")
_T = TypeVar("_T")
_DEVICES = ("null", "zero", "full", "random", "urandom")


def kubernetes_python() -> str:
    """The Python that has kubernetes-validate and yaml; made by tests/run."""
    path = os.path.join(ROOT, "build", "cache", "kubernetes", "bin", "python3")
    assert os.access(path, os.X_OK), f"{path} is not there: tests/run container makes it"
    return path


def documents() -> list[dict[str, Any]]:
    """All of conf/kubernetes, in the order of its files."""
    script = ("import json,sys,yaml\n"
              "print(json.dumps([d for p in sys.argv[1:] for d in yaml.safe_load_all(open(p, encoding='utf-8'))]))")
    paths = sorted(os.path.join(KUBERNETES, name) for name in os.listdir(KUBERNETES) if name.endswith(".yaml"))
    done = subprocess.run([kubernetes_python(), "-c", script, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def document(kind: str, name: str) -> dict[str, Any]:
    found = [each for each in documents() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


class Pod:
    """What conf/kubernetes' StatefulSet says of a pod and its one container."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] = document("StatefulSet", "livy-ha")["spec"]["template"]["spec"]
        assert len(self.spec["containers"]) == 1
        self.container: dict[str, Any] = self.spec["containers"][0]

    def environment(self, name: str) -> dict[str, str]:
        """As the kubelet makes it for the pod of this name."""
        found: dict[str, str] = {}
        for source in self.container["envFrom"]:
            found |= document("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container["env"]:
            assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
            found[variable["name"]] = name
        return found

    def mounts(self) -> list[tuple[str, dict[str, Any], bool]]:
        """(path, the volume, read-only)"""
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        return [(mount["mountPath"], volumes[mount["name"]], bool(mount.get("readOnly")))
                for mount in self.container["volumeMounts"]]

    def port(self, name: str) -> int:
        return int(next(port["containerPort"] for port in self.container["ports"] if port["name"] == name))


# ---- the image ------------------------------------------------------------------------------------------------


def base_packages(stage: Stage) -> list[str]:
    """What of a stage's packages has to be in the test's own Debian: the stand-in for Livy needs no Java."""
    return [name for name in stage.packages if name not in ("openjdk-17-jre-headless", "ca-certificates")]


def install_tree(directory: str) -> str:
    """What the build stage's `cmake --install` leaves in /out, of the build with the same prefix."""
    build = os.path.join(os.path.dirname(build_dir()), "package")
    done = subprocess.run(["cmake", "--install", build], env={**os.environ, "DESTDIR": directory}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


class Image:
    """The Containerfile's last stage, carried out: its copies from the build stage, its commands in a chroot."""

    def __init__(self, directory: str) -> None:
        self.stage = read(CONTAINERFILE)[-1]
        script = os.path.join(ROOT, "tests", "system", "base")
        done = subprocess.run([script, *base_packages(self.stage)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.root = overlay(done.stdout.strip(), os.path.join(directory, "image"))
        out = install_tree(os.path.join(directory, "out"))
        for source, paths, target in self.stage.copies:
            assert source == "build" and len(paths) == 1 and paths[0].startswith("/out/"), paths
            self._copy(out + paths[0].removeprefix("/out"), self.root + target)
        for command in self.stage.commands:
            subprocess.run(["chroot", self.root, "/bin/sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
        self._add_livy()

    @staticmethod
    def _copy(source: str, target: str) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def _add_livy(self) -> None:
        """As an image of the user's own would: here the stand-in, at its place."""
        for path in ("/opt/livy/bin", "/opt/livy/conf", "/opt/spark", "/lives", "/etc/livy"):
            os.makedirs(self.root + path)
        shutil.copy2(standin(), self.root + "/opt/livy/bin/livy-server")


# ---- a container -----------------------------------------------------------------------------------------------


class Container:
    """One pod's container. Its volumes live as long as the pod, its root file system as long as the container."""

    def __init__(self, image: Image, pod: Pod, host: Host, directory: str, lives: str, env: Mapping[str, str]) -> None:
        self.image, self.pod, self.host, self.lives = image, pod, host, lives
        self.directory = directory
        self.log_path = os.path.join(directory, "container.log")
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **image.stage.environment, **pod.environment(host.name),
                    "STANDIN_DIR": "/lives", "STANDIN_NAME": host.name, **env}
        self.resolv_conf = os.path.join(directory, "resolv.conf")
        self.process: subprocess.Popen[bytes] | None = None
        os.makedirs(directory)
        with open(self.resolv_conf, "w", encoding="ascii"):
            pass
        self._binds = [self._volume(path, volume, read_only) for path, volume, read_only in pod.mounts()]

    def _volume(self, path: str, volume: dict[str, Any], read_only: bool) -> tuple[str, str, bool]:
        """A directory of the pod's own, with the rights that the kubelet gives it, and where it is mounted."""
        place = os.path.join(self.directory, "volumes", volume["name"])
        os.makedirs(place)
        for name, text in document("ConfigMap", volume["configMap"]["name"])["data"].items() if "configMap" in volume else ():
            with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                file.write(text)
        group = int(self.pod.spec["securityContext"]["fsGroup"])
        os.chown(place, 0, group)
        os.chmod(place, 0o2777 if "emptyDir" in volume else 0o755)
        return place, path, read_only

    def volume_file(self, path: str) -> str:
        """A file of a volume by its path in the container."""
        for place, inside, _ in self._binds:
            if path.startswith(inside + "/"):
                return place + path.removeprefix(inside)
        raise AssertionError(f"{path} is on no volume")

    def _mounts(self, root: str) -> str:
        """The script that makes the container's own view of the file systems, and leaves the machine's."""
        lines = [f"mount --bind -o ro {root} {root}" if self.pod.container["securityContext"]["readOnlyRootFilesystem"]
                 else f"mount --bind {root} {root}",
                 f"mount -t proc -o nosuid,noexec,nodev proc {root}/proc", f"mount -t tmpfs tmpfs {root}/dev",
                 f"mkdir {root}/dev/shm"]
        lines += [f": >{root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}" for name in _DEVICES]
        lines += [f"mount --bind {self.host.hosts_file} {root}/etc/hosts", f"mount --bind {self.resolv_conf} {root}/etc/resolv.conf",
                  f"mount --bind {self.lives} {root}/lives"]
        for place, inside, read_only in self._binds:
            lines.append(f"mount --bind {place} {root}{inside}")
            if read_only:
                lines.append(f"mount -o remount,bind,ro {root}{inside}")
        return " && ".join([*lines, f"cd {root}", "pivot_root . .", "umount -l ."])

    def start(self) -> "Container":
        assert self.process is None or self.process.poll() is not None
        own = os.path.join(self.directory, f"root-{len(os.listdir(self.directory))}")
        root = overlay(self.image.root, own)
        for path in ("/etc/hosts", "/etc/resolv.conf"):
            with open(root + path, "a", encoding="ascii"):
                pass
        user, group = int(self.pod.spec["securityContext"]["runAsUser"]), int(self.pod.spec["securityContext"]["runAsGroup"])
        # The rights of a pod whose container drops ALL capabilities and allows no escalation.
        become = ["setpriv", f"--reuid={user}", f"--regid={group}", f"--groups={group}", "--no-new-privs",
                  "--bounding-set=-all", "--inh-caps=-all"]
        script = f"hostname {self.host.name} && {self._mounts(root)} && cd {self.image.stage.one('WORKDIR')} && " \
                 f"exec {shlex.join(become)} \"$@\""
        argv = ["nsenter", f"--net=/run/netns/{self.host.name}", "unshare", "--pid", "--fork", "--mount", "--uts",
                "--ipc", "--propagation", "private", "sh", "-c", script, "sh", *self.image.stage.entrypoint]
        with open(self.log_path, "ab") as log:
            self.process = spawn(argv, self.env, log)
        return self

    @property
    def pid(self) -> int | None:
        """The pid of its PID 1, seen from here, once that is livy-ha."""
        assert self.process is not None
        return next((pid for pid in proc.children(self.process.pid)
                     if os.path.basename(proc.executable(pid)) == "livy-ha"), None)

    def wait_pid(self) -> int:
        return self.wait(lambda: self.pid, 20, "livy-ha is PID 1")

    def processes(self) -> list[int]:
        return [self.wait_pid(), *proc.descendants(self.wait_pid())]

    def exec(self, *argv: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """As `podman exec`, by the container's own user."""
        user, group = self.image.stage.user
        done = subprocess.run(["nsenter", "--target", str(self.wait_pid()), "--all", "setpriv", f"--reuid={user}",
                               f"--regid={group}", "--clear-groups", *argv], env=self.env, capture_output=True, text=True,
                              timeout=60, check=False)
        assert not check or done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def terminate(self) -> None:
        proc.send(self.wait_pid(), signal.SIGTERM)

    def wait_exit(self, timeout: float) -> int:
        """The exit status of PID 1; 1 where a signal has ended it (an engine would tell 137)."""
        assert self.process is not None
        process = self.process
        self.wait(lambda: process.poll() is not None, timeout, "the container ends")
        return process.returncode

    def destroy(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        for pid in proc.children(self.process.pid):  # PID 1, and with it all of its namespace
            proc.send(pid, signal.SIGKILL)
        self.process.wait(10)

    # ---- what it says -----------------------------------------------------------------------------------------

    def log(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def lines(self) -> list[dict[str, Any]]:
        """Its log, each line of which is JSON (but for what unshare itself says where PID 1 was killed)."""
        found = []
        for line in self.log().splitlines():
            if line.startswith("unshare: "):
                continue
            try:
                found.append(dict(json.loads(line)))
            except ValueError:
                raise AssertionError(f"not JSON: {line}") from None
        return found

    def says(self, text: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if text in line["message"]]

    def probe(self, kind: str) -> int:
        """What the kubelet gets for startupProbe, livenessProbe or readinessProbe; 0 where nobody answers."""
        http = self.pod.container[kind]["httpGet"]
        url = f"http://{self.host.address}:{self.pod.port(http['port'])}{http['path']}"
        try:
            with urllib.request.urlopen(url, timeout=self.pod.container[kind]["timeoutSeconds"]) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def status(self) -> dict[str, Any]:
        done = self.exec("livy-ha-ctl", "--json", "status", check=False)
        return dict(json.loads(done.stdout)) if done.returncode in (0, 3) and done.stdout.strip() else {}

    def own_row(self) -> dict[str, Any]:
        return next((row for row in self.status().get("members", []) if row["self"]), {})

    def wait(self, condition: Callable[[], _T | None], timeout: float, what: str) -> _T:
        return wait_for(condition, timeout, f"{self.host.name}: {what}",
                        lambda: f"--- {self.host.name}\n{tail(self.log_path)}")


if __name__ == "__main__":  # for tests/run, which makes the Debian of these packages beforehand
    print(*base_packages(read(CONTAINERFILE)[-1]))
