"""What the functions of libxenctrl return: versions, hosts, domains, parts of the console ring."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class XenVersion:
    """The version of the hypervisor (`xc_version`).

    Attributes:
        major: 4 in "4.20.3".
        minor: 20 in "4.20.3".
        extra: ".3" in "4.20.3".
        changeset: the revision of the source, if Xen was built from a repository.
        build_id: the build id of the linker in hexadecimal; "" if there is none.
        commandline: Xen's command line.
        capabilities: the supported types of guests.
        compiler: the version of the compiler.
        compile_date: the date of the build.
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
        """Return the full version, such as "4.20.3"."""
        return f"{self.major}.{self.minor}{self.extra}"


@dataclass(frozen=True)
class PhysInfo:
    """The physical host (`xc_physinfo`).

    Attributes:
        cpus: number of physical CPUs that are online.
        nodes: number of NUMA nodes that are online.
        cpu_khz: frequency of the CPUs in kHz.
        total_pages: memory, in pages of 4 KiB.
        free_pages: free memory, in pages of 4 KiB.
        scrub_pages: freed memory that is not yet scrubbed, in pages of 4 KiB.
        hvm: whether HVM guests can run.
        pv: whether PV guests can run.
        directio: whether an IOMMU is in use.
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


class DomainInfo(NamedTuple):
    """A domain (`xc_domain_getinfolist`).

    Attributes:
        domid: its domid.
        dying: whether it was destroyed and still exists, because its memory is in use.
        shutdown: whether its guest has shut down.
        paused: whether a toolstack has paused it.
        hvm: whether it is HVM or PVH, and not PV.
        pages: its memory, in pages of 4 KiB.
        vcpus: number of vCPUs that are online.
        uuid: the UUID that its toolstack chose, 16 bytes.
    """

    domid: int
    dying: bool
    shutdown: bool
    paused: bool
    hvm: bool
    pages: int
    vcpus: int
    uuid: bytes


class ConsolePart(NamedTuple):
    """A part of Xen's console ring (`xc_readconsolering`).

    Attributes:
        text: of the part, to the end of the ring. A newline stands for characters that are lost.
        end: the position after it, for the next call.
        lost: number of characters that were overwritten, or cleared by another program, before
            they could be read.
    """

    text: bytes
    end: int
    lost: int
