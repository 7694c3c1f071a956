"""install, confirm and remove: an interruption at any point leaves the stock entry the default.

GRUB's environment block alone decides what boots. `install` sets `next_entry` in its last step,
and GRUB clears it before it starts anything. `confirm` only sets the build id of the one
hypervisor that may be the default. `remove` clears both variables before anything else.
"""

import os
from pathlib import Path

from hvlib import grub, package, state
from hvlib.box import Box, BoxError, refusal, require_root
from hvlib.grub import CONFIGURATION, ENVIRONMENT
from hvlib.names import ARGS, CONFIRMED, ENTRY, NEXT_ENTRY, PACKAGE


def report(text: str) -> None:
    """Print a line for the user."""
    print(text, flush=True)


def install(box: Box, deb: Path, args: str) -> None:
    """Install a package beside the stock hypervisor and select it for the next boot.

    Args:
        box: the machine.
        deb: package built by `build`.
        args: additional arguments for the hypervisor's command line.

    Raises:
        BoxError: the box does not meet a requirement, or a step failed; the default is unchanged.
    """
    require_root()
    requested = package.read(box, deb)
    grub.check_requirements(box)
    next_entry = grub.environment(box).get(NEXT_ENTRY)
    if next_entry not in {None, "", ENTRY}:
        raise refusal(
            f"the entry `{next_entry}` is already selected for the next boot",
            f"to discard the selection, run `grub-editenv /{ENVIRONMENT} unset {NEXT_ENTRY}`",
        )
    original = state.save_once(box)
    grub.unset_variables(box, [NEXT_ENTRY, CONFIRMED, ARGS])
    if not _is_installed(box, requested):
        _install(box, deb, requested)
    package.verify_image(box, requested)
    os.sync()
    grub.create_block(box)
    grub.set_variables(box, **({ARGS: args} if args else {}), **{NEXT_ENTRY: ENTRY})
    report(f"installed {PACKAGE} {requested.version}, build id {requested.build_id}")
    report("The next boot starts the patched hypervisor. The boot after it starts GRUB's default")
    report(f"entry `{original.default}` again, even if the patched hypervisor panics.")
    report("To make the patched hypervisor the default, run `confirm` while it is running.")


def _is_installed(box: Box, requested: package.Package) -> bool:
    """Return whether exactly this package is installed, intact and in GRUB's menu."""
    if package.installed(box) != requested:
        return False
    try:
        package.verify_image(box, requested)
    except BoxError:
        return False
    return grub.has_entry(grub.configuration(box), requested.build_id)


def _install(box: Box, deb: Path, requested: package.Package) -> None:
    """Install the package with dpkg; undo it if GRUB's configuration changes unexpectedly."""
    was_known = package.is_known(box)
    configuration = grub.configuration(box)
    try:
        box.run("dpkg", "--install", deb, show_output=True)
        grub.check_only_our_section_changed(
            configuration, grub.configuration(box), requested.build_id
        )
    except BaseException:
        if not was_known:
            box.run("dpkg", "--purge", PACKAGE, show_output=True)
            state.delete(box)
        _write_configuration(box, configuration)
        raise


def _write_configuration(box: Box, text: str) -> None:
    """Replace grub.cfg atomically."""
    target = box.path(CONFIGURATION)
    temporary = target.with_name("grub.cfg.xengt")
    temporary.touch(mode=target.stat().st_mode & 0o777)
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(target)


def confirm(box: Box) -> None:
    """Make the patched hypervisor the default if it is the running one.

    Raises:
        BoxError: another hypervisor is running, or the installed one is damaged or not in GRUB's
            menu; nothing has changed.
    """
    require_root()
    installed = package.installed(box)
    if installed is None:
        raise refusal(
            f"{PACKAGE} is not installed", "run install, and reboot into the patched hypervisor"
        )
    running = box.build_id()
    if running != installed.build_id:
        state_now = f"the running Xen has build id {running}" if running else "Xen is not running"
        raise refusal(
            f"{state_now}, but the patched hypervisor has build id {installed.build_id}",
            "run install again, reboot into the patched hypervisor, and then run confirm",
        )
    package.verify_image(box, installed)
    if not grub.has_entry(grub.configuration(box), installed.build_id):
        raise BoxError(
            f"/{CONFIGURATION} has no menu entry for {PACKAGE}",
            "run update-grub, and then confirm again",
        )
    os.sync()
    grub.create_block(box)
    grub.set_variables(box, **{CONFIRMED: installed.build_id})
    args = grub.environment(box).get(ARGS)
    report(f"confirmed {PACKAGE} {installed.version}: it is the default from the next boot on")
    if args:
        report(f"its command line keeps the additional arguments `{args}`")


def remove(box: Box) -> None:
    """Remove the package and restore the boot configuration from before the installation.

    Raises:
        BoxError: a step failed; the default is the stock entry.
    """
    require_root()
    original = state.load(box)
    is_known = package.is_known(box)
    installed = package.installed(box)
    if original is None and not is_known:
        report(f"{PACKAGE} is not installed: nothing to remove")
        return
    grub.unset_variables(box, _our_variables(box))
    if is_known:
        box.run("dpkg", "--purge", PACKAGE, show_output=True)
    if grub.has_entry(grub.configuration(box)):
        raise BoxError(
            f"/{CONFIGURATION} still has the menu entry of the patched hypervisor, which is not"
            " the default",
            "run update-grub, and then remove again",
        )
    if original is not None:
        _restore(box, original)
    state.delete(box)
    report(f"removed {PACKAGE}")
    if installed is not None and box.build_id() == installed.build_id:
        report("the patched hypervisor is still running: reboot to start the stock hypervisor")


def _our_variables(box: Box) -> list[str]:
    """Return the variables to unset: next_entry only if it does not select another entry."""
    next_is_ours = grub.environment(box).get(NEXT_ENTRY) in {"", ENTRY}
    return [CONFIRMED, ARGS, *([NEXT_ENTRY] if next_is_ours else [])]


def _restore(box: Box, original: state.BootState) -> None:
    """Restore the environment block, and report a boot configuration that differs."""
    variables = grub.environment(box)
    if original.next_entry and NEXT_ENTRY not in variables:
        grub.set_variables(box, **{NEXT_ENTRY: ""})
    elif not original.block and not variables:
        box.path(ENVIRONMENT).unlink(missing_ok=True)
    now = state.current(box)
    if now.default != original.default:
        report(
            f"the default entry is `{now.default}`; before the installation it was"
            f" `{original.default}`"
        )
    elif now.configuration != original.configuration:
        report(f"/{CONFIGURATION} has other changes since the installation, such as a new kernel")
