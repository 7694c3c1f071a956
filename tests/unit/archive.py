"""A Debian archive on this machine, with a source package of Xen as small as it can be."""

import hashlib
import io
import os
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lablib.source import index
from lablib.source.bases import Package, Version

SOURCE = "".join(f"line {number}\n" for number in range(1, 21))
#: of Debian's own, and of the tree's series
OWN = "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-upstream\n+Debian\n"
PATCH = (
    "Why.\n\n--- a/xen/common/grant_table.c\n+++ b/xen/common/grant_table.c\n@@ -9,3 +9,3 @@\n"
    " line 9\n-line 10\n+ten\n line 11\n"
)
PATCH_NAME = "0001-ten.patch"

OLD, NEW = "4.20.3-1", "4.20.4-1"
#: what a later source has at its begin, and in place of what the patch changes
MOVED = f"line 0\nanother\n{SOURCE}"
REWRITTEN = SOURCE.replace("line 10\n", "line ten\n")


def tarball(files: dict[str, str]) -> bytes:
    """A .tar.xz of text files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def package_files(
    version: str, source: str = SOURCE, readme: str = "upstream\n"
) -> dict[str, bytes]:
    """The files of one version, by name; Debian's own patch is for a README of one line."""
    upstream = version.partition("-")[0]
    orig = {
        "xen-x/README": readme,
        "xen-x/VERSION": version,
        "xen-x/xen/common/grant_table.c": source,
    }
    debian = {"debian/patches/series": "own.patch # Debian's\n", "debian/patches/own.patch": OWN}
    return {
        f"xen_{upstream}.orig.tar.xz": tarball(orig),
        f"xen_{version}.debian.tar.xz": tarball(debian),
    }


def pin(version: str, *source: str, **parts: str) -> Version:
    """What `bases.toml` has of a version."""
    files = package_files(version, *source, **parts).items()
    return Version(version, {name: hashlib.sha256(data).hexdigest() for name, data in files})


class Archive:
    """The archive, and the series that is to apply to what it has.

    Args:
        root: what is served.
        patches: the directory of the series.
    """

    def __init__(self, root: Path, patches: Path) -> None:
        self.root = root
        self.package = Package("xen", "Xen", "4.20", patches, "--xen-source", "another hypervisor")
        self.asked: list[str] = []
        self.time = 1_700_000_000
        self.pins(pin(OLD))
        (patches / "series").write_text(f"{PATCH_NAME}\n")
        (patches / PATCH_NAME).write_text(PATCH)

    def pins(self, *versions: Version) -> None:
        """Write `bases.toml`."""
        text = "".join(
            f'[[base]]\nversion = "{version.name}"\nexact = {str(version.exact).lower()}\n'
            "[base.files]\n"
            + "".join(f'"{name}" = "{sum_}"\n' for name, sum_ in version.files.items())
            for version in versions
        )
        (self.package.patches / "bases.toml").write_text(text)

    def has(self, version: str, *source: str, **parts: str) -> None:
        """Put a version's files into the pool."""
        pool = self.root / "pool/main/x/xen"
        pool.mkdir(parents=True, exist_ok=True)
        for name, data in package_files(version, *source, **parts).items():
            (pool / name).write_bytes(data)

    def lists(self, version: str | None = None, *source: str, **parts: str) -> None:
        """Write the index: of another package, and of one version of Xen or none."""
        other = "Package: other\nVersion: 1\nDirectory: pool/main/o/other\n"
        text = other
        if version is not None:
            data = package_files(version, *source, **parts)
            sums = "".join(
                f"\n {hashlib.sha256(d).hexdigest()} {len(d)} {name}" for name, d in data.items()
            )
            text += (
                f"\nPackage: xen\nBinary: xen\nVersion: {version}\nArchitecture: any\n"
                f"Format: 3.0 (quilt)\nDirectory: pool/main/x/xen\nChecksums-Sha256:{sums}\n"
            )
        for suite, content in (("trixie", text), ("trixie-updates", other)):
            sources = self.root / "dists" / suite / "main/source/Sources"
            sources.parent.mkdir(parents=True, exist_ok=True)
            sources.write_text(content)
            checksum = hashlib.sha256(content.encode()).hexdigest()
            release = self.root / "dists" / suite / "Release"
            release.write_text(
                f"Suite: {suite}\nCodename: {suite}\nComponents: main\nArchitectures: amd64\n"
                "Date: Sat, 28 Nov 2026 00:00:00 UTC\n"
                f"SHA256:\n {checksum} {len(content)} main/source/Sources\n"
            )
            self.time += 1  # apt asks for what is newer, in whole seconds
            for path in (sources, release):
                os.utime(path, (self.time, self.time))


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive whose index lists nothing, unsigned but trusted, and whose pool is empty."""
    monkeypatch.setattr(index, "TRUST", "trusted=yes")
    root, patches = tmp_path / "archive", tmp_path / "patches/xen"
    root.mkdir()
    patches.mkdir(parents=True)
    made = Archive(root, patches)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            made.asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    made.uri = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("XENGT_MIRROR", made.uri)
    monkeypatch.delenv("XENGT_SECURITY_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.lists()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()
