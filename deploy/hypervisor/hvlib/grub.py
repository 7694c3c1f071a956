"""GRUB on the box: its environment block, its configuration, and whether it can write the block."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from hvlib.box import REQUIRED_SYSTEM, Box, BoxError, refusal
from hvlib.names import ENTRY, NEXT_ENTRY, SCRIPT, STOCK_PACKAGE

CONFIGURATION = "boot/grub/grub.cfg"
ENVIRONMENT = "boot/grub/grubenv"
BLOCK_SIZE = 1024
"""Bytes of an environment block: GRUB overwrites it in place and cannot extend it."""

WRITABLE_FILE_SYSTEMS = {"ext2", "xfs", "fat"}
"""File systems, by GRUB's names, on which GRUB can overwrite a file; ext2 includes ext4."""

SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def environment(box: Box) -> dict[str, str]:
    """Return the variables of GRUB's environment block; none if there is no block."""
    if not box.path(ENVIRONMENT).exists():
        return {}
    lines = box.run("grub-editenv", box.path(ENVIRONMENT), "list").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def set_variables(box: Box, **variables: str) -> None:
    """Set variables of GRUB's environment block in a single write.

    Raises:
        BoxError: the block cannot be written.
    """
    assignments = [f"{name}={value}" for name, value in variables.items()]
    box.run("grub-editenv", box.path(ENVIRONMENT), "set", *assignments)


def unset_variables(box: Box, names: Iterable[str]) -> None:
    """Unset variables of GRUB's environment block in a single write, if they are set.

    Raises:
        BoxError: the block cannot be written.
    """
    present = [name for name in names if name in environment(box)]
    if present:
        box.run("grub-editenv", box.path(ENVIRONMENT), "unset", *present)


def configuration(box: Box) -> str:
    """Return the content of grub.cfg.

    Raises:
        BoxError: the file cannot be read.
    """
    try:
        return box.path(CONFIGURATION).read_text(encoding="utf-8")
    except OSError as error:
        raise refusal(
            f"/{CONFIGURATION} cannot be read: {error.strerror}", REQUIRED_SYSTEM
        ) from error


def section(text: str, script: str) -> str:
    """Return the section of grub.cfg that a script of /etc/grub.d created; "" if there is none."""
    name = re.escape(f"/{script}")
    found = re.search(rf"\n### BEGIN {name} ###\n(.*?)### END {name} ###\n", text, re.DOTALL)
    return found[1] if found else ""


def without_our_section(text: str) -> str:
    """Return grub.cfg without the section of the patched hypervisor."""
    name = re.escape(f"/{SCRIPT}")
    return re.sub(rf"\n### BEGIN {name} ###\n.*?### END {name} ###\n", "", text, flags=re.DOTALL)


def has_entry(text: str, build_id: str = "") -> bool:
    """Return whether grub.cfg has the patched hypervisor's menu entry.

    Args:
        text: content of grub.cfg.
        build_id: build id that the entry must be for; "" accepts any.
    """
    ours = section(text, SCRIPT)
    return f"$menuentry_id_option '{ENTRY}'" in ours and f'= "{build_id}' in ours


def default_entry(text: str, variables: dict[str, str]) -> str:
    """Return the entry that the box boots when next_entry is not set.

    Args:
        text: content of grub.cfg.
        variables: of the environment block.
    """
    header = section(text, "etc/grub.d/00_header")
    found = re.search(r'^else\n\s*set default="(.*)"$', header, re.MULTILINE)
    name = found[1] if found else "0"
    return variables.get("saved_entry", "0") if name == "${saved_entry}" else name


def check_requirements(box: Box) -> None:
    """Check that GRUB on this box can boot the patched hypervisor exactly once.

    Raises:
        BoxError: a requirement is not met; nothing has been changed.
    """
    text = configuration(box)
    if f'set default="${{{NEXT_ENTRY}}}"' not in text:
        raise refusal(
            f"/{CONFIGURATION} does not use {NEXT_ENTRY}, so GRUB cannot boot an entry only once",
            "regenerate it with update-grub",
        )
    if "menuentry " not in section(text, "etc/grub.d/20_linux_xen"):
        raise refusal(
            f"/{CONFIGURATION} has no entry for Debian's Xen, which is the fallback",
            f"run `apt install {STOCK_PACKAGE}`, boot into it, and run install again",
        )
    _check_writable(box)
    try:
        secure = box.path(SECURE_BOOT).read_bytes()[-1:] == b"\1"
    except OSError:
        secure = False
    if secure:
        raise refusal(
            "Secure Boot is enabled, and GRUB then loads no unsigned hypervisor",
            "disable Secure Boot in the firmware setup",
        )


def _check_writable(box: Box) -> None:
    """Check that GRUB can clear next_entry; otherwise every boot would start our entry."""
    directory = box.path(CONFIGURATION).parent
    layers = box.run("grub-probe", "--target=abstraction", directory).split()
    if layers:
        raise _not_writable(", ".join(layers))
    file_system = box.run("grub-probe", "--target=fs", directory).strip()
    if file_system not in WRITABLE_FILE_SYSTEMS:
        raise _not_writable(file_system)
    _check_block(box.path(ENVIRONMENT))


def _not_writable(medium: str) -> BoxError:
    return refusal(
        f"/boot/grub is on {medium}, where GRUB cannot write and so cannot clear {NEXT_ENTRY}",
        "put /boot on a separate partition with ext4",
    )


def _check_block(block: Path) -> None:
    if not os.path.lexists(block):
        return
    found = block.lstat()
    if block.is_symlink() or found.st_size != BLOCK_SIZE or found.st_blocks == 0:
        raise refusal(
            f"{block} is not a plain file of {BLOCK_SIZE} bytes, so GRUB cannot overwrite it",
            f"recreate it with `rm {block} && grub-editenv {block} create`",
        )


def create_block(box: Box) -> None:
    """Create GRUB's environment block if there is none."""
    if not box.path(ENVIRONMENT).exists():
        box.run("grub-editenv", box.path(ENVIRONMENT), "create")
        _check_block(box.path(ENVIRONMENT))


def check_only_our_section_changed(before: str, after: str, build_id: str) -> None:
    """Check that grub.cfg gained the entry of a build and is otherwise unchanged.

    Raises:
        BoxError: the entry is missing, or another part changed, perhaps the default.
    """
    if not has_entry(after, build_id):
        raise BoxError(
            f"/{CONFIGURATION} has no menu entry for the patched hypervisor after the installation",
            "run update-grub and check its output",
        )
    if without_our_section(before) != without_our_section(after):
        raise BoxError(
            f"regenerating /{CONFIGURATION} changed more than the entry of the patched hypervisor",
            "run update-grub, check that the box boots, and run install again",
        )
