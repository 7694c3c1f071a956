"""A tree of Xen's source that stays, with what was compiled from it.

A patch changes a few files of thousands: in a tree that was compiled before, building takes
seconds where it takes minutes from nothing. The binary is the same, as everything that goes into it
is in the tree; a test compares the two.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lablib.artifacts.roots import Workbench
from lablib.cache import key, remove
from lablib.commands import as_root, run
from lablib.errors import LabError
from lablib.source.bases import Base
from lablib.source.series import Patch, flaw

CONFIGURE = """
make -s -C xen/xen defconfig
sed -i '/CONFIG_DEBUG[ =]/d' xen/xen/.config
echo "$1" >> xen/xen/.config
"""

# Each patch goes on what those before it left. What patch says of it is judged in Python.
APPLY = """
for patch; do
    patch --strip=1 --fuzz=0 --batch --forward --no-backup-if-mismatch --directory=wanted \\
        < "patches/$patch" > "said/$patch" 2>&1 || break
done
"""

# What has the wanted content already keeps its time, and is not compiled again.
CHANGE = """
for file; do
    wanted=../xen-wanted/wanted/$file
    if [ ! -e "$wanted" ]; then
        rm -f "xen/$file"
    elif ! cmp -s "$wanted" "xen/$file"; then
        mkdir -p "$(dirname "xen/$file")"
        cp --preserve=mode "$wanted" "xen/$file"
    fi
done
"""

COMPILE = """
# The same binary from the same source: nothing of the machine or the hour goes in.
export XEN_BUILD_DATE=reproducible XEN_BUILD_TIME= XEN_BUILD_HOST=lab
export XEN_WHOAMI=xengt XEN_DOMAIN=lab
echo "$3" > xen/.scmversion
# The full version is in a header that all is compiled with: it stays, and the parts of it change.
full=$(make -s --no-print-directory -C xen/xen xenversion)
export XEN_VENDORVERSION="$2"
make -s -C xen/xen XEN_FULLVERSION="$full" olddefconfig
make -s -C xen/xen XEN_FULLVERSION="$full" -j"$1"
"""


@dataclass(frozen=True)
class Label:
    """What tells a hypervisor in `xl info`; for the rest a variant is its source.

    Attributes:
        vendor: the end of its xen_extra.
        changeset: its xen_changeset.
    """

    vendor: str = ""
    changeset: str = "unavailable"


STOCK = Label()


@dataclass(frozen=True)
class State:
    """What is known of a tree that no build was cut short in.

    Attributes:
        made_of: the source and the recipe.
        changed: files that may differ from the source's.
        warnings: of compiling all of the source as it is.
    """

    made_of: str
    changed: tuple[str, ...]
    warnings: tuple[str, ...]


class Tree:
    """Xen's source in one configuration, in the build root. One user of a root at a time.

    Args:
        root: from `build_root`.
        origin: Xen's source; the tree stays as long as that is the same.
        debug: with CONFIG_DEBUG=y, and so with Xen's assertions.
        log: takes what the commands write.
    """

    def __init__(self, root: Path, origin: Base, log: Path, *, debug: bool) -> None:
        """Name the tree; nothing is made yet."""
        self.source = origin.directory
        self.offsets = origin.offsets
        self.log = log
        self.option = "CONFIG_DEBUG=y" if debug else "# CONFIG_DEBUG is not set"
        # One place whatever is built: a binary holds the paths of its source files.
        name = "xen-debug" if debug else "xen-release"
        self.bench = Workbench(root, name)
        self.wanted = Workbench(root, "xen-wanted")
        self.record = root.parent / f"{name}.json"

    def build(self, series: Sequence[Patch], label: Label, jobs: int, entry: Path) -> None:
        """Compile the source with some patches.

        Args:
            series: in their order; none is the source as it is.
            label: what the hypervisor says of itself.
            jobs: compilers at once.
            entry: gets `xen`, `xen-syms` and `.config`.

        Raises:
            LabError: a patch does not apply exactly; or compiling fails, or warns of something
                that it does not warn of in the source as it is.
        """
        with self.wanted:
            touched = {file for patch in series for file in patch.touched}
            self._apply(series, touched)
            state = self._whole(jobs)
            # A tree without a record is made anew, and so it is if this is killed.
            self.record.unlink()
            files = touched.union(state.changed)
            self._give(files - touched, ())
            self.bench.do(CHANGE, self.log, *sorted(files))
        try:
            warnings = self._compile(label, jobs)
        except LabError:
            # make came to its own end: what it had not finished it has removed.
            self._keep(replace(state, changed=tuple(files)))
            raise
        if new := sorted(warnings - set(state.warnings)):
            # No record: next time make would have nothing to do, and so nothing to say.
            raise LabError(
                f"compiling warns of what it does not in stock: {new[0]}",
                "a series brings no new warning",
                self.log,
            )
        self._keep(replace(state, changed=tuple(touched)))
        self.bench.take(["xen/xen/xen", "xen/xen/xen-syms", "xen/xen/.config"], entry)

    def _apply(self, series: Sequence[Patch], touched: set[str]) -> None:
        """Make the touched files as the series wants them."""
        self._give(touched, series)
        self.wanted.do(APPLY, self.log, *(patch.name for patch in series))
        for patch in series:
            said = (self.wanted.outer / "said" / patch.name).read_text(errors="replace")
            if found := flaw(said, offsets=self.offsets):
                with self.log.open("a") as log:
                    log.write(f"{patch.name}:\n{said}")
                how = "" if self.offsets else " exactly"
                raise LabError(
                    f"{patch.name} does not apply{how}: {found}",
                    "make it anew from Xen with the patches before it; an offset or fuzz is enough"
                    " for a hunk to end up in the wrong function",
                    self.log,
                )

    def _give(self, files: set[str], series: Sequence[Patch]) -> None:
        """Put files of the source, and patches, where they are applied."""
        with tempfile.TemporaryDirectory() as directory:
            given = Path(directory)
            for name in ("patches", "said", "wanted"):
                (given / name).mkdir()
            for patch in series:
                (given / "patches" / patch.name).write_bytes(patch.content)
            for file in files:
                original = self.source / "xen" / file
                if original.is_file():  # a patch also makes files
                    target = given / "wanted" / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(original, target)
            self.wanted.bring(given, self.log)

    def _whole(self, jobs: int) -> State:
        """Return the state of the tree, made first when it is not there or of something else."""
        recipe = (str(self.source), self.option, CONFIGURE, COMPILE)
        made_of = key(part.encode() for part in recipe)
        if self.record.exists():
            state = State(**json.loads(self.record.read_text()))
            if state.made_of == made_of:
                return state
            self.record.unlink()
        remove(self.bench.outer)
        run(as_root(["mkdir", "-p", self.bench.outer]), self.log)
        run(as_root(["cp", "-a", self.source / "xen", self.bench.outer]), self.log)
        self.bench.do(CONFIGURE, self.log, self.option)
        state = State(made_of, (), tuple(self._compile(STOCK, jobs)))
        self._keep(state)
        return state

    def _compile(self, label: Label, jobs: int) -> set[str]:
        """Compile what changed; return the warnings, their line numbers left out."""
        before = self.log.stat().st_size
        self.bench.do(COMPILE, self.log, str(jobs), label.vendor, label.changeset)
        with self.log.open("rb") as log:
            log.seek(before)
            said = log.read().decode("utf-8", "replace").splitlines()
        return {re.sub(r":\d+", "", line) for line in said if "warning:" in line.lower()}

    def _keep(self, state: State) -> None:
        half = self.record.with_suffix(".half")
        half.write_text(json.dumps(asdict(state)))
        half.rename(self.record)
