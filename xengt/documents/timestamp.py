"""The time in a document."""

from datetime import UTC, datetime
from typing import Literal


def timestamp(precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Return the current time as ISO 8601 in UTC, such as `2026-02-03T04:05:06Z`.

    Args:
        precision: the last part of the time.
    """
    return datetime.now(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
