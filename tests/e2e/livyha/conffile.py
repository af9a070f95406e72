"""Writes livy-ha's configuration (libconfig) from a flat dict of dotted keys."""
from collections.abc import Mapping


class Raw(str):
    """A value as it is to stand in the file; its line is marked, so that a test can tell its number."""


MARK = "# this line"
Value = str | int | bool | Raw
Settings = dict[str, Value | None]  # None: leave the key out


def literal(value: Value) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render(settings: Mapping[str, Value | None]) -> str:
    """One setting a line; groups in the order of their first key."""
    plain: list[str] = []
    groups: dict[str, list[str]] = {}
    for key, value in settings.items():
        if value is None:
            continue
        group, dot, name = key.rpartition(".")
        line = f"{name if dot else key} = {literal(value)};{' ' + MARK if isinstance(value, Raw) else ''}"
        if dot:
            groups.setdefault(group, []).append("  " + line)
        else:
            plain.append(line)
    blocks = [f"{group}:\n{{\n" + "\n".join(lines) + "\n};" for group, lines in groups.items()]
    return "\n".join([*plain, *blocks]) + "\n"


def environment(settings: Mapping[str, Value | None]) -> dict[str, str]:
    """The same settings as LIVY_HA_GROUP_KEY variables."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if value is not None:
            text = ("true" if value else "false") if isinstance(value, bool) else str(value)
            found["LIVY_HA_" + key.replace(".", "_").upper()] = text
    return found


def marked_line(text: str) -> int:
    """The number, from 1, of the line of the one Raw value."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.endswith(MARK))
