"""Builds the files of the mapper's tests for dom0: its kernel, its starter, and their scripts."""

import shutil
from pathlib import Path

from lablib import places
from lablib.artifacts import roots
from lablib.cache import Cache

HERE = Path(__file__).parent

#: builds the kernel without libraries, vector registers and a red zone (Xen builds the exception
#: frames of a PV guest below its stack pointer)
KERNEL = (
    "cc -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -no-pie -mno-red-zone"
    " -mgeneral-regs-only -fno-stack-protector -fcf-protection=none -nostdlib -static"
    " -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__"
    " -Wl,--no-warn-rwx-segments -Wl,--build-id=none -Wl,-T,guest/guest.lds"
    " guest/*.S guest/*.c -o mapper.elf"
)
STARTER = "cc -std=gnu11 -O2 -Wall -Wextra -Werror start.c -o start -lxenguest -lxenctrl"


def build_mapper(out: Path) -> Path:
    """Compile the mapper in the lab's build root.

    Args:
        out: an empty directory.

    Returns:
        The directory to copy into dom0, named `mapper`.
    """
    made = out / "mapper"
    shutil.copytree(HERE / "dom0", made)
    cache = Cache(places.cache_root())
    log = cache.log("mapper")
    with roots.Workbench(roots.build_root(cache), "mapper") as bench:
        bench.bring(HERE, log)
        bench.do(f"{KERNEL}\n{STARTER}", log)
        bench.take(["mapper.elf", "start"], made)
    (made / "start").chmod(0o755)
    return made
