"""A publication in XenStore: which pages a granter shares with a mapper.

`xengt share` publishes, and the guest granter reads. A publication is in the
granter's own `data` directory, which libxl creates and the guest may write to:

    /local/domain/<granter>/data/xengt/share/<mapper>/
        pages            number of pages
        references/<n>   the grant references as ranges, "8-263,300", in pieces
                         below XenStore's limit on the size of a value
        writable         1, or 0 for pages granted read-only
        pid              the process that shares, in the granter's own numbering
        state            "ready"; written last and removed first
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from xengt.errors import UnmetError
from xengt.sharing.references import MAX_REFERENCES, Reference, decode, encode, pattern
from xengt.xen.xenstore import XenStore

#: xenstored refuses values above 2,048 bytes in a guest.
PIECE_BYTES = 1_900


MAX_PIECES = 1_000


def _pieces(text: str) -> Iterator[str]:
    """Cut ranges into pieces that each fit a XenStore value."""
    while len(text) > PIECE_BYTES:
        cut = text.rindex(",", 0, PIECE_BYTES)
        yield text[:cut]
        text = text[cut + 1 :]
    yield text


@dataclass(frozen=True)
class Publication:
    """What a domain shares with another.

    Args:
        granter: domid of the domain whose pages they are.
        mapper: domid of the domain that may map them.
        grefs: the grant references, one for each page.
        writable: False where they are granted read-only.
        pid: the process that shares, in the granter's own numbering.
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
    """Give the XenStore directory of a publication."""
    return f"/local/domain/{granter}/data/xengt/share/{mapper}"


def publish(store: XenStore, publication: Publication) -> None:
    """Publish, in place of whatever was published from this granter to this mapper."""
    base = publication_directory(publication.granter, publication.mapper)
    withdraw(store, publication.granter, publication.mapper)
    store.write(f"{base}/pages", str(len(publication.grefs)))
    for number, piece in enumerate(_pieces(encode(publication.grefs))):
        store.write(f"{base}/references/{number}", piece)
    store.write(f"{base}/writable", str(int(publication.writable)))
    store.write(f"{base}/pid", str(publication.pid))
    store.write(f"{base}/state", "ready")


def withdraw(store: XenStore, granter: int, mapper: int) -> None:
    """Remove a publication, and the directories above it that it leaves empty."""
    base = publication_directory(granter, mapper)
    store.remove(f"{base}/state")
    store.remove(base)
    # a guest's `data` is the toolstack's and the guest could not make it again; dom0 has none
    for levels in range(1, 4 if granter == 0 else 3):
        above = base.rsplit("/", levels)[0]
        if store.exists(above) and not store.children(above):
            store.remove(above)


def read_publication(store: XenStore, granter: int, mapper: int) -> Publication | None:
    """Read what a domain publishes for another; None where it publishes nothing.

    Raises:
        UnmetError: it is not ready, or what is there makes no sense.
    """
    base = publication_directory(granter, mapper)
    if not store.exists(base):
        return None
    try:
        publication = _read(store, granter, mapper)
    except ValueError as malformed:
        raise UnmetError(
            f"domain {granter} publishes references that make no sense: {malformed}",
            f"Stop `xengt share` in domain {granter} and start it again; see `xenstore-ls {base}`.",
        ) from malformed
    # the state first and last: a publication that was replaced while it was read is not ready
    if publication is None or store.read(f"{base}/state") != "ready":
        raise UnmetError(
            f"domain {granter} is not ready: its `xengt share` is just starting or stopping",
            f"Wait for its line `ready: ...`; see `xenstore-ls {base}`.",
        )
    return publication


def _read(store: XenStore, granter: int, mapper: int) -> Publication | None:
    """Read a publication that is ready.

    Raises:
        ValueError: what is there makes no sense.
    """
    base = publication_directory(granter, mapper)
    if store.read(f"{base}/state") != "ready":
        return None
    pages = _number(store.read(f"{base}/pages"), "pages", MAX_REFERENCES)
    grefs: list[int] = []
    for number in range(MAX_PIECES):
        if len(grefs) >= pages:
            break
        piece = store.read(f"{base}/references/{number}")
        grefs += decode(piece or "", pages - len(grefs))
        if not piece:
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
    """Read a whole number that another domain wrote."""
    if text is None or re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) is None or int(text) > limit:
        raise ValueError(f"{name} is {text[:40] if text else text!r}")
    return int(text)
