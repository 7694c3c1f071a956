"""grant_table.c of a hypervisor, stock or patched, compiled for user space."""

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
#: file of Xen's → its name here, where its own includes are gone
FILES = {
    "xen/include/xen/radix-tree.h": "radix-tree.h",
    "xen/common/radix-tree.c": "radix-tree.c",
    "xen/arch/x86/include/asm/grant_table.h": "asm-grant_table.h",
    "xen/common/grant_table.c": "grant_table.c",
    "xen/arch/x86/pv/grant_table.c": "pv-grant_table.c",
    "xen/arch/x86/hvm/grant_table.c": "hvm-grant_table.c",
}
PUBLIC = "xen/include/public"
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b.*$", re.MULTILINE)
#: Xen's own build does not assume strict aliasing either
FLAGS = (
    *("-std=gnu11", "-g", "-fPIC", "-pthread", "-fno-strict-aliasing", "-fno-omit-frame-pointer"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"),
)

OPTIMISED = ("-O2", "-DNDEBUG")
#: with Xen's assertions, as a debug build has them
CHECKED = (
    *("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    # Xen shifts into the sign, and reads fields of packed public structures.
    "-fno-sanitize=shift,alignment",
)
DIFFER = tuple(
    f"differ/{part}.c"
    for part in ("differ", "random", "world", "meant", "mapper", "unmapper", "granter", "ending")
)


def prepared(cache: Cache, series: Sequence[Patch], files: Mapping[str, str] = FILES) -> Path:
    """Return a directory to include from: `xen/`, without includes, and `public/`.

    Args:
        cache: keeps it.
        series: applied in their order, exactly; none is stock.
        files: what is in `xen/`: file of Xen's → its name there.

    Raises:
        LabError: a patch does not apply exactly.
    """
    chosen = base(cache, XEN)
    origin = chosen.directory
    rules = repr((files, PUBLIC, INCLUDE.pattern))
    parts = [str(origin).encode(), rules.encode(), *(patch.content for patch in series)]

    def make(entry: Path) -> None:
        tree = entry / "tree"
        for name in {*files, *(file for patch in series for file in patch.touched)}:
            if (origin / "xen" / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin / "xen" / name, tree / name)
        for patch in series:
            if found := first_problem(apply(patch, tree), offsets=chosen.offsets):
                raise LabError(f"{patch.name} does not apply: {found}", "see ./tests/run series")
        (entry / "xen").mkdir()
        for name, short in files.items():
            # The lines stay, so that what a compiler says of one is where Xen has it.
            (entry / "xen" / short).write_text(INCLUDE.sub("", (tree / name).read_text()))
        shutil.copytree(origin / "xen" / PUBLIC, entry / "public")
        shutil.rmtree(tree)

    return cache.entry("userspace", key(parts), make)


def compiled(name: str, sources: Path, into: Path, flags: Iterable[str], *, cc: str = "cc") -> Path:
    """Compile one hypervisor; of what is in the object, only the constant `name` can be linked to.

    Args:
        name: `stock` or `patched`.
        sources: from `prepared`.
        into: where the object goes.
        flags: of the compiler, besides the usual ones.
        cc: the compiler.
    """
    made = into / f"{name}.o"
    defines = [f"-DHYPERVISOR={name}", f'-DNAME="{name}"']
    words = [cc, *FLAGS, *flags, *defines, f"-I{HERE / 'harness'}", f"-I{sources}"]
    subprocess.run([*words, "-c", HERE / "harness/hypervisor.c", "-o", made], check=True)
    subprocess.run(["objcopy", f"--keep-global-symbol={name}", made], check=True)
    return made


def linked(
    made: Path,
    parts: Iterable[str | Path],
    sources: Path,
    flags: Iterable[str],
    *,
    shared: bool,
    cc: str = "cc",
) -> Path:
    """Compile and link what is of this directory with hypervisors.

    Args:
        made: the program, or library.
        parts: C files, named from here, and objects.
        sources: from `prepared`: for Xen's public headers.
        flags: of the compiler, besides the usual ones; those of the objects.
        shared: a library, not a program.
        cc: the compiler; that of the objects.
    """
    files = [part if isinstance(part, Path) else HERE / part for part in parts]
    words = [cc, *FLAGS, *flags, f"-I{sources}", *(["-shared"] if shared else [])]
    subprocess.run([*words, *files, "-o", made], check=True)
    return made
