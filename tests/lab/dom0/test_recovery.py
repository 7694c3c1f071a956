"""A run finds the mappings of a killed run that did not record their handles."""

import pytest

from xengt.recovery import journal, sweep
from xengt.sharing.references import Reference
from xengt.xen import limits
from xengt.xen.grant_table import HANDLES_PER_FRAME
from xengt.xen.handle import FAST
from xenlib_cffi.call import Call
from xenlib_cffi.errors import GrantStatus
from xenlib_cffi.gnttab import GrantMapper, GrantShare
from xenlib_cffi.hypfs import HypFs


@pytest.fixture
def killed(tmp_path):
    """Maps as a run does that is killed before it records handles; `killed.clean_up()` follows."""

    def kill(references, times, *, readonly=False):
        with journal.open_journal(tmp_path / "mappings") as opened, Call() as call:
            (cursor,) = opened.begin([journal.Writer(references, len(references))], 0)
            cursor[:] = (1).to_bytes(8, "little")
            pairs = [(domid, gref) for domid, gref, _ in references]
            return [
                mapping
                for _ in range(times)
                for mapping in call.map_device(pairs, readonly=readonly)
            ]

    def clean_up():
        with journal.open_journal(tmp_path / "mappings") as opened:
            return sweep.clean_up(opened)

    kill.clean_up = clean_up
    return kill


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3, 5])
def test_every_mapping_of_a_reference_is_found(killed, call, empty, memory, times, readonly):
    references = empty[:4]
    mappings = killed(references, times, readonly=readonly)
    with memory.grant_table(references[0].domid, 1, writable=False) as table:
        assert all(table.in_use(reference.gref) for reference in references)
        assert killed.clean_up().searched == 4
        assert not any(table.in_use(reference.gref) for reference in references)
    assert set(call.unmap_device(mappings)) == {GrantStatus.BAD_HANDLE}


def test_mappings_of_the_toolstacks_references_are_found(killed, memory, raw_domain):
    domid, mfns = raw_domain
    with memory.grant_table(domid, 1) as table:
        for gref, mfn in enumerate(mfns, 5):
            table.permit(gref, 0, mfn)
        killed([Reference(domid, gref, 0) for gref in range(5, 9)], 2)
        assert killed.clean_up().searched == 4
        assert not any(table.in_use(gref) for gref in range(5, 9))


def test_mappings_of_dom0s_own_references_are_found(killed, call):
    with GrantShare() as share, share.share(0, 3) as shared:
        mappings = killed([Reference(0, gref, 0) for gref in shared.references], 3)
        assert killed.clean_up().searched == 3
        assert set(call.unmap_device(mappings)) == {GrantStatus.BAD_HANDLE}


def test_mappings_of_others_remain(killed, call, empty, memory):
    mine, other = empty[0], empty[1]
    with GrantMapper() as mapper, mapper.map([(mine.domid, mine.gref)]) as pages:
        (mapping,) = call.map_device([(other.domid, other.gref)])
        killed([mine], 2)
        assert killed.clean_up().searched == 1
        with memory.grant_table(mine.domid, 1, writable=False) as table:
            assert table.in_use(mine.gref)
        assert int.from_bytes(pages.page(0)[0:8], "little") == mine.pattern
        assert call.unmap_device([mapping]) == [GrantStatus.OKAY]


def test_a_lowered_maptrack_parameter_does_not_hide_mappings(killed, call, empty, memory):
    """dom0 keeps the limit that it was created with; the parameter is for later domains."""
    path = "/params/gnttab_max_maptrack_frames"
    references = empty[:32]
    # More slow handles than a frame has, even if the first two of each reference are fast.
    mappings = killed(references, 12)
    assert max(m.handle for m in mappings if m.handle < FAST) >= HANDLES_PER_FRAME
    with HypFs() as hypfs:
        before = hypfs.read(path)
        try:
            hypfs.write(path, "1")
            assert killed.clean_up().searched == len(references)
        finally:
            hypfs.write(path, before)
    with memory.grant_table(empty[0].domid, 1, writable=False) as table:
        assert not any(table.in_use(reference.gref) for reference in references)
    assert set(call.unmap_device(mappings)) == {GrantStatus.BAD_HANDLE}


def test_dom0s_limits_do_not_follow_the_parameters():
    with HypFs() as hypfs:
        for option in (limits.MAX_FRAMES, limits.MAX_MAPTRACK_FRAMES):
            path = f"/params/{option}"
            before = hypfs.read(path)
            own = limits.dom0_limit(option)
            try:
                hypfs.write(path, "7")
                assert limits.limit(option).frames == 7
                assert limits.dom0_limit(option) == own
            finally:
                hypfs.write(path, before)
            assert own.frames == int(before)
