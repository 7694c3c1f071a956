"""Xen's command line, parsed by the rules of Xen itself (xen/common/kernel.c)."""

import re
from collections.abc import Mapping

from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+", re.ASCII)
_INT_MAX = (1 << 31) - 1
_NO = {"no", "off", "false", "disable", "0"}
_YES = {"yes", "on", "true", "enable", "1"}


def of_running_xen() -> str:
    """Return the command line of the running Xen; empty if it cannot be read."""
    try:
        with Ctrl() as ctrl:
            return ctrl.version().commandline
    except BindingError:
        return ""


def read_number(commandline: str, option: str) -> int | None:
    """Return the value of `option=N`; None if the command line has no valid value.

    As in Xen, the last valid value counts, values that are no number or exceed an
    int are ignored, and a leading 0x or 0 means hexadecimal or octal.

    Args:
        commandline: Xen's command line.
        option: name of the option.
    """
    numbers = [_number(text) for text in _values(commandline, option)]
    return next((number for number in reversed(numbers) if number is not None), None)


def read_boolean(commandline: str, option: str, name: str) -> bool | None:
    """Return a boolean among the values of an option, as in `gnttab=no-transitive`.

    As in Xen's `parse_boolean()`, the values `name`, `no-name` and `name=yes` are
    valid, and the last valid one counts.

    Args:
        commandline: Xen's command line.
        option: name of the option.
        name: name of the boolean among the option's comma-separated values.

    Returns:
        None if the command line does not set the boolean.
    """
    return _last_boolean(commandline, {option: name})


def read_dom0_iommu(commandline: str, name: str) -> bool | None:
    """Return a boolean of `dom0-iommu=NAME` or of the older `iommu=dom0-NAME`.

    Args:
        commandline: Xen's command line.
        name: `strict` or `passthrough`.

    Returns:
        None if the command line does not set the boolean.
    """
    return _last_boolean(commandline, {"dom0-iommu": name, "iommu": f"dom0-{name}"})


def has_word(commandline: str, option: str) -> bool:
    """Return whether an option is on the command line as a word without a value.

    Args:
        commandline: Xen's command line.
        option: name of the option.
    """
    return option in commandline.split()


def is_enabled(commandline: str, option: str) -> bool:
    """Return whether an option is on as a word, or has a value that does not switch it off.

    Args:
        commandline: Xen's command line.
        option: name of an option that is off by default, such as `watchdog`.
    """
    enabled = False
    for word in commandline.split():
        name, has_value, value = word.partition("=")
        if name == option:
            enabled = not has_value or value not in _NO
        elif word == f"no-{option}":
            enabled = False
    return enabled


def has_serial_console(commandline: str) -> bool:
    """Return whether Xen prints on a serial port (`console=com1` and `com1=...`)."""
    words = commandline.split()
    values = _values(commandline, "console")
    # CONFIG_CONSOLE's default is com1,vga; a port without its own option is not used.
    ports = values[-1].split(",") if values else ["com1", "vga"]
    return any(
        word.partition("=")[0] == port[:4] and "=" in word
        for word in words
        for port in ports
        if port.startswith(("com", "dbgp"))
    )


def _last_boolean(commandline: str, names: Mapping[str, str]) -> bool | None:
    """Return the boolean that is set last.

    Args:
        commandline: Xen's command line.
        names: name of the boolean among an option's values, by option.
    """
    last = None
    for word in commandline.split():
        option, _, values = word.partition("=")
        name = names.get(option)
        for value in values.split(",") if name else ():
            key, has_setting, setting = value.partition("=")
            if key == f"no-{name}" and not has_setting:
                last = False
            elif key == name and (not has_setting or setting in _YES | _NO):
                last = setting not in _NO
    return last


def _values(commandline: str, option: str) -> list[str]:
    words = [word.partition("=") for word in commandline.split()]
    return [value for name, has_value, value in words if has_value and name == option]


def _number(text: str) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        value = int(text, 8 if re.match("0[0-9]", text) else 0)
    except ValueError:
        return None  # 089 is not octal
    return value if value <= _INT_MAX else None
