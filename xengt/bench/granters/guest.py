"""Granter `guest`: a running guest that shares pages with `xengt share`."""

import re
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import UUID

from xengt.errors import UnmetError
from xengt.sharing.gntalloc import own_domid
from xengt.sharing.publication import Publication, publication_directory, read_publication
from xengt.sharing.publisher import is_sharing
from xengt.sharing.references import Reference
from xengt.xen.xenstore import XenStore
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.ctrl_results import DomainInfo
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

#: as xl and XenStore write it
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class GuestGranter:
    """Grants the references that a guest has published for this domain in XenStore.

    Args:
        spec: `guest` for the only guest that has published references, `guest:NAME`,
            `guest:DOMID`, or `guest:UUID` as `xl list -v` prints it.
        store: the connection to XenStore; None opens one.

    Attributes:
        name: the spec.
        writable: False where the guest grants its pages read-only.
        domid: the domid of the guest.

    Raises:
        UnmetError: on entering, if there is no such guest, if it is dying, or if it
            has published no usable references; lists the guests.
    """

    def __init__(self, spec: str, store: XenStore | None = None) -> None:
        """Remember the arguments; the guest is looked up on entering."""
        self.name = spec
        self._guest = spec.partition(":")[2]
        self._store = store or XenStore()
        self._publication: Publication | None = None

    def __enter__(self) -> Self:
        """Find the guest and read its publication."""
        mapper = own_domid(self._store)
        granter = self._named() if self._guest else self._only(mapper)
        _check_running(granter)
        publication = read_publication(self._store, granter, mapper)
        if publication is None:
            raise UnmetError(
                f"{self._title(granter)} has published no references for domain {mapper}",
                f"run `xengt share --to {mapper} --pages N` there",
            )
        if granter == mapper and not is_sharing(publication.pid):
            raise UnmetError(
                f"process {publication.pid}, which published references of this domain, has ended",
                f"run `xengt share --to {mapper} --pages N` again",
            )
        self._publication = publication
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection to XenStore; the guest keeps granting its pages."""
        self._publication = None
        self._store.close()

    @property
    def publication(self) -> Publication:
        """The guest's publication.

        Raises:
            RuntimeError: the granter has not been entered.
        """
        if self._publication is None:
            raise RuntimeError("a granter has references only while it is entered")
        return self._publication

    @property
    def writable(self) -> bool:
        """Whether the pages may be mapped writable."""
        return self.publication.writable

    @property
    def domid(self) -> int:
        """The domid of the guest."""
        return self.publication.granter

    def references(self, count: int) -> Sequence[Reference]:
        """Return the first `count` references.

        Raises:
            UnmetError: the guest has published fewer.
        """
        published = self.publication.references
        if count > len(published):
            mapper = self.publication.mapper
            raise UnmetError(
                f"{self._title(self.domid)} shares {len(published)} pages, "
                f"but {count} references are required",
                f"lower --references, or run `xengt share --to {mapper} --pages {count}` there",
            )
        return published[:count]

    def _named(self) -> int:
        """Return the domid of the guest with the given domid, UUID or name."""
        domids = self._store.domids()
        kind, domid = "domid", None
        if self._guest.isascii() and self._guest.isdigit():
            domid = int(self._guest)
        elif _UUID.fullmatch(self._guest):
            kind, domid = "UUID", _domid_of_uuid(UUID(self._guest))
        else:
            kind, domid = "name", self._store.domid_of(self._guest)
        if domid is None or domid not in domids:
            raise UnmetError(
                f"no running domain has the {kind} {self._guest!r}",
                f"choose one of the running domains: {self._list(domids)}",
            )
        return domid

    def _only(self, mapper: int) -> int:
        """Return the domid of the only guest that has published references for this domain."""
        guests = [domid for domid in self._store.domids() if domid != mapper]
        publishing = [
            domid for domid in guests if self._store.exists(publication_directory(domid, mapper))
        ]
        if not publishing:
            raise UnmetError(
                f"no guest has published references for domain {mapper}",
                f"run `xengt share --to {mapper} --pages N` in one (running: {self._list(guests)})",
            )
        if len(publishing) > 1:
            raise UnmetError(
                f"{len(publishing)} guests have published references: {self._list(publishing)}",
                "choose one with --granter guest:NAME, guest:DOMID or guest:UUID",
            )
        return publishing[0]

    def _title(self, domid: int) -> str:
        """Return a domain's domid and name as text."""
        name = self._store.name_of(domid)
        return f"domain {domid} ({name})" if name else f"domain {domid}"

    def _list(self, domids: Sequence[int]) -> str:
        """Return the titles of several domains as text."""
        return ", ".join(self._title(domid) for domid in domids) or "no guest"


def _domains() -> list[DomainInfo]:
    """Return all domains that Xen has."""
    try:
        with Ctrl() as ctrl:
            return list(ctrl.domains())
    except MissingLibraryError as missing:
        raise UnmetError(str(missing), missing.remedy) from missing
    except XenLibraryError as refused:
        raise UnmetError(
            f"cannot ask Xen which domains are running: {refused}", "run this as root in dom0"
        ) from refused


def _domid_of_uuid(uuid: UUID) -> int | None:
    """Return the domid of the domain with a UUID; None if there is no such domain."""
    return next((each.domid for each in _domains() if each.uuid == uuid.bytes), None)


def _check_running(domid: int) -> None:
    """Check that a domain of XenStore is running: XenStore may still list one that is gone."""
    domain = next((each for each in _domains() if each.domid == domid), None)
    if domain is None or domain.dying or domain.shutdown:
        state = "gone" if domain is None else "dying" if domain.dying else "shut down"
        raise UnmetError(
            f"domain {domid} is {state}", "start it again, and run `xengt share` in it"
        )
