"""Prints the domains and mappings of xengt that Xen still has, one per line.

argument: seconds to wait for them to disappear, as Linux unmaps gntdev's pages asynchronously. The
sources are Xen's list of domains, its debug key g, and its marks in grant tables.
"""

import re
import sys
import time
from collections.abc import Iterator

from xengt.recovery import domain_owner
from xengt.sharing import publication
from xengt.xen.xenstore import XenStore
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.foreignmemory import ForeignMemory


def domains(ctrl: Ctrl) -> Iterator[str]:
    """Yield the domains that xengt created."""
    for domain in ctrl.domains():
        if domain_owner.is_ours(domain.uuid):
            yield f"domain {domain.domid}, dying: {domain.dying}, {domain.pages} pages"


def active(ctrl: Ctrl) -> Iterator[str]:
    """Yield the active entries of dom0's own grant table, which Linux does not use."""
    ctrl.console(clear=True)
    ctrl.send_debug_keys("g")
    output = ""
    while "gnttab_usage_print_all ] done" not in output:
        time.sleep(0.1)
        output = ctrl.console()
    own = re.search(r"for remote d0 .*?(?=for remote d|usage_print_all \])", output, re.DOTALL)
    assert own, output
    yield from re.findall(r"\[0x[0-9a-f]+\].*", own[0])


def mapped(ctrl: Ctrl) -> Iterator[str]:
    """Yield the published references that Xen marks as mapped."""
    with XenStore() as store, ForeignMemory() as memory:
        for domain in ctrl.domains():
            published = (
                publication.read_publication(store, domain.domid, 0) if domain.domid else None
            )
            if published is None or domain.dying:
                continue
            frames, _ = ctrl.grant_size(domain.domid)
            assert ctrl.grant_version(domain.domid) == 1
            with memory.grant_table(domain.domid, frames, writable=False) as table:
                for gref in published.grefs:
                    if table.in_use(gref):
                        yield f"reference {gref} of domain {domain.domid} is mapped"


with Ctrl() as ctrl:
    deadline = time.monotonic() + float(sys.argv[1])
    while True:
        found = [*domains(ctrl), *active(ctrl), *mapped(ctrl)]
        if not found or time.monotonic() > deadline:
            break
        time.sleep(1)
print("\n".join(found))
