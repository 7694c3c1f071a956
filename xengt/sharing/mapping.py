"""Mapping pages of another domain for as long as somebody looks at them."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.sharing import refusal
from xengt.sharing.references import WORD, Reference, pattern
from xengt.xen.kernel import is_control_domain
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError
from xenlib_cffi.gnttab import GrantMapper
from xenlib_cffi.library import Pages

GNTDEV = Path("/dev/xen/gntdev")


@dataclass(frozen=True)
class PageContent:
    """A granted page as it was at one moment: its granter may be writing.

    Args:
        gref: the reference in the granter's table.
        content: 4,096 bytes.
        shared: whether it begins and ends as `xengt share` has its pages do.
    """

    gref: int
    content: bytes
    shared: bool

    @property
    def sha256(self) -> str:
        """The checksum of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


class MappedPages:
    """What is mapped; `look` as often as wanted.

    Args:
        domid: the granter.
        grefs: its references.
        pages: one of each.
    """

    def __init__(self, domid: int, grefs: Sequence[int], pages: Pages) -> None:
        """Keep them."""
        self._domid = domid
        self._grefs = grefs
        self._pages = pages

    def look(self) -> Iterator[PageContent]:
        """Read the pages, one after the other."""
        for index, gref in enumerate(self._grefs):
            content = bytes(self._pages.page(index))
            word = WORD.pack(pattern(self._domid, gref))
            yield PageContent(gref, content, content.startswith(word) and content.endswith(word))


@contextmanager
def map_references(
    domid: int, grefs: Sequence[int], *, writable: bool = False
) -> Iterator[MappedPages]:
    """Map references of a domain for as long as the context lasts.

    Stands on `xengnttab_map_grant_refs` and `xengnttab_unmap` of xengnttab.h.

    Args:
        domid: the granter.
        grefs: in its table, each one page of 4 KiB.
        writable: False maps them for reading alone.

    Raises:
        UnmetError: there is no gntdev, or this user may not open it.
        FailedError: Xen refuses one of them.
    """
    try:
        mapper = GrantMapper()
    except MissingLibraryError as missing:
        raise UnmetError(str(missing), missing.remedy) from missing
    except XenLibraryError as error:
        raise UnmetError(f"nothing can be mapped: {error}", _opening()) from error
    with mapper:
        try:
            pages = mapper.map([(domid, gref) for gref in grefs], readonly=not writable)
        except XenLibraryError as error:
            raise _refusal(error, domid, grefs, writable=writable) from error
        with pages:
            yield MappedPages(domid, grefs, pages)


def _opening() -> str:
    if not GNTDEV.exists():
        return f"{GNTDEV} is not there: `modprobe xen-gntdev`, in a Xen dom0 or guest."
    return "Run this as root."


def _refusal(
    error: XenLibraryError, domid: int, grefs: Sequence[int], *, writable: bool
) -> XengtError:
    """Say which reference it is, where this is dom0 and Xen tells."""
    if is_control_domain():
        references = (Reference(domid, gref, 0) for gref in grefs)
        refused = refusal.find_refusal(references, readonly=not writable)
        if refused is not None:
            return refusal.explain_refusal(refused)
    return FailedError(
        str(error),
        "see `dmesg` for what gntdev says: it may be that the domain does not grant them, or "
        "not to this one, or for reading alone",
    )
