"""One hypervisor in user space, driven from Python: for single steps, and for their order."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cffi

HEADER = Path(__file__).parent / "harness/hypervisor.h"
LINEAR_BASE = int(re.search(r"LINEAR_BASE (\w+?)ULL", HEADER.read_text())[1], 16)
#: of a translated domain, before where it maps
RAM_PAGES = int(re.search(r"RAM_PAGES = (\d+)", HEADER.read_text())[1])
PAGE = 4096
SELF = 0x7FF0

# commands
MAP, UNMAP, SETUP, COPY, REPLACE, VERSION, SWAP = 0, 1, 2, 5, 7, 8, 11
# flags of a mapping
DEVICE, HOST, READONLY, CONTAINS_PTE = 1, 2, 4, 16
BOTH = DEVICE | HOST
# flags of a grant entry
PERMIT, TRANSITIVE, GRANT_READONLY, READING, WRITING, PWT = 1, 3, 4, 8, 16, 32
# what a request can be answered
OKAY, GENERAL, BAD_DOMAIN, BAD_REF, BAD_HANDLE, BAD_BUS = 0, -1, -2, -3, -4, -6
BAD_PAGE, EAGAIN, NO_SPACE = -9, -12, -13
#: what is in a status before it is answered
UNANSWERED = 0x55
#: what one mapping adds to an entry's pins, by its flags
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
    """What was asked for, and answered."""

    granter: "Domain"
    ref: int
    flags: int
    host_addr: int
    status: int
    handle: int
    bus: int


@dataclass
class Watch:
    """What went on inside: names, as the harness has them, and what each was about."""

    events: list[tuple[str, int]] = field(default_factory=list)

    def first(self, what: str, about: int | None = None) -> int:
        """Where an event is for the first time, of something or of anything."""
        for i, (name, of) in enumerate(self.events):
            if name == what and about in {None, of}:
                return i
        raise AssertionError(f"no {what!r} of {about}")

    def all(self, what: str) -> list[int]:
        """What events of a name were about."""
        return [about for name, about in self.events if name == what]


#: is told of an event, and may fail what can fail, by answering other than 0
Reaction = Callable[[str, int], int | None]


class Machine:
    """A hypervisor and its domains."""

    def __init__(self, library: Path, name: str) -> None:
        self.ffi = cffi.FFI()
        text = re.sub(r"^#.*$", "", HEADER.read_text(), flags=re.MULTILINE)
        self.ffi.cdef(PUBLIC + text + f"extern struct hypervisor {name};")
        self._library = self.ffi.dlopen(str(library))
        self.calls = getattr(self._library, name)
        self.fast = name != "stock"
        self.bus = False

    def reset(self) -> None:
        """Begin anew, without domains; with what the patched one may do, if it is wanted."""
        self.calls.reset()
        self.calls.fast_maptrack(self.fast)
        self.calls.bus_region(self.bus)

    def create(self, domid: int, **config) -> "Domain":
        """Create a domain: PV, two vCPUs and Xen's defaults, but for what is said otherwise."""
        usual = {"vcpus": 2, "max_version": 2, "grant_frames": -1, "maptrack_frames": -1}
        made = self.ffi.new("struct domain_config *", usual | config)
        if self.calls.create(domid, made):
            raise RuntimeError(f"domain {domid} could not be created")
        return Domain(self, domid, translated=bool(config.get("translated")))

    def pair(self, *, version: int = 1, **mapper) -> tuple["Domain", "Domain"]:
        """Create a granter, whose references 0 to 15 grant its first pages, and a mapper."""
        granter, other = self.create(2), self.create(1, **mapper)
        granter.set_version(version)
        for ref in range(16):
            granter.grant(ref, to=other.domid, page=ref)
        return granter, other

    def pairs(self, **mapper) -> Iterator[tuple[int, "Domain", "Domain"]]:
        """Of each version of the granter's table: it, and a pair in a machine of its own."""
        for version in (1, 2):
            self.reset()
            yield version, *self.pair(version=version, **mapper)

    @property
    def seen(self):
        seen = self.ffi.new("struct machine_seen *")
        self.calls.see_machine(seen)
        return seen

    def at_rest(self) -> bool:
        return self.calls.at_rest()

    @contextmanager
    def watching(self, react: Reaction | None = None) -> Iterator[Watch]:
        """Note what goes on inside; not, however, what @react does itself.

        What it raises is raised at the end.
        """
        watch = Watch()
        busy = False
        raised: list[BaseException] = []

        def happened(what, about) -> int:
            nonlocal busy
            if busy:
                return 0
            name = self.ffi.string(what).decode()
            watch.events.append((name, about))
            busy = True
            try:
                return react(name, about) or 0 if react and not raised else 0
            except BaseException as error:  # noqa: BLE001  # it cannot pass through C
                raised.append(error)
                return 0
            finally:
                busy = False

        callback = self.ffi.callback("int(const char *, uint64_t)", happened)
        self.calls.watch(callback)
        try:
            yield watch
        finally:
            self.calls.watch(self.ffi.NULL)
        if raised:
            raise raised[0]


class Domain:
    """One domain: what it does is done on its vCPU 0 and CPU 0, unless `on` says otherwise."""

    def __init__(self, machine: Machine, domid: int, *, translated: bool) -> None:
        self.machine, self.domid, self.translated = machine, domid, translated
        self._on = (0, 0)

    def on(self, vcpu: int, cpu: int = 0) -> "Domain":
        """Return the same domain, on another vCPU, which is on some CPU."""
        other = Domain(self.machine, self.domid, translated=self.translated)
        other._on = (vcpu, cpu)
        return other

    def operate(self, command: int, requests, count: int = 1) -> int:
        self.machine.calls.enter(self.domid, *self._on)
        return self.machine.calls.operate(command, requests, count)

    def _new(self, what: str, value):
        return self.machine.ffi.new(f"struct gnttab_{what} *", value)

    # as a granter

    def grant(self, ref: int, to: int, page: int = 0, flags: int = PERMIT, **other) -> None:
        frame = other.get("frame", self.machine.calls.gfn(self.domid, page))
        if not self.machine.calls.grant(self.domid, ref, flags, to, frame):
            raise RuntimeError(f"no reference {ref}")

    def set_version(self, version: int) -> int:
        return self.operate(VERSION, self._new("set_version", [version]))

    def swap(self, a: int, b: int) -> int:
        request = self._new("swap_grant_ref", [a, b, UNANSWERED])
        self.operate(SWAP, request)
        return request.status

    def grow(self, frames: int) -> int:
        listed = self.machine.ffi.new("uint64_t[]", frames)
        request = self._new("setup_table", [SELF, frames, UNANSWERED, listed])
        self.operate(SETUP, request)
        return request.status

    def hold_frame(self, index: int) -> int:
        frame = self.machine.ffi.new("uint64_t *")
        if rc := self.machine.calls.hold_frame(self.domid, index, frame):
            raise OSError(-rc, "a frame of the grant table")
        return frame[0]

    # as a mapper

    def address(self, entry: int, flags: int = HOST) -> int:
        if self.translated:
            return (RAM_PAGES + entry) * PAGE
        if flags & CONTAINS_PTE:
            return self.machine.calls.pte_address(self.domid, entry)
        return LINEAR_BASE + entry * PAGE

    def map_all(self, granter: "Domain", asked: list[tuple[int, int, int]]) -> list[Mapping]:
        """Map in one hypercall: references, flags, and host addresses."""
        requests = self.machine.ffi.new("struct gnttab_map_grant_ref[]", len(asked))
        for request, (ref, flags, host_addr) in zip(requests, asked, strict=True):
            request.ref, request.flags, request.host_addr = ref, flags, host_addr
            request.dom, request.status = granter.domid, UNANSWERED
        self.operate(MAP, requests, len(asked))
        return [
            Mapping(granter, r.ref, r.flags, r.host_addr, r.status, r.handle, r.dev_bus_addr)
            for r in requests
        ]

    def map(
        self, granter: "Domain", ref: int, flags: int = HOST, entry: int = 0, **other
    ) -> Mapping:
        host_addr = other.get("host_addr", self.address(entry, flags))
        return self.map_all(granter, [(ref, flags, host_addr)])[0]

    def unmap_all(self, asked: list[tuple[int, int, int]]) -> list[int]:
        """Unmap in one hypercall: handles, host and bus addresses."""
        requests = self.machine.ffi.new("struct gnttab_unmap_grant_ref[]", len(asked))
        for request, (handle, host_addr, bus) in zip(requests, asked, strict=True):
            request.handle, request.host_addr, request.dev_bus_addr = handle, host_addr, bus
            request.status = UNANSWERED
        self.operate(UNMAP, requests, len(asked))
        return [request.status for request in requests]

    def unmap(self, mapping: Mapping, **other) -> int:
        """Unmap all that was mapped, or as is said otherwise."""
        host_addr = other.get("host_addr", mapping.host_addr if mapping.flags & HOST else 0)
        bus = other.get("bus", mapping.bus if mapping.flags & DEVICE else 0)
        return self.unmap_all([(mapping.handle, host_addr, bus)])[0]

    def copy_all(self, granter: "Domain", asked: list[tuple[int, int]], *, write: bool = False):
        """Copy 8 bytes each from, or to, references in one hypercall; to, or from, own pages."""
        requests = self.machine.ffi.new("struct gnttab_copy[]", len(asked))
        for request, (ref, page) in zip(requests, asked, strict=True):
            own = [self.machine.calls.gfn(self.domid, page), SELF, 0]
            granted = [ref, granter.domid, 0]
            request.source, request.dest = (own, granted) if write else (granted, own)
            request.len, request.flags, request.status = 8, 2 if write else 1, UNANSWERED
        self.operate(COPY, requests, len(asked))
        return [request.status for request in requests]

    def copy(self, granter: "Domain", ref: int, page: int = 0, *, write: bool = False) -> int:
        return self.copy_all(granter, [(ref, page)], write=write)[0]

    # its end

    def kill(self) -> Iterator[None]:
        """End it, step by step."""
        while not self.machine.calls.kill(self.domid):
            yield

    # what is to be seen

    def _see(self, what: str, *which: int):
        seen = self.machine.ffi.new(f"struct {what}_seen *")
        getattr(self.machine.calls, f"see_{what}")(self.domid, *which, seen)
        return seen

    @property
    def seen(self):
        return self._see("domain")

    def entry(self, ref: int):
        return self._see("entry", ref)

    def status(self, ref: int) -> int:
        """What Xen says of a reference's use: READING, WRITING."""
        seen = self.entry(ref)
        return (seen.flags if self.seen.version == 1 else seen.status) & (READING | WRITING)

    def page(self, page: int) -> tuple[int, int]:
        """References and writable types of a page of its own."""
        seen = self._see("page", page)
        return seen.references, seen.types

    def frame(self, page: int) -> int:
        return self.machine.calls.gfn(self.domid, page)

    def contents(self, page: int):
        return self.machine.ffi.buffer(self.machine.calls.page(self.domid, page), PAGE)

    def host(self, entry: int) -> int:
        return self.machine.calls.see_host(self.domid, entry)

    def iommu(self, granter: "Domain", page: int) -> int:
        return self.machine.calls.see_iommu(self.domid, granter.domid, page)
