"""Reads conf/container/Containerfile, as far as its language is used there: what stands in it, and no more."""
import json
import re
from dataclasses import dataclass, field

_APT = re.compile(r"apt-get update && apt-get install --yes --no-install-recommends ([^&]+)&& rm -rf /var/lib/apt/lists/\*")


@dataclass
class Stage:
    name: str
    image: str
    steps: list[tuple[str, str]] = field(default_factory=list)  # instruction, its arguments on one line

    def all(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]

    def one(self, instruction: str) -> str:
        found = self.all(instruction)
        assert len(found) == 1, f"{len(found)} times {instruction} in stage {self.name or self.image}"
        return found[0]

    @property
    def packages(self) -> list[str]:
        """What its apt-get installs; every RUN that installs has the same form."""
        found: list[str] = []
        for command in self.all("RUN"):
            match = _APT.fullmatch(command)
            assert match or "apt" not in command, command
            found += match[1].split() if match else []
        return found

    @property
    def commands(self) -> list[str]:
        """The other RUNs."""
        return [command for command in self.all("RUN") if not _APT.fullmatch(command)]

    @property
    def copies(self) -> list[tuple[str, list[str], str]]:
        """(the stage that it copies from, or "", sources, destination)"""
        found = []
        for arguments in self.all("COPY"):
            words = arguments.split()
            source = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else ""
            assert len(words) >= 2 and not words[0].startswith("--"), arguments
            found.append((source, words[:-1], words[-1]))
        return found

    @property
    def environment(self) -> dict[str, str]:
        pairs = [arguments.partition("=") for arguments in self.all("ENV")]
        assert all(equals for _, equals, _ in pairs)
        return {name: value for name, _, value in pairs}

    @property
    def entrypoint(self) -> list[str]:
        return [str(word) for word in json.loads(self.one("ENTRYPOINT"))]

    @property
    def health_check(self) -> str:
        """Its command, for /bin/sh -c."""
        return self.one("HEALTHCHECK").partition(" CMD ")[2]

    @property
    def user(self) -> tuple[int, int]:
        user, _, group = self.one("USER").partition(":")
        return int(user), int(group)


_KNOWN = {"RUN", "COPY", "USER", "WORKDIR", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"}


def read(path: str) -> list[Stage]:
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if not line.startswith("#")]
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        instruction, _, arguments = line.partition(" ")
        arguments = " ".join(arguments.split())
        if instruction == "FROM":
            image, _, name = arguments.partition(" AS ")
            stages.append(Stage(name, image))
            continue
        assert instruction in _KNOWN, f"no instruction that is known here: {line}"
        stages[-1].steps.append((instruction, arguments))
    return stages
