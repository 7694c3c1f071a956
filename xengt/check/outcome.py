"""The outcome of a check: one line of `xengt check`."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The state of what was checked."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Args:
        name: what was checked; the same in every run.
        state: WARNING if results may be unreliable or an optional prerequisite is missing,
            MISSING if a required one is.
        what: the finding.
        remedy: what the user can do, as a sentence; empty if there is nothing to do.
    """

    name: str
    state: State
    what: str
    remedy: str = ""


def ok(name: str, what: str) -> Check:
    """Return the outcome of a check without objections."""
    return Check(name, State.OK, what)


def warning(name: str, what: str, remedy: str) -> Check:
    """Return the outcome of a check that found a reason for doubt or for a command to fail."""
    return Check(name, State.WARNING, what, remedy)


def missing(name: str, what: str, remedy: str) -> Check:
    """Return the outcome of a check that found a prerequisite missing."""
    return Check(name, State.MISSING, what, remedy)


def sentence(remedy: str) -> str:
    """Return the remedy of an error, which may begin in lower case, as a sentence."""
    return f"{remedy[:1].upper()}{remedy[1:].removesuffix('.')}." if remedy else ""
