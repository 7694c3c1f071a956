"""Writes a document or a report to a file or to standard output."""

import errno
import json
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from xengt.errors import FailedError, UnmetError

#: the name of standard output as a target
STANDARD_OUTPUT = "-"
_REMEDY = "choose a directory that exists, is writable and has free space"


def require_writable(target: str, option: str) -> None:
    """Check that a target can be written, without changing it if it exists.

    Args:
        target: a file, or `-` for standard output.
        option: the option that names it, for the error.

    Raises:
        UnmetError: the file cannot be written or created.
    """
    if target == STANDARD_OUTPUT:
        return
    if not target:
        raise UnmetError(f"{option} has an empty file name", "name a file")
    try:
        _try_to_write(Path(target))
    except OSError as error:
        raise UnmetError(f"cannot write {target} ({option}): {error.strerror}", _REMEDY) from error


def _try_to_write(path: Path) -> None:
    """Raise the OSError that a write would raise."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:  # a file without a name, in the directory that a link may point to
        tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
        return
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        os.close(os.open(path, os.O_WRONLY))
    elif not os.access(path, os.W_OK):  # Opening a FIFO would wait for its reader.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def json_text(value: Mapping[str, object]) -> str:
    """Return a document as one line of JSON.

    Args:
        value: the document, as its `to_json` returns it.
    """
    return json.dumps(value) + "\n"


def write_json(value: Mapping[str, object], target: str, *, append: bool = False) -> None:
    """Write a document as one line of JSON.

    Args:
        value: the document, as its `to_json` returns it.
        target: the file to write, or `-` for standard output.
        append: keep what the file contains.

    Raises:
        FailedError: the file cannot be written.
    """
    write_text(json_text(value), target, append=append)


def replace_json(value: Mapping[str, object], path: Path) -> None:
    """Write a document so that the file has either its former or its new content, whatever happens.

    Args:
        value: the document, as its `to_json` returns it.
        path: the file.

    Raises:
        FailedError: the file cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        write_json(value, str(new))
        new.replace(path)
    except OSError as error:
        raise FailedError(f"cannot write {path}: {error.strerror}", _REMEDY) from error
    finally:
        new.unlink(missing_ok=True)


def write_text(text: str, target: str, *, append: bool = False) -> None:
    """Write a finished report.

    Args:
        text: all of it.
        target: the file to write, or `-` for standard output.
        append: keep what the file contains.

    Raises:
        FailedError: the file cannot be written.
    """
    if target == STANDARD_OUTPUT:
        sys.stdout.write(text)
        sys.stdout.flush()  # The command may go on for hours.
        return
    try:
        with Path(target).open("ab" if append else "wb") as file:
            # What a host says of itself may hold bytes that were never valid UTF-8.
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise FailedError(f"cannot write {target}: {error.strerror}", _REMEDY) from error
