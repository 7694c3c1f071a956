"""The timed loop, on a real Xen and a real gntdev."""

import struct
import threading
import time

import pytest
from patience import patient

from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError
from xenlib_cffi.loop import Loop, LoopEngine, ThreadShare

BOTH = pytest.mark.parametrize("engine", [LoopEngine.HYPERCALL, LoopEngine.GNTDEV])


def halves(references):
    return [ThreadShare(0, references[:32]), ThreadShare(1, references[32:])]


#: engines that need more than references: `xengt bench` provides it, see tests/lab/test_bench.py
NEEDY = {LoopEngine.COPY, LoopEngine.REFUSED_COPY, LoopEngine.FOREIGN}


@pytest.mark.parametrize("engine", [engine for engine in LoopEngine if engine not in NEEDY])
def test_two_workers_record_every_call(engine, empty):
    loop = Loop(engine, halves(empty), batch=8, warmup=5, rounds=50)
    loop.run()
    first, second = loop.steps
    assert loop.rounds == first.count == second.count == 100
    assert 0 < first.min <= first.max < 1e9 * loop.elapsed_s
    assert second.min > 0


@BOTH
def test_nothing_is_mapped_afterwards(engine, empty, memory):
    Loop(engine, halves(empty), batch=32, rounds=5).run()
    with memory.grant_table(empty[0].domid, 1, writable=False) as table:
        deadline = time.monotonic() + patient(300)  # Linux unmaps gntdev's pages later
        while time.monotonic() < deadline and any(table.in_use(r.gref) for r in empty):
            time.sleep(0.05)
        assert not any(table.in_use(reference.gref) for reference in empty)


def test_a_page_with_wrong_content_is_an_error(empty):
    wrong = [*empty[:5], empty[5]._replace(pattern=1), *empty[6:]]
    with pytest.raises(GrantError, match="does not hold the pattern") as found:
        Loop(LoopEngine.GNTDEV, [ThreadShare(0, wrong)], batch=4, rounds=50).run()
    assert (found.value.domid, found.value.gref) == empty[5][:2]


@BOTH
def test_a_revoked_reference_ends_the_loop(engine, empty, memory, ctrl):
    del ctrl
    loop = Loop(engine, [ThreadShare(0, empty)], batch=4, seconds=60)
    domid, gref, _ = empty[9]

    def revoke():
        time.sleep(0.5)
        with memory.grant_table(domid, 1) as table:
            table.revoke(gref)

    thread = threading.Thread(target=revoke)
    thread.start()
    with pytest.raises((GrantError, XenLibraryError)) as found:
        loop.run()
    thread.join()
    if engine is LoopEngine.HYPERCALL:
        # Revoking also clears Xen's marks, so either the map or the unmap fails first.
        assert (found.value.domid, found.value.gref) == (domid, gref)
        assert found.value.status == GrantStatus.GENERAL_ERROR


def test_the_cursor_shows_the_mapped_batch(empty):
    cursor = memoryview(bytearray(8))
    loop = Loop(LoopEngine.HYPERCALL, [ThreadShare(0, empty, cursor)], batch=16, seconds=30)
    values = set()

    def watch(_):
        values.update(struct.unpack("<Q", cursor)[0] for _ in range(10_000))
        if {1, 17, 33, 49} <= values:
            loop.stop()

    loop.run_watched(watch)
    assert values <= {0, 1, 17, 33, 49}
    assert {1, 17, 33, 49} <= values
    assert struct.unpack("<Q", cursor) == (0,)


def test_latency_counts_from_the_intended_start(empty):
    interval_ns = 5_000_000
    loop = Loop(
        LoopEngine.HYPERCALL, [ThreadShare(0, empty)], batch=1, rounds=100, interval_ns=interval_ns
    )
    loop.run()
    assert 0.45 < loop.elapsed_s < patient(2)  # a lab without a CPU for a while falls behind
    # At a rate that cannot be reached, every call starts late.
    late = Loop(
        LoopEngine.HYPERCALL, [ThreadShare(0, empty)], batch=64, rounds=1000, interval_ns=1000
    )
    late.run()
    assert late.steps[0].max > 0.5e9 * late.elapsed_s


def test_readonly_mappings_of_readonly_grants(raw_domain, memory):
    domid, mfns = raw_domain
    with memory.grant_table(domid, 1) as table:
        for gref, mfn in enumerate(mfns, 8):
            table.permit(gref, 0, mfn, readonly=True)
    pages = [(domid, gref, 0) for gref in range(8, 12)]
    for engine in (LoopEngine.HYPERCALL, LoopEngine.GNTDEV):
        Loop(engine, [ThreadShare(0, pages)], batch=4, rounds=5, readonly=True).run()
        with pytest.raises((GrantError, XenLibraryError)):
            Loop(engine, [ThreadShare(0, pages)], batch=4, rounds=5).run()
