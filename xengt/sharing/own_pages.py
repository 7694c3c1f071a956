"""Mappings of a domain's own pages, which a translated domain must not make.

Where a PV domain maps a page of its own, the page stays where it is. For a translated domain (PVH
or HVM), Xen removes the page from its address (`p2m_add_page()` in arch/x86/mm/p2m.c), and an unmap
does not put it back: the kernel then reads all ones there.
"""

from collections.abc import Iterable

from xengt.errors import UnmetError, XengtError
from xengt.sharing.gntalloc import own_domid
from xengt.xen import kernel
from xengt.xen.handle import DOM0
from xengt.xen.xenstore import XenStore


def require_other_domains(granters: Iterable[int]) -> None:
    """Check that a translated domain maps no pages of its own.

    Args:
        granters: the domids of the domains whose pages are to be mapped.

    Raises:
        UnmetError: one of them is this domain, and it is translated.
    """
    if not kernel.is_translated() or (domid := _own_domid()) not in set(granters):
        return
    raise UnmetError(
        f"domain {domid} must not map its own pages: it is {kernel.dom0_kind()}, and Xen removes "
        "such a page from its memory, which crashes its kernel later",
        "map the pages of another domain (xengt bench: --granter empty or guest)",
    )


def _own_domid() -> int | None:
    """Return this domain's domid; None if it is a guest and XenStore does not answer."""
    if kernel.is_control_domain():
        return DOM0
    try:
        with XenStore() as store:
            return own_domid(store)
    except XengtError:
        return None
