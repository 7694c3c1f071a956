"""The hypervisors: built from Xen's source with or without the patches, or Debian's own."""

import gzip
from pathlib import Path

from lablib.artifacts.roots import build_root, dom0_root
from lablib.artifacts.xen_tree import COMPILE, CONFIGURE, STOCK, Label, Tree
from lablib.cache import Cache, key
from lablib.errors import EXIT_USAGE, LabError
from lablib.output import step
from lablib.source.bases import XEN, base
from lablib.source.series import Patch, counted, mark, patches

BUILT = ("stock", "patched", "stock-debug", "patched-debug")
"""Each pair is built from one source with one configuration."""

VARIANTS = (*BUILT, "debian")
"""And the binary of Debian's package, which most people run. It has no symbols."""

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


def build(
    cache: Cache, variant: str, jobs: int, first: int | None = None, local: Path | None = None
) -> Path:
    """Return the directory with a variant's `xen` and `version`.

    What is built here comes with its `xen-syms` and `.config`.

    Args:
        cache: where it is kept.
        variant: one of VARIANTS.
        jobs: compilers at once.
        first: only so many patches of the series, for one step of it; all when nothing is said.
        local: a tree or tarball of Xen to build from, instead of Debian's source.

    Raises:
        LabError: no source or no patches for it, a patch that does not apply, or a failed
            compilation.
    """
    applied = series(variant, first)
    if variant == "debian":
        return _debian(cache)
    origin = base(cache, XEN, local)
    debug = variant.endswith("-debug")
    root = build_root(cache)
    recipe = (origin.directory.name, root.parent.name, variant, CONFIGURE, COMPILE)
    name = key([*(part.encode() for part in recipe), *(patch.content for patch in applied)])

    def make(entry: Path) -> None:
        (entry / "version").write_text(f"{origin.version} {variant}\n")
        how = " with offsets" if origin.offsets else ""
        of = f"{counted(applied)}{how} on " if applied else ""
        with step(f"building the {variant} hypervisor, {of}Xen {origin.version} (once)"):
            tree = Tree(root, origin, cache.log("hypervisor"), debug=debug)
            tree.build(applied, label(variant, applied), jobs, entry)

    return cache.entry("hypervisor", name, make)


def _debian(cache: Cache) -> Path:
    """Return the directory with the hypervisor that dom0's Debian packages brought."""
    root = dom0_root(cache)

    def make(entry: Path) -> None:
        packed = next((root / "boot").glob("xen-*.gz"))
        (entry / "xen").write_bytes(gzip.decompress(packed.read_bytes()))
        (entry / "version").write_text(f"{packed.name.removesuffix('.gz')} debian\n")

    return cache.entry("hypervisor", key([b"debian", root.parent.name.encode()]), make)
