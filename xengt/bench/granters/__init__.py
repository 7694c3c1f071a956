"""Granters: where the references that a benchmark maps come from.

Three kinds, one face: domains created for it (`empty`), this domain itself
(`own`), and a running guest that shares pages (`guest`).
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from xengt.bench.granters.dom0_pages import Dom0Pages
from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.bench.granters.guest import GuestGranter
from xengt.sharing.references import Reference


class Granter(Protocol):
    """Something that grants pages for as long as it is entered.

    Attributes:
        name: what `--granter` calls it.
    """

    name: str

    @property
    def writable(self) -> bool:
        """False where its pages may be mapped for reading alone; known once it is entered."""

    def references(self, count: int) -> Sequence[Reference]:
        """Grant pages, or hand out references that are granted already.

        Args:
            count: how many in all. With several granting domains, each gives
                as many as every other, and they come one domain after another.

        Raises:
            UnmetError: there are not that many to be had.
        """

    def __enter__(self) -> Self:
        """Get ready to grant."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take back what was granted; nothing of it stays."""


def create_granter(spec: str, domains: int) -> Granter:
    """The granter that `--granter` names.

    Args:
        spec: `empty`, `self`, `guest`, `guest:NAME` or `guest:DOMID`.
        domains: how many empty domains.
    """
    if spec == "empty":
        return EmptyDomains(domains)
    if spec == "self":
        return Dom0Pages()
    return GuestGranter(spec)


__all__ = ["Granter", "create_granter"]
