"""Granter `self`: pages that dom0 grants to itself through gntalloc."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from xengt.bench.case import SELF_GRANTER
from xengt.sharing.gntalloc import shared_pages
from xengt.sharing.references import Reference
from xengt.xen.handle import DOM0


class Dom0Pages:
    """Grants pages of dom0 to dom0."""

    name = SELF_GRANTER
    writable = True

    def __init__(self) -> None:
        """Grant nothing yet."""
        self._open = ExitStack()

    def references(self, count: int) -> Sequence[Reference]:
        """Grant pages.

        Args:
            count: number of pages.

        Raises:
            UnmetError: gntalloc is missing, or its limit is too low.
        """
        return self._open.enter_context(shared_pages(DOM0, count, own=DOM0))

    def __enter__(self) -> Self:
        """Return the granter; gntalloc is opened with the references."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop granting the pages."""
        self._open.close()
