"""The JSON Schemas of the documents, one file each beside this module."""

import json
from importlib.resources import files
from typing import Any


def load(command: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's document.

    Args:
        command: the name of the command, such as `usage`.

    Raises:
        FileNotFoundError: there is no such schema.
    """
    file = files(__package__) / f"{command}.schema.json"
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema
