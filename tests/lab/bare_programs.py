"""Minimal C programs that make the same calls as xengt's loops, as a reference for their cost."""

from pathlib import Path

from lablib import places
from lablib.artifacts import roots
from lablib.cache import Cache

from tests.lab.lab_dom0 import Dom0

HERE = Path(__file__).parent


def install(lab: Dom0, name: str, libraries: str, out: Path) -> None:
    """Compile a program against Debian 13's libraries, and copy it into a dom0.

    Args:
        lab: the dom0 that gets the program as /root/NAME.
        name: the name of its C file in this directory, without `.c`.
        libraries: arguments of the linker.
        out: an empty directory for intermediate files.
    """
    log = out / "log"
    with roots.Workbench(roots.build_root(Cache(places.cache_root())), name) as bench:
        (out / "source").mkdir()
        for file in (f"{name}.c", "bare.h"):
            (out / "source" / file).write_text((HERE / file).read_text())
        bench.bring(out / "source", log)
        bench.do(f"cc -std=gnu11 -O2 -Wall -Wextra -Werror {name}.c -o {name} {libraries}", log)
        bench.take([name], out)
    (out / name).chmod(0o755)
    lab.put(out / name)


def medians(lab: Dom0, name: str, domid_and_grefs: str, *options: str) -> tuple[float, ...]:
    """Run a program, and return the medians that it prints, in ns per operation.

    Args:
        lab: the dom0 that has the program.
        name: the name of the program.
        domid_and_grefs: a granter and its references, separated by spaces.
        options: the arguments between the granter and its references.
    """
    domid, *grefs = domid_and_grefs.split()
    output = lab.check_output(f"/root/{name}", domid, *options, *grefs)
    return tuple(float(word) for word in output.split())
