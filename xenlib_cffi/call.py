"""libxencall: hypercalls from user space, among them GNTTABOP_map_grant_ref and unmap_grant_ref."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from xenlib_cffi import device_paths
from xenlib_cffi.errors import GrantError, status_text
from xenlib_cffi.library import PAGE_SIZE, LibraryHandle, load

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._xen import CXencallHandle

#: maximum number of grant operations in one hypercall
MAX_BATCH = 512


class GrantMapping(NamedTuple):
    """A reference mapped by hypercall: the values that its unmap needs.

    Args:
        handle: the handle that Xen returned.
        bus_addr: `dev_bus_addr`, in bytes: the machine address of the page or, with
            XENFEAT_gnttab_bus_addr, the bus address of this mapping.
    """

    handle: int
    bus_addr: int


class Call(LibraryHandle):
    """A handle of libxencall (`xencall_open`), with a buffer for grant operations.

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: /dev/xen/privcmd cannot be opened, or there is no memory for the buffer.
    """

    pointer: "CXencallHandle"

    def __init__(self) -> None:
        """Open privcmd and allocate a hypercall-safe buffer."""
        _, lib = load()
        super().__init__("xencall_open", device_paths.PRIVCMD, lib.xencall_open, lib.xencall_close)
        pages = 2 * (MAX_BATCH * self.ffi.sizeof("gnttab_map_grant_ref_t") // PAGE_SIZE)
        buffer = lib.xencall_alloc_buffer_pages(self.pointer, pages)
        if not buffer:
            error = self.failure("xencall_alloc_buffer_pages", f"{pages} pages")
            super().close()
            raise error
        call = self.pointer  # the finalizer keeps the handle open until the buffer is freed
        self._buffer = self.ffi.gc(buffer, lambda p: lib.xencall_free_buffer_pages(call, p, pages))

    def close(self) -> None:
        """Free the buffer and close privcmd."""
        self.ffi.release(self._buffer)
        super().close()

    def xen_version(self) -> tuple[int, int]:
        """Return the major and the minor version of the running hypervisor (`XENVER_version`).

        It is the cheapest call that shows whether privcmd works.

        Raises:
            XenLibraryError: Linux or Xen rejects the hypercall.
        """
        # An attribute access would be subject to Python's name mangling.
        operation: int = getattr(self.lib, "__HYPERVISOR_xen_version")
        version = self.check(
            self.lib.xencall2(self.pointer, operation, self.lib.XENVER_version, 0),
            "XENVER_version",
            "the hypervisor",
        )
        return version >> 16, version & 0xFFFF

    @property
    def buffers_never_fault(self) -> bool:
        """Whether Linux never unmaps hypercall buffers (`xencall_buffers_never_fault`)."""
        return bool(self.lib.xencall_buffers_never_fault(self.pointer))

    def map_device(
        self, references: Sequence[tuple[int, int]], *, readonly: bool = False
    ) -> list[GrantMapping]:
        """Map references for device access (`GNTTABOP_map_grant_ref`, `GNTMAP_device_map`).

        Args:
            references: (domid, gref) of each; there is one hypercall per `MAX_BATCH` of them.
            readonly: map with `GNTMAP_readonly`.

        Returns:
            One mapping per reference, in order. If one fails, the others are unmapped.

        Raises:
            GrantError: Xen rejected a reference.
            XenLibraryError: the hypercall failed.
        """
        mappings: list[GrantMapping] = []
        try:
            for start in range(0, len(references), MAX_BATCH):
                self._map_batch(references[start : start + MAX_BATCH], readonly, mappings)
        except BaseException:
            self.unmap_device(mappings)
            raise
        return mappings

    def _map_batch(
        self, batch: Sequence[tuple[int, int]], readonly: bool, mappings: list[GrantMapping]
    ) -> None:
        lib = self.lib
        ops = self.ffi.cast("gnttab_map_grant_ref_t *", self._buffer)
        flags = lib.GNTMAP_device_map | (lib.GNTMAP_readonly if readonly else 0)
        for i, (domid, gref) in enumerate(batch):
            ops[i] = {
                "host_addr": 0,  # an omitted field would keep the value of an earlier call
                "dom": domid,
                "ref": gref,
                "flags": flags,
                "status": lib.STATUS_UNTOUCHED,
            }
        result = lib.grant_map(self.pointer, ops, len(batch))
        number = self.ffi.errno
        rejected = None
        for i, (domid, gref) in enumerate(batch):
            if ops[i].status == lib.GNTST_okay:
                mappings.append(GrantMapping(ops[i].handle, ops[i].dev_bus_addr))
            elif rejected is None and ops[i].status != lib.STATUS_UNTOUCHED:
                rejected = (domid, gref, ops[i].status)
        if rejected:
            domid, gref, status = rejected
            raise GrantError("GNTTABOP_map_grant_ref", domid, gref, status_text(status), status)
        if result:
            domid, gref = batch[0]
            raise self.failure(
                "GNTTABOP_map_grant_ref", f"reference {gref} of domain {domid}", number
            )

    def unmap_device(self, mappings: Sequence[GrantMapping]) -> list[int]:
        """Unmap what `map_device` mapped (`GNTTABOP_unmap_grant_ref`).

        Args:
            mappings: the mappings. Xen rejects a handle that meanwhile belongs to a mapping of
                another page or of another driver.

        Returns:
            The `GNTST_*` value of each, in order.

        Raises:
            XenLibraryError: the hypercall failed.
        """
        statuses: list[int] = []
        ops = self.ffi.cast("gnttab_unmap_grant_ref_t *", self._buffer)
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
        """Unmap the device maps of one page whose handles are unknown.

        It tries each handle of [first, first + handles) with the bus address of the page. Xen
        unmaps the device maps of that page and no other mappings (see csrc/grant_ops.h). It cannot
        be used for mappings that have bus addresses of their own (XENFEAT_gnttab_bus_addr).

        Args:
            bus_addr: the machine address of the page in bytes, from another mapping of it.
            first: the first handle to try.
            handles: the number of handles to try.

        Raises:
            XenLibraryError: a hypercall failed.
        """
        ops = self.ffi.cast("gnttab_unmap_grant_ref_t *", self._buffer)
        self.check(
            self.lib.grant_sweep(self.pointer, ops, MAX_BATCH, bus_addr, first, handles),
            "GNTTABOP_unmap_grant_ref",
            f"handles {first} to {first + handles - 1}",
        )
