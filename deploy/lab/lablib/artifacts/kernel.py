"""dom0's kernel, where it is not Debian's own: Debian's source with this tree's patches."""

import tempfile
from pathlib import Path

from lablib import places
from lablib.artifacts.roots import Workbench, kernel_root
from lablib.cache import Cache, key
from lablib.commands import as_root, run
from lablib.errors import LabError
from lablib.output import step
from lablib.source.bases import LINUX, base
from lablib.source.series import Patch, counted, flaw, kernel_patches

KERNELS = ("debian", "patched")
"""Debian's own is the package; the other has a small configuration, lab/kernel/config."""

# Each patch goes on what those before it left. What patch says of it is judged in Python.
APPLY = """
for patch; do
    patch --strip=1 --fuzz=0 --batch --forward --no-backup-if-mismatch --directory=linux \\
        < "$patch" > "$patch.said" 2>&1 || break
done
"""

# allnoconfig takes what it is given, and says nothing of what cannot be had.
CONFIGURE = """
make -s -C linux ARCH=x86_64 KCONFIG_ALLCONFIG=../config allnoconfig
for wanted in $(grep ^CONFIG_ config); do
    grep -qxF "$wanted" linux/.config || { echo "not to be had: $wanted"; exit 1; }
done
"""

COMPILE = """
# The same kernel from the same source: nothing of the machine or the hour goes in.
export KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_USER=xengt KBUILD_BUILD_HOST=lab
nice make -s -C linux -j"$1" bzImage modules
make -s -C linux INSTALL_MOD_PATH=../made modules_install
"""


def build(cache: Cache, jobs: int, first: int | None = None, local: Path | None = None) -> Path:
    """Return the directory with the patched kernel's `vmlinuz`, `modules`, `.config` and `version`.

    The modules are a directory as /lib/modules has it, of a kernel that has everything built in:
    it says so to modprobe.

    Args:
        cache: where it is kept.
        jobs: compilers at once.
        first: only so many patches of the series, for one step of it; all when nothing is said.
        local: a tree or tarball of Linux to build from, instead of Debian's source.

    Raises:
        LabError: no source for it, a patch that does not apply exactly, or a failed compilation.
    """
    applied = kernel_patches(first)
    origin = base(cache, LINUX, local)
    config = places.LAB / "kernel/config"
    root = kernel_root(cache)
    recipe = (origin.directory.name, root.parent.name, CONFIGURE, COMPILE)
    contents = (config.read_bytes(), *(patch.content for patch in applied))
    name = key([*(part.encode() for part in recipe), *contents])

    def make(entry: Path) -> None:
        (entry / "version").write_text(f"{origin.version} patched\n")
        log = cache.log("kernel")
        of = f"{counted(applied)} on Linux {origin.version}"
        with step(f"building the patched kernel, {of} (once)"), Workbench(root, "kernel") as bench:
            run(as_root(["cp", "-a", origin.directory / "linux", bench.outer]), log)
            _apply(bench, applied, log, offsets=origin.offsets)
            bench.do(CONFIGURE, log)
            bench.do(COMPILE, log, str(jobs))
            bench.take(["linux/.config"], entry)
            image = (bench.outer / "linux/arch/x86/boot/bzImage").read_bytes()
            (entry / "vmlinuz").write_bytes(image)
            run(as_root(["cp", "-r", bench.outer / "made/lib/modules", entry]), log)

    return cache.entry("kernel", name, make)


def _apply(bench: Workbench, series: list[Patch], log: Path, *, offsets: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for patch in series:
            (Path(directory) / patch.name).write_bytes(patch.content)
        (Path(directory) / "config").write_bytes((places.LAB / "kernel/config").read_bytes())
        bench.bring(Path(directory), log)
    bench.do(APPLY, log, *(patch.name for patch in series))
    for patch in series:
        said = bench.outer / f"{patch.name}.said"
        text = said.read_text(errors="replace") if said.exists() else ""
        if found := flaw(text, offsets=offsets):
            how = "" if offsets else " exactly"
            raise LabError(
                f"{patch.name} does not apply{how}: {found}",
                "make it anew from Debian's Linux with the patches before it",
                log,
            )
