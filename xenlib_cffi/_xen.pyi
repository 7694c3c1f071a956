# Types of the extension module that cffi generates from the other files of decl/.
#
# A C structure `some_name` or `some_name_t` is the class CSomeName here, and so are pointers to it.
# tests/unit/xenlib_cffi/test_stubs.py compares the stubs with the declarations.

from collections.abc import Callable
from typing import Literal, TypedDict, TypeVar, overload

from xenlib_cffi._histogram import CArray, CBuffer, CData, CHistogram

_CDataT = TypeVar("_CDataT", bound=CData)

class CNull(CData):
    """NULL (`ffi.NULL`)."""

class CInteger(CData):
    """A C integer, the result of a cast."""

    def __int__(self) -> int: ...

# xentoollog.h
class CXentoollogLogger(CData): ...

# xencall.h and xen/grant_table.h
class CXencallHandle(CData): ...

class CGnttabMapGrantRef(CData):
    host_addr: int
    flags: int
    ref: int
    dom: int
    status: int
    handle: int
    dev_bus_addr: int

class CGnttabUnmapGrantRef(CData):
    host_addr: int
    dev_bus_addr: int
    handle: int
    status: int

class MapOperation(TypedDict):
    host_addr: int
    flags: int
    ref: int
    dom: int
    status: int

class UnmapOperation(TypedDict):
    host_addr: int
    dev_bus_addr: int
    handle: int

class MapOperations(CArray[CGnttabMapGrantRef]):
    def __setitem__(self, index: int, fields: MapOperation) -> None: ...

class UnmapOperations(CArray[CGnttabUnmapGrantRef]):
    def __setitem__(self, index: int, fields: UnmapOperation) -> None: ...

# xengnttab.h
class CXengnttabHandle(CData): ...
class CXengntshrHandle(CData): ...

# xenforeignmemory.h and xen/grant_table.h
class CXenforeignmemoryHandle(CData): ...
class CXenforeignmemoryResourceHandle(CData): ...

class CGrantEntryV1(CData):
    flags: int
    domid: int
    frame: int

# xenevtchn.h
class CXenevtchnHandle(CData): ...

# xenctrl.h
class CXcInterface(CData): ...

class CXcDomaininfo(CData):
    domain: int
    flags: int
    tot_pages: int
    max_pages: int
    nr_online_vcpus: int
    handle: CArray[int]

class CXenCompileInfo(CData):
    compiler: CArray[bytes]
    compile_by: CArray[bytes]
    compile_domain: CArray[bytes]
    compile_date: CArray[bytes]

class CXenBuildId(CData):
    len: int

class CXcPhysinfo(CData):
    nr_cpus: int
    nr_nodes: int
    cpu_khz: int
    capabilities: int
    total_pages: int
    free_pages: int
    scrub_pages: int

class CGnttabQuerySize(CData):
    dom: int
    nr_frames: int
    max_nr_frames: int
    status: int

class QuerySizeFields(TypedDict):
    dom: int

# xenhypfs.h
class CXenhypfsHandle(CData): ...

class CXenhypfsDirent(CData):
    name: CArray[bytes]
    size: int
    type: int
    encoding: int
    flags: int

# csrc/loop.h
class CTarget(CData):
    domid: int
    gref: int
    pattern: int
    frame: int

class CLoopFailure(CData):
    error: int
    call: CArray[bytes]
    errnum: int
    status: int
    domid: int
    gref: int

class CWorker(CData):
    cpu: int
    targets: CArray[CTarget]
    n_targets: int
    cursor: CArray[int]
    first: CHistogram
    touch: CHistogram
    second: CHistogram
    local: CArray[int]
    local_frames: CArray[int]
    rounds: int
    elapsed_ns: int
    failure: CLoopFailure

class CLoop(CData):
    engine: int
    workers: CArray[CWorker]
    n_workers: int
    batch: int
    readonly: bool
    touch: int
    bytes: int
    warmup: int
    rounds: int
    duration_ns: int
    interval_ns: int
    stop: int

class LoopFields(TypedDict):
    engine: int
    workers: CArray[CWorker]
    n_workers: int
    batch: int
    readonly: bool
    touch: int
    bytes: int
    warmup: int
    rounds: int
    duration_ns: int
    interval_ns: int

class FFI:
    NULL: CNull
    errno: int

    @overload
    def new(self, cdecl: Literal["uint32_t *"], init: int = ...) -> CArray[int]: ...
    @overload
    def new(self, cdecl: Literal["unsigned int *"], init: int = ...) -> CArray[int]: ...
    @overload
    def new(
        self, cdecl: Literal["uint32_t[]", "uint64_t[]", "xen_pfn_t[]"], init: int | list[int]
    ) -> CArray[int]: ...
    @overload
    def new(self, cdecl: Literal["char[]"], init: int | bytes) -> CArray[bytes]: ...
    @overload
    def new(
        self, cdecl: Literal["char *[]"], init: list[CArray[bytes]]
    ) -> CArray[CArray[bytes]]: ...
    @overload
    def new(self, cdecl: Literal["void **"]) -> CArray[CData]: ...
    @overload
    def new(self, cdecl: Literal["struct xen_compile_info *"]) -> CXenCompileInfo: ...
    @overload
    def new(self, cdecl: Literal["xc_physinfo_t *"]) -> CXcPhysinfo: ...
    @overload
    def new(self, cdecl: Literal["xc_domaininfo_t[]"], init: int) -> CArray[CXcDomaininfo]: ...
    @overload
    def new(
        self, cdecl: Literal["struct gnttab_query_size *"], init: QuerySizeFields
    ) -> CGnttabQuerySize: ...
    @overload
    def new(self, cdecl: Literal["struct worker[]"], init: int) -> CArray[CWorker]: ...
    @overload
    def new(
        self, cdecl: Literal["struct target[]"], init: list[tuple[int, int, int, int]]
    ) -> CArray[CTarget]: ...
    @overload
    def new(self, cdecl: Literal["struct loop *"], init: LoopFields) -> CLoop: ...
    @overload
    def cast(self, cdecl: Literal["char *"], value: CData) -> CArray[bytes]: ...
    @overload
    def cast(self, cdecl: Literal["unsigned char *"], value: CData) -> CArray[int]: ...
    @overload
    def cast(self, cdecl: Literal["uintptr_t"], value: CData) -> CInteger: ...
    @overload
    def cast(self, cdecl: Literal["gnttab_map_grant_ref_t *"], value: CData) -> MapOperations: ...
    @overload
    def cast(
        self, cdecl: Literal["gnttab_unmap_grant_ref_t *"], value: CData
    ) -> UnmapOperations: ...
    @overload
    def cast(self, cdecl: Literal["grant_entry_v1_t *"], value: CData) -> CArray[CGrantEntryV1]: ...
    @overload
    def cast(self, cdecl: Literal["uint16_t *"], value: CData) -> CArray[int]: ...
    @overload
    def cast(self, cdecl: Literal["struct xen_build_id *"], value: CData) -> CXenBuildId: ...
    def gc(
        self, cdata: _CDataT, destructor: Callable[[_CDataT], object], size: int = ...
    ) -> _CDataT: ...
    def release(self, cdata: CData) -> None: ...
    def from_buffer(
        self,
        cdecl: Literal["uint64_t[1]"],
        python_buffer: memoryview,
        require_writable: bool,
    ) -> CArray[int]: ...
    def buffer(self, cdata: CArray[bytes] | CArray[int], size: int = ...) -> CBuffer: ...
    def sizeof(self, cdecl: str) -> int: ...
    def string(self, cdata: CArray[bytes]) -> bytes: ...
    def unpack(self, cdata: CArray[int], length: int) -> list[int]: ...

class Lib:
    # decl/toollog.h
    def last_message_logger(self) -> CXentoollogLogger: ...
    def last_message_take(self) -> CArray[bytes]: ...

    # decl/call.h
    __HYPERVISOR_xen_version: int
    __HYPERVISOR_grant_table_op: int
    XENVER_version: int
    GNTMAP_device_map: int
    GNTMAP_host_map: int
    GNTMAP_readonly: int
    GNTST_okay: int
    GNTST_general_error: int
    GNTST_bad_domain: int
    GNTST_bad_gntref: int
    GNTST_bad_handle: int
    GNTST_bad_virt_addr: int
    GNTST_bad_dev_addr: int
    GNTST_no_device_space: int
    GNTST_permission_denied: int
    GNTST_bad_page: int
    GNTST_bad_copy_arg: int
    GNTST_address_too_big: int
    GNTST_eagain: int
    GNTST_no_space: int
    STATUS_UNTOUCHED: int
    XENLIB_PAGE_SIZE: int

    def xencall_open(self, logger: CXentoollogLogger, open_flags: int) -> CXencallHandle: ...
    def xencall_close(self, xcall: CXencallHandle) -> int: ...
    def xencall0(self, xcall: CXencallHandle, op: int) -> int: ...
    def xencall1(self, xcall: CXencallHandle, op: int, arg1: int) -> int: ...
    def xencall2(self, xcall: CXencallHandle, op: int, arg1: int, arg2: int) -> int: ...
    def xencall3(self, xcall: CXencallHandle, op: int, arg1: int, arg2: int, arg3: int) -> int: ...
    def xencall_alloc_buffer_pages(self, xcall: CXencallHandle, nr_pages: int) -> CData: ...
    def xencall_free_buffer_pages(self, xcall: CXencallHandle, p: CData, nr_pages: int) -> None: ...
    def xencall_buffers_never_fault(self, xcall: CXencallHandle) -> int: ...
    def grant_map(self, call: CXencallHandle, ops: MapOperations, count: int) -> int: ...
    def grant_unmap(self, call: CXencallHandle, ops: UnmapOperations, count: int) -> int: ...
    def grant_sweep(
        self,
        call: CXencallHandle,
        ops: UnmapOperations,
        room: int,
        bus_addr: int,
        first: int,
        handles: int,
    ) -> int: ...

    # decl/gnttab.h
    def xengnttab_open(self, logger: CXentoollogLogger, open_flags: int) -> CXengnttabHandle: ...
    def xengnttab_close(self, xgt: CXengnttabHandle) -> int: ...
    def xengnttab_map_grant_refs(
        self, xgt: CXengnttabHandle, count: int, domids: CArray[int], refs: CArray[int], prot: int
    ) -> CData: ...
    def xengnttab_unmap(self, xgt: CXengnttabHandle, start_address: CData, count: int) -> int: ...
    def xengntshr_open(self, logger: CXentoollogLogger, open_flags: int) -> CXengntshrHandle: ...
    def xengntshr_close(self, xgs: CXengntshrHandle) -> int: ...
    def xengntshr_share_pages(
        self, xgs: CXengntshrHandle, domid: int, count: int, refs: CArray[int], writable: int
    ) -> CData: ...
    def xengntshr_unshare(self, xgs: CXengntshrHandle, start_address: CData, count: int) -> int: ...

    # decl/foreignmemory.h
    PROT_READ: int
    PROT_WRITE: int
    XENMEM_resource_grant_table: int
    XENMEM_resource_grant_table_id_shared: int
    XENMEM_resource_grant_table_id_status: int
    GTF_permit_access: int
    GTF_readonly: int
    GTF_reading: int
    GTF_writing: int

    def xenforeignmemory_open(
        self, logger: CXentoollogLogger, open_flags: int
    ) -> CXenforeignmemoryHandle: ...
    def xenforeignmemory_close(self, fmem: CXenforeignmemoryHandle) -> int: ...
    def xenforeignmemory_map(
        self,
        fmem: CXenforeignmemoryHandle,
        dom: int,
        prot: int,
        pages: int,
        arr: CArray[int],
        err: CNull,
    ) -> CData: ...
    def xenforeignmemory_unmap(
        self, fmem: CXenforeignmemoryHandle, addr: CData, pages: int
    ) -> int: ...
    def xenforeignmemory_map_resource(
        self,
        fmem: CXenforeignmemoryHandle,
        domid: int,
        resource_type: int,
        resource_id: int,
        frame: int,
        nr_frames: int,
        paddr: CArray[CData],
        prot: int,
        flags: int,
    ) -> CXenforeignmemoryResourceHandle: ...
    def xenforeignmemory_unmap_resource(
        self, fmem: CXenforeignmemoryHandle, fres: CXenforeignmemoryResourceHandle
    ) -> int: ...
    def xenforeignmemory_resource_size(
        self,
        fmem: CXenforeignmemoryHandle,
        domid: int,
        resource_type: int,
        resource_id: int,
        size: CArray[int],
    ) -> int: ...

    # decl/evtchn.h
    def xenevtchn_open(self, logger: CXentoollogLogger, flags: int) -> CXenevtchnHandle: ...
    def xenevtchn_close(self, xce: CXenevtchnHandle) -> int: ...
    def xenevtchn_fd(self, xce: CXenevtchnHandle) -> int: ...
    def xenevtchn_notify(self, xce: CXenevtchnHandle, port: int) -> int: ...
    def xenevtchn_bind_unbound_port(self, xce: CXenevtchnHandle, domid: int) -> int: ...
    def xenevtchn_bind_interdomain(
        self, xce: CXenevtchnHandle, domid: int, remote_port: int
    ) -> int: ...
    def xenevtchn_unbind(self, xce: CXenevtchnHandle, port: int) -> int: ...
    def xenevtchn_pending(self, xce: CXenevtchnHandle) -> int: ...
    def xenevtchn_unmask(self, xce: CXenevtchnHandle, port: int) -> int: ...

    # decl/ctrl.h
    XEN_DOMINF_dying: int
    XEN_DOMINF_hvm_guest: int
    XEN_DOMINF_shutdown: int
    XEN_DOMINF_paused: int
    XENVER_extraversion: int
    XENVER_compile_info: int
    XENVER_capabilities: int
    XENVER_changeset: int
    XENVER_commandline: int
    XENVER_build_id: int
    XEN_SYSCTL_PHYSCAP_hvm: int
    XEN_SYSCTL_PHYSCAP_pv: int
    XEN_SYSCTL_PHYSCAP_directio: int

    def xc_interface_open(
        self, logger: CXentoollogLogger, dombuild_logger: CXentoollogLogger, open_flags: int
    ) -> CXcInterface: ...
    def xc_interface_close(self, xch: CXcInterface) -> int: ...
    def empty_domain_create(
        self, xch: CXcInterface, uuid: bytes, max_grant_frames: int, domid: CArray[int]
    ) -> int: ...
    def xc_domain_destroy(self, xch: CXcInterface, domid: int) -> int: ...
    def xc_domain_setmaxmem(self, xch: CXcInterface, domid: int, max_memkb: int) -> int: ...
    def xc_domain_populate_physmap_exact(
        self,
        xch: CXcInterface,
        domid: int,
        nr_extents: int,
        extent_order: int,
        mem_flags: int,
        extent_start: CArray[int],
    ) -> int: ...
    def xc_domain_getinfolist(
        self, xch: CXcInterface, first_domain: int, max_domains: int, info: CArray[CXcDomaininfo]
    ) -> int: ...
    def xc_version(self, xch: CXcInterface, cmd: int, arg: CData) -> int: ...
    def xc_physinfo(self, xch: CXcInterface, info: CXcPhysinfo) -> int: ...
    def xc_send_debug_keys(self, xch: CXcInterface, keys: bytes) -> int: ...
    def xc_readconsolering(
        self,
        xch: CXcInterface,
        buffer: CArray[bytes],
        pnr_chars: CArray[int],
        clear: int,
        incremental: int,
        pindex: CNull | CArray[int],
    ) -> int: ...
    def xc_gnttab_query_size(self, xch: CXcInterface, query: CGnttabQuerySize) -> int: ...
    def xc_gnttab_get_version(self, xch: CXcInterface, domid: int) -> int: ...

    # decl/hypfs.h
    xenhypfs_type_dir: int
    HYPFS_NUMBERS_MAX: int

    def xenhypfs_open(self, logger: CXentoollogLogger, open_flags: int) -> CXenhypfsHandle: ...
    def xenhypfs_close(self, fshdl: CXenhypfsHandle) -> int: ...
    def xenhypfs_read(self, fshdl: CXenhypfsHandle, path: bytes) -> CArray[bytes]: ...
    def xenhypfs_readdir(
        self, fshdl: CXenhypfsHandle, path: bytes, num_entries: CArray[int]
    ) -> CArray[CXenhypfsDirent]: ...
    def xenhypfs_write(self, fshdl: CXenhypfsHandle, path: bytes, val: bytes) -> int: ...
    def free(self, p: CData) -> None: ...
    def hypfs_numbers(
        self,
        call: CXencallHandle,
        page: CData,
        directory: bytes,
        names: CArray[CArray[bytes]],
        count: int,
        values: CArray[int],
    ) -> int: ...

    # decl/loop.h
    LOOP_OK: int
    LOOP_ERRNO: int
    LOOP_STATUS: int
    LOOP_CONTENTS: int
    LOOP_HYPERCALL: int
    LOOP_GNTDEV: int
    LOOP_COPY: int
    LOOP_GNTDEV_COPY: int
    LOOP_PERSISTENT: int
    LOOP_FOREIGN: int
    LOOP_REFUSED_HYPERCALL: int
    LOOP_REFUSED_GNTDEV: int
    LOOP_REFUSED_COPY: int
    LOOP_REFUSED_GNTDEV_COPY: int
    LOOP_REFUSED_FOREIGN: int
    LOOP_EMPTY: int
    TOUCH_NONE: int
    TOUCH_READ: int
    TOUCH_WRITE: int
    TOUCH_COPY: int

    def loop_run(self, loop: CLoop) -> int: ...

ffi: FFI
lib: Lib
