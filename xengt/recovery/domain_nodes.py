"""The nodes of empty domains in XenStore, which show xl and xentop whose domains they are.

`xl list` prints a domain without a name as "(null)", and xentop leaves it out. The
nodes do not depend on the domain: they are removed before the domain is destroyed.
"""

from xengt.xen.xenstore import XenStore


def name(domid: int) -> str:
    """Return the name of an empty domain, which no other domain with this domid has."""
    return f"xengt-{domid}"


def shutdown_path(domid: int) -> str:
    """Return the node in which a toolstack asks a domain to shut down.

    `xl shutdown` waits up to a minute until the domain has removed or emptied the node
    (`libxl__domain_pvcontrol`).
    """
    return f"{_directory(domid)}/control/shutdown"


def write(store: XenStore, domid: int) -> None:
    """Write the name of an empty domain."""
    store.write(f"{_directory(domid)}/name", name(domid))


def are_ours(store: XenStore, domid: int) -> bool:
    """Return whether the nodes of a domid are those of an empty domain."""
    return store.name_of(domid) == name(domid)


def remove(store: XenStore, domid: int) -> None:
    """Remove the nodes of an empty domain, and none of another domain with its domid."""
    if are_ours(store, domid):
        store.remove(_directory(domid))


def _directory(domid: int) -> str:
    return f"/local/domain/{domid}"
