"""Writes a document or a report to a file or to standard output."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from xengt.errors import FailedError


def write_json(value: Mapping[str, object], target: str) -> None:
    """Write a document as JSON.

    Args:
        value: the document, as its `to_json` returns it.
        target: the file to write, or `-` for standard output.

    Raises:
        FailedError: the file cannot be written.
    """
    write_text(json.dumps(value, indent=1) + "\n", target)


def write_text(text: str, target: str) -> None:
    """Write a finished report.

    Args:
        text: all of it.
        target: the file to write, or `-` for standard output.

    Raises:
        FailedError: the file cannot be written.
    """
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        # What a host says of itself may hold bytes that were never valid UTF-8.
        Path(target).write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise FailedError(
            f"cannot write {target}: {error.strerror}",
            "choose a directory that exists, is writable and has free space",
        ) from error
