"""The hypervisors: Debian's Xen source, built as it is or with this tree's patches."""

from pathlib import Path

from lablib.cache import Cache, key
from lablib.errors import EXIT_USAGE, LabError
from lablib.roots import build_root
from lablib.series import Patch, counted, mark, patches
from lablib.source import source
from lablib.tree import COMPILE, CONFIGURE, STOCK, Label, Tree
from lablib.work import step

VARIANTS = ("stock", "patched", "stock-debug", "patched-debug")
"""Each pair is of one source and one configuration."""

VENDOR = "-xengt"
"""Ends the patched hypervisor's xen_extra."""


def series(variant: str, first: int | None = None) -> list[Patch]:
    """Return the patches of a variant.

    Args:
        variant: one of VARIANTS.
        first: only so many of the series; all when nothing is said.

    Raises:
        LabError: patches are asked for that the tree does not have.
    """
    if variant.startswith("patched"):
        return patches(first)
    if first is not None:
        raise LabError(
            f"--patches {first}: the {variant} hypervisor has no patches",
            "say --hypervisor patched",
            exit_code=EXIT_USAGE,
        )
    return []


def label(variant: str, applied: list[Patch]) -> Label:
    """Return what a variant says of itself.

    Args:
        variant: one of VARIANTS.
        applied: its patches.
    """
    return Label(VENDOR, mark(applied)) if variant.startswith("patched") else STOCK


def build(cache: Cache, variant: str, jobs: int, first: int | None = None) -> Path:
    """Return the directory with a variant's `xen`, `xen-syms`, `.config` and `version`.

    Args:
        cache: where it is kept.
        variant: one of VARIANTS.
        jobs: compilers at once.
        first: only so many patches of the series, for one step of it; all when nothing is said.

    Raises:
        LabError: no patches for it, a patch that does not apply, or a failed compilation.
    """
    applied = series(variant, first)
    origin = source(cache)
    debug = variant.endswith("-debug")
    recipe = (origin.name, variant, CONFIGURE, COMPILE)
    name = key([*(part.encode() for part in recipe), *(patch.content for patch in applied)])

    def make(entry: Path) -> None:
        version = (origin / "version").read_text()
        (entry / "version").write_text(f"{version} {variant}\n")
        of = f"{counted(applied)} on " if applied else ""
        with step(f"building the {variant} hypervisor, {of}Xen {version} (once)"):
            tree = Tree(build_root(cache), origin, cache.log("hypervisor"), debug=debug)
            tree.build(applied, label(variant, applied), jobs, entry)

    return cache.entry("hypervisor", name, make)
