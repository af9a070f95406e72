"""livy-ha-ctl's commands in tests: carried out, or refused in one line with the reason."""
from .member import CtlResult, Member


def order(member: Member, *arguments: str, timeout: str = "60s") -> CtlResult:
    return member.ctl(*arguments, timeout=timeout, as_json=False)


def done(member: Member, *arguments: str, timeout: str = "60s") -> str:
    """What it prints."""
    result = order(member, *arguments, timeout=timeout)
    assert result.code == 0, f"{arguments}: {result}\n{member.failure_text()}"
    return result.out


def refused(member: Member, *arguments: str, why: str, code: int = 1) -> None:
    result = order(member, *arguments)
    assert (result.code, result.err.count("\n")) == (code, 1) and why in result.err, f"{arguments}: {result}\n{member.failure_text()}"
