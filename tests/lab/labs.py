"""Which labs these tests boot, and never more than two of them at a time."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab.reach import LAB, Dom0, troubles

HERE = Path(__file__).parent
#: few enough frames, of 256 mappings each, for a test to run dom0 out of them
MAPTRACK = "gnttab_max_maptrack_frames=64"
#: a debug build says each refused operation on the console, which a million of them would drown;
#: what it says at this level is worth being looked at
QUIET = "guest_loglvl=error"
#: each fault of a device, however many there are
TELLS = "guest_loglvl=all"

BUS = "gnttab=bus-region"
STRICT = ("--hypervisor", "patched", "--iommu", "strict")


@dataclass(frozen=True)
class Lab:
    """What a lab is booted with.

    Args:
        name: of the lab.
        options: of `lab up`.
        long: only `./tests/run long` boots it.
    """

    name: str
    options: tuple[str, ...]
    long: bool = False

    @property
    def exact(self) -> bool:
        """Its clock counts instructions, so that nothing that runs beside it changes a figure."""
        return "--exact" in self.options


PATCHED = ("--hypervisor", "patched")
KERNEL = ("--kernel", "patched")

#: by variant; in the order tests use them
LABS = {
    "stock": Lab("tests", ("--guest", "--xen-args", MAPTRACK)),
    "patched": Lab("tests-patched", ("--guest", *PATCHED, "--xen-args", MAPTRACK)),
    "switched-off": Lab(
        "tests-off",
        ("--guest", *PATCHED, "--xen-args", f"{MAPTRACK} gnttab=no-fast-maptrack"),
        long=True,
    ),
    "patched-debug": Lab(
        "tests-debug",
        ("--guest", "--hypervisor", "patched-debug", "--xen-args", f"{MAPTRACK} {QUIET}"),
        long=True,
    ),
    "exact": Lab("tests-exact", ("--exact", "--guest")),
    "patched-exact": Lab("tests-patched-exact", ("--exact", "--guest", *PATCHED)),
    "switched-off-exact": Lab(
        "tests-off-exact",
        ("--exact", "--guest", *PATCHED, "--xen-args", "gnttab=no-fast-maptrack"),
        long=True,
    ),
    # No guest: a kernel that does not know of bus addresses cannot start one.
    "strict": Lab("tests-strict", ("--exact", *STRICT, "--xen-args", f"{BUS} {TELLS}")),
    "strict-stock": Lab(
        "tests-strict-stock",
        ("--exact", "--iommu", "strict", "--xen-args", TELLS),
        long=True,
    ),
    "strict-amd": Lab(
        "tests-strict-amd",
        ("--exact", *PATCHED, "--iommu", "strict-amd", "--xen-args", f"{BUS} {TELLS}"),
        long=True,
    ),
    "strict-guest": Lab(
        "tests-strict-guest",
        ("--exact", *STRICT, "--guest", *KERNEL, "--xen-args", BUS),
        long=True,
    ),
    "strict-stock-guest": Lab(
        "tests-strict-stock-guest",
        ("--exact", "--iommu", "strict", "--guest", *KERNEL),
        long=True,
    ),
    "bus-region": Lab("tests-bus", (*STRICT, "--guest", *KERNEL, "--xen-args", BUS), long=True),
    "no-bus-region": Lab("tests-no-bus", (*STRICT, "--guest", *KERNEL), long=True),
    "no-bus-region-debian": Lab("tests-no-bus-debian", (*STRICT, "--guest"), long=True),
    # The series up to where bus addresses begin.
    "without-bus-exact": Lab(
        "tests-without-bus", ("--exact", "--guest", *PATCHED, "--patches", "12"), long=True
    ),
}
#: the oracle of the others: it stays up
STAYS = "stock"


@dataclass
class Labs:
    """The labs that are up: the stock one, and one other.

    Args:
        stays: use the labs that are up, and leave them up.
        prefix: put before their names, so that two runs of the tests can go side by side.
        patched: boot this image, not the one built here, for the variants `patched` and
            `switched-off`.
    """

    stays: bool
    prefix: str = ""
    patched: Path | None = None
    up: dict[str, Dom0] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)

    def get(self, variant: str) -> Dom0:
        """The lab of a variant, booted if it is not up; another may have to go for it."""
        if variant not in self.up:
            for other in [known for known in self.up if STAYS not in {known, variant}]:
                self.down(other)
            chosen = LABS[variant]
            lab = Dom0(self.prefix + chosen.name)
            if not self.stays:
                down(lab)
                words = self.with_image(chosen.options)
                subprocess.run([LAB, "up", "--name", lab.name, *words], check=True)
            self.up[variant] = lab
            lab.brings_tests()
        return self.up[variant]

    def with_image(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """The options, with the image that was given in place of the patched hypervisor."""
        if self.patched is None or "patched" not in options:
            return options
        at = options.index("--hypervisor")
        return (*options[:at], "--xen", str(self.patched), *options[at + 2 :])

    def down(self, variant: str) -> None:
        """End a lab, and keep what its hypervisor complained of while it was up."""
        lab = self.up.pop(variant)
        console = lab.console()
        self.said[lab.name] = (
            [f"{lab.name} is gone, and its console"] if console is None else troubles(console)
        )
        if not self.stays:
            down(lab)

    def close(self) -> None:
        """End all of them.

        Raises:
            pytest.fail.Exception: a hypervisor has complained.
        """
        for variant in list(self.up):
            self.down(variant)
        for name, said in self.said.items():
            if said:
                pytest.fail(f"the hypervisor of {name} said:\n" + "\n".join(said), pytrace=False)


def down(lab: Dom0) -> None:
    subprocess.run([LAB, "down", "--name", lab.name], check=True, capture_output=True)
