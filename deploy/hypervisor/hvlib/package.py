"""The package, as a .deb file and as installed by dpkg."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hvlib.box import Box, BoxError, refusal
from hvlib.names import BUILD_ID, IMAGE, PACKAGE, SHA256


@dataclass(frozen=True)
class Package:
    """Fields of the package.

    Attributes:
        version: Debian version.
        build_id: the hypervisor's build id as hex digits.
        sha256: checksum of IMAGE as hex digits.
    """

    version: str
    build_id: str
    sha256: str


def read(box: Box, deb: Path) -> Package:
    """Return the fields of a .deb file.

    Raises:
        BoxError: the file is not a package of the patched hypervisor.
    """
    remedy = "pass the path of a package built by deploy/hypervisor/build"
    if not deb.is_file():
        raise refusal(f"{deb} does not exist", remedy)
    fields = ("Package", "Version", BUILD_ID, SHA256)
    try:
        values = [box.run("dpkg-deb", "--field", deb, field).strip() for field in fields]
    except BoxError as error:
        raise refusal(f"{deb} is not a Debian package: {error.what}", remedy) from error
    if values[0] != PACKAGE or not all(values):
        raise refusal(f"{deb} contains the package {values[0]}, not {PACKAGE}", remedy)
    return Package(*values[1:])


def is_known(box: Box) -> bool:
    """Return whether dpkg has the package in its database, in any state."""
    try:
        return bool(_query(box, "${db:Status-Abbrev}"))
    except BoxError:
        return False


def installed(box: Box) -> Package | None:
    """Return the installed package; None if it is not installed, or only in part."""
    if not is_known(box) or _query(box, "${db:Status-Status}") != "installed":
        return None
    fields = ("Version", BUILD_ID, SHA256)
    return Package(*(_query(box, f"${{{field}}}") for field in fields))


def _query(box: Box, fields: str) -> str:
    return box.run("dpkg-query", "--show", f"--showformat={fields}", PACKAGE).strip()


def verify_image(box: Box, package: Package) -> None:
    """Check that the image in /boot is the package's.

    Raises:
        BoxError: the image is missing or has another checksum.
    """
    image = box.path(IMAGE)
    found = hashlib.sha256(image.read_bytes()).hexdigest() if image.is_file() else "missing"
    if found != package.sha256:
        raise BoxError(
            f"/{IMAGE} does not match the package: SHA-256 {found}, expected {package.sha256}",
            "run remove, and then install; if it fails again, check the disk",
        )
