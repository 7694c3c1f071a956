"""A persistent build tree of Xen: source and object files.

A patch changes a few of thousands of files: an incremental build takes seconds, a full build
minutes. The resulting binary is the same, which tests/patches/test_boots.py checks.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lablib.artifacts.roots import Workbench
from lablib.build_process import as_root, run
from lablib.cache import key, remove
from lablib.errors import LabError
from lablib.source.bases import Base
from lablib.source.series import Patch, first_problem

CONFIGURE = """
make -s -C xen/xen defconfig
sed -i '/CONFIG_DEBUG[ =]/d' xen/xen/.config
echo "$1" >> xen/xen/.config
"""

# Applies the patches in order. `first_problem` evaluates the output of patch.
APPLY = """
for patch; do
    patch --strip=1 --fuzz=0 --batch --forward --no-backup-if-mismatch --directory=patched \\
        < "patches/$patch" > "output/$patch" 2>&1 || break
done
"""

# A file that already has the patched content keeps its modification time: it is not recompiled.
CHANGE = """
for file; do
    patched=../xen-patched/patched/$file
    if [ ! -e "$patched" ]; then
        rm -f "xen/$file"
    elif ! cmp -s "$patched" "xen/$file"; then
        mkdir -p "$(dirname "xen/$file")"
        cp --preserve=mode "$patched" "xen/$file"
    fi
done
"""

COMPILE = """
# A reproducible build: the binary does not contain the host name or the time.
export XEN_BUILD_DATE=reproducible XEN_BUILD_TIME= XEN_BUILD_HOST=lab
export XEN_WHOAMI=xengt XEN_DOMAIN=lab
echo "$3" > xen/.scmversion
# Every file includes the header with the full version: keep that and change only its parts.
full=$(make -s --no-print-directory -C xen/xen xenversion)
export XEN_VENDORVERSION="$2"
make -s -C xen/xen XEN_FULLVERSION="$full" olddefconfig
make -s -C xen/xen XEN_FULLVERSION="$full" -j"$1"
"""


@dataclass(frozen=True)
class Label:
    """The version information of a hypervisor in `xl info`.

    Attributes:
        vendor: the suffix of xen_extra.
        changeset: xen_changeset.
    """

    vendor: str = ""
    changeset: str = "unavailable"


STOCK = Label()


@dataclass(frozen=True)
class State:
    """The state of a build tree in which no build was interrupted.

    Attributes:
        made_of: hash of the source and the build commands.
        changed: files that may differ from the source.
        warnings: the compiler's warnings about the unpatched source.
    """

    made_of: str
    changed: tuple[str, ...]
    warnings: tuple[str, ...]


class Tree:
    """A build tree of Xen in one configuration, in the build root. It is not locked.

    Args:
        root: from `build_root`.
        origin: Xen's source; another source replaces the tree.
        log: the file for the output of the commands.
        debug: build with CONFIG_DEBUG=y, which enables Xen's assertions.
    """

    def __init__(self, root: Path, origin: Base, log: Path, *, debug: bool) -> None:
        """Set the paths; `build` makes the tree."""
        self.source = origin.directory
        self.offsets = origin.offsets
        self.log = log
        self.option = "CONFIG_DEBUG=y" if debug else "# CONFIG_DEBUG is not set"
        # The same directory for stock and patched: a binary contains the paths of its source files.
        name = "xen-debug" if debug else "xen-release"
        self.bench = Workbench(root, name)
        self.patched = Workbench(root, "xen-patched")
        self.record = root.parent / f"{name}.json"

    def build(self, series: Sequence[Patch], label: Label, jobs: int, entry: Path) -> None:
        """Build the source with patches.

        Args:
            series: the patches, in order; [] for stock.
            label: the version information of the hypervisor.
            jobs: number of parallel compilers.
            entry: the directory that gets `xen`, `xen-syms` and `.config`.

        Raises:
            LabError: a patch does not apply as the source requires, the build failed, or the
                compiler warns of something that it does not warn of in the unpatched source.
        """
        with self.patched:
            touched = {file for patch in series for file in patch.touched}
            self._apply(series, touched)
            state = self._state(jobs)
            # A tree without a record is replaced: so is this one if the build is killed.
            self.record.unlink()
            files = touched.union(state.changed)
            self._copy(files - touched, ())
            self.bench.do(CHANGE, self.log, *sorted(files))
        try:
            warnings = self._compile(label, jobs)
        except LabError:
            # make has ended by itself and has removed unfinished files: the tree is usable.
            self._save(replace(state, changed=tuple(files)))
            raise
        if new := sorted(warnings - set(state.warnings)):
            # The record is not saved: the next build would compile nothing and report no warning.
            raise LabError(
                f"the compiler warns of the patched source, but not of stock: {new[0]}",
                "change the patch so that the compiler does not warn",
                self.log,
            )
        self._save(replace(state, changed=tuple(touched)))
        self.bench.take(["xen/xen/xen", "xen/xen/xen-syms", "xen/xen/.config"], entry)

    def _apply(self, series: Sequence[Patch], touched: set[str]) -> None:
        """Apply the series to a copy of the files that it touches."""
        self._copy(touched, series)
        self.patched.do(APPLY, self.log, *(patch.name for patch in series))
        for patch in series:
            output = (self.patched.outer / "output" / patch.name).read_text(errors="replace")
            if problem := first_problem(output, offsets=self.offsets):
                with self.log.open("a") as log:
                    log.write(f"{patch.name}:\n{output}")
                exactly = "" if self.offsets else " exactly"
                raise LabError(
                    f"{patch.name} does not apply{exactly}: {problem}",
                    "regenerate the patch on Xen with the preceding patches applied; with an offset"
                    " or fuzz, a hunk may change the wrong function",
                    self.log,
                )

    def _copy(self, files: set[str], series: Sequence[Patch]) -> None:
        """Copy unpatched files of the source, and patches, to the directory for patching."""
        with tempfile.TemporaryDirectory() as directory:
            content = Path(directory)
            for name in ("patches", "output", "patched"):
                (content / name).mkdir()
            for patch in series:
                (content / "patches" / patch.name).write_bytes(patch.content)
            for file in files:
                original = self.source / "xen" / file
                if original.is_file():  # a patch may add a file
                    target = content / "patched" / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(original, target)
            self.patched.bring(content, self.log)

    def _state(self, jobs: int) -> State:
        """Return the state of the tree; make it if it does not exist or has another source."""
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
        self._save(state)
        return state

    def _compile(self, label: Label, jobs: int) -> set[str]:
        """Build incrementally; return the compiler's warnings without their line numbers."""
        before = self.log.stat().st_size
        self.bench.do(COMPILE, self.log, str(jobs), label.vendor, label.changeset)
        with self.log.open("rb") as log:
            log.seek(before)
            output = log.read().decode("utf-8", "replace").splitlines()
        return {re.sub(r":\d+", "", line) for line in output if "warning:" in line.lower()}

    def _save(self, state: State) -> None:
        temporary = self.record.with_suffix(".half")
        temporary.write_text(json.dumps(asdict(state)))
        temporary.rename(self.record)
