"""Xen's own command line, read by the rules Xen reads it by (xen/common/kernel.c)."""

import re

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+", re.ASCII)
_INT_MAX = (1 << 31) - 1
_NO = {"no", "off", "false", "disable", "0"}
_YES = {"yes", "on", "true", "enable", "1"}


def number(commandline: str, option: str) -> int | None:
    """Read what `option=N` says; None where it does not say anything that Xen takes.

    As in Xen the last one counts, one that is no number or beyond an int is
    passed over, and a leading 0x or 0 means hexadecimal or octal.

    Args:
        commandline: Xen's.
        option: its name.
    """
    found = [_number(text) for text in _values(commandline, option)]
    return next((value for value in reversed(found) if value is not None), None)


def switch(commandline: str, option: str, name: str) -> bool | None:
    """Read a boolean among an option's values, as in `gnttab=no-transitive`; None: not there.

    Stands on Xen's `parse_boolean`: `name`, `no-name` and `name=yes` are values; the
    last one counts.

    Args:
        commandline: Xen's.
        option: the option whose values they are.
        name: of the boolean.
    """
    found = None
    for word in (word for text in _values(commandline, option) for word in text.split(",")):
        key, given, setting = word.partition("=")
        if key == f"no-{name}" and not given:
            found = False
        elif key == name and (not given or setting in _YES | _NO):
            found = setting not in _NO
    return found


def _values(commandline: str, option: str) -> list[str]:
    return [w.partition("=")[2] for w in commandline.split() if w.startswith(f"{option}=")]


def _number(text: str) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        value = int(text, 8 if re.match("0[0-9]", text) else 0)
    except ValueError:
        return None  # 089: not octal
    return value if value <= _INT_MAX else None
