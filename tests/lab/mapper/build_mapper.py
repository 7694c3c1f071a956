"""Makes what the mapper's tests need in dom0: its kernel, its starter, and their scripts."""

import shutil
from pathlib import Path

from lablib import places, roots
from lablib.cache import Cache

HERE = Path(__file__).parent

#: the kernel: no library, no vector register, no stack below the stack pointer (Xen builds a
#: PV guest's exception frames there)
KERNEL = (
    "cc -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -no-pie -mno-red-zone"
    " -mgeneral-regs-only -fno-stack-protector -fcf-protection=none -nostdlib -static"
    " -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__"
    " -Wl,--no-warn-rwx-segments -Wl,--build-id=none -Wl,-T,guest/guest.lds"
    " guest/*.S guest/*.c -o mapper.elf"
)
STARTER = "cc -std=gnu11 -O2 -Wall -Wextra -Werror start.c -o start -lxenguest -lxenctrl"


def build_mapper(out: Path) -> Path:
    """Compile all of it in the lab's build root.

    Args:
        out: an empty directory.

    Returns:
        The directory to put into dom0, named `mapper`.
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
