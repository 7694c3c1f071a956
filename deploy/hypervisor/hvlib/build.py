"""The package: the hypervisor that the lab built, and what puts it into GRUB's menu."""

import argparse
import email.utils
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from lablib import places
from lablib.artifacts import hypervisor
from lablib.artifacts.roots import Workbench, build_root
from lablib.cache import Cache, key, tree_parts
from lablib.errors import LabError
from lablib.output import report_error, step
from lablib.source.bases import XEN, base
from lablib.source.series import Patch

from hvlib.names import IMAGE, PACKAGE, SCRIPT

TEMPLATES = Path(__file__).resolve().parent.parent / "package"
DOC = f"usr/share/doc/{PACKAGE}"

BUILD = """
umask 022
image=tree/$2
gzip -9 -n -c xen > "$image"
sha256=$(sha256sum "$image" | cut -d' ' -f1)
size=$(du -k -s --apparent-size tree | cut -f1)
sed -i "s/@SHA256@/$sha256/; s/@SIZE@/$size/" tree/DEBIAN/control
find tree -type d -exec chmod 755 {} +
find tree -type f -exec chmod 644 {} +
chmod 755 "tree/$3" tree/DEBIAN/postinst tree/DEBIAN/postrm
# The same bytes from the same input: of one time, by root, and packed by one thread.
export SOURCE_DATE_EPOCH=$1
find tree -exec touch -h -d "@$1" {} +
dpkg-deb --build --root-owner-group -Zxz --threads-max=1 tree hypervisor.deb
"""

COPYRIGHT = """\
Xen, from Debian's source package, with the patches of xengt that `series` beside this file lists.
Both are GPL-2.0; Xen's own copyright is in xen-hypervisor-common's.
On Debian the licence is in /usr/share/common-licenses/GPL-2.
"""


def build_id(image: bytes) -> str:
    """Return what a hypervisor answers to XENVER_build_id: its image's GNU note.

    Raises:
        LabError: it has none, or more than one.
    """
    name = rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
    notes = set(re.findall(name + rb"(.{20})", image, re.DOTALL))
    if len(notes) != 1:
        raise LabError(f"the hypervisor has {len(notes)} build ids, where it should have one")
    return bytes(notes.pop()).hex()


def version(source: str, variant: str, series: Sequence[Patch]) -> str:
    """Return the package's version: Debian's of the source, the variant, and the patches' hash.

    Args:
        source: Debian's version of Xen.
        variant: one of the lab's.
        series: its patches, in their order.
    """
    parts = [part for patch in series for part in (patch.name.encode(), patch.content)]
    return f"{source.strip()}+xengt.{variant.replace('-', '.')}.{key(parts)[:8]}"


def epoch(changelog: str) -> int:
    """Return when Debian made its source: the time of a changelog's first entry, in seconds."""
    signed = re.search(r"^ -- .*>  (.*)$", changelog, re.MULTILINE)
    if signed is None:
        raise LabError("Debian's changelog of Xen has no dated entry")
    return int(email.utils.parsedate_to_datetime(signed[1]).timestamp())


def build(cache: Cache, variant: str, jobs: int) -> Path:
    """Return the path of the .deb.

    Args:
        cache: where it is kept.
        variant: of the hypervisor, as the lab names it.
        jobs: compilers at once.

    Raises:
        LabError: the hypervisor or the package does not build.
    """
    made = hypervisor.build(cache, variant, jobs)
    series = hypervisor.series(variant)
    origin = base(cache, XEN)
    called = version(origin.version, variant, series)
    time = epoch((origin.directory / "xen/debian/changelog").read_text())
    root = build_root(cache)
    templates = sorted(TEMPLATES.iterdir())
    parts = [root.parent.name, made.name, BUILD, COPYRIGHT, called, str(time)]
    name = key([*(part.encode() for part in parts), *tree_parts(templates, TEMPLATES)])

    def make(entry: Path) -> None:
        log = cache.log("hypervisor-deb")
        given = entry / "given"
        _fill(given, made, called, series)
        with step("packing the hypervisor"), Workbench(root, f"hv-{name}") as bench:
            bench.bring(given, log)
            bench.do(BUILD, log, str(time), IMAGE, SCRIPT)
            bench.take(["hypervisor.deb"], entry)
        shutil.rmtree(given)
        (entry / "hypervisor.deb").rename(entry / f"{PACKAGE}_{called}_amd64.deb")

    return next(cache.entry("hypervisor-deb", name, make).glob("*.deb"))


def _fill(given: Path, made: Path, called: str, series: Sequence[Patch]) -> None:
    """Lay out the package's files, and beside them the hypervisor, not packed yet."""
    words = {
        "@PACKAGE@": PACKAGE,
        "@VERSION@": called,
        "@IMAGE@": f"/{IMAGE}",
        "@BUILD_ID@": build_id((made / "xen").read_bytes()),
        "@REGENERATE@": (TEMPLATES / "regenerate").read_text().strip(),
    }

    def template(name: str, target: str) -> None:
        text = (TEMPLATES / name).read_text()
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        path = given / "tree" / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for name in ("control", "postinst", "postrm"):
        template(name, f"DEBIAN/{name}")
    template(Path(SCRIPT).name, SCRIPT)
    (given / "tree" / IMAGE).parent.mkdir()
    shutil.copyfile(made / "xen", given / "xen")
    doc = given / "tree" / DOC
    doc.mkdir(parents=True)
    shutil.copyfile(made / ".config", doc / "config")
    (doc / "series").write_text("".join(f"{patch.name}\n" for patch in series))
    (doc / "copyright").write_text(COPYRIGHT)


def main() -> int:
    """Run `build`."""
    parser = argparse.ArgumentParser(
        prog="build",
        description="Builds the patched hypervisor as a Debian package, which installs beside the\n"
        "stock one. On any Debian machine: it compiles in a Debian 13 root of its own.\n"
        "Prints the package's path.",
        epilog="example:\n  ./build --output . && scp xen-hypervisor-4.20-xengt_*.deb box:\n\n"
        "exit codes: 0 done, 2 usage or something missing, 3 failed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--hypervisor",
        choices=hypervisor.BUILT,
        default="patched",
        help="which of the lab's (patched); stock is the same source and configuration without"
        " the patches, to be compared with",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="copy it there (the cache)")
    args = parser.parse_args()
    try:
        deb = build(Cache(places.cache_root()), args.hypervisor, os.cpu_count() or 1)
        if args.output is not None:
            args.output.mkdir(parents=True, exist_ok=True)
            deb = Path(shutil.copy(deb, args.output))
    except LabError as error:
        return report_error(error)
    print(deb)
    return 0
