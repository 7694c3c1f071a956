"""The box's boot configuration from before the installation, stored until the removal."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass

from hvlib import grub
from hvlib.box import Box
from hvlib.names import NEXT_ENTRY, STATE_DIRECTORY


@dataclass(frozen=True)
class BootState:
    """A boot configuration without the patched hypervisor.

    Attributes:
        default: the default menu entry.
        block: whether GRUB's environment block exists.
        next_entry: whether the block has the variable next_entry, even if it is empty.
        configuration: SHA-256 of grub.cfg.
    """

    default: str
    block: bool
    next_entry: bool
    configuration: str


def current(box: Box) -> BootState:
    """Return the current state, without the section of the patched hypervisor."""
    text = grub.configuration(box)
    variables = grub.environment(box)
    return BootState(
        default=grub.default_entry(text, variables),
        block=box.path(grub.ENVIRONMENT).exists(),
        next_entry=NEXT_ENTRY in variables,
        configuration=hashlib.sha256(grub.without_our_section(text).encode()).hexdigest(),
    )


def save_once(box: Box) -> BootState:
    """Save the current state unless one is saved already; return the saved one."""
    saved = load(box)
    if saved is not None:
        return saved
    state = current(box)
    directory = box.path(STATE_DIRECTORY)
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / "before.half"
    temporary.write_text(json.dumps(asdict(state), indent=1) + "\n")
    temporary.rename(directory / "before.json")
    return state


def load(box: Box) -> BootState | None:
    """Return the saved state; None if there is none."""
    try:
        return BootState(**json.loads((box.path(STATE_DIRECTORY) / "before.json").read_text()))
    except FileNotFoundError:
        return None


def delete(box: Box) -> None:
    """Delete the saved state."""
    shutil.rmtree(box.path(STATE_DIRECTORY), ignore_errors=True)
