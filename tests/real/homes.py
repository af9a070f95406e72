"""The Livy and the Spark under test: those that tests/real/setup has fetched, or those of LIVY_HOME and SPARK_HOME."""
import glob
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def cache_dir() -> str:
    """Where tests/real/setup puts what it fetches."""
    return os.path.abspath(os.environ.get("REAL_CACHE") or os.path.join(ROOT, "build", "cache", "real"))


def livy_home(cache: str) -> str:
    return os.environ.get("LIVY_HOME") or os.path.join(cache, "livy")


def spark_home(cache: str) -> str:
    return os.environ.get("SPARK_HOME") or os.path.join(cache, "spark")


def programs(cache: str) -> str:
    """What setup --yarn has compiled."""
    other = os.environ.get("LIVY_HOME") or os.environ.get("SPARK_HOME")
    return os.path.join(cache, "programs-other" if other else "programs")


def _jars(directory: str, pattern: str) -> list[str]:
    return sorted(glob.glob(os.path.join(directory, pattern)))


def _version(directory: str, name: str) -> str:
    """Of the jar NAME-VERSION.jar, where NAME may end in the version of Scala."""
    for jar in _jars(directory, f"{name}*.jar"):
        found = re.fullmatch(rf"{name}(_[0-9.]+)?-([0-9].*)\.jar", os.path.basename(jar))
        if found:
            return found.group(2)
    raise RuntimeError(f"no {name}-*.jar in {directory}")


def livy_version(cache: str) -> str:
    return _version(os.path.join(livy_home(cache), "jars"), "livy-server")


def spark_version(cache: str) -> str:
    return _version(os.path.join(spark_home(cache), "jars"), "spark-core")


def yarn_version(cache: str) -> str:
    return _version(os.path.join(cache, "yarn", "jars"), "hadoop-client-minicluster")


def scala_version(cache: str) -> str:
    """Of Spark, in two parts."""
    jar = os.path.basename(_jars(os.path.join(spark_home(cache), "jars"), "spark-core_*.jar")[0])
    return jar.split("_", 1)[1].split("-", 1)[0]


def repl_stand_in(cache: str) -> str | None:
    """The stand-in for Livy's interpreter; None where this Livy brings the genuine one."""
    path = os.path.join(programs(cache), "repl.jar")
    return path if os.path.exists(path) else None


def rsc_jars(cache: str) -> list[str]:
    """For livy.rsc.jars; empty where this Livy has them where it looks for them."""
    home = livy_home(cache)
    if os.path.isdir(os.path.join(home, "rsc-jars")):
        return []
    return _jars(os.path.join(home, "jars"), "livy-rsc-*.jar") + _jars(os.path.join(home, "jars"), "livy-api-*.jar")
