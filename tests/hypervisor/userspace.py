"""Builds Xen's grant_table.c, stock or patched, for user space."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lablib.cache import Cache, key
from lablib.errors import LabError
from lablib.source.bases import XEN, base
from lablib.source.series import Patch, apply, first_problem

HERE = Path(__file__).parent
#: file in Xen's source → name of the prepared copy, without #include lines
FILES = {
    "xen/include/xen/radix-tree.h": "radix-tree.h",
    "xen/common/radix-tree.c": "radix-tree.c",
    "xen/arch/x86/include/asm/hvm/grant_table.h": "asm-hvm-grant_table.h",
    "xen/arch/x86/include/asm/pv/grant_table.h": "asm-pv-grant_table.h",
    "xen/arch/x86/include/asm/grant_table.h": "asm-grant_table.h",
    "xen/common/grant_table.c": "grant_table.c",
    "xen/arch/x86/pv/grant_table.c": "pv-grant_table.c",
    "xen/arch/x86/hvm/grant_table.c": "hvm-grant_table.c",
}
PUBLIC = "xen/include/public"
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b.*$", re.MULTILINE)
#: -fno-strict-aliasing as in Xen's own build
FLAGS = (
    *("-std=gnu11", "-g", "-fPIC", "-pthread", "-fno-strict-aliasing", "-fno-omit-frame-pointer"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"),
)

OPTIMISED = ("-O2", "-DNDEBUG")
#: with Xen's assertions, as a debug build has them
CHECKED = (
    *("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    # Xen shifts into the sign bit and accesses fields of packed public structures.
    "-fno-sanitize=shift,alignment",
)
DIFFERENTIAL = tuple(
    f"differential/{part}.c"
    for part in (
        *("differential", "random", "world", "expected"),
        *("mapper", "unmapper", "granter", "destroy"),
    )
)


def prepare(cache: Cache, series: Sequence[Patch], files: Mapping[str, str] = FILES) -> Path:
    """Return a directory with Xen's files for compilation in user space.

    It contains `xen/`, with `files` but without their #include lines, and Xen's `public/` headers.

    Args:
        cache: where the directory is kept.
        series: patches to apply in this order; empty for stock.
        files: file in Xen's source → its name in `xen/`.

    Raises:
        LabError: a patch does not apply as the source requires, or Xen's source is not available.
    """
    source = base(cache, XEN)
    origin = source.directory
    rules = repr((files, PUBLIC, INCLUDE.pattern))
    parts = [str(origin).encode(), rules.encode(), *(patch.content for patch in series)]

    def make(entry: Path) -> None:
        tree = entry / "tree"
        for name in {*files, *(file for patch in series for file in patch.touched)}:
            if (origin / "xen" / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin / "xen" / name, tree / name)
        for patch in series:
            if problem := first_problem(apply(patch, tree), offsets=source.offsets):
                raise LabError(f"{patch.name} does not apply: {problem}", "run ./tests/run series")
        (entry / "xen").mkdir()
        for name, short in files.items():
            # Lines are emptied, not removed, so that line numbers in messages are Xen's.
            (entry / "xen" / short).write_text(INCLUDE.sub("", (tree / name).read_text()))
        shutil.copytree(origin / "xen" / PUBLIC, entry / "public")
        shutil.rmtree(tree)

    return cache.entry("userspace", key(parts), make)


def compile_hypervisor(
    name: str, sources: Path, into: Path, flags: Iterable[str], *, cc: str = "cc"
) -> Path:
    """Compile one hypervisor into `into`; return the object file.

    The object exports only a constant of type `struct hypervisor` called `name`.

    Args:
        name: `stock` or `patched`.
        sources: directory from `prepare`.
        into: output directory.
        flags: compiler flags besides FLAGS.
        cc: compiler command.

    Raises:
        subprocess.CalledProcessError: the compiler or objcopy failed.
    """
    target = into / f"{name}.o"
    defines = [f"-DHYPERVISOR={name}", f'-DNAME="{name}"']
    words = [cc, *FLAGS, *flags, *defines, f"-I{HERE / 'harness'}", f"-I{sources}"]
    subprocess.run([*words, "-c", HERE / "harness/hypervisor.c", "-o", target], check=True)
    subprocess.run(["objcopy", f"--keep-global-symbol={name}", target], check=True)
    return target


def link(
    target: Path,
    parts: Iterable[str | Path],
    sources: Path,
    flags: Iterable[str],
    *,
    shared: bool,
    cc: str = "cc",
) -> Path:
    """Compile C files of this directory and link them with hypervisor objects.

    Args:
        target: program or library to make; returned.
        parts: C files, relative to this directory, and objects.
        sources: directory from `prepare`, for Xen's public headers.
        flags: compiler flags besides FLAGS; the same as for the objects.
        shared: whether to make a shared library instead of a program.
        cc: compiler command; the same as for the objects.

    Raises:
        subprocess.CalledProcessError: the compiler failed.
    """
    files = [part if isinstance(part, Path) else HERE / part for part in parts]
    words = [cc, *FLAGS, *flags, f"-I{sources}", *(["-shared"] if shared else [])]
    subprocess.run([*words, *files, "-o", target], check=True)
    return target
