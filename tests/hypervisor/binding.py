"""Python binding of one hypervisor in user space (harness/hypervisor.h)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cffi

HEADER = Path(__file__).parent / "harness/hypervisor.h"
LINEAR_BASE = int(re.search(r"LINEAR_BASE (\w+?)ULL", HEADER.read_text())[1], 16)
#: guest frames of a translated domain that hold its own memory; mappings go above
RAM_PAGES = int(re.search(r"RAM_PAGES = (\d+)", HEADER.read_text())[1])
PAGE = 4096
SELF = 0x7FF0

# GNTTABOP_*
MAP, UNMAP, SETUP, COPY, REPLACE, VERSION, SWAP = 0, 1, 2, 5, 7, 8, 11
# GNTMAP_*
DEVICE, HOST, READONLY, CONTAINS_PTE = 1, 2, 4, 16
BOTH = DEVICE | HOST
# GTF_* flags of a grant entry, and a cache attribute bit
PERMIT, TRANSITIVE, GRANT_READONLY, READING, WRITING, PWT = 1, 3, 4, 8, 16, 32
# GNTST_*
OKAY, GENERAL, BAD_DOMAIN, BAD_REF, BAD_HANDLE, BAD_BUS = 0, -1, -2, -3, -4, -6
BAD_PAGE, EAGAIN, NO_SPACE = -9, -12, -13
#: initial value of a request's status, which Xen never returns
UNANSWERED = 0x55
#: flags of a mapping → increment of the entry's pin count
PINS = {HOST: 1, HOST | READONLY: 1 << 8, DEVICE: 1 << 16, DEVICE | READONLY: 1 << 24}

PUBLIC = """
struct gnttab_map_grant_ref {
    uint64_t host_addr; uint32_t flags, ref; uint16_t dom; int16_t status; uint32_t handle;
    uint64_t dev_bus_addr;
};
struct gnttab_unmap_grant_ref {
    uint64_t host_addr, dev_bus_addr; uint32_t handle; int16_t status;
};
struct gnttab_unmap_and_replace {
    uint64_t host_addr, new_addr; uint32_t handle; int16_t status;
};
struct gnttab_copy_ptr { uint64_t frame; uint16_t domid, offset; };
struct gnttab_copy {
    struct gnttab_copy_ptr source, dest; uint16_t len, flags; int16_t status;
};
struct gnttab_set_version { uint32_t version; };
struct gnttab_swap_grant_ref { uint32_t ref_a, ref_b; int16_t status; };
struct gnttab_setup_table { uint16_t dom; uint32_t nr_frames; int16_t status; uint64_t *frames; };
"""


@dataclass
class Mapping:
    """A map request and Xen's answer.

    Attributes:
        bus: `dev_bus_addr`.
    """

    granter: "Domain"
    ref: int
    flags: int
    host_addr: int
    status: int
    handle: int
    bus: int


@dataclass
class EventLog:
    """Events inside the hypervisor, in order: name and subject (frame, index or lock address)."""

    events: list[tuple[str, int]] = field(default_factory=list)

    def first_index(self, name: str, subject: int | None = None) -> int:
        """Return the position of the first event of this name, of one subject or of any."""
        for i, event in enumerate(self.events):
            if event[0] == name and subject in {None, event[1]}:
                return i
        raise AssertionError(f"no event {name!r} with subject {subject}")

    def subjects(self, name: str) -> list[int]:
        """Return the subjects of all events of this name."""
        return [subject for event, subject in self.events if event == name]


#: called with the name and subject of each event; a result other than 0 makes the operation fail
EventHandler = Callable[[str, int], int | None]


class Machine:
    """A hypervisor and its domains.

    Attributes:
        is_stock: whether it is stock Xen, which ignores the options below.
        fast: whether `reset` turns on fast mappings (the boot option of the patched hypervisor).
        bus: whether `reset` turns on bus addresses of mappings.
        batch_flush: whether `reset` turns on one flush per batch for translated domains.
        skip_flush: whether `reset` turns on that pages no CPU has accessed are not flushed.
    """

    def __init__(self, library: Path, name: str) -> None:
        self.ffi = cffi.FFI()
        text = re.sub(r"^#.*$", "", HEADER.read_text(), flags=re.MULTILINE)
        self.ffi.cdef(PUBLIC + text + f"extern struct hypervisor {name};")
        self._library = self.ffi.dlopen(str(library))
        self.calls = getattr(self._library, name)
        self.is_stock = name == "stock"
        self.fast = not self.is_stock
        self.bus = False
        self.batch_flush = True
        self.skip_flush = False

    def reset(self) -> None:
        """Start again without domains, with the options above."""
        self.calls.reset()
        self.calls.fast_maptrack(self.fast)
        self.calls.bus_region(self.bus)
        self.calls.batch_flush(self.batch_flush)
        self.calls.skip_flush(self.skip_flush)

    def create(self, domid: int, **config) -> "Domain":
        """Create a PV domain with two vCPUs and Xen's default limits.

        Args:
            domid: its ID.
            config: fields of `struct domain_config` that differ from these defaults.
        """
        defaults = {"vcpus": 2, "max_version": 2, "grant_frames": -1, "maptrack_frames": -1}
        settings = self.ffi.new("struct domain_config *", defaults | config)
        if self.calls.create(domid, settings):
            raise RuntimeError(f"domain {domid} could not be created")
        return Domain(self, domid, translated=bool(config.get("translated")))

    def create_pair(self, *, version: int = 1, **mapper) -> tuple["Domain", "Domain"]:
        """Create a granter (domain 2) and a mapper (domain 1).

        References 0 to 15 grant the granter's pages 0 to 15 to the mapper.

        Args:
            version: of the granter's table.
            mapper: fields of the mapper's `struct domain_config`.
        """
        granter, other = self.create(2), self.create(1, **mapper)
        granter.set_version(version)
        for ref in range(16):
            granter.grant(ref, to=other.domid, page=ref)
        return granter, other

    def create_pairs(self, **mapper) -> Iterator[tuple[int, "Domain", "Domain"]]:
        """For each table version, reset the machine; yield the version, a granter and a mapper."""
        for version in (1, 2):
            self.reset()
            yield version, *self.create_pair(version=version, **mapper)

    @property
    def state(self):
        state = self.ffi.new("struct machine_state *")
        self.calls.read_machine(state)
        return state

    def is_consistent(self) -> bool:
        """Check pins, references, IOMMU mappings and handles against the records of mappings.

        Nothing may be in progress. Mismatches are printed to stderr.
        """
        return self.calls.is_consistent()

    @contextmanager
    def record_events(self, handler: EventHandler | None = None) -> Iterator[EventLog]:
        """Record the events inside the hypervisor; needs a library compiled with EVENTS.

        Args:
            handler: called for each event, except for those it causes itself. Its first exception
                is raised when the block ends.
        """
        log = EventLog()
        busy = False
        raised: list[BaseException] = []

        def callback(name_pointer, subject) -> int:
            nonlocal busy
            if busy:
                return 0
            name = self.ffi.string(name_pointer).decode()
            log.events.append((name, subject))
            busy = True
            try:
                return handler(name, subject) or 0 if handler and not raised else 0
            except BaseException as error:  # noqa: BLE001  # cannot propagate through C
                raised.append(error)
                return 0
            finally:
                busy = False

        c_callback = self.ffi.callback("int(const char *, uint64_t)", callback)
        self.calls.set_event_handler(c_callback)
        try:
            yield log
        finally:
            self.calls.set_event_handler(self.ffi.NULL)
        if raised:
            raise raised[0]


class Domain:
    """One domain, whose hypercalls are made by vCPU 0 on CPU 0 unless `on` selects others."""

    def __init__(self, machine: Machine, domid: int, *, translated: bool) -> None:
        self.machine, self.domid, self.translated = machine, domid, translated
        self._on = (0, 0)

    def on(self, vcpu: int, cpu: int = 0) -> "Domain":
        """Return the same domain with hypercalls made by another vCPU on a given CPU."""
        other = Domain(self.machine, self.domid, translated=self.translated)
        other._on = (vcpu, cpu)
        return other

    def operate(self, command: int, requests, count: int = 1) -> int:
        """Make a grant_table_op hypercall with `count` requests; return its result."""
        self.machine.calls.enter(self.domid, *self._on)
        return self.machine.calls.operate(command, requests, count)

    def _new(self, what: str, value):
        return self.machine.ffi.new(f"struct gnttab_{what} *", value)

    # granter operations

    def grant(self, ref: int, to: int, page: int = 0, flags: int = PERMIT, **other) -> None:
        """Write a grant entry as the granter's kernel does.

        Args:
            ref: the reference.
            to: domid of the mapper.
            page: which of the granter's pages.
            flags: GTF_*.
            other: `frame`, a frame number instead of that of `page`.
        """
        frame = other.get("frame", self.machine.calls.gfn(self.domid, page))
        if not self.machine.calls.grant(self.domid, ref, flags, to, frame):
            raise RuntimeError(f"no reference {ref}")

    def set_version(self, version: int) -> int:
        """Switch the version of its own grant table; return 0 or a negative errno."""
        return self.operate(VERSION, self._new("set_version", [version]))

    def swap(self, a: int, b: int) -> int:
        request = self._new("swap_grant_ref", [a, b, UNANSWERED])
        self.operate(SWAP, request)
        return request.status

    def grow(self, frames: int) -> int:
        """Grow its own grant table to a number of frames; return the status."""
        frame_list = self.machine.ffi.new("uint64_t[]", frames)
        request = self._new("setup_table", [SELF, frames, UNANSWERED, frame_list])
        self.operate(SETUP, request)
        return request.status

    def hold_frame(self, index: int) -> int:
        """Map frame `index` of its own table and take a reference; return its machine frame.

        Raises:
            OSError: Xen refused.
        """
        frame = self.machine.ffi.new("uint64_t *")
        if rc := self.machine.calls.hold_frame(self.domid, index, frame):
            raise OSError(-rc, "cannot map a frame of the grant table")
        return frame[0]

    # mapper operations

    def address(self, entry: int, flags: int = HOST) -> int:
        """Return the host address of an entry: guest-physical, linear, or of its PTE."""
        if self.translated:
            return (RAM_PAGES + entry) * PAGE
        if flags & CONTAINS_PTE:
            return self.machine.calls.pte_address(self.domid, entry)
        return LINEAR_BASE + entry * PAGE

    def map_all(self, granter: "Domain", targets: list[tuple[int, int, int]]) -> list[Mapping]:
        """Map (reference, flags, host address) requests in one hypercall."""
        requests = self.machine.ffi.new("struct gnttab_map_grant_ref[]", len(targets))
        for request, (ref, flags, host_addr) in zip(requests, targets, strict=True):
            request.ref, request.flags, request.host_addr = ref, flags, host_addr
            request.dom, request.status = granter.domid, UNANSWERED
        self.operate(MAP, requests, len(targets))
        return [
            Mapping(granter, r.ref, r.flags, r.host_addr, r.status, r.handle, r.dev_bus_addr)
            for r in requests
        ]

    def map(
        self, granter: "Domain", ref: int, flags: int = HOST, entry: int = 0, **other
    ) -> Mapping:
        host_addr = other.get("host_addr", self.address(entry, flags))
        return self.map_all(granter, [(ref, flags, host_addr)])[0]

    def unmap_all(self, targets: list[tuple[int, int, int]]) -> list[int]:
        """Unmap (handle, host address, bus address) requests in one hypercall."""
        requests = self.machine.ffi.new("struct gnttab_unmap_grant_ref[]", len(targets))
        for request, (handle, host_addr, bus) in zip(requests, targets, strict=True):
            request.handle, request.host_addr, request.dev_bus_addr = handle, host_addr, bus
            request.status = UNANSWERED
        self.operate(UNMAP, requests, len(targets))
        return [request.status for request in requests]

    def unmap(self, mapping: Mapping, **other) -> int:
        """Unmap a mapping at all its addresses, unless `host_addr` or `bus` say otherwise."""
        host_addr = other.get("host_addr", mapping.host_addr if mapping.flags & HOST else 0)
        bus = other.get("bus", mapping.bus if mapping.flags & DEVICE else 0)
        return self.unmap_all([(mapping.handle, host_addr, bus)])[0]

    def copy_all(self, granter: "Domain", targets: list[tuple[int, int]], *, write: bool = False):
        """Copy 8 bytes for each (reference, own page) in one hypercall; return the statuses.

        Args:
            granter: whose references they are.
            targets: the pairs.
            write: copy from the own page to the reference, not the other way round.
        """
        requests = self.machine.ffi.new("struct gnttab_copy[]", len(targets))
        for request, (ref, page) in zip(requests, targets, strict=True):
            own = [self.machine.calls.gfn(self.domid, page), SELF, 0]
            granted = [ref, granter.domid, 0]
            request.source, request.dest = (own, granted) if write else (granted, own)
            request.len, request.flags, request.status = 8, 2 if write else 1, UNANSWERED
        self.operate(COPY, requests, len(targets))
        return [request.status for request in requests]

    def copy(self, granter: "Domain", ref: int, page: int = 0, *, write: bool = False) -> int:
        return self.copy_all(granter, [(ref, page)], write=write)[0]

    def access(self, entry: int = 0, *, write: bool = False) -> bool:
        """Have a CPU access the page mapped at an entry of a PV domain; False: not present."""
        return self.machine.calls.access(self.domid, entry, write)

    # destruction

    def destroy(self) -> Iterator[None]:
        """Destroy the domain, one preemptible step per iteration."""
        while not self.machine.calls.destroy_step(self.domid):
            yield

    # state

    def _read(self, kind: str, *which: int):
        state = self.machine.ffi.new(f"struct {kind}_state *")
        getattr(self.machine.calls, f"read_{kind}")(self.domid, *which, state)
        return state

    @property
    def state(self):
        return self._read("domain")

    def entry(self, ref: int):
        return self._read("entry", ref)

    def status(self, ref: int) -> int:
        """Return the status bits of a reference, READING and WRITING."""
        entry = self.entry(ref)
        return (entry.flags if self.state.version == 1 else entry.status) & (READING | WRITING)

    def page_counts(self, page: int) -> tuple[int, int]:
        """Return the reference count and the writable type count of one of its own pages."""
        state = self._read("page", page)
        return state.references, state.types

    def frame(self, page: int) -> int:
        return self.machine.calls.gfn(self.domid, page)

    def contents(self, page: int):
        return self.machine.ffi.buffer(self.machine.calls.page(self.domid, page), PAGE)

    def host_entry(self, entry: int) -> int:
        return self.machine.calls.read_host_entry(self.domid, entry)

    def iommu_permissions(self, granter: "Domain", page: int) -> int:
        return self.machine.calls.read_iommu(self.domid, granter.domid, page)
