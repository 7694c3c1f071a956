"""The package, as a file and as dpkg knows it on the box."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hvlib.box import Box, BoxError, refusal
from hvlib.names import BUILD_ID, IMAGE, PACKAGE, SHA256


@dataclass(frozen=True)
class Package:
    """What a package of ours says of itself.

    Attributes:
        version: Debian's.
        build_id: what its hypervisor calls itself when it runs.
        sha256: of the file it puts under /boot.
    """

    version: str
    build_id: str
    sha256: str


def read(box: Box, deb: Path) -> Package:
    """Return what a .deb says.

    Raises:
        BoxError: it is not one of ours.
    """
    remedy = "give the path of what deploy/hypervisor/build made"
    if not deb.is_file():
        raise refusal(f"{deb} does not exist", remedy)
    fields = ("Package", "Version", BUILD_ID, SHA256)
    try:
        words = [box.run("dpkg-deb", "--field", deb, field).strip() for field in fields]
    except BoxError as error:
        raise refusal(f"{deb} is no Debian package: {error.what}", remedy) from error
    if words[0] != PACKAGE or not all(words):
        raise refusal(f"{deb} is the package {words[0]}, not {PACKAGE}", remedy)
    return Package(*words[1:])


def known(box: Box) -> bool:
    """Tell whether dpkg knows of the package, in whatever state it is."""
    try:
        return bool(_query(box, "${db:Status-Abbrev}"))
    except BoxError:
        return False


def installed(box: Box) -> Package | None:
    """Return the package that is installed; none when none is, or not wholly."""
    if not known(box) or _query(box, "${db:Status-Status}") != "installed":
        return None
    wanted = ("Version", BUILD_ID, SHA256)
    return Package(*(_query(box, f"${{{field}}}") for field in wanted))


def _query(box: Box, form: str) -> str:
    return box.run("dpkg-query", "--show", f"--showformat={form}", PACKAGE).strip()


def verify(box: Box, package: Package) -> None:
    """Check that the file under /boot is the package's.

    Raises:
        BoxError: it is not there, or has another checksum.
    """
    image = box.path(IMAGE)
    found = hashlib.sha256(image.read_bytes()).hexdigest() if image.is_file() else "no file"
    if found != package.sha256:
        raise BoxError(
            f"/{IMAGE} is not what the package holds: {found} instead of {package.sha256}",
            "`remove` it, and `install` it again; the disk may be failing",
        )
