"""A real YARN of one node (java/MiniYarn.java), and the configuration with which Spark uses it. Standard library only."""
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any

import homes

sys.path.insert(0, os.path.join(os.path.dirname(homes.HERE), "e2e"))

# pylint: disable=wrong-import-position
from livyha.ports import free_port  # noqa: E402
from livyha.wait import tail, wait_for  # noqa: E402

MEMORY_MB = 5120  # five containers: batch, session, and one driver more
JAVA_FLAGS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_START_S = 120
_PARTS = ("-Xmx384m", *JAVA_FLAGS.split(), "--add-opens=java.base/java.lang=ALL-UNNAMED")  # Guice's cglib


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    return os.path.join(home, "bin", "java") if home else shutil.which("java") or "/usr/bin/java"


def java_home() -> str:
    return os.path.dirname(os.path.dirname(os.path.realpath(java())))


class Yarn:
    """Use as a context manager, or call stop()."""

    def __init__(self, directory: str, cache: str, address: str = "127.0.0.1", wrapper: Sequence[str] = ()) -> None:
        self.directory = directory
        self.cache = cache
        self.address = address
        self.wrapper = list(wrapper)
        self.conf_dir = os.path.join(directory, "hadoop-conf")
        self.spark_conf_dir = os.path.join(directory, "spark-conf")
        self.log_path = os.path.join(directory, "yarn.log")
        self.list_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        os.makedirs(self.spark_conf_dir, exist_ok=True)
        self._write_spark_conf()

    def _write_spark_conf(self) -> None:
        settings = {
            # Nothing is uploaded for a job: these jars are on the node already.
            "spark.yarn.jars": f"local:{os.path.realpath(homes.spark_home(self.cache))}/jars/*",
            "spark.yarn.stagingDir": f"file://{self.directory}/staging",
            "spark.driver.memory": "512m", "spark.driver.memoryOverhead": "384m",
            "spark.executor.memory": "512m", "spark.executor.memoryOverhead": "384m",
            "spark.executor.instances": "1", "spark.executor.cores": "1",
            "spark.driver.extraJavaOptions": JAVA_FLAGS, "spark.executor.extraJavaOptions": JAVA_FLAGS,
            "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1",
            "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": self.address, "spark.executorEnv.SPARK_LOCAL_IP": self.address,
        }
        with open(os.path.join(self.spark_conf_dir, "spark-defaults.conf"), "w", encoding="utf-8") as file:
            file.writelines(f"{key} {value}\n" for key, value in settings.items())

    def start(self) -> "Yarn":
        programs = homes.programs(self.cache)
        log4j = os.path.join(homes.HERE, "java", "log4j.properties")
        argv = [*self.wrapper, sys.executable, os.path.join(homes.HERE, "warden.py"), java(), *_PARTS,
                f"-Dlog4j.configuration=file:{log4j}", "-cp", f"{programs}/yarn:{self.cache}/yarn/jars/*", "MiniYarn",
                self.conf_dir, os.path.join(self.directory, "work"), self.address,
                *(str(free_port()) for _ in range(3)), str(self.list_port), str(MEMORY_MB)]
        environment = {"PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8", "JAVA_HOME": java_home(),
                       "PYTHONDONTWRITEBYTECODE": "1"}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, env=environment, cwd=self.directory, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        assert self.process is not None

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"YARN ended while starting:\n{tail(self.log_path)}"
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return "MiniYarn: ready" in file.read()
        wait_for(ready, _START_S, "YARN is ready", lambda: tail(self.log_path))

    def applications(self) -> dict[str, dict[str, Any]]:
        """By id: state, final (status) and tags."""
        with urllib.request.urlopen(f"http://{self.address}:{self.list_port}/applications", timeout=30) as answer:
            return {each["id"]: each for each in json.load(answer)}

    def state(self, application: str) -> str:
        return str(self.applications()[application]["state"])

    def stop(self) -> None:
        """The warden ends it with its containers."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def __enter__(self) -> "Yarn":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()
