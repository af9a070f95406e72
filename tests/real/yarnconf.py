"""The user's side of Livy's configuration for a Livy that runs jobs on yarn.Yarn. Standard library only."""
import os
import shutil

import homes
from yarn import JAVA_FLAGS, Yarn

# Livy 0.7 sends statements by Kryo, which looks into this package; Java 17 has to be told.
_OPENS = "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED"


def write_livy_conf(directory: str, yarn: Yarn, cache: str, heap: str = "256m", extra: str = "") -> str:
    """Makes the configuration directory of one member; `extra` goes to the end of livy.conf."""
    os.makedirs(directory, exist_ok=True)
    lines = ["livy.spark.master = yarn", "livy.spark.deploy-mode = cluster",
             f"livy.spark.scala-version = {homes.scala_version(cache)}",
             "livy.server.session.timeout-check = false", "livy.server.yarn.poll-interval = 500ms"]
    stand_in, rsc = homes.repl_stand_in(cache), homes.rsc_jars(cache)
    if stand_in:
        lines.append(f"livy.repl.jars = {stand_in}")
    if rsc:
        lines.append(f"livy.rsc.jars = {','.join(rsc)}")
    with open(os.path.join(directory, "livy.conf"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n" + extra)
    with open(os.path.join(directory, "livy-env.sh"), "w", encoding="utf-8") as file:
        file.write(f'SPARK_CONF_DIR={yarn.spark_conf_dir}\nHADOOP_CONF_DIR={yarn.conf_dir}\nSPARK_LOCAL_IP=127.0.0.1\n'
                   f'SPARK_SUBMIT_OPTS="{JAVA_FLAGS}"\nSPARK_LAUNCHER_OPTS="{JAVA_FLAGS}"\n'
                   f'LIVY_SERVER_JAVA_OPTS="-Xmx{heap} {JAVA_FLAGS} {_OPENS}"\n')
    shutil.copy(os.path.join(homes.HERE, "conf", "log4j.properties"), directory)
    return directory
