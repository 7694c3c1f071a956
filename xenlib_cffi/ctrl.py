"""libxenctrl: domains, and information about the hypervisor and the host."""

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from xenlib_cffi import device_paths
from xenlib_cffi.ctrl_results import ConsolePart, DomainInfo, PhysInfo, XenVersion
from xenlib_cffi.errors import status_text
from xenlib_cffi.library import PAGE_SIZE, LibraryHandle, load

if TYPE_CHECKING:  # only the stubs have names for C types
    from xenlib_cffi._histogram import CArray
    from xenlib_cffi._xen import CXcInterface

#: domains per call of xc_domain_getinfolist
_DOMAINS_PER_CALL = 128
#: bytes of the buffer for the console ring; conring_size is usually smaller
_CONSOLE_BYTES = 1 << 20
#: bytes that are read at once from a position of the ring: a page, which libxencall keeps
_CONSOLE_PART_BYTES = PAGE_SIZE
#: positions in the ring have 32 bits
_CONSOLE_POSITIONS = 1 << 32
#: bytes of the buffer for the build id; the linker's has 20
_BUILD_ID_BYTES = 64
#: pages beyond its memory that Xen accounts to a domain
_EXTRA_PAGES = 16


class Ctrl(LibraryHandle):
    """A handle of libxenctrl (`xc_interface_open`).

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: /dev/xen/privcmd cannot be opened.
    """

    pointer: "CXcInterface"

    def __init__(self) -> None:
        """Open privcmd."""
        _, lib = load()
        super().__init__(
            "xc_interface_open",
            device_paths.PRIVCMD,
            lambda logger, flags: lib.xc_interface_open(logger, logger, flags),
            lib.xc_interface_close,
        )

    def create_empty(self, uuid: bytes, max_grant_frames: int) -> int:
        """Create a paused PV domain without a guest OS (`xc_domain_create`).

        Args:
            uuid: UUID of the domain, 16 bytes.
            max_grant_frames: maximum number of frames of its grant table.

        Returns:
            Its domid.

        Raises:
            XenLibraryError: EOPNOTSUPP or EINVAL if Xen does not support PV guests.
        """
        domid = self.ffi.new("uint32_t *")
        self.check(
            self.lib.empty_domain_create(self.pointer, uuid, max_grant_frames, domid),
            "xc_domain_create",
            f"an empty domain with {max_grant_frames} grant frames",
        )
        return domid[0]

    def populate(self, domid: int, pages: int) -> list[int]:
        """Allocate memory to a PV domain (`xc_domain_populate_physmap_exact`).

        Args:
            domid: the domain.
            pages: number of pages of 4 KiB; its memory limit is raised accordingly.

        Returns:
            The mfn of each page.

        Raises:
            XenLibraryError: ENOMEM if there is not enough free memory.
        """
        ffi, lib = self.ffi, self.lib
        subject = f"{pages} pages for domain {domid}"
        self.check(
            lib.xc_domain_setmaxmem(self.pointer, domid, 4 * (pages + _EXTRA_PAGES)),
            "xc_domain_setmaxmem",
            subject,
        )
        frames = ffi.new("xen_pfn_t[]", list(range(pages)))
        self.check(
            lib.xc_domain_populate_physmap_exact(self.pointer, domid, pages, 0, 0, frames),
            "xc_domain_populate_physmap_exact",
            subject,
        )
        return list(frames)

    def destroy(self, domid: int) -> None:
        """Destroy a domain (`xc_domain_destroy`).

        It stays in the list of domains, as dying, until none of its memory is mapped.

        Raises:
            XenLibraryError: ESRCH if there is no such domain.
        """
        self.check(
            self.lib.xc_domain_destroy(self.pointer, domid),
            "xc_domain_destroy",
            f"domain {domid}",
        )

    def domains(self) -> Iterator[DomainInfo]:
        """Yield all domains, including dying ones (`xc_domain_getinfolist`).

        Raises:
            XenLibraryError: the caller is not privileged.
        """
        lib, buffer = self.lib, self.ffi.buffer
        dying, shutdown = lib.XEN_DOMINF_dying, lib.XEN_DOMINF_shutdown
        paused, hvm = lib.XEN_DOMINF_paused, lib.XEN_DOMINF_hvm_guest
        info = self.ffi.new("xc_domaininfo_t[]", _DOMAINS_PER_CALL)
        first, count = 0, _DOMAINS_PER_CALL
        while count == _DOMAINS_PER_CALL:  # fewer are the last ones
            count = self.check(
                lib.xc_domain_getinfolist(self.pointer, first, _DOMAINS_PER_CALL, info),
                "xc_domain_getinfolist",
                f"domains from {first}",
            )
            for each in info[0:count]:
                flags, domid = each.flags, each.domain
                first = domid + 1
                yield DomainInfo(
                    domid=domid,
                    dying=bool(flags & dying),
                    shutdown=bool(flags & shutdown),
                    paused=bool(flags & paused),
                    hvm=bool(flags & hvm),
                    pages=each.tot_pages,
                    vcpus=each.nr_online_vcpus,
                    uuid=bytes(buffer(each.handle)),
                )

    def domain(self, domid: int) -> DomainInfo | None:
        """Return a domain, or None if it does not exist."""
        return next((d for d in self.domains() if d.domid == domid), None)

    def version(self) -> XenVersion:
        """Return the version of the running hypervisor (`xc_version`).

        Raises:
            XenLibraryError: the caller is not privileged.
        """
        lib = self.lib
        packed = self.check(
            lib.xc_version(self.pointer, lib.XENVER_version, self.ffi.NULL),
            "xc_version",
            "XENVER_version",
        )
        info = self.ffi.new("struct xen_compile_info *")
        self.check(
            lib.xc_version(self.pointer, lib.XENVER_compile_info, info),
            "xc_version",
            "XENVER_compile_info",
        )
        return XenVersion(
            major=packed >> 16,
            minor=packed & 0xFFFF,
            extra=self._version_text(lib.XENVER_extraversion, 16),
            changeset=self._version_text(lib.XENVER_changeset, 64),
            build_id=self._build_id(),
            commandline=self._version_text(lib.XENVER_commandline, 1024).strip(),
            capabilities=self._version_text(lib.XENVER_capabilities, 1024).strip(),
            compiler=self._text(info.compiler),
            compile_date=self._text(info.compile_date),
        )

    def _version_text(self, command: int, size: int) -> str:
        buffer = self.ffi.new("char[]", size)
        self.check(
            self.lib.xc_version(self.pointer, command, buffer), "xc_version", f"XENVER {command}"
        )
        return self._text(buffer)

    def _text(self, chars: "CArray[bytes]") -> str:
        return self.ffi.string(chars).decode(errors="replace")

    def _build_id(self) -> str:
        size = self.ffi.sizeof("struct xen_build_id") + _BUILD_ID_BYTES
        raw = self.ffi.new("char[]", size)
        build_id = self.ffi.cast("struct xen_build_id *", raw)
        build_id.len = _BUILD_ID_BYTES
        length = self.lib.xc_version(self.pointer, self.lib.XENVER_build_id, build_id)
        if length < 0:
            return ""  # ENODATA: Xen was linked without a build id
        header = self.ffi.sizeof("struct xen_build_id")
        return bytes(self.ffi.buffer(raw, size))[header : header + length].hex()

    def physinfo(self) -> PhysInfo:
        """Return information about the physical host (`xc_physinfo`).

        Raises:
            XenLibraryError: the caller is not privileged.
        """
        lib = self.lib
        info = self.ffi.new("xc_physinfo_t *")
        self.check(lib.xc_physinfo(self.pointer, info), "xc_physinfo", "the hypervisor")
        return PhysInfo(
            cpus=info.nr_cpus,
            nodes=info.nr_nodes,
            cpu_khz=info.cpu_khz,
            total_pages=info.total_pages,
            free_pages=info.free_pages,
            scrub_pages=info.scrub_pages,
            hvm=bool(info.capabilities & lib.XEN_SYSCTL_PHYSCAP_hvm),
            pv=bool(info.capabilities & lib.XEN_SYSCTL_PHYSCAP_pv),
            directio=bool(info.capabilities & lib.XEN_SYSCTL_PHYSCAP_directio),
        )

    def grant_size(self, domid: int) -> tuple[int, int]:
        """Return the number of grant table frames of a domain and its limit.

        It calls `xc_gnttab_query_size`.

        Raises:
            XenLibraryError: there is no such domain.
        """
        query = self.ffi.new("struct gnttab_query_size *", {"dom": domid})
        self.check(
            self.lib.xc_gnttab_query_size(self.pointer, query),
            "xc_gnttab_query_size",
            f"domain {domid}",
        )
        if query.status:
            raise self.failure(
                "xc_gnttab_query_size", f"domain {domid} ({status_text(query.status)})", errno.ESRCH
            )
        return query.nr_frames, query.max_nr_frames

    def grant_version(self, domid: int) -> int:
        """Return the version of a domain's grant table, 1 or 2 (`xc_gnttab_get_version`).

        Raises:
            XenLibraryError: ESRCH if there is no such domain.
        """
        return self.check(
            self.lib.xc_gnttab_get_version(self.pointer, domid),
            "xc_gnttab_get_version",
            f"domain {domid}",
        )

    def send_debug_keys(self, keys: str) -> None:
        """Send debug keys to Xen (`xc_send_debug_keys`).

        Args:
            keys: the keys, such as "g", which prints all grant tables to the console ring.

        Raises:
            XenLibraryError: the caller is not privileged.
        """
        self.check(
            self.lib.xc_send_debug_keys(self.pointer, keys.encode()),
            "xc_send_debug_keys",
            repr(keys),
        )

    def console(self, *, clear: bool = False) -> str:
        """Read Xen's console ring (`xc_readconsolering`).

        Args:
            clear: also clear the ring.

        Raises:
            XenLibraryError: the caller is not privileged.
        """
        buffer = self.ffi.new("char[]", _CONSOLE_BYTES)
        count = self.ffi.new("unsigned int *", _CONSOLE_BYTES)
        self.check(
            self.lib.xc_readconsolering(self.pointer, buffer, count, int(clear), 0, self.ffi.NULL),
            "xc_readconsolering",
            "the console ring",
        )
        return bytes(self.ffi.buffer(buffer, count[0])).decode(errors="replace")

    def console_from(self, position: int | None) -> ConsolePart:
        """Read Xen's console ring from a position on, without clearing it (`xc_readconsolering`).

        Args:
            position: the end of the part that was read before; None for the beginning of the ring.

        Raises:
            XenLibraryError: the caller is not privileged.
        """
        buffer = self.ffi.new("char[]", _CONSOLE_PART_BYTES)
        end = self.ffi.new("uint32_t *", position or 0)
        text, lost = b"", 0
        for _ in range(_CONSOLE_BYTES // _CONSOLE_PART_BYTES):
            begin = end[0]
            count = self.ffi.new("unsigned int *", _CONSOLE_PART_BYTES)
            incremental = position is not None or bool(text)
            self.check(
                self.lib.xc_readconsolering(self.pointer, buffer, count, 0, int(incremental), end),
                "xc_readconsolering",
                "the console ring",
            )
            skipped = (end[0] - count[0] - begin) % _CONSOLE_POSITIONS if incremental else 0
            lost += skipped
            text += b"\n" * bool(skipped) + bytes(self.ffi.buffer(buffer, count[0]))
            if count[0] < _CONSOLE_PART_BYTES:
                break
        return ConsolePart(text, end[0], lost)
