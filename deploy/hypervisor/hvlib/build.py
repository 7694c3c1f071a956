"""Builds the Debian package: the lab's hypervisor, and a script for its entry in GRUB's menu."""

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

from hvlib.names import IMAGE, PACKAGE, SCRIPT, STOCK_PACKAGE

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
# A reproducible package: fixed times and owner, and one compression thread.
export SOURCE_DATE_EPOCH=$1
find tree -exec touch -h -d "@$1" {} +
dpkg-deb --build --root-owner-group -Zxz --threads-max=1 tree hypervisor.deb
"""

COPYRIGHT = """\
Xen from Debian's source package, with the xengt patches listed in the file `series` beside this
file.
Both are licensed under GPL-2.0; for Xen's copyright, see the package xen-hypervisor-common.
On Debian systems the licence is in /usr/share/common-licenses/GPL-2.
"""


def build_id(image: bytes) -> str:
    """Return a hypervisor's build id as hex digits: the image's GNU build-id note.

    XENVER_build_id returns the same bytes at run time.

    Raises:
        LabError: the image has no such note, or several different ones.
    """
    name = rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
    notes = set(re.findall(name + rb"(.{20})", image, re.DOTALL))
    if len(notes) != 1:
        raise LabError(f"the hypervisor image has {len(notes)} build ids instead of one")
    return bytes(notes.pop()).hex()


def version(source: str, variant: str, series: Sequence[Patch]) -> str:
    """Return the package's version: the source's version, the variant, and the patches' hash.

    Args:
        source: Debian's version of the Xen source package.
        variant: a hypervisor variant of the lab.
        series: the variant's patches in order.
    """
    parts = [part for patch in series for part in (patch.name.encode(), patch.content)]
    return f"{source.strip()}+xengt.{variant.replace('-', '.')}.{key(parts)[:8]}"


def epoch(changelog: str) -> int:
    """Return the time of a changelog's newest entry, in seconds since the epoch.

    Raises:
        LabError: the changelog has no dated entry.
    """
    signed = re.search(r"^ -- .*>  (.*)$", changelog, re.MULTILINE)
    if signed is None:
        raise LabError("the changelog of Debian's Xen source package has no dated entry")
    return int(email.utils.parsedate_to_datetime(signed[1]).timestamp())


def build(cache: Cache, variant: str, jobs: int) -> Path:
    """Build the package unless the cache has it; return the path of the .deb.

    Args:
        cache: holds the package.
        variant: a hypervisor variant of the lab.
        jobs: number of parallel compiler processes.

    Raises:
        LabError: the hypervisor or the package does not build.
    """
    built = hypervisor.build(cache, variant, jobs)
    series = hypervisor.series(variant)
    origin = base(cache, XEN)
    deb_version = version(origin.version, variant, series)
    timestamp = epoch((origin.directory / "xen/debian/changelog").read_text())
    root = build_root(cache)
    templates = sorted(TEMPLATES.iterdir())
    parts = [root.parent.name, built.name, BUILD, COPYRIGHT, deb_version, str(timestamp)]
    name = key([*(part.encode() for part in parts), *tree_parts(templates, TEMPLATES)])

    def make(entry: Path) -> None:
        log = cache.log("hypervisor-deb")
        files = entry / "files"
        _lay_out(files, built, deb_version, series)
        with step("packing the hypervisor"), Workbench(root, f"hv-{name}") as bench:
            bench.bring(files, log)
            bench.do(BUILD, log, str(timestamp), IMAGE, SCRIPT)
            bench.take(["hypervisor.deb"], entry)
        shutil.rmtree(files)
        (entry / "hypervisor.deb").rename(entry / f"{PACKAGE}_{deb_version}_amd64.deb")

    return next(cache.entry("hypervisor-deb", name, make).glob("*.deb"))


def _lay_out(files: Path, built: Path, deb_version: str, series: Sequence[Patch]) -> None:
    """Create the package's file tree, and the uncompressed hypervisor next to it.

    Args:
        files: directory for the tree and the hypervisor.
        built: the lab's build of the hypervisor.
        deb_version: version of the package.
        series: patches of the hypervisor.
    """
    placeholders = {
        "@PACKAGE@": PACKAGE,
        "@VERSION@": deb_version,
        "@STOCK_PACKAGE@": STOCK_PACKAGE,
        "@IMAGE@": f"/{IMAGE}",
        "@BUILD_ID@": build_id((built / "xen").read_bytes()),
        "@REGENERATE@": (TEMPLATES / "regenerate").read_text().strip(),
    }

    def template(name: str, target: str) -> None:
        text = (TEMPLATES / name).read_text()
        for placeholder, value in placeholders.items():
            text = text.replace(placeholder, value)
        path = files / "tree" / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for name in ("control", "postinst", "postrm"):
        template(name, f"DEBIAN/{name}")
    template(Path(SCRIPT).name, SCRIPT)
    (files / "tree" / IMAGE).parent.mkdir()
    shutil.copyfile(built / "xen", files / "xen")
    doc = files / "tree" / DOC
    doc.mkdir(parents=True)
    shutil.copyfile(built / ".config", doc / "config")
    (doc / "series").write_text("".join(f"{patch.name}\n" for patch in series))
    (doc / "copyright").write_text(COPYRIGHT)


def main() -> int:
    """Run `build`."""
    parser = argparse.ArgumentParser(
        prog="build",
        description="Builds the patched hypervisor as a Debian package that installs beside the\n"
        "stock hypervisor, and prints the path of the package. Runs on any Debian machine:\n"
        "it compiles in a Debian 13 chroot.",
        epilog="example:\n  ./build --output . && scp xen-hypervisor-4.20-xengt_*.deb box:\n\n"
        "exit codes: 0 done; 2 usage error or missing prerequisite; 3 failed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--hypervisor",
        choices=hypervisor.BUILT,
        default="patched",
        help="hypervisor variant of the lab (default: patched); stock is built from the same source"
        " and configuration without the patches, for comparison",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="copy the package to this directory (default: only keep it in the cache)",
    )
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
