"""A certificate authority for tests of TLS."""

import ipaddress
import subprocess
from pathlib import Path


class Authority:
    """A certificate authority whose key lives in a directory.

    Args:
        directory: an empty directory.
    """

    def __init__(self, directory: Path) -> None:
        """Create the key and the certificate of the authority."""
        self.directory = directory
        self.certificate = directory / "ca.crt"
        self._openssl("req", "-x509", "-subj", "/CN=authority", *self._new("ca"))

    def sign(self, name: str) -> tuple[Path, Path]:
        """Return the paths of a new certificate for a host name or an address, and of its key."""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            kind = "DNS"
        else:
            kind = "IP"
        self._openssl(
            *("req", "-x509", "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", self.certificate, "-CAkey", self.directory / "ca.key"),
            *self._new(name),
        )
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"

    def _new(self, name: str) -> list[str | Path]:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
        return [
            *key,
            "-keyout",
            self.directory / f"{name}.key",
            "-out",
            self.directory / f"{name}.crt",
        ]

    def _openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)
