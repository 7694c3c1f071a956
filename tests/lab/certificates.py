"""A certificate authority of a test."""

import ipaddress
import subprocess
from pathlib import Path


class Authority:
    """Signs for as long as its directory is there.

    Args:
        where: an empty directory.
    """

    def __init__(self, where: Path) -> None:
        """Make its key and its certificate."""
        self.where = where
        self.certificate = where / "ca.crt"
        self._openssl("req", "-x509", "-subj", "/CN=authority", *self._new("ca"))

    def signed(self, name: str) -> tuple[Path, Path]:
        """Return a certificate of a host's name or address, and its key."""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            kind = "DNS"
        else:
            kind = "IP"
        self._openssl(
            *("req", "-x509", "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", self.certificate, "-CAkey", self.where / "ca.key"),
            *self._new(name),
        )
        return self.where / f"{name}.crt", self.where / f"{name}.key"

    def _new(self, name: str) -> list[str | Path]:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
        return [*key, "-keyout", self.where / f"{name}.key", "-out", self.where / f"{name}.crt"]

    def _openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)
