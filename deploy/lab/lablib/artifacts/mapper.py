"""The mapper of `lab trace` and of the tests: a guest kernel that maps grants, and its starter."""

from pathlib import Path

from lablib import places
from lablib.artifacts.roots import Workbench, build_root
from lablib.cache import Cache, key, tree_parts
from lablib.errors import LabError
from lablib.output import step

SOURCE = places.TREE / "deploy/lab/mapper"
FILES = ("mapper.elf", "start")
"""The kernel, and the program that starts it in dom0 without xl."""

# The kernel has no libraries, vector registers or red zone: Xen builds the exception frames of a PV
# guest below its stack pointer.
BUILD = r"""
cc -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -no-pie -mno-red-zone \
    -mgeneral-regs-only -fno-stack-protector -fcf-protection=none -nostdlib -static \
    -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__ \
    -Wl,--no-warn-rwx-segments -Wl,--build-id=none -Wl,-T,guest/guest.lds \
    guest/*.S guest/*.c -o mapper.elf
cc -std=gnu11 -O2 -Wall -Wextra -Werror start.c -o start -lxenguest -lxenctrl
"""


def programs() -> list[Path]:
    """Return the Python files that use the kernel in dom0."""
    return sorted((SOURCE / "dom0").glob("*.py"))


def build(cache: Cache) -> Path:
    """Return the directory with FILES; build them if they are not in the cache.

    Args:
        cache: the cache.

    Raises:
        LabError: the build failed.
    """
    root = build_root(cache)
    names = [*(SOURCE / "guest").iterdir(), SOURCE / "start.c"]
    name = key([root.parent.name.encode(), BUILD.encode(), *tree_parts(names, SOURCE)])

    def make(entry: Path) -> None:
        log = cache.log("mapper")
        with step("building the mapper"), Workbench(root, f"mapper-{name}") as bench:
            bench.bring(SOURCE, log)
            try:
                bench.do(BUILD, log)
            except LabError as error:
                raise LabError("the build of the mapper failed", error.remedy, log) from error
            bench.take(FILES, entry)
        for file in FILES:
            (entry / file).chmod(0o755)

    return cache.entry("mapper", name, make)
