"""docs/troubleshooting.md against the sources: each message that it explains is one, and each of the level error is explained."""
import re
from functools import cache
from pathlib import Path

import pytest
from livyha.build import ROOT
from livyha.messages import TEXT, documented, fits, join, letters

# What is told as an error, by the function that tells it.
_TOLD = (r"\blog_error\s*\(\s*", r"\belector_fatal\s*\(\s*e,\s*\d+,\s*", r"\bcore_alarm\s*\(\s*s,\s*\w+,\s*true,\s*",
         r"CORE_ACT_FATAL\);\s*a->code = \d+;\s*core_say\(a->text,\s*", r"KCORE_ACT_ALARM\)->text,\s*")
_LEAST = 12  # letters: a message with fewer is another one's frame, "%s: %s"


def sources() -> list[str]:
    return [path.read_text() for path in sorted((Path(ROOT) / "src").glob("*/*.c"))]


@cache
def all_texts() -> list[str]:
    return [join(text) for source in sources() for text in re.findall(TEXT, source)]


def errors() -> list[str]:
    found = {join(match) for source in sources() for told in _TOLD for match in re.findall(told + f"({TEXT})", source)}
    return sorted(text for text in found if letters(text) >= _LEAST)


@pytest.mark.parametrize("message", documented())
def test_documented_message_exists(message: str) -> None:
    assert len(message) >= 15 and any(fits(message, text) for text in all_texts())


@pytest.mark.parametrize("text", errors())
def test_error_is_documented(text: str) -> None:
    assert any(fits(message, text) for message in documented()), text


def causes() -> list[str]:
    """What is made of Livy's last words."""
    source = (Path(ROOT) / "src" / "common" / "livyend.c").read_text()
    return [join(text) for text in re.findall(rf"return ({TEXT});", source) if join(text)]


@pytest.mark.parametrize("text", causes())
def test_cause_is_documented(text: str) -> None:
    assert text in documented()


def test_there_are_as_many_as_there_should_be() -> None:
    """Neither of the two lists is empty because a pattern has gone wrong."""
    assert len(errors()) >= 50 and len(documented()) >= 60 and len(causes()) >= 12
    assert len(set(documented())) == len(documented()), "one is explained twice"
