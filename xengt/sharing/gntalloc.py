"""Sharing pages of this domain with another, through gntalloc.

`xengt share` publishes what is shared here; the self granter uses it in its
own process.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.sharing.references import Reference, pattern, stamp
from xengt.xen.kernel import is_control_domain
from xengt.xen.xenstore import XenStore
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError
from xenlib_cffi.gnttab import GrantShare

GNTALLOC = Path("/dev/xen/gntalloc")
LIMIT = Path("/sys/module/xen_gntalloc/parameters/limit")


def own_domid(store: XenStore) -> int:
    """Find the domid of the domain this runs in.

    The control domain needs no XenStore for it: it is domain 0.

    Raises:
        UnmetError: this is no dom0, and XenStore does not tell.
    """
    if is_control_domain():
        return 0
    return store.own_domid()


@contextmanager
def shared_pages(
    domid: int, count: int, *, own: int, writable: bool = True
) -> Iterator[list[Reference]]:
    """Share pages for as long as the context lasts, each stamped with its pattern.

    Stands on `xengntshr_share_pages` and `xengntshr_unshare` of xengnttab.h.

    Args:
        domid: the domain that may map them.
        count: how many pages, of 4 KiB each.
        own: domid of the domain this runs in, the granter.
        writable: False grants them read-only.

    Yields:
        A reference for each page.

    Raises:
        UnmetError: there is no gntalloc, this user may not open it, or it has
            fewer pages left than asked for.
        FailedError: the kernel refused for another reason.
    """
    _check_limit(count)
    try:
        share = GrantShare()
    except MissingLibraryError as missing:
        raise UnmetError(str(missing), missing.remedy) from missing
    except XenLibraryError as refused:
        raise UnmetError(f"pages cannot be shared: {refused}", _opening(refused)) from refused
    with share:
        try:
            pages = share.share(domid, count, writable=writable)
        except XenLibraryError as refused:
            raise _refusal(refused, count) from refused
        with pages:
            for index, gref in enumerate(pages.references):
                stamp(memoryview(pages.page(index)), own, gref)
            # the kernel hands out what was freed last first: in order they are one range
            yield [Reference(own, gref, pattern(own, gref)) for gref in sorted(pages.references)]


def page_limit() -> int | None:
    """Read how many pages gntalloc shares in all; None without gntalloc."""
    try:
        return int(LIMIT.read_text())
    except (OSError, ValueError):
        return None


def _check_limit(count: int) -> None:
    """Refuse more pages than gntalloc would ever give, whose own word is a bare ENOSPC."""
    most = page_limit()
    if most is not None and count > most:
        raise UnmetError(
            f"gntalloc shares {most} pages at most in this domain, and {count} are asked for",
            _raise_limit(count),
        )


def _raise_limit(count: int) -> str:
    """Say how gntalloc gets to share more."""
    return (
        f"Raise it: `echo {count} > {LIMIT}`, or share fewer; what other processes of this "
        "domain share counts as well."
    )


def _opening(refused: XenLibraryError) -> str:
    """Say why gntalloc does not open."""
    if refused.errno in {errno.EACCES, errno.EPERM}:
        return "Run this as root."
    if not GNTALLOC.exists():
        return f"{GNTALLOC} is not there: `modprobe xen-gntalloc`, in a Xen dom0 or guest."
    return f"See `dmesg` and {GNTALLOC}."


def _refusal(refused: XenLibraryError, count: int) -> XengtError:
    """Say why gntalloc does not share."""
    if refused.errno == errno.ENOSPC:
        most = page_limit()
        return UnmetError(
            f"gntalloc has not {count} pages left to share of its {most} in this domain, "
            f"or the grant table has not {count} entries left",
            _raise_limit(count + (most or 0)),
        )
    if refused.errno == errno.ENOMEM:
        return UnmetError(f"this domain has not {count} pages free to share", "Share fewer.")
    return FailedError(f"pages cannot be shared: {refused}", "See `dmesg`.")
