"""The hypervisors: Debian's Xen source, built as it is or with this tree's patches."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lablib import places
from lablib.cache import Cache, key
from lablib.errors import EXIT_USAGE, LabError
from lablib.roots import ENVIRONMENT, Workbench, build_root, inside
from lablib.work import as_root, run, step

SERIES = "4.20"
VARIANTS = ("stock", "patched")

BUILD = """
for patch in $(sed 's/#.*//' series); do
    patch --strip=1 --fuzz=0 --no-backup-if-mismatch --directory=xen < "patches/$patch"
done
# The same binary from the same source: nothing of the machine or the hour goes in.
export XEN_BUILD_DATE=reproducible XEN_BUILD_TIME= XEN_BUILD_HOST=lab
export XEN_WHOAMI=xengt XEN_DOMAIN=lab
make -s -C xen/xen defconfig
sed -i 's/^CONFIG_DEBUG=y/# CONFIG_DEBUG is not set/' xen/xen/.config
make -s -C xen/xen olddefconfig
make -s -C xen/xen -j"$1"
"""


@dataclass(frozen=True)
class Archive:
    """One file of a source package, as apt's signed index describes it."""

    uri: str
    name: str
    checksum: str


def parse_uris(text: str) -> list[Archive]:
    """Read `apt-get --print-uris source`: quoted URI, name, size, checksum."""
    lines = re.findall(r"^'([^']+)' (\S+) \d+ (\S+:\S+)", text, re.MULTILINE)
    return [Archive(*line) for line in lines]


def parse_versions(text: str) -> list[str]:
    """Return the distinct versions `apt-cache showsrc` prints."""
    return list(dict.fromkeys(re.findall(r"^Version: (\S+)", text, re.MULTILINE)))


def source(cache: Cache) -> Path:
    """Return the newest 4.20 source with Debian's own patches applied.

    The entry holds `xen/`, the source, and `version`, Debian's word for it. A mirror may list a
    version whose .dsc, or whose every file, it does not have: the checksums are those of apt's
    signed index, so the tarballs alone are enough, and an older version serves when they are
    missing.

    Raises:
        LabError: no version's tarballs could be had.
    """
    root = build_root(cache)

    def make(entry: Path) -> None:
        with step("fetching Debian's Xen source (once)"):
            log = cache.log("source")
            run(as_root(["cp", "-L", "/etc/resolv.conf", root / "etc/resolv.conf"]), log)
            inside(root, "apt-get update -q", log)
            for version in _versions(root):
                with Workbench(root, "source") as bench:
                    if _unpack(bench, version, log):
                        # The tree keeps its links and modes: it is copied, not read.
                        run(as_root(["cp", "-a", bench.outer / "xen", entry / "xen"]), log)
                        (entry / "version").write_text(version)
                        return
            raise LabError(
                f"the mirror has the files of no Xen {SERIES} source package",
                "set XENGT_MIRROR to an archive that carries Debian's sources",
                log,
            )

    return cache.entry("source", key([root.parent.name.encode()]), make)


def _asked(root: Path, *command: str) -> str:
    words = as_root(["chroot", root, *ENVIRONMENT, *command])
    return subprocess.run(words, check=False, capture_output=True, text=True).stdout


def _versions(root: Path) -> Iterator[str]:
    """Yield the index's versions of this series, newest first."""
    listed = parse_versions(_asked(root, "apt-cache", "showsrc", "xen"))
    found = [version for version in listed if version.startswith(SERIES)]
    ordered: list[str] = []
    for version in found:
        place = 0
        while place < len(ordered) and not _newer(root, version, ordered[place]):
            place += 1
        ordered.insert(place, version)
    yield from ordered


def _newer(root: Path, one: str, other: str) -> bool:
    words = as_root(["chroot", root, *ENVIRONMENT, "dpkg", "--compare-versions", one, "gt", other])
    return subprocess.run(words, check=False).returncode == 0


def _unpack(bench: Workbench, version: str, log: Path) -> bool:
    listing = _asked(bench.root, "apt-get", "-qq", "--print-uris", "source", f"xen={version}")
    archives = [a for a in parse_uris(listing) if not a.name.endswith(".dsc")]
    try:
        for archive in archives:
            script = '/usr/lib/apt/apt-helper -oAPT::Sandbox::User=root download-file "$@"'
            bench.do(script, log, archive.uri, archive.name, archive.checksum)
        bench.do(
            "mkdir xen\n"
            "tar -xf *.orig.tar.* --strip-components=1 -C xen\n"
            "tar -xf *.debian.tar.* -C xen\n"
            "for patch in $(sed 's/#.*//' xen/debian/patches/series); do\n"
            '    patch -s --strip=1 --directory=xen < "xen/debian/patches/$patch"\n'
            "done",
            log,
        )
    except LabError:
        return False
    return bool(archives)


def patches(variant: str) -> list[Path]:
    """Return the patches of a variant, in the order of their series file.

    Raises:
        LabError: patches are asked for and the tree has none.
    """
    if variant == "stock":
        return []
    series = places.PATCHES / "series"
    if not series.is_file():
        raise LabError(
            "there are no patches in this tree: patches/xen-4.20/series does not exist",
            "use --hypervisor stock, or --xen FILE for a hypervisor built elsewhere",
            exit_code=EXIT_USAGE,
        )
    names = re.sub(r"#.*", "", series.read_text()).split()
    return [places.PATCHES / name for name in names]


def build(cache: Cache, variant: str, jobs: int) -> Path:
    """Return the directory with a variant's `xen`, `xen-syms`, `.config` and `version`.

    Args:
        cache: where it is kept.
        variant: one of VARIANTS.
        jobs: compilers at once.

    Raises:
        LabError: no patches for it, a patch that does not apply, or a failed compilation.
    """
    series = patches(variant)
    tree = source(cache)
    name = key([tree.name.encode(), BUILD.encode(), *(patch.read_bytes() for patch in series)])

    def make(entry: Path) -> None:
        log = cache.log("hypervisor")
        version = (tree / "version").read_text()
        with (
            step(f"building the {variant} hypervisor from Xen {version} (once)"),
            Workbench(build_root(cache), f"xen-{name}") as bench,
        ):
            given = entry / "patches"
            given.mkdir()
            for patch in series:
                (given / patch.name).write_bytes(patch.read_bytes())
            (entry / "series").write_text("".join(f"{patch.name}\n" for patch in series))
            (entry / "version").write_text(f"{version} {variant}\n")
            bench.bring(entry, log)
            run(as_root(["cp", "-a", tree / "xen", bench.outer / "xen"]), log)
            bench.do(BUILD, log, str(jobs))
            bench.take(["xen/xen/xen", "xen/xen/xen-syms", "xen/xen/.config"], entry)

    return cache.entry("hypervisor", name, make)
