"""The frames of own pages: from Linux in a translated dom0, from Xen in a PV dom0."""

import ctypes
import mmap
import struct
from pathlib import Path

import pytest

from tests.unit import stand_in
from xengt.bench.engines import own_frames
from xengt.errors import FailedError, UnmetError
from xengt.recovery.journal import open_journal
from xenlib_cffi.call import GrantMapping
from xenlib_cffi.errors import GrantError

PAGE = 4096


class Pages:
    """Three pages that are granted with the references 40, 9 and 17."""

    count = 3
    references = (40, 9, 17)

    def number(self, index):
        return 2 + index


class FakeCall(stand_in.Handle):
    """Maps references at the bus address that `frames` has; notes the journal while they exist."""

    frames = {40: 0x1234, 9: 0x99, 17: 0x7_0000_0000}  # noqa: RUF012
    journal = None
    mapped = 0
    cursors: list[int] = []  # noqa: RUF012

    def map_device(self, references):
        assert {domid for domid, _ in references} == {0}
        FakeCall.cursors.append(FakeCall.journal.read().writers[0].cursor)
        if any(gref not in self.frames for _, gref in references):
            raise GrantError("map", 0, references[0][1], "refused", -3)
        FakeCall.mapped += len(references)
        return [GrantMapping(7 + gref, self.frames[gref] * PAGE) for _, gref in references]

    def unmap_device(self, mappings):
        FakeCall.mapped -= len(mappings)
        return [0] * len(mappings)


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.setattr(own_frames, "Call", FakeCall)
    monkeypatch.setattr(own_frames, "MAX_BATCH", 2)
    with open_journal(tmp_path / "mappings") as opened:
        monkeypatch.setattr(FakeCall, "journal", opened)
        monkeypatch.setattr(FakeCall, "cursors", [])
        monkeypatch.setattr(FakeCall, "mapped", 0)
        yield opened


def test_a_pv_domain_asks_xen_and_records_the_mappings(journal, monkeypatch):
    monkeypatch.setattr(own_frames.kernel, "is_translated", lambda: False)
    assert own_frames.find_frames(Pages(), journal) == [0x1234, 0x99, 0x7_0000_0000]
    assert FakeCall.cursors == [1, 3]
    assert FakeCall.mapped == 0
    assert not journal.read().mapped


def test_a_refused_page_stays_in_the_journal(journal, monkeypatch):
    monkeypatch.setattr(own_frames.kernel, "is_translated", lambda: False)
    monkeypatch.setattr(FakeCall, "frames", {40: 1, 9: 2})
    with pytest.raises(GrantError):
        own_frames.find_frames(Pages(), journal)
    # `sweep` looks for mappings of the batch that was not completed.
    assert journal.read().writers[0].cursor == 3


def test_a_translated_domain_reads_the_pagemap(tmp_path, monkeypatch):
    flags = 0b1_0000_0001 << 55  # page present, and soft-dirty
    file = tmp_path / "pagemap"
    file.write_bytes(struct.pack("<7Q", 0, 0, flags | 0x111, flags | 0x999, flags | 0x7_0000, 5, 6))
    monkeypatch.setattr(own_frames, "_PAGEMAP", file)
    monkeypatch.setattr(own_frames.kernel, "is_translated", lambda: True)
    assert own_frames.find_frames(Pages(), None) == [0x111, 0x999, 0x7_0000]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((1 << 63 | 5, 1 << 63, 1 << 63 | 7), id="hidden"),
        pytest.param((1 << 63 | 5, 6, 1 << 63 | 7), id="not present"),
        pytest.param((1 << 63 | 5, 1 << 63 | 6), id="short"),
    ],
)
def test_frames_that_linux_hides_are_an_error(tmp_path, monkeypatch, words):
    file = tmp_path / "pagemap"
    file.write_bytes(struct.pack(f"<{2 + len(words)}Q", 0, 0, *words))
    monkeypatch.setattr(own_frames, "_PAGEMAP", file)
    monkeypatch.setattr(own_frames.kernel, "is_translated", lambda: True)
    with pytest.raises(UnmetError, match="cannot read the frames of its own pages") as error:
        own_frames.find_frames(Pages(), None)
    assert "CAP_SYS_ADMIN" in error.value.remedy


def test_a_page_that_stays_mapped_stays_in_the_journal(journal, monkeypatch):
    monkeypatch.setattr(own_frames.kernel, "is_translated", lambda: False)
    monkeypatch.setattr(FakeCall, "unmap_device", lambda _, mappings: [0, -4][: len(mappings)])
    with pytest.raises(FailedError, match="refused to unmap 1 of dom0's own pages"):
        own_frames.find_frames(Pages(), journal)
    assert journal.read().writers[0].cursor == 1


def test_the_pagemap_of_this_process_has_a_word_for_each_page():
    """The format that the code assumes is that of the running kernel."""
    memory = mmap.mmap(-1, PAGE)
    memory[0] = 1
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    with Path(own_frames._PAGEMAP).open("rb") as pagemap:
        pagemap.seek(address // PAGE * 8)
        (word,) = struct.unpack("<Q", pagemap.read(8))
    assert word >> 63 == 1  # present
