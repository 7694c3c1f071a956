"""libxencall: hypercalls from user space, and the two of the grant table's mapper."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from xenlib_cffi import device_paths
from xenlib_cffi.errors import GrantError, status_word
from xenlib_cffi.library import PAGE_SIZE, LibraryHandle

#: operations that one hypercall is given at most
MAX_BATCH = 512


class GrantMapping(NamedTuple):
    """A reference mapped by hypercall: what unmapping it takes.

    Args:
        handle: what Xen gave out for it.
        bus_addr: bytes; `dev_bus_addr`, the machine address of the page, or with
            XENFEAT_gnttab_bus_addr one of the mapping's own.
    """

    handle: int
    bus_addr: int


class Call(LibraryHandle):
    """A handle of libxencall (`xencall_open`), on /dev/xen/privcmd.

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: privcmd cannot be opened.
    """

    def __init__(self) -> None:
        """Open privcmd, and a hypercall-safe buffer for grant operations."""
        super().__init__("xencall_open", device_paths.PRIVCMD, "xencall_close")
        pages = 2 * (MAX_BATCH * self.ffi.sizeof("gnttab_map_grant_ref_t") // PAGE_SIZE)
        buffer = self.lib.xencall_alloc_buffer_pages(self.pointer, pages)
        if not buffer:
            error = self.failure("xencall_alloc_buffer_pages", f"{pages} pages")
            super().close()
            raise error
        call, free = self.pointer, self.lib.xencall_free_buffer_pages
        self._buffer = self.ffi.gc(buffer, lambda p: free(call, p, pages))

    def close(self) -> None:
        """Give the buffer back and close the device."""
        self.ffi.release(self._buffer)
        super().close()

    def xen_version(self) -> tuple[int, int]:
        """Major and minor version of the running hypervisor (`XENVER_version`).

        Raises:
            XenLibraryError: privcmd refuses; this is the cheapest way to know.
        """
        version = self.check(
            self.lib.xencall2(
                self.pointer,
                getattr(self.lib, "__HYPERVISOR_xen_version"),  # mangled otherwise
                self.lib.XENVER_version,
                0,
            ),
            "XENVER_version",
            "the hypervisor",
        )
        return version >> 16, version & 0xFFFF

    @property
    def buffers_never_fault(self) -> bool:
        """Whether hypercall buffers stay mapped for certain (`xencall_buffers_never_fault`)."""
        return bool(self.lib.xencall_buffers_never_fault(self.pointer))

    def map_device(
        self, references: Sequence[tuple[int, int]], *, readonly: bool = False
    ) -> list[GrantMapping]:
        """Map references for device access (`GNTTABOP_map_grant_ref`, `GNTMAP_device_map`).

        Args:
            references: (domid, gref) each; more than `MAX_BATCH` take several hypercalls.
            readonly: ask for `GNTMAP_readonly`.

        Returns:
            One mapping a reference, in order. Nothing stays mapped when one fails.

        Raises:
            GrantError: Xen refused one.
            XenLibraryError: the hypercall failed as a whole.
        """
        done: list[GrantMapping] = []
        try:
            for start in range(0, len(references), MAX_BATCH):
                self._map_batch(references[start : start + MAX_BATCH], readonly, done)
        except BaseException:
            self.unmap_device(done)
            raise
        return done

    def _map_batch(
        self, batch: Sequence[tuple[int, int]], readonly: bool, done: list[GrantMapping]
    ) -> None:
        lib = self.lib
        ops: Any = self.ffi.cast("gnttab_map_grant_ref_t *", self._buffer)
        flags = lib.GNTMAP_device_map | (lib.GNTMAP_readonly if readonly else 0)
        for i, (domid, gref) in enumerate(batch):
            ops[i] = {
                "host_addr": 0,  # a field not named keeps what an earlier call left there
                "dom": domid,
                "ref": gref,
                "flags": flags,
                "status": lib.STATUS_UNTOUCHED,
            }
        result = lib.grant_map(self.pointer, ops, len(batch))
        number = self.ffi.errno
        refused = None
        for i, (domid, gref) in enumerate(batch):
            if ops[i].status == lib.GNTST_okay:
                done.append(GrantMapping(ops[i].handle, ops[i].dev_bus_addr))
            elif refused is None and ops[i].status != lib.STATUS_UNTOUCHED:
                refused = (domid, gref, ops[i].status)
        if refused:
            domid, gref, status = refused
            raise GrantError("GNTTABOP_map_grant_ref", domid, gref, status_word(status), status)
        if result:
            domid, gref = batch[0]
            raise self.failure(
                "GNTTABOP_map_grant_ref", f"reference {gref} of domain {domid}", number
            )

    def unmap_device(self, mappings: Sequence[GrantMapping]) -> list[int]:
        """Unmap what `map_device` mapped (`GNTTABOP_unmap_grant_ref`).

        Args:
            mappings: handle and bus address each. A handle that by now names
                another page, or another driver's mapping, is left alone by Xen.

        Returns:
            The `GNTST_*` of each, in order.

        Raises:
            XenLibraryError: the hypercall failed as a whole.
        """
        statuses: list[int] = []
        ops: Any = self.ffi.cast("gnttab_unmap_grant_ref_t *", self._buffer)
        for start in range(0, len(mappings), MAX_BATCH):
            batch = mappings[start : start + MAX_BATCH]
            for i, mapping in enumerate(batch):
                ops[i] = {
                    "host_addr": 0,
                    "handle": mapping.handle,
                    "dev_bus_addr": mapping.bus_addr,
                }
            self.check(
                self.lib.grant_unmap(self.pointer, ops, len(batch)),
                "GNTTABOP_unmap_grant_ref",
                f"{len(batch)} handles",
            )
            statuses += [ops[i].status for i in range(len(batch))]
        return statuses

    def sweep(self, bus_addr: int, first: int, handles: int) -> None:
        """Unmap the device maps of one page without knowing their handles.

        Every handle of [first, first + handles) is offered with the page's bus
        address; Xen takes back device maps of that very page and leaves every
        other mapping alone (csrc/grant_ops.h says why). Not for mappings that
        have bus addresses of their own.

        Args:
            bus_addr: bytes; the page, as a mapping of it told.
            first: the first handle to try.
            handles: how many.

        Raises:
            XenLibraryError: a hypercall failed as a whole.
        """
        ops = self.ffi.cast("gnttab_unmap_grant_ref_t *", self._buffer)
        self.check(
            self.lib.grant_sweep(self.pointer, ops, MAX_BATCH, bus_addr, first, handles),
            "GNTTABOP_unmap_grant_ref",
            f"handles {first} to {first + handles - 1}",
        )
