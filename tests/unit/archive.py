"""A Debian archive on 127.0.0.1 with a minimal source package of Xen."""

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
#: Debian's patch of the source package
DEBIAN_PATCH = "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-upstream\n+Debian\n"
#: the patch of the series
PATCH = (
    "Why.\n\n--- a/xen/common/grant_table.c\n+++ b/xen/common/grant_table.c\n@@ -9,3 +9,3 @@\n"
    " line 9\n-line 10\n+ten\n line 11\n"
)
PATCH_NAME = "0001-ten.patch"

OLD, NEW = "4.20.3-1", "4.20.4-1"
#: later sources: the patch applies to MOVED with an offset, and not to REWRITTEN
MOVED = f"line 0\nanother\n{SOURCE}"
REWRITTEN = SOURCE.replace("line 10\n", "line ten\n")


def tarball(files: dict[str, str]) -> bytes:
    """Return a .tar.xz of text files."""
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
    """Return the tarballs of a version by name; Debian's patch applies to the default readme."""
    upstream = version.partition("-")[0]
    orig = {
        "xen-x/README": readme,
        "xen-x/VERSION": version,
        "xen-x/xen/common/grant_table.c": source,
    }
    debian = {
        "debian/patches/series": "debian.patch # a comment\n",
        "debian/patches/debian.patch": DEBIAN_PATCH,
    }
    return {
        f"xen_{upstream}.orig.tar.xz": tarball(orig),
        f"xen_{version}.debian.tar.xz": tarball(debian),
    }


def pin(version: str, *source: str, **parts: str) -> Version:
    """Return the entry of a version in `bases.toml`."""
    files = package_files(version, *source, **parts).items()
    return Version(version, {name: hashlib.sha256(data).hexdigest() for name, data in files})


class Archive:
    """An archive and a patch series.

    Args:
        root: the directory to serve.
        patches: the directory of the series.

    Attributes:
        requests: the paths requested so far.
    """

    def __init__(self, root: Path, patches: Path) -> None:
        self.root = root
        self.package = Package("xen", "Xen", "4.20", patches, "--xen-source", "another hypervisor")
        self.requests: list[str] = []
        self.time = 1_700_000_000
        self.write_pins(pin(OLD))
        (patches / "series").write_text(f"{PATCH_NAME}\n")
        (patches / PATCH_NAME).write_text(PATCH)

    def write_pins(self, *versions: Version) -> None:
        """Write `bases.toml` with these versions."""
        text = "".join(
            f'[[base]]\nversion = "{version.name}"\nexact = {str(version.exact).lower()}\n'
            "[base.files]\n"
            + "".join(f'"{name}" = "{sum_}"\n' for name, sum_ in version.files.items())
            for version in versions
        )
        (self.package.patches / "bases.toml").write_text(text)

    def add_files(self, version: str, *source: str, **parts: str) -> None:
        """Add the files of a version to the pool."""
        pool = self.root / "pool/main/x/xen"
        pool.mkdir(parents=True, exist_ok=True)
        for name, data in package_files(version, *source, **parts).items():
            (pool / name).write_bytes(data)

    def write_index(self, version: str | None = None, *source: str, **parts: str) -> None:
        """Write an index with another package and, unless `version` is None, a version of Xen."""
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
            self.time += 1  # apt requests newer files, in whole seconds
            for path in (sources, release):
                os.utime(path, (self.time, self.time))


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive with an empty pool and an unsigned, but trusted, index without Xen."""
    monkeypatch.setattr(index, "TRUST", "trusted=yes")
    root, patches = tmp_path / "archive", tmp_path / "patches/xen"
    root.mkdir()
    patches.mkdir(parents=True)
    served = Archive(root, patches)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            served.requests.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    served.uri = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("XENGT_MIRROR", served.uri)
    monkeypatch.delenv("XENGT_SECURITY_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    served.write_index()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
