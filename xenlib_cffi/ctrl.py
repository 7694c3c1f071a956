"""libxenctrl: domains, and what the hypervisor tells of itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xenlib_cffi import device_paths
from xenlib_cffi.errors import status_word
from xenlib_cffi.library import LibraryHandle

#: domains asked for in one call
_LIST = 128
#: bytes; larger than any console ring a sane conring_size makes
_CONSOLE = 1 << 20
#: bytes of XENVER_build_id's buffer; an ld build id has 20
_BUILD_ID = 64


@dataclass(frozen=True)
class XenVersion:
    """What `xc_version` tells.

    Attributes:
        major: of 4.20, 4.
        minor: of 4.20, 20.
        extra: such as ".3".
        changeset: the source's, if it was built from a repository.
        build_id: the linker's, in hex; "" when there is none.
        commandline: Xen's own.
        capabilities: the guest types it runs.
        compiler: the compiler's version line.
        compile_date: when it was built.
    """

    major: int
    minor: int
    extra: str
    changeset: str
    build_id: str
    commandline: str
    capabilities: str
    compiler: str
    compile_date: str

    def __str__(self) -> str:
        """Such as "4.20.3"."""
        return f"{self.major}.{self.minor}{self.extra}"


@dataclass(frozen=True)
class PhysInfo:
    """What `xc_physinfo` tells.

    Attributes:
        cpus: physical CPUs online.
        nodes: NUMA nodes online.
        cpu_khz: kHz.
        total_pages: pages of 4 KiB.
        free_pages: pages of 4 KiB.
        scrub_pages: pages of 4 KiB, freed and not yet cleared.
        hvm: HVM guests can run.
        pv: PV guests can run.
        directio: an IOMMU is in use.
    """

    cpus: int
    nodes: int
    cpu_khz: int
    total_pages: int
    free_pages: int
    scrub_pages: int
    hvm: bool
    pv: bool
    directio: bool


@dataclass(frozen=True)
class DomainInfo:
    """What `xc_domain_getinfolist` tells of one domain.

    Attributes:
        domid: its id.
        dying: destroyed, but not gone: something still refers to its memory.
        shutdown: its guest has shut down.
        paused: paused by a toolstack.
        hvm: HVM or PVH, as against PV.
        pages: pages of 4 KiB it has.
        vcpus: vCPUs online.
        uuid: 16 bytes, the handle a toolstack gave it.
    """

    domid: int
    dying: bool
    shutdown: bool
    paused: bool
    hvm: bool
    pages: int
    vcpus: int
    uuid: bytes


class Ctrl(LibraryHandle):
    """A handle of libxenctrl (`xc_interface_open`).

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: privcmd cannot be opened: not a dom0, or not root.
    """

    def __init__(self) -> None:
        """Open privcmd."""
        super().__init__("xc_interface_open", device_paths.PRIVCMD, "xc_interface_close", loggers=2)

    def create_empty(self, uuid: bytes, max_grant_frames: int) -> int:
        """Create a PV domain without vCPU and guest OS (`xc_domain_create`).

        Args:
            uuid: 16 bytes to know it by.
            max_grant_frames: its limit.

        Returns:
            Its domid.

        Raises:
            XenLibraryError: EOPNOTSUPP or EINVAL when this Xen runs no PV guests.
        """
        domid = self.ffi.new("uint32_t *")
        self.check(
            self.lib.empty_domain_create(self.pointer, uuid, max_grant_frames, domid),
            "xc_domain_create",
            f"an empty domain with {max_grant_frames} grant frames",
        )
        return int(domid[0])

    def populate(self, domid: int, pages: int) -> list[int]:
        """Give a PV domain memory (`xc_domain_populate_physmap_exact`).

        Args:
            domid: whom.
            pages: how many, of 4 KiB; its limit is raised to that.

        Returns:
            The mfn of each.

        Raises:
            XenLibraryError: ENOMEM when the host has not that many free.
        """
        ffi, lib = self.ffi, self.lib
        subject = f"{pages} pages for domain {domid}"
        self.check(
            # The last few are for what Xen itself accounts to a domain.
            lib.xc_domain_setmaxmem(self.pointer, domid, 4 * (pages + 16)),
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

        It stays in the list, dying, for as long as its memory is mapped.

        Raises:
            XenLibraryError: ESRCH when there is no such domain.
        """
        self.check(
            self.lib.xc_domain_destroy(self.pointer, domid),
            "xc_domain_destroy",
            f"domain {domid}",
        )

    def domains(self) -> Iterator[DomainInfo]:
        """Every domain, dying ones included (`xc_domain_getinfolist`).

        Raises:
            XenLibraryError: not privileged to ask.
        """
        lib = self.lib
        info = self.ffi.new("xc_domaininfo_t[]", _LIST)
        first = 0
        while count := self.check(
            lib.xc_domain_getinfolist(self.pointer, first, _LIST, info),
            "xc_domain_getinfolist",
            f"domains from {first}",
        ):
            for each in info[0:count]:
                flags = each.flags
                yield DomainInfo(
                    domid=each.domain,
                    dying=bool(flags & lib.XEN_DOMINF_dying),
                    shutdown=bool(flags & lib.XEN_DOMINF_shutdown),
                    paused=bool(flags & lib.XEN_DOMINF_paused),
                    hvm=bool(flags & lib.XEN_DOMINF_hvm_guest),
                    pages=each.tot_pages,
                    vcpus=each.nr_online_vcpus,
                    uuid=bytes(each.handle),
                )
            first = info[count - 1].domain + 1

    def domain(self, domid: int) -> DomainInfo | None:
        """One domain, or None when there is none of that id."""
        return next((d for d in self.domains() if d.domid == domid), None)

    def version(self) -> XenVersion:
        """The running hypervisor's version (`xc_version`).

        Raises:
            XenLibraryError: not privileged to ask.
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

    def _text(self, chars: Any) -> str:  # noqa: ANN401 (a char[] of cffi)
        return str(self.ffi.string(chars).decode(errors="replace"))

    def _build_id(self) -> str:
        size = self.ffi.sizeof("struct xen_build_id") + _BUILD_ID
        raw = self.ffi.new("char[]", size)
        build_id = self.ffi.cast("struct xen_build_id *", raw)
        build_id.len = _BUILD_ID
        length = self.lib.xc_version(self.pointer, self.lib.XENVER_build_id, build_id)
        if length < 0:
            return ""  # a hypervisor linked without one says ENODATA
        header = self.ffi.sizeof("struct xen_build_id")
        return bytes(self.ffi.buffer(raw, size))[header : header + length].hex()

    def physinfo(self) -> PhysInfo:
        """The machine (`xc_physinfo`).

        Raises:
            XenLibraryError: not privileged to ask.
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
        """A domain's grant frames and their limit (`xc_gnttab_query_size`).

        Raises:
            XenLibraryError: no such domain.
        """
        query = self.ffi.new("struct gnttab_query_size *", {"dom": domid})
        self.check(
            self.lib.xc_gnttab_query_size(self.pointer, query),
            "xc_gnttab_query_size",
            f"domain {domid}",
        )
        if query.status:
            raise self.failure(
                "xc_gnttab_query_size", f"domain {domid} ({status_word(query.status)})", 3
            )
        return query.nr_frames, query.max_nr_frames

    def send_debug_keys(self, keys: str) -> None:
        """Press keys on Xen's console (`xc_send_debug_keys`).

        Args:
            keys: such as "g", which prints every grant table to the console ring.

        Raises:
            XenLibraryError: not privileged.
        """
        self.check(
            self.lib.xc_send_debug_keys(self.pointer, keys.encode()),
            "xc_send_debug_keys",
            repr(keys),
        )

    def console(self, *, clear: bool = False) -> str:
        """What Xen's console ring holds (`xc_readconsolering`).

        Args:
            clear: empty the ring.

        Raises:
            XenLibraryError: not privileged.
        """
        buffer = self.ffi.new("char[]", _CONSOLE)
        count = self.ffi.new("unsigned int *", _CONSOLE)
        self.check(
            self.lib.xc_readconsolering(self.pointer, buffer, count, int(clear), 0, self.ffi.NULL),
            "xc_readconsolering",
            "the console ring",
        )
        return bytes(self.ffi.buffer(buffer, count[0])).decode(errors="replace")
