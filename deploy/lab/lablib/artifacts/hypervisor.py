"""The hypervisors: built from Xen's source with or without the patches, or Debian's binary."""

import gzip
from pathlib import Path

from lablib.artifacts.roots import build_root, dom0_root
from lablib.artifacts.xen_tree import COMPILE, CONFIGURE, STOCK, Label, Tree
from lablib.cache import Cache, key
from lablib.errors import EXIT_USAGE, LabError
from lablib.output import step
from lablib.source.bases import XEN, base
from lablib.source.series import Patch, changeset, count_text, patches

BUILT = ("stock", "patched", "stock-debug", "patched-debug")
"""The variants that are built; stock and patched have the same source and configuration."""

VARIANTS = (*BUILT, "debian")
"""All variants; `debian` is the binary of Debian's package, without symbols."""

VENDOR = "-xengt"
"""Suffix of the patched hypervisor's xen_extra."""


def series(variant: str, first: int | None = None, directory: Path | None = None) -> list[Patch]:
    """Return the patches of a variant.

    Args:
        variant: one of VARIANTS.
        first: number of patches; None: all.
        directory: of the series; None: the series for Debian's source.

    Raises:
        LabError: the variant or the tree does not have these patches.
    """
    if variant.startswith("patched"):
        return patches(first, directory)
    if first is not None:
        raise LabError(
            f"--patches {first} has no effect: the {variant} hypervisor has no patches",
            "add --hypervisor patched, or remove --patches",
            exit_code=EXIT_USAGE,
        )
    return []


def label(variant: str, applied: list[Patch]) -> Label:
    """Return the version label of a variant.

    Args:
        variant: one of VARIANTS.
        applied: its patches.
    """
    return Label(VENDOR, changeset(applied)) if variant.startswith("patched") else STOCK


def build(
    cache: Cache, variant: str, jobs: int, first: int | None = None, local: Path | None = None
) -> Path:
    """Return the directory with a variant's `xen` and `version`.

    The directory of a built variant also has `xen-syms` and `.config`.

    Args:
        cache: the cache.
        variant: one of VARIANTS.
        jobs: number of parallel compilers.
        first: number of patches to apply; None: all.
        local: source directory or tarball to build from; None: Debian's source.

    Raises:
        LabError: there is no source or no series, a patch does not apply, or the build failed.
    """
    series(variant, first)  # reports wrong arguments before a download
    if variant == "debian":
        return _debian(cache)
    origin = base(cache, XEN, local)
    applied = series(variant, first, origin.patches)
    debug = variant.endswith("-debug")
    root = build_root(cache)
    recipe = (origin.directory.name, root.parent.name, variant, CONFIGURE, COMPILE)
    name = key([*(part.encode() for part in recipe), *(patch.content for patch in applied)])

    def make(entry: Path) -> None:
        (entry / "version").write_text(f"{origin.version} {variant}\n")
        offsets = " (with offsets)" if origin.offsets else ""
        on = f"{count_text(applied)}{offsets} on " if applied else ""
        with step(f"building the {variant} hypervisor: {on}Xen {origin.version} (once)"):
            tree = Tree(root, origin, cache.log("hypervisor"), debug=debug)
            tree.build(applied, label(variant, applied), jobs, entry)

    return cache.entry("hypervisor", name, make)


def _debian(cache: Cache) -> Path:
    """Return the directory with the hypervisor of dom0's Debian package."""
    root = dom0_root(cache)

    def make(entry: Path) -> None:
        packed = next((root / "boot").glob("xen-*.gz"))
        (entry / "xen").write_bytes(gzip.decompress(packed.read_bytes()))
        (entry / "version").write_text(f"{packed.name.removesuffix('.gz')} debian\n")

    return cache.entry("hypervisor", key([b"debian", root.parent.name.encode()]), make)
