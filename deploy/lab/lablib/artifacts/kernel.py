"""dom0's patched kernel (`--kernel patched`): Debian's source with this tree's patches."""

import tempfile
from pathlib import Path

from lablib import places
from lablib.artifacts.roots import Workbench, kernel_root
from lablib.build_process import as_root, run
from lablib.cache import Cache, key
from lablib.errors import LabError
from lablib.output import step
from lablib.source.bases import LINUX, base
from lablib.source.series import Patch, count_text, first_problem, kernel_patches

KERNELS = ("debian", "patched")
"""Debian's package, or a kernel built with the configuration deploy/lab/kernel/config."""

# Applies the patches in order. `first_problem` evaluates the output of patch.
APPLY = """
for patch; do
    patch --strip=1 --fuzz=0 --batch --forward --no-backup-if-mismatch --directory=linux \\
        < "$patch" > "$patch.output" 2>&1 || break
done
"""

# allnoconfig ignores options whose dependencies are not met, without a message.
CONFIGURE = """
make -s -C linux ARCH=x86_64 KCONFIG_ALLCONFIG=../config allnoconfig
for option in $(grep ^CONFIG_ config); do
    grep -qxF "$option" linux/.config || { echo "$option: its dependencies are not met"; exit 1; }
done
"""

COMPILE = """
# A reproducible build: the kernel does not contain the host name or the time.
export KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_USER=xengt KBUILD_BUILD_HOST=lab
nice make -s -C linux -j"$1" bzImage modules
make -s -C linux INSTALL_MOD_PATH=../made modules_install
"""


def build(cache: Cache, jobs: int, first: int | None = None, local: Path | None = None) -> Path:
    """Return the directory with the patched kernel's `vmlinuz`, `modules`, `.config` and `version`.

    `modules` has the layout of /lib/modules. The kernel has no modules; modprobe reads in it which
    are built in.

    Args:
        cache: the cache.
        jobs: number of parallel compilers.
        first: number of patches to apply; None: all.
        local: source directory or tarball to build from; None: Debian's source.

    Raises:
        LabError: there is no source, a patch does not apply exactly, or the build failed.
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
        source = f"{count_text(applied)} on Linux {origin.version}"
        with (
            step(f"building the patched kernel: {source} (once)"),
            Workbench(root, "kernel") as bench,
        ):
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
        file = bench.outer / f"{patch.name}.output"
        output = file.read_text(errors="replace") if file.exists() else ""
        if problem := first_problem(output, offsets=offsets):
            exactly = "" if offsets else " exactly"
            raise LabError(
                f"{patch.name} does not apply{exactly}: {problem}",
                "regenerate the patch on Debian's Linux with the preceding patches applied",
                log,
            )
