"""The labs of these tests; at most two of them run at the same time."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab.lab_dom0 import LAB, Dom0, hypervisor_complaints

HERE = Path(__file__).parent
#: so few frames (256 mappings each) that a test can fill dom0's maptrack
MAPTRACK = "gnttab_max_maptrack_frames=64"
#: A debug build logs each refused operation; a million of them would flood the console.
GUEST_ERRORS_ONLY = "guest_loglvl=error"
#: log every DMA fault, without rate limit
ALL_GUEST_MESSAGES = "guest_loglvl=all"

BUS = "gnttab=bus-region"
#: also with Debian's kernel in dom0, which does not support bus addresses: for processes in dom0
FORCED_BUS = f"{BUS}=force"
STRICT = ("--hypervisor", "patched", "--iommu", "strict")


@dataclass(frozen=True)
class Lab:
    """How a lab is booted.

    Args:
        name: the lab's name, without the prefix.
        options: arguments of `lab up`.
        long: whether only `./tests/run long` boots it.
    """

    name: str
    options: tuple[str, ...]
    long: bool = False

    @property
    def exact(self) -> bool:
        """Whether its clock counts instructions, so that other load does not affect results."""
        return "--exact" in self.options


PATCHED = ("--hypervisor", "patched")
KERNEL = ("--kernel", "patched")

#: variant → lab, in the order in which the tests use them
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
        (
            "--guest",
            "--hypervisor",
            "patched-debug",
            "--xen-args",
            f"{MAPTRACK} {GUEST_ERRORS_ONLY}",
        ),
        long=True,
    ),
    "exact": Lab("tests-exact", ("--exact", "--guest")),
    "patched-exact": Lab("tests-patched-exact", ("--exact", "--guest", *PATCHED)),
    "switched-off-exact": Lab(
        "tests-off-exact",
        ("--exact", "--guest", *PATCHED, "--xen-args", "gnttab=no-fast-maptrack"),
        long=True,
    ),
    # No guest: a dom0 kernel without support for bus addresses cannot start one.
    "strict": Lab(
        "tests-strict", ("--exact", *STRICT, "--xen-args", f"{FORCED_BUS} {ALL_GUEST_MESSAGES}")
    ),
    "strict-stock": Lab(
        "tests-strict-stock",
        ("--exact", "--iommu", "strict", "--xen-args", ALL_GUEST_MESSAGES),
        long=True,
    ),
    "strict-amd": Lab(
        "tests-strict-amd",
        (
            "--exact",
            *PATCHED,
            "--iommu",
            "strict-amd",
            "--xen-args",
            f"{FORCED_BUS} {ALL_GUEST_MESSAGES}",
        ),
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
    # Xen ignores the option, as Debian's kernel does not support bus addresses.
    "unsupported-bus-region": Lab(
        "tests-unsupported-bus", (*STRICT, "--guest", "--xen-args", BUS), long=True
    ),
    "skip-flush": Lab("tests-skip-flush", (*STRICT, "--xen-args", "gnttab=skip-flush"), long=True),
    "pvh": Lab("tests-pvh", ("--exact", "--dom0", "pvh", "--guest"), long=True),
    # The series without the patches for bus addresses.
    "without-bus-exact": Lab(
        "tests-without-bus", ("--exact", "--guest", *PATCHED, "--patches", "13"), long=True
    ),
}
#: the variant that stays up, because the others are compared with it
ALWAYS_UP = "stock"


@dataclass
class LabPool:
    """The running labs: the stock one and one other.

    Args:
        keep_running: use labs that are already running, and leave them running.
        prefix: prefix of their names, so that two test runs can work in parallel.
        exact: whether labs may be exact. They may not beside labs with a wall clock, because an
            idle exact lab occupies a CPU.
        patched: image to boot instead of building the hypervisor `patched`.
    """

    keep_running: bool
    prefix: str = ""
    exact: bool = True
    patched: Path | None = None
    up: dict[str, Dom0] = field(default_factory=dict)
    complaints: dict[str, list[str]] = field(default_factory=dict)
    crashed: dict[str, set[int]] = field(default_factory=dict)

    def get(self, variant: str) -> Dom0:
        """Return the lab of a variant; boots it if necessary and stops another one for it.

        Raises:
            LookupError: a test selected with `--labs timed` needs an exact lab.
        """
        if LABS[variant].exact and not self.exact:
            raise LookupError(
                f"the lab {variant} is exact: get it from a fixture or from a parameter `variant`, "
                "so that `--labs` assigns the test to the other session"
            )
        if variant not in self.up:
            for other in [known for known in self.up if ALWAYS_UP not in {known, variant}]:
                self.down(other)
            chosen = LABS[variant]
            lab = Dom0(self.prefix + chosen.name)
            if not self.keep_running:
                stop_lab(lab)
                words = self.with_image(chosen.options)
                subprocess.run([LAB, "up", "--name", lab.name, *words], check=True)
            self.up[variant] = lab
            lab.copy_tests()
        return self.up[variant]

    def with_image(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """Return the options with the image `patched` in place of the patched hypervisor."""
        if self.patched is None or "patched" not in options:
            return options
        at = options.index("--hypervisor")
        return (*options[:at], "--xen", str(self.patched), *options[at + 2 :])

    def expect_crash(self, variant: str, domid: int) -> None:
        """Accept the messages of a running lab's hypervisor about a domain that it crashed."""
        self.crashed.setdefault(self.up[variant].name, set()).add(domid)

    def down(self, variant: str) -> None:
        """Stop a lab, and record the complaints of its hypervisor."""
        lab = self.up.pop(variant)
        console = lab.console()
        self.complaints[lab.name] = (
            [f"lab {lab.name} and its console log no longer exist"]
            if console is None
            else hypervisor_complaints(console, self.crashed.pop(lab.name, ()))
        )
        if not self.keep_running:
            stop_lab(lab)

    def close(self) -> None:
        """Stop all labs.

        Raises:
            pytest.fail.Exception: a hypervisor logged a bug, a crash or a warning.
        """
        for variant in list(self.up):
            self.down(variant)
        for name, found in self.complaints.items():
            if found:
                listed = "\n".join(found)
                pytest.fail(f"complaints of the hypervisor of {name}:\n{listed}", pytrace=False)


def stop_lab(lab: Dom0) -> None:
    subprocess.run([LAB, "down", "--name", lab.name], check=True, capture_output=True)
