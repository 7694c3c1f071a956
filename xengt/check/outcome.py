"""One line of `xengt check`."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """What was looked at, what is there, and what to do about it.

    Args:
        name: what was looked at, always the same words.
        state: MISSING keeps some command from running, a WARNING does not.
        what: what is there.
        remedy: what the user can do; "" where there is nothing to do.
    """

    name: str
    state: State
    what: str
    remedy: str = ""


def ok(name: str, what: str) -> Check:
    """Say that something is as it should be."""
    return Check(name, State.OK, what)


def warning(name: str, what: str, remedy: str) -> Check:
    """Say that something stands in the way of good figures."""
    return Check(name, State.WARNING, what, remedy)


def missing(name: str, what: str, remedy: str) -> Check:
    """Say that something needed is not there."""
    return Check(name, State.MISSING, what, remedy)
