"""Shares pages of this domain with another domain through gntalloc.

`xengt share`, the granter `self` of `xengt bench` and its engine `copy` use it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.sharing.references import Reference, pattern, stamp
from xengt.xen.kernel import ROOT, below, is_control_domain
from xengt.xen.xenstore import XenStore
from xenlib_cffi import device_paths
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError
from xenlib_cffi.gnttab import GrantShare, SharedPages

GNTALLOC = Path(device_paths.GNTALLOC)
#: the module parameter that limits the pages which all processes of this domain share
LIMIT = Path("/sys/module/xen_gntalloc/parameters/limit")


def own_domid(store: XenStore) -> int:
    """Return the domid of the domain this process runs in; 0 in dom0, without XenStore.

    Raises:
        UnmetError: this is not dom0, and XenStore does not report the domid.
    """
    if is_control_domain():
        return 0
    return store.own_domid()


@contextmanager
def shared_pages(
    domid: int, count: int, *, own: int, writable: bool = True
) -> Iterator[list[Reference]]:
    """Share pages for as long as the context lasts, each stamped with its pattern.

    Args:
        domid: the domain that may map the pages.
        count: number of pages, 4 KiB each.
        own: domid of this domain, the granter.
        writable: False grants the pages read-only.

    Yields:
        One reference for each page, in ascending order.

    Raises:
        UnmetError: as `granted_pages`.
        FailedError: as `granted_pages`.
    """
    with granted_pages(domid, count, writable=writable) as pages:
        for index, gref in enumerate(pages.references):
            stamp(memoryview(pages.page(index)), own, gref)
        # The kernel reuses the references freed last first; sorted, they form fewer ranges.
        yield [Reference(own, gref, pattern(own, gref)) for gref in sorted(pages.references)]


@contextmanager
def granted_pages(domid: int, count: int, *, writable: bool = True) -> Iterator[SharedPages]:
    """Share pages for as long as the context lasts.

    Uses `xengntshr_share_pages` and `xengntshr_unshare` of xengnttab.h.

    Args:
        domid: the domain that may map the pages.
        count: number of pages, 4 KiB each.
        writable: False grants the pages read-only.

    Yields:
        The pages, which are zeroed, with their references.

    Raises:
        UnmetError: gntalloc is not loaded, this user cannot open it, or its limit or
            the domain's memory does not allow that many pages.
        FailedError: the kernel rejected the request for another reason.
    """
    _check_limit(count)
    try:
        share = GrantShare()
    except MissingLibraryError as error:
        raise UnmetError(str(error), error.remedy) from error
    except XenLibraryError as error:
        raise UnmetError(f"pages cannot be shared: {error}", _open_remedy(error)) from error
    with share:
        try:
            pages = share.share(domid, count, writable=writable)
        except XenLibraryError as error:
            raise _share_error(error, count) from error
        with pages:
            yield pages


def page_limit(root: Path = ROOT) -> int | None:
    """Return the number of pages that gntalloc shares at most; None if it is not loaded.

    Args:
        root: directory that contains `sys`.
    """
    try:
        return int(below(root, LIMIT).read_text())
    except (OSError, ValueError):
        return None


def _check_limit(count: int) -> None:
    """Reject more pages than gntalloc's limit, for which gntalloc reports a bare ENOSPC."""
    limit = page_limit()
    if limit is not None and count > limit:
        raise UnmetError(
            f"{count} pages exceed gntalloc's limit of {limit} shared pages in this domain",
            _limit_remedy(count),
        )


def _limit_remedy(count: int) -> str:
    return (
        f"raise the limit with `echo {count} > {LIMIT}`, or share fewer pages; "
        "pages that other processes of this domain share count as well"
    )


def _open_remedy(error: XenLibraryError) -> str:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "run xengt as root"
    if not GNTALLOC.exists():
        return f"{GNTALLOC} does not exist: run `modprobe xen-gntalloc` in a Xen dom0 or guest"
    return f"see `dmesg` for messages of the driver of {GNTALLOC}"


def _share_error(error: XenLibraryError, count: int) -> XengtError:
    """Explain why gntalloc did not share the pages."""
    if error.errno == errno.ENOSPC:
        limit = page_limit()
        return UnmetError(
            f"{count} more shared pages exceed gntalloc's limit of {limit} in this domain, "
            f"or its grant table has fewer than {count} free entries",
            _limit_remedy(count + (limit or 0)),
        )
    if error.errno == errno.ENOMEM:
        return UnmetError(
            f"this domain does not have {count} free pages to share", "share fewer pages"
        )
    return FailedError(f"pages cannot be shared: {error}", "see `dmesg`")
