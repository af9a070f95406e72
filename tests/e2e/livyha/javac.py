"""Compiles the tests' Java programs."""
import shutil
import subprocess


def compile_java(source: str, directory: str, jars: str) -> str:
    """Into `directory`; returns the class path to run it with."""
    javac = shutil.which("javac")
    if javac is None:
        raise RuntimeError("no javac: install default-jdk-headless")
    done = subprocess.run([javac, "-Xlint:all,-path,-classfile,-processing", "-Werror", "-proc:none", "-d", directory, "-cp",
                           jars, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{source} does not compile:\n{done.stdout}{done.stderr}"
    return f"{directory}:{jars}"
