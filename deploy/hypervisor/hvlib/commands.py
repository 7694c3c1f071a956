"""Install, confirm, remove: each leaves the stock default in place wherever it is stopped.

What boots is decided by GRUB's environment block alone. `install` writes `next_entry` there as its
last step, and GRUB clears it before it starts anything. `confirm` writes the build id of the one
hypervisor that may be the default, and nothing else. `remove` clears both before it does the rest.
"""

import os
from pathlib import Path

from hvlib import grub, package, state
from hvlib.box import Box, BoxError, refusal, require_root
from hvlib.grub import CONFIGURATION, ENVIRONMENT
from hvlib.names import ARGS, CONFIRMED, ENTRY, NEXT, PACKAGE


def say(text: str) -> None:
    """Tell the user one thing."""
    print(text, flush=True)


def install(box: Box, deb: Path, args: str) -> None:
    """Install a package beside the stock hypervisor, and have it booted once.

    Args:
        box: the machine.
        deb: what `build` made.
        args: further words for its command line.

    Raises:
        BoxError: the box cannot do it, or a step failed; the default is what it was.
    """
    require_root()
    wanted = package.read(box, deb)
    grub.check(box)
    reserved = grub.environment(box).get(NEXT)
    if reserved not in {None, "", ENTRY}:
        raise refusal(
            f"the next boot is already kept for `{reserved}`",
            f"grub-editenv /{ENVIRONMENT} unset {NEXT}",
        )
    before = state.keep(box)
    grub.forget(box, [NEXT, CONFIRMED, ARGS])
    if not _there(box, wanted):
        _install(box, deb, wanted)
    package.verify(box, wanted)
    os.sync()
    grub.make_block(box)
    grub.change(box, **({ARGS: args} if args else {}), **{NEXT: ENTRY})
    say(f"installed: {PACKAGE} {wanted.version}, build id {wanted.build_id}")
    say(f"the next boot is the patched hypervisor; the one after it is `{before.default}` again,")
    say("also when the patched one panics. `confirm`, once it runs, makes it stay.")


def _there(box: Box, wanted: package.Package) -> bool:
    """Tell whether exactly this package is installed and in the menu."""
    if package.installed(box) != wanted:
        return False
    try:
        package.verify(box, wanted)
    except BoxError:
        return False
    return grub.has_entry(grub.configuration(box), wanted.build_id)


def _install(box: Box, deb: Path, wanted: package.Package) -> None:
    had = package.known(box)
    text = grub.configuration(box)
    try:
        box.run("dpkg", "--install", deb, told=True)
        grub.check_only_ours_changed(text, grub.configuration(box), wanted.build_id)
    except BaseException:
        if not had:
            box.run("dpkg", "--purge", PACKAGE, told=True)
            state.drop(box)
        _put_back(box, text)
        raise


def _put_back(box: Box, text: str) -> None:
    """Write grub.cfg as it was, whole or not at all."""
    target = box.path(CONFIGURATION)
    half = target.with_name("grub.cfg.xengt")
    half.touch(mode=target.stat().st_mode & 0o777)
    with half.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.rename(target)


def confirm(box: Box) -> None:
    """Make the patched hypervisor the default, if it is what runs.

    Raises:
        BoxError: something else runs, or what would boot is not what runs; nothing has changed.
    """
    require_root()
    ours = package.installed(box)
    if ours is None:
        raise refusal(f"{PACKAGE} is not installed", "install it, and reboot into it")
    running = box.build_id()
    if running != ours.build_id:
        shown = f"the Xen that runs has build id {running}" if running else "this is no Xen"
        raise refusal(
            f"{shown}; the patched hypervisor's is {ours.build_id}",
            "install it once more, reboot into it, and confirm then",
        )
    package.verify(box, ours)
    if not grub.has_entry(grub.configuration(box), ours.build_id):
        raise BoxError(f"/{CONFIGURATION} has no entry for {PACKAGE}", "run update-grub")
    os.sync()
    grub.make_block(box)
    grub.change(box, **{CONFIRMED: ours.build_id})
    args = grub.environment(box).get(ARGS)
    say(f"confirmed: {PACKAGE} {ours.version} is the default from the next boot on")
    if args:
        say(f"it boots with `{args}`, as it did now")


def remove(box: Box) -> None:
    """Take everything away that `install` and `confirm` brought.

    Raises:
        BoxError: a step failed; the default is the stock one.
    """
    require_root()
    before = state.load(box)
    there = package.known(box)
    ours = package.installed(box)
    if before is None and not there:
        say(f"{PACKAGE} is not on this box")
        return
    grub.forget(box, _variables(box))
    if there:
        box.run("dpkg", "--purge", PACKAGE, told=True)
    if grub.has_entry(grub.configuration(box)):
        raise BoxError(
            f"/{CONFIGURATION} still has the entry; it is not the default",
            "run update-grub, and remove again",
        )
    if before is not None:
        _restore(box, before)
    state.drop(box)
    say(f"removed: {PACKAGE}")
    if ours is not None and box.build_id() == ours.build_id:
        say("the patched hypervisor still runs: a reboot is due, and boots the stock one")


def _variables(box: Box) -> list[str]:
    """Name the variables that are ours; an entry kept by somebody else for the next boot is not."""
    mine = grub.environment(box).get(NEXT) in {"", ENTRY}
    return [CONFIRMED, ARGS, *([NEXT] if mine else [])]


def _restore(box: Box, before: state.Before) -> None:
    variables = grub.environment(box)
    if before.next_entry and NEXT not in variables:
        grub.change(box, **{NEXT: ""})
    elif not before.block and not variables:
        box.path(ENVIRONMENT).unlink(missing_ok=True)
    now = state.look(box)
    if now.default != before.default:
        say(f"the default is `{now.default}`; when this was installed it was `{before.default}`")
    elif now.configuration != before.configuration:
        say(f"/{CONFIGURATION} has changed otherwise since: a new kernel, perhaps")
