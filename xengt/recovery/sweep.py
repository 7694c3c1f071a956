"""What a killed run left behind, found and taken back by the next one.

Two things outlive their process: mappings made by hypercall, which the journal
tells of, and empty domains, which their UUID tells of.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from xengt.errors import FailedError
from xengt.recovery import domain_owner
from xengt.recovery.empty_domains import destroy_domains
from xengt.recovery.journal import Journal, Writer
from xengt.sharing.references import Reference
from xengt.xen import handle
from xengt.xen.kernel import has_bus_addresses
from xengt.xen.limits import maptrack_handles
from xenlib_cffi.call import MAX_BATCH, Call, GrantMapping
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.foreignmemory import ForeignMemory, GrantTable
from xenlib_cffi.library import PAGE_SIZE

#: mappings of a reference that share its fast handle
FAST_MAPPINGS = 2
#: pages from the bus address of the first to that of the second of them, if they have their own
SECOND = 1 << 31


@dataclass(frozen=True)
class CleanupSummary:
    """What was taken back.

    Attributes:
        held: mappings whose handle was known.
        searched: references whose mappings had to be searched for.
        domains: the domids of empty domains destroyed.
    """

    held: int
    searched: int
    domains: tuple[int, ...]

    def __bool__(self) -> bool:
        """Whether there was anything."""
        return bool(self.held or self.searched or self.domains)

    def __str__(self) -> str:
        """One sentence for the user."""
        return (
            f"took back what a killed run left: {self.held + self.searched} mappings, "
            f"{len(self.domains)} empty domains"
        )


def abandoned_domains(ctrl: Ctrl) -> list[int]:
    """The domids of empty domains whose maker is dead."""
    return [
        domain.domid
        for domain in ctrl.domains()
        if domain_owner.is_ours(domain.uuid) and not domain_owner.is_alive(domain.uuid)
    ]


def clean_up(journal: Journal) -> CleanupSummary:
    """Unmap what the journal tells of, and destroy empty domains whose maker is dead.

    Args:
        journal: locked, so whoever wrote it is dead or is this process.

    Raises:
        FailedError: a mapping cannot be taken back.
        XenLibraryError: a library call failed.
    """
    left = journal.read()
    with Ctrl() as ctrl:
        with Call() as call:
            # A handle that is stale by now names a mapping of another page, or none: Xen goes by
            # the bus address too, and leaves it (but a slow one's own address is its handle's).
            call.unmap_device(left.held)
            searched = _search(call, ctrl, list(_unsure(left.writers)))
        ours = abandoned_domains(ctrl)
        destroy_domains(ctrl, ours)
    journal.clear()
    return CleanupSummary(len(left.held), searched, tuple(ours))


def _unsure(writers: list[Writer]) -> Iterator[Reference]:
    """The references of the batch that each writer was at."""
    for writer in writers:
        if writer.cursor:
            yield from writer.references[writer.cursor - 1 :][: writer.batch]


def _search(call: Call, ctrl: Ctrl, references: list[Reference]) -> int:
    """Unmap references whose handles nobody wrote down; how many there were.

    Their pages are known, so the handles they may have, fast or slow, are
    offered to Xen as those of such a page: it takes back those that are and
    leaves all others. Where each mapping has a bus address of its own, that
    of a slow one says nothing of its page: it is not looked for.
    """
    by_domain: dict[int, list[int]] = defaultdict(list)
    for domid, gref, _ in references:
        by_domain[domid].append(gref)
    handles = maptrack_handles() if references else 0
    searched = 0
    for domid, grefs in by_domain.items():
        with ExitStack() as stack:
            in_use = _tells_use(stack, ctrl, domid)
            for gref in grefs:
                if in_use is None or in_use.in_use(gref):
                    searched += 1
                    _sweep(call, domid, gref, handles, in_use)
    return searched


def _tells_use(stack: ExitStack, ctrl: Ctrl, domid: int) -> GrantTable | None:
    """The granter's own table, in which Xen marks what is mapped; not to be had of dom0's own."""
    frames, _ = ctrl.grant_size(domid) if ctrl.domain(domid) else (0, 0)
    if not frames:
        return None
    memory = stack.enter_context(ForeignMemory())
    try:
        return stack.enter_context(memory.grant_table(domid, frames, writable=False))
    except XenLibraryError:
        return None


def _sweep(call: Call, domid: int, gref: int, handles: int, table: GrantTable | None) -> None:
    try:
        (mapping,) = call.map_device([(domid, gref)], readonly=True)
    except GrantError as error:
        if table is None:
            return  # neither mapped, as far as can be seen, nor granted any more
        raise FailedError(
            f"reference {gref} of domain {domid}, which a killed run mapped, cannot be found: "
            f"{error}",
            "it goes with the domain if nothing else maps its pages, or with a reboot",
        ) from error
    call.unmap_device([mapping])
    own_addresses = has_bus_addresses()
    fast = handle.fast(domid, gref)
    if fast is not None:
        # Two mappings of a reference have it; a Xen without fast entries refuses it, no more.
        addresses = _own(mapping, fast) if own_addresses else [mapping.bus_addr] * FAST_MAPPINGS
        call.unmap_device([GrantMapping(fast, address) for address in addresses])
        if table is not None and not table.in_use(gref):
            return
    if own_addresses:
        return
    for first in range(0, handles, 16 * MAX_BATCH):
        call.sweep(mapping.bus_addr, first, min(16 * MAX_BATCH, handles - first))
        if table is not None and not table.in_use(gref):
            return


def _own(mapping: GrantMapping, fast: int) -> list[int]:
    """Where the two mappings of a fast handle are, among a few; Xen refuses what is none.

    Addresses are in the order of handles, from where a region begins. The
    second mapping of a handle is past all the first ones.

    Args:
        mapping: any, first or second of its handle.
        fast: the handle.
    """
    same = mapping.bus_addr + PAGE_SIZE * (fast - mapping.handle)
    possible = (same + PAGE_SIZE * SECOND * steps for steps in (-1, 0, 1))
    return [address for address in possible if address > 0]
