"""What the box was before the patched hypervisor came, kept until it goes."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass

from hvlib import grub
from hvlib.box import Box
from hvlib.names import NEXT, STATE


@dataclass(frozen=True)
class Before:
    """A box without the patched hypervisor.

    Attributes:
        default: the entry that it boots.
        block: it has an environment block of GRUB.
        next_entry: the block has the variable, though it is empty.
        configuration: the checksum of grub.cfg.
    """

    default: str
    block: bool
    next_entry: bool
    configuration: str


def look(box: Box) -> Before:
    """Return what the box is now, less what is ours."""
    text = grub.configuration(box)
    variables = grub.environment(box)
    return Before(
        default=grub.default(text, variables),
        block=box.path(grub.ENVIRONMENT).exists(),
        next_entry=NEXT in variables,
        configuration=hashlib.sha256(grub.without_ours(text).encode()).hexdigest(),
    )


def keep(box: Box) -> Before:
    """Write down what the box is, unless that was done before; return it."""
    known = load(box)
    if known is not None:
        return known
    before = look(box)
    directory = box.path(STATE)
    directory.mkdir(parents=True, exist_ok=True)
    half = directory / "before.half"
    half.write_text(json.dumps(asdict(before), indent=1) + "\n")
    half.rename(directory / "before.json")
    return before


def load(box: Box) -> Before | None:
    """Return what was written down; none when nothing was."""
    try:
        return Before(**json.loads((box.path(STATE) / "before.json").read_text()))
    except FileNotFoundError:
        return None


def drop(box: Box) -> None:
    """Forget what the box was."""
    shutil.rmtree(box.path(STATE), ignore_errors=True)
