"""Maps granted pages of another domain into this process, through gntdev."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xengt.errors import FailedError, UnmetError
from xengt.sharing import own_pages, refusal
from xengt.sharing.references import WORD, Reference, pattern
from xengt.xen.kernel import is_control_domain
from xenlib_cffi import device_paths
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError
from xenlib_cffi.gnttab import GrantMapper
from xenlib_cffi.library import Pages

GNTDEV = Path(device_paths.GNTDEV)


@dataclass(frozen=True)
class PageContent:
    """The content of a granted page when it was read; the granter may write to the page.

    Args:
        gref: the reference in the granter's table.
        content: the bytes of the page, 4 KiB.
        shared: whether the page begins and ends with the pattern of `xengt share`.
    """

    gref: int
    content: bytes
    shared: bool

    @property
    def sha256(self) -> str:
        """The SHA-256 checksum of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


class MappedPages:
    """Mapped pages of a domain.

    Args:
        domid: the granter.
        grefs: the mapped references.
        pages: the mapped pages, one for each reference.
    """

    def __init__(self, domid: int, grefs: Sequence[int], pages: Pages) -> None:
        """Store the mapped pages; `map_references` unmaps them."""
        self._domid = domid
        self._grefs = grefs
        self._pages = pages

    def read(self) -> Iterator[PageContent]:
        """Read the pages one after the other, each once."""
        for index, gref in enumerate(self._grefs):
            content = bytes(self._pages.page(index))
            word = WORD.pack(pattern(self._domid, gref))
            yield PageContent(gref, content, content.startswith(word) and content.endswith(word))


@contextmanager
def map_references(
    domid: int, grefs: Sequence[int], *, writable: bool = False, record: refusal.Recorder
) -> Iterator[MappedPages]:
    """Map references of a domain for as long as the context lasts.

    Uses `xengnttab_map_grant_refs` and `xengnttab_unmap` of xengnttab.h.

    Args:
        domid: the granter.
        grefs: references in the granter's table, one 4 KiB page each.
        writable: False maps the pages read-only.
        record: records the references in dom0's journal while they are mapped by hypercall, one
            by one, to find the reference that Xen rejects.

    Raises:
        UnmetError: gntdev is not loaded, this user cannot open it, or the pages are those of
            this domain, which is translated.
        FailedError: Xen or the kernel rejected one of the references.
    """
    own_pages.require_other_domains([domid])
    try:
        mapper = GrantMapper()
    except MissingLibraryError as error:
        raise UnmetError(str(error), error.remedy) from error
    except XenLibraryError as error:
        raise UnmetError(f"grants cannot be mapped: {error}", _open_remedy()) from error
    with mapper:
        try:
            pages = mapper.map([(domid, gref) for gref in grefs], readonly=not writable)
        except XenLibraryError as error:
            raise _map_error(error, domid, grefs, writable=writable, record=record) from error
        with pages:
            yield MappedPages(domid, grefs, pages)


def _open_remedy() -> str:
    if not GNTDEV.exists():
        return f"{GNTDEV} does not exist: run `modprobe xen-gntdev` in a Xen dom0 or guest"
    return "run xengt as root"


def _map_error(
    error: XenLibraryError,
    domid: int,
    grefs: Sequence[int],
    *,
    writable: bool,
    record: refusal.Recorder,
) -> FailedError:
    """Explain a failed map, which in dom0 includes finding the reference that Xen rejects."""
    remedy = (
        f"see `dmesg` for messages of gntdev: domain {domid} may not grant these references, or "
        "only to another domain, or only read-only"
    )
    if not is_control_domain():
        return FailedError(str(error), remedy)
    references = [Reference(domid, gref, 0) for gref in grefs]
    return refusal.explain_failed_map(
        error, references, remedy, readonly=not writable, record=record
    )
