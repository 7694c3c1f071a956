"""Ctrl.console_from: all of Xen's console ring is read once, or counted as lost."""

import pytest

from xenlib_cffi import ctrl
from xenlib_cffi.library import load

POSITIONS = 1 << 32


class FakeConsole:
    """Stands in for libxenctrl and Xen's read_console_ring(), whose positions have 32 bits."""

    def __init__(self, begin, size=16384):
        self.begin = self.end = begin
        self.size = size
        self.ring = bytearray(size)
        self.calls = 0

    def put(self, text):
        for byte in text:
            self.ring[self.end % self.size] = byte
            self.end = (self.end + 1) % POSITIONS
        if (self.end - self.begin) % POSITIONS > self.size:
            self.begin = (self.end - self.size) % POSITIONS

    def clear(self):
        self.begin = self.end

    def xc_readconsolering(self, _handle, buffer, count, clear, incremental, index):
        assert not clear
        self.calls += 1
        c, p = self.begin, self.end
        wanted = c < index[0] <= p if c <= p else c < index[0] or index[0] <= p
        if incremental and wanted:
            c = index[0]
        found = bytearray()
        while c != p and len(found) < count[0]:
            found.append(self.ring[c % self.size])
            c = (c + 1) % POSITIONS
        load()[0].memmove(buffer, found, len(found))
        count[0], index[0] = len(found), c
        return 0


@pytest.fixture(params=[0, POSITIONS - 5000], ids=["from 0", "around 2**32"])
def console(request):
    return FakeConsole(request.param)


@pytest.fixture
def read(console):
    handle = object.__new__(ctrl.Ctrl)
    handle.ffi, handle.lib, handle.pointer = load()[0], console, None
    return handle.console_from


def test_every_byte_is_read_once(console, read):
    console.put(b"booted\n")
    text, end, lost = read(None)
    assert (text, lost) == (b"booted\n", 0)
    for length in (0, 1, 4095, 4096, 4097, 9000, 16000):
        sent = bytes(97 + place % 26 for place in range(length))
        console.put(sent)
        text, end, lost = read(end)
        assert (text, lost) == (sent, 0)


def test_a_ring_that_has_not_moved_takes_one_call(console, read):
    console.put(b"x" * 10_000)
    end = read(None).end
    console.calls = 0
    assert read(end) == (b"", end, 0)
    assert console.calls == 1


def test_what_was_overwritten_is_counted_and_marked(console, read):
    console.put(b"x" * 20_000)
    assert read(None) == (b"x" * console.size, console.end, 0)
    end = console.end
    console.put(b"a" * 1000 + b"b" * console.size)
    assert read(end) == (b"\n" + b"b" * console.size, console.end, 1000)


def test_what_another_program_clears_is_counted_and_marked(console, read):
    end = read(None).end
    console.put(b"gone")
    console.clear()
    console.put(b"kept")
    assert read(end) == (b"\nkept", console.end, 4)
    console.clear()
    assert read(console.end) == (b"", console.end, 0)
