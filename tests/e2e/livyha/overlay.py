"""Overlay file systems, in the mount namespace that livyha.netns has entered: they go with it."""
import os
import subprocess


def overlay(lower: str, directory: str) -> str:
    """A writable view of `lower` in `directory`, which has to be on a tmpfs: not every file system bears an upper layer."""
    parts = {name: os.path.join(directory, name) for name in ("upper", "work", "root")}
    for path in parts.values():
        os.makedirs(path)
    options = f"lowerdir={lower},upperdir={parts['upper']},workdir={parts['work']}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, parts["root"]], check=True)
    return parts["root"]
