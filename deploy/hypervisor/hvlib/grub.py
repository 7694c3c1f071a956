"""What GRUB on the box will do: its environment block, its configuration, and what it can write."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from hvlib.box import Box, BoxError, refusal
from hvlib.names import ENTRY, SCRIPT

CONFIGURATION = "boot/grub/grub.cfg"
ENVIRONMENT = "boot/grub/grubenv"
SIZE = 1024
"""Bytes of an environment block: GRUB overwrites it in place, and cannot make it longer."""

WRITABLE = {"ext2", "xfs", "fat"}
"""File systems in which GRUB is known to overwrite a file; ext2 is its word for ext4 as well."""

SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def environment(box: Box) -> dict[str, str]:
    """Return the variables of GRUB's environment block; no block has none."""
    if not box.path(ENVIRONMENT).exists():
        return {}
    lines = box.run("grub-editenv", box.path(ENVIRONMENT), "list").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def change(box: Box, **variables: str) -> None:
    """Set variables of GRUB's environment block, all in one write.

    Raises:
        BoxError: it cannot be written.
    """
    words = [f"{name}={value}" for name, value in variables.items()]
    box.run("grub-editenv", box.path(ENVIRONMENT), "set", *words)


def forget(box: Box, names: Iterable[str]) -> None:
    """Take those variables out of GRUB's environment block that are in it, all in one write.

    Raises:
        BoxError: it cannot be written.
    """
    present = [name for name in names if name in environment(box)]
    if present:
        box.run("grub-editenv", box.path(ENVIRONMENT), "unset", *present)


def configuration(box: Box) -> str:
    """Return grub.cfg.

    Raises:
        BoxError: there is none.
    """
    try:
        return box.path(CONFIGURATION).read_text(encoding="utf-8")
    except OSError as error:
        raise refusal(
            f"/{CONFIGURATION} cannot be read: {error.strerror}",
            "this needs Debian 13 that boots through GRUB",
        ) from error


def section(text: str, script: str) -> str:
    """Return what one script of /etc/grub.d put into grub.cfg; nothing when it was not run."""
    name = re.escape(f"/{script}")
    found = re.search(rf"\n### BEGIN {name} ###\n(.*?)### END {name} ###\n", text, re.DOTALL)
    return found[1] if found else ""


def without_ours(text: str) -> str:
    """Return grub.cfg as it would be if the package were not there."""
    name = re.escape(f"/{SCRIPT}")
    return re.sub(rf"\n### BEGIN {name} ###\n.*?### END {name} ###\n", "", text, flags=re.DOTALL)


def has_entry(text: str, build_id: str = "") -> bool:
    """Tell whether grub.cfg has the patched hypervisor's entry: this build's, when one is named."""
    ours = section(text, SCRIPT)
    return f"$menuentry_id_option '{ENTRY}'" in ours and f'= "{build_id}' in ours


def default(text: str, variables: dict[str, str]) -> str:
    """Return the entry a box boots when nothing is said of the next boot.

    Args:
        text: grub.cfg.
        variables: of the environment block.
    """
    header = section(text, "etc/grub.d/00_header")
    found = re.search(r'^else\n\s*set default="(.*)"$', header, re.MULTILINE)
    name = found[1] if found else "0"
    return variables.get("saved_entry", "0") if name == "${saved_entry}" else name


def check(box: Box) -> None:
    """See that this box would boot the patched hypervisor once, and only once.

    Raises:
        BoxError: it would not; nothing has been changed.
    """
    text = configuration(box)
    if 'set default="${next_entry}"' not in text:
        raise refusal(
            f"/{CONFIGURATION} does not know next_entry, so that nothing can be booted once",
            "make it anew with update-grub",
        )
    if "menuentry " not in section(text, "etc/grub.d/20_linux_xen"):
        raise refusal(
            f"/{CONFIGURATION} has no entry for Debian's own Xen, to go back to",
            "apt install xen-hypervisor-4.20-amd64, boot it, and come back",
        )
    _check_writable(box)
    try:
        secure = box.path(SECURE_BOOT).read_bytes()[-1:] == b"\1"
    except OSError:
        secure = False
    if secure:
        raise refusal(
            "Secure Boot is on: GRUB loads no hypervisor that is not signed",
            "switch it off in the firmware",
        )


def _check_writable(box: Box) -> None:
    """GRUB must clear next_entry itself: else the patched hypervisor would boot for ever."""
    directory = box.path(CONFIGURATION).parent
    remedy = "put /boot on a partition of its own, with ext4"
    layers = box.run("grub-probe", "--target=abstraction", directory).split()
    if layers:
        raise refusal(
            f"/boot/grub is on {', '.join(layers)}: GRUB cannot write there, so that the next"
            " boot would not be the only one",
            remedy,
        )
    kind = box.run("grub-probe", "--target=fs", directory).strip()
    if kind not in WRITABLE:
        raise refusal(f"/boot/grub is on {kind}, where GRUB cannot write", remedy)
    _check_block(box.path(ENVIRONMENT))


def _check_block(block: Path) -> None:
    if not os.path.lexists(block):
        return
    found = block.lstat()
    if block.is_symlink() or found.st_size != SIZE or found.st_blocks == 0:
        raise refusal(
            f"{block} is not {SIZE} bytes of a plain file, which GRUB can overwrite",
            f"make it anew: rm {block} && grub-editenv {block} create",
        )


def make_block(box: Box) -> None:
    """Make GRUB's environment block if there is none."""
    if not box.path(ENVIRONMENT).exists():
        box.run("grub-editenv", box.path(ENVIRONMENT), "create")
        _check_block(box.path(ENVIRONMENT))


def check_only_ours_changed(before: str, after: str, build_id: str) -> None:
    """Check that grub.cfg got the entry of a build, and that all else in it is what it was.

    Raises:
        BoxError: something else changed, the default perhaps.
    """
    if not has_entry(after, build_id):
        raise BoxError(
            f"/{CONFIGURATION} got no entry for the patched hypervisor",
            "see what update-grub says",
        )
    if without_ours(before) != without_ours(after):
        raise BoxError(
            f"/{CONFIGURATION} was not what update-grub makes now: not only our entry is new in it",
            "run update-grub, see that the box boots, and install again",
        )
