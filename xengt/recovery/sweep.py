"""Cleans up after a killed run: unmaps its mappings and destroys its empty domains.

Mappings made by hypercall and empty domains outlive the process that made them. The
journal records the mappings, and the UUID of an empty domain identifies its creator.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from xengt.errors import FailedError, XengtError
from xengt.recovery import domain_nodes, domain_owner
from xengt.recovery.domain_destruction import destroy_domains
from xengt.recovery.journal import Journal, Writer
from xengt.sharing.references import Reference
from xengt.xen.bus_addresses import has_bus_addresses
from xengt.xen.grant_table import ENTRIES_PER_FRAME
from xengt.xen.handle import MAPPINGS_PER_FAST_HANDLE, fast_handle
from xengt.xen.limits import maptrack_handles
from xengt.xen.unstable import unless_other_version
from xengt.xen.xenstore import XenStore
from xenlib_cffi.call import MAX_BATCH, Call, GrantMapping
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.foreignmemory import (
    STATUS_PER_FRAME,
    ForeignMemory,
    GrantStatusFrames,
    GrantTable,
)
from xenlib_cffi.library import PAGE_SIZE

#: where Xen marks the mapped entries of a grant table of version 1 or 2
Marks = GrantTable | GrantStatusFrames

#: pages between the bus addresses of the first and the second mapping of a fast handle, on a
#: Xen that assigns each mapping its own bus address
_SECOND_MAPPING = 1 << 31
#: handles offered to Xen between two looks at the granter's table
_HANDLES_PER_STEP = 16 * MAX_BATCH
#: longest wait for an answer of XenStore, in seconds: the rest of the cleanup is more important
_XENSTORE_DEADLINE_S = 1.0


@dataclass(frozen=True)
class CleanupSummary:
    """What a cleanup removed.

    Attributes:
        held: mappings whose handles the journal contained.
        searched: references whose mappings had to be searched for.
        domains: domids of the empty domains that were destroyed.
    """

    held: int
    searched: int
    domains: tuple[int, ...]

    def __bool__(self) -> bool:
        """Return whether anything was removed."""
        return bool(self.held or self.searched or self.domains)

    def __str__(self) -> str:
        """Return one sentence for the user."""
        return (
            f"cleaned up after a killed run: {self.held + self.searched} mappings, "
            f"{len(self.domains)} empty domains"
        )


def abandoned_domains(ctrl: Ctrl) -> list[int]:
    """Return the domids of empty domains whose creator has ended.

    There are none on a Xen of another version than libxenctrl, which cannot create domains there.

    Args:
        ctrl: an open handle of libxenctrl.
    """
    return [
        domain.domid
        for domain in unless_other_version(lambda: list(ctrl.domains())) or ()
        if domain_owner.is_ours(domain.uuid) and not domain_owner.is_alive(domain.uuid)
    ]


def clean_up(journal: Journal) -> CleanupSummary:
    """Unmap the mappings in the journal, and destroy empty domains whose creator has ended.

    The nodes of these domains in XenStore are removed as well.

    Args:
        journal: the locked journal, so that its writer has ended or is this process.

    Raises:
        FailedError: a mapping cannot be found, or a domain cannot be destroyed.
        XenLibraryError: a library call failed.
    """
    contents = journal.read()
    with Ctrl() as ctrl:
        with Call() as call:
            # A stale handle names no mapping, or one of another page, which Xen rejects because the
            # bus address differs. (A slow mapping's own bus address depends on its handle only.)
            call.unmap_device(contents.held)
            searched = _search(call, ctrl, list(_current_batches(contents.writers)))
        domids = abandoned_domains(ctrl)
        _remove_nodes(domids)
        destroy_domains(ctrl, domids)
    journal.clear()
    return CleanupSummary(len(contents.held), searched, tuple(domids))


def _remove_nodes(domids: list[int]) -> None:
    """Remove the nodes of empty domains from XenStore, if it answers."""
    if not domids:
        return
    with suppress(XengtError), XenStore(deadline_s=_XENSTORE_DEADLINE_S) as store:
        for domid in domids:
            domain_nodes.remove(store, domid)


def _current_batches(writers: list[Writer]) -> Iterator[Reference]:
    """Yield the references of each writer's current batch, which may or may not be mapped."""
    for writer in writers:
        if writer.cursor:
            yield from writer.references[writer.cursor - 1 :][: writer.batch]


def _search(call: Call, ctrl: Ctrl, references: list[Reference]) -> int:
    """Unmap references whose handles were not recorded.

    The page of a reference is known, so every handle that a mapping may have, fast or
    slow, is offered to Xen together with the page's bus address: Xen unmaps the handles
    of that page and rejects all others. If each mapping has its own bus address, that of
    a slow mapping does not depend on its page, and slow mappings are not searched.

    Returns:
        The number of references that were searched for.
    """
    by_domain: dict[int, list[int]] = defaultdict(list)
    for domid, gref, _ in references:
        by_domain[domid].append(gref)
    handles = maptrack_handles() if references else 0
    searched = 0
    for domid, grefs in by_domain.items():
        with ExitStack() as stack:
            table = _open_grant_table(stack, ctrl, domid)
            for gref in grefs:
                if table is None or _is_in_use(table, gref):
                    searched += 1
                    _unmap_all(call, domid, gref, handles, table)
    return searched


def _open_grant_table(stack: ExitStack, ctrl: Ctrl, domid: int) -> Marks | None:
    """Map the frames in which Xen marks the mapped entries of the granter's table.

    Returns:
        None if the domain or its table does not exist, or cannot be mapped, like dom0's own.
    """
    try:
        frames, _ = ctrl.grant_size(domid)
        if not frames:
            return None
        memory = stack.enter_context(ForeignMemory())
        if ctrl.grant_version(domid) == 1:
            return stack.enter_context(memory.grant_table(domid, frames, writable=False))
        # The marks of version 2 are not in the entries, which have 16 bytes.
        status_frames = -(-frames * ENTRIES_PER_FRAME[2] // STATUS_PER_FRAME)
        return stack.enter_context(memory.grant_status(domid, status_frames))
    except XenLibraryError:
        return None


def _is_in_use(table: Marks, gref: int) -> bool:
    """Return whether a reference is mapped; one beyond the table, of an earlier domain, is not."""
    return gref < table.size and table.in_use(gref)


def _unmap_all(call: Call, domid: int, gref: int, handles: int, table: Marks | None) -> None:
    """Unmap all device maps of one reference.

    Args:
        call: an open handle of libxencall.
        domid: the granter.
        gref: the reference in the granter's table.
        handles: number of slow handles to offer.
        table: the marks in the granter's table, with which the search ends early; None
            searches all.
    """
    try:
        (mapping,) = call.map_device([(domid, gref)], readonly=True)
    except GrantError as error:
        if table is None:
            return  # the reference is no longer granted, and nothing shows that it is mapped
        raise FailedError(
            f"the mapping of reference {gref} of domain {domid} by a killed run cannot be found: "
            f"{error}",
            f"destroy domain {domid} if nothing else maps its pages, or reboot the host",
        ) from error
    call.unmap_device([mapping])
    has_own_addresses = has_bus_addresses()
    fast = fast_handle(domid, gref)
    if fast is not None:
        # A Xen without fast entries rejects the handle, which has no other effect.
        addresses = (
            _fast_bus_addresses(mapping, fast)
            if has_own_addresses
            else [mapping.bus_addr] * MAPPINGS_PER_FAST_HANDLE
        )
        call.unmap_device([GrantMapping(fast, address) for address in addresses])
        if table is not None and not _is_in_use(table, gref):
            return
    if has_own_addresses:
        return
    for first in range(0, handles, _HANDLES_PER_STEP):
        call.sweep(mapping.bus_addr, first, min(_HANDLES_PER_STEP, handles - first))
        if table is not None and not _is_in_use(table, gref):
            return


def _fast_bus_addresses(mapping: GrantMapping, fast: int) -> list[int]:
    """Return candidates for the bus addresses of a fast handle's mappings; Xen rejects wrong ones.

    Bus addresses are in the order of handles from the start of a region. The second
    mappings of all handles follow the first mappings of all handles.

    Args:
        mapping: a mapping with its own bus address, the first or second of its handle.
        fast: the fast handle.
    """
    same = mapping.bus_addr + PAGE_SIZE * (fast - mapping.handle)
    candidates = (same + PAGE_SIZE * _SECOND_MAPPING * steps for steps in (-1, 0, 1))
    return [address for address in candidates if address > 0]
