"""Granters: the domains whose references a benchmark maps.

There are three kinds: domains created for the benchmark (`empty`), dom0 (`self`),
and a running guest that shares pages (`guest`).
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from xengt.bench.case import EMPTY_GRANTER, SELF_GRANTER
from xengt.bench.granters.dom0_pages import Dom0Pages
from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.bench.granters.guest import GuestGranter
from xengt.sharing.references import Reference


class Granter(Protocol):
    """Grants pages for as long as it is entered.

    Attributes:
        name: the value of `--granter`.
    """

    name: str

    @property
    def writable(self) -> bool:
        """Whether the pages may be mapped writable; known once the granter is entered."""

    def references(self, count: int) -> Sequence[Reference]:
        """Grant pages, or return references that are already granted.

        Args:
            count: number of references. Several granting domains give the same
                number each; the references of a domain are consecutive.

        Raises:
            UnmetError: the granter cannot grant so many.
        """

    def __enter__(self) -> Self:
        """Open what is needed to grant."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Undo everything that was done to grant."""


def create_granter(spec: str, domains: int) -> Granter:
    """Return the granter for a value of `--granter`.

    Args:
        spec: `empty`, `self`, `guest`, `guest:NAME`, `guest:DOMID` or `guest:UUID`.
        domains: number of empty domains.
    """
    if spec == EMPTY_GRANTER:
        return EmptyDomains(domains)
    if spec == SELF_GRANTER:
        return Dom0Pages()
    return GuestGranter(spec)


__all__ = ["Granter", "create_granter"]
