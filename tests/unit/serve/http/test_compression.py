"""Compressed pages: every decompressor reads them, and parts are compressed once."""

import gzip
import shutil
import subprocess
import zlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xengt.serve.http import compression
from xengt.serve.http.compression import Part

#: longer than a stream of zlib without moving its tables, and hardly compressible
LONG = Random(1).randbytes(150_000)  # noqa: S311 (not for cryptography)
CONTENTS = st.binary() | st.sampled_from([b"", b"x 1\n" * 50_000, LONG])


@given(st.lists(st.lists(CONTENTS, max_size=5), max_size=3))
@settings(deadline=None)
def test_any_parts_in_any_order_decompress_to_the_page(pages):
    """Also parts of an earlier page, several times the same part, and none at all."""
    parts: list[Part] = []
    for page in pages:
        parts += map(Part, page)
        for order in (parts, parts[::-1], parts[:1] * 2):
            expected = b"".join(part.content for part in order)
            assert compression.join(order) == expected
            packed = compression.compress(order)
            assert gzip.decompress(packed) == expected
            # One member that ends where the file does: browsers and curl only read the first one.
            stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            assert stream.decompress(packed) == expected
            assert (stream.eof, stream.unused_data) == (True, b"")


@pytest.mark.parametrize("program", [["gzip", "-dc"], ["busybox", "gunzip", "-c"]])
def test_other_decompressors_accept_a_page(program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    parts = [Part(b"a 1\n"), Part(LONG), Part(b""), Part(b"b 2\n" * 10_000)]
    expected = compression.join(parts)
    packed = compression.compress(parts)
    ended = subprocess.run(program, input=packed, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout == expected) == (0, b"", True)


def test_a_part_is_compressed_once(monkeypatch):
    streams = []
    create = zlib.compressobj
    monkeypatch.setattr(zlib, "compressobj", lambda *args: streams.append(args) or create(*args))
    kept, changed = Part(b"a 1\n"), Part(b"b 1\n")
    assert gzip.decompress(compression.compress([kept, changed])) == b"a 1\nb 1\n"
    assert len(streams) == 2
    assert gzip.decompress(compression.compress([kept, Part(b"b 2\n")])) == b"a 1\nb 2\n"
    assert len(streams) == 3
    compression.join([Part(b"not compressed")])
    assert len(streams) == 3


def test_a_page_in_parts_is_as_small_as_one_that_is_compressed_as_a_whole():
    families = [
        b"".join(b'a_seconds_bucket{case="%d",le="%d"} %d\n' % (case, le, le) for le in range(70))
        for case in range(30)
    ]
    whole = gzip.compress(b"".join(families), 1)
    assert len(compression.compress([*map(Part, families)])) < 1.5 * len(whole)
