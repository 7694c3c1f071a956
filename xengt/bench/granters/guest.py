"""A running guest that shares pages with `xengt share` and publishes them in XenStore."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from xengt.errors import UnmetError
from xengt.sharing.gntalloc import own_domid
from xengt.sharing.publication import Publication, publication_directory, read_publication
from xengt.sharing.publisher import is_sharing
from xengt.sharing.references import Reference
from xengt.xen.xenstore import XenStore
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError


class GuestGranter:
    """The references that one guest publishes for this domain.

    Args:
        spec: `guest`, the only guest that publishes; `guest:NAME`; `guest:DOMID`.
        store: where to look; None connects to this domain's XenStore.

    Attributes:
        name: the spec.
        writable: False where the guest grants its pages read-only.
        domid: the guest's.

    Raises:
        UnmetError: on entering: no such guest, it is dying, or it publishes
            nothing that can be used; says which guests there are.
    """

    def __init__(self, spec: str, store: XenStore | None = None) -> None:
        """Look for nothing yet."""
        self.name = spec
        self._wanted = spec.partition(":")[2]
        self._store = store or XenStore()
        self._publication: Publication | None = None

    def __enter__(self) -> Self:
        """Find the guest and read what it publishes."""
        mapper = own_domid(self._store)
        granter = self._named() if self._wanted else self._only(mapper)
        _refuse_the_dying(granter)
        publication = read_publication(self._store, granter, mapper)
        if publication is None:
            raise UnmetError(
                f"{self._called(granter)} publishes no references for domain {mapper}",
                f"Run `xengt share --to {mapper} --pages N` there.",
            )
        if granter == mapper and not is_sharing(publication.pid):
            raise UnmetError(
                f"process {publication.pid}, which published references of this domain, is gone",
                f"Run `xengt share --to {mapper} --pages N` again.",
            )
        self._publication = publication
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close XenStore; the pages are the guest's own to revoke."""
        self._publication = None
        self._store.close()

    @property
    def publication(self) -> Publication:
        """What the guest publishes.

        Raises:
            RuntimeError: the granter has not been entered.
        """
        if self._publication is None:
            raise RuntimeError("a granter has references inside its `with` alone")
        return self._publication

    @property
    def writable(self) -> bool:
        """Whether the guest lets its pages be mapped writable."""
        return self.publication.writable

    @property
    def domid(self) -> int:
        """The guest's domid."""
        return self.publication.granter

    def references(self, count: int) -> Sequence[Reference]:
        """Give the first `count` references.

        Raises:
            UnmetError: the guest publishes fewer.
        """
        there = self.publication.references
        if count > len(there):
            mapper = self.publication.mapper
            raise UnmetError(
                f"{self._called(self.domid)} shares {len(there)} pages, "
                f"and {count} references are asked for",
                f"Ask for fewer, or run `xengt share --to {mapper} --pages {count}` there.",
            )
        return there[:count]

    def _named(self) -> int:
        """Find the guest that the spec names, by domid or by name."""
        domids = self._store.domids()
        by_domid = self._wanted.isascii() and self._wanted.isdigit()
        domid = int(self._wanted) if by_domid else self._store.domid_of(self._wanted)
        if domid is None or domid not in domids:
            kind = "domid" if by_domid else "name"
            raise UnmetError(
                f"no domain of {kind} {self._wanted!r} is running",
                f"Running: {self._listed(domids)}.",
            )
        return domid

    def _only(self, mapper: int) -> int:
        """Find the only guest that publishes anything for this domain."""
        guests = [domid for domid in self._store.domids() if domid != mapper]
        publishing = [
            domid for domid in guests if self._store.exists(publication_directory(domid, mapper))
        ]
        if not publishing:
            raise UnmetError(
                f"no guest publishes references for domain {mapper}",
                f"Run `xengt share --to {mapper} --pages N` in one "
                f"(running: {self._listed(guests)}).",
            )
        if len(publishing) > 1:
            raise UnmetError(
                f"{len(publishing)} guests publish references: {self._listed(publishing)}",
                "Name one: `--granter guest:NAME` or `--granter guest:DOMID`.",
            )
        return publishing[0]

    def _called(self, domid: int) -> str:
        """Name a domain by its domid and name."""
        name = self._store.name_of(domid)
        return f"domain {domid} ({name})" if name else f"domain {domid}"

    def _listed(self, domids: Sequence[int]) -> str:
        """Name several domains."""
        return ", ".join(self._called(domid) for domid in domids) or "no guest"


def _refuse_the_dying(domid: int) -> None:
    """Refuse a domain that XenStore still has, and Xen not, or not for long."""
    try:
        with Ctrl() as ctrl:
            domain = ctrl.domain(domid)
    except MissingLibraryError as missing:
        raise UnmetError(str(missing), missing.remedy) from missing
    except XenLibraryError as refused:
        raise UnmetError(
            f"Xen does not tell whether domain {domid} runs: {refused}",
            "Run this as root in dom0.",
        ) from refused
    if domain is None or domain.dying or domain.shutdown:
        state = "gone" if domain is None else "dying" if domain.dying else "shut down"
        raise UnmetError(f"domain {domid} is {state}", "Start it again, and `xengt share` in it.")
