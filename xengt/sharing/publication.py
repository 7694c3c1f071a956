"""The publication in XenStore of the pages that a granter shares with a mapper.

`xengt share` writes it, and the granter `guest` of `xengt bench` reads it. A
publication is in the `data` directory of the granter, which libxl creates and the
guest may write to:

    /local/domain/<granter>/data/xengt/share/<mapper>/
        pages            number of pages
        references/<n>   the grant references as ranges, "8-263,300", in chunks
                         that fit XenStore's limit on the size of a value
        writable         1, or 0 for pages granted read-only
        pid              the sharing process, in the granter's pid namespace
        state            "ready"; written last and removed first
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from xengt.errors import UnmetError
from xengt.sharing.references import (
    MAX_REFERENCES,
    Reference,
    format_grefs,
    parse_grefs,
    pattern,
)
from xengt.xen.xenstore import XenStore

#: bytes; xenstored rejects values above 2,048 bytes from a guest
CHUNK_BYTES = 1_900
MAX_CHUNKS = 1_000


@dataclass(frozen=True)
class Publication:
    """The pages that a domain shares with another domain.

    Args:
        granter: domid of the domain that owns the pages.
        mapper: domid of the domain that may map them.
        grefs: the grant references, one for each page.
        writable: False if the pages are granted read-only.
        pid: the sharing process, in the granter's pid namespace.
    """

    granter: int
    mapper: int
    grefs: tuple[int, ...]
    writable: bool
    pid: int

    @property
    def references(self) -> list[Reference]:
        """The references, each with the pattern of its page."""
        return [Reference(self.granter, gref, pattern(self.granter, gref)) for gref in self.grefs]


def publication_directory(granter: int, mapper: int) -> str:
    """Return the XenStore directory of a publication."""
    return f"/local/domain/{granter}/data/xengt/share/{mapper}"


def publish(store: XenStore, publication: Publication) -> None:
    """Write a publication, replacing an earlier one of the same granter and mapper."""
    base = publication_directory(publication.granter, publication.mapper)
    withdraw(store, publication.granter, publication.mapper)
    store.write(f"{base}/pages", str(len(publication.grefs)))
    for number, chunk in enumerate(_chunks(format_grefs(publication.grefs))):
        store.write(f"{base}/references/{number}", chunk)
    store.write(f"{base}/writable", str(int(publication.writable)))
    store.write(f"{base}/pid", str(publication.pid))
    store.write(f"{base}/state", "ready")


def withdraw(store: XenStore, granter: int, mapper: int) -> None:
    """Remove a publication and the parent directories that become empty."""
    base = publication_directory(granter, mapper)
    store.remove(f"{base}/state")
    store.remove(base)
    # Only the toolstack can create a guest's `data` directory; dom0 has none to begin with.
    for levels in range(1, 4 if granter == 0 else 3):
        parent = base.rsplit("/", levels)[0]
        if store.exists(parent) and not store.children(parent):
            store.remove(parent)


def read_publication(store: XenStore, granter: int, mapper: int) -> Publication | None:
    """Read the publication of a granter for a mapper; None if there is none.

    Raises:
        UnmetError: the publication is not ready, or is malformed.
    """
    base = publication_directory(granter, mapper)
    if not store.exists(base):
        return None
    try:
        publication = _read(store, granter, mapper)
    except ValueError as malformed:
        raise UnmetError(
            f"the publication of domain {granter} in XenStore is malformed: {malformed}",
            f"restart `xengt share` in domain {granter}; see `xenstore-ls {base}`",
        ) from malformed
    # The state is read first and last: a publication replaced in between is not ready.
    if publication is None or store.read(f"{base}/state") != "ready":
        raise UnmetError(
            f"domain {granter} is not ready: its `xengt share` is starting or stopping",
            f"wait until it prints `ready: ...`; see `xenstore-ls {base}`",
        )
    return publication


def _chunks(text: str) -> Iterator[str]:
    """Split ranges into chunks that fit a XenStore value."""
    while len(text) > CHUNK_BYTES:
        end = text.rindex(",", 0, CHUNK_BYTES)
        yield text[:end]
        text = text[end + 1 :]
    yield text


def _read(store: XenStore, granter: int, mapper: int) -> Publication | None:
    """Read a publication; None if its state is not "ready".

    Raises:
        ValueError: the publication is malformed.
    """
    base = publication_directory(granter, mapper)
    if store.read(f"{base}/state") != "ready":
        return None
    pages = _number(store.read(f"{base}/pages"), "pages", MAX_REFERENCES)
    grefs: list[int] = []
    for number in range(MAX_CHUNKS):
        if len(grefs) >= pages:
            break
        chunk = store.read(f"{base}/references/{number}")
        grefs += parse_grefs(chunk or "", pages - len(grefs))
        if not chunk:
            break
    if len(set(grefs)) != pages:
        raise ValueError(f"{len(set(grefs))} references for {pages} pages")
    return Publication(
        granter=granter,
        mapper=mapper,
        grefs=tuple(grefs),
        writable=_number(store.read(f"{base}/writable"), "writable", 1) == 1,
        pid=_number(store.read(f"{base}/pid"), "pid", 1 << 31),
    )


def _number(text: str | None, name: str, limit: int) -> int:
    """Parse a non-negative integer that another domain wrote."""
    if text is None or re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) is None or int(text) > limit:
        raise ValueError(f"{name} is {text and text[:40]!r}")
    return int(text)
