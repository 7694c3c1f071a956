"""The granter that is this domain: pages of gntalloc, granted to itself."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from xengt.sharing.gntalloc import shared_pages
from xengt.sharing.references import Reference

DOM0 = 0


class Dom0Pages:
    """Pages that dom0 grants to itself, through gntalloc."""

    name = "self"
    writable = True

    def __init__(self) -> None:
        """Nothing is granted yet."""
        self._open = ExitStack()

    def references(self, count: int) -> Sequence[Reference]:
        """Grant pages.

        Args:
            count: how many.

        Raises:
            UnmetError: gntalloc's limit is reached.
        """
        return self._open.enter_context(shared_pages(DOM0, count, own=DOM0))

    def __enter__(self) -> Self:
        """Nothing to open yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Revoke them."""
        self._open.close()
