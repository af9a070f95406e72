"""The documents agree with the program: keys, their types, defaults and effects; links; manual pages."""
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from livyha.build import ROOT, program

DOCS = Path(ROOT) / "docs"
PAGES = sorted(path for path in DOCS.iterdir() if path.suffix in (".1", ".5", ".8"))
TEXTS = [Path(ROOT) / "README.md", *sorted(DOCS.glob("*.md"))]
EFFECTS = {"reload": "at a reload", "next-start": "at Livy's next start", "restart": "at a restart of livy-ha"}
WORDS = {"path": "absolute path", "socket": "absolute path, shorter than 108 bytes", "address": "address and port, or off",
         "znode": "ZooKeeper path", "boolean": "true or false"}
DERIVED = {"id", "zookeeper.hosts", "livy.home", "livy.command", "livy.conf_dir", "livy.log_dir", "livy.state_store_url",
           "front.advertise", "control.socket"}  # the table has no default of theirs, but there is one, or they are required


@pytest.fixture(scope="module")
def keys() -> dict[str, dict[str, Any]]:
    """The program's own table."""
    text = subprocess.run([program("confkeys")], capture_output=True, text=True, check=True).stdout
    return {key["key"]: key for key in json.loads(text)}


def expected_type(key: dict[str, Any]) -> str:
    kind = key["type"]
    if kind in ("duration", "number"):
        text = f"{kind}, {key['min']} to {key['max']}" + (", or 0" if key["zero"] else "")
    elif kind == "port":
        text = "port, or off" if key["min"] == "0" else "port"
    elif kind == "word":
        text = "one of " + ", ".join(key["names"])
    else:
        text = WORDS.get(kind, kind)
    return text + (", secret" if key["secret"] else "")


def assert_default(key: dict[str, Any], told: str) -> None:
    if "default" in key:
        assert told == key["default"], key["key"]
    elif key["key"] in DERIVED:
        assert told and told != "none", key["key"]
    else:
        assert told == "none", key["key"]


def tables(text: str) -> list[list[str]]:
    """The cells of all rows of its tables, headings too."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_configuration_md(keys: dict[str, dict[str, Any]]) -> None:
    rows = {cells[0].strip("`"): cells for cells in tables((DOCS / "configuration.md").read_text()) if len(cells) == 5}
    del rows["key"]
    assert list(rows) == list(keys), "every key, in the program's order"
    for name, (_, kind, default, effect, meaning) in rows.items():
        assert kind == expected_type(keys[name]), name
        assert_default(keys[name], default.strip("`") if default.count("`") == 2 and default[0] == "`" else default)
        assert effect == EFFECTS[keys[name]["effect"]], name
        assert len(meaning) > 10, name


def plain(lines: list[str]) -> str:
    """mdoc without its macros."""
    words = [re.sub(r"^\.(Li|Cm|Pa|Ev|Em) ", "", line).replace('"', "").replace("\\&", "") for line in lines]
    return re.sub(r" ([;:,.])", r"\1", " ".join(words))


def test_manual_page_of_the_configuration(keys: dict[str, dict[str, Any]]) -> None:
    text = (DOCS / "livy-ha.conf.5").read_text()
    entries = re.findall(r"^\.It Cm (\S+)\n(.*?)^\.br\n(.*?)(?=^\.It|^\.El)", text, re.M | re.S)
    assert [name for name, _, _ in entries] == list(keys)
    for name, facts, meaning in entries:
        match = re.fullmatch(r"(.*); default: (.*); takes effect (.*)\.", plain(facts.splitlines()))
        assert match, plain(facts.splitlines())
        assert match[1].lower() == expected_type(keys[name]).lower(), name
        assert_default(keys[name], match[2])
        assert match[3] == EFFECTS[keys[name]["effect"]], name
        assert len(meaning) > 10, name


def test_both_say_the_same() -> None:
    """Word for word, but for marks."""
    def bare(text: str) -> str:
        return re.sub(r"[^a-z0-9]+", " ", re.sub(r"\(operations[^)]*\)", "", text).lower()).strip()
    rows = {cells[0].strip("`"): cells[4] for cells in tables((DOCS / "configuration.md").read_text()) if len(cells) == 5}
    text = (DOCS / "livy-ha.conf.5").read_text()
    for name, meaning in re.findall(r"^\.It Cm (\S+)\n.*?^\.br\n(.*?)(?=^\.It|^\.El)", text, re.M | re.S):
        if name != "failover.fence_command":  # it ends with a reference, which is another one in each
            assert bare(plain(meaning.splitlines())) == bare(rows[name]), name


def test_sample_has_every_key(keys: dict[str, dict[str, Any]]) -> None:
    """conf/livy-ha.conf: with its default where it has one."""
    text = (Path(ROOT) / "conf" / "livy-ha.conf").read_text()
    group, found = "", {}
    for line in text.splitlines():
        if match := re.match(r"(\w+): \{", line):
            group = match[1] + "."
        elif line.startswith("};"):
            group = ""
        elif match := re.match(r"\s*#?(\w+) = (.*);$", line):
            found[group + match[1]] = match[2].strip('"')
    assert found.keys() == keys.keys()
    assert all(found[name] == key["default"] for name, key in keys.items() if "default" in key)


# ---- tests that are named ---------------------------------------------------------------------------------------------


def modules(name: str) -> list[Path]:
    """The test modules of that name, unit tests in C among them."""
    return [path for suffix in ("py", "c") for path in (Path(ROOT) / "tests").rglob(f"{name}.{suffix}")]


def defines(path: Path, test: str) -> bool:
    start = r"def" if path.suffix == ".py" else r"static void"
    return re.search(rf"^{start} {test}\(", path.read_text(), re.M) is not None


def named_tests(path: Path) -> list[tuple[str, str]]:
    """(module, test) of each `test_x::test_y`; `…::test_y` is of the module named before it. ("", test) where none is named."""
    found, module = [], ""
    for cell in re.split(r"\||\n\n", path.read_text()):
        for name, test in re.findall(r"(?:(test_\w+|…)::)?\b(test_\w+)\b(?!\.(?:py|c))", cell):
            module = module if name == "…" else name
            found.append((module, test))
    return found


@pytest.mark.parametrize("path", TEXTS, ids=[path.name for path in TEXTS])
def test_tests_that_are_named_exist(path: Path) -> None:
    for module, test in named_tests(path):
        there = modules(module) if module else modules("test_*")
        assert modules(test) or any(defines(each, test) for each in there), f"{path.name} names {module}::{test}"


def test_tests_are_named() -> None:
    """Or the pattern has gone wrong."""
    assert len([test for module, test in named_tests(DOCS / "safety.md") if module]) >= 60


# ---- the unit ----------------------------------------------------------------------------------------------------------


def milliseconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(ms|s|min)", text).groups()
    return int(number) * {"ms": 1, "s": 1000, "min": 60_000}[unit]


def test_unit_waits_for_all_graces(keys: dict[str, dict[str, Any]]) -> None:
    """What an orderly stop may take at most at the defaults, with the keeper's own limits (kcore_stop.c), is less than the
    unit's and the documents' TimeoutStopSec."""
    source = (Path(ROOT) / "src" / "keeper" / "kcore_stop.c").read_text()
    own = {name: int(value) for name, value in re.findall(r"^#define (\w+) (\d+)$", source, re.M)}
    graces = ("front.drain", "livy.stop_grace", "livy.kill_margin", "livy.orphan_grace")
    defaults = [milliseconds(keys[name]["default"]) for name in graces]
    most = sum(defaults) + own["ORDER_WITHIN"] + own["LEAVE_WITHIN"] + own["HURRY"]
    assert "default" not in keys["failover.fence_command"], "else failover.fence_timeout would count too"
    unit = (Path(ROOT) / "systemd" / "livy-ha.service").read_text()
    limit = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)[1])
    assert most < limit * 1000
    assert f"{' + '.join(graces)}: {' + '.join(str(value // 1000) for value in defaults)} s at the defaults" in unit
    assert f"`TimeoutStopSec=` ({limit} s)" in (DOCS / "install.md").read_text()


# ---- links -------------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """As a forge makes them of headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(path: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("path", TEXTS, ids=[path.name for path in TEXTS])
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        file = path if not target else (path.parent / target)
        assert file.exists(), f"{link}: there is no {target}"
        assert not anchor or anchor in anchors(file), f"{link}: {file.name} has no such heading"


def test_readme_lists_every_document() -> None:
    listed = {os.path.basename(link.partition("#")[0]) for link in links(Path(ROOT) / "README.md")}
    there = {path.name for path in DOCS.iterdir()}
    assert there <= listed, f"not in README.md: {there - listed}"


# ---- manual pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_manual_page_is_well_formed(page: Path) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", str(page)], capture_output=True, text=True, check=False)
    # Whether the pages that it refers to are installed here is no matter of this one.
    told = [line for line in (done.stdout + done.stderr).splitlines() if "referenced manual not found" not in line]
    assert not told, "\n".join(told)


def test_manual_pages_refer_to_pages_of_ours() -> None:
    ours = {(page.stem, page.suffix[1:]) for page in PAGES}
    for page in PAGES:
        for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M):
            assert not name.startswith("livy-ha") or (name, section) in {*ours, ("livy-ha", "8")}, f"{page.name}: {name}({section})"
