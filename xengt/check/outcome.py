"""The outcome of a check: one line of `xengt check`."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum


class Command(StrEnum):
    """The commands that need a host with Xen."""

    BENCH = "bench"
    MAP = "map"
    SERVE = "serve"
    SHARE = "share"
    USAGE = "usage"


#: the commands that run in dom0 only; `xengt map` and `xengt share` also run in guests
DOM0_COMMANDS = (Command.BENCH, Command.SERVE, Command.USAGE)


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
        state: WARNING if results may be unreliable or a prerequisite of other commands is
            missing, MISSING if one of a command that the user wants to run is.
        what: the finding.
        remedy: what the user can do, as a sentence; empty if there is nothing to do.
        prevents: the commands that cannot run for this reason.
    """

    name: str
    state: State
    what: str
    remedy: str = ""
    prevents: tuple[Command, ...] = ()

    def judged_for(self, commands: Collection[Command]) -> "Check":
        """Return the outcome for some commands: what does not prevent them is a warning.

        Args:
            commands: the commands that the user wants to run.
        """
        if self.state is not State.MISSING or set(self.prevents) & set(commands):
            return self
        return replace(self, state=State.WARNING)


def ok(name: str, what: str) -> Check:
    """Return the outcome of a check without objections."""
    return Check(name, State.OK, what)


def warning(name: str, what: str, remedy: str) -> Check:
    """Return the outcome of a check that found a reason for doubt about results."""
    return Check(name, State.WARNING, what, remedy)


def missing(name: str, what: str, remedy: str, prevents: Collection[Command]) -> Check:
    """Return the outcome of a check that found a prerequisite of some commands missing."""
    return Check(name, State.MISSING, what, remedy, tuple(prevents))


def sentence(remedy: str) -> str:
    """Return the remedy of an error, which may begin in lower case, as a sentence."""
    return f"{remedy[:1].upper()}{remedy[1:].removesuffix('.')}." if remedy else ""
