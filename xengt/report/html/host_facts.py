"""The host on which figures were measured, as a list of an HTML page."""

from xml.etree.ElementTree import Element

from xengt.report.bench_text import clock_of, describe_iommu, on_pcpus
from xengt.report.elements import el
from xengt.xen.host import Host

_CLOCKS = {"time": "time", "instructions": "instruction count: 1 ns is one instruction"}


def host_facts(host: Host, *further_facts: tuple[str, str]) -> Element:
    """Return the facts about a host that its figures depend on.

    Args:
        host: the host of a bench document.
        further_facts: names and values of further facts, each on a line of the full width.
    """
    build = "debug build" if host["xen_debug"] else "release build"
    facts = [
        ("Hypervisor", f"Xen {host['xen_version']}, {build}"),
        ("Build ID", host["xen_build_id"] or "none"),
        ("dom0", f"{host['dom0']}, Linux {host['kernel']}"),
        ("CPUs", f"{host['dom0_vcpus']} dom0 vCPUs{on_pcpus(host)}"),
        ("Processor", host["cpu"] + (", emulated in software" if host["emulated"] else "")),
        ("IOMMU", describe_iommu(host)),
        ("Clock", _CLOCKS[clock_of(host)]),
    ]
    if "maptrack" in host:
        facts.append(("Maptrack", host["maptrack"]))
    return el(
        "dl",
        *(el("div", el("dt", name), el("dd", value)) for name, value in facts),
        el(
            "div",
            el("dt", "Xen command line"),
            el("dd", el("code", host["xen_commandline"])),
            class_="wide",
        ),
        *(
            el("div", el("dt", name), el("dd", value), class_="wide")
            for name, value in further_facts
        ),
        class_="facts",
    )
