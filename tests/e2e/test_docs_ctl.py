"""What livy-ha-ctl may be told, and how its commands may end: each of these texts is in a test, and each refusal is explained.
And what a shell completes is what livy-ha-ctl takes."""
import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from livyha.build import ROOT, program
from livyha.messages import TEXT, documented, fits, join, letters

SRC, TESTS = Path(ROOT) / "src", Path(ROOT) / "tests"
# Where commands are answered. Of a file that says other things too: the function.
ENDS = ("elector/command*.c", "elector/orders.c", "keeper/upgrade.c", "keeper/ucore.c", "keeper/reload.c",
        "keeper/kcore_elector.c:kcore_not_replaceable", "keeper/keeper.c:reload", "ctl/cmd_*.c", "ctl/fetch.c", "ctl/endpoint.c",
        "ctl/main.c:check_line", "ctl/main.c:check_for", "ctl/main.c:prepare", "ctl/main.c:usage")
LEAST = 8  # letters: fewer are a frame, "%s: %s"
SIGN = 16  # characters in a row by which a text is known


def code(pattern: str) -> str:
    """Without comments, and without what goes elsewhere than to who has asked: the log, the history, ZooKeeper."""
    name, _, function = pattern.partition(":")
    text = "\n".join(path.read_text() for path in sorted(SRC.glob(name)))
    if function:
        body = re.search(rf"^[a-z][^\n;]*\b{function}\([^;]*?\n{{.*?^}}", text, re.M | re.S)
        assert body, pattern
        text = body[0]
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(rf"\b(?:log_\w+|command_say|json_pack|act_history)\s*\((?:{TEXT}|[^;\"])*;", ";", text)


# What people are told on the way, or when it was done.
GOOD = (r"COMMAND_DONE,", r"IPC_ANSWER_DONE,", r"IPC_ANSWER_GOES_ON,", r'"done",')
OTHER = {
    "on the way": ["written down", "the latch is being handed over", "the queue is being put into order", "the elector was replaced",
                   "it is being read what has been asked for", "the installed version is tried", "…: the old elector is run again",
                   "the elector is replaced", "the daemon does not answer", "… is under way, id …"],
    "why Livy is stopped: in the history": ["drained, asked on …", "restart, asked on …", "switchover……, asked on …"],
    "to the log": ["it was begun in the same moment", "the switchover is not asked for any more", "who was to take over is drained"],
    "a part of another": ["before it said a word", ": it cannot be run here (see the log)", "the installed … …", "is drained;",
                          ", but for keys that take a restart of livy-ha (its log names them)", ": … without a Livy", "to serving",
                          ", … from the request …", "of livy-ha", "no reason given", "expected a JSON …", "… (line …, column …)",
                          "livy-ha-ctl … livy-ha …", "livy-ha-ctl: …",
                          "waited … ms, and …: `livy-ha-ctl status` says more.", "this member does not stand by", "no Livy serves",
                          "this member's Livy does not serve as the active one", "what answers on … is no livy-ha: …"],
    "no test makes the system call fail": [
        "ZooKeeper's client does not take the request", "cannot print the status: out of memory, or the output is closed",
        "cannot print the answer: out of memory, or the output is closed", "cannot draw the status any more: out of memory",
        "cannot set up signals: …", "does not take messages", "could not be started: …", "epoll_ctl: …", "socketpair: …",
        "out of memory"],
    "48 wait at a time, and 32 commands": ["too many orders wait to be written"],
}
OTHERS = {text for texts in OTHER.values() for text in texts}


def texts_of(source: str) -> set[str]:
    found = (join(literals).strip() for literals in re.findall(TEXT, source))
    return {text for text in found if letters(text) >= LEAST and " " in text}


@cache
def ends() -> frozenset[str]:
    """All of them, the good ones too."""
    return frozenset(text for pattern in ENDS for text in texts_of(code(pattern)))


def refusals() -> list[str]:
    """Of the cluster, and of who answers. What is wrong with a command line is told with the line itself."""
    sources = (code(pattern) for pattern in ENDS if not pattern.startswith(("ctl/main.c", "keeper/keeper.c")))
    bad = {text for source in sources for text in texts_of(re.sub(rf"(?:{'|'.join(GOOD)})(?:{TEXT}|[^;\"])*;", ";", source))}
    return sorted(bad - OTHERS)


@pytest.mark.parametrize("text", refusals())
def test_refusal_is_explained(text: str) -> None:
    assert any(fits(message, text) for message in documented()), f"docs/troubleshooting.md has no row of: {text}"




# ---- each is in a test -----------------------------------------------------------------------------------------------


def literals_of(path: Path) -> set[str]:
    """Of a test, with … for what is filled in; without what only explains."""
    if path.suffix != ".py":
        return {join(found) for found in re.findall(TEXT, path.read_text())}
    tree = ast.parse(path.read_text())
    plain = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            plain |= {id(part) for part in node.values}
            found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in plain:
            found.add(node.value)
    return found


@cache
def in_tests() -> str:
    paths = [path for path in [*TESTS.glob("e2e/test_*.py"), *TESTS.glob("unit/*/*.[ch]")] if path != Path(__file__)]
    return "\n".join(sorted({text for path in paths for text in literals_of(path)}))


def fixed(text: str) -> list[str]:
    return [part for part in text.split("…") if part.strip()]


def plain(text: str) -> str:
    """Numbers are filled in as well."""
    return re.sub(r"(?:…|\{\}|\d[\d.]*)+", "…", text).strip(" …:\n")


def signs(text: str) -> set[str]:
    """What is in this text and in no other one of them."""
    others = "\n".join(part for other in ends() if fixed(other) != fixed(text) for part in fixed(other))
    windows = {part[at:at + SIGN] for part in fixed(text) for at in range(max(1, len(part) - SIGN + 1)) if letters(part) >= LEAST}
    return {window for window in windows if window not in others}


@pytest.mark.parametrize("text", sorted(ends() - OTHERS))
def test_each_end_is_in_a_test(text: str) -> None:
    """Success, too. It is known by what no other end says, or is there as a whole."""
    quoted = any(sign in in_tests() for sign in signs(text))
    assert quoted or plain(text) in map(plain, in_tests().split("\n")), f"no test asks for: {text}"


def test_there_are_as_many_as_there_should_be() -> None:
    """No list is empty because a pattern has gone wrong, and none names what is not there any more."""
    assert len(ends()) >= 130 and len(refusals()) >= 70 and OTHERS <= ends(), OTHERS - ends()


# ---- completions -----------------------------------------------------------------------------------------------------

COMPLETIONS = Path(ROOT) / "conf" / "completions"
WAITS_FOR = {"active", "standby", "serving"}
Taken = dict[str, set[str]]  # by command; "": before one


def ctl(*arguments: str) -> str:
    done = subprocess.run([program("livy-ha-ctl"), *arguments], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def taken() -> Taken:
    """The commands and options of --help; which command takes which option, it is asked itself."""
    commands, options = (re.findall(pattern, ctl("--help"), re.M) for pattern in (r"^  ([a-z]+)\b", r"(?<![\w-])--[a-z-]+"))
    assert "expected --for active, --for standby or --for serving" in ctl("wait")
    general = {option for option in options if "it does not take this option" not in ctl("version", option, "1s")}
    found = {command: general | {option for option in set(options) - general
                                 if "it does not take this option" not in ctl(command, option, "1s", "-s", "")}
             for command in commands}
    assert len(found) == 16 and len(general) == 6 and set(options) == set.union(*found.values())
    return {**found, "": general | set(commands)}


def test_bash_completes_what_is_taken(taken: Taken) -> None:
    """A daemon that knows of one member is played by a function."""
    script = f"source {COMPLETIONS / 'livy-ha-ctl.bash'}" '''; livy-ha-ctl() { echo "   \\"id\\": \\"livy-b\\","; }; for each in "$@"; do
        read -ra words <<<"$each"; COMP_WORDS=(livy-ha-ctl "${words[@]}" ""); COMP_CWORD=$((${#words[@]} + 1)); COMPREPLY=()
        _livy_ha_ctl; echo "${COMPREPLY[@]}"; done'''
    values = {"wait --for": WAITS_FOR, "--json wait --for": WAITS_FOR, "switchover --to": {"livy-b"}}
    asked = [*taken, *values]
    done = subprocess.run(["bash", "-c", script, "bash", *asked], capture_output=True, text=True, timeout=20, check=True)
    shown = dict(zip(asked, (set(line.split()) for line in done.stdout.splitlines()), strict=True))
    assert shown == {**taken, **values, "forget": taken["forget"] | {"livy-b"}} and done.stderr == ""


def test_zsh_completes_what_is_taken(taken: Taken) -> None:
    """By its text: zsh may not be here."""
    text = (COMPLETIONS / "_livy-ha-ctl").read_text()
    head, cases = text.split("case $line[1] in")
    general = set(re.findall(r"--[a-z-]+", head[head.index("_arguments -C"):]))
    shown = {command: set(general) for command in re.findall(r"^\s+['\"]([a-z]+):", head, re.M)}
    assert {"": general | set(shown)} == {"": taken[""]}
    for commands, arguments in re.findall(r"^\s+([a-z| ]+)\) (_arguments .*);;", cases, re.M):
        for command in commands.split(" | "):
            shown[command] |= set(re.findall(r"--[a-z-]+", arguments))
    assert shown == {command: options for command, options in taken.items() if command}
    assert set(re.findall(r"wait\).*:\((.*?)\)", cases)[0].split()) == WAITS_FOR


def test_completions_are_where_shells_look() -> None:
    """docs/install.md names where the package puts them."""
    rules, told = (Path(ROOT) / "conf/debian/package.cmake").read_text(), (Path(ROOT) / "docs/install.md").read_text()
    for directory, name in (("bash-completion/completions", "livy-ha-ctl"), ("zsh/vendor-completions", "_livy-ha-ctl")):
        assert f"${{CMAKE_INSTALL_DATADIR}}/{directory})" in rules and f"`/usr/share/{directory}/{name}`" in told
