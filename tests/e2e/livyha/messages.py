"""What the programs say, read from their sources, and what docs/troubleshooting.md says of it. `…` stands for what is filled in."""
import re
from pathlib import Path

from .build import ROOT

TEXT = r'(?:"(?:[^"\\]|\\.)*"\s*(?:PRI\w+\s*)?)+'
_PLACE = re.compile(r"%[-+ 0#]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]?(?=\W|$|[a-zA-Z])")


def join(literals: str) -> str:
    """C's string literals as one text, with … for what is filled in."""
    text = ""
    for literal, number in re.findall(r'"((?:[^"\\]|\\.)*)"|(PRI\w+)', literals):
        text = text[:text.rindex("%")] + "…" if number else text + literal.replace('\\"', '"').replace("%%", "\0")
    return _PLACE.sub("…", text).replace("\0", "%").replace("\\n", " ")


def letters(text: str) -> int:
    return len(re.findall(r"[A-Za-z]", text))


def documented() -> list[str]:
    """The messages that docs/troubleshooting.md explains."""
    text = (Path(ROOT) / "docs" / "troubleshooting.md").read_text()
    tables = re.findall(r"^\| message \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    return [re.match(r"\| `(.*?)` \| ", row)[1] for table in tables for row in table.splitlines()]  # type: ignore[index]


def fits(message: str, text: str) -> bool:
    """The message as it is documented is the beginning of the text, or where it begins with … a part of it."""
    parts = [part.strip() for part in message.split("…")]
    at = 0
    for number, part in enumerate(parts):
        found = text.find(part, at)
        if found < 0 or (number == 0 and part and found != 0):
            return False
        at = found + len(part)
    return True
